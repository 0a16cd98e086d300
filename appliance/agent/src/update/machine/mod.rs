//! The state of an update: one order at a time, the next state on disk before what it names begins.
//!
//! [`Machine::turn`] looks at what is on disk and at how the box is, and goes on as far as it can; [`Machine::wait`] waits
//! for something to look at. A process that was killed, and one after a power cut, begin with the same `turn`.

mod before;
mod boot;
mod incoming;
mod over;
#[cfg(test)]
mod tests;
mod work;

use std::sync::Arc;
use std::time::Duration;

use nodi_protocol::fleet::update::{Order, Report, State};
use tokio::sync::watch;

pub(crate) use incoming::Heard;

use super::Config;
use super::files::{Directory, Gate};
use super::record::{Facts, Moment, Record};
use crate::clock::Clock;
use crate::events::Events;
use crate::seams::{Obstacle, System, Updater};
use crate::store::{Error, Store};
use incoming::Ears;
use work::Work;

/// A message, in characters: reasons are a line or two.
const LONGEST: usize = 500;
/// After something that did not work and may later.
const RETRY_MS: u64 = 10_000;
/// After the database failed.
const FAILED: Duration = Duration::from_secs(5);

/// What a [`Machine`] is made of.
pub(crate) struct Setup {
    pub store: Store,
    pub clock: Clock,
    pub events: Events,
    pub boot_id: String,
    /// Of the software that runs.
    pub version: String,
    pub updater: Arc<dyn Updater>,
    pub config: Config,
    /// What comes from the fleet.
    pub heard: watch::Receiver<Heard>,
    /// When the link to the broker was there last, in milliseconds since boot.
    pub connected: watch::Receiver<Option<u64>>,
    /// What the fleet is to know.
    pub report: watch::Sender<Option<Report>>,
}

/// The update of this box.
pub(crate) struct Machine {
    setup: Setup,
    directory: Directory,
    current: Option<Record>,
    /// Comes when the current one is over.
    pending: Option<Order>,
    ears: Ears,
    work: Work,
    /// The bundle is there and verified.
    downloaded: bool,
    /// New sessions are held back.
    held: bool,
    /// The host was asked to reboot by this process.
    asked: bool,
    /// Nothing is looked at before, in milliseconds since boot.
    look_at: u64,
    /// Since when RAUC does not answer, in milliseconds since boot.
    missing: Option<u64>,
    /// Runs now, as RAUC names it.
    slot: Option<String>,
    /// When something was reported last, in milliseconds since boot.
    shown_at: u64,
}

impl Machine {
    /// Reads what an earlier process left. What is told is told from the first [`Self::turn`] on.
    ///
    /// # Errors
    /// When the database fails.
    pub(crate) async fn open(setup: Setup) -> Result<Self, Error> {
        let current = setup.store.update().await?;
        let directory = Directory::new(&setup.config.directory);
        if let Some(record) = &current {
            log::info!(update:% = record.order.id, state:? = record.report.state; "update from before");
        }
        let held = current.as_ref().is_some_and(holds);
        let ears = Ears::new(setup.heard.clone(), setup.clock.since_boot_ms());
        let slot = current.as_ref().and_then(|record| record.report.slot.clone());
        Ok(Self {
            directory,
            current,
            pending: None,
            ears,
            work: Work::default(),
            downloaded: false,
            held,
            asked: false,
            look_at: 0,
            missing: None,
            slot,
            shown_at: 0,
            setup,
        })
    }

    /// For ever.
    pub(crate) async fn run(mut self) {
        loop {
            if let Err(error) = self.turn().await {
                log::error!("update: {error}");
                tokio::time::sleep(FAILED).await;
            }
            self.wait().await;
        }
    }

    /// Goes as far as it can without waiting.
    ///
    /// # Errors
    /// When the database fails: then nothing was begun that is not on disk.
    pub(crate) async fn turn(&mut self) -> Result<(), Error> {
        self.hear().await?;
        while self.step().await? {}
        self.show(false);
        Ok(())
    }

    /// Until there is something to look at.
    pub(crate) async fn wait(&mut self) {
        let look = Duration::from_millis(self.setup.config.look_ms);
        tokio::select! {
            () = self.ears.changed() => {}
            () = self.work.changed() => {}
            () = tokio::time::sleep(look) => {}
        }
    }

    /// Whether the state is another one now.
    async fn step(&mut self) -> Result<bool, Error> {
        let Some(record) = &self.current else { return self.next().await };
        match record.report.state {
            State::Waiting => self.waiting().await,
            State::Downloading => self.downloading().await,
            State::Installing => self.installing().await,
            State::Rebooting => self.rebooting().await,
            State::Trial => self.trial().await,
            State::Confirmed | State::RolledBack | State::Failed | State::Expired | State::Withdrawn => {
                self.over().await
            }
        }
    }

    fn now(&self) -> Moment {
        Moment {
            boot_id: self.setup.boot_id.clone(),
            since_boot_ms: self.setup.clock.since_boot_ms(),
            at_ms: self.setup.clock.now_ms(),
        }
    }

    /// Milliseconds that the state has lasted: over a boot, once there is a clock that can be believed.
    fn lasted_ms(&self) -> u64 {
        let now = self.now();
        let began = self.current.as_ref().map(|record| &record.facts.began);
        let can_tell = |began: &Moment| began.boot_id == now.boot_id || self.setup.clock.is_told();
        began.filter(|began| can_tell(began)).map_or(0, |began| began.elapsed_ms(&now))
    }

