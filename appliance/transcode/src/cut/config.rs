//! How the timeline is cut.

use nodi_protocol::RenditionName;

/// Nominal length of a segment: what Apple's authoring guide and players are tuned for at low latency.
pub const DEFAULT_SEGMENT_MS: u32 = 2_000;
/// Default length of a part: 10 frames at 30 fps.
pub const DEFAULT_PART_MS: u32 = 333;
/// Shorter parts cost more in requests than they win in latency.
pub const MIN_PART_MS: u32 = 200;
/// Longer parts put the hold-back (three parts) beyond a segment.
pub const MAX_PART_MS: u32 = 1_000;

/// What decides where segments start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Boundaries {
    /// Every `segment_ms` on the shared frame grid, where the encoders were told to put key frames.
    Grid,
    /// At the key frames of this rung, which is the source passed through; the others were told to follow.
    /// The first one at or after `min_segment_ms` counts.
    Source { rung: RenditionName, min_segment_ms: u32, max_segment_ms: u32 },
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CutConfig {
    pub segment_ms: u32,
    /// [`MIN_PART_MS`] to [`MAX_PART_MS`].
    pub part_ms: u32,
    pub boundaries: Boundaries,
    /// Write a producer reference time (`prft`) in front of each part.
    pub producer_reference_time: bool,
}

impl Default for CutConfig {
    fn default() -> Self {
        Self {
            segment_ms: DEFAULT_SEGMENT_MS,
            part_ms: DEFAULT_PART_MS,
            boundaries: Boundaries::Grid,
            producer_reference_time: false,
        }
    }
}
