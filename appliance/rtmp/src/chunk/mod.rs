//! Chunks to messages (RTMP 1.0, section 5.3): state per chunk stream, bounded in number and bytes.
//!
//! A payload is copied once, from the read buffer into the buffer that becomes the message. Nothing is allocated or hashed
//! per chunk.

mod stream;

use std::cmp::min;

use bytes::{Buf as _, BytesMut};

use self::stream::{ChunkStream, Header};
use crate::message::{Message, kind};
use crate::{Error, Limits, Violation};

const INITIAL_CHUNK_SIZE: usize = 128;
/// No message is larger, so that larger chunk sizes mean the same (section 5.4.1).
const MAX_CHUNK_SIZE: usize = 0xff_ffff;
/// A timestamp field that says that the timestamp follows in 32 bits.
const EXTENDED: u32 = 0xff_ffff;
/// Most that is reserved on the word of a header; beyond it the buffer grows as bytes arrive.
const FIRST_RESERVE: usize = 256 * 1024;
/// Chunk stream ids that fit into the first byte.
const SHORT_IDS: usize = 64;

/// Cuts bytes into chunks and assembles their messages.
pub(crate) struct Reader {
    limits: Limits,
    /// Of everything, until the publisher has shown its key.
    only_commands: bool,
    chunk_size: usize,
    streams: Vec<ChunkStream>,
    /// Index into `streams` by chunk stream id; `NO_STREAM` where there is none yet.
    short_ids: [u8; SHORT_IDS],
    /// The chunk whose payload is being read.
    current: usize,
    left_in_chunk: usize,
    /// Capacity of all unfinished messages.
    assembling: usize,
    received: u64,
}

const NO_STREAM: u8 = u8::MAX;

impl Reader {
    pub(crate) fn new(limits: Limits) -> Self {
        Self {
            limits,
            only_commands: true,
            chunk_size: INITIAL_CHUNK_SIZE,
            streams: Vec::new(),
            short_ids: [NO_STREAM; SHORT_IDS],
            current: 0,
            left_in_chunk: 0,
            assembling: 0,
            received: 0,
        }
    }

    /// Bytes taken so far.
    pub(crate) fn received(&self) -> u64 {
        self.received
    }

    /// From now on large audio and video messages are taken; the peer is no stranger any more.
    pub(crate) fn allow_media(&mut self) {
        self.only_commands = false;
    }

    /// Applies to the next chunk. `None` when the size is none.
    pub(crate) fn set_chunk_size(&mut self, size: u32) -> Option<()> {
        // The first bit must be 0 (section 5.4.1).
        if size == 0 || size > i32::MAX as u32 {
            return None;
        }
        self.chunk_size = min(size as usize, MAX_CHUNK_SIZE);
        Some(())
    }

    /// Drops what was received of a message (section 5.4.2).
    pub(crate) fn abort(&mut self, chunk_stream: u32) {
        if let Some(index) = self.find(chunk_stream)
            && let Some(stream) = self.streams.get_mut(index)
        {
            stream.unfinished = false;
            self.assembling -= stream.payload.capacity();
            stream.payload = Vec::new();
        }
    }

    /// Takes bytes off `input` up to the end of the next message. `None`: give more behind what is left.
    pub(crate) fn read(&mut self, input: &mut BytesMut) -> Result<Option<Message>, Error> {
        let before = input.len();
        let mut rest: &[u8] = input;
        let result = self.read_slice(&mut rest, before);
        let taken = before - rest.len();
        input.advance(taken);
        self.received += taken as u64;
        result
    }

    fn read_slice(&mut self, input: &mut &[u8], before: usize) -> Result<Option<Message>, Error> {
        loop {
            if self.left_in_chunk == 0 {
                let offset = self.received + (before - input.len()) as u64;
                let Some((header, len)) = self.parse_header(input) else { return Ok(None) };
                let chunk_stream = header.id;
                self.begin_chunk(&header).map_err(|violation| Error::Chunk {
                    chunk_stream,
                    offset,
                    violation,
                })?;
                *input = input.get(len..).unwrap_or_default();
            }
            let taken = min(self.left_in_chunk, input.len());
            let (payload, rest) = input.split_at_checked(taken).unwrap_or((input, &[]));
            let offset = self.received + (before - input.len()) as u64;
            // An index that `begin_chunk` made, of a list that only grows.
            let Some(stream) = self.streams.get_mut(self.current) else { return Ok(None) };
            if stream.payload.capacity() - stream.payload.len() < taken {
                let grown = stream.grow(taken);
                self.assembling += grown;
                let limit = assembling_limit(&self.limits, self.only_commands);
                if self.assembling > limit {
                    let violation = Violation::Assembling(limit);
                    return Err(Error::Chunk { chunk_stream: stream.id, offset, violation });
                }
            }
            stream.payload.extend_from_slice(payload);
            *input = rest;
            self.left_in_chunk -= taken;
            if stream.payload.len() == stream.length {
                self.assembling -= stream.payload.capacity();
                return Ok(Some(stream.finish()));
            }
            if self.left_in_chunk > 0 {
                return Ok(None);
            }
        }
    }

