//! Wall-clock time of the media, by this machine's clock and never by the publisher's.
//!
//! A tag's arrival is its media time, plus a constant, plus a delay of the network that is never negative: the constant
//! is the least difference seen lately. It moves with the publisher's clock, which drifts; what is told to players
//! follows slowly, so that program date times never jump within a continuity.

use std::collections::VecDeque;

/// How long an arrival counts: longer than a publisher's hiccups, shorter than drift needs to matter.
const WINDOW_NS: i64 = 20_000_000_000;
/// Arrivals are merged into this many slots, so that the window has a bounded size.
const SLOT_NS: i64 = 1_000_000_000;
/// How fast the told time may approach the measured one: 1 ms a second is five times the drift of a bad quartz, and
/// under what anyone sees.
const SLEW_PER_MILLE: i64 = 1;

#[derive(Debug, Default)]
pub(super) struct WallClock {
    /// `(slot of the wall clock, least difference of wall clock and media time in it)`, oldest first.
    slots: VecDeque<(i64, i64)>,
    /// What was told last: media time, and difference.
    told: Option<(i64, i64)>,
}

impl WallClock {
    /// The media at `media_ns` came in at `wall_ns`.
    pub(super) fn arrived(&mut self, media_ns: i64, wall_ns: u64) {
        let wall_ns = i64::try_from(wall_ns).unwrap_or(i64::MAX);
        let difference = wall_ns.saturating_sub(media_ns);
        let slot = wall_ns / SLOT_NS;
        match self.slots.back_mut() {
            // A clock that was set back would otherwise never leave the window.
            Some((last, least)) if *last == slot => *least = difference.min(*least),
            Some((last, _)) if *last > slot => {
                self.slots.clear();
                self.slots.push_back((slot, difference));
            }
            _ => self.slots.push_back((slot, difference)),
        }
        while self.slots.front().is_some_and(|(first, _)| slot - first > WINDOW_NS / SLOT_NS) {
            self.slots.pop_front();
        }
    }

    /// The wall clock at `media_ns`, in nanoseconds since the Unix epoch; `None` before anything arrived.
    pub(super) fn at(&mut self, media_ns: i64) -> Option<u64> {
        let measured = self.slots.iter().map(|(_, least)| *least).min();
        let difference = match (self.told, measured) {
            (Some((told_at, told)), Some(measured)) => {
                let most = (media_ns - told_at).max(0) / 1000 * SLEW_PER_MILLE;
                told + (measured - told).clamp(-most, most)
            }
            (Some((_, told)), None) => told,
            (None, measured) => measured?,
        };
        self.told = Some((media_ns, difference));
        u64::try_from(media_ns.saturating_add(difference)).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MS: i64 = 1_000_000;
    const START: i64 = 1_700_000_000_000 * MS;

    fn wall(ns: i64) -> u64 {
        u64::try_from(ns).unwrap()
    }

    #[test]
    fn nothing_is_known_before_anything_arrived() {
        assert_eq!(WallClock::default().at(0), None);
    }

    #[test]
    fn a_burst_counts_from_its_newest_frame() {
        // Two seconds of media that ingest kept, at once: only the last of it is fresh.
        let mut clock = WallClock::default();
        for frame in 0..=60 {
            clock.arrived(frame * 33 * MS, wall(START));
        }
        assert_eq!(clock.at(0), Some(wall(START - 60 * 33 * MS)));
    }

    #[test]
    fn a_drifting_publisher_is_followed_without_a_jump() {
        let mut clock = WallClock::default();
        let mut last: Option<u64> = None;
        for second in 0..24 * 3600_i64 {
            let media = second * 1000 * MS;
            // 200 ppm slow, and 30 ms of jitter.
            let real = START + media + media / 5000 + (second * 7 % 30) * MS;
            clock.arrived(media, wall(real));
            if second % 2 == 0 {
                let at = clock.at(media).unwrap();
                if let Some(last) = last {
                    assert!((at - last).abs_diff(2_000_000_000) <= 2_000_000, "{second}");
                }
                assert!(at.abs_diff(wall(START + media + media / 5000)) <= 30_000_000, "{second}");
                last = Some(at);
            }
        }
    }

    proptest! {
        #[test]
        fn told_time_never_jumps(steps in prop::collection::vec((0i64..500, 0i64..3000), 2..200)) {
            let mut clock = WallClock::default();
            let (mut media, mut now) = (0, START);
            let mut last: Option<(i64, u64)> = None;
            for (step, delay) in steps {
                media += step * MS;
                now = (START + media + delay * MS).max(now);
                clock.arrived(media, wall(now));
                let at = clock.at(media).unwrap();
                if let Some((last_media, last_at)) = last {
                    let moved = i64::try_from(at).unwrap() - i64::try_from(last_at).unwrap();
                    let want = media - last_media;
                    prop_assert!((moved - want).abs() <= want / 1000 + 1);
                }
                last = Some((media, at));
            }
        }
    }
}
