//! Reading single bits, for codec headers.

/// Most significant bit first. Every read says `None` at the end.
#[derive(Debug, Clone)]
pub(crate) struct Bits<'a> {
    bytes: &'a [u8],
    /// In bits.
    position: usize,
}

impl<'a> Bits<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, position: 0 }
    }

    pub(crate) fn remaining(&self) -> usize {
        self.bytes.len() * 8 - self.position
    }

    pub(crate) fn flag(&mut self) -> Option<bool> {
        let byte = self.bytes.get(self.position / 8)?;
        let bit = byte >> (7 - self.position % 8) & 1;
        self.position += 1;
        Some(bit == 1)
    }

    /// At most 32 bits.
    pub(crate) fn bits(&mut self, count: u32) -> Option<u32> {
        let mut value = 0u32;
        for _ in 0..count {
            value = value << 1 | u32::from(self.flag()?);
        }
        Some(value)
    }

    /// Unsigned Exp-Golomb code (ITU-T H.264, 9.1).
    pub(crate) fn ue(&mut self) -> Option<u32> {
        let mut zeros = 0;
        while !self.flag()? {
            zeros += 1;
            if zeros > 31 {
                return None;
            }
        }
        let suffix = self.bits(zeros)?;
        Some((1u32 << zeros) - 1 + suffix)
    }

    /// Signed Exp-Golomb code (ITU-T H.264, 9.1.1).
    pub(crate) fn se(&mut self) -> Option<i32> {
        let code = self.ue()?;
        let magnitude = i32::try_from(code.div_ceil(2)).ok()?;
        Some(if code % 2 == 1 { magnitude } else { -magnitude })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn golomb_codes() {
        // 1, 010, 011, 00100, 00101 = 0 1 2 3 4
        let bytes = [0b1010_0110, 0b0100_0010, 0b1000_0000];
        let mut bits = Bits::new(&bytes);
        assert_eq!([(); 5].map(|()| bits.ue().unwrap()), [0, 1, 2, 3, 4]);
        let mut bits = Bits::new(&bytes);
        assert_eq!([(); 5].map(|()| bits.se().unwrap()), [0, 1, -1, 2, -2]);
        assert_eq!(bits.remaining(), 24 - 17);
    }

    #[test]
    fn zeros_without_end_are_no_code() {
        assert_eq!(Bits::new(&[0; 64]).ue(), None);
        assert_eq!(Bits::new(&[0; 2]).ue(), None);
        assert_eq!(Bits::new(&[]).flag(), None);
    }
}
