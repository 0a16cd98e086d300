//! Which rungs a source gets, how large they are and at what rate. Pure arithmetic: what a machine
//! can carry is decided in [`crate::capacity`], how rungs are encoded in [`crate::pipeline`].

use nodi_protocol::RenditionName;

use crate::config;
use crate::rate::FrameRate;

/// A rung larger than the source by less than this is taken at the source's own size: 1916x1076 is
/// meant to be 1080p.
const NEARLY: f64 = 1.05;

/// No rung of a scaled-down bitrate gets less than this: x264 cannot hold a picture below it.
const LOWEST_BITRATE: u32 = 150_000;

/// The lowest size of an edge that encoders and hardware scalers take.
const SMALLEST_EDGE: u32 = 16;

/// The picture that comes in, after the sample aspect ratio has been applied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Picture {
    /// In square pixels.
    pub width: u32,
    pub height: u32,
    pub frame_rate: FrameRate,
}

/// One rung to encode.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rung {
    pub name: RenditionName,
    pub width: u32,
    pub height: u32,
    /// In bit/s.
    pub bitrate: u32,
    /// This rung gets every second frame of the common grid.
    pub half_rate: bool,
}

/// What is encoded of one source, the top rung first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ladder {
    /// The grid that all rungs share.
    pub frame_rate: FrameRate,
    /// On the grid of [`Ladder::frame_rate`]; key frames are this far apart on every rung.
    pub frames_per_segment: u64,
    /// Never empty.
    pub rungs: Vec<Rung>,
}

impl Picture {
    /// A coded size and its sample aspect ratio as square pixels; the height stays.
    #[must_use]
    pub fn new(width: u32, height: u32, sample_aspect: (u32, u32), frame_rate: FrameRate) -> Self {
        let (num, den) = sample_aspect;
        let width = match (num, den) {
            (0, _) | (_, 0) => width,
            // More than 4:1 is a damaged header, not a camera.
            (num, den) if num > den.saturating_mul(4) || den > num.saturating_mul(4) => width,
            (num, den) => even(f64::from(width) * f64::from(num) / f64::from(den)),
        };
        Self { width: width.max(SMALLEST_EDGE), height: height.max(SMALLEST_EDGE), frame_rate }
    }
}

impl Rung {
    /// Pixels per second that this rung's encoder gets to see, on the grid of `rate`.
    #[must_use]
    pub fn pixel_rate(&self, rate: FrameRate) -> f64 {
        let fps = if self.half_rate { rate.fps() / 2.0 } else { rate.fps() };
        f64::from(self.width) * f64::from(self.height) * fps
    }
}

impl Ladder {
    /// The configured rungs that fit into `source`: never larger than it, with its aspect ratio, in
    /// even sizes.
    #[must_use]
    pub fn for_source(source: Picture, configured: &[config::Rung], segment: std::time::Duration) -> Self {
        let mut sorted: Vec<&config::Rung> = configured.iter().collect();
        sorted.sort_by_key(|rung| std::cmp::Reverse(rung.height));
        let mut rungs: Vec<Rung> = sorted.iter().filter_map(|rung| fit(source, rung, NEARLY)).collect();
        if rungs.is_empty() {
            rungs.extend(sorted.last().and_then(|rung| fit(source, rung, f64::INFINITY)));
        }
        Self {
            frame_rate: source.frame_rate,
            frames_per_segment: source.frame_rate.frames_per_segment(segment),
            rungs,
        }
    }
}

/// `rung`'s height is that of the landscape picture; portrait pictures lie in the same box turned.
fn fit(source: Picture, rung: &config::Rung, most: f64) -> Option<Rung> {
    let long = f64::from(rung.height) * 16.0 / 9.0;
    let short = f64::from(rung.height);
    let (width, height) = (f64::from(source.width), f64::from(source.height));
    let (source_long, source_short) = if width >= height { (width, height) } else { (height, width) };
    let scale = (long / source_long).min(short / source_short);
    if scale > most {
        return None;
    }
    let (bitrate, scale) = if scale > 1.0 {
        let pixels = 1.0 / (scale * scale);
        (scaled_bitrate(rung.bitrate, pixels), 1.0)
    } else {
        (rung.bitrate, scale)
    };
    Some(Rung {
        name: rung.name.clone(),
        width: even(width * scale),
        height: even(height * scale),
        bitrate,
        half_rate: false,
    })
}

