//! A live session as the API shows it: what its box says, and what the fleet knows beside that.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use nodi_protocol::fleet::session::Session;
use nodi_protocol::{BoxId, ChannelId, SessionId};
use rusqlite::Connection;
use serde::Serialize;
use utoipa::ToSchema;

use super::words::{self, Words};
use crate::boxes::{Health, Record};
use crate::channels;
use crate::error::Error;
use crate::state::App;

/// A live session.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct SessionView {
    pub box_id: BoxId,
    pub box_name: String,
    /// As people call the channel.
    pub channel_name: String,
    /// Absent while it is suspended: then nothing of it is shown.
    pub thumbnail_url: Option<String>,
    pub watch_url: Option<String>,
    /// By the box's clock.
    pub started_ms: i64,
    pub health: Health,
    #[serde(flatten)]
    pub words: Words,
    #[serde(flatten)]
    pub report: Session,
}

impl SessionView {
    #[must_use]
    pub fn of(app: &App, record: &Record, session: &Session) -> Self {
        let words = words::of(session, record.is_online());
        let shown = !app.revoked.now().suspended.contains(&session.channel);
        Self {
            box_id: record.id.clone(),
            box_name: record.name.clone(),
            channel_name: app.streams.names.of(&session.channel).name.clone(),
            thumbnail_url: shown.then(|| channels::thumbnail_url(app, &session.channel)),
            watch_url: shown.then(|| channels::watch_url(app, &session.channel)),
            started_ms: i64::try_from(session.session.unix_ms()).unwrap_or(i64::MAX),
            health: words.health,
            words,
            report: session.clone(),
        }
    }

    /// What somebody has to see at once, as opposed to numbers that move all the time.
    #[must_use]
    pub fn substance(&self) -> String {
        let codes = self.words.advice.iter().map(|advice| advice.code.as_str()).collect::<Vec<_>>().join(" ");
        let ladder = self.report.ladder.as_ref();
        let rungs = ladder
            .map(|ladder| {
                ladder.rungs.iter().map(|rung| format!("{} {}", rung.name, rung.state)).collect::<Vec<_>>()
            })
            .unwrap_or_default()
            .join(" ");
        let overload = ladder.map(|ladder| ladder.overload.as_str()).unwrap_or_default();
        let picture = (self.report.input.width, self.report.input.height, &self.report.input.video_codec);
        format!(
            "{:?}|{codes}|{rungs}|{overload}|{picture:?}|{}|{}|{:?}",
            self.health, self.channel_name, self.box_name, self.watch_url
        )
    }
}

/// What people call a channel, and whose it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Name {
    pub name: String,
    /// Of a person.
    pub owner: Option<String>,
}

/// Names of all channels: sessions are shown often, and come from boxes that know ids only.
#[derive(Debug, Default)]
pub(super) struct Names {
    names: RwLock<HashMap<ChannelId, Arc<Name>>>,
}

impl Names {
    /// A channel that is not known is called by its id, and is nobody's.
    #[must_use]
    pub(super) fn of(&self, id: &ChannelId) -> Arc<Name> {
        let names = self.names.read().unwrap_or_else(PoisonError::into_inner);
        names.get(id).cloned().unwrap_or_else(|| Arc::new(Name { name: id.to_string(), owner: None }))
    }

    /// Reads one channel anew, or all of them.
    ///
    /// # Errors
    /// When the database fails.
    pub(super) async fn refresh(&self, app: &App, only: Option<ChannelId>) -> Result<(), Error> {
        let id = only.clone();
        let found = app.db.read(move |connection| read(connection, id.as_ref())).await?;
        let mut names = self.names.write().unwrap_or_else(PoisonError::into_inner);
        match only {
            None => *names = found.into_iter().collect(),
            Some(id) => match found.into_iter().next() {
                Some((id, name)) => {
                    names.insert(id, name);
                }
                None => {
                    names.remove(&id);
                }
            },
        }
        Ok(())
    }
}

fn read(connection: &Connection, only: Option<&ChannelId>) -> Result<Vec<(ChannelId, Arc<Name>)>, Error> {
    let mut statement = connection
        .prepare_cached("SELECT id, display_name, owner_id FROM channel WHERE ?1 IS NULL OR id = ?1")?;
    let mut rows = statement.query([only.map(ChannelId::as_str)])?;
    let mut list = Vec::new();
    while let Some(row) = rows.next()? {
        let id: String = row.get(0)?;
        let id = id.parse().map_err(|error| Error::Internal(format!("database: {error}")))?;
        list.push((id, Arc::new(Name { name: row.get(1)?, owner: row.get(2)? })));
    }
    Ok(list)
}

/// Sessions by their channel, as of one moment.
pub(super) type ByChannel = HashMap<ChannelId, (Arc<Record>, Arc<Session>)>;

/// The newest session of each channel: when a publisher goes to another box, two boxes may name one for a moment.
#[must_use]
pub(super) fn by_channel(sessions: Vec<(Arc<Record>, Arc<Session>)>) -> ByChannel {
    let mut map = ByChannel::new();
    for (record, session) in sessions {
        let newest = map.get(&session.channel).map(|(_, newest)| newest.session);
        if newest.is_none_or(|newest: SessionId| newest < session.session) {
            map.insert(session.channel.clone(), (record, session));
        }
    }
    map
}
