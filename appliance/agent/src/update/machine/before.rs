//! Up to the switch: preflight, download, quiet, installation.

use nodi_protocol::fleet::update::State;

use super::super::files::Trial;
use super::super::{compatible, judge, window};
use super::{Machine, RETRY_MS};
use crate::seams::{Obstacle, System};
use crate::store::Error;

/// The agent's connection to the broker counts as there for so long after it was.
const RECENTLY_MS: u64 = 60_000;

impl Machine {
    pub(super) async fn waiting(&mut self) -> Result<bool, Error> {
        if self.is_expired() {
            let last = self.current.as_ref().map(|record| record.report.message.clone()).unwrap_or_default();
            let last = if last.is_empty() { String::new() } else { format!(": {last}") };
            return self.finish(State::Expired, format!("it could not begin in time{last}")).await;
        }
        if self.ears.is_unsure(self.setup.clock.since_boot_ms()) || self.is_early() {
            return Ok(false);
        }
        match self.preflight().await {
            Ok(_) => {
                let limit = self.current.as_ref().map_or(0, |record| record.order.deadlines.download_s);
                self.enter(State::Downloading, "", limit.into(), |_| ()).await
            }
            Err(obstacle) if obstacle.passes => {
                self.say(None, obstacle.reason);
                self.look_in(self.setup.config.look_ms);
                Ok(false)
            }
            Err(obstacle) => self.finish(State::Failed, obstacle.reason).await,
        }
    }

    pub(super) async fn downloading(&mut self) -> Result<bool, Error> {
        let Some(record) = self.current.clone() else { return Ok(false) };
        let limit_ms = u64::from(record.order.deadlines.download_s) * 1000;
        if !self.downloaded {
            return self.fetching(limit_ms).await;
        }
        // Waiting for a quiet moment is no download: it may last as long as the order is good.
        let until = record.order.expires_ms.max(record.facts.began.at_ms.saturating_add(limit_ms));
        if let Some(record) = &mut self.current {
            record.report.deadline_ms = Some(until);
        }
        let is_late = self.setup.clock.is_told() && self.setup.clock.now_ms() >= until;
        if self.is_early() && !is_late {
            return Ok(false);
        }
        self.look_in(self.setup.config.look_ms);
        match self.quiet(record.order.force).await {
            Ok(system) => self.install_on(system).await,
            Err(obstacle) if !obstacle.passes => self.finish(State::Failed, obstacle.reason).await,
            Err(obstacle) if is_late => {
                self.finish(State::Expired, format!("downloaded, and then too late: {obstacle}")).await
            }
            Err(obstacle) => {
                self.release().await;
                self.say(Some(100), obstacle.reason);
                Ok(false)
            }
        }
    }

    async fn fetching(&mut self, limit_ms: u64) -> Result<bool, Error> {
        let Some(record) = self.current.clone() else { return Ok(false) };
        match self.work.take() {
            Some(Ok(())) => {
                self.downloaded = true;
                self.say(Some(100), "downloaded and verified");
                return Ok(true);
            }
            Some(Err(obstacle)) if obstacle.passes => {
                let progress = record.report.progress;
                self.say(progress, obstacle.reason);
                self.look_in(RETRY_MS);
            }
            Some(Err(obstacle)) => return self.finish(State::Failed, obstacle.reason).await,
            None => {}
        }
        if let Some(said) = self.work.said() {
            self.say(said.percent, said.message);
        }
        if self.lasted_ms() > limit_ms {
            let last = self.current.as_ref().map(|record| record.report.message.clone()).unwrap_or_default();
            let message = format!("not downloaded within {} s: {last}", limit_ms / 1000);
            return self.finish(State::Failed, message).await;
        }
        if self.work.is_going_on() || self.is_early() || self.ears.is_unsure(self.setup.clock.since_boot_ms())
        {
            return Ok(false);
        }
        let updater = self.setup.updater.clone();
        let bundle = record.order.bundle;
        let file = self.directory.bundle(record.order.id);
        self.work.begin(|progress| async move { updater.download(bundle, file, progress).await });
        Ok(false)
    }

