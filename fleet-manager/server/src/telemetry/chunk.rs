//! How time is cut: a box's full rate in chunks of ten minutes, its minutes in chunks of an hour. Each box cuts at a
//! place of its own, so that a fleet does not write all its chunks in one second.

use std::time::Duration;

use super::sample::{Sample, merge};

/// Full rate is kept for so long.
pub const FULL_RATE: Duration = Duration::from_secs(2 * 3600);
/// Minutes are kept for so long.
pub const KEEP_MINUTES: Duration = Duration::from_secs(7 * 24 * 3600);
/// Length of a chunk at full rate, in seconds.
pub(super) const CHUNK_S: i64 = 600;
/// Length of a chunk of minutes, in seconds; a multiple of [`CHUNK_S`], so that a chunk lies in one hour.
pub(super) const HOUR_S: i64 = 3_600;
const MINUTE_MS: i64 = 60_000;
/// Bits of a row's key below the box's number.
const BITS: u32 = 32;

/// Where a box cuts, in seconds after a whole hour: whole minutes, spread over the hour.
fn offset_s(box_no: i64) -> i64 {
    // 37 has no common divisor with 60: neighbours are far apart and every minute is used.
    box_no.wrapping_mul(37).rem_euclid(HOUR_S / 60) * 60
}

/// The chunk at full rate that `at_ms` is in.
pub(super) fn chunk_of(box_no: i64, at_ms: i64) -> i64 {
    (at_ms.div_euclid(1_000) + offset_s(box_no)).div_euclid(CHUNK_S)
}

/// The hour that a chunk is in.
pub(super) fn hour_of_chunk(chunk: i64) -> i64 {
    chunk.div_euclid(HOUR_S / CHUNK_S)
}

pub(super) fn hour_of(box_no: i64, at_ms: i64) -> i64 {
    hour_of_chunk(chunk_of(box_no, at_ms))
}

/// The end of a chunk at full rate, in milliseconds since the Unix epoch.
pub(super) fn end_ms(box_no: i64, chunk: i64) -> i64 {
    ((chunk + 1) * CHUNK_S - offset_s(box_no)) * 1_000
}

/// Key of a row: the box's number above, the chunk's or the hour's below, so that what belongs together lies together.
pub(super) fn key(box_no: i64, number: i64) -> i64 {
    (box_no << BITS) | (number & ((1 << BITS) - 1))
}

/// Samples in order of time, each instant once; the later of two replaces the earlier.
pub(super) fn in_order(mut samples: Vec<Sample>) -> Vec<Sample> {
    samples.reverse();
    samples.sort_by_key(|sample| sample.at_ms);
    samples.dedup_by_key(|sample| sample.at_ms);
    samples
}

/// `samples`, in order of time, as one per minute, each at the minute's begin.
pub(super) fn minutes(samples: &[Sample]) -> Vec<Sample> {
    let minute = |sample: &Sample| sample.at_ms.div_euclid(MINUTE_MS);
    samples
        .chunk_by(|a, b| minute(a) == minute(b))
        .filter_map(|group| merge(group.iter(), minute(group.first()?) * MINUTE_MS))
        .collect()
}

/// The hour's minutes with `new` in the place of those of the same time.
pub(super) fn replaced(old: Vec<Sample>, new: Vec<Sample>) -> Vec<Sample> {
    in_order(old.into_iter().chain(new).collect())
}

#[cfg(test)]
mod tests {
    use super::super::sample::{SERIES, Which};
    use super::*;

    fn at(at_ms: i64, cpu: f32) -> Sample {
        let mut values = [f32::NAN; SERIES];
        values[Which::Cpu as usize] = cpu;
        Sample { at_ms, values }
    }

    #[test]
    fn chunks_lie_in_hours_and_minutes_in_chunks() {
        for box_no in 1..200 {
            for at_ms in (1_800_000_000_000_i64..1_800_007_200_000).step_by(7_919) {
                let chunk = chunk_of(box_no, at_ms);
                assert!(at_ms < end_ms(box_no, chunk) && at_ms >= end_ms(box_no, chunk - 1));
                let minute = at_ms.div_euclid(MINUTE_MS) * MINUTE_MS;
                assert_eq!(chunk_of(box_no, minute), chunk, "a minute is in one chunk");
                assert_eq!(hour_of(box_no, at_ms), hour_of_chunk(chunk));
            }
        }
        assert!(key(2, 0) > key(1, u32::MAX.into()));
    }

    #[test]
    fn minutes_are_made_of_what_fell_into_them() {
        let samples = [at(60_000, 0.2), at(90_000, 0.4), at(180_000, 1.0)];
        let minutes = minutes(&samples);
        assert_eq!(minutes.iter().map(|minute| minute.at_ms).collect::<Vec<_>>(), [60_000, 180_000]);
        assert!((minutes[0].get(Which::Cpu).unwrap() - 0.3).abs() < 1e-6);
    }

    #[test]
    fn the_later_of_two_of_one_instant_counts() {
        let ordered = in_order(vec![at(2, 0.1), at(1, 0.2), at(2, 0.3)]);
        assert_eq!(ordered.iter().map(|sample| sample.at_ms).collect::<Vec<_>>(), [1, 2]);
        assert_eq!(ordered[1].get(Which::Cpu), Some(0.3));
    }
}
