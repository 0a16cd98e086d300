//! Named warnings in plain words: what is wrong with the stream and what the streamer can do about it.
//! Codes are stable (dashboards and alerts use them), texts are for people.

use serde::Serialize;

use super::{Snapshot, Video};

/// A worker cuts segments at key frames it makes itself; a longer interval still costs the viewer: nothing
/// can start, nor go on after a loss, before the next one.
pub const LONGEST_KEY_FRAME_INTERVAL_MS: i64 = 4_500;
/// Beyond this, lips and voice are seen to differ, and encoders do not vary by it.
const LARGEST_SKEW_MS: i32 = 1_000;
/// A track that is still missing after this long is not late.
const TRACK_MISSING_AFTER_S: f64 = 5.0;
/// Frames that arrive, of those announced, below which the encoder is said to be overloaded.
const LOWEST_FRAME_SHARE: f64 = 0.85;
/// Share of the limit from which the bitrate is said to be close to it.
const NEAR_LIMIT: f64 = 0.9;
/// Latency that B-frames cost from which it is worth a word.
const REORDER_WORTH_A_WORD_MS: i64 = 50;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Could be better.
    Hint,
    /// Viewers may notice.
    Warning,
}

/// One warning, as it stands in the status.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Warning {
    pub code: &'static str,
    pub severity: Severity,
    pub text: String,
}

impl Warning {
    #[must_use]
    pub fn new(code: &'static str, text: String) -> Self {
        Self { code, severity: Severity::Warning, text }
    }

    #[must_use]
    pub fn hint(code: &'static str, text: String) -> Self {
        Self { code, severity: Severity::Hint, text }
    }
}

/// All that is to be said about a stream that measures like this.
#[must_use]
pub fn warnings(snapshot: &Snapshot, bitrate_limit_bps: u64) -> Vec<Warning> {
    let mut warnings = Vec::new();
    if let Some(video) = &snapshot.video {
        about_video(video, &mut warnings);
    }
    if snapshot.live_s >= TRACK_MISSING_AFTER_S {
        if snapshot.video.as_ref().is_none_or(|video| video.frames == 0) {
            let text = "no video arrives: add a video source to your encoder's output".to_owned();
            warnings.push(Warning::new("no_video", text));
        }
        if snapshot.audio.as_ref().is_none_or(|audio| audio.frames == 0) {
            let text = "no audio arrives: add an audio source, silent if need be".to_owned();
            warnings.push(Warning::hint("no_audio", text));
        }
    }
    if let Some(skew) = snapshot.av_skew_ms.filter(|skew| skew.abs() > LARGEST_SKEW_MS) {
        let side = if skew > 0 { "ahead of" } else { "behind" };
        let text = format!(
            "audio is {} s {side} the video: check the sync offset of the audio source",
            tenths(f64::from(skew.abs()) / 1000.0)
        );
        warnings.push(Warning::new("av_skew", text));
    }
    if snapshot.recent_jump {
        let count = snapshot.jumps_forward.count + snapshot.jumps_backward.count;
        let times = if count == 1 { "once".to_owned() } else { format!("{count} times") };
        let text = format!(
            "time stamps jumped {times}, lately: check the encoder's clock, or the file that it plays"
        );
        warnings.push(Warning::new("timestamp_jumps", text));
    }
    if snapshot.recent_stall {
        let last = tenths(f64::from(u32::try_from(snapshot.stalls.last_ms).unwrap_or(u32::MAX)) / 1000.0);
        let text =
            format!("nothing arrived for {last} s: lower the bitrate, or use a cable instead of Wi-Fi");
        warnings.push(Warning::new("stalls", text));
    }
    let bitrate = snapshot.video.as_ref().map_or(0, |video| video.bitrate_bps)
        + snapshot.audio.as_ref().map_or(0, |audio| audio.bitrate_bps);
    #[allow(clippy::cast_precision_loss, reason = "rates stay far below 2^52")]
    let share = bitrate as f64 / bitrate_limit_bps.max(1) as f64;
    if share > NEAR_LIMIT {
        let text = format!(
            "{} Mbit/s is close to the limit of {} Mbit/s, above which the stream is ended: lower the bitrate",
            megabits(bitrate),
            megabits(bitrate_limit_bps)
        );
        warnings.push(Warning::new("bitrate_near_limit", text));
    }
    warnings
}

fn about_video(video: &Video, warnings: &mut Vec<Warning>) {
    #[allow(clippy::cast_precision_loss, reason = "a constant of four digits")]
    let longest = LONGEST_KEY_FRAME_INTERVAL_MS as f64 / 1000.0;
    if let Some(interval) = video.key_frame_interval_s.filter(|interval| *interval > longest) {
        let text = format!("key frames every {} s: set the key-frame interval to 2 s", tenths(interval));
        warnings.push(Warning::new("key_frames_far_apart", text));
    }
    let announced = video.format.as_ref().and_then(|format| format.announced_fps);
    if let Some(announced) = announced
        && video.fps > 0.0
        && video.fps < announced * LOWEST_FRAME_SHARE
    {
        let text = format!(
            "{} of {} frames per second arrive: the encoder is overloaded; lower its resolution or choose a faster preset",
            tenths(video.fps),
            tenths(announced)
        );
        warnings.push(Warning::new("frames_missing", text));
    }
    if video.b_frames && video.reorder_delay_ms >= REORDER_WORTH_A_WORD_MS {
        let text = format!(
            "B-frames delay the stream by {} ms: set B-frames to 0 (tune \"zerolatency\") for the lowest latency",
            video.reorder_delay_ms
        );
        warnings.push(Warning::hint("b_frames", text));
    }
}

