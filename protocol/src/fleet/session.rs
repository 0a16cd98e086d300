//! One live session, as its box sees it.

use serde::{Deserialize, Serialize};

use crate::{ChannelId, RenditionName, SessionId};

/// Retained on `boxes/<id>/sessions/<session>` while it is live; an empty payload is its end.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Session {
    pub session: SessionId,
    pub channel: ChannelId,
    /// As the encoder names itself.
    pub encoder: String,
    /// `rtmp` or `rtmps`.
    pub transport: String,
    pub peer: String,
    /// By the box's clock, in milliseconds since the Unix epoch.
    pub at_ms: u64,
    pub live_s: f64,
    pub input: Input,
    pub ladder: Option<Ladder>,
    pub uplink: Option<UplinkOf>,
    /// Of ingest and of the worker.
    pub warnings: Vec<Warning>,
}

/// What the publisher sends, as measured.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(default)]
pub struct Input {
    pub bitrate_bps: u64,
    pub video_codec: Option<String>,
    pub width: Option<u32>,
    pub height: Option<u32>,
    pub fps: Option<f64>,
    pub key_frame_interval_s: Option<f64>,
    pub b_frames: bool,
    pub audio_codec: Option<String>,
    pub sample_rate: Option<u32>,
    pub channels: Option<u32>,
    /// Positive: audio is ahead of video.
    pub av_skew_ms: Option<i32>,
    pub timestamp_jumps: u64,
    pub stalls: u64,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Ladder {
    /// `jetson` or `software`.
    pub backend: String,
    /// Media time handled per wall-clock time: below 1 for long means that it falls behind.
    pub speed: f64,
    pub lag_ms: u64,
    /// `none`, `half_rate` or `rung_dropped`.
    pub overload: String,
    /// 0 for the first worker, +1 for each one started after a crash.
    pub worker: u32,
    pub rungs: Vec<Rung>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Rung {
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub name: RenditionName,
    pub width: u32,
    pub height: u32,
    /// `active`, `half_rate` or `gone`.
    pub state: String,
    pub fps: f64,
    pub bitrate_bps: u64,
    pub frames: u64,
    pub dropped: u64,
}

/// How far the targets are behind the spool; the worst of them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(default)]
pub struct UplinkOf {
    pub connected: bool,
    pub lag_ms: u64,
    /// Segments.
    pub backlog: u64,
}

/// A named condition in plain words.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Warning {
    /// Stable, for programs.
    pub code: String,
    /// For people: what is wrong, and what to do about it.
    pub text: String,
}
