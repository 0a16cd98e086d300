//! From FLV's 32-bit milliseconds to one media timeline that only goes forward.
//!
//! Publishers' clocks wrap after 49.7 days, jump both ways when a scene or a device changes, and may
//! start audio and video seconds apart. A jump is anything that cannot be the same clock going on;
//! the timeline then goes on as if nothing had happened, and the other track joins the new clock when
//! it jumps too, so that audio and video stay together.

/// Largest step backwards that is jitter of one clock, in ms. Decode times of one track never go
/// back; what does so by more comes from another clock.
const MOST_BACK: i64 = 200;

/// Largest step forwards that is a pause of the publisher, in ms: it is kept, and shown as a still
/// picture. Longer ones are cut out, since filling them costs more than they tell.
const MOST_FORWARD: i64 = 3_000;

/// How far apart audio and video may start and still share a clock, in ms.
const MOST_START_SKEW: i64 = 10_000;

/// Assumed distance between frames before any was seen, in ms.
const FIRST_STEP: i64 = 33;

/// A track of the source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stream {
    Audio,
    Video,
}

/// Where a tag belongs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Placed {
    /// Decode time on the media timeline, in ms since the first tag; negative if this track began
    /// before the one that came first.
    pub ms: i64,
    /// The publisher's clock jumped by this much, in ms.
    pub jump: Option<i64>,
}

#[derive(Debug, Clone, Copy)]
struct Track {
    /// The last timestamp without its wraps.
    raw: i64,
    /// What makes a raw timestamp a media time.
    offset: i64,
    /// The last media time.
    last: i64,
    step: i64,
}

/// One per session.
#[derive(Debug, Default)]
pub struct Timeline {
    audio: Option<Track>,
    video: Option<Track>,
    /// The offset of the latest jump of any track.
    newest: i64,
}

impl Timeline {
    /// Places the next tag of `stream`, in the order of arrival.
    pub fn place(&mut self, stream: Stream, timestamp: u32) -> Placed {
        let (own, other) = match stream {
            Stream::Audio => (self.audio, self.video),
            Stream::Video => (self.video, self.audio),
        };
        let raw = match own.or(other) {
            Some(track) => unwrap(track.raw, timestamp),
            None => i64::from(timestamp),
        };
        let (track, jump) = match (own, other) {
            (None, None) => {
                self.newest = -raw;
                (Track { raw, offset: -raw, last: 0, step: FIRST_STEP }, None)
            }
            (None, Some(other)) => {
                let ms = raw + other.offset;
                if (ms - other.last).abs() <= MOST_START_SKEW {
                    (Track { raw, offset: other.offset, last: ms, step: FIRST_STEP }, None)
                } else {
                    let offset = other.last - raw;
                    (Track { raw, offset, last: other.last, step: FIRST_STEP }, Some(ms - other.last))
                }
            }
            (Some(own), other) => self.go_on(own, other, raw),
        };
        match stream {
            Stream::Audio => self.audio = Some(track),
            Stream::Video => self.video = Some(track),
        }
        Placed { ms: track.last, jump }
    }

    fn go_on(&mut self, own: Track, other: Option<Track>, raw: i64) -> (Track, Option<i64>) {
        // A track that paused while the other one went on is still on the same clock.
        let latest = other.map_or(own.last, |other| own.last.max(other.last));
        let fits = |ms: i64| ms >= own.last - MOST_BACK && ms <= latest + MOST_FORWARD;
        let kept = raw + own.offset;
        let joined = raw + self.newest;
        let (offset, jump) = if fits(kept) {
            (own.offset, None)
        } else if fits(joined) {
            (self.newest, Some(kept - own.last))
        } else {
            self.newest = own.last + own.step - raw;
            (self.newest, Some(kept - own.last))
        };
        let ms = raw + offset;
        let step = if jump.is_none() && (1..=MOST_BACK).contains(&(ms - own.last)) {
            ms - own.last
        } else {
            own.step
        };
        (Track { raw, offset, last: ms, step }, jump)
    }
}

