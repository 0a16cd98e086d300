//! The publisher's own pictures as the top rung: whether they can be, and where they start segments.

use std::time::Duration;

use nodi_flv::avc;

use super::gate::{Gate, Media};
use crate::cut::Frame;
use crate::rate::FrameRate;

/// The rendition's name.
pub(super) const NAME: &str = "source";

/// A key frame that is this share of a segment after the last boundary starts a segment: publishers'
/// intervals are seldom exact.
const LEAST_SHARE: f64 = 0.75;

/// Longest key-frame interval, in segments: longer segments than this cost every viewer latency.
const MOST_SEGMENTS: u32 = 2;

/// Bounds of a segment that starts at the source's key frames.
pub(super) fn bounds(segment: Duration) -> (Duration, Duration) {
    (segment.mul_f64(LEAST_SHARE), segment * MOST_SEGMENTS)
}

/// Why the source cannot be a rung itself.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Refusal {
    #[error("it has B-frames: set them to 0 in the encoder")]
    Reorders,
    #[error("its key frames are more than {} s apart: set the key-frame interval to {} s", .0.as_secs(), .1.as_secs())]
    KeyFrames(Duration, Duration),
    #[error("its pictures are not 8-bit 4:2:0, which browsers cannot show")]
    Format,
    #[error("it is interlaced")]
    Interlaced,
    #[error("the hardware encoder cannot follow its key frames")]
    BackEnd,
}

/// Looks at the first group of pictures, which `gate` has watched.
pub(super) fn check(gate: &Gate, stream: &avc::DecoderConfig, segment: Duration) -> Result<(), Refusal> {
    let sps = &stream.stream;
    let (_, longest) = bounds(segment);
    let close = gate
        .key_interval()
        .and_then(|ms| u64::try_from(ms).ok())
        .is_some_and(|ms| Duration::from_millis(ms) <= longest);
    if gate.reorders() {
        Err(Refusal::Reorders)
    } else if !close {
        Err(Refusal::KeyFrames(longest, segment))
    } else if sps.bit_depth != 8 || sps.chroma_format != 1 {
        Err(Refusal::Format)
    } else if sps.interlaced {
        Err(Refusal::Interlaced)
    } else {
        Ok(())
    }
}

/// Puts the source's pictures on the grid. A picture's duration is known when the next one is there.
#[derive(Debug)]
pub(super) struct Passthrough {
    rate: FrameRate,
    shortest: u64,
    longest: u64,
    held: Option<Frame>,
    boundary: Option<u64>,
}

/// What one picture of the source leads to.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Step {
    /// The picture before it, complete.
    pub(super) frame: Option<Frame>,
    /// Segments of all rungs start at this picture.
    pub(super) boundary: Option<u64>,
}

impl Passthrough {
    pub(super) fn new(rate: FrameRate, segment: Duration) -> Self {
        let (shortest, longest) = bounds(segment);
        let frames = |time: Duration| rate.index_at(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX));
        Self { rate, shortest: frames(shortest), longest: frames(longest), held: None, boundary: None }
    }

    /// The next picture, shown at `pts_ns` of the pipeline's clock.
    ///
    /// # Errors
    /// When the source no longer is what [`check`] accepted.
    pub(super) fn take(&mut self, media: &Media, pts_ns: u64, segment: Duration) -> Result<Step, Refusal> {
        if media.pts != media.dts {
            return Err(Refusal::Reorders);
        }
        let index = self.rate.index_at(pts_ns);
        // Two pictures in one place of the grid: a rate above the grid's. The later one is moved on.
        let index = self.held.as_ref().map_or(index, |held| index.max(held.index + 1));
        let mut boundary = None;
        if media.keyframe && self.boundary.is_none_or(|last| index >= last + self.shortest) {
            boundary = Some(index);
            self.boundary = boundary;
        }
        // Half a second more than the longest, since intervals that are just within it jitter.
        if self.boundary.is_some_and(|last| index > last + self.longest + self.rate.index_at(500_000_000)) {
            return Err(Refusal::KeyFrames(bounds(segment).1, segment));
        }
        let next = Frame { index, duration: 1, keyframe: media.keyframe, data: media.data.clone() };
        let frame = self.held.replace(next).map(|mut held| {
            held.duration = u32::try_from(index - held.index).unwrap_or(u32::MAX);
            held
        });
        Ok(Step { frame, boundary })
    }

    /// The last picture.
    pub(super) fn finish(&mut self) -> Option<Frame> {
        self.held.take()
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Instant, SystemTime};

    use bytes::Bytes;

    use super::*;
    use crate::timeline::Stream;

    const SEGMENT: Duration = Duration::from_secs(2);

    fn media(ms: i64, keyframe: bool) -> Media {
        Media {
            stream: Stream::Video,
            dts: ms,
            pts: ms,
            keyframe,
            data: Bytes::new(),
            at: Instant::now(),
            wall: SystemTime::now(),
        }
    }

    #[test]
    fn every_second_key_frame_of_one_second_starts_a_segment() {
        let mut passthrough = Passthrough::new(FrameRate::new(30, 1), SEGMENT);
        let mut boundaries = Vec::new();
        let mut next = 0;
        for frame in 0..180_i64 {
            let ms = frame * 1000 / 30;
            let pts = u64::try_from(ms).unwrap() * 1_000_000;
            let step = passthrough.take(&media(ms, frame % 30 == 0), pts, SEGMENT).unwrap();
            boundaries.extend(step.boundary);
            if let Some(frame) = step.frame {
                assert_eq!((frame.index, frame.duration), (next, 1));
                next += 1;
            }
        }
        assert_eq!(boundaries, [0, 60, 120]);
        assert_eq!(passthrough.finish().unwrap().index, 179);
    }

    #[test]
    fn a_pause_makes_a_picture_last() {
        let mut passthrough = Passthrough::new(FrameRate::new(30, 1), SEGMENT);
        passthrough.take(&media(0, true), 0, SEGMENT).unwrap();
        let step = passthrough.take(&media(500, false), 500_000_000, SEGMENT).unwrap();
        assert_eq!(step.frame.unwrap().duration, 15);
    }

    #[test]
    fn a_source_that_changes_its_habits_is_refused() {
        let mut passthrough = Passthrough::new(FrameRate::new(30, 1), SEGMENT);
        passthrough.take(&media(0, true), 0, SEGMENT).unwrap();
        let late = passthrough.take(&media(5_000, false), 5_000_000_000, SEGMENT);
        assert!(matches!(late, Err(Refusal::KeyFrames(..))));
        let mut reordered = media(33, false);
        reordered.pts += 66;
        assert_eq!(passthrough.take(&reordered, 99_000_000, SEGMENT), Err(Refusal::Reorders));
    }
}
