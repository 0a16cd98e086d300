//! What crosses a process border between the boxes and the centre, and nothing else: identifiers,
//! stream keys, the revocation document, the push API and the playlists.

pub mod hls;
pub mod id;
pub mod push;
pub mod rendition;
pub mod revocation;
pub mod stream_key;

pub use id::{ChannelId, SessionId};
pub use rendition::{Rendition, RenditionName, Track};
