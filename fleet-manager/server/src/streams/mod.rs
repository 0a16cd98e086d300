//! Live sessions, their history, and what a streamer needs to go live.

mod api;
mod follow;
pub(crate) mod go_live;
#[cfg(test)]
pub(crate) mod testing;
mod view;
pub mod words;

use std::sync::{Arc, Mutex, PoisonError};

use nodi_protocol::ChannelId;
use nodi_protocol::fleet::session::Session;
use serde::Deserialize;

use crate::error::Error;
use crate::state::App;
use crate::tasks::Tasks;

pub use api::routes;
pub use view::SessionView;
use view::{ByChannel, Names, by_channel};

/// This area's section of the configuration.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {}

/// This area's part of [`App`].
pub struct State {
    names: Names,
    /// Made when it is asked for; nothing when something has changed since.
    live: Mutex<Option<Arc<ByChannel>>>,
}

impl State {
    /// # Errors
    /// None.
    pub fn new(_config: &crate::Config) -> Result<Self, Error> {
        Ok(Self { names: Names::default(), live: Mutex::default() })
    }

    /// A session came, went or has news.
    fn changed(&self) {
        *self.live.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    fn live(&self, app: &App) -> Arc<ByChannel> {
        let mut live = self.live.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(live.get_or_insert_with(|| Arc::new(by_channel(app.boxes.registry.sessions()))))
    }
}

/// Starts its background tasks.
pub fn start(app: &App, tasks: &mut Tasks) {
    tasks.spawn("names of channels", follow::names(app.clone()));
    tasks.spawn("sessions", follow::sessions(app.clone()));
}

/// The live session of a channel, if there is one.
#[must_use]
pub fn live_on(app: &App, channel: &ChannelId) -> Option<SessionView> {
    let live = app.streams.live(app);
    live.get(channel).map(|(record, session)| SessionView::of(app, record, session))
}

/// Channels that are live, and since when by their box's clock.
pub(crate) fn live_since(app: &App) -> Vec<(ChannelId, i64)> {
    let live = app.streams.live(app);
    let since = |session: &Session| i64::try_from(session.session.unix_ms()).unwrap_or(i64::MAX);
    live.iter().map(|(channel, (_, session))| (channel.clone(), since(session))).collect()
}

/// Since when a channel is live.
pub(crate) fn live_since_on(app: &App, channel: &ChannelId) -> Option<i64> {
    let live = app.streams.live(app);
    live.get(channel).map(|(_, session)| i64::try_from(session.session.unix_ms()).unwrap_or(i64::MAX))
}

/// Everything that is live, the newest first.
#[must_use]
pub fn live(app: &App) -> Vec<SessionView> {
    let mut views: Vec<SessionView> = app
        .streams
        .live(app)
        .values()
        .map(|(record, session)| SessionView::of(app, record, session))
        .collect();
    views.sort_by_key(|view| std::cmp::Reverse(view.report.session));
    views
}
