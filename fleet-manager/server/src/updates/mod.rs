//! Updates: one order per box, durable from the moment it is given and retained at the broker until it is over; what the
//! box says of it; and what is made of its silence.

mod api;
mod order;
mod silence;
mod states;
mod store;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use serde::Deserialize;

use crate::metrics::Metrics;
use crate::state::App;
use crate::tasks::Tasks;

pub use api::{NewUpdate, routes};
pub use order::{BEGIN_S, Wish, check_begin_s, check_deadlines, give};
pub use states::State as UpdateState;
pub use store::{
    UpdateView, installing_boxes, is_silent, open_boxes, outgoing, said, withdraw, withdraw_all,
};

/// This area's section of the configuration.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Seconds after a deadline in which a report may still be on its way: the box may have to reconnect first.
    pub grace_s: u32,
    /// Seconds for which a box that has not begun to install may be offline before it counts as silent.
    pub offline_s: u32,
    /// Updates of one box that are remembered; the oldest that are over are forgotten.
    pub keep_per_box: u32,
}

impl Default for Config {
    fn default() -> Self {
        Self { grace_s: 60, offline_s: 3_600, keep_per_box: 200 }
    }
}

impl Config {
    /// # Errors
    /// The key and what is wrong with it.
    pub fn validate(&self) -> Result<(), (&'static str, String)> {
        for (key, value) in [
            ("updates.grace_s", self.grace_s),
            ("updates.offline_s", self.offline_s),
            ("updates.keep_per_box", self.keep_per_box),
        ] {
            if value == 0 {
                return Err((key, "must not be 0".to_owned()));
            }
        }
        Ok(())
    }
}

/// This area's part of [`App`].
pub struct State {
    /// How many boxes are in each state that is not over.
    open: Family<[(&'static str, &'static str); 1], Gauge>,
    /// How updates ended.
    ended: Family<[(&'static str, &'static str); 1], Counter>,
}

impl State {
    #[must_use]
    pub fn new(metrics: &Metrics) -> Self {
        let state = Self { open: Family::default(), ended: Family::default() };
        metrics.register(|registry| {
            registry.register(
                "nodi_fleet_updates",
                "Updates that are not over, by state",
                state.open.clone(),
            );
            registry.register("nodi_fleet_updates_ended", "How updates ended", state.ended.clone());
        });
        state
    }
}

/// Starts its background tasks.
pub fn start(app: &App, tasks: &mut Tasks) {
    tasks.spawn("update deadlines", silence::watch(app.clone()));
}
