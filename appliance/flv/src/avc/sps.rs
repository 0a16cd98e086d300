//! The sequence parameter set (ITU-T H.264, 7.3.2.1.1 and annex E): size, frame rate, and whether pictures are reordered.

use crate::bits::Bits;

/// Larger sides are no video. H.264's highest level ends at 8192 x 4320.
pub(super) const MAX_SIDE: u32 = 16_384;
/// What an SPS needs at most: scaling lists and timing stay below a kilobyte. Bounds the work on a lie.
const MAX_SPS_LEN: usize = 4_096;

/// Why an SPS is unusable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    #[error("H.264 SPS: NAL unit type {0} is not 7")]
    UnitType(u8),
    #[error("H.264 SPS cut off or malformed in {0}")]
    Malformed(&'static str),
    #[error("H.264 SPS: {width}x{height} pixels is not a picture size")]
    Size { width: u64, height: u64 },
}

/// What an SPS says, as far as someone asks for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sps {
    pub profile: u8,
    /// The constraint flags, `constraint_set0_flag` first.
    pub compatibility: u8,
    /// Times ten: 31 is level 3.1.
    pub level: u8,
    /// 0 monochrome, 1 4:2:0, 2 4:2:2, 3 4:4:4.
    pub chroma_format: u8,
    pub bit_depth: u8,
    /// In pixels, after cropping.
    pub width: u32,
    pub height: u32,
    /// Fields may occur.
    pub interlaced: bool,
    /// Most frames that a prediction may refer to.
    pub max_ref_frames: u32,
    /// Sample aspect ratio, when it is given.
    pub sample_aspect_ratio: Option<(u32, u32)>,
    /// Frames may come in another order than they are shown: 2 says no.
    pic_order_count_type: u8,
    timing: Option<Timing>,
    /// From the bitstream restrictions.
    num_reorder_frames: Option<u32>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Timing {
    units_in_tick: u32,
    time_scale: u32,
    fixed: bool,
}

impl Sps {
    /// Parses a NAL unit of type 7, its head byte included.
    ///
    /// # Errors
    /// When it is something else, is cut off before the picture's size, or the size makes no sense. What is broken
    /// behind it (the VUI) counts as absent, as decoders do.
    pub fn parse(unit: &[u8]) -> Result<Self, Error> {
        let (head, body) = unit.split_first().ok_or(Error::Malformed("its head"))?;
        if head & 0x1f != super::nal::SPS {
            return Err(Error::UnitType(head & 0x1f));
        }
        let body: Vec<_> = Unescaped::new(body.get(..MAX_SPS_LEN).unwrap_or(body)).collect();
        let mut bits = Bits::new(&body);
        let mut sps = Self::required(&mut bits)?;
        let _ = sps.vui(&mut bits);
        Ok(sps)
    }

    /// Frames per second as a fraction, if the stream says that its rate is fixed.
    #[must_use]
    pub fn frame_rate(&self) -> Option<(u32, u32)> {
        self.timing.filter(|timing| timing.fixed).and_then(Timing::frame_rate)
    }

    /// Frames per second as a fraction, also if the rate may vary: then it is the encoder's nominal one.
    #[must_use]
    pub fn nominal_frame_rate(&self) -> Option<(u32, u32)> {
        self.timing.and_then(Timing::frame_rate)
    }

    /// How many frames may stand before one that is shown earlier; `Some(0)`: none is reordered, there are
    /// no B-frames that matter. `None`: the stream does not say.
    #[must_use]
    pub fn max_reorder_frames(&self) -> Option<u32> {
        const BASELINE: u8 = 66;
        if self.pic_order_count_type == 2 || self.profile == BASELINE {
            return Some(0);
        }
        self.num_reorder_frames
    }

    /// The CODECS value (RFC 6381, 3.3), such as `avc1.64001f`.
    #[must_use]
    pub fn codec_string(&self) -> String {
        super::codec_string(self.profile, self.compatibility, self.level)
    }

