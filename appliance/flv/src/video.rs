//! The head of a video tag: which codec, and what the rest of the tag is.
//!
//! Legacy tags (Adobe FLV 10.1, annex E.4.3) and enhanced ones with a FourCC (Enhanced RTMP v2, "Enhanced Video").
//! Both kinds of H.264 come out the same.

use std::fmt;

use bytes::Bytes;

use crate::cursor::Cursor;

/// Codec of a video tag. Only [`Codec::Avc`] is understood further.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Codec {
    Avc,
    Hevc,
    Vvc,
    Av1,
    Vp8,
    Vp9,
    SorensonH263,
    ScreenVideo,
    Vp6,
    Other(u8),
    OtherFourCc([u8; 4]),
}

impl Codec {
    /// By the number in legacy tags and in `onMetaData`.
    #[must_use]
    pub fn from_id(id: u8) -> Self {
        match id {
            2 => Self::SorensonH263,
            3 | 6 => Self::ScreenVideo,
            4 | 5 => Self::Vp6,
            7 => Self::Avc,
            // In no specification, but what patched encoders have sent for years.
            12 => Self::Hevc,
            13 => Self::Av1,
            other => Self::Other(other),
        }
    }

    #[must_use]
    pub fn from_four_cc(four_cc: [u8; 4]) -> Self {
        match &four_cc {
            b"avc1" => Self::Avc,
            b"hvc1" | b"hev1" => Self::Hevc,
            b"vvc1" => Self::Vvc,
            b"av01" => Self::Av1,
            b"vp08" => Self::Vp8,
            b"vp09" => Self::Vp9,
            _ => Self::OtherFourCc(four_cc),
        }
    }
}

impl fmt::Display for Codec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Avc => "H.264",
            Self::Hevc => "HEVC",
            Self::Vvc => "VVC",
            Self::Av1 => "AV1",
            Self::Vp8 => "VP8",
            Self::Vp9 => "VP9",
            Self::SorensonH263 => "Sorenson H.263",
            Self::ScreenVideo => "Screen Video",
            Self::Vp6 => "VP6",
            Self::Other(id) => return write!(f, "video codec {id}"),
            Self::OtherFourCc(four_cc) => return write!(f, "video codec '{}'", four_cc.escape_ascii()),
        })
    }
}

/// A video tag, parsed as far as its codec's configuration or its frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Packet {
    pub codec: Codec,
    pub body: Body,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Body {
    /// The codec's configuration record: for H.264 see [`crate::avc::DecoderConfig`].
    SequenceHeader(Bytes),
    Frame {
        keyframe: bool,
        /// Presentation time minus decoding time in milliseconds, 24 bits, signed.
        composition_time_ms: i32,
        /// For H.264: length-prefixed NAL units, see [`crate::avc::NalUnits`].
        data: Bytes,
    },
    EndOfSequence,
    /// Colour information and the like: AMF0 values.
    Metadata(Bytes),
    /// A seek mark; no picture.
    Command,
    /// Several tracks in one message. Which codecs is told by `Packet::codec` only if all tracks share one.
    Multitrack(Bytes),
}

/// Why a video tag makes no sense.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    #[error("video tag cut off in {0}")]
    Truncated(&'static str),
    #[error("video tag: {codec} packet type {packet_type} is unknown")]
    PacketType { codec: Codec, packet_type: u8 },
}

const KEY_FRAME: u8 = 1;
/// A key frame that a server made up; no encoder sends it, it still is one.
const GENERATED_KEY_FRAME: u8 = 4;
const COMMAND_FRAME: u8 = 5;

/// Parses a video tag. The parts of the result are slices of `data`.
///
/// # Errors
/// When the head is cut off or has a packet type that the specification does not know.
pub fn parse(data: &Bytes) -> Result<Packet, Error> {
    let mut input = Cursor::new(data);
    let head = input.u8().ok_or(Error::Truncated("its first byte"))?;
    let frame_type = head >> 4 & 7;
    if head & 0x80 != 0 {
        enhanced(data, &mut input, frame_type, head & 0x0f)
    } else {
        legacy(data, &mut input, frame_type, Codec::from_id(head & 0x0f))
    }
}

