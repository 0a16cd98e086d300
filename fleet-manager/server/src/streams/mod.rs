//! Live sessions, their history, the overview, and what a streamer needs to go live.

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
    Api::new("streams")
}

/// Starts its background tasks.
pub fn start(_app: &App, _tasks: &mut Tasks) {}

/// A live session as the API shows it: what its box says, and what the fleet knows beside that.
#[derive(Debug, Clone, serde::Serialize, utoipa::ToSchema)]
pub struct SessionView {}

/// The live session of a channel, if there is one.
#[must_use]
pub fn live_on(_app: &App, _channel: &nodi_protocol::ChannelId) -> Option<SessionView> {
    None
}
