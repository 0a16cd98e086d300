//! Playlists as snapshots, and the text that is rendered from them and from nothing else
//! (RFC 8216bis, the HLS second edition).

pub mod media;
pub mod multivariant;
mod time;
pub mod uri;

pub use media::{Media, render_media};
pub use multivariant::render_multivariant;

use serde::{Deserialize, Serialize};

use crate::SessionId;

/// One media segment, finished or growing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Segment {
    /// Media sequence number: counts over all sessions of the channel and never goes back.
    pub msn: u64,
    pub session: SessionId,
    /// Which initialisation section of the session it needs (EXT-X-MAP).
    pub init: u32,
    /// Does not continue the timeline of the segment before it (EXT-X-DISCONTINUITY).
    pub discontinuity: bool,
    /// Wall-clock time of its first frame by the box's clock, in milliseconds since the Unix epoch.
    pub program_date_time_ms: u64,
    /// `None` while it grows.
    pub finished: Option<Finished>,
    /// Oldest first; empty for a segment that is only whole (plain HLS) or not there (`gap`).
    pub parts: Vec<Part>,
    /// Its bytes are not there and must not be asked for (EXT-X-GAP).
    #[serde(default)]
    pub gap: bool,
}

/// What is known once a segment is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finished {
    pub duration_ns: u64,
    /// In bytes.
    pub len: u64,
}

/// One partial segment: a range of its segment's bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    pub duration_ns: u64,
    /// Starts with a key frame (INDEPENDENT=YES).
    pub independent: bool,
    /// First byte within the segment.
    pub offset: u64,
    /// In bytes.
    pub len: u64,
}
