//! When a room tells how many watch. Everybody hears it at least every 20 s with the sign of life; in between when it has
//! changed by so much that somebody would notice, at most every two seconds.

/// Shortest time between two changes that are told, in milliseconds.
const AT_MOST_EVERY_MS: u64 = 2_000;
/// A change of less than one in so many waits for the next sign of life: the counts stay right to within 2 %, and the
/// coming and going of a large room does not become most of its traffic.
const NOTICED: u64 = 100;

/// How many watch and how many of these can speak.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    pub viewers: u64,
    pub chatters: u64,
}

/// Remembers what was told.
#[derive(Debug, Default)]
pub struct Teller {
    told: Counts,
    at_ms: u64,
}

impl Teller {
    /// Whether it is time to tell `now`.
    #[must_use]
    pub fn is_due(&self, counts: Counts, now_ms: u64) -> bool {
        let noticed = |told: u64, is: u64| told.abs_diff(is) * NOTICED > told;
        (noticed(self.told.viewers, counts.viewers) || noticed(self.told.chatters, counts.chatters))
            && now_ms.saturating_sub(self.at_ms) >= AT_MOST_EVERY_MS
    }

    pub fn told(&mut self, counts: Counts, now_ms: u64) {
        *self = Self { told: counts, at_ms: now_ms };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(viewers: u64) -> Counts {
        Counts { viewers, chatters: 0 }
    }

    #[test]
    fn a_change_that_matters_is_told_but_not_too_often() {
        let mut teller = Teller::default();
        assert!(!teller.is_due(counts(0), 10_000));
        assert!(teller.is_due(counts(1), 10_000));
        teller.told(counts(1), 10_000);
        assert!(!teller.is_due(counts(2), 11_999));
        assert!(teller.is_due(counts(2), 12_000));
        teller.told(counts(10_000), 20_000);
        assert!(!teller.is_due(counts(10_100), 30_000));
        assert!(teller.is_due(counts(10_101), 30_000));
        assert!(teller.is_due(counts(9_899), 30_000));
        assert!(teller.is_due(Counts { viewers: 10_000, chatters: 1 }, 30_000));
    }
}
