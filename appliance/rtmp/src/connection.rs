//! One publisher's connection: from the first byte to the last tag.

use std::fmt;

use bytes::{Buf as _, BytesMut};
use nodi_flv::amf0::Value;
use nodi_flv::tag::{Kind, Tag};

use crate::aggregate::Aggregate;
use crate::chunk::Reader;
use crate::command::Command;
use crate::enhanced::{Capabilities, Offer};
use crate::event::{Connect, Event, Publish, UnpublishReason};
use crate::handshake::Handshake;
use crate::message::{Message, kind};
use crate::writer::{Level, Writer, code, status};
use crate::{Error, Limits, Violation};

/// Bytes after which a peer that never said so gets an acknowledgement. What nginx-rtmp and FMS use is between
/// this and 5 MB.
const DEFAULT_WINDOW: u32 = 2_500_000;
/// A smaller window would have us answer every packet.
const MIN_WINDOW: u32 = 4_096;
/// What FMS calls itself; some clients look for it to decide which commands they send.
const SERVER_VERSION: &str = "FMS/3,5,7,7009";
const SERVER_CAPABILITIES: f64 = 31.0;
const SET_DATA_FRAME: &[u8] = b"\x02\x00\x0d@setDataFrame";
const CLEAR_DATA_FRAME: &[u8] = b"\x02\x00\x0f@clearDataFrame";

/// One accepted connection, TLS already taken off.
///
/// Call [`Connection::receive`] with what was read until it gives `None`, and write what is in [`Connection::output`] each time.
/// After [`Event::Connect`] and [`Event::Publish`] nothing is taken off the input until the caller has accepted or
/// refused: do not read more from the peer meanwhile.
pub struct Connection {
    handshake: Handshake,
    reader: Reader,
    writer: Writer,
    limits: Limits,
    capabilities: Capabilities,
    state: State,
    connect: Connect,
    /// Message streams that the peer created.
    streams: Vec<u32>,
    last_stream: u32,
    /// What is left of an aggregate message.
    aggregate: Option<Aggregate>,
    window: u32,
    acknowledged: u64,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum State {
    /// Before `connect`.
    New,
    /// `connect` was handed to the caller.
    Connecting {
        transaction: f64,
    },
    Connected,
    /// `publish` was handed to the caller.
    Asking {
        stream: u32,
    },
    Publishing {
        stream: u32,
    },
    /// Refused or ended by us: whatever else comes is read and dropped until the caller closes.
    Over,
}

impl Connection {
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self {
            handshake: Handshake::Hello,
            reader: Reader::new(limits),
            writer: Writer::new(),
            limits,
            capabilities: Capabilities::default(),
            state: State::New,
            connect: Connect::default(),
            streams: Vec::new(),
            last_stream: 0,
            aggregate: None,
            window: DEFAULT_WINDOW,
            acknowledged: 0,
        }
    }

    /// What the answer to `connect` says about codecs; by default H.264 and AAC.
    #[must_use]
    pub fn with_capabilities(self, capabilities: Capabilities) -> Self {
        Self { capabilities, ..self }
    }

    /// Bytes to send to the peer. The caller takes off what it has written.
    pub fn output(&mut self) -> &mut BytesMut {
        self.writer.output()
    }

    /// The peer has sent all of its handshake: it speaks RTMP.
    #[must_use]
    pub fn is_past_handshake(&self) -> bool {
        matches!(self.handshake, Handshake::Done)
    }

    /// Takes bytes off `input` up to the next event. `None`: all that can be taken is taken; read more behind what is left, unless
    /// an answer is owed.
    ///
    /// # Errors
    /// When the peer violates the protocol or a limit. Send what is in [`Connection::output`], then close.
    pub fn receive(&mut self, input: &mut BytesMut) -> Result<Option<Event>, Error> {
        if !self.is_past_handshake() && !self.handshake.advance(input, self.writer.output())? {
            return Ok(None);
        }
        loop {
            if matches!(self.state, State::Connecting { .. } | State::Asking { .. }) {
                return Ok(None);
            }
            if let Some(tag) = self.aggregate.as_mut().and_then(Aggregate::next_tag) {
                return Ok(Some(Event::Tag(tag)));
            }
            self.aggregate = None;
            let message = self.reader.read(input)?;
            self.acknowledge()?;
            let unread = self.writer.output().len();
            if unread > self.limits.output {
                return Err(Error::Unread(unread));
            }
            let Some(message) = message else { return Ok(None) };
            if let Some(event) = self.message(message)? {
                return Ok(Some(event));
            }
        }
    }

