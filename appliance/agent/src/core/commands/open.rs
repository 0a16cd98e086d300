//! One command that is not done with.

use nodi_mqtt::NotSent;
use nodi_protocol::CommandId;
use nodi_protocol::fleet::command::{Command, Status};
use tokio::sync::watch;

use crate::seams::Said;
use crate::store::{Phase, Record};

/// What is known of it, as on disk, and what the broker was told.
pub(crate) struct Open {
    pub command: Option<Command>,
    pub status: Option<Status>,
    pub phase: Phase,
    /// The fleet emptied it.
    pub cleared: bool,
    pub emptied: bool,
    /// It came on this connection.
    pub on_broker: bool,
    /// This process began it, or will; if not, an earlier one left it.
    pub is_of_this_process: bool,
    /// What the action says while it runs.
    said: Option<watch::Receiver<Said>>,
    /// What was acknowledged by the broker, and on which connection. `None` as content: emptied.
    told: Option<(u64, Option<Status>)>,
    /// A message is under way.
    pub saying: bool,
}

/// How a message about a command ended.
pub(crate) struct Sent {
    pub id: CommandId,
    pub connection: u64,
    /// `None`: emptied.
    pub status: Option<Status>,
    pub result: Result<(), NotSent>,
}

impl From<Record> for Open {
    fn from(record: Record) -> Self {
        let Record { command, status, phase, cleared, emptied, .. } = record;
        Self {
            command,
            status,
            phase,
            cleared,
            emptied,
            on_broker: false,
            is_of_this_process: false,
            said: None,
            told: None,
            saying: false,
        }
    }
}

impl Open {
    pub(crate) fn is_cleared_and_over(&self) -> bool {
        self.cleared && matches!(self.phase, Phase::Over | Phase::Withdrawn)
    }

    /// An earlier process began it and did not see its end.
    pub(crate) fn is_left(&self) -> bool {
        self.phase == Phase::Running && !self.is_of_this_process
    }

    pub(crate) fn begun(&mut self, status: Status, said: watch::Receiver<Said>) {
        self.phase = Phase::Running;
        self.status = Some(status);
        self.said = Some(said);
        self.is_of_this_process = true;
    }

    /// Its task is gone without a word.
    pub(crate) fn abandon(&mut self) {
        if self.phase == Phase::Running {
            self.is_of_this_process = false;
            self.said = None;
        }
    }

    pub(crate) fn over(&mut self, status: Status) {
        self.phase = Phase::Over;
        self.status = Some(status);
        self.command = None;
        self.said = None;
        // The end is news also to a fleet that has cleared the command while it ran.
        self.cleared = false;
        self.emptied = false;
    }

    /// Takes over what the action said. Not on disk: it is of no use to a process that comes later.
    pub(crate) fn hear(&mut self) {
        if let (Some(said), Some(status)) = (&mut self.said, &mut self.status)
            && said.has_changed().unwrap_or(false)
        {
            let said = said.borrow_and_update().clone();
            status.progress = said.percent;
            status.message = said.message;
        }
    }

    /// What the broker is to show; `None`: nothing.
    fn shown(&self) -> Option<&Status> {
        if self.is_cleared_and_over() { None } else { self.status.as_ref() }
    }

    /// What has to be said on this connection, if anything.
    pub(crate) fn to_say(&self, connection: u64) -> Option<Option<Status>> {
        let shown = self.shown();
        let known =
            self.told.as_ref().is_some_and(|(number, told)| *number == connection && told.as_ref() == shown);
        if self.saying || known { None } else { Some(shown.cloned()) }
    }

    pub(crate) fn told(&mut self, connection: u64, status: Option<Status>) {
        self.told = Some((connection, status));
    }

    /// The broker has the last status.
    pub(crate) fn was_said(&self) -> bool {
        self.told.as_ref().is_some_and(|(_, told)| told.is_some() && told == &self.status)
    }
}
