//! FLV file structure: header, tags, and the sizes between them (Adobe FLV 10.1, annex E).

use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};

/// Largest tag that the reader takes by default. A 4K key frame at 60 Mbit/s stays below 4 MiB; the format
/// would allow 16 MiB, and a corrupt length would then swallow seconds of stream.
pub const MAX_TAG_SIZE: usize = 8 * 1024 * 1024;
/// Bytes before a tag's data.
pub const TAG_HEADER_LEN: usize = 11;
/// Most that is reserved on the word of a tag's header; beyond it the buffer grows as bytes arrive.
const FIRST_RESERVE: usize = 64 * 1024;
const HEADER_LEN: usize = 9;
/// The header may announce that it is longer; no writer does, and skipping has to end.
const MAX_HEADER_LEN: usize = 1024;

/// What a tag carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    Audio,
    Video,
    Script,
}

impl Kind {
    /// The tag type, which is also the RTMP message type.
    #[must_use]
    pub fn id(self) -> u8 {
        match self {
            Self::Audio => 8,
            Self::Video => 9,
            Self::Script => 18,
        }
    }

    #[must_use]
    pub fn from_id(id: u8) -> Option<Self> {
        match id {
            8 => Some(Self::Audio),
            9 => Some(Self::Video),
            18 => Some(Self::Script),
            _ => None,
        }
    }
}

/// One tag.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tag {
    pub kind: Kind,
    /// Decoding time in milliseconds; wraps around after 49.7 days.
    pub timestamp_ms: u32,
    pub data: Bytes,
}

/// What the file header says the file holds. Writers are known to lie; look at the tags.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    pub audio: bool,
    pub video: bool,
}

/// Why bytes are not FLV. `offset` counts from the start of the stream.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    #[error("not FLV: it starts with {0:02x?}")]
    Signature([u8; 3]),
    #[error("FLV header of {0} bytes")]
    HeaderLength(u32),
    #[error("FLV tag at byte {offset}: type {kind} is neither audio, video nor script data")]
    Kind { offset: u64, kind: u8 },
    #[error("FLV tag at byte {offset} is encrypted")]
    Encrypted { offset: u64 },
    #[error("FLV tag at byte {offset}: {size} bytes, more than {limit}")]
    TooLarge { offset: u64, size: usize, limit: usize },
    #[error("FLV stream cut off at byte {offset}, in the middle of a tag")]
    Truncated { offset: u64 },
}

/// Cuts a byte stream into tags, however the bytes are split.
///
/// A tag that lies in one piece of input is a slice of it; one that spans several is copied once, into a buffer of its own.
#[derive(Debug)]
pub struct Reader {
    state: State,
    /// A header that input has not completed yet.
    partial: BytesMut,
    max_tag_size: usize,
    offset: u64,
    header: Option<Header>,
}

#[derive(Debug)]
enum State {
    Header,
    /// Skipping what remains of a header that is longer than usual.
    HeaderRest(usize),
    /// The size of the tag before, and the next tag's header.
    TagHeader,
    Data {
        kind: Kind,
        timestamp_ms: u32,
        size: usize,
        data: BytesMut,
    },
}

impl Default for Reader {
    fn default() -> Self {
        Self::new(MAX_TAG_SIZE)
    }
}

impl Reader {
    #[must_use]
    pub fn new(max_tag_size: usize) -> Self {
        Self { state: State::Header, partial: BytesMut::new(), max_tag_size, offset: 0, header: None }
    }

    /// The file header, once it was read.
    #[must_use]
    pub fn header(&self) -> Option<Header> {
        self.header
    }

