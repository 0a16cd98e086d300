//! The states of an update as the server sees them, and what leads from one to another.

use nodi_protocol::fleet::update::{self, Deadlines};
use serde::{Deserialize, Serialize};

/// A maintenance window comes at least once a week, so that waiting for one ends by then, in milliseconds.
const WINDOW_MS: i64 = 7 * 24 * 3_600 * 1_000;

/// As the box reports it, and what the server makes of a box that does not.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, utoipa::ToSchema,
)]
#[serde(rename_all = "snake_case")]
#[schema(as = UpdateState)]
pub enum State {
    /// The box has said nothing to it yet.
    Ordered,
    /// For live sessions to end, for a maintenance window, for the time or for space.
    Waiting,
    Downloading,
    Installing,
    Rebooting,
    /// The new slot runs and is not marked good yet.
    Trial,
    /// The new slot is marked good.
    Confirmed,
    /// The old slot runs again.
    RolledBack,
    /// Ended before the new slot was switched to.
    Failed,
    /// The box did not begin in time.
    Expired,
    /// Taken back before it began to install.
    Withdrawn,
    /// The box said nothing when it should have.
    Silent,
}

impl State {
    pub(super) const ALL: [Self; 12] = [
        Self::Ordered,
        Self::Waiting,
        Self::Downloading,
        Self::Installing,
        Self::Rebooting,
        Self::Trial,
        Self::Confirmed,
        Self::RolledBack,
        Self::Failed,
        Self::Expired,
        Self::Withdrawn,
        Self::Silent,
    ];

    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Ordered => "ordered",
            Self::Waiting => "waiting",
            Self::Downloading => "downloading",
            Self::Installing => "installing",
            Self::Rebooting => "rebooting",
            Self::Trial => "trial",
            Self::Confirmed => "confirmed",
            Self::RolledBack => "rolled_back",
            Self::Failed => "failed",
            Self::Expired => "expired",
            Self::Withdrawn => "withdrawn",
            Self::Silent => "silent",
        }
    }

    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.name() == name)
    }

    /// Nothing is expected to follow.
    #[must_use]
    pub fn is_over(self) -> bool {
        self >= Self::Confirmed
    }

    /// It can be taken back.
    #[must_use]
    pub fn is_before_installing(self) -> bool {
        self < Self::Installing
    }
}

impl From<update::State> for State {
    fn from(said: update::State) -> Self {
        match said {
            update::State::Waiting => Self::Waiting,
            update::State::Downloading => Self::Downloading,
            update::State::Installing => Self::Installing,
            update::State::Rebooting => Self::Rebooting,
            update::State::Trial => Self::Trial,
            update::State::Confirmed => Self::Confirmed,
            update::State::RolledBack => Self::RolledBack,
            update::State::Failed => Self::Failed,
            update::State::Expired => Self::Expired,
            update::State::Withdrawn => Self::Withdrawn,
        }
    }
}

/// What an update's state is once its box said `said`; `None`: it changes nothing. `assumed`: `current` is what the server
/// made of it by itself.
#[must_use]
pub(super) fn after(current: State, assumed: bool, said: update::State) -> Option<State> {
    let new = State::from(said);
    // Only the server takes an order back. A box that says so by itself lost it, and is told anew what there is.
    if new == State::Withdrawn && current != State::Withdrawn {
        return None;
    }
    if !current.is_over() {
        return Some(new);
    }
    // The box knows better than whoever waited for it, and what had begun to install could not be taken back any more.
    (assumed && new >= State::Installing).then_some(new)
}

/// What a deadline depends on.
pub(super) struct Span<'a> {
    pub(super) state: State,
    pub(super) progress: Option<u8>,
    pub(super) deadlines: &'a Deadlines,
    pub(super) expires_ms: i64,
    /// How much time the box gives itself, in milliseconds.
    pub(super) left_ms: Option<i64>,
    /// Of the report before, when that had the same state.
    pub(super) before_ms: Option<i64>,
}

