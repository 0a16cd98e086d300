//! What ingest says of its sessions (docs/interfaces.md section 4), as far as it is of use here.

use nodi_protocol::{ChannelId, SessionId};
use serde::Deserialize;

/// One element of `GET /sessions`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub(super) struct Entry {
    pub channel: ChannelId,
    pub session: SessionId,
    pub peer: String,
    pub transport: String,
    /// Absent in the first moment of a session.
    #[serde(default)]
    pub encoder: String,
    #[serde(default)]
    pub live_s: f64,
    #[serde(default)]
    pub received_bytes: u64,
    #[serde(default)]
    pub video: Option<Video>,
    #[serde(default)]
    pub audio: Option<Audio>,
    #[serde(default)]
    pub av_skew_ms: Option<i32>,
    #[serde(default)]
    pub jumps_forward: Count,
    #[serde(default)]
    pub jumps_backward: Count,
    #[serde(default)]
    pub stalls: Count,
    #[serde(default)]
    pub worker: Option<Worker>,
    #[serde(default)]
    pub warnings: Vec<Warning>,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
pub(super) struct Video {
    #[serde(default)]
    pub codec: Option<String>,
    #[serde(default)]
    pub profile: Option<String>,
    #[serde(default)]
    pub width: Option<u32>,
    #[serde(default)]
    pub height: Option<u32>,
    pub bitrate_bps: u64,
    pub fps: f64,
    #[serde(default)]
    pub key_frame_interval_s: Option<f64>,
    #[serde(default)]
    pub b_frames: bool,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
pub(super) struct Audio {
    #[serde(default)]
    pub codec: Option<String>,
    #[serde(default)]
    pub profile: Option<String>,
    #[serde(default)]
    pub sample_rate: Option<u32>,
    #[serde(default)]
    pub channels: Option<u32>,
    pub bitrate_bps: u64,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
pub(super) struct Count {
    pub count: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub(super) struct Worker {
    /// That went away so far.
    #[serde(default)]
    pub lost: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(super) struct Warning {
    pub code: String,
    pub text: String,
}

/// One element of `GET /ended`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub(super) struct Ended {
    pub channel: ChannelId,
    pub session: SessionId,
    #[serde(default)]
    pub encoder: String,
    pub reason: String,
    pub live_s: f64,
    pub received_bytes: u64,
}
