//! How many frames a connection may send.

use crate::config::Connections;

/// A bucket of frames that fills with time.
#[derive(Debug)]
pub(super) struct Pace {
    /// In thousandths of a frame.
    left: u64,
    full: u64,
    /// Thousandths a millisecond: frames a second.
    per_ms: u32,
    at_ms: u64,
}

impl Pace {
    pub(super) fn new(limits: &Connections, now_ms: u64) -> Self {
        let full = u64::from(limits.frames_burst) * 1_000;
        Self { left: full, full, per_ms: limits.frames_per_s, at_ms: now_ms }
    }

    /// Whether one more is within the limits.
    pub(super) fn take(&mut self, now_ms: u64) -> bool {
        let gained = now_ms.saturating_sub(self.at_ms).saturating_mul(u64::from(self.per_ms));
        self.left = self.left.saturating_add(gained).min(self.full);
        self.at_ms = now_ms;
        match self.left.checked_sub(1_000) {
            Some(left) => {
                self.left = left;
                true
            }
            None => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_and_then_the_pace() {
        let limits = Connections { frames_burst: 3, frames_per_s: 2, ..Connections::default() };
        let mut pace = Pace::new(&limits, 0);
        assert_eq!([pace.take(0), pace.take(0), pace.take(0), pace.take(0)], [true, true, true, false]);
        assert!(!pace.take(499));
        assert!(pace.take(500));
        assert!(!pace.take(500));
        assert_eq!([pace.take(100_000), pace.take(100_000), pace.take(100_000)], [true; 3]);
        assert!(!pace.take(100_000));
    }
}