    fn required(bits: &mut Bits<'_>) -> Result<Self, Error> {
        let header = Error::Malformed("its header");
        let profile = byte(bits, 8).ok_or(header)?;
        let compatibility = byte(bits, 8).ok_or(header)?;
        let level = byte(bits, 8).ok_or(header)?;
        let _id = bits.ue().ok_or(header)?;
        let (chroma_format, separate_planes, bit_depth) = if has_chroma_format(profile) {
            chroma(bits).ok_or(Error::Malformed("the chroma format"))?
        } else {
            (1, false, 8)
        };
        let order = Error::Malformed("the picture order count");
        let _log2_max_frame_num = bits.ue().ok_or(order)?;
        let pic_order_count_type = pic_order_count(bits).ok_or(order)?;
        let size = Error::Malformed("the picture size");
        let max_ref_frames = bits.ue().ok_or(size)?;
        let _gaps_allowed = bits.flag().ok_or(size)?;
        let width_mbs = u64::from(bits.ue().ok_or(size)?) + 1;
        let height_units = u64::from(bits.ue().ok_or(size)?) + 1;
        let frames_only = bits.flag().ok_or(size)?;
        if !frames_only {
            let _adaptive = bits.flag().ok_or(size)?;
        }
        let _direct_8x8 = bits.flag().ok_or(size)?;
        let field_factor = if frames_only { 1 } else { 2 };
        let crop = if bits.flag().ok_or(size)? { cropping(bits).ok_or(size)? } else { [0; 4] };
        let [left, right, top, bottom] = crop.map(u64::from);
        let subsampled = |formats: &[u8]| !separate_planes && formats.contains(&chroma_format);
        let unit_x = if subsampled(&[1, 2]) { 2 } else { 1 };
        let unit_y = field_factor * if subsampled(&[1]) { 2 } else { 1 };
        let (coded_width, coded_height) = (width_mbs * 16, height_units * 16 * field_factor);
        let width = coded_width.saturating_sub(unit_x * (left + right));
        let height = coded_height.saturating_sub(unit_y * (top + bottom));
        let side = |pixels: u64| u32::try_from(pixels).ok().filter(|side| (1..=MAX_SIDE).contains(side));
        let bad_size = Error::Size { width, height };
        Ok(Self {
            profile,
            compatibility,
            level,
            chroma_format,
            bit_depth,
            width: side(width).ok_or(bad_size)?,
            height: side(height).ok_or(bad_size)?,
            interlaced: !frames_only,
            max_ref_frames,
            sample_aspect_ratio: None,
            pic_order_count_type,
            timing: None,
            num_reorder_frames: None,
        })
    }

    /// Annex E.1.1. `None` where it breaks off; what was read until then stays.
    fn vui(&mut self, bits: &mut Bits<'_>) -> Option<()> {
        if !bits.flag()? {
            return None;
        }
        if bits.flag()? {
            self.sample_aspect_ratio = aspect_ratio(bits)?;
        }
        if bits.flag()? {
            let _overscan_appropriate = bits.flag()?;
        }
        if bits.flag()? {
            let _format_and_range = bits.bits(4)?;
            if bits.flag()? {
                let _primaries_transfer_matrix = bits.bits(24)?;
            }
        }
        if bits.flag()? {
            let _chroma_top = bits.ue()?;
            let _chroma_bottom = bits.ue()?;
        }
        if bits.flag()? {
            let (units_in_tick, time_scale) = (bits.bits(32)?, bits.bits(32)?);
            self.timing = Some(Timing { units_in_tick, time_scale, fixed: bits.flag()? });
        }
        let nal_hrd = bits.flag()?;
        if nal_hrd {
            skip_hrd(bits)?;
        }
        let vcl_hrd = bits.flag()?;
        if vcl_hrd {
            skip_hrd(bits)?;
        }
        if nal_hrd || vcl_hrd {
            let _low_delay = bits.flag()?;
        }
        let _pic_struct = bits.flag()?;
        if bits.flag()? {
            let _motion_over_boundaries = bits.flag()?;
            for _ in 0..4 {
                // Bytes and bits per picture, lengths of motion vectors.
                bits.ue()?;
            }
            self.num_reorder_frames = Some(bits.ue()?);
        }
        Some(())
    }
}

impl Timing {
    /// A frame lasts two ticks: they count fields (E.2.1).
    fn frame_rate(self) -> Option<(u32, u32)> {
        let seconds = u64::from(self.units_in_tick) * 2;
        let frames = u64::from(self.time_scale);
        let common = gcd(frames, seconds);
        let frames = u32::try_from(frames.checked_div(common)?).ok()?;
        let seconds = u32::try_from(seconds.checked_div(common)?).ok()?;
        (frames > 0 && seconds > 0).then_some((frames, seconds))
    }
}

