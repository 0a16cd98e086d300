//! A publisher made by hand: it writes chunks in every way that the format allows, and some that it does not.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests fail by panicking")]
#![allow(dead_code, unreachable_pub, reason = "each test binary uses a part")]

use std::collections::HashMap;

use bytes::BytesMut;
use nodi_flv::amf0::{self, Value};
use nodi_flv::tag::Tag;
use nodi_rtmp::{Connection, Error, Event, Limits};

/// C0, C1 and C2 of the simple handshake.
pub fn hello() -> Vec<u8> {
    let mut hello = vec![3, 0, 0, 0, 0, 0, 0, 0, 0];
    hello.resize(1 + 2 * 1536, 0x42);
    hello
}

pub fn command(values: &[Value]) -> Vec<u8> {
    amf0::encode_all(values).to_vec()
}

pub fn connect_command() -> Vec<u8> {
    let object = Value::Object(vec![
        ("app".into(), "live".into()),
        ("flashVer".into(), "test".into()),
        ("tcUrl".into(), "rtmp://host/live".into()),
    ]);
    command(&["connect".into(), 1.0.into(), object])
}

pub fn publish_command() -> Vec<u8> {
    command(&["publish".into(), 3.0.into(), Value::Null, "KEY".into(), "live".into()])
}

/// Everything up to an accepted publish, in one piece.
pub fn prelude(writer: &mut ChunkWriter) -> Vec<u8> {
    let create = command(&["createStream".into(), 2.0.into(), Value::Null]);
    [
        hello(),
        writer.message(&Outgoing::new(3, 20, 0, connect_command())),
        writer.message(&Outgoing::new(3, 20, 0, create)),
        writer.message(&Outgoing::new(3, 20, 0, publish_command())),
    ]
    .concat()
}

#[derive(Debug, Clone)]
pub struct Outgoing {
    pub chunk_stream: u32,
    pub message_type: u8,
    pub timestamp_ms: u32,
    pub payload: Vec<u8>,
    /// Write the largest header although a smaller one would do.
    pub full_header: bool,
}

impl Outgoing {
    pub fn new(chunk_stream: u32, message_type: u8, timestamp_ms: u32, payload: Vec<u8>) -> Self {
        Self { chunk_stream, message_type, timestamp_ms, payload, full_header: false }
    }
}

#[derive(Debug, Clone, Default)]
pub struct Last {
    timestamp_ms: u32,
    delta_ms: u32,
    len: usize,
    message_type: u8,
    extended: Option<u32>,
}

/// How format 3 headers treat extended timestamps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Repeat {
    /// As the specification says.
    Field,
    /// The message's timestamp, also behind a delta.
    Timestamp,
    Omitted,
}

/// Splits messages into chunks with the smallest headers that say what is meant.
pub struct ChunkWriter {
    pub chunk_size: usize,
    pub repeat: Repeat,
    pub last: HashMap<u32, Last>,
}

impl Default for ChunkWriter {
    fn default() -> Self {
        Self { chunk_size: 128, repeat: Repeat::Field, last: HashMap::new() }
    }
}

impl ChunkWriter {
    pub fn message(&mut self, message: &Outgoing) -> Vec<u8> {
        self.chunks(message).concat()
    }

    /// A control message that changes the chunk size, and what follows is written in that size.
    pub fn set_chunk_size(&mut self, size: usize) -> Vec<u8> {
        let payload = u32::try_from(size).unwrap().to_be_bytes().to_vec();
        let bytes = self.message(&Outgoing::new(2, 1, 0, payload));
        self.chunk_size = size;
        bytes
    }

