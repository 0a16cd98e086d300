//! What waits for the worker: FLV tags in order, bounded in bytes. When a worker does not keep up, what is
//! left out is whole: from the moment the bound is reached to the next key frame that finds room.

use std::collections::VecDeque;
use std::io::IoSlice;

use bytes::Bytes;
use nodi_flv::Tag;
use nodi_flv::tag::{Frame, Oversized};

use super::gop::Class;

/// Slices of one vectored write: 32 tags of head, data and trailer. A read brings fewer.
pub const SLICES: usize = 96;

/// So many audio frames wait for the next video frame and leave together with it: a write costs more than what
/// a frame of AAC (21 ms) weighs. When video pauses this is their delay.
const JOINED_AUDIO: usize = 3;

/// What was left out because the worker was slow.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Dropped {
    /// How often the bound was reached.
    pub groups: u64,
    pub tags: u64,
    pub bytes: u64,
}

#[derive(Debug)]
pub struct Queue {
    entries: VecDeque<Entry>,
    /// How much of the first entry is written.
    written: usize,
    bytes: usize,
    limit: usize,
    /// Audio at the end of the queue, in tags, that may wait for more; `None`: something does not.
    joining: Option<usize>,
    /// Room for a replay on top of the limit, until it is written: a new worker gets the time to take it.
    replay_room: usize,
    /// A key frame ends it.
    dropping: bool,
    /// Video starts with a key frame.
    awaiting_key_frame: bool,
    dropped: Dropped,
}

/// A tag, or, with an empty frame, plain bytes.
#[derive(Debug)]
struct Entry {
    frame: Option<Frame>,
    data: Bytes,
}

impl Entry {
    fn slices(&self) -> [&[u8]; 3] {
        match &self.frame {
            Some(frame) => [&frame.head, &self.data, &frame.trailer],
            None => [&[], &self.data, &[]],
        }
    }

    fn len(&self) -> usize {
        self.slices().iter().map(|slice| slice.len()).sum()
    }
}

impl Queue {
    #[must_use]
    pub fn new(limit: usize) -> Self {
        Self {
            entries: VecDeque::new(),
            written: 0,
            bytes: 0,
            limit,
            joining: Some(0),
            replay_room: 0,
            dropping: false,
            awaiting_key_frame: true,
            dropped: Dropped::default(),
        }
    }

    /// Starts over for a new worker: `opening` and then `replay`, whatever their size. Says how to go on: video
    /// either follows the replay or waits for a key frame.
    ///
    /// # Errors
    /// When a tag is larger than FLV can say.
    pub fn restart(
        &mut self,
        opening: Bytes,
        replay: impl Iterator<Item = Tag>,
        replay_holds_key_frame: bool,
    ) -> Result<(), Oversized> {
        self.clear();
        self.bytes = opening.len();
        self.entries.push_back(Entry { frame: None, data: opening });
        for tag in replay {
            self.append(&tag)?;
        }
        self.replay_room = self.bytes;
        self.joining = None;
        self.dropping = false;
        self.awaiting_key_frame = !replay_holds_key_frame;
        Ok(())
    }

    /// Forgets what waits: there is no worker for it.
    pub fn clear(&mut self) {
        self.entries.clear();
        self.bytes = 0;
        self.written = 0;
        self.joining = Some(0);
    }

