//! Commands: each at most once, whatever happens to the agent in between.
//!
//! What is on disk decides. `accepted` is there before the fleet hears of it, `running` before the action begins, the last
//! status before it is sent. A process that finds `running` never begins again: it judges ([`judge`]). Ids stay known
//! for weeks after the fleet has cleared a command, since a broker that was restored may bring it again.

mod judge;
mod open;
mod say;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use nodi_daemon::watchdog::Beat;
use nodi_mqtt::Link;
use nodi_protocol::fleet::Payload as _;
use nodi_protocol::fleet::command::{Command, State, Status};
use nodi_protocol::{BoxId, CommandId};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior};

use super::dispatch::Order;
use crate::clock::Clock;
use crate::config;
use crate::seams::{Actions, Outcome, Progress};
use crate::store::{Error, Phase, Record, Store};
use judge::Verdict;
use open::{Open, Sent};

/// Looks at clocks, progress and what is due.
const TICK: Duration = Duration::from_secs(1);
/// After a connection was made: retained commands have come by then. One that is over and did not come was cleared while
/// this box was away. If that is wrong, because the broker has lost its memory, the fleet server sends
/// it again, and hears the status again.
const ABSENT: Duration = Duration::from_secs(15);
/// What was ordered while this box was away comes in one go after a connection, and a withdrawal behind its order: nothing
/// begins until it has been quiet for this long.
const QUIET: Duration = Duration::from_millis(500);
/// A process that finds accepted commands waits so long for a connection, since they may have been withdrawn.
const ALONE: Duration = Duration::from_secs(10);
/// Between two looks for ids that can be forgotten.
const FORGET_EVERY: Duration = Duration::from_secs(3600);
const DAY_MS: u64 = 86_400_000;

pub(crate) struct Commands {
    pub box_id: BoxId,
    pub boot_id: String,
    pub store: Store,
    pub clock: Clock,
    pub link: Link,
    pub actions: Arc<dyn Actions>,
    pub config: config::Commands,
    /// Commands from before this time may have run: the memory of them was lost.
    pub lost_ms: u64,
    pub beat: Beat,
}

/// Commands that are not done with, and everything that goes on for them.
pub(super) struct Desk {
    pub(super) parts: Commands,
    pub(super) open: BTreeMap<CommandId, Open>,
    running: JoinSet<(CommandId, Result<Option<Status>, Error>)>,
    pub(super) saying: JoinSet<Sent>,
    /// When it is known which commands the broker does not have.
    absent_at: Option<Instant>,
    /// Until then nothing begins. Orders push it back while it lasts.
    quiet_at: Option<Instant>,
}

impl Commands {
    /// Runs for ever.
    pub(crate) async fn run(self, mut orders: mpsc::Receiver<Order>) {
        let mut desk = Desk {
            parts: self,
            open: BTreeMap::new(),
            running: JoinSet::new(),
            saying: JoinSet::new(),
            absent_at: None,
            quiet_at: Some(Instant::now() + ALONE),
        };
        desk.recover().await;
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut forget = tokio::time::interval(FORGET_EVERY);
        loop {
            desk.parts.beat.beat();
            tokio::select! {
                order = orders.recv() => match order {
                    Some(Order::Connected) => desk.connected(),
                    Some(Order::Command { id, payload }) => {
                        log_failure(desk.came(id, &payload).await);
                    }
                    None => return,
                },
                Some(ended) = desk.running.join_next() => desk.ended(ended),
                Some(sent) = desk.saying.join_next() => log_failure(desk.said(sent).await),
                () = quiet(desk.quiet_at) => desk.quiet_at = None,
                _ = tick.tick() => log_failure(desk.look().await),
                _ = forget.tick() => log_failure(desk.forget().await),
            }
            log_failure(desk.begin_what_may().await);
            desk.say();
        }
    }
}

impl Desk {
    pub(super) fn status(&self, id: CommandId, state: State, message: impl Into<String>) -> Status {
        Status {
            id,
            state,
            progress: None,
            message: message.into(),
            result: None,
            boot_id: self.parts.boot_id.clone(),
            at_ms: self.parts.clock.now_ms(),
        }
    }

    /// After a start: what the last process left.
    async fn recover(&mut self) {
        let records = match self.parts.store.open_commands().await {
            Ok(records) => records,
            Err(error) => {
                log::error!("{error}");
                return;
            }
        };
        for record in records {
            let id = record.id;
            log::info!(command:% = id, phase:? = record.phase; "command from before");
            self.open.insert(id, Open::from(record));
        }
        log_failure(self.judge().await);
    }

