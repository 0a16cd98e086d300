//! How a box becomes ours: by a claim code, or by a person who approves it; how it renews its certificate; how it
//! stops being ours.
//!
//! A certificate signing request proves that whoever asks has the key, the certificate is of use to nobody else, and
//! the box id is made of the key. So the same request may be made again at any time, by anybody, and gets the
//! same answer; nothing of it is secret.

mod api;
mod certificates;
mod claim;
mod codes;
mod revoke;
pub(crate) mod throttle;
mod waiting;

use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;

use crate::ca::{self, Authority};
use crate::state::App;
use crate::tasks::Tasks;

pub use api::routes;
pub use certificates::revoked as revoked_certificates;
use throttle::Throttle;

/// This area's section of the configuration.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Days for which a box's certificate is good, 1 to 825. The box asks for the next at two thirds.
    pub certificate_days: u32,
    /// Seconds after which a waiting box asks again.
    pub retry_s: u32,
    /// Boxes that may wait for a person at the same time; more are told to come back later.
    pub max_waiting: u32,
    /// Claim codes that there may be at the same time.
    pub max_claim_codes: u32,
}

impl Default for Config {
    fn default() -> Self {
        Self { certificate_days: 90, retry_s: 5, max_waiting: 1_000, max_claim_codes: 1_000 }
    }
}

impl Config {
    /// # Errors
    /// The key and what is wrong with it.
    pub fn validate(&self) -> Result<(), (&'static str, String)> {
        if !(1..=825).contains(&self.certificate_days) {
            return Err(("enrolment.certificate_days", format!("{} is not 1 to 825", self.certificate_days)));
        }
        if !(1..=3_600).contains(&self.retry_s) {
            return Err(("enrolment.retry_s", format!("{} is not 1 to 3600", self.retry_s)));
        }
        Ok(())
    }

    fn validity(&self) -> Duration {
        Duration::from_secs(u64::from(self.certificate_days) * 24 * 3_600)
    }
}

/// This area's part of [`App`].
pub struct State {
    pub authority: Arc<Authority>,
    /// Requests of one address.
    requests: Throttle,
    /// Wrong claim codes of one address.
    guesses: Throttle,
}

impl State {
    /// # Errors
    /// When there is no authority, or it is not usable.
    pub fn load(config: &crate::Config) -> Result<Self, ca::Error> {
        let authority = Arc::new(Authority::load(&config.ca_dir())?);
        Ok(Self {
            authority,
            // A venue's worth of boxes behind one address, each asking every few seconds.
            requests: Throttle::new(200.0, 20.0),
            // A code has 80 bits; this is so that nobody's tries fill the log.
            guesses: Throttle::new(10.0, 0.2),
        })
    }
}

/// Starts its background tasks.
pub fn start(app: &App, tasks: &mut Tasks) {
    tasks.spawn("enrolment", prune(app.clone()));
}

/// Removes what nobody needs any more.
async fn prune(app: App) {
    const INTERVAL: Duration = Duration::from_secs(60);
    loop {
        let now_ms = app.now_ms();
        let pruned = app
            .db
            .write(move |tx| {
                waiting::prune(tx, now_ms)?;
                claim::prune(tx, now_ms)?;
                certificates::prune(tx, now_ms)
            })
            .await;
        if let Err(error) = pruned {
            log::warn!("enrolment: {error}");
        }
        app.clock.sleep(INTERVAL).await;
    }
}