    /// Takes the next tag of the stream, or leaves it out. `headers` are those in force; they come again
    /// after a gap, since one of them may have been in it. `audio_only`: nothing depends on anything else.
    ///
    /// # Errors
    /// When the tag is larger than FLV can say.
    pub fn push<'a>(
        &mut self,
        tag: &Tag,
        class: Class,
        headers: impl Iterator<Item = &'a Tag>,
        audio_only: bool,
    ) -> Result<(), Oversized> {
        let joins = class == Class::KeyFrame || (audio_only && class == Class::Audio);
        if self.dropping {
            // Half of the room, so that a worker that is slow for good does not get single frames.
            if !(joins && self.bytes + tag.data.len() <= self.limit / 2) {
                self.drop_tag(tag);
                return Ok(());
            }
            self.dropping = false;
            for header in headers {
                self.append(&Tag { timestamp_ms: tag.timestamp_ms, ..header.clone() })?;
            }
        }
        match class {
            Class::KeyFrame => self.awaiting_key_frame = false,
            Class::DeltaFrame if self.awaiting_key_frame => return Ok(()),
            _ => {}
        }
        if self.bytes + tag.data.len() > self.limit + self.replay_room {
            self.dropping = true;
            self.awaiting_key_frame = true;
            self.dropped.groups += 1;
            self.drop_tag(tag);
            return Ok(());
        }
        self.append(tag)?;
        self.joining = match (class, self.joining) {
            (Class::Audio, Some(tags)) if !audio_only && tags + 1 < JOINED_AUDIO => Some(tags + 1),
            _ => None,
        };
        Ok(())
    }

    /// There is something to write that waits for nothing else.
    #[must_use]
    pub fn is_due(&self) -> bool {
        self.joining.is_none()
    }

    /// Nothing follows that it could wait for.
    pub fn hurry(&mut self) {
        if !self.is_empty() {
            self.joining = None;
        }
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    #[must_use]
    pub fn dropped(&self) -> Dropped {
        self.dropped
    }

    #[must_use]
    pub fn is_dropping(&self) -> bool {
        self.dropping
    }

    /// What to write next, without a copy.
    pub fn slices<'a>(&'a self, slices: &mut [IoSlice<'a>; SLICES]) -> usize {
        let mut skip = self.written;
        let mut count = 0;
        let pieces = self.entries.iter().flat_map(Entry::slices);
        for piece in pieces {
            let Some(rest) = piece.get(skip..).filter(|rest| !rest.is_empty()) else {
                skip -= piece.len().min(skip);
                continue;
            };
            skip = 0;
            let Some(slot) = slices.get_mut(count) else { break };
            *slot = IoSlice::new(rest);
            count += 1;
        }
        count
    }

    /// So many bytes of it are written.
    pub fn advance(&mut self, written: usize) {
        self.written += written;
        self.bytes -= written.min(self.bytes);
        if self.bytes <= self.limit {
            self.replay_room = 0;
        }
        while let Some(first) = self.entries.front()
            && self.written >= first.len()
        {
            self.written -= first.len();
            self.entries.pop_front();
        }
        if self.entries.is_empty() {
            self.joining = Some(0);
        }
    }

    fn append(&mut self, tag: &Tag) -> Result<(), Oversized> {
        let frame = Frame::new(tag.kind, tag.timestamp_ms, tag.data.len())?;
        let entry = Entry { frame: Some(frame), data: tag.data.clone() };
        self.bytes += entry.len();
        self.entries.push_back(entry);
        Ok(())
    }

    fn drop_tag(&mut self, tag: &Tag) {
        self.dropped.tags += 1;
        self.dropped.bytes += tag.data.len() as u64;
    }
}

#[cfg(test)]
mod tests {
    use nodi_flv::{Kind, Reader};

    use super::*;

    const OPENING: &[u8] = b"FLV\x01\x05\0\0\0\x09\0\0\0\0";

    fn tag(kind: Kind, timestamp_ms: u32, len: usize) -> Tag {
        Tag { kind, timestamp_ms, data: Bytes::from(vec![b'x'; len]) }
    }

    fn started(limit: usize) -> Queue {
        let mut queue = Queue::new(limit);
        queue.restart(Bytes::from_static(OPENING), std::iter::empty(), false).unwrap();
        queue
    }

    fn push(queue: &mut Queue, class: Class, timestamp_ms: u32, len: usize) {
        let kind = if class == Class::Audio { Kind::Audio } else { Kind::Video };
        let header = tag(Kind::Video, 0, 1);
        queue.push(&tag(kind, timestamp_ms, len), class, [&header].into_iter(), false).unwrap();
    }

    /// Writes `step` bytes at a time, as a socket that is nearly full takes them.
    fn drain(queue: &mut Queue, step: usize) -> Vec<u8> {
        let mut out = Vec::new();
        while !queue.is_empty() {
            let mut slices = [IoSlice::new(&[]); SLICES];
            let count = queue.slices(&mut slices);
            let bytes: Vec<u8> = slices[..count].iter().flat_map(|slice| slice.to_vec()).collect();
            let written = bytes.len().min(step);
            out.extend_from_slice(&bytes[..written]);
            queue.advance(written);
        }
        assert_eq!(queue.bytes(), 0);
        out
    }