    fn find(&self, id: u32) -> Option<usize> {
        match usize::try_from(id).ok().and_then(|id| self.short_ids.get(id)) {
            Some(&NO_STREAM) => None,
            Some(&index) => Some(usize::from(index)),
            // Nobody has many of these.
            None => self.streams.iter().position(|stream| stream.id == id),
        }
    }

    /// The header at the start of `input` and its length; `None` when more bytes are needed.
    fn parse_header(&self, input: &[u8]) -> Option<(Header, usize)> {
        let (&first, mut rest) = input.split_first()?;
        let format = first >> 6;
        let id = match first & 0x3f {
            0 => {
                let (&low, tail) = rest.split_first()?;
                rest = tail;
                64 + u32::from(low)
            }
            1 => {
                let (&[low, high], tail) = rest.split_first_chunk()?;
                rest = tail;
                64 + u32::from(low) + u32::from(high) * 256
            }
            id => u32::from(id),
        };
        let stream = self.find(id);
        let mut header = Header {
            id,
            format,
            stream,
            field: None,
            extended: false,
            length_and_type: None,
            message_stream: None,
        };
        if format == 3 {
            if let Some(stream) = stream.and_then(|index| self.streams.get(index))
                && stream.extended
            {
                rest = stream.skip_repeated_timestamp(rest)?;
            }
            return Some((header, input.len() - rest.len()));
        }
        let (&[t2, t1, t0], tail) = rest.split_first_chunk()?;
        rest = tail;
        let mut field = u32::from_be_bytes([0, t2, t1, t0]);
        if format <= 1 {
            let (&[l2, l1, l0, message_type], tail) = rest.split_first_chunk()?;
            rest = tail;
            header.length_and_type = Some((u32::from_be_bytes([0, l2, l1, l0]) as usize, message_type));
        }
        if format == 0 {
            let (&id, tail) = rest.split_first_chunk()?;
            rest = tail;
            header.message_stream = Some(u32::from_le_bytes(id));
        }
        if field == EXTENDED {
            let (&extended, tail) = rest.split_first_chunk()?;
            rest = tail;
            field = u32::from_be_bytes(extended);
            header.extended = true;
        }
        header.field = Some(field);
        Some((header, input.len() - rest.len()))
    }

    fn begin_chunk(&mut self, header: &Header) -> Result<(), Violation> {
        let index = match header.stream {
            Some(index) => index,
            None => self.add_stream(header)?,
        };
        let Some(stream) = self.streams.get_mut(index) else { return Ok(()) };
        if stream.unfinished {
            stream.check_continuation(header)?;
        } else {
            stream.begin_message(header);
            let media = matches!(stream.message_type, kind::AUDIO | kind::VIDEO | kind::AGGREGATE);
            let limit = if media && !self.only_commands {
                self.limits.message_size
            } else {
                self.limits.command_size
            };
            if stream.length > limit {
                let (message_type, size) = (stream.message_type, stream.length);
                return Err(Violation::MessageSize { message_type, size, limit });
            }
        }
        self.current = index;
        self.left_in_chunk = min(self.chunk_size, stream.length - stream.payload.len());
        Ok(())
    }

    fn add_stream(&mut self, header: &Header) -> Result<usize, Violation> {
        // Some encoders open a stream with format 1: message stream 0 is meant.
        if header.length_and_type.is_none() {
            return Err(Violation::NoHeaderBefore(header.format));
        }
        let index = self.streams.len();
        // The table of short ids counts in bytes.
        let limit = self.limits.chunk_streams.min(usize::from(NO_STREAM));
        if index >= limit {
            return Err(Violation::ChunkStreams(limit));
        }
        if let Some(short) = usize::try_from(header.id).ok().and_then(|id| self.short_ids.get_mut(id)) {
            *short = u8::try_from(index).unwrap_or(NO_STREAM);
        }
        self.streams.push(ChunkStream { id: header.id, ..ChunkStream::default() });
        Ok(index)
    }
}