    /// Takes bytes off `input` up to the end of the next tag. `None`: all of it is taken, give more.
    ///
    /// # Errors
    /// When the bytes are not FLV. The reader is not usable afterwards.
    pub fn read(&mut self, input: &mut Bytes) -> Result<Option<Tag>, Error> {
        loop {
            match &mut self.state {
                State::Header => {
                    let Some(bytes) = self.fixed::<HEADER_LEN>(input) else { return Ok(None) };
                    let [f, l, v, _version, flags, len @ ..] = bytes;
                    if [f, l, v] != *b"FLV" {
                        return Err(Error::Signature([f, l, v]));
                    }
                    let len = u32::from_be_bytes(len);
                    let rest = usize::try_from(len).ok().and_then(|len| len.checked_sub(HEADER_LEN));
                    let rest = rest.filter(|rest| *rest <= MAX_HEADER_LEN).ok_or(Error::HeaderLength(len))?;
                    self.header = Some(Header { audio: flags & 4 != 0, video: flags & 1 != 0 });
                    self.state = State::HeaderRest(rest);
                }
                State::HeaderRest(rest) => {
                    let skipped = input.len().min(*rest);
                    input.advance(skipped);
                    self.offset += skipped as u64;
                    *rest -= skipped;
                    if *rest > 0 {
                        return Ok(None);
                    }
                    self.state = State::TagHeader;
                }
                State::TagHeader => {
                    let Some(bytes) = self.fixed::<{ 4 + TAG_HEADER_LEN }>(input) else { return Ok(None) };
                    self.state = self.tag_header(bytes)?;
                }
                State::Data { kind, timestamp_ms, size, data } => {
                    let missing = *size - data.len();
                    let (kind, timestamp_ms) = (*kind, *timestamp_ms);
                    let data = if data.is_empty() && input.len() >= missing {
                        input.split_to(missing)
                    } else {
                        let taken = input.split_to(input.len().min(missing));
                        if data.capacity() - data.len() < taken.len() {
                            // Doubling up to the declared size: a lie costs no more than twice what was sent.
                            let more = taken.len().max(data.len()).max(FIRST_RESERVE);
                            data.reserve(more.min(missing));
                        }
                        data.extend_from_slice(&taken);
                        if data.len() < *size {
                            self.offset += taken.len() as u64;
                            return Ok(None);
                        }
                        std::mem::take(data).freeze()
                    };
                    self.offset += missing as u64;
                    self.state = State::TagHeader;
                    return Ok(Some(Tag { kind, timestamp_ms, data }));
                }
            }
        }
    }

    /// To be called at the end of the stream: whether it ended between two tags.
    ///
    /// # Errors
    /// [`Error::Truncated`] when it did not.
    pub fn finish(&self) -> Result<(), Error> {
        // The size of the last tag may be missing or be followed by nothing.
        let between = matches!(self.state, State::TagHeader) && self.partial.len() <= 4;
        if between { Ok(()) } else { Err(Error::Truncated { offset: self.offset }) }
    }

    fn tag_header(&self, bytes: [u8; 4 + TAG_HEADER_LEN]) -> Result<State, Error> {
        // The size of the tag before is not checked: several writers get it wrong, and nothing depends on it.
        let [_, _, _, _, kind, s2, s1, s0, t2, t1, t0, t3, ..] = bytes;
        let offset = self.offset - TAG_HEADER_LEN as u64;
        if kind & 0x20 != 0 {
            return Err(Error::Encrypted { offset });
        }
        let kind = Kind::from_id(kind & 0x1f).ok_or(Error::Kind { offset, kind })?;
        let size = u32::from_be_bytes([0, s2, s1, s0]) as usize;
        if size > self.max_tag_size {
            return Err(Error::TooLarge { offset, size, limit: self.max_tag_size });
        }
        let timestamp_ms = u32::from_be_bytes([t3, t2, t1, t0]);
        Ok(State::Data { kind, timestamp_ms, size, data: BytesMut::new() })
    }

    /// `N` bytes, gathered over as many inputs as it takes.
    fn fixed<const N: usize>(&mut self, input: &mut Bytes) -> Option<[u8; N]> {
        if self.partial.is_empty()
            && let Some(bytes) = input.first_chunk::<N>().copied()
        {
            input.advance(N);
            self.offset += N as u64;
            return Some(bytes);
        }
        let taken = input.split_to(input.len().min(N - self.partial.len()));
        self.partial.extend_from_slice(&taken);
        self.offset += taken.len() as u64;
        let bytes = self.partial.first_chunk::<N>().copied()?;
        self.partial.clear();
        Some(bytes)
    }
}

/// Data that an FLV tag cannot hold, since its size has 24 bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0} bytes do not fit into an FLV tag")]
pub struct Oversized(pub usize);

/// What goes before and after a tag's data, for writing the three without copying the data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Frame {
    pub head: [u8; TAG_HEADER_LEN],
    pub trailer: [u8; 4],
}

impl Frame {
    /// # Errors
    /// When `data_len` needs more than 24 bits.
    pub fn new(kind: Kind, timestamp_ms: u32, data_len: usize) -> Result<Self, Oversized> {
        let size = u32::try_from(data_len).ok().filter(|size| *size < 1 << 24).ok_or(Oversized(data_len))?;
        let [_, s2, s1, s0] = size.to_be_bytes();
        let [t3, t2, t1, t0] = timestamp_ms.to_be_bytes();
        Ok(Self {
            head: [kind.id(), s2, s1, s0, t2, t1, t0, t3, 0, 0, 0], // The size of a whole tag counts its header.
            trailer: (size + 11).to_be_bytes(),
        })
    }
}

