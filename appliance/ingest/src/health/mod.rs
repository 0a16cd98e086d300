//! The health of one stream as it comes in: measured from headers and arrival times alone, never from
//! decoded pictures. Pure: time is passed in, counted from the start of the session.

pub mod rate;
pub mod timeline;
pub mod warning;

use std::collections::VecDeque;
use std::time::Duration;

use serde::Serialize;

use rate::Rate;
use timeline::{Step, Timeline};
pub use warning::Warning;

/// Bitrates are means over this many seconds.
const RATE_WINDOW_S: u64 = 5;
/// The frame rate is measured over this many frames: 2 s at 30 fps.
const FRAME_RATE_FRAMES: usize = 61;
/// Below this many frames a frame rate is a guess.
const FEWEST_FRAMES: usize = 10;
/// Intervals between key frames that are looked back on.
const KEY_INTERVALS: usize = 4;
/// A track that sent nothing for this long has no frame rate.
const TRACK_SILENT: Duration = Duration::from_secs(2);
/// For how long an event is worth a warning.
const RECENT: Duration = Duration::from_secs(60);

/// What the video's configuration says.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct VideoFormat {
    pub codec: &'static str,
    pub profile: String,
    pub level: String,
    pub width: u32,
    pub height: u32,
    /// Frames per second as announced in the bit stream or in the metadata.
    pub announced_fps: Option<f64>,
}

/// What the audio's configuration says.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct AudioFormat {
    pub codec: &'static str,
    pub profile: String,
    pub sample_rate: u32,
    pub channels: u32,
}

/// One video frame, in decoding order.
#[derive(Debug, Clone, Copy)]
pub struct VideoFrame {
    pub dts_ms: u32,
    pub composition_time_ms: i32,
    pub keyframe: bool,
    pub bytes: usize,
}

/// Something that happens now and then.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub struct Events {
    pub count: u64,
    /// Size of the latest one, in milliseconds.
    pub last_ms: i64,
    #[serde(skip)]
    last_at: Option<Duration>,
}

impl Events {
    fn note(&mut self, size_ms: i64, now: Duration) {
        *self = Self { count: self.count + 1, last_ms: size_ms, last_at: Some(now) };
    }

    fn is_recent(&self, now: Duration) -> bool {
        self.last_at.is_some_and(|at| now.saturating_sub(at) < RECENT)
    }
}

/// Takes every frame and knows how the stream does.
#[derive(Debug)]
pub struct Meter {
    video: VideoMeter,
    audio: AudioMeter,
    jumps_forward: Events,
    jumps_backward: Events,
    stalls: Events,
}

#[derive(Debug)]
struct VideoMeter {
    format: Option<VideoFormat>,
    frames: u64,
    rate: Rate,
    timeline: Timeline,
    /// Decoding times of the last frames.
    recent: VecDeque<i64>,
    latest_pts: Option<i64>,
    reorder_ms: i64,
    /// Since when frames were shown in another order than sent; a new configuration starts over.
    b_frames: bool,
    key_at: Option<i64>,
    key_intervals: VecDeque<i64>,
    latest_dts: i64,
}

#[derive(Debug)]
struct AudioMeter {
    format: Option<AudioFormat>,
    frames: u64,
    rate: Rate,
    timeline: Timeline,
}

/// How the stream does at one moment.
#[derive(Debug, Clone, Serialize)]
pub struct Snapshot {
    /// Seconds since publishing started.
    pub live_s: f64,
    pub video: Option<Video>,
    pub audio: Option<Audio>,
    /// Positive: audio is ahead of video.
    pub av_skew_ms: Option<i32>,
    pub jumps_forward: Events,
    pub jumps_backward: Events,
    /// How often the 32 bits of the time stamps were used up.
    pub timestamp_wraps: u32,
    /// Times in which nothing arrived for a second or longer.
    pub stalls: Events,
    #[serde(skip)]
    recent_jump: bool,
    #[serde(skip)]
    recent_stall: bool,
}

#[derive(Debug, Clone, Serialize)]
pub struct Video {
    #[serde(flatten)]
    pub format: Option<VideoFormat>,
    pub frames: u64,
    pub bitrate_bps: u64,
    /// Measured over the last two seconds.
    pub fps: f64,
    /// The longest of the last few; a group that is still going on counts once it is the longest.
    pub key_frame_interval_s: Option<f64>,
    pub b_frames: bool,
    /// The longest time by which a frame is shown later than it is decoded.
    pub reorder_delay_ms: i64,
}

#[derive(Debug, Clone, Serialize)]
pub struct Audio {
    #[serde(flatten)]
    pub format: Option<AudioFormat>,
    pub frames: u64,
    pub bitrate_bps: u64,
}