/// The value next to `near` whose low 32 bits are `timestamp`.
fn unwrap(near: i64, timestamp: u32) -> i64 {
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the low 32 bits are meant")]
    let low = near as u32;
    #[allow(
        clippy::cast_possible_wrap,
        reason = "the difference on a circle of 32 bits, in either direction"
    )]
    let delta = timestamp.wrapping_sub(low) as i32;
    near + i64::from(delta)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Plays audio every 23 ms and video every 33 ms for `seconds` from `start` on both clocks.
    fn play(timeline: &mut Timeline, start: u32, seconds: u32) -> Vec<(Stream, u32, Placed)> {
        let mut tags: Vec<(u32, Stream)> = (0..seconds * 1000)
            .step_by(23)
            .map(|ms| (ms, Stream::Audio))
            .chain((0..seconds * 1000).step_by(33).map(|ms| (ms, Stream::Video)))
            .collect();
        tags.sort_by_key(|(ms, _)| *ms);
        tags.into_iter()
            .map(|(ms, stream)| (stream, ms, timeline.place(stream, start.wrapping_add(ms))))
            .collect()
    }

    #[test]
    fn a_wrap_is_invisible() {
        let mut timeline = Timeline::default();
        for (_, ms, placed) in play(&mut timeline, u32::MAX - 1500, 4) {
            assert_eq!(placed, Placed { ms: i64::from(ms), jump: None });
        }
    }

    #[test]
    fn audio_and_video_may_start_seconds_apart() {
        let mut timeline = Timeline::default();
        assert_eq!(timeline.place(Stream::Video, 5_000).ms, 0);
        assert_eq!(timeline.place(Stream::Audio, 1_000).ms, -4_000);
        assert_eq!(timeline.place(Stream::Audio, 1_023).ms, -3_977);
        assert_eq!(timeline.place(Stream::Video, 5_033).ms, 33);
    }

    #[test]
    fn clocks_of_different_origin_are_laid_together() {
        let mut timeline = Timeline::default();
        assert_eq!(timeline.place(Stream::Video, 0).ms, 0);
        let audio = timeline.place(Stream::Audio, 3_600_000);
        assert_eq!(audio.ms, 0);
        assert!(audio.jump.is_some());
    }

    #[test]
    fn a_short_pause_is_kept_and_a_long_one_is_cut_out() {
        let mut timeline = Timeline::default();
        timeline.place(Stream::Video, 0);
        timeline.place(Stream::Video, 33);
        assert_eq!(timeline.place(Stream::Video, 2_033), Placed { ms: 2_033, jump: None });
        let jumped = timeline.place(Stream::Video, 100_000);
        assert_eq!(jumped.ms, 2_066);
        assert!(jumped.jump.is_some());
    }

    #[test]
    fn a_track_that_paused_alone_comes_back_where_the_other_one_is() {
        let mut timeline = Timeline::default();
        timeline.place(Stream::Audio, 0);
        for ms in (0..20_000).step_by(33) {
            timeline.place(Stream::Video, ms);
        }
        assert_eq!(timeline.place(Stream::Audio, 20_000), Placed { ms: 20_000, jump: None });
    }

    proptest! {
        /// Both tracks jump by the same amount, one after the other as their tags are interleaved.
        #[test]
        fn tracks_stay_together_over_any_common_jump(start: u32, jump: u32) {
            let mut timeline = Timeline::default();
            play(&mut timeline, start, 2);
            let after = play(&mut timeline, start.wrapping_add(2_000).wrapping_add(jump), 2);
            let shifts: Vec<i64> =
                after.iter().map(|(_, ms, placed)| placed.ms - i64::from(*ms)).collect();
            let settled = *shifts.last().unwrap();
            // From the second frame of each track on there is one clock again.
            for shift in &shifts[4..] {
                prop_assert!((shift - settled).abs() <= 40, "{shifts:?}");
            }
            prop_assert!((1_700..=5_100).contains(&settled), "{settled}");
        }

        /// Whatever arrives, time goes back by jitter at most and never leaps ahead of both tracks.
        #[test]
        fn time_goes_forward(tags in prop::collection::vec((any::<bool>(), any::<u32>()), 1..200)) {
            let mut timeline = Timeline::default();
            let mut last = [None::<i64>, None];
            for (video, timestamp) in tags {
                let stream = if video { Stream::Video } else { Stream::Audio };
                let placed = timeline.place(stream, timestamp);
                let latest = last.iter().flatten().max().copied();
                if let Some(before) = last[usize::from(video)] {
                    prop_assert!(placed.ms >= before - MOST_BACK);
                }
                if let Some(latest) = latest {
                    prop_assert!(placed.ms <= latest + MOST_START_SKEW);
                }
                last[usize::from(video)] = Some(placed.ms);
            }
        }
    }
}
