//! Why a connection cannot go on. Every error says where; none shows what may be a stream key.

use nodi_flv::amf0;

use crate::message;

/// Ends a connection: close it, there is nothing to resynchronise on.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    #[error("not RTMP: the first byte is 0x{0:02x}, which {1}")]
    NotRtmp(u8, &'static str),
    #[error("RTMP handshake failed: {0}")]
    Handshake(String),
    /// `offset` counts the bytes behind the handshake.
    #[error("RTMP chunk stream {chunk_stream} at byte {offset}: {violation}")]
    Chunk { chunk_stream: u32, offset: u64, violation: Violation },
    #[error("RTMP {} on chunk stream {chunk_stream} at byte {offset}: {violation}", message::name(*.message_type))]
    Message { message_type: u8, chunk_stream: u32, offset: u64, violation: Violation },
    #[error("RTMP answer could not be written: {0}")]
    Write(String),
    #[error("the peer left {0} bytes of answers unread")]
    Unread(usize),
}

/// What is wrong with a chunk or a message.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Violation {
    #[error("more than {0} chunk streams")]
    ChunkStreams(usize),
    #[error("header of format {0} refers to a header that was never sent")]
    NoHeaderBefore(u8),
    #[error("header of another message before {missing} bytes of this one arrived")]
    Interrupted { missing: usize },
    #[error("{} of {size} bytes, more than {limit}", message::name(*.message_type))]
    MessageSize { message_type: u8, size: usize, limit: usize },
    #[error("incomplete messages of more than {0} bytes together")]
    Assembling(usize),
    #[error("chunk size {0}")]
    ChunkSize(u32),
    #[error("{0} bytes are too few")]
    Short(usize),
    #[error(transparent)]
    Amf0(#[from] amf0::Error),
    #[error("it does not start with a command's name and transaction number")]
    NotACommand,
    #[error("{0} before connect")]
    BeforeConnect(&'static str),
    #[error("a second connect")]
    SecondConnect,
    #[error("more than {0} message streams")]
    MessageStreams(usize),
    #[error("a tag inside it is cut off")]
    AggregateCut,
}