    /// One element a chunk, header included: chunks of other streams may go in between.
    pub fn chunks(&mut self, message: &Outgoing) -> Vec<Vec<u8>> {
        let mut first = self.first_header(message);
        let mut chunks = Vec::new();
        let mut pieces = message.payload.chunks(self.chunk_size);
        first.extend_from_slice(pieces.next().unwrap_or_default());
        chunks.push(first);
        for piece in pieces {
            let mut chunk = basic(3, message.chunk_stream);
            if let Some(field) = self.last[&message.chunk_stream].extended {
                match self.repeat {
                    Repeat::Field => chunk.extend_from_slice(&field.to_be_bytes()),
                    Repeat::Timestamp => chunk.extend_from_slice(&message.timestamp_ms.to_be_bytes()),
                    Repeat::Omitted => {}
                }
            }
            chunk.extend_from_slice(piece);
            chunks.push(chunk);
        }
        chunks
    }

    fn first_header(&mut self, message: &Outgoing) -> Vec<u8> {
        let previous = self.last.get(&message.chunk_stream).cloned().filter(|_| !message.full_header);
        let delta = previous.as_ref().map(|last| message.timestamp_ms.wrapping_sub(last.timestamp_ms));
        let len = message.payload.len();
        let format = match &previous {
            None => 0,
            Some(last) if (last.len, last.message_type) != (len, message.message_type) => 1,
            Some(last) if Some(last.delta_ms) != delta => 2,
            Some(_) => 3,
        };
        let field = delta.unwrap_or(message.timestamp_ms);
        let extended = if format == 3 {
            previous.and_then(|last| last.extended)
        } else {
            (field >= 0xff_ffff).then_some(field)
        };
        let mut header = basic(format, message.chunk_stream);
        if format < 3 {
            header.extend_from_slice(&field.min(0xff_ffff).to_be_bytes()[1..]);
        }
        if format < 2 {
            header.extend_from_slice(&u32::try_from(len).unwrap().to_be_bytes()[1..]);
            header.push(message.message_type);
        }
        if format < 1 {
            header.extend_from_slice(&1u32.to_le_bytes());
        }
        if let Some(field) = extended
            && (format < 3 || self.repeat != Repeat::Omitted)
        {
            header.extend_from_slice(&field.to_be_bytes());
        }
        let delta_ms = delta.unwrap_or(if field <= 1_000 { field } else { 0 });
        let (timestamp_ms, message_type) = (message.timestamp_ms, message.message_type);
        let last = Last { timestamp_ms, delta_ms, len, message_type, extended };
        self.last.insert(message.chunk_stream, last);
        header
    }
}

fn basic(format: u8, chunk_stream: u32) -> Vec<u8> {
    match chunk_stream {
        2..=63 => vec![format << 6 | u8::try_from(chunk_stream).unwrap()],
        64..=319 => vec![format << 6, u8::try_from(chunk_stream - 64).unwrap()],
        _ => {
            let [high, low] = u16::try_from(chunk_stream - 64).unwrap().to_be_bytes();
            vec![format << 6 | 1, low, high]
        }
    }
}

/// A server that accepts everything, and what came out of it.
pub struct Server {
    pub connection: Connection,
    pub input: BytesMut,
    pub events: Vec<Event>,
}

impl Default for Server {
    fn default() -> Self {
        Self::new(Limits::default())
    }
}

impl Server {
    pub fn new(limits: Limits) -> Self {
        Self { connection: Connection::new(limits), input: BytesMut::new(), events: Vec::new() }
    }

    pub fn feed(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.input.extend_from_slice(bytes);
        while let Some(event) = self.connection.receive(&mut self.input)? {
            match &event {
                Event::Connect(_) => self.connection.accept_connect()?,
                Event::Publish(_) => self.connection.accept_publish()?,
                _ => {}
            }
            self.events.push(event);
        }
        Ok(())
    }

    pub fn tags(&self) -> Vec<Tag> {
        let tag = |event: &Event| if let Event::Tag(tag) = event { Some(tag.clone()) } else { None };
        self.events.iter().filter_map(tag).collect()
    }
}

/// What a message should come out as.
pub fn tag(message: &Outgoing) -> Tag {
    Tag {
        kind: nodi_flv::Kind::from_id(message.message_type).unwrap(),
        timestamp_ms: message.timestamp_ms,
        data: message.payload.clone().into(),
    }
}
