//! Webhooks: signed, retried, never lost.

use serde::Deserialize;

use crate::error::Error;
use crate::http::access::Api;
use crate::state::App;
use crate::tasks::Tasks;

/// This area's section of the configuration.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {}

/// This area's part of [`App`].
pub struct State {}

impl State {
    /// # Errors
    /// What is not usable.
    pub fn new(_config: &crate::Config) -> Result<Self, Error> {
        Ok(Self {})
    }
}

/// What it serves below `/api/v1`.
#[must_use]
pub fn routes() -> Api {
    Api::new("webhooks")
}

/// Starts its background tasks.
pub fn start(_app: &App, _tasks: &mut Tasks) {}
