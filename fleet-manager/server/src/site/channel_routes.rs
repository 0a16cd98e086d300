//! A channel, for its page and for the chat service.

use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use nodi_protocol::ChannelId;
use nodi_protocol::chat::rooms::ChannelFacts;
use rusqlite::{Connection, OptionalExtension as _, params};
use serde::Serialize;
use sha2::{Digest as _, Sha256};
use utoipa::ToSchema;
use utoipa_axum::routes;

use super::access::{Site, Visitor};
use super::card::{self, Card, Streamer};
use super::directory::hex;
use super::directory_routes::matches;
use super::emotes;
use super::sessions::Account;
use crate::error::Error;
use crate::http::extract::{At, Json};
use crate::state::App;

pub(super) fn routes() -> Site {
    Site::new("channels").visitor(routes!(show)).public(routes!(facts))
}

/// A channel as its page shows it.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Channel)]
pub(super) struct ChannelPage {
    #[schema(value_type = String)]
    id: ChannelId,
    title: String,
    description: String,
    /// Null: nobody's.
    streamer: Option<Streamer>,
    live: bool,
    /// By the operators: nobody can stream on it or talk in it.
    suspended: bool,
    /// While it is live: since when.
    #[serde(skip_serializing_if = "Option::is_none")]
    started_ms: Option<i64>,
    /// While it is not: when it was.
    #[serde(skip_serializing_if = "Option::is_none")]
    last_live_ms: Option<i64>,
    /// Null while the chat service, which counts them, does not answer.
    viewers: Option<u64>,
    followers: u64,
    /// Null: there is no picture.
    thumbnail_url: Option<String>,
    watch_url: String,
    /// Whether who asks does; null when nobody is signed in.
    following: Option<bool>,
}

impl ChannelPage {
    /// As of now, for whoever asks.
    pub(super) async fn load(app: &App, id: ChannelId, viewer: Option<Account>) -> Result<Self, Error> {
        let shared = app.clone();
        app.db.read(move |connection| Self::read(&shared, connection, &id, viewer.as_ref())).await
    }

    fn read(
        app: &App,
        connection: &Connection,
        id: &ChannelId,
        viewer: Option<&Account>,
    ) -> Result<Self, Error> {
        let mut statement = connection.prepare_cached(&format!(
            "SELECT {}, channel.description, channel.followers FROM {} WHERE channel.id = ?1",
            card::COLUMNS,
            card::FROM,
        ))?;
        let mut rows = statement.query([id.as_str()])?;
        let row = rows.next()?.ok_or_else(|| Error::not_found("channel", id))?;
        let stored = card::read(row)?;
        let suspended = stored.suspended;
        let card = Card::of(app, stored);
        let following = match viewer {
            None => None,
            Some(account) => Some(
                connection
                    .prepare_cached("SELECT 1 FROM follow WHERE person_id = ?1 AND channel_id = ?2")?
                    .query_row(params![account.id, id.as_str()], |_| Ok(()))
                    .optional()?
                    .is_some(),
            ),
        };
        Ok(Self {
            description: row.get(card::WIDTH)?,
            followers: u64::try_from(row.get::<_, i64>(card::WIDTH + 1)?).unwrap_or(0),
            id: card.id,
            title: card.title,
            streamer: card.streamer,
            live: card.live,
            suspended,
            started_ms: card.started_ms,
            last_live_ms: card.last_live_ms,
            viewers: card.viewers,
            thumbnail_url: card.thumbnail_url,
            watch_url: card.watch_url,
            following,
        })
    }
}

/// A channel
#[utoipa::path(get, path = "/channels/{channel}", params(("channel" = ChannelId, Path)), responses((status = 200, description = "The channel.", body = ChannelPage)))]
async fn show(
    State(app): State<App>,
    Visitor(viewer): Visitor,
    At(channel): At<ChannelId>,
) -> Result<Json<ChannelPage>, Error> {
    Ok(Json(ChannelPage::load(&app, channel, viewer).await?))
}

/// What the chat service has to know of a channel
#[utoipa::path(get, path = "/channels/{channel}/chat",
    params(("channel" = ChannelId, Path), ("if-none-match" = Option<String>, Header, description = "The ETag of what one has.")),
    responses(
        (status = 200, description = "Whether anybody may enter, and its emotes.", body = ChannelFacts),
        (status = 304, description = "It is what one has."),
    ))]
async fn facts(
    State(app): State<App>,
    headers: HeaderMap,
    At(channel): At<ChannelId>,
) -> Result<Response, Error> {
    let facts = app
        .db
        .read(move |connection| {
            let suspended: Option<bool> = connection
                .prepare_cached("SELECT suspended_ms IS NOT NULL FROM channel WHERE id = ?1")?
                .query_row([channel.as_str()], |row| row.get(0))
                .optional()?;
            let suspended = suspended.ok_or_else(|| Error::not_found("channel", &channel))?;
            Ok(ChannelFacts { emotes: emotes::for_chat(connection, &channel)?, suspended, channel })
        })
        .await?;
    let json = serde_json::to_vec(&facts)?;
    let etag = format!("\"{}\"", hex(&Sha256::digest(&json), 16));
    let common = [
        (header::ETAG, HeaderValue::from_str(&etag).unwrap_or(HeaderValue::from_static("\"\""))),
        (header::CACHE_CONTROL, HeaderValue::from_static("public, max-age=5")),
    ];
    if matches(&headers, &etag) {
        return Ok((StatusCode::NOT_MODIFIED, common).into_response());
    }
    let kind = [(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))];
    Ok((common, kind, Bytes::from(json)).into_response())
}
