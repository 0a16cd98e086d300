//! What goes into the cutter: descriptions of tracks, and encoded frames on one media clock.

use bytes::Bytes;
use nodi_protocol::RenditionName;

/// A decoder configuration record, as the sample entry carries it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum VideoCodec {
    /// AVCDecoderConfigurationRecord (ISO/IEC 14496-15 5.3.3): `codec_data` of `video/x-h264, stream-format=avc`.
    Avc(Bytes),
}

/// One rung.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VideoTrack {
    /// Stable over restarts: `1080p`.
    pub name: RenditionName,
    pub codec: VideoCodec,
    pub width: u32,
    pub height: u32,
    /// Mean rate of the encoder, in bit/s.
    pub bitrate: u32,
    /// Highest rate at which the encoder's rate buffer (VBV) fills, in bit/s.
    pub peak_bitrate: u32,
    /// Size of that buffer, in bits: what a segment may hold on top of the peak rate. 0 if there is none.
    pub vbv_bits: u32,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AudioTrack {
    pub name: RenditionName,
    /// AudioSpecificConfig (ISO/IEC 14496-3 1.6.2.1): `codec_data` of `audio/mpeg, mpegversion=4, stream-format=raw`.
    pub config: Bytes,
    /// Of the decoded sound, in Hz.
    pub sample_rate: u32,
    pub channels: u32,
    /// Samples per AAC frame at `sample_rate`: 1024 for LC, 2048 for HE.
    pub frame_len: u32,
    /// Mean rate, in bit/s.
    pub bitrate: u32,
}

/// All tracks between two discontinuities. At least one of video and audio.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tracks {
    /// Best first. All on one frame grid.
    pub video: Vec<VideoTrack>,
    /// Frames per second of the grid as a fraction, such as 30000/1001; not used without video.
    pub frame_rate: (u32, u32),
    pub audio: Option<AudioTrack>,
}

/// One encoded picture in decoding order. There are no B-frames: that is presentation order as well.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// Number on the constant-rate grid that all rungs share. Frame `i` is shown at media time `i / frame_rate`; the
    /// media clock's zero is the caller's choice and starts anew with [`super::Cutter::restart`].
    pub index: u64,
    /// For how many frames of the grid it is shown: 1, or 2 when the rung runs at half rate.
    pub duration: u32,
    /// An IDR picture: decoding can start here.
    pub keyframe: bool,
    /// NAL units with length prefixes as the codec configuration says; no parameter sets or delimiters needed.
    pub data: Bytes,
}

/// One raw AAC frame, without ADTS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AudioFrame {
    /// On the same media clock as the pictures, in nanoseconds; may be before its zero.
    pub pts_ns: i64,
    pub data: Bytes,
}
