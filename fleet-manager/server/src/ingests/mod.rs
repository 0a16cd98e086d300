//! The list of ingests, nearest and fittest first.

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
    Api::new("ingests")
}

/// Starts its background tasks.
pub fn start(_app: &App, _tasks: &mut Tasks) {}

/// Where this client publishes to, the best first.
///
/// # Errors
/// When the database fails.
pub async fn urls(_app: &App, _client: crate::http::client::Client) -> Result<Vec<String>, Error> {
    Ok(Vec::new())
}
