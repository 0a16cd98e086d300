//! Commands: each runs at most once, and its state survives everything.

use serde::{Deserialize, Serialize};

use crate::{CommandId, SessionId};

/// Retained on `boxes/<id>/commands/<cmd>` until the fleet server saw its final status.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Command {
    pub id: CommandId,
    /// By the fleet server's clock, in milliseconds since the Unix epoch.
    pub issued_ms: u64,
    /// A box that has not begun by then never begins: the status is `expired`.
    pub expires_ms: u64,
    /// How long it may run once begun, in seconds; then it has failed.
    pub timeout_s: u32,
    pub action: Action,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Action {
    RestartProcess {
        process: Process,
    },
    Reboot,
    /// Makes itself known to a person in front of it, for so many seconds.
    Identify {
        seconds: u32,
    },
    EndSession {
        session: SessionId,
        reason: String,
    },
    /// A range of the journal as one compressed file, sent to `upload`.
    CollectLogs {
        since_ms: u64,
        until_ms: u64,
        upload: Upload,
    },
    /// A synthetic stream through encoder and segmenter.
    SelfTest,
    /// Sends so many bytes to `upload` and measures the rate.
    MeasureUplink {
        bytes: u64,
        upload: Upload,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum Process {
    Ingest,
    Uplink,
    Agent,
}

/// Where to `PUT` a body.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Upload {
    pub url: String,
    /// For `Authorization: Bearer`; good for this one upload.
    pub token: String,
    pub max_bytes: u64,
}

/// Retained on `boxes/<id>/commands/<cmd>/status`; each is on the box's disk before it is sent, and
/// `running` is before the action begins.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Status {
    pub id: CommandId,
    pub state: State,
    /// 0 to 100 where it can be told.
    pub progress: Option<u8>,
    /// What it does now, or why it ended as it did.
    pub message: String,
    /// What it found: measurements of a self-test or of the uplink.
    pub result: Option<serde_json::Value>,
    pub boot_id: String,
    /// By the box's clock, in milliseconds since the Unix epoch.
    pub at_ms: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum State {
    Accepted,
    Running,
    Succeeded,
    Failed,
    Expired,
}

impl State {
    /// Nothing follows.
    #[must_use]
    pub fn is_final(self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed | Self::Expired)
    }
}
