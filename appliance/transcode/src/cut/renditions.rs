//! What the playlists will say of each rendition, and the sample entries of the initialisation sections.

use nodi_protocol::{Rendition, Track};

use super::grid::{FrameRate, NS, scale_up};
use super::output::codec_error;
use super::{AudioTrack, Error, VideoCodec, VideoTrack};
use crate::cmaf::{self, AudioEntry, SampleEntry, VideoEntry};

/// What an AAC encoder may save up for one frame, per channel (ISO/IEC 14496-3 4.5.3.1).
const AAC_RESERVOIR_BITS: u64 = 6144;

pub(super) fn video(
    track: &VideoTrack,
    rate: FrameRate,
    segment_ns: u64,
    parts_per_segment: u64,
) -> Result<(Rendition, SampleEntry), Error> {
    let VideoCodec::Avc(record) = &track.codec;
    let size = |value: u32| {
        u16::try_from(value).map_err(|_| Error::Codec {
            rendition: track.name.clone(),
            reason: format!("{}x{} is beyond 65535", track.width, track.height),
        })
    };
    let entry = SampleEntry::Avc(VideoEntry {
        record: record.clone(),
        width: size(track.width)?,
        height: size(track.height)?,
        peak_bitrate: track.peak_bitrate,
        bitrate: track.bitrate,
        buffer_bits: track.vbv_bits,
    });
    let codecs = cmaf::codecs(&entry).map_err(|error| codec_error(&track.name, &error))?;
    let samples = scale_up(segment_ns, u64::from(rate.num), NS * u64::from(rate.den));
    let boxes = rate_of_boxes(samples, parts_per_segment, segment_ns);
    // A segment holds what the peak rate brings, and at most a full buffer on top.
    let burst = scale_up(u64::from(track.vbv_bits), NS, segment_ns);
    let rendition = Rendition {
        name: track.name.clone(),
        track: Track::Video {
            codecs,
            width: track.width,
            height: track.height,
            frame_rate: (rate.num, rate.den),
        },
        bandwidth: sum(track.peak_bitrate.max(track.bitrate), burst + boxes),
        average_bandwidth: sum(track.bitrate, boxes),
    };
    Ok((rendition, entry))
}

pub(super) fn audio(
    track: &AudioTrack,
    segment_ns: u64,
    parts_per_segment: u64,
) -> Result<(Rendition, SampleEntry), Error> {
    let bad = |reason: String| Error::Codec { rendition: track.name.clone(), reason };
    if track.sample_rate == 0 || track.frame_len == 0 || track.channels == 0 {
        return Err(bad("no sample rate, frame length or channels".to_owned()));
    }
    let channels = u16::try_from(track.channels).map_err(|_| bad(format!("{} channels", track.channels)))?;
    let entry = SampleEntry::Aac(AudioEntry {
        config: track.config.clone(),
        sample_rate: track.sample_rate,
        channels,
        bitrate: track.bitrate,
    });
    let codecs = cmaf::codecs(&entry).map_err(|error| codec_error(&track.name, &error))?;
    let samples = scale_up(segment_ns, u64::from(track.sample_rate), NS * u64::from(track.frame_len));
    let boxes = rate_of_boxes(samples, parts_per_segment, segment_ns);
    let burst = scale_up(AAC_RESERVOIR_BITS * u64::from(track.channels), NS, segment_ns);
    let rendition = Rendition {
        name: track.name.clone(),
        track: Track::Audio { codecs, channels: track.channels, sample_rate: track.sample_rate },
        bandwidth: sum(track.bitrate, burst + boxes),
        average_bandwidth: sum(track.bitrate, boxes),
    };
    Ok((rendition, entry))
}

/// In bit/s.
fn rate_of_boxes(samples: u64, parts: u64, segment_ns: u64) -> u64 {
    let per_part = u32::try_from(samples.div_ceil(parts.max(1))).unwrap_or(u32::MAX);
    scale_up(8 * parts * cmaf::overhead(per_part), NS, segment_ns)
}

fn sum(rate: u32, more: u64) -> u32 {
    rate.saturating_add(u32::try_from(more).unwrap_or(u32::MAX))
}