    /// Lets the client in. Does nothing unless `connect` waits for an answer.
    ///
    /// # Errors
    /// When the answer cannot be written.
    pub fn accept_connect(&mut self) -> Result<(), Error> {
        let State::Connecting { transaction } = self.state else { return Ok(()) };
        self.state = State::Connected;
        let mut properties = vec![
            ("fmsVer".to_owned(), SERVER_VERSION.into()),
            ("capabilities".to_owned(), SERVER_CAPABILITIES.into()),
        ];
        properties.extend(self.capabilities.answer(&self.connect.enhanced));
        let mut information = status(Level::Status, code::CONNECT_SUCCESS, "Connection succeeded.");
        if let Value::Object(information) = &mut information {
            // AMF0, whatever the client would like better.
            information.push(("objectEncoding".into(), 0.0.into()));
        }
        self.writer.result(transaction, Value::Object(properties), information)
    }

    /// Turns the client away with `NetConnection.Connect.Rejected`. Send the output, then close.
    ///
    /// # Errors
    /// When the answer cannot be written.
    pub fn refuse_connect(&mut self, description: &str) -> Result<(), Error> {
        let State::Connecting { transaction } = self.state else { return Ok(()) };
        self.state = State::Over;
        self.writer.error(transaction, code::CONNECT_REJECTED, description)
    }

    /// Starts the stream. Does nothing unless `publish` waits for an answer.
    ///
    /// # Errors
    /// When the answer cannot be written.
    pub fn accept_publish(&mut self) -> Result<(), Error> {
        let State::Asking { stream } = self.state else { return Ok(()) };
        self.state = State::Publishing { stream };
        self.reader.allow_media();
        self.writer.stream_begin(stream)?;
        self.writer.on_status(stream, Level::Status, code::PUBLISH_START, "Publishing started.")
    }

    /// Turns the stream away: an `onStatus` of level `error`, which every encoder shows or at least stops at. Send the output,
    /// then close. `code`: one of [`code`].
    ///
    /// # Errors
    /// When the answer cannot be written.
    pub fn refuse_publish(&mut self, code: &str, description: &str) -> Result<(), Error> {
        let State::Asking { stream } = self.state else { return Ok(()) };
        self.state = State::Over;
        self.writer.on_status(stream, Level::Error, code, description)
    }

    /// Ends a stream that was accepted: superseded ([`code::UNPUBLISH_SUCCESS`]; level `status`), or for cause (any other
    /// code; level `error`). Send the output, then close. Does nothing unless a stream is published.
    ///
    /// # Errors
    /// When the answer cannot be written.
    pub fn end_publish(&mut self, code: &str, description: &str) -> Result<(), Error> {
        let State::Publishing { stream } = self.state else { return Ok(()) };
        self.state = State::Over;
        self.aggregate = None;
        let level = if code == code::UNPUBLISH_SUCCESS { Level::Status } else { Level::Error };
        self.writer.on_status(stream, level, code, description)
    }

    /// Asks the peer for a sign of life; it comes as [`Event::Pong`].
    ///
    /// # Errors
    /// When the request cannot be written.
    pub fn ping(&mut self, timestamp_ms: u32) -> Result<(), Error> {
        self.writer.ping_request(timestamp_ms)
    }

    fn acknowledge(&mut self) -> Result<(), Error> {
        let received = self.reader.received();
        // At half the window, so that a peer which stops when it is full never has to.
        if received - self.acknowledged < u64::from(self.window / 2) {
            return Ok(());
        }
        self.acknowledged = received;
        self.writer.acknowledgement(received)
    }