/// A stranger gets room for two commands at a time, however many chunk streams it opens.
fn assembling_limit(limits: &Limits, only_commands: bool) -> usize {
    if only_commands { limits.command_size * 2 } else { limits.assembling }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_all(bytes: &[u8]) -> Vec<Message> {
        let mut reader = Reader::new(Limits::default());
        let mut input = BytesMut::from(bytes);
        let mut messages = Vec::new();
        while let Some(message) = reader.read(&mut input).unwrap() {
            messages.push(message);
        }
        assert!(input.is_empty());
        assert_eq!(reader.received(), bytes.len() as u64);
        messages
    }

    fn times(bytes: &[u8]) -> Vec<u32> {
        read_all(bytes).iter().map(|message| message.timestamp_ms).collect()
    }

    #[test]
    fn the_example_of_the_specification() {
        // Section 5.3.2.1: four audio messages of 32 bytes, 20 ms apart.
        let mut bytes = vec![3, 0, 3, 0xe8, 0, 0, 32, 8, 0x39, 0x30, 0, 0];
        bytes.extend([1; 32]);
        bytes.extend([0x83, 0, 0, 20]);
        bytes.extend([2; 32]);
        for payload in [[3; 32], [4; 32]] {
            bytes.push(0xc3);
            bytes.extend(payload);
        }
        let messages = read_all(&bytes);
        let times: Vec<_> = messages.iter().map(|message| message.timestamp_ms).collect();
        assert_eq!(times, [1000, 1020, 1040, 1060]);
        assert!(messages.iter().all(|message| message.message_stream == 12_345));
        assert_eq!(messages[3].payload, [4; 32][..]);
    }

    #[test]
    fn format_3_after_format_0_repeats_a_small_timestamp_only() {
        // ffmpeg: the timestamp of the first message is also the delta of the second.
        assert_eq!(times(&[3, 0, 0, 23, 0, 0, 1, 8, 1, 0, 0, 0, 9, 0xc3, 9]), [23, 46]);
        // librtmp: a message of the same time as the one before.
        assert_eq!(times(&[3, 1, 0, 0, 0, 0, 1, 8, 1, 0, 0, 0, 9, 0xc3, 9]), [65_536, 65_536]);
    }

    #[test]
    fn a_stream_may_begin_with_format_1() {
        let messages = read_all(&[0x43, 0, 0, 40, 0, 0, 1, 8, 7]);
        assert_eq!((messages[0].timestamp_ms, messages[0].message_stream), (40, 0));
    }

    #[test]
    fn ids_in_three_notations() {
        for (basic, id) in
            [(&[5][..], 5), (&[0, 0], 64), (&[0, 255], 319), (&[1, 0, 1], 320), (&[1, 255, 255], 65_599)]
        {
            let bytes = [basic, &[0, 0, 0, 0, 0, 1, 8, 1, 0, 0, 0, 7]].concat();
            assert_eq!(read_all(&bytes)[0].chunk_stream, id);
        }
        // The same one in two notations.
        let bytes = [&[0, 6, 0, 0, 9, 0, 0, 1, 8, 1, 0, 0, 0, 7][..], &[0x81, 6, 0, 0, 0, 1, 7]].concat();
        assert_eq!(times(&bytes), [9, 10]);
    }

    #[test]
    fn a_payload_is_held_in_a_buffer_of_its_size() {
        let mut reader = Reader::new(Limits::default());
        reader.allow_media();
        let mut input = BytesMut::from(&[4, 0, 0, 0, 0x7f, 0, 0, 9, 1, 0, 0, 0, 1, 2, 3][..]);
        assert_eq!(reader.read(&mut input), Ok(None));
        // Eight megabytes are announced, three bytes came.
        assert_eq!(reader.assembling, FIRST_RESERVE);
    }

    #[test]
    fn finished_messages_do_not_count() {
        let mut reader = Reader::new(Limits::default());
        let mut input = BytesMut::new();
        for _ in 0..10_000 {
            input.extend_from_slice(&[4, 0, 0, 0, 0, 0, 100, 9, 1, 0, 0, 0]);
            input.extend_from_slice(&[0; 100]);
            assert!(reader.read(&mut input).unwrap().is_some());
            assert_eq!(reader.assembling, 0);
        }
    }
}
