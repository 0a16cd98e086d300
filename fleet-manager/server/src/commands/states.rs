//! The states of a command, and what leads from one to another.

use nodi_protocol::fleet::command;
use serde::{Deserialize, Serialize};

/// After a deadline a status may still be on its way for so long, in milliseconds: the box may have to reconnect first.
const GRACE_MS: i64 = 60_000;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// The box has not said anything to it.
    Queued,
    /// It is on the box's disk.
    Accepted,
    Running,
    Succeeded,
    Failed,
    /// The box got it too late and did not begin.
    Expired,
    /// A person took it back before it began.
    Withdrawn,
}

impl State {
    pub(super) const ALL: [Self; 7] = [
        Self::Queued,
        Self::Accepted,
        Self::Running,
        Self::Succeeded,
        Self::Failed,
        Self::Expired,
        Self::Withdrawn,
    ];

    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Accepted => "accepted",
            Self::Running => "running",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Expired => "expired",
            Self::Withdrawn => "withdrawn",
        }
    }

    pub(super) fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.name() == name)
    }

    /// Nothing is expected to follow.
    #[must_use]
    pub fn is_over(self) -> bool {
        !matches!(self, Self::Queued | Self::Accepted | Self::Running)
    }
}

impl From<command::State> for State {
    fn from(said: command::State) -> Self {
        match said {
            command::State::Accepted => Self::Accepted,
            command::State::Running => Self::Running,
            command::State::Succeeded => Self::Succeeded,
            command::State::Failed => Self::Failed,
            command::State::Expired => Self::Expired,
        }
    }
}

/// What a command's state is once its box said `said`; `None`: it changes nothing. `silent`: `current` is what the
/// server made of the box's silence.
#[must_use]
pub(super) fn after(current: State, silent: bool, said: command::State) -> Option<State> {
    let new = State::from(said);
    match current {
        // The box knows better than whoever waited for it.
        State::Failed if silent => new.is_over().then_some(new),
        State::Succeeded | State::Failed | State::Expired => None,
        // It had begun when it was taken back.
        State::Withdrawn => (new != State::Accepted).then_some(new),
        // A repetition from before.
        State::Running if new == State::Accepted => None,
        _ => Some(new),
    }
}

/// When silence counts as failure.
#[must_use]
pub(super) fn deadline_ms(expires_ms: i64, timeout_s: u32, running_ms: Option<i64>) -> i64 {
    running_ms.map_or(expires_ms, |running| running + i64::from(timeout_s) * 1_000) + GRACE_MS
}

#[cfg(test)]
mod tests {
    use command::State as Said;

    use super::*;

    #[test]
    fn a_command_goes_forward_only() {
        assert_eq!(after(State::Queued, false, Said::Accepted), Some(State::Accepted));
        assert_eq!(after(State::Queued, false, Said::Succeeded), Some(State::Succeeded));
        assert_eq!(after(State::Running, false, Said::Accepted), None);
        assert_eq!(after(State::Running, false, Said::Running), Some(State::Running), "progress");
        assert_eq!(after(State::Succeeded, false, Said::Failed), None);
        assert_eq!(after(State::Failed, false, Said::Succeeded), None);
    }

    #[test]
    fn a_late_word_replaces_what_was_made_of_silence() {
        assert_eq!(after(State::Failed, true, Said::Succeeded), Some(State::Succeeded));
        assert_eq!(after(State::Failed, true, Said::Failed), Some(State::Failed));
        assert_eq!(after(State::Failed, true, Said::Running), None);
    }

    #[test]
    fn what_had_begun_cannot_be_taken_back() {
        assert_eq!(after(State::Withdrawn, false, Said::Accepted), None);
        assert_eq!(after(State::Withdrawn, false, Said::Running), Some(State::Running));
        assert_eq!(after(State::Withdrawn, false, Said::Succeeded), Some(State::Succeeded));
    }

    #[test]
    fn the_deadline_is_the_expiry_until_it_runs() {
        assert_eq!(deadline_ms(1_000, 30, None), 1_000 + GRACE_MS);
        assert_eq!(deadline_ms(1_000, 30, Some(5_000)), 35_000 + GRACE_MS);
    }
}
