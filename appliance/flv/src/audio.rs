//! The head of an audio tag: which codec, and what the rest of the tag is.
//!
//! Legacy tags (Adobe FLV 10.1, annex E.4.2) and enhanced ones with a FourCC (Enhanced RTMP v2, "Enhanced Audio").
//! Both kinds of AAC come out the same.

use std::fmt;

use bytes::Bytes;

use crate::cursor::Cursor;
use crate::video::skip_mod_ex;

/// Codec of an audio tag. Only [`Codec::Aac`] is understood further.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Codec {
    Aac,
    Mp3,
    Opus,
    Flac,
    Ac3,
    Eac3,
    Speex,
    LinearPcm,
    Adpcm,
    Nellymoser,
    G711ALaw,
    G711MuLaw,
    Other(u8),
    OtherFourCc([u8; 4]),
}

impl Codec {
    /// By the number in legacy tags and in `onMetaData`.
    #[must_use]
    pub fn from_id(id: u8) -> Self {
        match id {
            0 | 3 => Self::LinearPcm,
            1 => Self::Adpcm,
            2 | 14 => Self::Mp3,
            4..=6 => Self::Nellymoser,
            7 => Self::G711ALaw,
            8 => Self::G711MuLaw,
            10 => Self::Aac,
            11 => Self::Speex,
            // In no specification, but what some encoders send.
            13 => Self::Opus,
            other => Self::Other(other),
        }
    }

    #[must_use]
    pub fn from_four_cc(four_cc: [u8; 4]) -> Self {
        match &four_cc {
            b"mp4a" => Self::Aac,
            b".mp3" => Self::Mp3,
            b"Opus" => Self::Opus,
            b"fLaC" => Self::Flac,
            b"ac-3" => Self::Ac3,
            b"ec-3" => Self::Eac3,
            _ => Self::OtherFourCc(four_cc),
        }
    }
}

impl fmt::Display for Codec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Aac => "AAC",
            Self::Mp3 => "MP3",
            Self::Opus => "Opus",
            Self::Flac => "FLAC",
            Self::Ac3 => "AC-3",
            Self::Eac3 => "E-AC-3",
            Self::Speex => "Speex",
            Self::LinearPcm => "linear PCM",
            Self::Adpcm => "ADPCM",
            Self::Nellymoser => "Nellymoser",
            Self::G711ALaw => "G.711 A-law",
            Self::G711MuLaw => "G.711 mu-law",
            Self::Other(id) => return write!(f, "audio codec {id}"),
            Self::OtherFourCc(four_cc) => return write!(f, "audio codec '{}'", four_cc.escape_ascii()),
        })
    }
}

/// An audio tag, parsed as far as its codec's configuration or its frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Packet {
    pub codec: Codec,
    pub body: Body,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Body {
    /// The codec's configuration: for AAC see [`crate::aac::Config`].
    SequenceHeader(Bytes),
    /// One frame: for AAC a raw data block without ADTS header.
    Frame(Bytes),
    EndOfSequence,
    /// Which speaker each channel is for.
    ChannelLayout(Bytes),
    /// Several tracks in one message. Which codecs is told by `Packet::codec` only if all tracks share one.
    Multitrack(Bytes),
}

/// Why an audio tag makes no sense.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    #[error("audio tag cut off in {0}")]
    Truncated(&'static str),
    #[error("audio tag: {codec} packet type {packet_type} is unknown")]
    PacketType { codec: Codec, packet_type: u8 },
}

/// The format number that says that a FourCC follows.
const ENHANCED: u8 = 9;

/// Parses an audio tag. The parts of the result are slices of `data`.
///
/// # Errors
/// When the head is cut off or has a packet type that the specification does not know.
pub fn parse(data: &Bytes) -> Result<Packet, Error> {
    let mut input = Cursor::new(data);
    let head = input.u8().ok_or(Error::Truncated("its first byte"))?;
    if head >> 4 == ENHANCED {
        return enhanced(data, &mut input, head & 0x0f);
    }
    let codec = Codec::from_id(head >> 4);
    if codec != Codec::Aac {
        return Ok(Packet { codec, body: Body::Frame(rest(data, &input)) });
    }
    let body = match input.u8().ok_or(Error::Truncated("the packet type"))? {
        0 => Body::SequenceHeader(rest(data, &input)),
        1 => Body::Frame(rest(data, &input)),
        packet_type => return Err(Error::PacketType { codec, packet_type }),
    };
    Ok(Packet { codec, body })
}