impl Default for Meter {
    fn default() -> Self {
        Self {
            video: VideoMeter {
                format: None,
                frames: 0,
                rate: Rate::new(RATE_WINDOW_S),
                timeline: Timeline::default(),
                recent: VecDeque::with_capacity(FRAME_RATE_FRAMES),
                latest_pts: None,
                reorder_ms: 0,
                b_frames: false,
                key_at: None,
                key_intervals: VecDeque::with_capacity(KEY_INTERVALS),
                latest_dts: 0,
            },
            audio: AudioMeter {
                format: None,
                frames: 0,
                rate: Rate::new(RATE_WINDOW_S),
                timeline: Timeline::default(),
            },
            jumps_forward: Events::default(),
            jumps_backward: Events::default(),
            stalls: Events::default(),
        }
    }
}

impl Meter {
    pub fn configure_video(&mut self, format: VideoFormat) {
        if self.video.format.as_ref() != Some(&format) {
            self.video.b_frames = false;
            self.video.reorder_ms = 0;
            self.video.format = Some(format);
        }
    }

    pub fn configure_audio(&mut self, format: AudioFormat) {
        self.audio.format = Some(format);
    }

    pub fn video_frame(&mut self, frame: VideoFrame, now: Duration) {
        self.note_stall(now);
        let video = &mut self.video;
        video.frames += 1;
        video.rate.add(now, frame.bytes as u64);
        let (dts, step) = video.timeline.take(frame.dts_ms, now);
        if matches!(step, Step::Forward(_) | Step::Backward(_)) {
            // Nothing is measured across a jump.
            video.recent.clear();
            video.latest_pts = None;
            video.key_at = None;
        }
        if video.recent.len() == FRAME_RATE_FRAMES {
            video.recent.pop_front();
        }
        video.recent.push_back(dts);
        video.latest_dts = dts;

        let pts = dts + i64::from(frame.composition_time_ms);
        if frame.keyframe {
            // Frames of an open GOP may still be shown before it; that is B-frames as well.
            if let Some(key_at) = video.key_at.replace(dts) {
                if video.key_intervals.len() == KEY_INTERVALS {
                    video.key_intervals.pop_front();
                }
                video.key_intervals.push_back(dts - key_at);
            }
        }
        if video.latest_pts.is_some_and(|latest| pts < latest) {
            video.b_frames = true;
        }
        video.latest_pts = video.latest_pts.max(Some(pts));
        video.reorder_ms = video.reorder_ms.max(i64::from(frame.composition_time_ms));
        self.note_step(step, now);
    }

    pub fn audio_frame(&mut self, dts_ms: u32, bytes: usize, now: Duration) {
        self.note_stall(now);
        let audio = &mut self.audio;
        audio.frames += 1;
        audio.rate.add(now, bytes as u64);
        let (_, step) = audio.timeline.take(dts_ms, now);
        self.note_step(step, now);
    }

    /// Video frames per second as measured; `None` while there are too few.
    #[must_use]
    pub fn measured_fps(&self, now: Duration) -> Option<f64> {
        let recent = &self.video.recent;
        if recent.len() < FEWEST_FRAMES || self.video.timeline.silent_for(now)? >= TRACK_SILENT {
            return None;
        }
        let span_ms = recent.back()? - recent.front()?;
        // Whole milliseconds and at most 60 intervals: exact in a double.
        #[allow(clippy::cast_precision_loss, reason = "both are far below 2^52")]
        (span_ms > 0).then(|| (recent.len() - 1) as f64 * 1000.0 / span_ms as f64)
    }

    pub fn snapshot(&mut self, now: Duration) -> Snapshot {
        let fps = self.measured_fps(now).unwrap_or(0.0);
        let av_skew_ms = timeline::ahead_ms(&self.audio.timeline, &self.video.timeline);
        let video = &mut self.video;
        let open = video.key_at.map(|key_at| video.latest_dts - key_at);
        let longest = video.key_intervals.iter().copied().max();
        let key_frame_interval = match (longest, open) {
            (Some(longest), Some(open)) => Some(longest.max(open)),
            // The first group has no length before it is over, unless it is already too long.
            (None, Some(open)) if open >= warning::LONGEST_KEY_FRAME_INTERVAL_MS => Some(open),
            (longest, _) => longest,
        };
        Snapshot {
            live_s: round(now.as_secs_f64(), 1),
            video: (video.format.is_some() || video.frames > 0).then(|| Video {
                format: video.format.clone(),
                frames: video.frames,
                bitrate_bps: video.rate.bits_per_s(now),
                fps: round(fps, 2),
                key_frame_interval_s: key_frame_interval.map(seconds),
                b_frames: video.b_frames,
                reorder_delay_ms: video.reorder_ms,
            }),
            audio: (self.audio.format.is_some() || self.audio.frames > 0).then(|| Audio {
                format: self.audio.format.clone(),
                frames: self.audio.frames,
                bitrate_bps: self.audio.rate.bits_per_s(now),
            }),
            av_skew_ms,
            jumps_forward: self.jumps_forward,
            jumps_backward: self.jumps_backward,
            timestamp_wraps: self.video.timeline.wraps.max(self.audio.timeline.wraps),
            stalls: self.stalls,
            recent_jump: self.jumps_forward.is_recent(now) || self.jumps_backward.is_recent(now),
            recent_stall: self.stalls.is_recent(now),
        }
    }

