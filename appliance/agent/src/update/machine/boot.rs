//! From the switch on: the reboot, the trial, and what came of it.

use nodi_protocol::fleet::update::State;

use super::super::files::Trial;
use super::super::judge::{self, Booted};
use super::{Machine, RETRY_MS};
use crate::seams::Obstacle;
use crate::store::Error;

/// Between two attempts to go back to the old slot.
const BACK_MS: u64 = 60_000;

impl Machine {
    pub(super) async fn enter_rebooting(&mut self) -> Result<bool, Error> {
        // Once more: the connection may have come or gone since.
        if let Err(error) = self.put_trial() {
            let is_there = self.directory.trial().is_some_and(|trial| self.is_of_this(&trial));
            if !is_there {
                self.say(None, format!("trial.json: {error}"));
                return Ok(false);
            }
        }
        let limit = self.current.as_ref().map_or(0, |record| record.order.deadlines.reboot_s);
        self.enter(State::Rebooting, "asking the host to reboot", limit.into(), |_| ()).await
    }

    fn is_of_this(&self, trial: &Trial) -> bool {
        self.current
            .as_ref()
            .is_some_and(|record| trial.id == record.order.id && trial.slot == record.facts.slot)
    }

    pub(super) async fn rebooting(&mut self) -> Result<bool, Error> {
        let Some(record) = self.current.clone() else { return Ok(false) };
        if record.facts.began.boot_id != self.setup.boot_id {
            return self.booted().await;
        }
        let limit_s = u64::from(record.order.deadlines.reboot_s);
        if self.lasted_ms() > limit_s * 1000 {
            let message = format!("the box was not started anew within {limit_s} s");
            return self.finish(State::Failed, message).await;
        }
        match self.work.take() {
            Some(Ok(())) => self.say(None, "the host was asked to reboot"),
            Some(Err(obstacle)) => {
                self.say(None, format!("the host does not reboot: {obstacle}"));
                self.asked = false;
                self.look_in(RETRY_MS);
            }
            None => {}
        }
        if !self.asked && !self.work.is_going_on() && !self.is_early() {
            self.asked = true;
            let updater = self.setup.updater.clone();
            self.work.begin(|_| async move { updater.reboot().await });
        }
        Ok(false)
    }

    /// It is another boot: which slot came up?
    async fn booted(&mut self) -> Result<bool, Error> {
        // The interruption is over, whatever it led to, and however long that takes to learn.
        self.release().await;
        if self.is_early() {
            return Ok(false);
        }
        self.look_in(self.setup.config.look_ms);
        let Some(record) = self.current.clone() else { return Ok(false) };
        let system = match self.system().await {
            Ok(system) => system,
            Err(obstacle) => {
                // Whatever the end is, it cannot be told before that.
                self.say(None, format!("it is not known which slot runs: {obstacle}"));
                return Ok(false);
            }
        };
        let gate = self.gate();
        let came_up = record.report.state == State::Trial;
        let attempts = self.setup.config.boot_attempts;
        match judge::booted(&record.facts, &system, gate.as_ref(), (attempts, came_up)) {
            Booted::New => self.enter_trial().await,
            Booted::Old(reason) => self.finish(State::RolledBack, reason).await,
            Booted::Unknown => {
                self.say(None, "RAUC does not say which slot runs");
                Ok(false)
            }
        }
    }

    pub(super) async fn enter_trial(&mut self) -> Result<bool, Error> {
        let limit = self.trial_limit_s();
        self.enter(State::Trial, "waiting for the health gate", limit, |_| ()).await
    }

    fn trial_limit_s(&self) -> u64 {
        let trial_s = self.current.as_ref().map_or(0, |record| record.order.deadlines.trial_s);
        u64::from(trial_s).saturating_add(self.setup.config.trial_grace_s)
    }

    pub(super) async fn trial(&mut self) -> Result<bool, Error> {
        let Some(record) = self.current.clone() else { return Ok(false) };
        if record.facts.began.boot_id != self.setup.boot_id {
            return self.booted().await;
        }
        // The gate's own stream goes through ingest, too.
        self.release().await;
        if self.is_early() {
            return Ok(false);
        }
        self.look_in(self.setup.config.look_ms);
        let gate = self.gate();
        let has_passed = gate.as_ref().is_some_and(|gate| gate.passed == Some(true));
        let system = if has_passed { self.system().await.ok() } else { None };
        let mut judged = judge::trial(&record.facts, &self.setup.boot_id, system.as_ref(), gate.as_ref());
        // To RAUC a Jetson's boot loader calls a slot good from the switch on; that it was marked, its counter tells.
        if judged == judge::Trial::Confirmed
            && let Err(obstacle) = self.setup.updater.armed().await
            && obstacle.passes
        {
            judged = judge::Trial::Wait(format!("the health gate passed; {obstacle}"));
        }
        match judged {
            judge::Trial::Confirmed => {
                let slot = &record.facts.slot;
                let (runs, wanted) = (&self.setup.version, &record.order.bundle.version);
                let message = if runs == wanted {
                    format!("slot {slot} passed its health gate and is marked good")
                } else {
                    format!(
                        "slot {slot} passed its health gate and is marked good; it says that it is version {runs}"
                    )
                };
                self.finish(State::Confirmed, message).await
            }
            judge::Trial::Wait(message) if self.lasted_ms() <= self.trial_limit_s() * 1000 => {
                self.say(None, message);
                Ok(false)
            }
            judge::Trial::Wait(message) => self.go_back(&message).await,
        }
    }

    /// The health gate should have ended the trial, and did not: this does what it would have done.
    async fn go_back(&mut self, last: &str) -> Result<bool, Error> {
        let Some(mut record) = self.current.clone() else { return Ok(false) };
        self.look_in(BACK_MS);
        if record.facts.given_up.is_empty() {
            // For whoever has to say in the old slot why it runs again.
            record.facts.given_up = format!("no end of the trial in time ({last})");
            self.setup.store.put_update(record.clone()).await?;
            self.current = Some(record.clone());
        }
        let from = record.facts.from_slot.clone();
        let system = self.setup.updater.system().await;
        let is_bad = system.as_ref().is_ok_and(|system| {
            system.other.as_ref().is_some_and(|other| other.bootname == from && !other.good)
        });
        let gave_up = self.gate().is_some_and(|gate| gate.boot_id == self.setup.boot_id && gate.stays());
        if is_bad || gave_up {
            record.facts.stays = true;
            self.current = Some(record);
            let message = format!("{last}; slot {from} does not boot, so that this one has to do");
            return self.finish(State::Failed, message).await;
        }
        let back = async {
            let system = system?;
            let old = system.other.filter(|other| other.bootname == from);
            let old = old.ok_or_else(|| Obstacle::passing(format!("RAUC knows of no slot {from}")))?;
            self.setup.updater.activate(old).await?;
            if let Some(new) = system.booted {
                self.setup.updater.reject(new).await?;
            }
            self.setup.updater.reboot().await
        };
        let message = match back.await {
            Ok(()) => format!("no end of the trial in time ({last}): going back to slot {from}"),
            Err(obstacle) => {
                format!("no end of the trial in time ({last}), and no way back to slot {from}: {obstacle}")
            }
        };
        log::error!("update: {message}");
        self.say(None, message);
        Ok(false)
    }
}
