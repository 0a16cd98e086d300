//! Where a session begins on its channel's timeline: one number for all origins, so that they serve the same
//! addresses, taken from those that can be reached in time.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

/// How long the first origin that answers waits for the others. Viewers wait with it.
const WAIT: Duration = Duration::from_millis(1_000);

#[derive(Debug)]
struct State {
    proposals: Vec<Option<u64>>,
    first_at: Option<Instant>,
    agreed: Option<u64>,
}

/// Shared by the origins' tasks of one session.
#[derive(Debug)]
pub(crate) struct Timeline {
    state: Mutex<State>,
    changed: watch::Sender<()>,
}

impl Timeline {
    /// `recorded`: what the journal says, if the session was begun before.
    #[must_use]
    pub(crate) fn new(origins: usize, recorded: Option<u64>) -> Self {
        let state = State { proposals: vec![None; origins], first_at: None, agreed: recorded };
        Self { state: Mutex::new(state), changed: watch::Sender::new(()) }
    }

    /// Origin number `origin` says that `next_msn` is free; completes with what all agree on, which is never
    /// less unless the session had begun before.
    pub(crate) async fn agree(&self, origin: usize, next_msn: u64) -> u64 {
        let mut changed = self.changed.subscribe();
        self.with(|state| {
            if let Some(proposal) = state.proposals.get_mut(origin) {
                *proposal = Some(next_msn);
            }
            state.first_at.get_or_insert_with(Instant::now);
        });
        self.changed.send_replace(());
        loop {
            let deadline = match self.with(State::decide) {
                Ok(agreed) => return agreed,
                Err(deadline) => deadline,
            };
            // Either way it is time to look again.
            let _ = tokio::time::timeout_at(deadline, changed.changed()).await;
        }
    }

    /// An origin already knows the session by this number.
    pub(crate) fn known(&self, base_msn: u64) {
        self.with(|state| state.agreed.get_or_insert(base_msn).to_owned());
        self.changed.send_replace(());
    }

    fn with<T>(&self, use_it: impl FnOnce(&mut State) -> T) -> T {
        use_it(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl State {
    fn decide(&mut self) -> Result<u64, Instant> {
        if let Some(agreed) = self.agreed {
            return Ok(agreed);
        }
        let deadline = self.first_at.map_or_else(Instant::now, |first| first + WAIT);
        if self.proposals.iter().all(Option::is_some) || Instant::now() >= deadline {
            let agreed = self.proposals.iter().flatten().copied().max().unwrap_or(0);
            self.agreed = Some(agreed);
            return Ok(agreed);
        }
        Err(deadline)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_greatest_of_all_is_taken() {
        let timeline = Timeline::new(2, None);
        let (a, b) = tokio::join!(timeline.agree(0, 5), timeline.agree(1, 9));
        assert_eq!((a, b), (9, 9));
    }

    #[tokio::test(start_paused = true)]
    async fn an_origin_that_is_away_is_not_waited_for_long() {
        let timeline = Timeline::new(2, None);
        let start = Instant::now();
        assert_eq!(timeline.agree(0, 5).await, 5);
        assert_eq!(start.elapsed(), WAIT);
        // The late one is told what was agreed.
        assert_eq!(timeline.agree(1, 900).await, 5);
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_begun_goes_on() {
        let timeline = Timeline::new(2, Some(7));
        assert_eq!(timeline.agree(0, 50).await, 7);
    }
}
