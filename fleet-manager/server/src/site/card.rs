//! A channel as lists of channels show it.

use std::cmp::Ordering;

use nodi_protocol::ChannelId;
use rusqlite::Row;
use serde::Serialize;
use utoipa::ToSchema;

use crate::channels::shown_title;
use crate::error::Error;
use crate::state::App;
use crate::streams;

/// What [`read`] reads, and how many columns it is.
pub(super) const COLUMNS: &str =
    "channel.id, channel.display_name, channel.title, channel.owner_id, person.name,
    channel.suspended_ms IS NOT NULL, channel.last_live_ms";
pub(super) const WIDTH: usize = 7;
pub(super) const FROM: &str = "channel LEFT JOIN person ON person.id = channel.owner_id";

/// A channel in the database, as far as cards need it.
pub(super) struct Stored {
    pub(super) id: ChannelId,
    pub(super) title: String,
    pub(super) streamer: Option<Streamer>,
    pub(super) suspended: bool,
    pub(super) last_live_ms: Option<i64>,
}

/// Who streams on a channel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub(super) struct Streamer {
    pub(super) id: String,
    pub(super) name: String,
}

pub(super) fn read(row: &Row<'_>) -> Result<Stored, Error> {
    let id: String = row.get(0)?;
    let (display_name, title): (String, String) = (row.get(1)?, row.get(2)?);
    let (owner, name): (Option<String>, Option<String>) = (row.get(3)?, row.get(4)?);
    Ok(Stored {
        id: id.parse().map_err(|error| Error::Internal(format!("database: {error}")))?,
        title: shown_title(&title, &display_name),
        streamer: owner.zip(name).map(|(id, name)| Streamer { id, name }),
        suspended: row.get(5)?,
        last_live_ms: row.get(6)?,
    })
}

/// A channel in a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub(super) struct Card {
    #[schema(value_type = String)]
    pub(super) id: ChannelId,
    pub(super) title: String,
    /// Null: nobody's.
    pub(super) streamer: Option<Streamer>,
    pub(super) live: bool,
    /// Null while the chat service, which counts them, does not answer.
    pub(super) viewers: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) started_ms: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) last_live_ms: Option<i64>,
    /// Null: there is no picture.
    pub(super) thumbnail_url: Option<String>,
    pub(super) watch_url: String,
}

impl Card {
    /// As of now.
    pub(super) fn of(app: &App, stored: Stored) -> Self {
        let started_ms = streams::live_since_on(app, &stored.id).filter(|_| !stored.suspended);
        Self::at(app, stored, started_ms)
    }

    /// Of a channel that is live since then, if it is.
    pub(super) fn at(app: &App, stored: Stored, started_ms: Option<i64>) -> Self {
        let live = started_ms.is_some();
        let thumbnail_url = match (stored.suspended, live) {
            (true, _) => None,
            (false, true) => Some(format!("/live/{}/thumbnail.jpg", stored.id)),
            (false, false) => app.site.thumbnails.url(&stored.id),
        };
        Self {
            live,
            viewers: app.site.viewers.of(&stored.id, app.now_ms()),
            started_ms,
            last_live_ms: stored.last_live_ms.filter(|_| !live),
            thumbnail_url,
            watch_url: format!("/watch/{}", stored.id),
            title: stored.title,
            streamer: stored.streamer,
            id: stored.id,
        }
    }

    /// What comes first: live channels, many viewers, then what was live last.
    pub(super) fn rank(&self, other: &Self) -> Ordering {
        (other.live, other.viewers, other.last_live_ms)
            .cmp(&(self.live, self.viewers, self.last_live_ms))
            .then_with(|| self.id.cmp(&other.id))
    }
}
