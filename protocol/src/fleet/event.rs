//! What happened on a box and must not be lost: kept on its disk until the fleet server has it on its own.

use serde::{Deserialize, Serialize};

use crate::{ChannelId, SessionId, UpdateId};

/// On `boxes/<id>/events`, in order, again after each reconnect until acknowledged.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Event {
    /// Counts this box's events from 1. With `journal` it identifies an event for ever.
    pub seq: u64,
    /// The agent's event journal; a box whose disk was wiped starts another one.
    pub journal: String,
    /// When it happened, by the box's clock, in milliseconds since the Unix epoch.
    pub at_ms: u64,
    pub what: What,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum What {
    /// The box was started.
    Booted {
        boot_id: String,
        version: String,
    },
    SessionStarted {
        session: SessionId,
        channel: ChannelId,
        encoder: String,
    },
    SessionEnded {
        session: SessionId,
        channel: ChannelId,
        reason: String,
        seconds: u64,
        received_bytes: u64,
    },
    ProcessRestarted {
        process: String,
        count: u64,
    },
    ClockStepped {
        by_ms: i64,
    },
    CertificateRenewed {
        not_after_ms: u64,
    },
    CertificateRenewalFailed {
        reason: String,
    },
    /// An update ended; `state` as in [`super::update::State`].
    UpdateEnded {
        update: UpdateId,
        state: super::update::State,
        from: String,
        to: String,
        message: String,
    },
    /// The outbox was full: so many of these were given up.
    Dropped {
        telemetry: u64,
        events: u64,
    },
}

/// On `boxes/<id>/events/ack`: the server has every event of this journal up to `through` on its disk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ack {
    pub journal: String,
    pub through: u64,
}
