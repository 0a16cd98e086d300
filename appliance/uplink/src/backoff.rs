//! Pauses between attempts: short, growing, capped, and different on every box.

use std::time::Duration;

/// Pauses between attempts at one peer.
#[derive(Debug, Clone)]
pub(crate) struct Backoff {
    first: Duration,
    cap: Duration,
    attempts: u32,
    seed: u64,
}

impl Backoff {
    /// Pauses from `first` up to `cap`.
    #[must_use]
    pub(crate) fn new(first: Duration, cap: Duration) -> Self {
        // The hasher's keys are random per process, which is all the randomness that jitter needs.
        let seed = std::hash::BuildHasher::hash_one(&std::hash::RandomState::new(), 0_u8) | 1;
        Self { first, cap, attempts: 0, seed }
    }

    /// While a session is live: half a second at most, so that the pause and one attempt to connect
    /// are over within 2 s of the network's return.
    #[must_use]
    pub(crate) fn live() -> Self {
        Self::new(Duration::from_millis(50), Duration::from_millis(400))
    }

    /// Nobody is waiting: recordings for stores.
    #[must_use]
    pub(crate) fn patient() -> Self {
        Self::new(Duration::from_millis(250), Duration::from_secs(15))
    }

    /// Attempts that failed in a row.
    #[must_use]
    pub(crate) fn attempts(&self) -> u32 {
        self.attempts
    }

    /// It worked: start over.
    pub(crate) fn reset(&mut self) {
        self.attempts = 0;
    }

    /// The next pause: between half and all of the capped exponential.
    pub(crate) fn next(&mut self) -> Duration {
        let full = self.first.saturating_mul(1 << self.attempts.min(16)).min(self.cap);
        self.attempts = self.attempts.saturating_add(1);
        // xorshift64: any spread will do.
        self.seed ^= self.seed << 13;
        self.seed ^= self.seed >> 7;
        self.seed ^= self.seed << 17;
        let jitter = full / 2 * u32::try_from(self.seed % 1_000).unwrap_or(0) / 1_000;
        full / 2 + jitter
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_the_cap() {
        let mut backoff = Backoff::live();
        let pauses: Vec<_> = (0..20).map(|_| backoff.next()).collect();
        assert!(pauses[0] <= Duration::from_millis(50));
        assert!(pauses[10..].iter().all(|pause| (200..=400).contains(&pause.as_millis())), "{pauses:?}");
        backoff.reset();
        assert!(backoff.next() <= Duration::from_millis(50));
    }
}
