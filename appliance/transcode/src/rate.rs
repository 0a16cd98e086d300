//! Frame rates: the exact fractions that television and encoders use, and what becomes of a source's
//! measured or announced rate. Not for timestamps of the source; see [`crate::timeline`].

use std::fmt;
use std::time::Duration;

/// Frames per second as an exact fraction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct FrameRate {
    pub num: u32,
    pub den: u32,
}

const NANOS: u128 = 1_000_000_000;

/// What a source is snapped to. Players, encoders and decoders know these; a rate between them is a
/// measurement error or a variable frame rate.
const GRID: [FrameRate; 8] = [
    FrameRate::new(24_000, 1001),
    FrameRate::new(24, 1),
    FrameRate::new(25, 1),
    FrameRate::new(30_000, 1001),
    FrameRate::new(30, 1),
    FrameRate::new(50, 1),
    FrameRate::new(60_000, 1001),
    FrameRate::new(60, 1),
];

/// Above this a source is halved: no rung is sent with more than 60 frames per second.
const HIGHEST: f64 = 61.0;

/// Below this a source is multiplied, so that each of its frames is shown equally often.
const LOWEST: f64 = 22.0;

impl FrameRate {
    #[must_use]
    pub const fn new(num: u32, den: u32) -> Self {
        Self { num, den }
    }

    /// The rate of the grid for a source that runs at `fps`; 30 when `fps` is no rate at all.
    #[must_use]
    pub fn snap(fps: f64) -> Self {
        if !fps.is_finite() || fps <= 0.0 {
            return Self::new(30, 1);
        }
        let mut fps = fps.clamp(1.0, 1000.0);
        while fps > HIGHEST {
            fps /= 2.0;
        }
        if fps < LOWEST {
            fps *= (LOWEST / fps).ceil();
        }
        let distance = |rate: &Self| (rate.fps() / fps).ln().abs();
        GRID.into_iter().min_by(|a, b| distance(a).total_cmp(&distance(b))).unwrap_or(Self::new(30, 1))
    }

    #[must_use]
    pub fn fps(self) -> f64 {
        f64::from(self.num) / f64::from(self.den)
    }

    /// The number of the frame that is shown at `ns`, to the nearest.
    #[must_use]
    pub fn index_at(self, ns: u64) -> u64 {
        let den = NANOS * u128::from(self.den);
        let frames = (u128::from(ns) * u128::from(self.num) + den / 2) / den;
        u64::try_from(frames).unwrap_or(u64::MAX)
    }

    /// When frame `index` starts, in nanoseconds.
    #[must_use]
    pub fn time_of(self, index: u64) -> u64 {
        let num = u128::from(self.num.max(1));
        let ns = (u128::from(index) * NANOS * u128::from(self.den) + num / 2) / num;
        u64::try_from(ns).unwrap_or(u64::MAX)
    }

    /// How many frames make one segment of about `target`: even, so that a rung at half the frame
    /// rate has a frame at every boundary too.
    #[must_use]
    pub fn frames_per_segment(self, target: Duration) -> u64 {
        #[allow(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a segment of configured length (seconds) at up to 60 frames a second"
        )]
        let frames = (target.as_secs_f64() * self.fps()).round().max(1.0) as u64;
        frames.next_multiple_of(2)
    }
}

impl fmt::Display for FrameRate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.num, self.den)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_snap_to_the_grid() {
        for (fps, expected) in [
            (30.0, (30, 1)),
            (29.97, (30_000, 1001)),
            (29.99, (30, 1)),
            (23.976, (24_000, 1001)),
            (25.0, (25, 1)),
            (27.0, (25, 1)),
            (59.94, (60_000, 1001)),
            (60.0, (60, 1)),
            (120.0, (60, 1)),
            (144.0, (30, 1)),
            (100.0, (50, 1)),
            (15.0, (30, 1)),
            (10.0, (30, 1)),
            (12.5, (25, 1)),
            (1.0, (24_000, 1001)),
            (0.0, (30, 1)),
            (f64::NAN, (30, 1)),
        ] {
            let rate = FrameRate::snap(fps);
            if fps == 144.0 || fps == 1.0 {
                assert!(rate.fps() <= 60.0 && rate.fps() >= 23.9, "{fps} became {rate}");
            } else {
                assert_eq!((rate.num, rate.den), expected, "{fps}");
            }
        }
    }

    #[test]
    fn frame_numbers_and_times_are_inverse() {
        for rate in GRID {
            for index in [0, 1, 59, 60, 1_000_003, 500_000_000] {
                assert_eq!(rate.index_at(rate.time_of(index)), index, "{rate}");
            }
        }
    }

    #[test]
    fn segments_hold_an_even_number_of_frames() {
        let two = Duration::from_secs(2);
        for (rate, frames) in [((30, 1), 60), ((25, 1), 50), ((24_000, 1001), 48), ((60_000, 1001), 120)] {
            assert_eq!(FrameRate::new(rate.0, rate.1).frames_per_segment(two), frames);
        }
        assert_eq!(FrameRate::new(25, 1).frames_per_segment(Duration::from_secs(1)) % 2, 0);
    }
}