    fn note_step(&mut self, step: Step, now: Duration) {
        match step {
            Step::First | Step::Steady => {}
            Step::Forward(ms) => self.jumps_forward.note(ms, now),
            Step::Backward(ms) => self.jumps_backward.note(ms, now),
        }
    }

    /// A stall is when neither track sends.
    fn note_stall(&mut self, now: Duration) {
        let silent =
            [&self.video.timeline, &self.audio.timeline].into_iter().filter_map(|t| t.silent_for(now)).min();
        if let Some(silent) = silent.filter(|silent| *silent >= timeline::STALL) {
            self.stalls.note(i64::try_from(silent.as_millis()).unwrap_or(i64::MAX), now);
        }
    }
}

#[allow(clippy::cast_precision_loss, reason = "milliseconds of a stream stay far below 2^52")]
fn seconds(ms: i64) -> f64 {
    ms as f64 / 1000.0
}

fn round(number: f64, digits: i32) -> f64 {
    let scale = 10_f64.powi(digits);
    (number * scale).round() / scale
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    /// 30 fps with a key frame every `gop` frames; frames are 25,000 bytes, that is 6 Mbit/s.
    fn stream(meter: &mut Meter, frames: u32, gop: u32, composition: impl Fn(u32) -> i32) -> Duration {
        for frame in 0..frames {
            let dts_ms = (frame * 1000 + 15) / 30;
            meter.video_frame(
                VideoFrame {
                    dts_ms,
                    composition_time_ms: composition(frame),
                    keyframe: frame % gop == 0,
                    bytes: 25_000,
                },
                ms(u64::from(dts_ms)),
            );
        }
        ms(u64::from(frames) * 1000 / 30)
    }

    #[test]
    fn a_plain_stream_is_measured_as_it_is() {
        let mut meter = Meter::default();
        let now = stream(&mut meter, 300, 60, |_| 0);
        let snapshot = meter.snapshot(now);
        let video = snapshot.video.unwrap();
        assert!((29.9..30.1).contains(&video.fps), "{}", video.fps);
        assert!((5_800_000..6_200_000).contains(&video.bitrate_bps), "{}", video.bitrate_bps);
        assert_eq!(video.key_frame_interval_s, Some(2.0));
        assert!(!video.b_frames);
        assert!(snapshot.audio.is_none() && snapshot.av_skew_ms.is_none());
        assert_eq!((snapshot.jumps_forward.count, snapshot.jumps_backward.count), (0, 0));
    }

    #[test]
    fn b_frames_are_frames_shown_in_another_order() {
        let mut meter = Meter::default();
        // I P B B P B B, decoding order, as x264 with two B-frames sends it.
        stream(&mut meter, 60, 60, |frame| [133, 33, 0][(frame % 3) as usize]);
        let video = meter.snapshot(ms(2_000)).video.unwrap();
        assert!(video.b_frames);
        assert_eq!(video.reorder_delay_ms, 133);
        // A constant composition time delays everything alike: no B-frames.
        let mut meter = Meter::default();
        stream(&mut meter, 60, 60, |_| 66);
        assert!(!meter.snapshot(ms(2_000)).video.unwrap().b_frames);
    }

    #[test]
    fn a_group_without_end_is_as_long_as_it_is_so_far() {
        let mut meter = Meter::default();
        let now = stream(&mut meter, 60, 10_000, |_| 0);
        assert_eq!(meter.snapshot(now).video.unwrap().key_frame_interval_s, None, "not known yet");
        let mut meter = Meter::default();
        let now = stream(&mut meter, 240, 10_000, |_| 0);
        let interval = meter.snapshot(now).video.unwrap().key_frame_interval_s.unwrap();
        assert!((7.9..8.0).contains(&interval), "{interval}");
    }

    #[test]
    fn a_jump_is_counted_and_not_measured_across() {
        let mut meter = Meter::default();
        let mut frame = |dts_ms, at| {
            let frame = VideoFrame { dts_ms, composition_time_ms: 0, keyframe: dts_ms % 1000 == 0, bytes: 1 };
            meter.video_frame(frame, ms(at));
        };
        for tick in 0..20 {
            frame(tick * 40, u64::from(tick) * 40);
        }
        for tick in 0..20 {
            frame(3_600_000 + tick * 40, 800 + u64::from(tick) * 40);
        }
        frame(1_000, 1_600);
        let snapshot = meter.snapshot(ms(1_600));
        assert_eq!((snapshot.jumps_forward.count, snapshot.jumps_backward.count), (1, 1));
        assert_eq!(snapshot.video.unwrap().key_frame_interval_s, None);
    }

    #[test]
    fn a_silent_track_has_no_frame_rate() {
        let mut meter = Meter::default();
        let now = stream(&mut meter, 60, 30, |_| 0);
        assert!(meter.measured_fps(now).is_some());
        assert!(meter.measured_fps(now + TRACK_SILENT).is_none());
        meter.audio_frame(5_000, 300, now + ms(3_000));
        assert_eq!(meter.snapshot(now + ms(3_000)).stalls.count, 1);
    }
}