    fn timestamps(bytes: Vec<u8>) -> Vec<u32> {
        let mut input = Bytes::from(bytes);
        let mut reader = Reader::default();
        std::iter::from_fn(|| reader.read(&mut input).unwrap()).map(|tag| tag.timestamp_ms).collect()
    }

    #[test]
    fn what_comes_out_is_flv_however_it_is_cut() {
        for step in [1, 3, 15, 1000, usize::MAX] {
            let mut queue = started(100_000);
            push(&mut queue, Class::KeyFrame, 1, 500);
            for at in 2..60 {
                push(&mut queue, Class::DeltaFrame, at, at as usize);
            }
            push(&mut queue, Class::Audio, 60, 0);
            assert_eq!(timestamps(drain(&mut queue, step)), (1..=60).collect::<Vec<_>>(), "step {step}");
        }
    }

    #[test]
    fn video_starts_with_a_key_frame_and_audio_at_once() {
        let mut queue = started(1_000);
        push(&mut queue, Class::DeltaFrame, 1, 10);
        push(&mut queue, Class::Audio, 2, 10);
        push(&mut queue, Class::KeyFrame, 3, 10);
        push(&mut queue, Class::DeltaFrame, 4, 10);
        assert_eq!(timestamps(drain(&mut queue, 100)), [2, 3, 4]);
        assert_eq!(queue.dropped(), Dropped::default());
    }

    #[test]
    fn audio_leaves_with_the_next_video_frame() {
        let mut queue = started(100_000);
        assert!(queue.is_due(), "the opening");
        drain(&mut queue, usize::MAX);
        assert!(!queue.is_due());
        push(&mut queue, Class::Audio, 1, 10);
        push(&mut queue, Class::Audio, 2, 10);
        assert!(!queue.is_due());
        push(&mut queue, Class::KeyFrame, 3, 500);
        push(&mut queue, Class::Audio, 4, 10);
        assert!(queue.is_due());
        assert_eq!(timestamps([OPENING, &drain(&mut queue, 100)].concat()), [1, 2, 3, 4]);
        for at in 5..8 {
            assert!(!queue.is_due(), "no video comes");
            push(&mut queue, Class::Audio, at, 10);
        }
        assert!(queue.is_due());
        drain(&mut queue, 100);
        push(&mut queue, Class::Audio, 8, 10);
        queue.hurry();
        assert!(queue.is_due(), "the stream is over");
    }

    #[test]
    fn a_slow_worker_loses_whole_groups_and_memory_stays() {
        let mut queue = started(1_000);
        push(&mut queue, Class::KeyFrame, 1, 400);
        push(&mut queue, Class::DeltaFrame, 2, 400);
        push(&mut queue, Class::DeltaFrame, 3, 400);
        push(&mut queue, Class::Audio, 4, 10);
        push(&mut queue, Class::KeyFrame, 5, 400);
        assert!(queue.is_dropping() && queue.bytes() < 1_000);
        assert_eq!(queue.dropped(), Dropped { groups: 1, tags: 3, bytes: 810 });
        assert_eq!(timestamps(drain(&mut queue, 100)), [1, 2]);
        push(&mut queue, Class::DeltaFrame, 6, 10);
        push(&mut queue, Class::KeyFrame, 7, 400);
        push(&mut queue, Class::DeltaFrame, 8, 10);
        // After the gap the headers come first.
        let mut bytes = OPENING.to_vec();
        bytes.extend(drain(&mut queue, 100));
        assert_eq!(timestamps(bytes), [7, 7, 8]);
    }

    #[test]
    fn a_replay_is_taken_whole() {
        let mut queue = Queue::new(1_000);
        let replay = [tag(Kind::Video, 1, 5_000), tag(Kind::Video, 2, 10)];
        queue.restart(Bytes::from_static(OPENING), replay.into_iter(), true).unwrap();
        assert_eq!(queue.bytes(), OPENING.len() + 5_010 + 30);
        push(&mut queue, Class::DeltaFrame, 3, 500);
        assert!(!queue.is_dropping(), "there is room beside the replay");
        push(&mut queue, Class::DeltaFrame, 4, 500);
        assert!(queue.is_dropping());
        assert_eq!(timestamps(drain(&mut queue, 100)), [1, 2, 3]);
        push(&mut queue, Class::KeyFrame, 5, 400);
        push(&mut queue, Class::DeltaFrame, 6, 700);
        assert!(queue.is_dropping(), "the room was the replay's");
    }
}