    /// Whether it is too early to look at the box again.
    fn is_early(&self) -> bool {
        self.setup.clock.since_boot_ms() < self.look_at
    }

    fn look_in(&mut self, ms: u64) {
        self.look_at = self.setup.clock.since_boot_ms().saturating_add(ms);
    }

    /// Puts the state on disk, and then tells it.
    async fn enter(
        &mut self,
        state: State,
        message: impl Into<String>,
        limit_s: u64,
        change: impl FnOnce(&mut Facts),
    ) -> Result<bool, Error> {
        let Some(mut record) = self.current.clone() else { return Ok(false) };
        let now = self.now();
        record.report = Report {
            state,
            progress: None,
            message: short(message),
            slot: self.slot.clone(),
            deadline_ms: Some(now.at_ms.saturating_add(limit_s.saturating_mul(1000))),
            boot_id: now.boot_id.clone(),
            at_ms: now.at_ms,
            ..record.report
        };
        record.facts.began = now;
        change(&mut record.facts);
        self.setup.store.put_update(record.clone()).await?;
        log::info!(update:% = record.order.id, state:?, message = record.report.message; "update");
        self.begun(record);
        Ok(true)
    }

    /// The same for a final state, with the event that says so.
    async fn finish(&mut self, state: State, message: impl Into<String>) -> Result<bool, Error> {
        let Some(mut record) = self.current.clone() else { return Ok(false) };
        let now = self.now();
        record.report = Report {
            state,
            progress: None,
            message: short(message),
            slot: self.slot.clone(),
            deadline_ms: None,
            boot_id: now.boot_id.clone(),
            at_ms: now.at_ms,
            ..record.report
        };
        record.facts.began = now;
        record.facts.settled = false;
        record.order.bundle.token = None;
        self.setup.events.update_ended(record.clone()).await?;
        self.begun(record);
        Ok(true)
    }

    fn begun(&mut self, record: Record) {
        self.work = Work::default();
        self.asked = false;
        self.look_at = 0;
        self.missing = None;
        self.current = Some(record);
        self.show(true);
    }

    /// What it does or waits for now. Not on disk: the next process finds out by itself.
    fn say(&mut self, progress: Option<u8>, message: impl Into<String>) {
        let at_ms = self.setup.clock.now_ms();
        let Some(record) = &mut self.current else { return };
        let message = short(message);
        if record.report.progress != progress || record.report.message != message {
            record.report.progress = progress;
            record.report.message = message;
            record.report.at_ms = at_ms;
        }
    }

    /// Tells the report, `at_once` or when the last one was long enough ago.
    fn show(&mut self, at_once: bool) {
        let Some(record) = &mut self.current else { return };
        record.report.slot.clone_from(&self.slot);
        let now = self.setup.clock.since_boot_ms();
        let told = self.setup.report.borrow().as_ref() == Some(&record.report);
        let due = self.shown_at.saturating_add(self.setup.config.report_ms);
        if told || (!at_once && now < due && self.setup.report.borrow().is_some()) {
            return;
        }
        self.shown_at = now;
        self.setup.report.send_replace(Some(record.report.clone()));
    }

    /// What RAUC says, and which slot runs. One that does not answer for too long is none.
    async fn system(&mut self) -> Result<System, Obstacle> {
        let now = self.setup.clock.since_boot_ms();
        match self.setup.updater.system().await {
            Ok(system) => {
                self.missing = None;
                if let Some(booted) = &system.booted {
                    self.slot = Some(booted.bootname.clone());
                }
                Ok(system)
            }
            Err(obstacle) => {
                let since = *self.missing.get_or_insert(now);
                let long = now.saturating_sub(since) >= self.setup.config.rauc_wait_s.saturating_mul(1000);
                Err(Obstacle { passes: obstacle.passes && !long, ..obstacle })
            }
        }
    }

    /// What the health gate says of this update.
    fn gate(&self) -> Option<Gate> {
        self.directory.gate()?.of(self.current.as_ref()?.order.id)
    }

    /// Takes no new session, if that is not so already.
    async fn hold(&mut self) {
        if !self.held {
            match self.setup.updater.hold(true).await {
                Ok(()) => self.held = true,
                Err(obstacle) => log::error!("update: {obstacle}"),
            }
        }
    }

    /// Lets new sessions in again, as soon as ingest takes it.
    async fn release(&mut self) {
        if self.held {
            match self.setup.updater.hold(false).await {
                Ok(()) => self.held = false,
                Err(obstacle) => log::error!("update: {obstacle}"),
            }
        }
    }
}

/// Whether new sessions are held back in this state.
fn holds(record: &Record) -> bool {
    matches!(record.report.state, State::Installing | State::Rebooting)
}

/// Whether an agent that starts with what is in `store` begins by holding new sessions back.
///
/// # Errors
/// When the database fails.
pub(crate) async fn is_held(store: &Store) -> Result<bool, Error> {
    Ok(store.update().await?.as_ref().is_some_and(holds))
}

fn short(message: impl Into<String>) -> String {
    message.into().chars().take(LONGEST).collect()
}
