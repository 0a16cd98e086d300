//! How many bytes came in the last seconds.

use std::time::Duration;

/// A sliding window of whole seconds. Time is counted from any start that the caller keeps to.
#[derive(Debug, Clone)]
pub struct Rate {
    /// Bytes of one second each, a ring.
    seconds: Box<[u64]>,
    /// The second that is being filled.
    at: u64,
    started: Option<u64>,
    sum: u64,
}

impl Rate {
    /// A window of `seconds`, at least one.
    #[must_use]
    pub fn new(seconds: u64) -> Self {
        let len = usize::try_from(seconds.max(1)).unwrap_or(usize::MAX);
        Self { seconds: vec![0; len].into_boxed_slice(), at: 0, started: None, sum: 0 }
    }

    pub fn add(&mut self, now: Duration, bytes: u64) {
        self.advance(now);
        self.started.get_or_insert(self.at);
        self.sum += bytes;
        if let Some(second) = self.slot(self.at) {
            *second += bytes;
        }
    }

    /// Bytes within the window.
    pub fn bytes(&mut self, now: Duration) -> u64 {
        self.advance(now);
        self.sum
    }

    /// The mean over the window, or over the time since the first byte while that is shorter.
    pub fn bits_per_s(&mut self, now: Duration) -> u64 {
        self.advance(now);
        let Some(started) = self.started else { return 0 };
        let whole = (self.at - started).min(self.seconds.len() as u64 - 1);
        // Below a second a rate is a guess; the first one is taken as whole.
        let ms = (whole * 1000 + u64::from(now.subsec_millis())).max(1000);
        self.sum.saturating_mul(8000) / ms
    }

    fn advance(&mut self, now: Duration) {
        let now = now.as_secs();
        if now <= self.at {
            return;
        }
        if now - self.at >= self.seconds.len() as u64 {
            self.seconds.fill(0);
            self.sum = 0;
        } else {
            for second in self.at + 1..=now {
                let bytes = self.slot(second).map(std::mem::take).unwrap_or_default();
                self.sum -= bytes;
            }
        }
        self.at = now;
    }

    fn slot(&mut self, second: u64) -> Option<&mut u64> {
        let index = usize::try_from(second % self.seconds.len() as u64).ok()?;
        self.seconds.get_mut(index)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn a_steady_rate_is_measured_as_it_is() {
        let mut rate = Rate::new(5);
        for tick in 0..1000 {
            rate.add(ms(tick * 10), 1000);
        }
        let measured = rate.bits_per_s(ms(10_000));
        assert!((790_000..=810_000).contains(&measured), "{measured}");
    }

    #[test]
    fn what_is_older_than_the_window_is_gone() {
        let mut rate = Rate::new(2);
        rate.add(ms(0), 10);
        rate.add(ms(1500), 20);
        assert_eq!(rate.bytes(ms(1900)), 30);
        assert_eq!(rate.bytes(ms(2000)), 20);
        assert_eq!(rate.bytes(ms(60_000)), 0);
        assert_eq!(rate.bits_per_s(ms(60_000)), 0);
    }

    #[test]
    fn the_first_second_is_not_blown_up() {
        let mut rate = Rate::new(5);
        rate.add(ms(7_300), 1000);
        assert_eq!(rate.bits_per_s(ms(7_310)), 8000);
    }
}
