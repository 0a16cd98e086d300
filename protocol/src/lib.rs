//! What crosses a process border between the boxes and the centre, and nothing else: identifiers,
//! stream keys, the revocation document, the push API, the playlists, enrolment, the MQTT contract, and chat.

pub mod chat;
pub mod enrol;
pub mod fleet;
pub mod hls;
pub mod id;
pub mod push;
pub mod rendition;
pub mod revocation;
pub mod stream_key;

pub use id::{BoxId, ChannelId, CommandId, RolloutId, SessionId, UpdateId};
pub use rendition::{Rendition, RenditionName, Track};
