//! `session.json`: what the uplink has to know of a session before its first part.

use nodi_protocol::{ChannelId, Rendition, SessionId};
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SpoolSession {
    pub channel: ChannelId,
    pub session: SessionId,
    /// The renditions that are being written, best first.
    pub renditions: Vec<Rendition>,
    /// Longest segment of the session so far and to come, in whole seconds (EXT-X-TARGETDURATION).
    pub target_duration_s: u32,
    /// Longest part likewise, in nanoseconds (PART-TARGET); a multiple of 10 µs, so that it is exact in five decimals.
    pub part_target_ns: u64,
}
