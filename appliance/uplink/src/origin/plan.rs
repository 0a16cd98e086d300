//! What to send to an origin and what to say about it, computed from the spool's index and from what the origin
//! holds. Pure: no clock, no network, no files.

use std::collections::{BTreeMap, BTreeSet};

use nodi_protocol::hls;
use nodi_protocol::push::Held;
use nodi_protocol::{RenditionName, SessionId};

use crate::journal::Acknowledged;
use crate::model::{Index, Segment};

/// How far one segment has come. A segment that is not in the map is missing at the origin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Upload {
    /// The origin has its first bytes, and nobody is sending the rest.
    Partial(u64),
    /// Its bytes are on their way, in time for live.
    Sending,
    /// Live has left it behind; the end of its upload has not been answered yet.
    Leaving,
    Whole,
    /// The origin will never take it, or the spool has lost it.
    Refused,
}

/// What an origin holds of one rendition of one session.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Holdings {
    pub inits: BTreeSet<u32>,
    pub segments: BTreeMap<u64, Upload>,
}

impl Holdings {
    /// From the answer to a claim. `journal` only tells segments that left the origin's window from segments
    /// that the origin lost: the origin is the authority on what it holds.
    #[must_use]
    pub(super) fn new(held: Option<&Held>, base_msn: u64, index: &Index, journal: &[Acknowledged]) -> Self {
        let Some(held) = held else { return Self::default() };
        let mut segments = BTreeMap::new();
        for (msn, bytes) in &held.segments {
            let Some(seq) = msn.checked_sub(base_msn) else { continue };
            let whole = index
                .segments
                .get(&seq)
                .and_then(|segment| segment.finished)
                .is_some_and(|finished| finished.len <= *bytes);
            segments.insert(seq, if whole { Upload::Whole } else { Upload::Partial(*bytes) });
        }
        if let Some((&oldest, _)) = segments.first_key_value() {
            let slid_out = journal.iter().filter(|row| row.whole && row.seq < oldest);
            segments.extend(slid_out.map(|row| (row.seq, Upload::Whole)));
        }
        Self { inits: held.inits.iter().copied().collect(), segments }
    }

    /// Bytes of segment `seq` that need not be sent again.
    #[must_use]
    pub(super) fn offset(&self, seq: u64) -> u64 {
        match self.segments.get(&seq) {
            Some(Upload::Partial(bytes)) => *bytes,
            _ => 0,
        }
    }

    fn is_settled(&self, seq: u64) -> bool {
        matches!(self.segments.get(&seq), Some(Upload::Whole | Upload::Refused))
    }

    /// Forgets segments before `seq`.
    pub(super) fn trim(&mut self, seq: u64) {
        self.segments = self.segments.split_off(&seq);
    }
}

/// The first segment that the origin's window still has room for.
#[must_use]
pub(super) fn window_start(index: &Index, window_ns: u64) -> u64 {
    let since = index.end_ns().saturating_sub(window_ns);
    index
        .segments
        .iter()
        .find(|(_, segment)| segment.end_ns() > since)
        .or(index.segments.last_key_value())
        .map_or(0, |(seq, _)| *seq)
}

/// How far byte `offset` of `segment` is behind the newest byte in the spool, in nanoseconds of media.
#[must_use]
pub(super) fn lag_ns(index: &Index, segment: &Segment, offset: u64) -> u64 {
    index.end_ns().saturating_sub(segment.time_at(offset))
}

/// The segment that live goes on with, at or after `from`: the first one that the origin lacks, or the newest
/// one if that is more than `max_lag_ns` behind. `None`: nothing to send yet.
#[must_use]
pub(super) fn next_live(index: &Index, holdings: &Holdings, from: u64, max_lag_ns: u64) -> Option<u64> {
    let (newest, _) = index.newest()?;
    let mut missing = index
        .segments
        .range(from..)
        .filter(|(seq, segment)| segment.available > 0 && !holdings.is_settled(**seq));
    let (seq, segment) = missing.next()?;
    if *seq < newest && lag_ns(index, segment, holdings.offset(*seq)) > max_lag_ns {
        // The newest one may be settled already: then there is nothing to do before the next one opens.
        return (!holdings.is_settled(newest)).then_some(newest);
    }
    Some(*seq)
}

