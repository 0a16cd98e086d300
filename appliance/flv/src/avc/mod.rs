//! H.264 as FLV carries it: the decoder configuration record (ISO/IEC 14496-15, 5.3.3.1) and length-prefixed NAL units.

mod picture;
mod sps;

use bytes::Bytes;

use crate::cursor::Cursor;

pub use picture::{PictureType, picture_type};
pub use sps::{Error as SpsError, Sps};

/// Most parameter sets of a kind in one record. The format counts SPS in 5 bits; streams carry one, rarely two.
pub const MAX_PARAMETER_SETS: usize = 32;

/// Type of a NAL unit (ITU-T H.264, table 7-1). Only those that someone asks for have names.
pub mod nal {
    pub const SLICE: u8 = 1;
    pub const PARTITION_A: u8 = 2;
    pub const IDR_SLICE: u8 = 5;
    pub const SEI: u8 = 6;
    pub const SPS: u8 = 7;
    pub const PPS: u8 = 8;
    pub const ACCESS_UNIT_DELIMITER: u8 = 9;

    /// Of a NAL unit without its length; `None` when it is empty.
    #[must_use]
    pub fn unit_type(unit: &[u8]) -> Option<u8> {
        unit.first().map(|head| head & 0x1f)
    }
}

/// Why a configuration or a frame is not H.264.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    #[error("H.264 configuration cut off in {0}")]
    Truncated(&'static str),
    #[error("H.264 configuration version {0} is not 1")]
    Version(u8),
    #[error("H.264 NAL lengths of {0} bytes")]
    LengthSize(u8),
    #[error("H.264 configuration has no sequence parameter set")]
    NoSps,
    #[error("H.264 configuration has {0} picture parameter sets, more than {MAX_PARAMETER_SETS}")]
    TooManyPps(usize),
    #[error(transparent)]
    Sps(#[from] SpsError),
    #[error("H.264 frame: NAL unit of {declared} bytes at byte {offset}, but {left} bytes are left")]
    NalLength { offset: usize, declared: usize, left: usize },
}

/// `AVCDecoderConfigurationRecord`, and the first SPS parsed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DecoderConfig {
    pub profile: u8,
    /// The constraint flags.
    pub compatibility: u8,
    pub level: u8,
    /// Bytes of a NAL unit's length prefix: 1, 2 or 4.
    pub length_size: u8,
    /// NAL units, slices of the record.
    pub sps: Vec<Bytes>,
    pub pps: Vec<Bytes>,
    /// Of the first of `sps`.
    pub stream: Sps,
}

impl DecoderConfig {
    /// # Errors
    /// When the record is cut off, has no SPS, or its first SPS makes no sense.
    pub fn parse(record: &Bytes) -> Result<Self, Error> {
        let mut input = Cursor::new(record);
        let mut head = |what| input.u8().ok_or(Error::Truncated(what));
        let version = head("its version")?;
        if version != 1 {
            return Err(Error::Version(version));
        }
        let profile = head("the profile")?;
        let compatibility = head("the constraints")?;
        let level = head("the level")?;
        let length_size = (head("the length size")? & 3) + 1;
        if length_size == 3 {
            return Err(Error::LengthSize(length_size));
        }
        let sps_count = usize::from(head("the number of SPS")? & 0x1f);
        let sps = parameter_sets(record, &mut input, sps_count, "an SPS")?;
        let pps_count = usize::from(input.u8().ok_or(Error::Truncated("the number of PPS"))?);
        if pps_count > MAX_PARAMETER_SETS {
            return Err(Error::TooManyPps(pps_count));
        }
        let pps = parameter_sets(record, &mut input, pps_count, "a PPS")?;
        // High profiles add fields here that repeat what the SPS says; many writers leave them out.
        let stream = Sps::parse(sps.first().ok_or(Error::NoSps)?)?;
        Ok(Self { profile, compatibility, level, length_size, sps, pps, stream })
    }

    /// The CODECS value (RFC 6381, 3.3), such as `avc1.64001f`.
    #[must_use]
    pub fn codec_string(&self) -> String {
        codec_string(self.profile, self.compatibility, self.level)
    }
}

/// The CODECS value (RFC 6381, 3.3), such as `avc1.64001f`.
#[must_use]
pub fn codec_string(profile: u8, compatibility: u8, level: u8) -> String {
    format!("avc1.{profile:02x}{compatibility:02x}{level:02x}")
}

fn parameter_sets(
    record: &Bytes,
    input: &mut Cursor<'_>,
    count: usize,
    what: &'static str,
) -> Result<Vec<Bytes>, Error> {
    (0..count)
        .map(|_| {
            let len = input.u16().ok_or(Error::Truncated(what))?;
            let unit = input.take(usize::from(len)).ok_or(Error::Truncated(what))?;
            Ok(record.slice_ref(unit))
        })
        .collect()
}