    /// Decides about commands that an earlier process began.
    async fn judge(&mut self) -> Result<(), Error> {
        let left: Vec<CommandId> =
            self.open.iter().filter(|(_, open)| open.is_left()).map(|(id, _)| *id).collect();
        for id in left {
            let Some(open) = self.open.get(&id) else { continue };
            let verdict = judge::judge(open, &self.parts.boot_id, self.parts.clock.now_ms());
            let (state, message) = match verdict {
                Verdict::Wait => continue,
                Verdict::Succeeded(message) => (State::Succeeded, message),
                Verdict::Failed(message) => (State::Failed, message),
            };
            let status = self.status(id, state, message);
            self.finish(id, status).await?;
        }
        Ok(())
    }

    async fn finish(&mut self, id: CommandId, status: Status) -> Result<(), Error> {
        if self.parts.store.finish(id, status.clone()).await?
            && let Some(open) = self.open.get_mut(&id)
        {
            log::info!(command:% = id, state:? = status.state, message = status.message; "command over");
            open.over(status);
        }
        Ok(())
    }

    fn connected(&mut self) {
        self.absent_at = Some(Instant::now() + ABSENT);
        self.quiet_at = Some(Instant::now() + QUIET);
        for open in self.open.values_mut() {
            open.on_broker = false;
        }
    }

    /// Something came on a command's topic.
    async fn came(&mut self, id: CommandId, payload: &[u8]) -> Result<(), Error> {
        if self.quiet_at.is_some() {
            self.quiet_at = Some(Instant::now() + QUIET);
        }
        if payload.is_empty() {
            let record = self.parts.store.clear(id).await?;
            self.cleared(id, record);
            return Ok(());
        }
        if let Some(open) = self.open.get_mut(&id) {
            open.on_broker = true;
            if open.is_cleared_and_over() {
                // The fleet server did not see the end after all.
                let record = self.parts.store.unclear(id).await?;
                self.reopen(id, record).await?;
            }
            return Ok(());
        }
        if self.parts.store.command(id).await?.is_some() {
            let record = self.parts.store.unclear(id).await?;
            return self.reopen(id, record).await;
        }
        self.take(id, payload).await
    }

    /// A command that was never seen.
    async fn take(&mut self, id: CommandId, payload: &[u8]) -> Result<(), Error> {
        let now_ms = self.parts.clock.now_ms();
        let waiting = self.open.values().filter(|open| open.phase == Phase::Accepted).count();
        let (command, status, phase) = match Command::from_json(payload) {
            Err(error) => (None, self.status(id, State::Failed, error.to_string()), Phase::Over),
            Ok(command) if command.id != id => {
                let message = format!("the topic says {id}, the command {}", command.id);
                (None, self.status(id, State::Failed, message), Phase::Over)
            }
            Ok(command) if now_ms >= command.expires_ms => {
                let late = (now_ms - command.expires_ms) / 1000;
                let message = format!("came {late} s after its time");
                (None, self.status(id, State::Expired, message), Phase::Over)
            }
            Ok(command) if command.issued_ms < self.parts.lost_ms => {
                let message = "may have run already: this box's memory was damaged, and is new since then";
                (None, self.status(id, State::Failed, message), Phase::Over)
            }
            Ok(_) if waiting >= self.parts.config.waiting => {
                let message = format!("{waiting} commands wait already");
                (None, self.status(id, State::Failed, message), Phase::Over)
            }
            Ok(command) => (Some(command), self.status(id, State::Accepted, ""), Phase::Accepted),
        };
        log::info!(command:% = id, state:? = status.state, message = status.message; "command came");
        let new = self.parts.store.accept(id, command.clone(), status.clone(), phase, now_ms).await?;
        if new {
            let record = Record { id, command, status: Some(status), phase, cleared: false, emptied: false };
            let mut open = Open::from(record);
            open.on_broker = true;
            open.is_of_this_process = true;
            self.open.insert(id, open);
        }
        Ok(())
    }

    fn cleared(&mut self, id: CommandId, record: Option<Record>) {
        let Some(record) = record else { return };
        let fresh = Open::from(record);
        match self.open.get_mut(&id) {
            Some(open) => {
                if open.phase == Phase::Accepted {
                    log::info!(command:% = id; "command withdrawn before it began");
                }
                open.on_broker = false;
                open.cleared = true;
                open.phase = fresh.phase;
            }
            None if !fresh.emptied => {
                self.open.insert(id, fresh);
            }
            None => {}
        }
    }

    async fn reopen(&mut self, id: CommandId, record: Option<Record>) -> Result<(), Error> {
        let Some(mut record) = record else { return Ok(()) };
        if record.phase == Phase::Withdrawn {
            let status = self.status(id, State::Failed, "was withdrawn before it began");
            self.parts.store.rule(id, status.clone()).await?;
            record.phase = Phase::Over;
            record.status = Some(status);
        }
        let mut open = Open::from(record);
        open.on_broker = true;
        self.open.insert(id, open);
        Ok(())
    }

