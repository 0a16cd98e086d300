//! The server side of RTMP for publishers, without IO: bytes in, events out, bytes to send.
//!
//! Adobe RTMP 1.0 (2012) and the `connect` negotiation of Enhanced RTMP v2. Everything that reads bytes from outside is
//! here and bounded by [`Limits`]; `rml_rtmp` makes the handshake's answer and writes messages.
//! Players are not served, and stream keys are not checked: that is the caller's.

mod aggregate;
mod chunk;
mod command;
mod connection;
pub mod enhanced;
mod error;
mod event;
mod handshake;
mod key;
pub mod limits;
mod message;
mod writer;

pub use connection::Connection;
pub use error::{Error, Violation};
pub use event::{Connect, Event, Publish, UnpublishReason};
pub use key::key_candidates;
pub use limits::Limits;
pub use writer::code;
