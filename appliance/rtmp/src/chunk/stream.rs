//! One chunk stream: what its last header said, and the message that it is in.

use std::cmp::min;

use bytes::Bytes;

use super::FIRST_RESERVE;
use crate::Violation;
use crate::message::Message;

/// Section 5.3.1.2.4 makes a format 0 header's timestamp the delta of a format 3 header after it. librtmp means "same time"
/// instead. Both are right for small ones; a greater one is not a step between two messages.
const MAX_IMPLIED_DELTA_MS: u32 = 1_000;

/// State of a chunk stream. Headers leave out what is as it was in the one before.
#[derive(Default)]
pub(super) struct ChunkStream {
    pub(super) id: u32,
    pub(super) timestamp_ms: u32,
    pub(super) delta_ms: u32,
    /// The last timestamp field, timestamp or delta, after extension.
    pub(super) field: u32,
    pub(super) extended: bool,
    pub(super) length: usize,
    pub(super) message_type: u8,
    pub(super) message_stream: u32,
    /// A message has begun and is not complete.
    pub(super) unfinished: bool,
    pub(super) payload: Vec<u8>,
}

/// A chunk's header as it stands in the bytes.
pub(super) struct Header {
    pub(super) id: u32,
    pub(super) format: u8,
    /// Index of its stream, if it is known.
    pub(super) stream: Option<usize>,
    /// Timestamp or delta; absent in format 3.
    pub(super) field: Option<u32>,
    pub(super) extended: bool,
    /// In formats 0 and 1.
    pub(super) length_and_type: Option<(usize, u8)>,
    /// In format 0.
    pub(super) message_stream: Option<u32>,
}

impl ChunkStream {
    pub(super) fn begin_message(&mut self, header: &Header) {
        if let Some((length, message_type)) = header.length_and_type {
            self.length = length;
            self.message_type = message_type;
        }
        if let Some(message_stream) = header.message_stream {
            self.message_stream = message_stream;
        }
        if let Some(field) = header.field {
            self.field = field;
            self.extended = header.extended;
        }
        if header.format == 0 {
            self.timestamp_ms = self.field;
            self.delta_ms = if self.field <= MAX_IMPLIED_DELTA_MS { self.field } else { 0 };
        } else {
            if let Some(field) = header.field {
                self.delta_ms = field;
            }
            // Wraps around after 49.7 days, and a step back is a step around the whole range.
            self.timestamp_ms = self.timestamp_ms.wrapping_add(self.delta_ms);
        }
        self.unfinished = true;
    }

    /// Chunks after a message's first are of format 3. A full header that repeats the first one means the same; some
    /// writers send it.
    pub(super) fn check_continuation(&self, header: &Header) -> Result<(), Violation> {
        let repeated = header.format == 0
            && header.field == Some(self.timestamp_ms)
            && header.length_and_type == Some((self.length, self.message_type))
            && header.message_stream == Some(self.message_stream);
        if header.format == 3 || repeated {
            Ok(())
        } else {
            Err(Violation::Interrupted { missing: self.length - self.payload.len() })
        }
    }

    /// After an extended timestamp, format 3 headers repeat it; some writers leave it out, some repeat the message's
    /// timestamp instead of the delta. Bytes that are neither are payload. `None` when more bytes are needed to tell.
    pub(super) fn skip_repeated_timestamp<'a>(&self, rest: &'a [u8]) -> Option<&'a [u8]> {
        let timestamp_ms =
            if self.unfinished { self.timestamp_ms } else { self.timestamp_ms.wrapping_add(self.delta_ms) };
        let mut undecided = false;
        for expected in [self.field, timestamp_ms].map(u32::to_be_bytes) {
            if let Some(rest) = rest.strip_prefix(&expected) {
                return Some(rest);
            }
            undecided |= expected.starts_with(rest);
        }
        if undecided { None } else { Some(rest) }
    }

    /// Makes room for `more` bytes, and gives by how much the capacity grew.
    pub(super) fn grow(&mut self, more: usize) -> usize {
        let before = self.payload.capacity();
        let wanted = (self.payload.len() + more).max(before * 2).max(FIRST_RESERVE);
        self.payload.reserve_exact(min(wanted, self.length) - self.payload.len());
        self.payload.capacity() - before
    }

    pub(super) fn finish(&mut self) -> Message {
        self.unfinished = false;
        Message {
            chunk_stream: self.id,
            message_type: self.message_type,
            message_stream: self.message_stream,
            timestamp_ms: self.timestamp_ms,
            payload: Bytes::from(std::mem::take(&mut self.payload)),
        }
    }
}