/// Segments before `live` that the origin lacks and nobody is sending, newest first.
pub(super) fn missed<'a>(
    index: &'a Index,
    holdings: &'a Holdings,
    first: u64,
    live: u64,
) -> impl Iterator<Item = u64> + 'a {
    index
        .segments
        .range(first..live.max(first))
        .rev()
        .filter(|(seq, segment)| {
            segment.finished.is_some()
                && !segment.is_void()
                && matches!(holdings.segments.get(seq), None | Some(Upload::Partial(_)))
        })
        .map(|(seq, _)| *seq)
}

/// The missed segment to send next: the newest one, because players are near the live edge and because the
/// oldest ones leave the window soonest.
#[must_use]
pub(super) fn next_missed(index: &Index, holdings: &Holdings, first: u64, live: u64) -> Option<u64> {
    missed(index, holdings, first, live).next()
}

/// Names a rendition's segments as the channel's timeline does.
#[derive(Debug, Clone, Copy)]
pub(super) struct Numbering {
    pub session: SessionId,
    pub base_msn: u64,
    /// The first segment of the session that this origin was told of: it follows another session's.
    pub debut: Option<u64>,
}

impl Numbering {
    /// `segment` as a playlist entry that is there (`gap` false) or not.
    #[must_use]
    pub(super) fn entry(&self, seq: u64, segment: &Segment, gap: bool) -> hls::Segment {
        let finished = match segment.finished {
            // A gap has a length in time even if its writer died before saying so.
            None if gap => Some(hls::Finished { duration_ns: segment.duration_ns, len: segment.available }),
            finished => finished,
        };
        hls::Segment {
            msn: self.base_msn.saturating_add(seq),
            session: self.session,
            init: segment.init,
            discontinuity: segment.discontinuity || (self.debut == Some(seq) && self.base_msn > 0),
            program_date_time_ms: segment.wall_ms,
            finished,
            parts: if gap { Vec::new() } else { segment.parts.clone() },
            gap,
        }
    }
}

/// The window's entries before `live`, the first segment that live has not started on: what is there or on its
/// way as it is, what was missed as gaps.
#[must_use]
pub(super) fn entries(
    index: &Index,
    holdings: &Holdings,
    numbering: Numbering,
    first: u64,
    live: u64,
) -> Vec<hls::Segment> {
    index
        .segments
        .range(first..live.max(first))
        .filter(|(_, segment)| segment.available > 0 && !segment.is_void())
        .map(|(seq, segment)| {
            let there = matches!(holdings.segments.get(seq), Some(Upload::Sending | Upload::Whole));
            numbering.entry(*seq, segment, !there)
        })
        .collect()
}

/// Entries of `now` that the origin was not told of, or was told otherwise.
#[must_use]
pub(super) fn changed(told: &BTreeMap<u64, hls::Segment>, now: Vec<hls::Segment>) -> Vec<hls::Segment> {
    now.into_iter().filter(|entry| told.get(&entry.msn) != Some(entry)).collect()
}