/// The NAL units of a frame, each without its length prefix. Use `Bytes::slice_ref` to keep one.
///
/// Ends after the first error. Empty units are skipped: they mean nothing, and some encoders pad with them.
#[derive(Debug, Clone)]
pub struct NalUnits<'a> {
    input: Cursor<'a>,
    length_size: u8,
}

impl<'a> NalUnits<'a> {
    /// `length_size` as in [`DecoderConfig`]; other values than 1, 2 and 4 count as 4.
    #[must_use]
    pub fn new(frame: &'a [u8], length_size: u8) -> Self {
        Self { input: Cursor::new(frame), length_size }
    }

    fn length(&mut self) -> Option<usize> {
        match self.length_size {
            1 => self.input.u8().map(usize::from),
            2 => self.input.u16().map(usize::from),
            _ => self.input.u32().and_then(|length| usize::try_from(length).ok()),
        }
    }
}

impl<'a> Iterator for NalUnits<'a> {
    type Item = Result<&'a [u8], Error>;

    fn next(&mut self) -> Option<Self::Item> {
        while !self.input.is_empty() {
            let offset = self.input.offset();
            let declared = self.length();
            let left = self.input.rest().len();
            match declared.and_then(|declared| self.input.take(declared)) {
                Some([]) => {}
                Some(unit) => return Some(Ok(unit)),
                None => {
                    self.input = Cursor::new(&[]);
                    let declared = declared.unwrap_or(usize::from(self.length_size));
                    return Some(Err(Error::NalLength { offset, declared, left }));
                }
            }
        }
        None
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// `ffmpeg -f lavfi -i testsrc2=s=1920x1080:r=30 -c:v libx264 -preset veryfast -bf 2` (5.1).
    pub(crate) const RECORD_1080P: &[u8] = &[
        0x01, 0x64, 0x00, 0x28, 0xff, 0xe1, 0x00, 0x1b, 0x67, 0x64, 0x00, 0x28, 0xac, 0xd9, 0x40, 0x78, 0x02,
        0x27, 0xe5, 0xc0, 0x44, 0x00, 0x00, 0x03, 0x00, 0x04, 0x00, 0x00, 0x03, 0x00, 0xf0, 0x3c, 0x60, 0xc6,
        0x58, 0x01, 0x00, 0x04, 0x68, 0xef, 0x8f, 0xcb, 0xfd, 0xf8, 0xf8, 0x00,
    ];

    #[test]
    fn a_record_of_x264() {
        let config = DecoderConfig::parse(&Bytes::from_static(RECORD_1080P)).unwrap();
        assert_eq!((config.length_size, config.sps.len(), config.pps.len()), (4, 1, 1));
        assert_eq!(config.codec_string(), "avc1.640028");
        assert_eq!((config.stream.width, config.stream.height), (1920, 1080));
        // ffmpeg tells x264 that its input may have any rate.
        assert_eq!(config.stream.frame_rate(), None);
        assert_eq!(config.stream.nominal_frame_rate(), Some((30, 1)));
        assert_eq!(config.stream.max_reorder_frames(), Some(2));
    }

    #[test]
    fn every_cut_of_a_record_is_an_error() {
        // The last four bytes are the High profile's, which may be left out.
        for len in 0..RECORD_1080P.len() - 4 {
            assert!(DecoderConfig::parse(&Bytes::from_static(&RECORD_1080P[..len])).is_err(), "{len} bytes");
        }
    }

    #[test]
    fn odd_records_are_named() {
        let parse = |bytes: &[u8]| DecoderConfig::parse(&Bytes::copy_from_slice(bytes)).unwrap_err();
        assert_eq!(parse(&[0, 0, 0, 1]), Error::Version(0));
        assert_eq!(parse(&[1, 100, 0, 31, 0xfe]), Error::LengthSize(3));
        assert_eq!(parse(&[1, 100, 0, 31, 0xff, 0xe0, 0]), Error::NoSps);
        assert_eq!(parse(&[1, 100, 0, 31, 0xff, 0xe0, 33]), Error::TooManyPps(33));
    }

    #[test]
    fn nal_units_of_each_length_size() {
        for (size, prefix) in [(1, &[3][..]), (2, &[0, 3]), (4, &[0, 0, 0, 3])] {
            let empty = vec![0; usize::from(size)];
            let frame = [prefix, b"abc", &empty, prefix, b"def"].concat();
            let units: Vec<_> = NalUnits::new(&frame, size).map(Result::unwrap).collect();
            assert_eq!(units, [b"abc", b"def"]);
        }
    }

    #[test]
    fn a_length_beyond_the_frame_ends_it() {
        let mut units = NalUnits::new(&[0, 0, 0, 1, 7, 0, 0, 0, 9, 7], 4);
        assert_eq!(units.next(), Some(Ok(&[7][..])));
        assert_eq!(units.next(), Some(Err(Error::NalLength { offset: 5, declared: 9, left: 1 })));
        assert_eq!(units.next(), None);
        let mut units = NalUnits::new(&[0, 0], 4);
        assert!(matches!(units.next(), Some(Err(Error::NalLength { offset: 0, left: 2, .. }))));
    }
}