fn legacy(data: &Bytes, input: &mut Cursor<'_>, frame_type: u8, codec: Codec) -> Result<Packet, Error> {
    if frame_type == COMMAND_FRAME {
        return Ok(Packet { codec, body: Body::Command });
    }
    // These two borrowed AVC's layout when they were squeezed into legacy tags; the rest is bare frames.
    if !matches!(codec, Codec::Avc | Codec::Hevc | Codec::Av1) {
        return Ok(Packet { codec, body: frame(data, input, frame_type, 0) });
    }
    let packet_type = input.u8().ok_or(Error::Truncated("the packet type"))?;
    let composition_time_ms = input.i24().ok_or(Error::Truncated("the composition time"))?;
    let body = match packet_type {
        0 => Body::SequenceHeader(rest(data, input)),
        1 => frame(data, input, frame_type, composition_time_ms),
        2 => Body::EndOfSequence,
        packet_type => return Err(Error::PacketType { codec, packet_type }),
    };
    Ok(Packet { codec, body })
}

fn enhanced(
    data: &Bytes,
    input: &mut Cursor<'_>,
    frame_type: u8,
    mut packet_type: u8,
) -> Result<Packet, Error> {
    while packet_type == packet::MOD_EX {
        packet_type = skip_mod_ex(input).ok_or(Error::Truncated("an extension"))?;
    }
    if packet_type != packet::METADATA && frame_type == COMMAND_FRAME {
        return Ok(Packet { codec: Codec::Other(0), body: Body::Command });
    }
    if packet_type == packet::MULTITRACK {
        let head = input.u8().ok_or(Error::Truncated("the kind of multitrack"))?;
        let many_codecs = head >> 4 == 2;
        let codec = if many_codecs { Codec::Other(0) } else { four_cc(input)? };
        return Ok(Packet { codec, body: Body::Multitrack(rest(data, input)) });
    }
    let codec = four_cc(input)?;
    let body = match packet_type {
        packet::SEQUENCE_START | packet::MPEG2_TS_SEQUENCE_START => Body::SequenceHeader(rest(data, input)),
        packet::CODED_FRAMES => {
            let has_composition_time = matches!(codec, Codec::Avc | Codec::Hevc | Codec::Vvc);
            let composition_time_ms = if has_composition_time {
                input.i24().ok_or(Error::Truncated("the composition time"))?
            } else {
                0
            };
            frame(data, input, frame_type, composition_time_ms)
        }
        packet::CODED_FRAMES_X => frame(data, input, frame_type, 0),
        packet::SEQUENCE_END => Body::EndOfSequence,
        packet::METADATA => Body::Metadata(rest(data, input)),
        packet_type => return Err(Error::PacketType { codec, packet_type }),
    };
    Ok(Packet { codec, body })
}

/// `VideoPacketType` of Enhanced RTMP.
mod packet {
    pub(super) const SEQUENCE_START: u8 = 0;
    pub(super) const CODED_FRAMES: u8 = 1;
    pub(super) const SEQUENCE_END: u8 = 2;
    /// Coded frames whose composition time is 0 and left out.
    pub(super) const CODED_FRAMES_X: u8 = 3;
    pub(super) const METADATA: u8 = 4;
    pub(super) const MPEG2_TS_SEQUENCE_START: u8 = 5;
    pub(super) const MULTITRACK: u8 = 6;
    pub(super) const MOD_EX: u8 = 7;
}

/// Skips one extension of the packet (nanoseconds of the timestamp) and gives the packet type after it.
pub(crate) fn skip_mod_ex(input: &mut Cursor<'_>) -> Option<u8> {
    let size = match usize::from(input.u8()?) + 1 {
        256 => usize::from(input.u16()?) + 1,
        size => size,
    };
    input.take(size)?;
    Some(input.u8()? & 0x0f)
}

