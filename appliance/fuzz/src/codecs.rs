//! Codec headers: those of tags, H.264's and AAC's.

use bytes::Bytes;
use nodi_flv::avc::{self, DecoderConfig, NalUnits, Sps};
use nodi_flv::{aac, audio, video};

/// The first byte chooses the parser.
pub fn avc_config(bytes: &[u8]) {
    let Some((&mode, bytes)) = bytes.split_first() else { return };
    let data = Bytes::copy_from_slice(bytes);
    match mode % 5 {
        0 => {
            if let Ok(config) = DecoderConfig::parse(&data) {
                assert_eq!(config.codec_string().len(), "avc1.64001f".len());
                assert!(matches!(config.length_size, 1 | 2 | 4));
                check_sps(&config.stream);
            }
        }
        1 => {
            if let Ok(sps) = Sps::parse(bytes) {
                check_sps(&sps);
            }
        }
        2 => frame(bytes, mode),
        3 => {
            if let Ok(config) = aac::Config::parse(bytes) {
                assert!((1..=8).contains(&config.output_channels()));
                assert!((7_350..=96_000).contains(&config.output_sample_rate()));
                assert!(config.codec_string().starts_with("mp4a.40."));
                let _ = config.is_plain_lc();
            }
        }
        _ => {
            if let Ok(packet) = video::parse(&data) {
                assert!(!packet.codec.to_string().contains(char::is_control));
                if let video::Body::Frame { data, .. } = packet.body {
                    frame(&data, mode);
                }
            }
            if let Ok(packet) = audio::parse(&data) {
                assert!(!packet.codec.to_string().contains(char::is_control));
            }
        }
    }
}

fn frame(bytes: &[u8], mode: u8) {
    let length_size = [1, 2, 4][usize::from(mode / 5 % 3)];
    let mut len = 0;
    for unit in NalUnits::new(bytes, length_size) {
        let Ok(unit) = unit else { break };
        assert!(!unit.is_empty());
        len += unit.len() + usize::from(length_size);
    }
    assert!(len <= bytes.len());
    let _ = avc::picture_type(bytes, length_size);
}

fn check_sps(sps: &Sps) {
    assert!(sps.width > 0 && sps.height > 0);
    assert!(sps.width <= 16_384 && sps.height <= 16_384);
    if let Some((frames, seconds)) = sps.nominal_frame_rate() {
        assert!(frames > 0 && seconds > 0);
    }
    let _ = (sps.frame_rate(), sps.max_reorder_frames(), sps.codec_string());
}
