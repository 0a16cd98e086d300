//! Telling I, P and B pictures apart, without decoding them.

use super::sps::Unescaped;
use super::{Error, NalUnits, nal};
use crate::bits::Bits;

/// How a picture may be predicted: the most that any of its slices does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PictureType {
    I,
    P,
    B,
}

/// Enough for two Exp-Golomb codes of 63 bits each.
const SLICE_HEAD_LEN: usize = 16;

/// The type of the picture in a frame of length-prefixed NAL units; `None` when it holds no slice.
///
/// # Errors
/// When the lengths do not fit the frame. A slice whose head makes no sense is passed over.
pub fn picture_type(frame: &[u8], length_size: u8) -> Result<Option<PictureType>, Error> {
    let mut found = None;
    for unit in NalUnits::new(frame, length_size) {
        let slice = slice_type(unit?);
        found = found.max(slice);
        // Encoders that mix slice types in a picture are rare, and B is as far as it goes.
        if found == Some(PictureType::B) {
            break;
        }
    }
    Ok(found)
}

fn slice_type(unit: &[u8]) -> Option<PictureType> {
    let (head, rest) = unit.split_first()?;
    if !matches!(head & 0x1f, nal::SLICE | nal::PARTITION_A | nal::IDR_SLICE) {
        return None;
    }
    let mut plain = [0; SLICE_HEAD_LEN];
    let len = plain.iter_mut().zip(Unescaped::new(rest)).map(|(to, from)| *to = from).count();
    let mut bits = Bits::new(plain.get(..len).unwrap_or(&plain));
    let _first_macroblock = bits.ue()?;
    // ITU-T H.264, table 7-6: 5 to 9 say the same for all slices of the picture.
    match bits.ue()? {
        0 | 3 | 5 | 8 => Some(PictureType::P),
        1 | 6 => Some(PictureType::B),
        2 | 4 | 7 | 9 => Some(PictureType::I),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(units: &[&[u8]]) -> Vec<u8> {
        units
            .iter()
            .flat_map(|unit| [&u32::try_from(unit.len()).unwrap().to_be_bytes(), *unit].concat())
            .collect()
    }

    #[test]
    fn the_first_codes_of_a_slice_tell() {
        // first_mb 0 = "1", then slice_type: 7 = "0001000", 5 = "00110", 6 = "00111", 2 = "011", 0 = "1", 1 = "010".
        for (unit, expected) in [
            (&[0x65, 0b1000_1000, 0x80][..], Some(PictureType::I)),
            (&[0x41, 0b1001_1000], Some(PictureType::P)),
            (&[0x01, 0b1001_1100], Some(PictureType::B)),
            (&[0x41, 0b1011_0000], Some(PictureType::I)),
            (&[0x41, 0b1100_0000], Some(PictureType::P)),
            (&[0x01, 0b1010_0000], Some(PictureType::B)),
            (&[0x06, 0x05], None),
            (&[0x41, 0x00, 0x00], None),
            (&[0x41], None),
        ] {
            assert_eq!(picture_type(&frame(&[&[0x09, 0xf0], unit]), 4), Ok(expected), "{unit:?}");
        }
    }

    #[test]
    fn a_picture_is_what_its_freest_slice_is() {
        let slices: &[&[u8]] =
            &[&[0x41, 0b1000_1000, 0x80], &[0x41, 0b1001_1000], &[0x41, 0b1000_1000, 0x80]];
        assert_eq!(picture_type(&frame(slices), 4), Ok(Some(PictureType::P)));
    }

    #[test]
    fn broken_frames_are_errors() {
        assert!(picture_type(&[0, 0, 0, 9, 0x41], 4).is_err());
        assert_eq!(picture_type(&[], 4), Ok(None));
    }
}