    /// What has to be so before anything is downloaded, and again before anything is written.
    async fn preflight(&mut self) -> Result<System, Obstacle> {
        let Some(record) = &self.current else { return Err(Obstacle::passing("there is no order")) };
        let bundle = record.order.bundle.clone();
        let file = self.directory.bundle(record.order.id);
        if !self.setup.clock.is_told() {
            return Err(Obstacle::passing("the clock is not set: the fleet server has not told the time"));
        }
        if bundle.version == self.setup.version {
            return Err(Obstacle::lasting(format!("version {} runs already", bundle.version)));
        }
        let system = self.system().await?;
        if let Some(reason) = compatible::refusal(&bundle.compatible, &system.compatible) {
            return Err(Obstacle::lasting(reason));
        }
        if system.busy {
            return Err(Obstacle::passing("RAUC is busy with something else"));
        }
        if system.booted.is_none() || system.other.is_none() {
            return Err(Obstacle::lasting(
                "there is no second slot: RAUC knows of none beside the one that runs",
            ));
        }
        self.setup.updater.armed().await?;
        self.setup.updater.room(&bundle, file)?;
        Ok(system)
    }

    /// Whether nobody is disturbed by an installation and a reboot now, and the box is still fit for it.
    async fn quiet(&mut self, force: bool) -> Result<System, Obstacle> {
        if !force {
            let windows = self.setup.updater.windows();
            let now = self.setup.clock.now_ms();
            if !window::is_open(&windows, now) {
                let next = window::describe(window::next_ms(&windows, now));
                return Err(Obstacle::passing(format!("waiting for the maintenance window of {next}")));
            }
            self.is_nobody_live().await?;
        }
        let system = self.preflight().await?;
        if force {
            // Sessions that are live end with the reboot; others need not begin for that.
            if let Err(obstacle) = self.setup.updater.hold(true).await {
                log::warn!("update: {obstacle}");
            }
            self.held = true;
            return Ok(system);
        }
        self.held = true;
        self.setup.updater.hold(true).await?;
        // Somebody may have come before the hold was in force.
        self.is_nobody_live().await?;
        Ok(system)
    }

    async fn is_nobody_live(&self) -> Result<(), Obstacle> {
        match self.setup.updater.live().await {
            0 => Ok(()),
            1 => Err(Obstacle::passing("waiting for the end of a live session")),
            live => Err(Obstacle::passing(format!("waiting for the end of {live} live sessions"))),
        }
    }

    async fn install_on(&mut self, system: System) -> Result<bool, Error> {
        let (Some(booted), Some(other)) = (system.booted, system.other) else { return Ok(false) };
        let limit = self.current.as_ref().map_or(0, |record| record.order.deadlines.install_s);
        self.enter(State::Installing, format!("into slot {}", other.bootname), limit.into(), |facts| {
            facts.from_slot = booted.bootname;
            facts.slot = other.bootname;
            facts.installs = 0;
        })
        .await
    }

