//! Rollouts: a bundle to many boxes, canaries first, then growing shares, halted by the first failures.
//!
//! [`decide`] says what follows from how things are, and nothing else; [`engine`] asks it again and again and puts its
//! steps into the database, each together with what has to be there for the next one. So there is no moment at which
//! a killed server would not find everything.

mod api;
mod decide;
mod engine;
mod plan;
mod steer;
mod store;
mod view;

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use serde::Deserialize;
use tokio::sync::Notify;

use crate::metrics::Metrics;
use crate::state::App;
use crate::tasks::Tasks;

pub use api::routes;
pub use plan::{Gate, NewRollout, Plan};
pub use store::{Halted, State as RolloutState, halted, name_of_open};
pub use view::{BoxStanding, BoxState, RolloutBoxView, RolloutBundle, RolloutView, StageView, Totals};

/// This area's section of the configuration.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Rollouts that are not over, drafts included; more are refused.
    pub max_open: u32,
    /// Rollouts that are over and remembered; the oldest are forgotten.
    pub keep: u32,
}

impl Default for Config {
    fn default() -> Self {
        Self { max_open: 50, keep: 200 }
    }
}

impl Config {
    /// # Errors
    /// The key and what is wrong with it.
    pub fn validate(&self) -> Result<(), (&'static str, String)> {
        if self.max_open == 0 { Err(("rollouts.max_open", "must not be 0".to_owned())) } else { Ok(()) }
    }
}

/// This area's part of [`App`].
pub struct State {
    /// Of which something changed: the engine looks at them, and browsers are told.
    touched: Mutex<BTreeSet<String>>,
    news: Notify,
    /// How many there are in each state.
    counts: Family<[(&'static str, &'static str); 1], Gauge>,
}

impl State {
    #[must_use]
    pub fn new(metrics: &Metrics) -> Self {
        let state = Self { touched: Mutex::default(), news: Notify::new(), counts: Family::default() };
        metrics.register(|registry| {
            registry.register("nodi_fleet_rollouts", "Rollouts by state", state.counts.clone());
        });
        state
    }

    /// Something of this rollout changed.
    pub fn touch(&self, id: String) {
        self.touched.lock().unwrap_or_else(PoisonError::into_inner).insert(id);
        self.news.notify_one();
    }

    fn take(&self) -> BTreeSet<String> {
        std::mem::take(&mut *self.touched.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Starts its background tasks.
pub fn start(app: &App, tasks: &mut Tasks) {
    tasks.spawn("rollouts", engine::run(app.clone()));
}