    /// Begins accepted commands, oldest first, while there is room.
    async fn begin_what_may(&mut self) -> Result<(), Error> {
        let waiting: Vec<CommandId> =
            self.open.iter().filter(|(_, open)| open.phase == Phase::Accepted).map(|(id, _)| *id).collect();
        for id in waiting {
            let Some(command) = self.open.get(&id).and_then(|open| open.command.clone()) else {
                // The row is damaged. It must not be begun, and not wait for ever.
                let status = self.status(id, State::Failed, "the box has lost the order");
                self.finish(id, status).await?;
                continue;
            };
            if self.parts.clock.now_ms() >= command.expires_ms {
                let status = self.status(id, State::Expired, "its time was over before it could begin");
                self.finish(id, status).await?;
                continue;
            }
            // Until the fleet server has told the time, this box may live in the past, where nothing expires.
            if self.quiet_at.is_some()
                || !self.parts.clock.is_told()
                || self.running.len() >= self.parts.config.running
            {
                continue;
            }
            let status = self.status(id, State::Running, "");
            if self.parts.store.begin(id, status.clone()).await? {
                self.begin(id, command, status);
            }
        }
        Ok(())
    }

    /// `running` is on disk.
    fn begin(&mut self, id: CommandId, command: Command, status: Status) {
        log::info!(command:% = id, action:? = Redacted(&command); "command begins");
        let (progress, said) = Progress::new();
        if let Some(open) = self.open.get_mut(&id) {
            open.begun(status.clone(), said);
        }
        let actions = self.parts.actions.clone();
        let store = self.parts.store.clone();
        let clock = self.parts.clock.clone();
        self.running.spawn(async move {
            let limit = Duration::from_secs(u64::from(command.timeout_s));
            let outcome = match tokio::time::timeout(limit, actions.run(command, progress)).await {
                Ok(outcome) => outcome,
                Err(_) => Outcome::failed(format!("not done within {} s", limit.as_secs())),
            };
            let Outcome { succeeded, message, result } = outcome;
            let status = Status {
                state: if succeeded { State::Succeeded } else { State::Failed },
                progress: succeeded.then_some(100),
                message,
                result,
                at_ms: clock.now_ms(),
                ..status
            };
            // On disk at once: nothing that the desk waits for may come between.
            let finished = store.finish(id, status.clone()).await;
            (id, finished.map(|finished| finished.then_some(status)))
        });
    }

    fn ended(&mut self, ended: Result<(CommandId, Result<Option<Status>, Error>), tokio::task::JoinError>) {
        match ended {
            Ok((id, Ok(Some(status)))) => {
                log::info!(command:% = id, state:? = status.state, message = status.message; "command over");
                if let Some(open) = self.open.get_mut(&id) {
                    open.over(status);
                }
            }
            Ok((_, Ok(None))) => {}
            Ok((id, Err(error))) => {
                // It stays `running`, and the next process says that this one ended meanwhile.
                log::error!(command:% = id; "{error}");
            }
            Err(error) => {
                log::error!("a command's task: {error}");
                // Which one is not known: those that run no longer are judged like those of an earlier process.
                let known = self.running.len();
                if known == 0 {
                    for open in self.open.values_mut() {
                        open.abandon();
                    }
                }
            }
        }
    }

    /// Once a second.
    async fn look(&mut self) -> Result<(), Error> {
        self.judge().await?;
        for open in self.open.values_mut() {
            open.hear();
        }
        if self.absent_at.is_some_and(|at| at <= Instant::now()) && self.parts.link.is_connected() {
            self.absent_at = None;
            let absent: Vec<CommandId> = self
                .open
                .iter()
                .filter(|(_, open)| {
                    open.phase == Phase::Over && !open.on_broker && !open.cleared && open.was_said()
                })
                .map(|(id, _)| *id)
                .collect();
            for id in absent {
                log::info!(command:% = id; "the fleet cleared it while this box was away");
                let record = self.parts.store.clear(id).await?;
                self.cleared(id, record);
            }
        }
        Ok(())
    }

    async fn forget(&mut self) -> Result<(), Error> {
        let now_ms = self.parts.clock.now_ms();
        let seen_ms = now_ms.saturating_sub(self.parts.config.remember_days.saturating_mul(DAY_MS));
        // A clock that runs ahead would forget too early.
        if self.parts.clock.is_told() {
            self.parts.store.forget_commands(seen_ms, now_ms, self.parts.config.remember).await?;
        }
        Ok(())
    }
}

async fn quiet(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}

/// Without the upload's token.
struct Redacted<'a>(&'a Command);

impl std::fmt::Debug for Redacted<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        use nodi_protocol::fleet::command::Action;
        match &self.0.action {
            Action::CollectLogs { since_ms, until_ms, .. } => write!(f, "CollectLogs {since_ms}..{until_ms}"),
            Action::MeasureUplink { bytes, .. } => write!(f, "MeasureUplink {bytes}"),
            other => other.fmt(f),
        }
    }
}

fn log_failure(result: Result<(), Error>) {
    if let Err(error) = result {
        log::error!("commands: {error}");
    }
}
