//! Who may send when the network is slower than the media: a lane waits while a more important one is behind,
//! or while the connection has a queue that everything new would only lengthen.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

/// Missed segments come after everything that is live.
pub(super) const BACKFILL: u32 = u32::MAX;
/// Between two looks while waiting: ages grow without anybody reporting them.
const LOOK_EVERY: Duration = Duration::from_millis(50);

#[derive(Debug, Default)]
struct State {
    /// How far each lane's unsent bytes are behind, in nanoseconds of media.
    lags: BTreeMap<u32, u64>,
    /// When each lane's unanswered playlist update left: it queues behind the bytes on the same connection.
    waiting: BTreeMap<u32, Instant>,
    /// The quickest answer so far: the network's own delay.
    quickest: Option<Duration>,
}

/// Shared by all lanes of one session to one origin.
#[derive(Debug)]
pub(super) struct Governor {
    yield_lag: Duration,
    state: Mutex<State>,
    changed: watch::Sender<()>,
}

impl Governor {
    #[must_use]
    pub(super) fn new(yield_lag: Duration) -> Self {
        Self { yield_lag, state: Mutex::default(), changed: watch::Sender::new(()) }
    }

    fn with<T>(&self, use_it: impl FnOnce(&mut State) -> T) -> T {
        use_it(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Lane `priority` (0 is the most important) has unsent bytes that are `lag_ns` behind.
    pub(super) fn report(&self, priority: u32, lag_ns: u64) {
        let before = self.with(|state| state.lags.insert(priority, lag_ns)).unwrap_or(0);
        if lag_ns < before {
            self.changed.send_replace(());
        }
    }

    /// A small request of lane `priority` leaves.
    pub(super) fn asked(&self, priority: u32) {
        self.with(|state| state.waiting.insert(priority, Instant::now()));
    }

    /// Its answer came.
    pub(super) fn answered(&self, priority: u32) {
        self.with(|state| {
            if let Some(since) = state.waiting.remove(&priority) {
                let took = since.elapsed();
                state.quickest = Some(state.quickest.map_or(took, |quickest| quickest.min(took)));
            }
        });
        self.changed.send_replace(());
    }

    /// Whether lane `priority` may send now.
    #[must_use]
    pub(super) fn may_send(&self, priority: u32) -> bool {
        let limit = u64::try_from(self.yield_lag.as_nanos()).unwrap_or(u64::MAX);
        self.with(|state| {
            let ahead = state.lags.range(..priority).all(|(_, lag)| *lag <= limit);
            // The first lane never waits: somebody has to, and it is the one to save.
            let queue = state.waiting.values().map(Instant::elapsed).max().unwrap_or_default();
            let patience = self.yield_lag + state.quickest.unwrap_or_default();
            ahead && (priority == 0 || queue <= patience)
        })
    }

    /// Completes when lane `priority` may send its next piece.
    pub(super) async fn admit(&self, priority: u32) {
        let mut changed = self.changed.subscribe();
        while !self.may_send(priority) {
            // A time limit because queues age silently; the result does not matter.
            let _ = tokio::time::timeout(LOOK_EVERY, changed.changed()).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    #[tokio::test(start_paused = true)]
    async fn less_important_lanes_wait_for_more_important_ones() {
        let governor = Governor::new(Duration::from_millis(700));
        governor.report(1, 900 * MS);
        assert!(governor.may_send(0) && governor.may_send(1));
        assert!(!governor.may_send(2) && !governor.may_send(BACKFILL));
        governor.report(1, 300 * MS);
        governor.admit(BACKFILL).await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_queue_on_the_connection_stops_all_but_the_first() {
        let governor = Governor::new(Duration::from_millis(700));
        governor.asked(0);
        tokio::time::advance(Duration::from_millis(600)).await;
        governor.answered(0);
        // A satellite's 600 ms are its own delay, not a queue.
        governor.asked(0);
        tokio::time::advance(Duration::from_millis(1_200)).await;
        assert!(governor.may_send(1));
        tokio::time::advance(Duration::from_millis(200)).await;
        assert!(!governor.may_send(1) && governor.may_send(0));
        governor.answered(0);
        assert!(governor.may_send(1));
    }
}