fn gcd(mut a: u64, mut b: u64) -> u64 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}

fn byte(bits: &mut Bits<'_>, count: u32) -> Option<u8> {
    bits.bits(count).and_then(|value| u8::try_from(value).ok())
}

/// The profiles that carry a chroma format (7.3.2.1.1).
fn has_chroma_format(profile: u8) -> bool {
    matches!(profile, 100 | 110 | 122 | 244 | 44 | 83 | 86 | 118 | 128 | 138 | 139 | 134 | 135)
}

fn chroma(bits: &mut Bits<'_>) -> Option<(u8, bool, u8)> {
    let format = u8::try_from(bits.ue()?).ok().filter(|format| *format <= 3)?;
    let separate_planes = format == 3 && bits.flag()?;
    let bit_depth = u8::try_from(bits.ue()?).ok().filter(|extra| *extra <= 6)? + 8;
    let _chroma_bit_depth = bits.ue()?;
    let _transform_bypass = bits.flag()?;
    if bits.flag()? {
        for index in 0..if format == 3 { 12 } else { 8 } {
            if bits.flag()? {
                skip_scaling_list(bits, if index < 6 { 16 } else { 64 })?;
            }
        }
    }
    Some((format, separate_planes, bit_depth))
}

fn skip_scaling_list(bits: &mut Bits<'_>, len: usize) -> Option<()> {
    let mut last = 8;
    for _ in 0..len {
        let next = bits.se()?.wrapping_add(last).rem_euclid(256);
        if next == 0 {
            break;
        }
        last = next;
    }
    Some(())
}

fn pic_order_count(bits: &mut Bits<'_>) -> Option<u8> {
    let kind = u8::try_from(bits.ue()?).ok().filter(|kind| *kind <= 2)?;
    match kind {
        0 => {
            bits.ue()?;
        }
        1 => {
            let _delta_always_zero = bits.flag()?;
            bits.se()?;
            bits.se()?;
            // At most 255 by the standard; the bits run out before a greater number could cost anything.
            for _ in 0..bits.ue()?.min(255) {
                bits.se()?;
            }
        }
        _ => {}
    }
    Some(kind)
}

fn cropping(bits: &mut Bits<'_>) -> Option<[u32; 4]> {
    Some([bits.ue()?, bits.ue()?, bits.ue()?, bits.ue()?])
}

fn aspect_ratio(bits: &mut Bits<'_>) -> Option<Option<(u32, u32)>> {
    /// Table E-1, from index 1.
    const RATIOS: [(u32, u32); 16] = [
        (1, 1),
        (12, 11),
        (10, 11),
        (16, 11),
        (40, 33),
        (24, 11),
        (20, 11),
        (32, 11),
        (80, 33),
        (18, 11),
        (15, 11),
        (64, 33),
        (160, 99),
        (4, 3),
        (3, 2),
        (2, 1),
    ];
    const EXTENDED: u32 = 255;
    let index = bits.bits(8)?;
    if index == EXTENDED {
        let (width, height) = (bits.bits(16)?, bits.bits(16)?);
        return Some((width > 0 && height > 0).then_some((width, height)));
    }
    let index = usize::try_from(index).ok()?;
    Some(index.checked_sub(1).and_then(|index| RATIOS.get(index)).copied())
}

/// E.1.2.
fn skip_hrd(bits: &mut Bits<'_>) -> Option<()> {
    let count = bits.ue()?;
    if count > 31 {
        return None;
    }
    bits.bits(8)?;
    for _ in 0..=count {
        bits.ue()?;
        bits.ue()?;
        bits.flag()?;
    }
    bits.bits(20)?;
    Some(())
}

/// A NAL unit's bytes without those that keep start codes from appearing in it (7.4.1.1).
pub(super) struct Unescaped<'a> {
    bytes: std::slice::Iter<'a, u8>,
    zeros: usize,
}

impl<'a> Unescaped<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes: bytes.iter(), zeros: 0 }
    }
}