    fn message(&mut self, message: Message) -> Result<Option<Event>, Error> {
        let (message_type, chunk_stream) = (message.message_type, message.chunk_stream);
        let offset = self.reader.received();
        let at = |violation| Error::Message { message_type, chunk_stream, offset, violation };
        match message_type {
            kind::AUDIO => Ok(self.media(Kind::Audio, message)),
            kind::VIDEO => Ok(self.media(Kind::Video, message)),
            kind::DATA_AMF0 | kind::DATA_AMF3 => Ok(self.data(message)),
            kind::AGGREGATE => {
                if self.takes_media() {
                    self.aggregate = Some(Aggregate::new(message).map_err(at)?);
                }
                Ok(None)
            }
            kind::COMMAND_AMF0 | kind::COMMAND_AMF3 => {
                let mut payload = &message.payload[..];
                if message_type == kind::COMMAND_AMF3 {
                    // The byte says that AMF0 follows; nobody sends the other.
                    payload = payload.strip_prefix(&[0]).unwrap_or(payload);
                }
                let command = Command::decode(payload, self.limits.amf0).map_err(at)?;
                match self.command(&command, message.message_stream) {
                    Ok(event) => Ok(event),
                    Err(Failure::Violation(violation)) => Err(at(violation)),
                    Err(Failure::Write(error)) => Err(error),
                }
            }
            _ => self.control(message_type, &message.payload, at),
        }
    }

    fn control(
        &mut self,
        message_type: u8,
        payload: &[u8],
        at: impl Fn(Violation) -> Error,
    ) -> Result<Option<Event>, Error> {
        let number = || {
            let number = payload.first_chunk().copied().map(u32::from_be_bytes);
            number.ok_or_else(|| at(Violation::Short(payload.len())))
        };
        match message_type {
            kind::SET_CHUNK_SIZE => {
                let size = number()?;
                self.reader.set_chunk_size(size).ok_or_else(|| at(Violation::ChunkSize(size)))?;
            }
            kind::ABORT => {
                let chunk_stream = number()?;
                self.reader.abort(chunk_stream);
            }
            kind::WINDOW_ACKNOWLEDGEMENT_SIZE => self.window = number()?.max(MIN_WINDOW),
            kind::USER_CONTROL => return self.user_control(payload, at),
            // Acknowledgements and bandwidth are about what we send, which is next to nothing; the rest nobody understands.
            _ => {}
        }
        Ok(None)
    }

    fn user_control(
        &mut self,
        payload: &[u8],
        at: impl Fn(Violation) -> Error,
    ) -> Result<Option<Event>, Error> {
        const PING_REQUEST: u16 = 6;
        const PING_RESPONSE: u16 = 7;
        let (event, data) = payload.split_first_chunk().ok_or_else(|| at(Violation::Short(payload.len())))?;
        let number = data.first_chunk().copied().map(u32::from_be_bytes);
        match (u16::from_be_bytes(*event), number) {
            (PING_REQUEST, timestamp) => {
                self.writer.ping_response(timestamp.unwrap_or_default())?;
                Ok(None)
            }
            (PING_RESPONSE, Some(timestamp_ms)) => Ok(Some(Event::Pong { timestamp_ms })),
            _ => Ok(None),
        }
    }

    fn takes_media(&self) -> bool {
        // Whatever message stream it names: encoders publish one, and some number it differently in media than in `publish`.
        matches!(self.state, State::Publishing { .. })
    }

    fn media(&self, kind: Kind, message: Message) -> Option<Event> {
        let takes = self.takes_media();
        takes.then(|| Event::Tag(Tag { kind, timestamp_ms: message.timestamp_ms, data: message.payload }))
    }

    fn data(&self, message: Message) -> Option<Event> {
        if !self.takes_media() {
            return None;
        }
        let mut data = message.payload;
        // In AMF3 data messages, too, the values are AMF0 behind a 0.
        if data.starts_with(b"\x00\x02") {
            data.advance(1);
        }
        if data.starts_with(SET_DATA_FRAME) {
            data.advance(SET_DATA_FRAME.len());
        }
        if data.is_empty() || data.starts_with(CLEAR_DATA_FRAME) {
            return None;
        }
        Some(Event::Tag(Tag { kind: Kind::Script, timestamp_ms: message.timestamp_ms, data }))
    }