/// The file header and the first previous-tag-size.
pub fn write_header(header: Header, out: &mut BytesMut) {
    out.put_slice(b"FLV\x01");
    out.put_u8(u8::from(header.audio) << 2 | u8::from(header.video));
    out.put_slice(&[0, 0, 0, 9]);
    out.put_u32(0);
}

/// Appends a tag, copying its data; [`Frame`] is the way without the copy.
///
/// # Errors
/// When the data needs more than 24 bits of size.
pub fn write_tag(tag: &Tag, out: &mut BytesMut) -> Result<(), Oversized> {
    let frame = Frame::new(tag.kind, tag.timestamp_ms, tag.data.len())?;
    out.reserve(TAG_HEADER_LEN + tag.data.len() + 4);
    out.put_slice(&frame.head);
    out.put_slice(&tag.data);
    out.put_slice(&frame.trailer);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tags() -> Vec<Tag> {
        vec![
            Tag { kind: Kind::Script, timestamp_ms: 0, data: Bytes::from_static(b"meta") },
            Tag { kind: Kind::Video, timestamp_ms: 0x0102_0304, data: Bytes::from(vec![7; 100_000]) },
            Tag { kind: Kind::Audio, timestamp_ms: u32::MAX, data: Bytes::new() },
        ]
    }

    fn file() -> Bytes {
        let mut out = BytesMut::new();
        write_header(Header { audio: true, video: true }, &mut out);
        for tag in tags() {
            write_tag(&tag, &mut out).unwrap();
        }
        out.freeze()
    }

    fn read_all(reader: &mut Reader, input: &mut Bytes) -> Vec<Tag> {
        let mut tags = Vec::new();
        while let Some(tag) = reader.read(input).unwrap() {
            tags.push(tag);
        }
        assert!(input.is_empty());
        tags
    }

    #[test]
    fn written_tags_come_back_however_the_bytes_are_cut() {
        let file = file();
        for step in [1, 2, 3, 7, 10, 11, 15, 4096, file.len()] {
            let mut reader = Reader::default();
            let mut read = Vec::new();
            for at in (0..file.len()).step_by(step) {
                let mut piece = file.slice(at..(at + step).min(file.len()));
                read.extend(read_all(&mut reader, &mut piece));
            }
            assert_eq!(read, tags(), "step {step}");
            assert_eq!(reader.finish(), Ok(()));
            assert_eq!(reader.header(), Some(Header { audio: true, video: true }));
        }
    }

    #[test]
    fn a_tag_in_one_piece_is_not_copied() {
        let file = file();
        let read = read_all(&mut Reader::default(), &mut file.clone());
        assert!(file.as_ptr_range().contains(&read[1].data.as_ptr()));
    }

    #[test]
    fn the_vectored_form_writes_the_same_bytes() {
        let tag = &tags()[1];
        let frame = Frame::new(tag.kind, tag.timestamp_ms, tag.data.len()).unwrap();
        let mut out = BytesMut::new();
        write_tag(tag, &mut out).unwrap();
        assert_eq!(out, [&frame.head[..], &tag.data, &frame.trailer].concat());
        assert_eq!(Frame::new(Kind::Audio, 0, 1 << 24), Err(Oversized(1 << 24)));
    }

    #[test]
    fn the_end_of_the_stream_is_judged() {
        let file = file();
        for (cut, whole) in [(0, false), (12, true), (13, true), (20, false), (file.len() - 4, true)] {
            let mut reader = Reader::default();
            read_all(&mut reader, &mut file.slice(..cut));
            assert_eq!(reader.finish().is_ok(), whole, "cut at {cut}");
        }
    }

    #[test]
    fn bad_bytes_are_named_with_their_place() {
        let read = |bytes: &[u8]| Reader::new(10).read(&mut Bytes::copy_from_slice(bytes)).unwrap_err();
        let head = b"FLV\x01\x05\0\0\0\x09\0\0\0\0";
        let tag = |tag: &[u8]| [head, tag].concat();
        assert_eq!(read(b"GIF89a..."), Error::Signature(*b"GIF"));
        assert_eq!(read(b"FLV\x01\x05\0\0\0\x08"), Error::HeaderLength(8));
        assert_eq!(read(&tag(&[5; 11])), Error::Kind { offset: 13, kind: 5 });
        assert_eq!(read(&tag(&[0x29; 11])), Error::Encrypted { offset: 13 });
        assert_eq!(
            read(&tag(&[9, 0, 0, 11, 0, 0, 0, 0, 0, 0, 0])),
            Error::TooLarge { offset: 13, size: 11, limit: 10 }
        );
    }
}
