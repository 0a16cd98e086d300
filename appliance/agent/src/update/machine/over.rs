//! After the end: nothing of an update is left, and what runs is what boots next.

use nodi_protocol::fleet::update::State;

use super::{Machine, RETRY_MS};
use crate::seams::Obstacle;
use crate::store::Error;

impl Machine {
    pub(super) async fn over(&mut self) -> Result<bool, Error> {
        let Some(record) = self.current.clone() else { return Ok(false) };
        if record.facts.settled {
            return self.next().await;
        }
        self.release().await;
        if self.is_early() {
            return Ok(false);
        }
        // It may have switched, or switch yet.
        let is_open =
            record.report.state == State::Failed && record.facts.installs > 0 && !record.facts.stays;
        if is_open {
            match self.switch_back().await {
                Ok(Switched::Back) => {}
                // The power was cut before it could be undone: the trial is on after all.
                Ok(Switched::ToTheNew) => return self.enter_trial().await,
                Err(obstacle) => {
                    log::warn!("update: not settled yet: {obstacle}");
                    self.look_in(RETRY_MS);
                    return Ok(false);
                }
            }
        }
        if let Err(error) = self.directory.end_trial().and_then(|()| self.directory.sweep(None)) {
            log::error!("update: {error}");
            self.look_in(RETRY_MS);
            return Ok(false);
        }
        if self.held {
            self.look_in(RETRY_MS);
            return Ok(false);
        }
        let mut settled = record;
        settled.facts.settled = true;
        self.setup.store.put_update(settled.clone()).await?;
        self.current = Some(settled);
        self.next().await
    }

    /// Makes the slot that runs the one that boots next.
    async fn switch_back(&mut self) -> Result<Switched, Obstacle> {
        let system = self.setup.updater.system().await?;
        if system.busy {
            return Err(Obstacle::passing("RAUC still works"));
        }
        let Some(booted) = system.booted else {
            return Err(Obstacle::passing("RAUC does not say which slot runs"));
        };
        let tried = self.current.as_ref().is_some_and(|record| record.facts.slot == booted.bootname);
        if tried {
            return Ok(Switched::ToTheNew);
        }
        if system.primary.as_deref() != Some(&booted.bootname) {
            self.setup.updater.activate(booted).await?;
        }
        Ok(Switched::Back)
    }
}

enum Switched {
    Back,
    ToTheNew,
}