#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a configured bitrate times a factor between 0 and 1"
)]
fn scaled_bitrate(bitrate: u32, factor: f64) -> u32 {
    ((f64::from(bitrate) * factor) as u32).max(LOWEST_BITRATE.min(bitrate))
}

/// The nearest even number of pixels, at least [`SMALLEST_EDGE`]: 4:2:0 pictures have no odd edge.
#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a picture edge, at most 16 bits out of the sequence header"
)]
fn even(pixels: f64) -> u32 {
    (((pixels / 2.0).round() as u32) * 2).max(SMALLEST_EDGE)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    fn ladder(width: u32, height: u32) -> Vec<(String, u32, u32)> {
        let source = Picture::new(width, height, (1, 1), FrameRate::new(30, 1));
        Ladder::for_source(source, &config::default_ladder(), Duration::from_secs(2))
            .rungs
            .into_iter()
            .map(|rung| (rung.name.to_string(), rung.width, rung.height))
            .collect()
    }

    fn expect(width: u32, height: u32, rungs: &[(&str, u32, u32)]) {
        let expected: Vec<_> = rungs.iter().map(|(name, w, h)| ((*name).to_owned(), *w, *h)).collect();
        assert_eq!(ladder(width, height), expected, "for {width}x{height}");
    }

    #[test]
    fn landscape_sources() {
        expect(1920, 1080, &[("1080p", 1920, 1080), ("720p", 1280, 720), ("360p", 640, 360)]);
        expect(3840, 2160, &[("1080p", 1920, 1080), ("720p", 1280, 720), ("360p", 640, 360)]);
        expect(1280, 720, &[("720p", 1280, 720), ("360p", 640, 360)]);
        expect(1600, 900, &[("720p", 1280, 720), ("360p", 640, 360)]);
        expect(854, 480, &[("360p", 640, 360)]);
    }

    #[test]
    fn nearly_a_rung_keeps_its_own_size() {
        expect(1916, 1076, &[("1080p", 1916, 1076), ("720p", 1280, 718), ("360p", 640, 360)]);
    }

    #[test]
    fn other_shapes_keep_their_aspect_ratio() {
        expect(1440, 1080, &[("1080p", 1440, 1080), ("720p", 960, 720), ("360p", 480, 360)]);
        expect(2560, 1080, &[("1080p", 1920, 810), ("720p", 1280, 540), ("360p", 640, 270)]);
        expect(1920, 800, &[("1080p", 1920, 800), ("720p", 1280, 534), ("360p", 640, 266)]);
    }

    #[test]
    fn portrait_sources() {
        expect(1080, 1920, &[("1080p", 1080, 1920), ("720p", 720, 1280), ("360p", 360, 640)]);
        expect(720, 1280, &[("720p", 720, 1280), ("360p", 360, 640)]);
    }

    #[test]
    fn a_source_below_the_lowest_rung_gets_one_at_its_own_size() {
        expect(320, 180, &[("360p", 320, 180)]);
        expect(319, 181, &[("360p", 320, 182)]);
        let source = Picture::new(320, 180, (1, 1), FrameRate::new(30, 1));
        let ladder = Ladder::for_source(source, &config::default_ladder(), Duration::from_secs(2));
        assert_eq!(ladder.rungs[0].bitrate, 200_000);
    }

    #[test]
    fn sample_aspect_ratios_become_square_pixels() {
        let rate = FrameRate::new(25, 1);
        assert_eq!(Picture::new(720, 576, (64, 45), rate).width, 1024);
        assert_eq!(Picture::new(720, 576, (0, 0), rate).width, 720);
        assert_eq!(Picture::new(720, 576, (1000, 1), rate).width, 720);
    }

    proptest! {
        #[test]
        fn never_upscales_and_is_even(width in 16u32..8192, height in 16u32..8192) {
            let source = Picture::new(width, height, (1, 1), FrameRate::new(30, 1));
            let ladder = Ladder::for_source(source, &config::default_ladder(), Duration::from_secs(2));
            prop_assert!(!ladder.rungs.is_empty());
            for rung in &ladder.rungs {
                prop_assert!(rung.width.is_multiple_of(2) && rung.height.is_multiple_of(2));
                prop_assert!(rung.width <= width + 1 && rung.height <= height + 1);
                prop_assert!(rung.bitrate > 0);
            }
            prop_assert!(ladder.rungs.windows(2).all(|pair| pair[0].width >= pair[1].width));
        }
    }
}
