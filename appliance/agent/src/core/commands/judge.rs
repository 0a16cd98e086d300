//! What became of a command that an earlier process began.

use nodi_protocol::fleet::command::{Action, Process};

use super::open::Open;

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Succeeded(String),
    Failed(String),
    /// It may still happen.
    Wait,
}

/// `boot_id` and `now_ms` are those of this process.
pub(crate) fn judge(open: &Open, boot_id: &str, now_ms: u64) -> Verdict {
    let begun = open.status.as_ref();
    let same_boot = begun.is_some_and(|status| status.boot_id == boot_id);
    match open.command.as_ref().map(|command| (&command.action, command.timeout_s)) {
        Some((Action::Reboot, timeout_s)) => {
            if !same_boot {
                return Verdict::Succeeded(format!("started anew, boot {boot_id}"));
            }
            // The agent may have been ended first, with the reboot still on its way.
            let deadline = begun.map_or(0, |status| status.at_ms).saturating_add(u64::from(timeout_s) * 1000);
            if now_ms < deadline {
                Verdict::Wait
            } else {
                Verdict::Failed("the box was not started anew: it is still the same boot".to_owned())
            }
        }
        Some((Action::RestartProcess { process: Process::Agent }, _)) => {
            Verdict::Succeeded("this is another process".to_owned())
        }
        _ => {
            let how = if same_boot { "the agent ended" } else { "the box was started anew" };
            Verdict::Failed(format!("{how} while it ran, and it is not begun twice"))
        }
    }
}

#[cfg(test)]
mod tests {
    use nodi_protocol::CommandId;
    use nodi_protocol::fleet::command::{Command, State, Status};

    use super::*;
    use crate::store::{Phase, Record};

    const BEGUN: u64 = 1_000_000;

    fn open(action: Action) -> Open {
        let id = CommandId::new(BEGUN, 1);
        let command = Command { id, issued_ms: BEGUN, expires_ms: BEGUN + 60_000, timeout_s: 30, action };
        let status = Status {
            id,
            state: State::Running,
            progress: None,
            message: String::new(),
            result: None,
            boot_id: "one".to_owned(),
            at_ms: BEGUN,
        };
        Open::from(Record {
            id,
            command: Some(command),
            status: Some(status),
            phase: Phase::Running,
            cleared: false,
            emptied: false,
        })
    }

    #[test]
    fn a_reboot_is_judged_by_the_boot_id() {
        let reboot = open(Action::Reboot);
        assert!(matches!(judge(&reboot, "two", BEGUN), Verdict::Succeeded(_)));
        assert_eq!(judge(&reboot, "one", BEGUN + 29_999), Verdict::Wait);
        assert!(matches!(judge(&reboot, "one", BEGUN + 30_000), Verdict::Failed(_)));
    }

    #[test]
    fn a_restart_of_the_agent_is_judged_by_there_being_another_one() {
        let restart = open(Action::RestartProcess { process: Process::Agent });
        assert!(matches!(judge(&restart, "one", BEGUN), Verdict::Succeeded(_)));
    }

    #[test]
    fn anything_else_has_failed_and_says_why() {
        for action in [
            Action::RestartProcess { process: Process::Ingest },
            Action::SelfTest,
            Action::Identify { seconds: 1 },
        ] {
            let open = open(action);
            assert!(
                matches!(judge(&open, "one", BEGUN), Verdict::Failed(why) if why.contains("agent ended"))
            );
            assert!(
                matches!(judge(&open, "two", BEGUN), Verdict::Failed(why) if why.contains("started anew"))
            );
        }
    }
}
