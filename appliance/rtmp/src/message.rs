//! Messages as they come out of chunks, and their types.

use bytes::Bytes;

/// Message type ids (RTMP 1.0, sections 5.4, 6.2 and 7.1).
pub(crate) mod kind {
    pub(crate) const SET_CHUNK_SIZE: u8 = 1;
    pub(crate) const ABORT: u8 = 2;
    pub(crate) const ACKNOWLEDGEMENT: u8 = 3;
    pub(crate) const USER_CONTROL: u8 = 4;
    pub(crate) const WINDOW_ACKNOWLEDGEMENT_SIZE: u8 = 5;
    pub(crate) const SET_PEER_BANDWIDTH: u8 = 6;
    pub(crate) const AUDIO: u8 = 8;
    pub(crate) const VIDEO: u8 = 9;
    pub(crate) const DATA_AMF3: u8 = 15;
    pub(crate) const SHARED_OBJECT_AMF3: u8 = 16;
    pub(crate) const COMMAND_AMF3: u8 = 17;
    pub(crate) const DATA_AMF0: u8 = 18;
    pub(crate) const SHARED_OBJECT_AMF0: u8 = 19;
    pub(crate) const COMMAND_AMF0: u8 = 20;
    pub(crate) const AGGREGATE: u8 = 22;
}

/// A message type in words.
pub(crate) fn name(message_type: u8) -> &'static str {
    match message_type {
        kind::SET_CHUNK_SIZE => "set chunk size message",
        kind::ABORT => "abort message",
        kind::ACKNOWLEDGEMENT => "acknowledgement",
        kind::USER_CONTROL => "user control message",
        kind::WINDOW_ACKNOWLEDGEMENT_SIZE => "window acknowledgement size message",
        kind::SET_PEER_BANDWIDTH => "set peer bandwidth message",
        kind::AUDIO => "audio message",
        kind::VIDEO => "video message",
        kind::DATA_AMF3 | kind::DATA_AMF0 => "data message",
        kind::SHARED_OBJECT_AMF3 | kind::SHARED_OBJECT_AMF0 => "shared object message",
        kind::COMMAND_AMF3 | kind::COMMAND_AMF0 => "command",
        kind::AGGREGATE => "aggregate message",
        _ => "message of unknown type",
    }
}

/// One whole message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Message {
    pub(crate) chunk_stream: u32,
    pub(crate) message_type: u8,
    pub(crate) message_stream: u32,
    pub(crate) timestamp_ms: u32,
    pub(crate) payload: Bytes,
}
