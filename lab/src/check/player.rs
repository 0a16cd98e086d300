//! A player without a screen: would the picture have stood still?

use std::time::{Duration, Instant};

/// Shorter than a frame at 30 fps: nobody sees it.
const INVISIBLE: Duration = Duration::from_millis(33);

/// Starts a hold-back behind the end of what has arrived, plays in real time, and stands still when it has
/// played everything.
#[derive(Debug, Default)]
pub(super) struct Player {
    state: Option<State>,
    pub stalled: Duration,
    pub stalls: u32,
    pub longest_wait: Duration,
}

#[derive(Debug)]
struct State {
    /// Media that has arrived and was not played.
    buffered: Duration,
    as_of: Instant,
}

impl Player {
    /// The player joins with `hold_back` of media in its buffer.
    pub(super) fn start(&mut self, now: Instant, hold_back: Duration) {
        self.state = Some(State { buffered: hold_back, as_of: now });
    }

    /// More media has arrived.
    pub(super) fn arrived(&mut self, now: Instant, media: Duration) {
        self.play_until(now);
        if let Some(state) = &mut self.state {
            state.buffered += media;
        }
    }

    /// Nothing more comes, or the check is over.
    pub(super) fn play_until(&mut self, now: Instant) {
        let Some(state) = &mut self.state else { return };
        let elapsed = now.saturating_duration_since(state.as_of);
        self.longest_wait = self.longest_wait.max(elapsed);
        let stalled = elapsed.saturating_sub(state.buffered);
        if stalled > INVISIBLE {
            self.stalled += stalled;
            self.stalls += 1;
        }
        state.buffered = state.buffered.saturating_sub(elapsed);
        state.as_of = now;
    }

    /// The playlist has ended: waiting is no stall any more.
    pub(super) fn end(&mut self, now: Instant) {
        self.play_until(now);
        self.state = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: Duration = Duration::from_secs(1);

    #[test]
    fn a_hole_longer_than_the_buffer_is_a_stall() {
        let start = Instant::now();
        let mut player = Player::default();
        player.start(start, S);
        player.arrived(start + S / 2, S / 2);
        assert_eq!((player.stalls, player.stalled), (0, Duration::ZERO));
        // One second is buffered; three seconds of nothing stall for two.
        player.arrived(start + S / 2 + 3 * S, S);
        assert_eq!((player.stalls, player.stalled), (1, 2 * S));
        assert_eq!(player.longest_wait, 3 * S);
    }
}
