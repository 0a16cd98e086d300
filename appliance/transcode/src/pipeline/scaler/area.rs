//! Pictures made smaller by the ratios that ladders have, each new pixel the mean of the area that it covers. Few lines that
//! the compiler turns into vector instructions: what a general scaler takes for the same is several times as much.

/// So many pixels become so many.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ratio {
    /// 1440p to 1080p.
    FourToThree,
    /// 1080p to 720p.
    ThreeToTwo,
    /// 720p to 360p.
    TwoToOne,
    /// 1080p to 360p.
    ThreeToOne,
    /// 1440p to 360p.
    FourToOne,
}

/// Weights are parts of this.
const ONE: u16 = 256;

impl Ratio {
    /// `None` when the sizes have another ratio, or do not come out even in every plane of I420.
    #[must_use]
    pub fn between(from: (u32, u32), to: (u32, u32)) -> Option<Self> {
        [Self::FourToThree, Self::ThreeToTwo, Self::TwoToOne, Self::ThreeToOne, Self::FourToOne]
            .into_iter()
            .find(|ratio| {
                let (taken, made) = ratio.counts();
                // Two: the chroma planes are half as large.
                let fits = |from: u32, to: u32| from.is_multiple_of(2 * taken) && from / taken * made == to;
                fits(from.0, to.0) && fits(from.1, to.1)
            })
    }

    const fn counts(self) -> (u32, u32) {
        match self {
            Self::FourToThree => (4, 3),
            Self::ThreeToTwo => (3, 2),
            Self::TwoToOne => (2, 1),
            Self::ThreeToOne => (3, 1),
            Self::FourToOne => (4, 1),
        }
    }
}

/// One plane in memory.
#[derive(Debug, Clone, Copy)]
pub struct Size {
    pub width: usize,
    pub height: usize,
    /// Bytes from one line to the next.
    pub stride: usize,
}

/// Makes `to` of `from`. `line` is room for one line of `from`, kept between calls. Lines that are not there are left out.
pub fn shrink(ratio: Ratio, from: (&[u8], Size), to: (&mut [u8], Size), line: &mut Vec<u8>) {
    line.resize(from.1.width, 0);
    #[cfg(target_arch = "x86_64")]
    if std::arch::is_x86_feature_detected!("avx2") {
        #[allow(unsafe_code, reason = "the only way to code that not every x86-64 processor runs")]
        // SAFETY: this processor has what the function is compiled for.
        return unsafe { with_avx2(ratio, from, to, line) };
    }
    by_ratio(ratio, from, to, line);
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn with_avx2(ratio: Ratio, from: (&[u8], Size), to: (&mut [u8], Size), line: &mut [u8]) {
    by_ratio(ratio, from, to, line);
}

/// Inlined, so that it is compiled for the processor of the caller.
#[inline(always)]
fn by_ratio(ratio: Ratio, from: (&[u8], Size), to: (&mut [u8], Size), line: &mut [u8]) {
    match ratio {
        Ratio::FourToThree => plane::<4, 3>(from, to, line),
        Ratio::ThreeToTwo => plane::<3, 2>(from, to, line),
        Ratio::TwoToOne => plane::<2, 1>(from, to, line),
        Ratio::ThreeToOne => plane::<3, 1>(from, to, line),
        Ratio::FourToOne => plane::<4, 1>(from, to, line),
    }
}

/// First the lines, since that leaves fewer for the columns, which cost more.
#[inline(always)]
fn plane<const IN: usize, const OUT: usize>(
    (from, size): (&[u8], Size),
    (to, made): (&mut [u8], Size),
    line: &mut [u8],
) {
    let weights = const { weights::<IN, OUT>() };
    let mut targets = to.chunks_mut(made.stride.max(1)).take(made.height);
    for group in from.chunks(size.stride.max(1) * IN).take(size.height / IN) {
        let mut rows: [&[u8]; IN] = [&[]; IN];
        for (row, bytes) in rows.iter_mut().zip(group.chunks(size.stride.max(1))) {
            *row = bytes.get(..size.width).unwrap_or_default();
        }
        for shares in &weights {
            let Some(target) = targets.next().and_then(|target| target.get_mut(..made.width)) else { return };
            lines(&rows, shares, line);
            columns::<IN, OUT>(line, target);
        }
    }
}

/// So many pixels at a time: two vectors of the processors that have small ones.
const LANES: usize = 32;

/// The mean of several lines.
#[inline(always)]
fn lines<const IN: usize>(rows: &[&[u8]; IN], shares: &[u16; IN], out: &mut [u8]) {
    let (targets, rest) = out.as_chunks_mut::<LANES>();
    let whole = targets.len() * LANES;
    for (at, target) in targets.iter_mut().enumerate() {
        let mut sums = [ONE / 2; LANES];
        for (row, share) in rows.iter().zip(shares) {
            let Some(pixels) = row.get(at * LANES..).and_then(|row| row.first_chunk::<LANES>()) else {
                return;
            };
            for (sum, pixel) in sums.iter_mut().zip(pixels) {
                *sum = add(*sum, *pixel, *share);
            }
        }
        *target = sums.map(top);
    }
    for (x, target) in rest.iter_mut().enumerate() {
        let pixels = rows.map(|row| row.get(whole + x).copied().unwrap_or_default());
        *target = mean(&pixels, shares);
    }
}

/// Groups of `IN` pixels to groups of `OUT`.
#[inline(always)]
fn columns<const IN: usize, const OUT: usize>(line: &[u8], out: &mut [u8]) {
    let weights = const { weights::<IN, OUT>() };
    let (groups, _) = line.as_chunks::<IN>();
    let (targets, _) = out.as_chunks_mut::<OUT>();
    for (group, target) in groups.iter().zip(targets) {
        for (target, shares) in target.iter_mut().zip(&weights) {
            *target = mean(group, shares);
        }
    }
}

#[inline(always)]
fn mean<const IN: usize>(pixels: &[u8; IN], shares: &[u16; IN]) -> u8 {
    top(pixels.iter().zip(shares).fold(ONE / 2, |sum, (pixel, share)| add(sum, *pixel, *share)))
}

/// Cannot wrap, since shares add up to [`ONE`]: 128 + 255 * 256 fits. Said, because a check for it in development builds
/// would keep the compiler from using vectors.
#[inline(always)]
const fn add(sum: u16, pixel: u8, share: u16) -> u16 {
    sum.wrapping_add((pixel as u16).wrapping_mul(share))
}

#[inline(always)]
#[allow(
    clippy::cast_possible_truncation,
    reason = "at most 255 * 256 + 128, of which the upper byte is taken"
)]
const fn top(sum: u16) -> u8 {
    (sum >> 8) as u8
}