fn four_cc(input: &mut Cursor<'_>) -> Result<Codec, Error> {
    input.four_cc().map(Codec::from_four_cc).ok_or(Error::Truncated("the FourCC"))
}

fn frame(data: &Bytes, input: &Cursor<'_>, frame_type: u8, composition_time_ms: i32) -> Body {
    let keyframe = frame_type == KEY_FRAME || frame_type == GENERATED_KEY_FRAME;
    Body::Frame { keyframe, composition_time_ms, data: rest(data, input) }
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

    fn frame_of(codec: Codec, keyframe: bool, composition_time_ms: i32, data: &'static [u8]) -> Packet {
        Packet { codec, body: Body::Frame { keyframe, composition_time_ms, data: Bytes::from_static(data) } }
    }

    #[test]
    fn legacy_h264() {
        assert_eq!(
            parsed(b"\x17\x00\x00\x00\x00config"),
            Packet { codec: Codec::Avc, body: Body::SequenceHeader(Bytes::from_static(b"config")) }
        );
        assert_eq!(parsed(b"\x17\x01\x00\x00\x42nal"), frame_of(Codec::Avc, true, 66, b"nal"));
        assert_eq!(parsed(b"\x27\x01\xff\xff\xfenal"), frame_of(Codec::Avc, false, -2, b"nal"));
        assert_eq!(parsed(b"\x17\x02\x00\x00\x00").body, Body::EndOfSequence);
        assert_eq!(parsed(b"\x57\x00").body, Body::Command);
    }

    #[test]
    fn enhanced_tags_are_named_and_cut_alike() {
        assert_eq!(
            parsed(b"\x90hvc1config"),
            Packet { codec: Codec::Hevc, body: Body::SequenceHeader(Bytes::from_static(b"config")) }
        );
        assert_eq!(parsed(b"\x91avc1\x00\x00\x21nal"), frame_of(Codec::Avc, true, 33, b"nal"));
        assert_eq!(parsed(b"\xa3hvc1nal"), frame_of(Codec::Hevc, false, 0, b"nal"));
        assert_eq!(parsed(b"\x91av01obu"), frame_of(Codec::Av1, true, 0, b"obu"));
        assert_eq!(parsed(b"\xd4av01\x02\0\0").body, Body::Metadata(Bytes::from_static(b"\x02\0\0")));
        assert_eq!(parsed(b"\x96\x00vp09x").codec, Codec::Vp9);
        // An extension of three bytes (nanoseconds) before a coded frame.
        assert_eq!(parsed(b"\x97\x02\x00\x00\x09\x01vp09x"), frame_of(Codec::Vp9, true, 0, b"x"));
    }

    #[test]
    fn other_codecs_are_named() {
        for (head, name) in [(b"\x12x", "Sorenson H.263"), (b"\x14x", "VP6"), (b"\x1fx", "video codec 15")] {
            assert_eq!(parsed(head).codec.to_string(), name);
        }
        assert_eq!(parsed(b"\x1c\x00\x00\x00\x00x").codec.to_string(), "HEVC");
        assert_eq!(parsed(b"\x91a\"\nzx").codec.to_string(), "video codec 'a\\\"\\nz'");
    }

    #[test]
    fn cut_off_and_unknown_heads_are_errors() {
        for bytes in [&b""[..], b"\x17", b"\x17\x01\0\0", b"\x90hvc", b"\x97\xff\xff", b"\x91avc1\0", b"\x96"]
        {
            assert!(matches!(parse(&Bytes::from_static(bytes)), Err(Error::Truncated(_))), "{bytes:?}");
        }
        assert_eq!(
            parse(&Bytes::from_static(b"\x17\x09\0\0\0")),
            Err(Error::PacketType { codec: Codec::Avc, packet_type: 9 })
        );
    }
}
