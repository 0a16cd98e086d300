//! Multivariant playlists: what a player can choose from.

use std::cmp::Reverse;
use std::fmt::{self, Write as _};

use super::uri;
use crate::{Rendition, Track};

/// EXT-X-INDEPENDENT-SEGMENTS in a multivariant playlist needs 6 (RFC 8216bis 8).
const VERSION: u32 = 6;
const AUDIO_GROUP: &str = "audio";
/// The variant that is listed first, where most players start before they have measured anything, is the best
/// one up to this rate, in bit/s: it starts quickly on nearly every line and is not an eyesore meanwhile.
const START_BANDWIDTH: u64 = 5_000_000;

/// The multivariant playlist as text. Audio renditions are one group that all video variants share; without
/// video every audio rendition is a variant of its own.
#[must_use]
pub fn render_multivariant(renditions: &[Rendition]) -> String {
    let mut text = String::with_capacity(256 + renditions.len() * 220);
    // Writing to a String cannot fail.
    let _ = write_multivariant(&mut text, renditions);
    text
}

fn write_multivariant(out: &mut String, renditions: &[Rendition]) -> fmt::Result {
    writeln!(out, "#EXTM3U\n#EXT-X-VERSION:{VERSION}\n#EXT-X-INDEPENDENT-SEGMENTS")?;
    let (video, audio): (Vec<_>, Vec<_>) = renditions.iter().partition(|rendition| rendition.is_video());
    if video.is_empty() {
        return audio.iter().try_for_each(|rendition| write_variant(out, rendition, &[]));
    }
    for (index, rendition) in audio.iter().enumerate() {
        let Track::Audio { channels, .. } = rendition.track else { continue };
        writeln!(
            out,
            "#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"{AUDIO_GROUP}\",NAME=\"{}\",DEFAULT={},AUTOSELECT=YES,\
             CHANNELS=\"{channels}\",URI=\"{}\"",
            rendition.name,
            if index == 0 { "YES" } else { "NO" },
            uri::playlist(&rendition.name),
        )?;
    }
    in_order(video).into_iter().try_for_each(|rendition| write_variant(out, rendition, &audio))
}

/// The start variant, then the others from the highest rate down.
fn in_order(mut video: Vec<&Rendition>) -> Vec<&Rendition> {
    video.sort_by_key(|rendition| Reverse(rendition.bandwidth));
    let start = video
        .iter()
        .position(|rendition| u64::from(rendition.bandwidth) <= START_BANDWIDTH)
        .unwrap_or(video.len().saturating_sub(1));
    if let Some(head) = video.get_mut(..=start) {
        head.rotate_right(1);
    }
    video
}

fn write_variant(out: &mut String, rendition: &Rendition, audio: &[&Rendition]) -> fmt::Result {
    // A player plays one rendition of the group: the dearest one bounds what the variant needs (4.4.6.2).
    let dearest = |rate: fn(&Rendition) -> u32| {
        u64::from(rate(rendition)) + u64::from(audio.iter().map(|audio| rate(audio)).max().unwrap_or(0))
    };
    write!(
        out,
        "#EXT-X-STREAM-INF:BANDWIDTH={},AVERAGE-BANDWIDTH={},CODECS=\"{}",
        dearest(|rendition| rendition.bandwidth),
        dearest(|rendition| rendition.average_bandwidth),
        rendition.codecs(),
    )?;
    let mut named: Vec<&str> = Vec::new();
    for codecs in audio.iter().map(|audio| audio.codecs()) {
        if !named.contains(&codecs) {
            named.push(codecs);
            write!(out, ",{codecs}")?;
        }
    }
    out.push('"');
    if let Track::Video { width, height, frame_rate, .. } = rendition.track {
        write!(out, ",RESOLUTION={width}x{height}")?;
        if let Some(rate) = frame_rate_milli(frame_rate) {
            write!(out, ",FRAME-RATE={}.{:03}", rate / 1_000, rate % 1_000)?;
        }
    }
    if !audio.is_empty() {
        write!(out, ",AUDIO=\"{AUDIO_GROUP}\"")?;
    }
    writeln!(out, "\n{}", uri::playlist(&rendition.name))
}

