//! Messages that hold several FLV tags, which Flash Media Live Encoder sends.

use bytes::{Buf as _, Bytes};
use nodi_flv::tag::{Kind, TAG_HEADER_LEN, Tag};

use crate::Violation;
use crate::message::Message;

/// A message of FLV tags (section 7.1.6), taken apart one by one.
pub(crate) struct Aggregate {
    rest: Bytes,
    /// From the tags' times to the stream's.
    shift_ms: u32,
}

impl Aggregate {
    /// Checks the whole of it, so that taking it apart cannot fail.
    pub(crate) fn new(message: Message) -> Result<Self, Violation> {
        let mut check = Self { rest: message.payload.clone(), shift_ms: 0 };
        let first = check.peek_timestamp();
        while !check.rest.is_empty() {
            check.split().ok_or(Violation::AggregateCut)?;
        }
        // The first tag has the message's time.
        let shift_ms = message.timestamp_ms.wrapping_sub(first.unwrap_or_default());
        Ok(Self { rest: message.payload, shift_ms })
    }

    pub(crate) fn next_tag(&mut self) -> Option<Tag> {
        loop {
            let (kind, timestamp_ms, data) = self.split()?;
            if let Some(kind) = Kind::from_id(kind) {
                return Some(Tag { kind, timestamp_ms: timestamp_ms.wrapping_add(self.shift_ms), data });
            }
        }
    }

    fn peek_timestamp(&self) -> Option<u32> {
        let &[_, _, _, _, t2, t1, t0, t3] = self.rest.first_chunk()?;
        Some(u32::from_be_bytes([t3, t2, t1, t0]))
    }

    fn split(&mut self) -> Option<(u8, u32, Bytes)> {
        const BACK_POINTER_LEN: usize = 4;
        let timestamp_ms = self.peek_timestamp()?;
        let &[kind, s2, s1, s0] = self.rest.first_chunk()?;
        let size = u32::from_be_bytes([0, s2, s1, s0]) as usize;
        if self.rest.len() < TAG_HEADER_LEN + size {
            return None;
        }
        self.rest.advance(TAG_HEADER_LEN);
        let data = self.rest.split_to(size);
        // The last one's may be missing.
        self.rest.advance(self.rest.len().min(BACK_POINTER_LEN));
        Some((kind, timestamp_ms, data))
    }
}
