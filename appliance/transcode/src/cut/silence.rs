//! Silent AAC frames, to stand where the publisher sent nothing.
//!
//! A raw data block of single-channel, channel-pair and low-frequency elements without spectral data decodes to
//! silence at any sample rate and under SBR and PS. Made with
//! `ffmpeg -f lavfi -i anullsrc=cl=LAYOUT -t 0.3 -c:a aac -f adts`, third frame, without the ADTS header.

use bytes::Bytes;

/// By channel configuration (ISO/IEC 14496-3, table 1.19), from 1.
const FRAMES: [&[u8]; 6] = [
    &[0x01, 0x18, 0x20, 0x07],
    &[0x21, 0x10, 0x04, 0x60, 0x8c, 0x1c],
    &[0x01, 0x18, 0x20, 0x01, 0x08, 0x80, 0x23, 0x04, 0x60, 0xe0],
    &[0x01, 0x18, 0x20, 0x01, 0x08, 0x80, 0x23, 0x04, 0x60, 0x03, 0x18, 0x20, 0x07],
    &[0x01, 0x18, 0x20, 0x01, 0x08, 0x80, 0x23, 0x04, 0x60, 0x23, 0x10, 0x04, 0x60, 0x8c, 0x1c],
    &[
        0x01, 0x18, 0x20, 0x01, 0x08, 0x80, 0x23, 0x04, 0x60, 0x23, 0x10, 0x04, 0x60, 0x8c, 0x0c, 0x23, 0x00,
        0x00, 0xe0,
    ],
];

/// Object type AAC LC: the syntax of the frames above.
const AAC_LC: u8 = 2;

/// The silent frame for an AudioSpecificConfig; `None` where there is no canned one, and a gap has to stay a gap.
pub(super) fn frame(config: &[u8]) -> Option<Bytes> {
    let config = nodi_flv::aac::Config::parse(config).ok()?;
    if config.object_type != AAC_LC {
        return None;
    }
    let index = usize::from(config.channels).checked_sub(1)?;
    FRAMES.get(index).map(|frame| Bytes::from_static(frame))
}

#[cfg(test)]
mod tests {
    #[test]
    fn plain_lc_has_silence() {
        assert_eq!(super::frame(&[0x12, 0x10]).unwrap().len(), 6);
        assert_eq!(super::frame(&[0x12, 0x08]).unwrap().len(), 4);
        // AAC Main, and no configuration at all.
        assert_eq!(super::frame(&[0x0a, 0x10]), None);
        assert_eq!(super::frame(&[]), None);
    }
}
