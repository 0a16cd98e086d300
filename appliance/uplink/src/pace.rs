//! Keeps a rate: catching up must not take the line from live.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// Time's worth of bytes that may leave at once after a pause.
const BURST: Duration = Duration::from_millis(200);

/// A rate in bytes per second, shared by everyone who holds it.
#[derive(Debug)]
pub(crate) struct Pace {
    bytes_per_s: u64,
    /// When the bytes taken so far will have left at that rate.
    busy_until: Mutex<Instant>,
}

impl Pace {
    #[must_use]
    pub(crate) fn new(bytes_per_s: u64) -> Self {
        Self { bytes_per_s: bytes_per_s.max(1), busy_until: Mutex::new(Instant::now()) }
    }

    /// Completes when `bytes` may leave.
    pub(crate) async fn take(&self, bytes: u64) {
        let micros = bytes.saturating_mul(1_000_000) / self.bytes_per_s;
        let until = {
            let mut busy_until = self.busy_until.lock().unwrap_or_else(PoisonError::into_inner);
            let now = Instant::now();
            let earliest = now.checked_sub(BURST).unwrap_or(now);
            *busy_until = (*busy_until).max(earliest) + Duration::from_micros(micros);
            *busy_until
        };
        tokio::time::sleep_until(until).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_rate_is_kept() {
        let pace = Pace::new(1_000_000);
        let start = Instant::now();
        for _ in 0..50 {
            pace.take(64_000).await;
        }
        let took = start.elapsed();
        assert!((Duration::from_millis(3_000)..=Duration::from_millis(3_300)).contains(&took), "{took:?}");
    }
}