/// At most one digit behind the point, and none where it says nothing.
fn tenths(number: f64) -> String {
    let text = format!("{number:.1}");
    text.strip_suffix(".0").map(str::to_owned).unwrap_or(text)
}

#[allow(clippy::cast_precision_loss, reason = "rates stay far below 2^52")]
fn megabits(bits_per_s: u64) -> String {
    tenths(bits_per_s as f64 / 1e6)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::{AudioFormat, Meter, VideoFormat, VideoFrame};
    use super::*;

    struct Stream {
        frame_ms: u32,
        gop: u32,
        composition_time_ms: fn(u32) -> i32,
        audio_ahead_ms: Option<i32>,
        bytes: usize,
        seconds: u32,
    }

    impl Default for Stream {
        fn default() -> Self {
            Self {
                frame_ms: 40,
                gop: 50,
                composition_time_ms: |_| 0,
                audio_ahead_ms: Some(0),
                bytes: 5_000,
                seconds: 10,
            }
        }
    }

    fn texts(stream: &Stream) -> Vec<(&'static str, String)> {
        let mut meter = Meter::default();
        meter.configure_video(VideoFormat {
            codec: "H.264",
            profile: "High".into(),
            level: "4".into(),
            width: 1280,
            height: 720,
            announced_fps: Some(25.0),
        });
        for frame in 0..stream.seconds * 1000 / stream.frame_ms {
            let dts_ms = 10_000 + frame * stream.frame_ms;
            let now = Duration::from_millis(u64::from(frame * stream.frame_ms));
            meter.video_frame(
                VideoFrame {
                    dts_ms,
                    composition_time_ms: (stream.composition_time_ms)(frame),
                    keyframe: frame % stream.gop == 0,
                    bytes: stream.bytes,
                },
                now,
            );
            if let Some(ahead) = stream.audio_ahead_ms {
                meter.configure_audio(AudioFormat {
                    codec: "AAC",
                    profile: "LC".into(),
                    sample_rate: 48_000,
                    channels: 2,
                });
                meter.audio_frame(dts_ms.wrapping_add_signed(ahead), 300, now);
            }
        }
        let snapshot = meter.snapshot(Duration::from_secs(u64::from(stream.seconds)));
        warnings(&snapshot, 10_000_000).into_iter().map(|warning| (warning.code, warning.text)).collect()
    }

    #[test]
    fn a_good_stream_has_none() {
        assert_eq!(texts(&Stream::default()), []);
    }

    #[test]
    fn each_has_a_name_and_a_remedy() {
        let one = |stream: &Stream| {
            let texts = texts(stream);
            assert_eq!(texts.len(), 1, "{texts:?}");
            texts[0].clone()
        };
        assert_eq!(
            one(&Stream { gop: 200, seconds: 17, ..Stream::default() }),
            ("key_frames_far_apart", "key frames every 8 s: set the key-frame interval to 2 s".to_owned())
        );
        assert_eq!(
            one(&Stream { audio_ahead_ms: Some(-1_500), ..Stream::default() }),
            (
                "av_skew",
                "audio is 1.5 s behind the video: check the sync offset of the audio source".to_owned()
            )
        );
        assert_eq!(one(&Stream { audio_ahead_ms: None, ..Stream::default() }).0, "no_audio");
        assert_eq!(one(&Stream { frame_ms: 50, gop: 40, ..Stream::default() }).0, "frames_missing");
        assert_eq!(one(&Stream { bytes: 46_000, ..Stream::default() }).0, "bitrate_near_limit");
        assert_eq!(
            one(&Stream {
                composition_time_ms: |frame| [160, 40, 0][(frame % 3) as usize],
                ..Stream::default()
            })
            .0,
            "b_frames"
        );
    }

    #[test]
    fn events_of_the_last_minute_count() {
        let mut meter = Meter::default();
        meter.audio_frame(0, 1, Duration::ZERO);
        meter.audio_frame(3_000, 1, Duration::from_secs(3));
        meter.audio_frame(1_000, 1, Duration::from_secs(3));
        let codes = |meter: &mut Meter, at| -> Vec<_> {
            warnings(&meter.snapshot(Duration::from_secs(at)), 1_000).iter().map(|w| w.code).collect()
        };
        assert_eq!(codes(&mut meter, 4), ["timestamp_jumps", "stalls"]);
        assert_eq!(codes(&mut meter, 90), ["no_video"]);
    }
}