fn enhanced(data: &Bytes, input: &mut Cursor<'_>, mut packet_type: u8) -> Result<Packet, Error> {
    while packet_type == packet::MOD_EX {
        packet_type = skip_mod_ex(input).ok_or(Error::Truncated("an extension"))?;
    }
    if packet_type == packet::MULTITRACK {
        let head = input.u8().ok_or(Error::Truncated("the kind of multitrack"))?;
        let many_codecs = head >> 4 == 2;
        let codec = if many_codecs { Codec::Other(ENHANCED) } else { four_cc(input)? };
        return Ok(Packet { codec, body: Body::Multitrack(rest(data, input)) });
    }
    let codec = four_cc(input)?;
    let body = match packet_type {
        packet::SEQUENCE_START => Body::SequenceHeader(rest(data, input)),
        packet::CODED_FRAMES => Body::Frame(rest(data, input)),
        packet::SEQUENCE_END => Body::EndOfSequence,
        packet::MULTICHANNEL_CONFIG => Body::ChannelLayout(rest(data, input)),
        packet_type => return Err(Error::PacketType { codec, packet_type }),
    };
    Ok(Packet { codec, body })
}

/// `AudioPacketType` of Enhanced RTMP.
mod packet {
    pub(super) const SEQUENCE_START: u8 = 0;
    pub(super) const CODED_FRAMES: u8 = 1;
    pub(super) const SEQUENCE_END: u8 = 2;
    pub(super) const MULTICHANNEL_CONFIG: u8 = 4;
    pub(super) const MULTITRACK: u8 = 5;
    pub(super) const MOD_EX: u8 = 7;
}

fn four_cc(input: &mut Cursor<'_>) -> Result<Codec, Error> {
    input.four_cc().map(Codec::from_four_cc).ok_or(Error::Truncated("the FourCC"))
}

fn rest(data: &Bytes, input: &Cursor<'_>) -> Bytes {
    data.slice(input.offset()..)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(bytes: &'static [u8]) -> Packet {
        parse(&Bytes::from_static(bytes)).unwrap()
    }

    #[test]
    fn legacy_and_enhanced_aac_come_out_alike() {
        let config = Body::SequenceHeader(Bytes::from_static(b"\x12\x10"));
        assert_eq!(parsed(b"\xaf\x00\x12\x10"), Packet { codec: Codec::Aac, body: config.clone() });
        assert_eq!(parsed(b"\x90mp4a\x12\x10"), Packet { codec: Codec::Aac, body: config });
        let frame = Body::Frame(Bytes::from_static(b"raw"));
        assert_eq!(parsed(b"\xaf\x01raw"), Packet { codec: Codec::Aac, body: frame.clone() });
        assert_eq!(parsed(b"\x91mp4araw"), Packet { codec: Codec::Aac, body: frame });
    }

    #[test]
    fn other_codecs_are_named() {
        for (bytes, name) in [
            (&b"\x2fx"[..], "MP3"),
            (b"\xb2x", "Speex"),
            (b"\x72x", "G.711 A-law"),
            (b"\x91Opusx", "Opus"),
            (b"\x95\x10fLaCx", "FLAC"),
            (b"\x97\x02\0\0\x09\x01ac-3x", "AC-3"),
            (b"\xcfx", "audio codec 12"),
            (b"\x91\0\0\0\0x", "audio codec '\\x00\\x00\\x00\\x00'"),
        ] {
            assert_eq!(parsed(bytes).codec.to_string(), name);
        }
    }

    #[test]
    fn cut_off_and_unknown_heads_are_errors() {
        for bytes in [&b""[..], b"\xaf", b"\x91Opu", b"\x95", b"\x97\x05"] {
            assert!(matches!(parse(&Bytes::from_static(bytes)), Err(Error::Truncated(_))), "{bytes:?}");
        }
        assert_eq!(
            parse(&Bytes::from_static(b"\xaf\x07")),
            Err(Error::PacketType { codec: Codec::Aac, packet_type: 7 })
        );
    }
}
