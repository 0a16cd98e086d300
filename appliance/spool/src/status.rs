//! `status.json`: how a transcode worker is doing, for operators and for the box's agent.

use nodi_protocol::RenditionName;
use serde::{Deserialize, Serialize};

use crate::EndReason;

/// Replaced every 2 s. Rates are means over the time since the last report.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WorkerStatus {
    /// 1.
    pub schema: u32,
    /// 0 for the session's first worker, +1 for each one that was started after a crash.
    pub worker: u32,
    /// When this was written, in milliseconds since the Unix epoch.
    pub unix_ms: u64,
    pub state: WorkerState,
    pub backend: Backend,
    /// What the publisher sends; `None` before its codec headers.
    pub source: Option<SourceStatus>,
    /// Media time handled per wall-clock time: below 1 for long means that latency grows.
    pub speed: f64,
    /// How far the newest frame written is behind the newest that came in, in milliseconds.
    pub lag_ms: u64,
    pub overload: Overload,
    /// Best first.
    pub rungs: Vec<RungStatus>,
    pub audio: Option<AudioStatus>,
    /// Media time written, in nanoseconds since the session's start.
    pub media_ns: u64,
    /// How often the timeline had to be broken.
    pub discontinuities: u64,
    pub warnings: Vec<Warning>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WorkerState {
    Starting,
    Running,
    Draining,
}

/// Which encoders the worker found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Backend {
    Jetson,
    Software,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SourceStatus {
    pub video_codecs: Option<String>,
    pub width: u32,
    pub height: u32,
    /// As measured.
    pub fps: f64,
    pub audio_codecs: Option<String>,
    pub sample_rate: u32,
    pub channels: u32,
}

/// What was given up so that latency stays.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Overload {
    None,
    /// The top rung runs at half its frame rate.
    HalfRate,
    /// At least one rung was given up.
    RungDropped,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RungStatus {
    pub name: RenditionName,
    pub width: u32,
    pub height: u32,
    pub state: RungState,
    /// The source's own pictures, not encoded again.
    pub passthrough: bool,
    /// As measured.
    pub fps: f64,
    /// As measured, in bit/s.
    pub bitrate: u64,
    pub frames: u64,
    /// Frames that should have been encoded and were not.
    pub dropped: u64,
    /// Key frames where no segment starts.
    pub unexpected_key_frames: u64,
    /// Segments lost because this rung had no key frame where they start.
    pub missed_key_frames: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "state", content = "reason")]
pub enum RungState {
    Active,
    HalfRate,
    Gone(EndReason),
}

/// Counted in AAC frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct AudioStatus {
    pub frames: u64,
    /// Silence written where the publisher sent nothing.
    pub filled: u64,
    /// Frames that came too late or overlapped others.
    pub dropped: u64,
    /// How often the publisher's timestamps left the sample count by more than the tolerance.
    pub resyncs: u64,
}

/// A named condition in plain words, true at `unix_ms` of the status.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Warning {
    /// Stable, for programs: `overload`, `key_frames_differ`…
    pub code: String,
    /// For people: what is wrong, and what to do about it.
    pub text: String,
    /// Since when, in milliseconds since the Unix epoch.
    pub since_unix_ms: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_round_trips() {
        let status = WorkerStatus {
            schema: 1,
            worker: 0,
            unix_ms: 1_700_000_000_000,
            state: WorkerState::Running,
            backend: Backend::Software,
            source: None,
            speed: 1.0,
            lag_ms: 80,
            overload: Overload::RungDropped,
            rungs: vec![RungStatus {
                name: "1080p".parse().unwrap(),
                width: 1920,
                height: 1080,
                state: RungState::Gone(EndReason::Overload),
                passthrough: false,
                fps: 0.0,
                bitrate: 0,
                frames: 120,
                dropped: 3,
                unexpected_key_frames: 0,
                missed_key_frames: 0,
            }],
            audio: Some(AudioStatus::default()),
            media_ns: 4_000_000_000,
            discontinuities: 0,
            warnings: vec![],
        };
        let text = serde_json::to_string(&status).unwrap();
        assert!(text.contains(r#""state":{"state":"gone","reason":"overload"}"#), "{text}");
        assert_eq!(serde_json::from_str::<WorkerStatus>(&text).unwrap(), status);
    }
}