    pub(super) async fn installing(&mut self) -> Result<bool, Error> {
        let Some(record) = self.current.clone() else { return Ok(false) };
        let limit_s = u64::from(record.order.deadlines.install_s);
        let is_late = self.lasted_ms() > limit_s * 1000;
        self.hold().await;
        let ended = self.work.take();
        if ended.is_none() && self.work.is_going_on() {
            if let Some(said) = self.work.said() {
                self.say(said.percent, said.message);
            }
            if is_late {
                let last = self.current.as_ref().map(|record| record.report.message.clone());
                let last = last.unwrap_or_default();
                return self.finish(State::Failed, format!("not installed within {limit_s} s: {last}")).await;
            }
            return Ok(false);
        }
        if ended.is_none() && self.is_early() && !is_late {
            return Ok(false);
        }
        self.look_in(self.setup.config.look_ms);
        let ended = ended.map(|ended| ended.map_err(|obstacle| obstacle.reason));
        let system = match self.system().await {
            Ok(system) => system,
            Err(obstacle) => {
                if let Some(Err(reason)) = ended {
                    return self.finish(State::Failed, reason).await;
                }
                let passes = obstacle.passes && !is_late;
                return self.stopped_by(Obstacle { passes, ..obstacle }).await;
            }
        };
        let same_boot = record.facts.began.boot_id == self.setup.boot_id;
        let gate = self.gate();
        let attempts = self.setup.config.boot_attempts;
        let judged = judge::installing(&record.facts, ended, &system, gate.as_ref(), (same_boot, attempts));
        match judged {
            judge::Installing::Tried => self.enter_trial().await,
            judge::Installing::Done => self.enter_rebooting().await,
            judge::Installing::Failed(reason) => self.finish(State::Failed, reason).await,
            judge::Installing::Back(reason) => self.finish(State::RolledBack, reason).await,
            _ if is_late => self.finish(State::Failed, format!("not installed within {limit_s} s")).await,
            judge::Installing::Watch => {
                let updater = self.setup.updater.clone();
                self.work.begin(|progress| async move { updater.install(None, progress).await });
                Ok(false)
            }
            judge::Installing::Begin => self.begin_installation(system).await,
        }
    }

    /// An obstacle to the installation: it is waited for, or the end of the update.
    async fn stopped_by(&mut self, obstacle: Obstacle) -> Result<bool, Error> {
        if !obstacle.passes {
            return self.finish(State::Failed, obstacle.reason).await;
        }
        self.say(None, obstacle.reason);
        Ok(false)
    }

    async fn begin_installation(&mut self, system: System) -> Result<bool, Error> {
        let Some(mut record) = self.current.clone() else { return Ok(false) };
        let most = self.setup.config.install_attempts;
        if record.facts.installs >= most {
            let message = format!("the installation was cut short {most} times");
            return self.finish(State::Failed, message).await;
        }
        // An installation that begins again after a power cut may be earlier than the health gate.
        if let Err(obstacle) = self.setup.updater.armed().await {
            return self.stopped_by(obstacle).await;
        }
        // A slot that boots without this file is not tried but trusted: it is there before RAUC can switch.
        if let Err(error) = self.put_trial() {
            self.say(None, format!("trial.json: {error}"));
            return Ok(false);
        }
        // What boots next is the witness of what RAUC did: it has to be the old slot before.
        if let Some(booted) = system.booted.clone()
            && system.primary.as_deref() != Some(&booted.bootname)
            && let Err(obstacle) = self.setup.updater.activate(booted).await
        {
            return self.stopped_by(obstacle).await;
        }
        record.facts.installs += 1;
        record.facts.error_before = system.last_error;
        self.setup.store.put_update(record.clone()).await?;
        if record.facts.installs > 1 {
            log::warn!(attempt = record.facts.installs; "the installation was cut short: once more");
        }
        let bundle = record.order.bundle.clone();
        let file = self.directory.bundle(record.order.id);
        self.current = Some(record);
        let updater = self.setup.updater.clone();
        self.work.begin(|progress| async move { updater.install(Some((bundle, file)), progress).await });
        Ok(false)
    }

    pub(super) fn put_trial(&self) -> std::io::Result<()> {
        let Some(record) = &self.current else { return Ok(()) };
        let now = self.setup.clock.since_boot_ms();
        let connected = *self.setup.connected.borrow();
        self.directory.put_trial(&Trial {
            id: record.order.id,
            slot: record.facts.slot.clone(),
            from_slot: record.facts.from_slot.clone(),
            to: record.order.bundle.version.clone(),
            trial_s: record.order.deadlines.trial_s,
            broker: connected.is_some_and(|at| now.saturating_sub(at) <= RECENTLY_MS),
        })
    }

    /// By a clock that can be believed.
    fn is_expired(&self) -> bool {
        let expires_ms = self.current.as_ref().map_or(u64::MAX, |record| record.order.expires_ms);
        self.setup.clock.is_told() && self.setup.clock.now_ms() >= expires_ms
    }
}
