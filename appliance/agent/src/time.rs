//! Keeping the clock right: asks the fleet server when the process starts, when TLS fails, when the system's clock
//! was set, and every few hours.

use std::time::Duration;

use nodi_daemon::shutdown::Shutdown;
use nodi_protocol::fleet::event::What;
use serde::{Deserialize, Serialize};
use tokio::sync::Notify;

use crate::clock::{Anchor, Clock, TOLERANCE_MS};
use crate::events::Events;
use crate::fleet::{Error, Fleet};
use crate::store::{Store, names};
use crate::{config, files, host};

/// Between two looks at whether the system's clock was set.
const LOOK: Duration = Duration::from_secs(10);
/// After an attempt that failed.
const RETRY: Duration = Duration::from_secs(30);
/// A longer way there and back says too little about the time.
const LONGEST_TRIP_MS: u64 = 20_000;
/// For setting the system's clock, which means starting a unit.
const SETTING: Duration = Duration::from_secs(30);

/// What the fleet server said, and the boot in which it counts.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Remembered {
    pub boot_id: String,
    pub anchor: Anchor,
}

/// Asks once.
pub(crate) async fn ask(fleet: &Fleet, clock: &Clock) -> Result<Anchor, Error> {
    let begun = clock.since_boot_ms();
    let told = fleet.time().await?;
    let trip = clock.since_boot_ms().saturating_sub(begun);
    if trip > LONGEST_TRIP_MS {
        return Err(Error::Unusable(format!("the time took {trip} ms to come")));
    }
    let anchor = clock.learn(told.unix_ms.saturating_add(trip / 2));
    let error_ms = clock.system_error_ms();
    if error_ms.unsigned_abs() > TOLERANCE_MS {
        log::warn!(error_ms; "the system's clock is wrong: going by the fleet server's");
    }
    Ok(anchor)
}

/// Keeps `clock` right until the process stops.
pub(crate) struct Keeper {
    pub fleet: Fleet,
    pub clock: Clock,
    pub store: Store,
    pub events: Events,
    pub boot_id: String,
    pub config: config::Clock,
}

impl Keeper {
    /// `doubt` is notified when a certificate was not accepted.
    pub(crate) async fn run(self, doubt: &Notify, shutdown: &Shutdown) {
        let mut seen = self.clock.system_error_ms();
        loop {
            let pause = match ask(&self.fleet, &self.clock).await {
                Ok(anchor) => {
                    let remembered = Remembered { boot_id: self.boot_id.clone(), anchor };
                    if let Err(error) = self.store.set_value(names::TIME, remembered).await {
                        log::error!("{error}");
                    }
                    self.set_system(&mut seen).await;
                    // Between two questions when nothing happens.
                    Duration::from_secs(self.config.every_s)
                }
                Err(error) => {
                    log::debug!("time: {error}");
                    RETRY
                }
            };
            let asked = self.clock.since_boot_ms();
            let next = asked.saturating_add(u64::try_from(pause.as_millis()).unwrap_or(u64::MAX));
            loop {
                self.note_step(&mut seen).await;
                if self.clock.since_boot_ms() >= next {
                    break;
                }
                tokio::select! {
                    () = tokio::time::sleep(LOOK) => {}
                    () = doubt.notified() => {
                        // Not more often than this, whatever fails how often.
                        if self.clock.since_boot_ms().saturating_sub(asked) >= 2_000 {
                            break;
                        }
                    }
                    () = shutdown.wait() => return,
                }
            }
        }
    }

    /// The system's clock, or the correction, has jumped.
    async fn note_step(&self, seen: &mut i64) {
        let error = self.clock.system_error_ms();
        let by_ms = error.saturating_sub(*seen);
        if by_ms.unsigned_abs() > TOLERANCE_MS {
            *seen = error;
            self.events.record(What::ClockStepped { by_ms }).await;
            self.set_system(seen).await;
        }
    }

    /// Where no time server puts the system's clock right.
    async fn set_system(&self, seen: &mut i64) {
        let Some(anchor) = self.clock.to_set().filter(|_| !self.config.set.is_empty()) else { return };
        let by_ms = self.clock.system_error_ms().saturating_neg();
        match self.have_set(anchor).await {
            Ok(()) => {
                log::info!(by_ms; "the system's clock was set by the fleet server's");
                *seen = self.clock.system_error_ms();
                self.events.record(What::ClockStepped { by_ms }).await;
            }
            Err(error) => log::error!("the system's clock cannot be set: {error}"),
        }
    }

    async fn have_set(&self, anchor: Anchor) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        files::replace(&self.config.file, &serde_json::to_vec(&anchor)?, 0o644)?;
        self.config.set.run(SETTING).await.and_then(host::Ended::expect_success)?;
        Ok(())
    }
}
