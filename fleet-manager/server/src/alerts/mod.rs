//! Alerts: each has a start, an end and a reason, survives a restart, and is told once.

mod api;
mod engine;
mod kind;
mod rules;
mod store;
mod watch;

use serde::Deserialize;

use crate::error::Error;
use crate::state::App;
use crate::tasks::Tasks;

pub use api::routes;
pub use kind::{Kind, Severity};
pub use store::{AlertView, active};

/// This area's section of the configuration.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    pub rules: rules::Rules,
    /// Days for which alerts that are over are kept.
    pub keep_days: u32,
    /// Alerts that are kept, those that last included.
    pub keep: u32,
}

impl Default for Config {
    fn default() -> Self {
        Self { rules: rules::Rules::default(), keep_days: 90, keep: 100_000 }
    }
}

impl Config {
    /// # Errors
    /// The key and what is wrong with it.
    pub fn validate(&self) -> Result<(), (&'static str, String)> {
        self.rules.validate()
    }
}

/// This area's part of [`App`].
pub struct State {}

impl State {
    /// # Errors
    /// None.
    pub fn new(_config: &crate::Config) -> Result<Self, Error> {
        Ok(Self {})
    }
}

/// Starts its background tasks.
pub fn start(app: &App, tasks: &mut Tasks) {
    tasks.spawn("alerts", watch::watch(app.clone()));
}
