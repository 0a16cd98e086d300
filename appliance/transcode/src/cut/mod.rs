//! The timeline: turns encoded frames of all rungs and of the audio into segments and parts in the spool, all cut at
//! the same boundaries. Pure logic and files: nothing here knows GStreamer or FLV.
//!
//! What holds for whoever reads the spool, and what it costs when the input is not as it should be:
//!
//! - **Start.** Media time 0 is the first key frame that at least half of the rungs agree on (sound alone: its first
//!   frame). Sound before it is dropped; sound that starts after it is silence until then. A worker that goes on where
//!   another one crashed starts at the end of what that one wrote.
//! - **Boundaries** are decided once for all renditions: where half of the rungs, or the passed-through source, have a
//!   key frame at or after the nominal length ([`spans`]). A key frame anywhere else is an event and cuts nothing. A
//!   rung without a key frame at a boundary leaves that segment empty, because every segment starts with a key frame;
//!   three in a row, and it is given up. Without any key frames the segment ends where its duration would no longer
//!   round to the target duration, and the timeline goes on at the next key frame, with a discontinuity.
//! - **Parts** are whole frames, as even as the frame grid allows, written the moment that their last frame is there.
//!   PART-TARGET is the longest part that can come up. Sound has as many whole AAC frames a part as fit into it, and
//!   what is left of the segment in the last one.
//! - **Frames that never came** are bridged: the one before is shown longer, or the one after sooner, within a part.
//!   A whole part that is missing is a hole.
//! - **Sound** is counted in samples and only moved, in whole frames, when its timestamps insist. It belongs to the
//!   segment on whose side of the boundary its middle lies. When it does not come it is silence, one second behind the
//!   pictures; a codec without a canned silent frame leaves a hole.
//! - **Waiting** is bounded: for other rungs at a boundary half a part, for sound a second, for a rung that stands
//!   still ten seconds. Pictures never wait for sound. Sound waits for pictures, until all rungs are given up after ten
//!   seconds without any; then it goes on alone.
//! - **Wall-clock time** is when media arrived here, without the jitter, and follows a drifting publisher by at most
//!   1 ms a second ([`clock`]).

mod audio;
mod clock;
mod config;
mod cutter;
mod grid;
mod output;
mod renditions;
mod rung;
mod silence;
mod spans;
mod timeline;
mod track;

pub use config::{Boundaries, CutConfig, DEFAULT_PART_MS, DEFAULT_SEGMENT_MS, MAX_PART_MS, MIN_PART_MS};
pub use cutter::{Cutter, Monotonic};
pub use track::{AudioFrame, AudioTrack, Frame, Tracks, VideoCodec, VideoTrack};

use nodi_protocol::RenditionName;
use nodi_spool::{AudioStatus, EndReason};

/// Why the timeline cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Spool(#[from] nodi_spool::Error),
    #[error("no rung {0}")]
    UnknownRung(RenditionName),
    #[error("rung {rung}: frame {index} after frame {last}")]
    Order { rung: RenditionName, index: u64, last: u64 },
    #[error("neither video nor audio")]
    NoTracks,
    #[error("frame rate {0}/{1} is not between 1 and 240 frames per second")]
    FrameRate(u32, u32),
    #[error("part of {0} ms: not 200 to 1000 ms, or longer than a segment")]
    PartTarget(u32),
    #[error("codec configuration of {rendition}: {reason}")]
    Codec { rendition: RenditionName, reason: String },
}

/// Something that is not as it should be, already logged; for warnings in `WorkerStatus`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A key frame where no segment starts.
    UnexpectedKeyFrame { rung: RenditionName, index: u64 },
    /// No key frame where segment `seq` starts: the rung has nothing until the next boundary.
    MissedKeyFrame { rung: RenditionName, seq: u64 },
    /// Missed too many in a row: ended as `gone`.
    RungFailed { rung: RenditionName },
    /// No rung had a key frame for so long that the segment had to be closed; the timeline goes on with a discontinuity.
    NoKeyFrames { seq: u64 },
    /// Frames of the grid that never came.
    FramesMissing { rung: RenditionName, index: u64, frames: u64 },
    /// Silence was written for this long.
    AudioFilled { ns: u64 },
    /// Audio was dropped because it lay before what is written.
    AudioDropped { frames: u64 },
}

/// Counters since the session's worker started.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Stats {
    /// Media time written, since the session's start.
    pub media_ns: u64,
    pub segments: u64,
    pub discontinuities: u64,
    /// In the order of the tracks; rungs that are gone stay.
    pub rungs: Vec<RungStats>,
    pub audio: AudioStatus,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RungStats {
    pub name: RenditionName,
    pub frames: u64,
    pub bytes: u64,
    pub missing_frames: u64,
    pub unexpected_key_frames: u64,
    pub missed_key_frames: u64,
    pub gone: Option<EndReason>,
}
