//! Reading big-endian numbers off a slice without ever indexing it.

/// A position in outside bytes. Every read says `None` at the end instead of panicking.
#[derive(Debug, Clone)]
pub(crate) struct Cursor<'a> {
    rest: &'a [u8],
    len: usize,
}

impl<'a> Cursor<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes, len: bytes.len() }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// Bytes read so far.
    pub(crate) fn offset(&self) -> usize {
        self.len - self.rest.len()
    }

    pub(crate) fn rest(&self) -> &'a [u8] {
        self.rest
    }

    pub(crate) fn peek(&self) -> Option<u8> {
        self.rest.first().copied()
    }

    pub(crate) fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.rest.split_at_checked(len)?;
        self.rest = rest;
        Some(taken)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (taken, rest) = self.rest.split_first_chunk::<N>()?;
        self.rest = rest;
        Some(*taken)
    }

    pub(crate) fn u8(&mut self) -> Option<u8> {
        self.array::<1>().map(|[byte]| byte)
    }

    pub(crate) fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_be_bytes)
    }

    pub(crate) fn i16(&mut self) -> Option<i16> {
        self.array().map(i16::from_be_bytes)
    }

    pub(crate) fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_be_bytes)
    }

    /// A signed 24-bit number, as composition times are.
    pub(crate) fn i24(&mut self) -> Option<i32> {
        // Shifting back down extends the sign.
        self.array::<3>().map(|[a, b, c]| i32::from_be_bytes([a, b, c, 0]) >> 8)
    }

    pub(crate) fn f64(&mut self) -> Option<f64> {
        self.array().map(f64::from_be_bytes)
    }

    pub(crate) fn four_cc(&mut self) -> Option<[u8; 4]> {
        self.array()
    }
}
