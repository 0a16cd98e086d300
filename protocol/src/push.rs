//! How a box pushes a channel to an origin: paths and bodies of the push API (`docs/interfaces.md`).
//! Every request carries the box's client certificate and the stream key (`Authorization: Bearer`).

use serde::{Deserialize, Serialize};

use crate::hls::Segment;
use crate::{ChannelId, Rendition, RenditionName, SessionId};

/// Where in a segment the body of a PUT starts, in bytes: a broken upload goes on, nothing is sent twice.
pub const UPLOAD_OFFSET: &str = "upload-offset";

/// Paths of the push API, relative to the origin's push address.
pub mod path {
    use crate::{ChannelId, RenditionName, SessionId};

    pub const ROOT: &str = "/push/v1";

    /// `GET`: [`super::ChannelState`].
    #[must_use]
    pub fn channel(channel: &ChannelId) -> String {
        format!("{ROOT}/{channel}")
    }

    /// `PUT` with [`super::Claim`]: opens or re-opens a session; answers [`super::Claimed`].
    #[must_use]
    pub fn session(channel: &ChannelId, session: SessionId) -> String {
        format!("{ROOT}/{channel}/{session}")
    }

    /// `POST` with [`super::End`]: the session is over.
    #[must_use]
    pub fn end(channel: &ChannelId, session: SessionId) -> String {
        format!("{ROOT}/{channel}/{session}/end")
    }

    /// `PUT` with a JPEG.
    #[must_use]
    pub fn thumbnail(channel: &ChannelId, session: SessionId) -> String {
        format!("{ROOT}/{channel}/{session}/thumbnail.jpg")
    }

    /// `PUT` with initialisation section number `init`.
    #[must_use]
    pub fn init(channel: &ChannelId, session: SessionId, rendition: &RenditionName, init: u32) -> String {
        format!("{ROOT}/{channel}/{session}/{rendition}/init/{init}")
    }

    /// `PUT` with the segment's bytes, chunked while it grows.
    #[must_use]
    pub fn segment(channel: &ChannelId, session: SessionId, rendition: &RenditionName, msn: u64) -> String {
        format!("{ROOT}/{channel}/{session}/{rendition}/segments/{msn}")
    }

    /// `PUT` with [`super::PlaylistUpdate`].
    #[must_use]
    pub fn playlist(channel: &ChannelId, session: SessionId, rendition: &RenditionName) -> String {
        format!("{ROOT}/{channel}/{session}/{rendition}/playlist")
    }
}

/// Where a channel's timeline stands at this origin.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChannelState {
    /// The newest session that claimed the channel, if any.
    pub session: Option<SessionId>,
    /// The first media sequence number that no session has used.
    pub next_msn: u64,
}

/// A session takes the channel over from any older one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claim {
    /// The media sequence number of the session's first segment, at least `next_msn`; fixed for the
    /// session's life. The box takes the greatest `next_msn` of all origins it pushes to.
    pub base_msn: u64,
    /// All renditions of the session now; a later claim of the same session may change them.
    pub renditions: Vec<Rendition>,
    /// Longest segment, in whole seconds (EXT-X-TARGETDURATION).
    pub target_duration_s: u32,
    /// Longest part, in nanoseconds (PART-TARGET).
    pub part_target_ns: u64,
}

/// What the origin holds of the session: where a restarted uplink goes on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claimed {
    /// The session's base as the origin has it: a re-claim must go on with it.
    pub base_msn: u64,
    pub held: Vec<Held>,
    /// How far back the origin's playlists reach, in seconds: older segments are not worth sending. Absent: an
    /// origin that does not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub window_s: Option<u64>,
}

/// What the origin holds of one rendition of the session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Held {
    pub rendition: RenditionName,
    pub inits: Vec<u32>,
    /// `(media sequence number, bytes)` of each segment in the window.
    pub segments: Vec<(u64, u64)>,
}

/// The tail of a media playlist: replaces what the origin knows of these segments and adds the new ones.
/// Idempotent. Bytes that an entry names may arrive after it: the origin shows nothing before they are there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlaylistUpdate {
    /// In order of media sequence number.
    pub segments: Vec<Segment>,
}

/// Why a session ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct End {
    pub reason: String,
}

/// The body of every refusal by the push API.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    pub error: String,
    /// With 409 on a session: the newer session that owns the channel.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub newer_session: Option<SessionId>,
    /// With 409 on a segment: how many bytes of it the origin holds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub held_bytes: Option<u64>,
}

/// `GET /live/<channel>/status.json`: what a player shows when there is nothing to play.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChannelStatus {
    pub channel: ChannelId,
    pub state: State,
    /// When the newest session started, in milliseconds since the Unix epoch.
    pub started_unix_ms: Option<u64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Nothing was published lately.
    Offline,
    /// A session has claimed the channel, nothing can be played yet.
    Starting,
    Live,
    /// The session stopped sending or ended less than the reconnect window ago.
    Reconnecting,
    /// The playlist has ended; its last window can still be played.
    Ended,
}
