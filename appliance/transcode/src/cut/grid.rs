//! Integer arithmetic on the frame grid: no rounding error that could grow over days.

use super::Error;

pub(super) const NS: u64 = 1_000_000_000;

/// `value * mul / div`, rounded down, without overflow on the way.
pub(super) fn scale(value: u64, mul: u64, div: u64) -> u64 {
    let scaled = u128::from(value) * u128::from(mul) / u128::from(div.max(1));
    u64::try_from(scaled).unwrap_or(u64::MAX)
}

/// The same, rounded up.
pub(super) fn scale_up(value: u64, mul: u64, div: u64) -> u64 {
    let div = u128::from(div.max(1));
    let scaled = (u128::from(value) * u128::from(mul)).div_ceil(div);
    u64::try_from(scaled).unwrap_or(u64::MAX)
}

/// A constant frame rate, reduced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct FrameRate {
    pub(super) num: u32,
    pub(super) den: u32,
}

/// What sources send; outside it is a mistake in the caller's measurement.
const FRAMES_PER_SECOND: std::ops::RangeInclusive<u32> = 1..=240;

/// Lowest timescale that is derived from a frame rate: players compute with it, and some in whole milliseconds.
const MIN_TIMESCALE: u32 = 10_000;
/// The timescale that everyone expects of video.
const USUAL_TIMESCALE: u32 = 90_000;

impl FrameRate {
    pub(super) fn new((num, den): (u32, u32)) -> Result<Self, Error> {
        let sane = den > 0 && FRAMES_PER_SECOND.contains(&(num / den.max(1)));
        if !sane {
            return Err(Error::FrameRate(num, den));
        }
        let divisor = gcd(num, den);
        Ok(Self { num: num / divisor, den: den / divisor })
    }

    /// `(ticks per second, ticks per frame)`, both whole.
    pub(super) fn timescale(self) -> (u32, u32) {
        let frame = u64::from(USUAL_TIMESCALE) * u64::from(self.den);
        if frame.is_multiple_of(u64::from(self.num)) {
            let ticks = u32::try_from(frame / u64::from(self.num)).unwrap_or(u32::MAX);
            return (USUAL_TIMESCALE, ticks);
        }
        let factor = MIN_TIMESCALE.div_ceil(self.num).max(1);
        (self.num.saturating_mul(factor), self.den.saturating_mul(factor))
    }

    /// Frames in `ms`, to the nearest.
    pub(super) fn frames(self, ms: u32) -> u64 {
        let twice = scale(2 * u64::from(ms), u64::from(self.num), 1000 * u64::from(self.den));
        twice.div_ceil(2)
    }

    /// Start of frame `count` in nanoseconds.
    pub(super) fn ns(self, count: u64) -> u64 {
        scale(count, NS * u64::from(self.den), u64::from(self.num))
    }

    /// Start of frame `count` in samples of `rate`, to the nearest.
    pub(super) fn samples(self, count: u64, rate: u32) -> u64 {
        scale(2 * count, u64::from(rate) * u64::from(self.den), u64::from(self.num)).div_ceil(2)
    }
}

fn gcd(a: u32, b: u32) -> u32 {
    if b == 0 { a.max(1) } else { gcd(b, a % b) }
}

/// A configured part of 333 ms means a third of a second: it may be this much of a frame short of whole frames.
const FRAME_TOLERANCE_DIV: u64 = 10;
/// All parts of a segment but its last have at least this share of PART-TARGET (RFC 8216bis 4.4.4.9).
const MIN_PART_PERCENT: u64 = 85;
/// Parts are made of pairs of frames where that is possible, so that a rung at half rate has the same ones.
const PAIR: u64 = 2;

/// Where the parts of a segment end, in frames from its start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct PartGrid {
    /// Ends within a segment of nominal length, rising, the last one is the nominal length.
    ends: Vec<u64>,
    /// Longest part.
    pub(super) longest: u64,
}

impl PartGrid {
    /// Divides a segment of `segment` frames into parts of at most `part_ms`, as even as the frames allow.
    /// `segment` is `None` when nobody knows beforehand where segments end.
    pub(super) fn new(rate: FrameRate, part_ms: u32, segment: Option<u64>) -> Self {
        let most = Self::most_frames(rate, part_ms);
        let pair_fits = most >= 2 * PAIR || (most == PAIR);
        let unit =
            if pair_fits && segment.is_none_or(|segment| segment.is_multiple_of(PAIR)) { PAIR } else { 1 };
        let most = (most - most % unit).max(1);
        let Some(segment) = segment else {
            return Self { ends: vec![most], longest: most };
        };
        let parts = segment.div_ceil(most);
        let units = segment / unit;
        let even: Vec<u64> = (1..=parts).map(|part| unit * scale_up(part, units, parts)).collect();
        let sizes = |ends: &[u64]| -> Vec<u64> {
            let starts = std::iter::once(0).chain(ends.iter().copied());
            ends.iter().copied().zip(starts).map(|(end, start)| end - start).collect()
        };
        let even_sizes = sizes(&even);
        let longest = even_sizes.iter().copied().max().unwrap_or(most);
        let all_but_last = even_sizes.split_last().map(|(_, rest)| rest).unwrap_or_default();
        if all_but_last.iter().all(|size| size * 100 >= longest * MIN_PART_PERCENT) {
            return Self { ends: even, longest };
        }
        let ends = (1..=parts).map(|part| (part * most).min(segment)).collect();
        Self { ends, longest: most.min(segment) }
    }

