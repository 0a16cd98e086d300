//! One track's decoding times against the clock on the wall: unwraps the 32-bit milliseconds of FLV and
//! finds where they do not go on as time does.

use std::time::Duration;

/// Time stamps may run ahead of their arrival by this much before it is a jump: encoders send in bursts
/// after a hiccup of the network, and slide shows have a frame every few seconds.
const FORWARD_TOLERANCE_MS: i64 = 1_000;
/// Nothing arrived for this long: the stream stood still.
pub const STALL: Duration = Duration::from_secs(1);
/// The offset between time stamps and arrival is taken as the best of the last one to two of these.
const OFFSET_PERIOD: Duration = Duration::from_secs(1);

/// How one time stamp follows the one before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    First,
    Steady,
    /// Ahead by so many milliseconds more than time went by.
    Forward(i64),
    /// Before the one before, by so many milliseconds.
    Backward(i64),
}

#[derive(Debug, Clone, Default)]
pub struct Timeline {
    last: Option<Last>,
    /// How often the 32 bits were used up.
    pub wraps: u32,
    offset: Offset,
}

#[derive(Debug, Clone, Copy)]
struct Last {
    raw_ms: u32,
    unwrapped_ms: i64,
    arrival: Duration,
}

/// The least delayed of recent frames tells when frames are really due.
#[derive(Debug, Clone, Copy, Default)]
struct Offset {
    current: Option<(Duration, i64)>,
    previous: Option<i64>,
}

impl Timeline {
    /// Takes the next time stamp; returns it unwrapped, and how it follows.
    pub fn take(&mut self, raw_ms: u32, now: Duration) -> (i64, Step) {
        let (unwrapped_ms, step) = match self.last {
            None => (i64::from(raw_ms), Step::First),
            Some(last) => {
                let delta = i64::from(raw_ms.wrapping_sub(last.raw_ms).cast_signed());
                if delta > 0 && raw_ms < last.raw_ms {
                    self.wraps += 1;
                }
                let elapsed = i64::try_from(now.saturating_sub(last.arrival).as_millis()).unwrap_or(i64::MAX);
                let step = if delta < 0 {
                    Step::Backward(-delta)
                } else if delta > elapsed.saturating_add(FORWARD_TOLERANCE_MS) {
                    Step::Forward(delta - elapsed)
                } else {
                    Step::Steady
                };
                (last.unwrapped_ms + delta, step)
            }
        };
        self.last = Some(Last { raw_ms, unwrapped_ms, arrival: now });
        if !matches!(step, Step::Steady) {
            self.offset = Offset::default();
        }
        self.offset.take(unwrapped_ms - i64::try_from(now.as_millis()).unwrap_or(i64::MAX), now);
        (unwrapped_ms, step)
    }

    /// Time since the last frame; `None` before the first.
    #[must_use]
    pub fn silent_for(&self, now: Duration) -> Option<Duration> {
        self.last.map(|last| now.saturating_sub(last.arrival))
    }

    /// How far time stamps are ahead of the wall clock, from an unknown zero that all tracks of a stream share.
    #[must_use]
    pub fn offset_ms(&self) -> Option<i64> {
        let current = self.offset.current.map(|(_, best)| best);
        current.max(self.offset.previous)
    }
}

impl Offset {
    fn take(&mut self, offset: i64, now: Duration) {
        match &mut self.current {
            Some((since, best)) if now.saturating_sub(*since) < OFFSET_PERIOD => *best = offset.max(*best),
            current => {
                self.previous = current.map(|(_, best)| best);
                *current = Some((now, offset));
            }
        }
    }
}

/// How far `first` is ahead of `second`; both may have wrapped a different number of times.
#[must_use]
pub fn ahead_ms(first: &Timeline, second: &Timeline) -> Option<i32> {
    let difference = first.offset_ms()? - second.offset_ms()?;
    // The low 32 bits are what FLV's time stamps can tell.
    #[allow(clippy::cast_possible_truncation, reason = "FLV time stamps are modulo 2^32")]
    Some(difference as i32)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn time_that_goes_on_is_steady_also_over_the_wrap() {
        let mut timeline = Timeline::default();
        let first = u32::MAX - 50;
        assert_eq!(timeline.take(first, ms(0)), (i64::from(first), Step::First));
        assert_eq!(timeline.take(first.wrapping_add(100), ms(100)), (i64::from(first) + 100, Step::Steady));
        assert_eq!(timeline.wraps, 1);
    }

    #[test]
    fn jumps_are_told_from_pauses() {
        let mut timeline = Timeline::default();
        timeline.take(1_000, ms(0));
        assert_eq!(timeline.take(21_000, ms(20_000)).1, Step::Steady, "the encoder paused");
        assert_eq!(timeline.take(41_000, ms(20_040)).1, Step::Forward(19_960));
        assert_eq!(timeline.take(40_000, ms(20_080)).1, Step::Backward(1_000));
        assert_eq!(timeline.take(40_040, ms(20_120)).1, Step::Steady);
    }

    #[test]
    fn the_offset_between_tracks_survives_jitter_and_wraps() {
        let (mut video, mut audio) = (Timeline::default(), Timeline::default());
        let start = u32::MAX - 1_000;
        for tick in 0..200_u32 {
            let at = ms(u64::from(tick) * 33 + u64::from(tick % 5) * 7);
            video.take(start.wrapping_add(tick * 33), at);
            audio.take(start.wrapping_add(tick * 33 + 1_500), at);
        }
        let ahead = ahead_ms(&audio, &video).unwrap();
        assert!((1_490..=1_510).contains(&ahead), "{ahead}");
        assert_eq!(ahead_ms(&audio, &Timeline::default()), None);
    }
}
