//! What we say: control messages and answers to commands, as chunks.

use bytes::{Bytes, BytesMut};
use nodi_flv::amf0::{self, Value};
use rml_rtmp::chunk_io::ChunkSerializer;
use rml_rtmp::messages::{MessagePayload, PeerBandwidthLimitType, RtmpMessage, UserControlEventType};
use rml_rtmp::time::RtmpTimestamp;

use crate::Error;
use crate::message::kind;

/// Status codes of `onStatus` and `_error` (RTMP 1.0, section 7.2, and Adobe's ActionScript reference, `NetStatusEvent`).
pub mod code {
    /// The key is wrong, or the stream is not taken for another reason.
    pub const PUBLISH_BAD_NAME: &str = "NetStream.Publish.BadName";
    pub const PUBLISH_START: &str = "NetStream.Publish.Start";
    pub const UNPUBLISH_SUCCESS: &str = "NetStream.Unpublish.Success";
    pub const PLAY_FAILED: &str = "NetStream.Play.Failed";
    pub const CONNECT_SUCCESS: &str = "NetConnection.Connect.Success";
    pub const CONNECT_REJECTED: &str = "NetConnection.Connect.Rejected";
    pub const CALL_FAILED: &str = "NetConnection.Call.Failed";
}

/// Our chunks. Above all that we send, so that each message is one chunk with a full header: some clients do not
/// understand any other during setup.
const CHUNK_SIZE: u32 = 4096;
/// How much we may send without an acknowledgement, and the peer without one of ours. What FMS announces.
const WINDOW: u32 = 2_500_000;
/// Longest description sent to an encoder: a message has to fit into one chunk.
const MAX_DESCRIPTION_LEN: usize = 1024;

pub(crate) struct Writer {
    chunks: ChunkSerializer,
    output: BytesMut,
}

impl Writer {
    pub(crate) fn new() -> Self {
        Self { chunks: ChunkSerializer::new(), output: BytesMut::new() }
    }

    pub(crate) fn output(&mut self) -> &mut BytesMut {
        &mut self.output
    }

    /// What a server says before it answers `connect`.
    pub(crate) fn preamble(&mut self) -> Result<(), Error> {
        self.message(RtmpMessage::WindowAcknowledgement { size: WINDOW })?;
        self.message(RtmpMessage::SetPeerBandwidth {
            size: WINDOW,
            limit_type: PeerBandwidthLimitType::Dynamic,
        })?;
        let packet = self.chunks.set_max_chunk_size(CHUNK_SIZE, RtmpTimestamp::new(0)).map_err(failed)?;
        self.output.extend_from_slice(&packet.bytes);
        Ok(())
    }

    /// `received`: bytes in all; on the wire they wrap around at 32 bits (section 5.4.3).
    pub(crate) fn acknowledgement(&mut self, received: u64) -> Result<(), Error> {
        #[allow(clippy::cast_possible_truncation, reason = "the sequence number wraps around")]
        self.message(RtmpMessage::Acknowledgement { sequence_number: received as u32 })
    }

    pub(crate) fn ping_response(&mut self, timestamp: u32) -> Result<(), Error> {
        self.user_control(UserControlEventType::PingResponse, None, Some(timestamp))
    }

    pub(crate) fn ping_request(&mut self, timestamp: u32) -> Result<(), Error> {
        self.user_control(UserControlEventType::PingRequest, None, Some(timestamp))
    }

    pub(crate) fn stream_begin(&mut self, message_stream: u32) -> Result<(), Error> {
        self.user_control(UserControlEventType::StreamBegin, Some(message_stream), None)
    }

    fn user_control(
        &mut self,
        event_type: UserControlEventType,
        stream_id: Option<u32>,
        timestamp: Option<u32>,
    ) -> Result<(), Error> {
        let timestamp = timestamp.map(RtmpTimestamp::new);
        self.message(RtmpMessage::UserControl { event_type, stream_id, buffer_length: None, timestamp })
    }

    /// A command on a message stream: its values one after the other.
    pub(crate) fn command(&mut self, message_stream: u32, values: &[Value]) -> Result<(), Error> {
        // The library's AMF0 objects are hash maps: their order would change from run to run.
        let data = amf0::encode_all(values).freeze();
        self.payload(kind::COMMAND_AMF0, message_stream, data)
    }

    pub(crate) fn result(
        &mut self,
        transaction: f64,
        object: Value,
        information: Value,
    ) -> Result<(), Error> {
        self.command(0, &["_result".into(), transaction.into(), object, information])
    }

    pub(crate) fn error(&mut self, transaction: f64, code: &str, description: &str) -> Result<(), Error> {
        let information = status(Level::Error, code, description);
        self.command(0, &["_error".into(), transaction.into(), Value::Null, information])
    }

    pub(crate) fn on_status(
        &mut self,
        message_stream: u32,
        level: Level,
        code: &str,
        description: &str,
    ) -> Result<(), Error> {
        let information = status(level, code, description);
        self.command(message_stream, &["onStatus".into(), 0.0.into(), Value::Null, information])
    }

    fn message(&mut self, message: RtmpMessage) -> Result<(), Error> {
        let payload = MessagePayload::from_rtmp_message(message, RtmpTimestamp::new(0), 0).map_err(failed)?;
        self.chunks(&payload)
    }

    fn payload(&mut self, type_id: u8, message_stream_id: u32, data: Bytes) -> Result<(), Error> {
        let timestamp = RtmpTimestamp::new(0);
        self.chunks(&MessagePayload { timestamp, type_id, message_stream_id, data })
    }

    fn chunks(&mut self, payload: &MessagePayload) -> Result<(), Error> {
        let packet = self.chunks.serialize(payload, true, false).map_err(failed)?;
        self.output.extend_from_slice(&packet.bytes);
        Ok(())
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Level {
    Status,
    Error,
}

/// An information object.
pub(crate) fn status(level: Level, code: &str, description: &str) -> Value {
    let level = match level {
        Level::Status => "status",
        Level::Error => "error",
    };
    let description = description.get(..description.floor_char_boundary(MAX_DESCRIPTION_LEN));
    Value::Object(vec![
        ("level".into(), level.into()),
        ("code".into(), code.into()),
        ("description".into(), description.unwrap_or_default().into()),
    ])
}

#[allow(clippy::needless_pass_by_value, reason = "for map_err")]
fn failed(error: impl std::error::Error) -> Error {
    Error::Write(error.to_string())
}