    fn most_frames(rate: FrameRate, part_ms: u32) -> u64 {
        let (num, den) = (u64::from(rate.num), 1000 * u64::from(rate.den));
        let tenths = scale(FRAME_TOLERANCE_DIV * u64::from(part_ms), num, den);
        ((tenths + 1) / FRAME_TOLERANCE_DIV).max(1)
    }

    /// The end of the part that a sample from `start` to `end` belongs to when it is the part's first one, in frames
    /// from the segment's start.
    pub(super) fn end_of_part(&self, start: u64, end: u64) -> u64 {
        (start + self.longest).min(self.first_end_from(end)).max(end)
    }

    /// The end of the part that a sample that starts at `start` lies in.
    pub(super) fn start_of_part(&self, start: u64) -> u64 {
        let nominal = self.ends.last().copied().unwrap_or(self.longest).max(1);
        if start >= nominal {
            return nominal + (start - nominal) / self.longest * self.longest;
        }
        self.ends.iter().copied().take_while(|end| *end <= start).last().unwrap_or(0)
    }

    fn first_end_from(&self, position: u64) -> u64 {
        match self.ends.iter().copied().find(|end| *end >= position) {
            Some(end) => end,
            // Beyond the nominal length: parts go on at their longest.
            None => {
                let nominal = self.ends.last().copied().unwrap_or(0);
                nominal + (position - nominal).div_ceil(self.longest.max(1)) * self.longest
            }
        }
    }
}

/// PART-TARGET is written with five decimals: this many nanoseconds.
const TARGET_STEP_NS: u64 = 10_000;

/// The smallest target that no part of `ns` exceeds, neither before nor after rendering.
pub(super) fn part_target(ns: u64) -> u64 {
    ns.div_ceil(TARGET_STEP_NS) * TARGET_STEP_NS
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn rate(num: u32, den: u32) -> FrameRate {
        FrameRate::new((num, den)).unwrap()
    }

    #[test]
    fn a_frame_is_a_whole_number_of_ticks() {
        assert_eq!(rate(30, 1).timescale(), (90_000, 3000));
        assert_eq!(rate(60, 2).timescale(), (90_000, 3000));
        assert_eq!(rate(30_000, 1001).timescale(), (90_000, 3003));
        assert_eq!(rate(60_000, 1001).timescale(), (60_000, 1001));
        assert_eq!(rate(24_000, 1001).timescale(), (24_000, 1001));
        assert_eq!(rate(7, 1).timescale(), (10_003, 1429));
        assert!(FrameRate::new((30, 0)).is_err());
        assert!(FrameRate::new((1000, 1)).is_err());
        assert!(FrameRate::new((1, 2)).is_err());
    }

    #[test]
    fn parts_are_even() {
        let grid = |num, den, part_ms, segment| PartGrid::new(rate(num, den), part_ms, Some(segment));
        assert_eq!(grid(30, 1, 333, 60).ends, [10, 20, 30, 40, 50, 60]);
        assert_eq!(grid(30_000, 1001, 333, 60).ends, [10, 20, 30, 40, 50, 60]);
        assert_eq!(grid(60, 1, 333, 120).longest, 20);
        assert_eq!(grid(30, 1, 200, 60).longest, 6);
        assert_eq!(grid(30, 1, 200, 60).ends.len(), 10);
        assert_eq!(grid(25, 1, 333, 50).ends, [8, 16, 24, 32, 40, 48, 50]);
        assert_eq!(grid(24, 1, 333, 48).ends, [8, 16, 24, 32, 40, 48]);
        assert_eq!(grid(30, 1, 1000, 60).ends, [30, 60]);
    }

    #[test]
    fn targets_render_exactly() {
        assert_eq!(part_target(rate(30, 1).ns(10)), 333_340_000);
        assert_eq!(part_target(rate(30, 1).ns(6)), 200_000_000);
    }

    proptest! {
        #[test]
        fn parts_keep_their_bounds(num in 5u32..240, ntsc in any::<bool>(), part_ms in 200u32..=1000) {
            let rate = if ntsc { rate(num * 1000, 1001) } else { rate(num, 1) };
            let segment = rate.frames(2000).max(1);
            let grid = PartGrid::new(rate, part_ms, Some(segment));
            prop_assert_eq!(*grid.ends.last().unwrap(), segment);
            let mut start = 0;
            for (part, end) in grid.ends.iter().copied().enumerate() {
                let size = end - start;
                prop_assert!(size >= 1 && size <= grid.longest);
                prop_assert!(size == 1 || rate.ns(size) <= u64::from(part_ms) * 1_000_000 + rate.ns(1) / 10);
                let last = part + 1 == grid.ends.len();
                prop_assert!(last || size * 100 >= grid.longest * 85, "{:?}", grid);
                prop_assert_eq!(grid.end_of_part(start, start + 1), end);
                prop_assert_eq!(grid.start_of_part(end - 1), start);
                start = end;
            }
            prop_assert_eq!(grid.end_of_part(segment, segment + 1), segment + grid.longest);
        }
    }
}
