//! What one connection may cost.

use nodi_flv::amf0;

/// Chunk streams of one connection. Encoders use 3 to 6; the format has 65,597, each with state of its own.
pub const MAX_CHUNK_STREAMS: usize = 64;
/// Audio or video message once publishing was accepted. A 4K key frame at 60 Mbit/s stays below 4 MiB; the format allows
/// 16 MiB.
pub const MAX_MESSAGE_SIZE: usize = 8 * 1024 * 1024;
/// Any other message, and every message before publishing was accepted: what a stranger may make us hold.
/// `connect` takes some 300 bytes, metadata some 500.
pub const MAX_COMMAND_SIZE: usize = 64 * 1024;
/// All incomplete messages of a connection together, since each chunk stream may have one.
pub const MAX_ASSEMBLING: usize = 2 * MAX_MESSAGE_SIZE;
/// Message streams open at a time. Encoders open one.
pub const MAX_MESSAGE_STREAMS: usize = 8;
/// Answers that the peer did not read yet. A whole session needs some 2 KiB; a peer that asks and does not
/// read would have us keep the rest.
pub const MAX_OUTPUT: usize = 256 * 1024;
/// Values in a command. `connect` has some 20.
pub const MAX_COMMAND_VALUES: usize = 512;
/// Nesting in a command. `connect` nests two deep.
pub const MAX_COMMAND_DEPTH: usize = 8;
/// Text in a command: URLs and keys.
pub const MAX_COMMAND_STRING_BYTES: usize = 16 * 1024;

/// Bounds of one connection. All of them end the connection with an [`Error`](crate::Error) that names what was exceeded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    pub chunk_streams: usize,
    /// In bytes.
    pub message_size: usize,
    /// In bytes.
    pub command_size: usize,
    /// In bytes.
    pub assembling: usize,
    pub message_streams: usize,
    /// In bytes.
    pub output: usize,
    /// Of one command.
    pub amf0: amf0::Limits,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            chunk_streams: MAX_CHUNK_STREAMS,
            message_size: MAX_MESSAGE_SIZE,
            command_size: MAX_COMMAND_SIZE,
            assembling: MAX_ASSEMBLING,
            message_streams: MAX_MESSAGE_STREAMS,
            output: MAX_OUTPUT,
            amf0: amf0::Limits {
                depth: MAX_COMMAND_DEPTH,
                values: MAX_COMMAND_VALUES,
                string_bytes: MAX_COMMAND_STRING_BYTES,
            },
        }
    }
}