/// How much each of `IN` pixels in a row weighs in each of the `OUT` that cover the same length.
const fn weights<const IN: usize, const OUT: usize>() -> [[u16; IN]; OUT] {
    let mut weights = [[0; IN]; OUT];
    let mut out = 0;
    while out < OUT {
        // In parts of 1/OUT pixel: the target covers IN of them from here on.
        let (start, end) = (out * IN, (out + 1) * IN);
        let mut left = ONE;
        let mut heaviest = 0;
        let mut pixel = 0;
        while pixel < IN {
            let (from, to) = (pixel * OUT, (pixel + 1) * OUT);
            let low = if from > start { from } else { start };
            let high = if to < end { to } else { end };
            if high > low {
                #[allow(clippy::cast_possible_truncation, reason = "a part of 256")]
                let share = ((high - low) * ONE as usize / IN) as u16;
                #[allow(clippy::indexing_slicing, reason = "checked by the compiler: this is a constant")]
                {
                    weights[out][pixel] = share;
                    left -= share;
                    if share > weights[out][heaviest] {
                        heaviest = pixel;
                    }
                }
            }
            pixel += 1;
        }
        // What rounding left goes where it is least seen; white stays white.
        #[allow(clippy::indexing_slicing, reason = "checked by the compiler: this is a constant")]
        {
            weights[out][heaviest] += left;
        }
        out += 1;
    }
    weights
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Ratio; 5] =
        [Ratio::FourToThree, Ratio::ThreeToTwo, Ratio::TwoToOne, Ratio::ThreeToOne, Ratio::FourToOne];

    #[test]
    fn ladders_have_these_ratios() {
        for (from, to, ratio) in [
            ((1920, 1080), (1280, 720), Some(Ratio::ThreeToTwo)),
            ((1920, 1080), (640, 360), Some(Ratio::ThreeToOne)),
            ((1280, 720), (640, 360), Some(Ratio::TwoToOne)),
            ((2560, 1440), (1920, 1080), Some(Ratio::FourToThree)),
            ((2560, 1440), (640, 360), Some(Ratio::FourToOne)),
            ((1080, 1920), (720, 1280), Some(Ratio::ThreeToTwo)),
            // Not the same ratio both ways, not even, larger, the same.
            ((1440, 1080), (1280, 720), None),
            ((854, 480), (640, 360), None),
            ((1278, 720), (639, 360), None),
            ((640, 360), (1280, 720), None),
            ((1280, 720), (1280, 720), None),
        ] {
            assert_eq!(Ratio::between(from, to), ratio, "{from:?} to {to:?}");
        }
    }

    #[test]
    fn weights_are_areas_and_make_a_whole() {
        assert_eq!(weights::<3, 2>(), [[171, 85, 0], [0, 85, 171]]);
        assert_eq!(weights::<2, 1>(), [[128, 128]]);
        assert_eq!(weights::<3, 1>(), [[86, 85, 85]]);
        assert_eq!(weights::<4, 3>(), [[192, 64, 0, 0], [0, 128, 128, 0], [0, 0, 64, 192]]);
    }

    /// By the definition: every target's area in the source, in floating point.
    fn reference(ratio: Ratio, from: &[u8], size: Size, to: Size) -> Vec<f64> {
        let (taken, made) = ratio.counts();
        let step = f64::from(taken) / f64::from(made);
        let cover = |at: usize, pixel: usize| {
            let (low, high) = (at as f64 * step, (at + 1) as f64 * step);
            (high.min((pixel + 1) as f64) - low.max(pixel as f64)).max(0.0) / step
        };
        let mut out = Vec::new();
        for y in 0..to.height {
            for x in 0..to.width {
                let mut sum = 0.0;
                for row in 0..size.height {
                    for column in 0..size.width {
                        sum += cover(y, row) * cover(x, column) * f64::from(from[row * size.stride + column]);
                    }
                }
                out.push(sum);
            }
        }
        out
    }

    #[test]
    fn each_pixel_is_the_mean_of_its_area() {
        for ratio in ALL {
            let (taken, made) = ratio.counts();
            let (taken, made) = (taken as usize, made as usize);
            // Wide enough for whole vectors and a rest; lines are longer than what is seen of them.
            let size = Size { width: 37 * taken, height: 2 * taken, stride: 37 * taken + 5 };
            let to = Size { width: 37 * made, height: 2 * made, stride: 37 * made + 3 };
            let from: Vec<u8> =
                (0..size.stride * size.height).map(|at| u8::try_from(at * at * 31 % 256).unwrap()).collect();
            let mut out = vec![77; to.stride * to.height];
            shrink(ratio, (&from, size), (&mut out, to), &mut Vec::new());
            for (at, expected) in reference(ratio, &from, size, to).into_iter().enumerate() {
                let (y, x) = (at / to.width, at % to.width);
                let got = f64::from(out[y * to.stride + x]);
                assert!((got - expected).abs() <= 2.0, "{ratio:?} at {x},{y}: {got} for {expected}");
            }
            assert!(out.chunks(to.stride).all(|line| line[to.width..].iter().all(|byte| *byte == 77)));
        }
    }

    #[test]
    fn black_and_white_stay_as_they_are() {
        for ratio in ALL {
            let (taken, made) = ratio.counts();
            let side = |count: u32| Size { width: 8 * count as usize, height: 8, stride: 8 * count as usize };
            for value in [0, 16, 235, 255] {
                let from = vec![value; 8 * 8 * taken as usize];
                let mut out = vec![1; 8 * 8 * made as usize];
                let size = Size { height: 8 / taken as usize * taken as usize, ..side(taken) };
                shrink(ratio, (&from, size), (&mut out, side(made)), &mut Vec::new());
                let lines = size.height / taken as usize * made as usize;
                assert!(
                    out[..lines * 8 * made as usize].iter().all(|made| *made == value),
                    "{ratio:?} {value}"
                );
            }
        }
    }

    #[test]
    fn a_plane_that_is_too_short_is_no_panic() {
        let size = Size { width: 6, height: 6, stride: 6 };
        for len in [0, 5, 20, 36] {
            let mut out = vec![0; 4 * 2];
            let made = Size { width: 4, height: 4, stride: 4 };
            shrink(Ratio::ThreeToTwo, (&vec![1; len], size), (&mut out, made), &mut Vec::new());
        }
    }
}