    fn command(&mut self, command: &Command, message_stream: u32) -> Result<Option<Event>, Failure> {
        match (&self.state, command.name.as_str()) {
            (State::New, "connect") => return self.on_connect(command),
            (State::New, _) => return Err(Violation::BeforeConnect("a command").into()),
            (_, "connect") => return Err(Violation::SecondConnect.into()),
            (State::Over, _) => return Ok(None),
            (_, "createStream") => self.create_stream(command)?,
            (_, "publish") => return self.publish(command, message_stream),
            (_, "deleteStream") => {
                // A number from outside: compared as it is.
                let stream = command.number(0);
                self.streams.retain(|open| Some(f64::from(*open)) != stream);
                let publishing = self.publishing().map(f64::from);
                if stream.is_none() || stream == publishing {
                    return self.unpublish(UnpublishReason::DeleteStream);
                }
            }
            (_, "closeStream") => return self.unpublish(UnpublishReason::CloseStream),
            (_, "FCUnpublish") => {
                self.answer(command, Value::Undefined)?;
                return self.unpublish(UnpublishReason::FcUnpublish);
            }
            (_, "FCPublish") => {
                self.answer(command, Value::Undefined)?;
                let information = status(Level::Status, code::PUBLISH_START, "FCPublish");
                self.writer
                    .command(message_stream, &["onFCPublish".into(), 0.0.into(), Value::Null, information])?;
            }
            (_, "releaseStream" | "_checkbw") => self.answer(command, Value::Undefined)?,
            // The length of a recording: a live stream has none.
            (_, "getStreamLength") => self.answer(command, 0.0.into())?,
            (_, "play" | "play2") => {
                let description = "This server takes streams and plays none.";
                self.writer.on_status(message_stream, Level::Error, code::PLAY_FAILED, description)?;
            }
            // Answers to what we said.
            (_, "_result" | "_error" | "onStatus") => {}
            (_, _) if command.transaction != 0.0 => {
                self.writer.error(command.transaction, code::CALL_FAILED, "Unknown command.")?;
            }
            _ => {}
        }
        Ok(None)
    }

    fn answer(&mut self, command: &Command, value: Value) -> Result<(), Error> {
        if command.transaction == 0.0 {
            return Ok(());
        }
        self.writer.result(command.transaction, Value::Null, value)
    }

    fn on_connect(&mut self, command: &Command) -> Result<Option<Event>, Failure> {
        let text = |name| command.object.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
        self.connect = Connect {
            app: text("app"),
            tc_url: text("tcUrl"),
            flash_version: text("flashVer"),
            enhanced: Offer::from_connect(&command.object),
        };
        self.state = State::Connecting { transaction: command.transaction };
        self.writer.preamble()?;
        Ok(Some(Event::Connect(self.connect.clone())))
    }

    fn create_stream(&mut self, command: &Command) -> Result<(), Failure> {
        if self.streams.len() >= self.limits.message_streams {
            return Err(Violation::MessageStreams(self.limits.message_streams).into());
        }
        self.last_stream += 1;
        self.streams.push(self.last_stream);
        self.writer.result(command.transaction, Value::Null, f64::from(self.last_stream).into())?;
        Ok(())
    }

    fn publish(&mut self, command: &Command, message_stream: u32) -> Result<Option<Event>, Failure> {
        if self.publishing().is_some() {
            let description = "This connection already publishes a stream.";
            self.writer.on_status(message_stream, Level::Error, code::PUBLISH_BAD_NAME, description)?;
            return Ok(None);
        }
        self.state = State::Asking { stream: message_stream };
        Ok(Some(Event::Publish(Publish {
            name: command.text(0).unwrap_or_default().to_owned(),
            kind: command.text(1).unwrap_or("live").to_owned(),
            connect: self.connect.clone(),
        })))
    }

    fn publishing(&self) -> Option<u32> {
        if let State::Publishing { stream } = self.state { Some(stream) } else { None }
    }

    fn unpublish(&mut self, reason: UnpublishReason) -> Result<Option<Event>, Failure> {
        let Some(stream) = self.publishing() else { return Ok(None) };
        self.state = State::Connected;
        self.writer.on_status(stream, Level::Status, code::UNPUBLISH_SUCCESS, "Publishing ended.")?;
        Ok(Some(Event::Unpublish(reason)))
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection")
            .field("state", &self.state)
            .field("received", &self.reader.received())
            .finish_non_exhaustive()
    }
}

/// What a command may come to.
enum Failure {
    Violation(Violation),
    Write(Error),
}

impl From<Violation> for Failure {
    fn from(violation: Violation) -> Self {
        Self::Violation(violation)
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Write(error)
    }
}