/// Frames per 1,000 s, rounded: FRAME-RATE has three decimals. `None` for a denominator of 0.
fn frame_rate_milli((numerator, denominator): (u32, u32)) -> Option<u64> {
    let denominator = u64::from(denominator);
    (u64::from(numerator) * 1_000 + denominator / 2).checked_div(denominator)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn video(name: &str, size: (u32, u32), bandwidth: u32) -> Rendition {
        Rendition {
            name: name.parse().unwrap(),
            track: Track::Video {
                codecs: "avc1.64001f".to_owned(),
                width: size.0,
                height: size.1,
                frame_rate: (30_000, 1_001),
            },
            bandwidth,
            average_bandwidth: bandwidth / 2,
        }
    }

    fn audio(name: &str, channels: u32) -> Rendition {
        Rendition {
            name: name.parse().unwrap(),
            track: Track::Audio { codecs: "mp4a.40.2".to_owned(), channels, sample_rate: 48_000 },
            bandwidth: 140_000,
            average_bandwidth: 130_000,
        }
    }

    #[test]
    fn a_ladder_with_audio() {
        let ladder = [
            video("1080p", (1920, 1080), 6_600_000),
            video("720p", (1280, 720), 3_300_000),
            video("360p", (640, 360), 900_000),
            audio("audio", 2),
        ];
        assert_eq!(
            render_multivariant(&ladder),
            "#EXTM3U\n\
             #EXT-X-VERSION:6\n\
             #EXT-X-INDEPENDENT-SEGMENTS\n\
             #EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"audio\",NAME=\"audio\",DEFAULT=YES,AUTOSELECT=YES,CHANNELS=\"2\",URI=\"audio.m3u8\"\n\
             #EXT-X-STREAM-INF:BANDWIDTH=3440000,AVERAGE-BANDWIDTH=1780000,CODECS=\"avc1.64001f,mp4a.40.2\",RESOLUTION=1280x720,FRAME-RATE=29.970,AUDIO=\"audio\"\n\
             720p.m3u8\n\
             #EXT-X-STREAM-INF:BANDWIDTH=6740000,AVERAGE-BANDWIDTH=3430000,CODECS=\"avc1.64001f,mp4a.40.2\",RESOLUTION=1920x1080,FRAME-RATE=29.970,AUDIO=\"audio\"\n\
             1080p.m3u8\n\
             #EXT-X-STREAM-INF:BANDWIDTH=1040000,AVERAGE-BANDWIDTH=580000,CODECS=\"avc1.64001f,mp4a.40.2\",RESOLUTION=640x360,FRAME-RATE=29.970,AUDIO=\"audio\"\n\
             360p.m3u8\n"
        );
    }

    #[test]
    fn no_audio_has_no_group() {
        let text = render_multivariant(&[video("360p", (640, 360), 900_000)]);
        assert!(!text.contains("AUDIO") && text.contains("CODECS=\"avc1.64001f\""), "{text}");
    }

    #[test]
    fn audio_alone_is_a_variant() {
        assert_eq!(
            render_multivariant(&[audio("audio", 1)]),
            "#EXTM3U\n\
             #EXT-X-VERSION:6\n\
             #EXT-X-INDEPENDENT-SEGMENTS\n\
             #EXT-X-STREAM-INF:BANDWIDTH=140000,AVERAGE-BANDWIDTH=130000,CODECS=\"mp4a.40.2\"\n\
             audio.m3u8\n"
        );
    }

    #[test]
    fn the_start_variant_is_the_best_affordable_one_or_the_cheapest() {
        let names = |rates: &[u32]| {
            let ladder: Vec<_> = rates.iter().map(|rate| video(&format!("r{rate}"), (2, 2), *rate)).collect();
            in_order(ladder.iter().collect()).iter().map(|r| r.bandwidth).collect::<Vec<_>>()
        };
        assert_eq!(names(&[9_000_000, 5_000_000]), [5_000_000, 9_000_000]);
        assert_eq!(names(&[800_000, 3_000_000, 6_000_000]), [3_000_000, 6_000_000, 800_000]);
        assert_eq!(names(&[800_000]), [800_000]);
    }
}
