//! What a box shall be like, and what it says to that.

use serde::{Deserialize, Serialize};

use super::update::Window;
use crate::RenditionName;

/// Retained on `boxes/<id>/desired`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Desired {
    /// Rises with each change. A box that has seen a higher one of the same `epoch` ignores this.
    pub version: u64,
    /// The fleet database that counts the versions; a restored or new one has another.
    pub epoch: String,
    pub settings: Settings,
}

/// What an operator can set. A field that is absent leaves what the box's own configuration says.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// `off`, `error`, `warn`, `info`, `debug` or `trace`, for all processes of the box. At once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub log_level: Option<LogLevel>,
    /// Best first. From the next session on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ladder: Option<Vec<Rung>>,
    /// Length of an HLS part, 200 to 1000 ms. From the next session on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub part_ms: Option<u32>,
    /// At once; a live session that breaks a new limit ends.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limits: Option<Limits>,
    /// Where the box pushes to. Within seconds; live sessions go on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub origins: Option<Vec<Origin>>,
    /// The fleet's public stream keys, base64, newest first. At once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stream_keys: Option<Vec<String>>,
    /// Seconds between two telemetry messages, 1 to 300. At once. Default 10.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub telemetry_s: Option<u32>,
    /// When the box may reboot for an update by itself; absent or empty: at any time at which nothing is live. At once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub maintenance: Option<Vec<Window>>,
    /// No new session is taken; live ones go on. The box is left out of the list of ingests.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub drain: Option<bool>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum LogLevel {
    Off,
    Error,
    Warn,
    Info,
    Debug,
    Trace,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Rung {
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub name: RenditionName,
    /// Of the landscape picture, in pixels.
    pub height: u32,
    /// In bit/s.
    pub bitrate: u32,
}

/// Limits of ingest; the same names as in its configuration.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connections: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connections_per_address: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bitrate_bps: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pixels_per_s: Option<u64>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Origin {
    /// Names it in logs, metrics and the journal.
    pub name: String,
    /// `https://host:port`.
    pub url: String,
}

/// Retained on `boxes/<id>/reported`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Reported {
    /// Of the desired state that is in force; 0 before the first.
    pub applied: u64,
    /// Of the same desired state.
    pub epoch: String,
    /// What is in force.
    pub settings: Settings,
    /// Why a newer one is not.
    pub rejected: Option<Rejected>,
    /// Takes effect only with the next session, such as `ladder`.
    pub pending: Vec<String>,
    /// By the box's clock, in milliseconds since the Unix epoch.
    pub at_ms: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Rejected {
    pub version: u64,
    /// The exact reason, naming the setting.
    pub reason: String,
}
