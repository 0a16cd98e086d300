//! The chunks that are still growing.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use super::chunk::{FULL_RATE, chunk_of, end_ms, in_order};
use super::codec::MAX_SAMPLES;
use super::sample::Sample;
use crate::clock::millis;

/// After its end a chunk waits so long for what is still on the way.
const GRACE: Duration = Duration::from_secs(20);
/// A chunk of the past (a box sends what it measured while it was offline) is stored once nothing came for so long.
const QUIET: Duration = Duration::from_secs(20);
/// Chunks that one box may have open: the full-rate window, and the one that grows.
const MAX_OPEN: usize = 14;
/// Samples from further ahead than this are a wrong clock and not kept.
const MAX_AHEAD: Duration = Duration::from_secs(300);

/// Of all boxes.
#[derive(Debug, Default)]
pub(crate) struct Gather {
    /// By the box's number, then by chunk.
    open: HashMap<i64, BTreeMap<i64, Open>>,
}

#[derive(Debug)]
struct Open {
    samples: Vec<Sample>,
    touched_ms: i64,
}

/// A chunk that is to be stored.
#[derive(Debug)]
pub(crate) struct Closed {
    pub(super) box_no: i64,
    pub(super) chunk: i64,
    pub(super) samples: Vec<Sample>,
}

impl Gather {
    /// Takes one sample. `false`: it is too old, from the future, or one too many; it is dropped.
    pub(crate) fn add(&mut self, box_no: i64, sample: Sample, now_ms: i64) -> bool {
        if sample.at_ms < now_ms - millis(FULL_RATE) || sample.at_ms > now_ms + millis(MAX_AHEAD) {
            return false;
        }
        let chunks = self.open.entry(box_no).or_default();
        let chunk = chunk_of(box_no, sample.at_ms);
        if !chunks.contains_key(&chunk) && chunks.len() >= MAX_OPEN {
            return false;
        }
        let open = chunks.entry(chunk).or_insert_with(|| Open { samples: Vec::new(), touched_ms: now_ms });
        open.touched_ms = now_ms;
        if open.samples.len() >= MAX_SAMPLES {
            return false;
        }
        open.samples.push(sample);
        true
    }

    /// The chunks that are over; they are no longer held here.
    pub(crate) fn close(&mut self, now_ms: i64) -> Vec<Closed> {
        let mut closed = Vec::new();
        self.open.retain(|box_no, chunks| {
            let over: Vec<i64> = chunks
                .iter()
                .filter(|(chunk, open)| {
                    now_ms >= end_ms(*box_no, **chunk) + millis(GRACE)
                        && now_ms >= open.touched_ms + millis(QUIET)
                })
                .map(|(chunk, _)| *chunk)
                .collect();
            for chunk in over {
                if let Some(open) = chunks.remove(&chunk) {
                    closed.push(Closed { box_no: *box_no, chunk, samples: in_order(open.samples) });
                }
            }
            !chunks.is_empty()
        });
        closed
    }

    /// What is not stored yet of one box, in order of time.
    #[must_use]
    pub(crate) fn of(&self, box_no: i64) -> Vec<Sample> {
        let chunks = self.open.get(&box_no);
        in_order(chunks.into_iter().flatten().flat_map(|(_, open)| open.samples.iter().copied()).collect())
    }

    pub(crate) fn forget(&mut self, box_no: i64) {
        self.open.remove(&box_no);
    }

    /// Samples that are not stored yet.
    #[must_use]
    pub(crate) fn held(&self) -> usize {
        self.open.values().flat_map(BTreeMap::values).map(|open| open.samples.len()).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::super::sample::SERIES;
    use super::*;

    const NOW: i64 = 1_800_000_000_000;

    fn at(at_ms: i64) -> Sample {
        Sample { at_ms, values: [0.5; SERIES] }
    }

    #[test]
    fn a_chunk_closes_after_its_end_and_only_once() {
        let mut gather = Gather::default();
        let end = end_ms(1, chunk_of(1, NOW));
        assert!(gather.add(1, at(NOW), NOW));
        assert!(gather.close(end).is_empty());
        let closed = gather.close(end + millis(GRACE).max(millis(QUIET)));
        assert_eq!(closed.len(), 1);
        assert_eq!(closed[0].samples.len(), 1);
        assert_eq!(gather.held(), 0);
    }

    #[test]
    fn what_comes_late_has_a_chunk_of_its_own_until_it_is_quiet() {
        let mut gather = Gather::default();
        let past = NOW - 3_600_000;
        assert!(gather.add(1, at(NOW), NOW));
        assert!(gather.add(1, at(past), NOW));
        assert!(gather.close(NOW + 1_000).is_empty());
        let closed = gather.close(NOW + millis(QUIET));
        assert_eq!(closed.iter().map(|one| one.samples[0].at_ms).collect::<Vec<_>>(), [past]);
        assert_eq!(gather.of(1).len(), 1);
    }

    #[test]
    fn wrong_clocks_and_floods_are_not_kept() {
        let mut gather = Gather::default();
        assert!(!gather.add(1, at(NOW - millis(FULL_RATE) - 1), NOW));
        assert!(!gather.add(1, at(NOW + millis(MAX_AHEAD) + 1), NOW));
        let taken = (0..5_000).filter(|n| gather.add(1, at(NOW + n % 2), NOW)).count();
        assert_eq!(taken, MAX_SAMPLES);
    }
}