/// When a state has lasted too long, by the server's clock; `None` once it is over.
#[must_use]
pub(super) fn deadline_ms(span: &Span<'_>, now_ms: i64) -> Option<i64> {
    let Deadlines { download_s, install_s, reboot_s, trial_s } = *span.deadlines;
    let ms = |seconds: u32| i64::from(seconds) * 1_000;
    let seconds = match span.state {
        State::Ordered | State::Waiting => return Some(span.expires_ms),
        State::Downloading => download_s,
        State::Installing => install_s,
        State::Rebooting => reboot_s,
        State::Trial => trial_s,
        _ => return None,
    };
    // Whatever a box says of itself, its update ends.
    let latest = span.expires_ms + ms(download_s) + ms(install_s) + ms(reboot_s) + ms(trial_s) + WINDOW_MS;
    let waits = span.state == State::Downloading && span.progress == Some(100);
    let deadline = match (span.left_ms, span.before_ms) {
        (Some(left), _) => now_ms.saturating_add(left.max(0)),
        // For quiet or for the window: the box has all that it can have.
        (None, _) if waits => latest,
        (None, Some(before)) => before,
        (None, None) => now_ms + ms(seconds),
    };
    Some(deadline.min(latest))
}

#[cfg(test)]
mod tests {
    use update::State as Said;

    use super::*;

    #[test]
    fn names_are_those_of_the_api() {
        for state in State::ALL {
            assert_eq!(serde_json::to_string(&state).unwrap(), format!("\"{}\"", state.name()));
            assert_eq!(State::from_name(state.name()), Some(state));
        }
    }

    #[test]
    fn what_is_over_stays_so_unless_it_was_assumed() {
        assert_eq!(after(State::Ordered, false, Said::Waiting), Some(State::Waiting));
        assert_eq!(after(State::Downloading, false, Said::Waiting), Some(State::Waiting));
        assert_eq!(after(State::Confirmed, false, Said::RolledBack), None);
        assert_eq!(after(State::Silent, true, Said::Confirmed), Some(State::Confirmed));
        assert_eq!(after(State::Silent, true, Said::Trial), Some(State::Trial));
        assert_eq!(after(State::Silent, true, Said::Downloading), None, "its order is cleared");
        assert_eq!(after(State::Withdrawn, true, Said::Installing), Some(State::Installing));
        assert_eq!(after(State::Withdrawn, true, Said::Waiting), None);
    }

    #[test]
    fn only_the_server_takes_an_order_back() {
        for current in State::ALL.into_iter().filter(|state| *state != State::Withdrawn) {
            for assumed in [false, true] {
                assert_eq!(after(current, assumed, Said::Withdrawn), None, "{current:?}");
            }
        }
        assert_eq!(after(State::Withdrawn, true, Said::Withdrawn), Some(State::Withdrawn));
    }

    #[test]
    fn a_state_has_its_time_and_the_update_has_an_end() {
        let deadlines = Deadlines { download_s: 100, install_s: 10, reboot_s: 20, trial_s: 30 };
        let span = |state| Span {
            state,
            progress: None,
            deadlines: &deadlines,
            expires_ms: 1_000_000,
            left_ms: None,
            before_ms: None,
        };
        assert_eq!(deadline_ms(&span(State::Ordered), 5), Some(1_000_000));
        assert_eq!(deadline_ms(&span(State::Trial), 5_000), Some(35_000));
        assert_eq!(deadline_ms(&span(State::Failed), 5_000), None);
        let same = Span { before_ms: Some(7_000), ..span(State::Trial) };
        assert_eq!(deadline_ms(&same, 6_000), Some(7_000), "saying it again does not prolong it");
        let own = Span { left_ms: Some(2_000), ..same };
        assert_eq!(deadline_ms(&own, 6_000), Some(8_000));
        let latest = 1_000_000 + 160_000 + WINDOW_MS;
        let never = Span { left_ms: Some(i64::MAX), ..span(State::Trial) };
        assert_eq!(deadline_ms(&never, 6_000), Some(latest));
        let waits = Span { progress: Some(100), before_ms: Some(7_000), ..span(State::Downloading) };
        assert_eq!(deadline_ms(&waits, 6_000), Some(latest));
    }
}