impl Iterator for Unescaped<'_> {
    type Item = u8;

    fn next(&mut self) -> Option<u8> {
        let mut byte = *self.bytes.next()?;
        if self.zeros >= 2 && byte == 3 {
            self.zeros = 0;
            byte = *self.bytes.next()?;
        }
        self.zeros = if byte == 0 { self.zeros + 1 } else { 0 };
        Some(byte)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(hex: &str) -> Result<Sps, Error> {
        let digits: Vec<_> =
            hex.chars().map(|digit| u8::try_from(digit.to_digit(16).unwrap()).unwrap()).collect();
        let bytes: Vec<_> = digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect();
        Sps::parse(&bytes)
    }

    /// `ffmpeg -f lavfi -i testsrc2=s=SIZE:r=RATE -c:v libx264 -preset ultrafast` (5.1) with the options named.
    #[test]
    fn what_x264_writes() {
        // -profile:v baseline
        let sps = parse("6742c01fda014016ec0440000003004000000f03c60ca8").unwrap();
        assert_eq!((sps.width, sps.height, sps.codec_string().as_str()), (1280, 720, "avc1.42c01f"));
        assert_eq!((sps.frame_rate(), sps.nominal_frame_rate()), (None, Some((30, 1))));
        assert_eq!((sps.max_reorder_frames(), sps.sample_aspect_ratio), (Some(0), Some((1, 1))));
        // A size that is no multiple of 16: cropped.
        let sps = parse("6742c01eda0360f79bc044000003000400000300c83c58ba80").unwrap();
        assert_eq!((sps.width, sps.height, sps.nominal_frame_rate()), (854, 480, Some((25, 1))));
        // -x264-params force-cfr=1:bframes=3:b-pyramid=none
        let sps = parse("674d4028e980f0044fcb808800001f480007530478c189c0").unwrap();
        assert_eq!((sps.width, sps.height, sps.frame_rate()), (1920, 1080, Some((30_000, 1_001))));
        assert_eq!(sps.max_reorder_frames(), Some(1));
        // force-cfr=1:nal-hrd=cbr: hypothetical reference decoder parameters before the restrictions.
        let sps = parse("6742c01fda0280bfe5c044000003000400000301e392000c3500186b934a01e30654").unwrap();
        assert_eq!((sps.width, sps.height, sps.frame_rate()), (640, 360, Some((60, 1))));
        // interlaced=1:force-cfr=1
        let sps = parse("674d4028f403c0227ef011000003000100000300329f162ea0").unwrap();
        assert_eq!((sps.width, sps.height, sps.frame_rate()), (1920, 1080, Some((25, 1))));
        assert!(sps.interlaced);
        // -pix_fmt yuv422p10le
        let sps = parse("677a001eb6cb405017fc4e0220000003002000000781e2c5d4").unwrap();
        assert_eq!((sps.width, sps.height, sps.chroma_format, sps.bit_depth), (640, 360, 2, 10));
        // -pix_fmt yuv444p
        let sps = parse("67f4001e919680a42fe3e7c044000003000400000300f03c58ba80").unwrap();
        assert_eq!((sps.width, sps.height, sps.chroma_format, sps.bit_depth), (642, 362, 3, 8));
        // -vf setsar=64/45
        let sps = parse("6742c01eda02d049bff0040002d1000003000100000300320f162ea0").unwrap();
        assert_eq!((sps.width, sps.height, sps.sample_aspect_ratio), (720, 576, Some((64, 45))));
        // cqm=jvt:8x8dct=1
        let sps = parse("6764001eacb405017fcb8088000003000800000301e078b175").unwrap();
        assert_eq!((sps.width, sps.height, sps.profile), (640, 360, 100));
    }

    #[test]
    fn a_cut_behind_the_size_only_loses_the_rest() {
        let sps = parse("6742c01eda0360f79b").unwrap();
        assert_eq!((sps.width, sps.height, sps.nominal_frame_rate()), (854, 480, None));
        assert_eq!(sps.max_reorder_frames(), Some(0));
    }

    #[test]
    fn nonsense_is_named() {
        assert_eq!(parse("68ee"), Err(Error::UnitType(8)));
        assert_eq!(parse(""), Err(Error::Malformed("its head")));
        assert_eq!(parse("6742c0"), Err(Error::Malformed("its header")));
        assert_eq!(parse("6742c01eda0360"), Err(Error::Malformed("the picture size")));
        // One macroblock, all of whose width is cropped.
        assert_eq!(parse("6742c01edff13e"), Err(Error::Size { width: 0, height: 16 }));
    }
}
