//! Channels and keys in the database, and as the API shows them.

use nodi_protocol::ChannelId;
use rusqlite::{Connection, Row};
use serde::Serialize;
use utoipa::ToSchema;

use crate::error::Error;
use crate::state::App;
use crate::streams::{self, SessionView};

/// Keys of a channel that are shown: those in force, and the last that were revoked.
const SHOWN_KEYS: u32 = 100;

/// A channel as the database has it, and the audit log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Channel {
    pub id: ChannelId,
    pub display_name: String,
    /// Of a person.
    pub owner_id: Option<String>,
    pub owner_name: Option<String>,
    pub created_ms: i64,
    pub suspended_ms: Option<i64>,
    pub suspended_reason: Option<String>,
    /// As the streamer wrote it; empty: [`Channel::shown_title`] makes one.
    pub title: String,
    pub description: String,
    /// Keys of a lower version are refused.
    pub min_version: u32,
    #[serde(skip)]
    pub next_version: u32,
}

pub(super) const COLUMNS: &str =
    "channel.id, channel.display_name, channel.owner_id, person.name, channel.created_ms,
    channel.suspended_ms, channel.suspended_reason, channel.min_version, channel.next_version, channel.title,
    channel.description";
pub(super) const FROM: &str = "channel LEFT JOIN person ON person.id = channel.owner_id";

pub(super) fn read(row: &Row<'_>) -> Result<Channel, Error> {
    let id: String = row.get(0)?;
    Ok(Channel {
        id: id.parse().map_err(|error| Error::Internal(format!("database: {error}")))?,
        display_name: row.get(1)?,
        owner_id: row.get(2)?,
        owner_name: row.get(3)?,
        created_ms: row.get(4)?,
        suspended_ms: row.get(5)?,
        suspended_reason: row.get(6)?,
        min_version: row.get(7)?,
        next_version: row.get(8)?,
        title: row.get(9)?,
        description: row.get(10)?,
    })
}

impl Channel {
    /// What viewers read.
    #[must_use]
    pub fn shown_title(&self) -> String {
        shown_title(&self.title, &self.display_name)
    }
}

/// The title that viewers read: a streamer need not think of one.
#[must_use]
pub fn shown_title(title: &str, display_name: &str) -> String {
    if title.is_empty() { format!("{display_name}\u{2019}s stream") } else { title.to_owned() }
}

pub(crate) fn get(connection: &Connection, id: &ChannelId) -> Result<Option<Channel>, Error> {
    let mut statement =
        connection.prepare_cached(&format!("SELECT {COLUMNS} FROM {FROM} WHERE channel.id = ?1"))?;
    let mut rows = statement.query([id.as_str()])?;
    rows.next()?.map(read).transpose()
}

/// A stream key without the key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct KeyView {
    pub version: u32,
    pub label: Option<String>,
    pub created_ms: i64,
    /// Name of who made it.
    pub created_by: Option<String>,
    pub expires_at_ms: Option<i64>,
    pub revoked_ms: Option<i64>,
}

pub(crate) fn keys(connection: &Connection, id: &ChannelId) -> Result<Vec<KeyView>, Error> {
    let mut statement = connection.prepare_cached(
        "SELECT version, nullif(label, ''), created_ms, created_by, expires_ms, revoked_ms FROM stream_key
         WHERE channel_id = ?1 ORDER BY version DESC LIMIT ?2",
    )?;
    let keys = statement
        .query_map((id.as_str(), SHOWN_KEYS), |row| {
            Ok(KeyView {
                version: row.get(0)?,
                label: row.get(1)?,
                created_ms: row.get(2)?,
                created_by: row.get(3)?,
                expires_at_ms: row.get(4)?,
                revoked_ms: row.get(5)?,
            })
        })?
        .collect::<rusqlite::Result<_>>()?;
    Ok(keys)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum ChannelState {
    Live,
    Offline,
    Suspended,
}

/// A channel, with what goes on on it.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct ChannelView {
    #[schema(value_type = String)]
    pub id: ChannelId,
    pub display_name: String,
    /// What viewers read.
    pub title: String,
    /// Id of the person who streams on it.
    pub owner: Option<String>,
    pub owner_name: Option<String>,
    pub state: ChannelState,
    pub suspended_reason: Option<String>,
    pub created_ms: i64,
    pub session: Option<SessionView>,
    /// Newest first.
    pub keys: Vec<KeyView>,
    pub watch_url: Option<String>,
    /// While it is live.
    pub thumbnail_url: Option<String>,
}

pub(super) fn view(app: &App, connection: &Connection, channel: Channel) -> Result<ChannelView, Error> {
    let session = streams::live_on(app, &channel.id);
    let state = match (&session, channel.suspended_ms) {
        (_, Some(_)) => ChannelState::Suspended,
        (Some(_), None) => ChannelState::Live,
        (None, None) => ChannelState::Offline,
    };
    Ok(ChannelView {
        keys: keys(connection, &channel.id)?,
        watch_url: Some(super::watch_url(app, &channel.id)),
        thumbnail_url: session.is_some().then(|| super::thumbnail_url(app, &channel.id)),
        title: channel.shown_title(),
        id: channel.id,
        display_name: channel.display_name,
        owner: channel.owner_id,
        owner_name: channel.owner_name,
        state,
        suspended_reason: channel.suspended_reason,
        created_ms: channel.created_ms,
        session,
    })
}