/// Who goes first when not everything fits: sound before pictures, small pictures before large ones.
#[must_use]
pub(super) fn priorities(renditions: &[nodi_protocol::Rendition]) -> BTreeMap<RenditionName, u32> {
    let mut order: Vec<_> = renditions.iter().collect();
    order.sort_by_key(|rendition| (rendition.is_video(), rendition.bandwidth));
    (0..).zip(order).map(|(priority, rendition)| (rendition.name.clone(), priority)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::tests::{MS, open, part, session, whole};

    const SECOND: u64 = 1_000 * MS;

    /// Segments 0 to `whole_segments` - 1 finished, then an open one with two parts.
    fn index(whole_segments: u64) -> Index {
        let session = session();
        let name: RenditionName = "a".parse().unwrap();
        (0..whole_segments).for_each(|seq| session.apply(&name, whole(seq)));
        session.apply(&name, vec![open(whole_segments), part(whole_segments, 0), part(whole_segments, 1)]);
        session.feed(&name).unwrap().read(Index::clone)
    }

    fn holdings(segments: &[(u64, Upload)]) -> Holdings {
        Holdings { inits: BTreeSet::from([0]), segments: segments.iter().copied().collect() }
    }

    fn numbering() -> Numbering {
        Numbering { session: SessionId::new(1, 1), base_msn: 100, debut: Some(0) }
    }

    #[test]
    fn a_short_break_is_caught_up_and_a_long_one_jumped_over() {
        let index = index(30);
        let held = |through: u64| holdings(&(0..through).map(|seq| (seq, Upload::Whole)).collect::<Vec<_>>());
        // 61 s are in the spool.
        assert_eq!(next_live(&index, &held(29), 0, 4 * SECOND), Some(29), "3 s behind");
        assert_eq!(next_live(&index, &held(20), 0, 4 * SECOND), Some(30), "21 s behind");
        assert_eq!(next_live(&index, &held(31), 0, 4 * SECOND), None, "all there");
        assert_eq!(next_live(&index, &held(0), 30, 4 * SECOND), Some(30));
        let mut partial = held(28);
        partial.segments.insert(28, Upload::Partial(300));
        assert_eq!(next_live(&index, &partial, 0, 4 * SECOND), Some(28), "3.5 s from its first missing byte");
        assert_eq!(partial.offset(28), 300);
    }

    #[test]
    fn missed_segments_go_newest_first_within_the_window() {
        let index = index(30);
        let first = window_start(&index, 20 * SECOND);
        assert_eq!(first, 20, "61 s - 20 s = 41 s");
        let mut held = holdings(&[(30, Upload::Sending), (28, Upload::Whole), (27, Upload::Refused)]);
        let mut order = Vec::new();
        while let Some(seq) = next_missed(&index, &held, first, 30) {
            order.push(seq);
            held.segments.insert(seq, Upload::Whole);
        }
        assert_eq!(order, [29, 26, 25, 24, 23, 22, 21, 20]);
    }

    #[test]
    fn what_was_missed_is_a_gap_until_it_is_there() {
        let index = index(3);
        let mut held = holdings(&[(0, Upload::Whole), (1, Upload::Partial(10)), (3, Upload::Sending)]);
        let now = entries(&index, &held, numbering(), 0, 4);
        let gaps: Vec<_> = now.iter().map(|entry| (entry.msn, entry.gap, entry.parts.len())).collect();
        assert_eq!(gaps, [(100, false, 4), (101, true, 0), (102, true, 0), (103, false, 2)]);
        assert!(now[0].discontinuity && !now[1].discontinuity);
        assert!(now[1].finished.is_some() && now[3].finished.is_none());

        let told = now.into_iter().map(|entry| (entry.msn, entry)).collect();
        assert!(changed(&told, entries(&index, &held, numbering(), 0, 4)).is_empty());
        held.segments.insert(2, Upload::Whole);
        let update = changed(&told, entries(&index, &held, numbering(), 0, 4));
        assert_eq!(update.iter().map(|entry| (entry.msn, entry.gap)).collect::<Vec<_>>(), [(102, false)]);
    }

    #[test]
    fn nothing_is_named_before_live_has_started_on_it() {
        let index = index(3);
        let held = holdings(&[(0, Upload::Whole), (1, Upload::Sending)]);
        assert_eq!(entries(&index, &held, numbering(), 0, 2).len(), 2);
    }

    #[test]
    fn the_origin_decides_what_it_holds() {
        let index = index(6);
        let row = |seq| Acknowledged { rendition: "a".parse().unwrap(), seq, len: 400, whole: true };
        let journal: Vec<_> = (0..6).map(row).collect();
        let held = |segments: &[(u64, u64)]| Held {
            rendition: "a".parse().unwrap(),
            inits: vec![0],
            segments: segments.to_vec(),
        };
        let all = Holdings::new(Some(&held(&[(103, 400), (105, 400), (106, 150)])), 100, &index, &journal);
        let expected = [
            (0, Upload::Whole),
            (1, Upload::Whole),
            (2, Upload::Whole),
            (3, Upload::Whole),
            (5, Upload::Whole),
            (6, Upload::Partial(150)),
        ];
        assert_eq!(all.segments.into_iter().collect::<Vec<_>>(), expected, "4 was lost, 0 to 2 slid out");
        // An origin that restarted has nothing: all of it goes again, whatever the journal says.
        assert!(Holdings::new(Some(&held(&[])), 100, &index, &journal).segments.is_empty());
        assert_eq!(Holdings::new(None, 100, &index, &journal), Holdings::default());
    }
}
