//! Sessions: those that are live, those that were, and ending one.

use axum::extract::State;
use axum::http::StatusCode;
use nodi_protocol::{BoxId, ChannelId, SessionId};
use rusqlite::Row;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::routes;

use super::go_live;
use super::view::SessionView;
use crate::channels;
use crate::commands::{self, CommandView, NewAction, NewCommand};
use crate::error::Error;
use crate::http::access::Api;
use crate::http::extract::{At, Json, Query};
use crate::http::identity::Identity;
use crate::http::list::{Page, Paging, Select};
use crate::people::Role;
use crate::state::App;

/// Longest reason for ending a stream, in characters: the publisher's encoder shows it.
const MAX_REASON: usize = 200;
/// A box that is away for longer than this does not end the stream any more, in seconds: by then somebody has looked at
/// it again.
const EXPIRES_S: u32 = 60;

/// What it serves below `/api/v1`.
#[must_use]
pub fn routes() -> Api {
    Api::new("streams")
        .person(routes!(list))
        .person(routes!(history))
        .person(routes!(one))
        .person(routes!(end))
        .person(routes!(go_live::go_live))
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct Filter {
    /// Id of a channel.
    channel: Option<String>,
    /// Id of a box.
    #[serde(rename = "box")]
    box_id: Option<String>,
}

/// What is live
///
/// Searched in names and ids of channels and boxes.
#[utoipa::path(get, path = "/sessions", params(Paging, Filter),
    responses((status = 200, description = "One page.", body = Page<SessionView>)))]
async fn list(
    State(app): State<App>,
    who: Identity,
    Query(paging): Query<Paging>,
    Query(filter): Query<Filter>,
) -> Result<Json<Page<SessionView>>, Error> {
    let order =
        paging.order(&["started_ms", "channel_name", "box_name", "health", "bitrate_bps"], "-started_ms")?;
    let text = paging.search()?;
    let owned = who.only_channels_of();
    let mut views: Vec<SessionView> = app
        .boxes
        .registry
        .sessions()
        .into_iter()
        .filter(|(record, session)| {
            filter.channel.as_ref().is_none_or(|channel| channel == session.channel.as_str())
                && filter.box_id.as_ref().is_none_or(|box_id| box_id == record.id.as_str())
                && owned.is_none_or(|person| {
                    app.streams.names.of(&session.channel).owner.as_deref() == Some(person)
                })
        })
        .map(|(record, session)| SessionView::of(&app, &record, &session))
        .filter(|view| {
            text.as_ref().is_none_or(|text| {
                let box_id = view.box_id.as_str();
                [view.channel_name.as_str(), view.report.channel.as_str(), view.box_name.as_str(), box_id]
                    .iter()
                    .any(|field| field.to_lowercase().contains(text))
            })
        })
        .collect();
    views.sort_by(|a, b| {
        let ordering = match order.field {
            "channel_name" => a.channel_name.to_lowercase().cmp(&b.channel_name.to_lowercase()),
            "box_name" => a.box_name.to_lowercase().cmp(&b.box_name.to_lowercase()),
            "health" => a.health.cmp(&b.health),
            "bitrate_bps" => a.report.input.bitrate_bps.cmp(&b.report.input.bitrate_bps),
            _ => a.started_ms.cmp(&b.started_ms),
        };
        let ordering = ordering.then(a.report.session.cmp(&b.report.session));
        if order.descending { ordering.reverse() } else { ordering }
    });
    Ok(Json(Page::of(views, &paging)?))
}

/// One live session
#[utoipa::path(get, path = "/sessions/{id}", params(("id" = SessionId, Path)),
    responses((status = 200, description = "It is live.", body = SessionView)))]
async fn one(
    State(app): State<App>,
    who: Identity,
    At(id): At<SessionId>,
) -> Result<Json<SessionView>, Error> {
    let missing = || Error::not_found("live session", id);
    let (record, session) = app.boxes.registry.session(&id).ok_or_else(missing)?;
    let owner = app.streams.names.of(&session.channel).owner.clone();
    if !who.may_see(owner.as_deref()) {
        return Err(missing());
    }
    Ok(Json(SessionView::of(&app, &record, &session)))
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct End {
    /// For the streamer: their encoder shows it.
    #[schema(min_length = 1, max_length = 200)]
    reason: String,
}

/// End a stream
///
/// The box ends it as soon as it hears of the command. For operators and the channel's owner.
#[utoipa::path(post, path = "/sessions/{id}/end", params(("id" = SessionId, Path)), request_body = End, responses(
    (status = 202, description = "The box is told.", body = CommandView),
    (status = 409, description = "The box is revoked, or has too many commands already."),
))]
async fn end(
    State(app): State<App>,
    who: Identity,
    At(id): At<SessionId>,
    Json(body): Json<End>,
) -> Result<(StatusCode, Json<CommandView>), Error> {
    let reason = body.reason.trim().to_owned();
    if reason.is_empty() || reason.chars().count() > MAX_REASON || reason.chars().any(char::is_control) {
        return Err(Error::invalid("reason", format!("is not 1 to {MAX_REASON} characters")));
    }
    let (record, session) =
        app.boxes.registry.session(&id).ok_or_else(|| Error::not_found("live session", id))?;
    let shared = app.clone();
    let view = app
        .db
        .write(move |tx| {
            match channels::steer(tx, &who, &session.channel) {
                // A key of before the database was restored: operators can still end its stream.
                Err(Error::NotFound { .. }) if who.has(Role::Operator) => {}
                Err(Error::NotFound { .. }) => return Err(Error::not_found("live session", id)),
                other => {
                    other?;
                }
            }
            let action = NewAction::EndSession { session: id, reason };
            let command = NewCommand { action, expires_s: Some(EXPIRES_S), timeout_s: None };
            commands::create(&shared, tx, &record.id, &command, &who.actor())
        })
        .await?;
    Ok((StatusCode::ACCEPTED, Json(view)))
}

/// A session that is over.
#[derive(Debug, Serialize, ToSchema)]
struct EndedSession {
    session: SessionId,
    channel: ChannelId,
    /// Null when the channel is no longer there.
    channel_name: Option<String>,
    box_id: BoxId,
    box_name: Option<String>,
    started_ms: i64,
    /// By the box's clock.
    ended_ms: i64,
    seconds: u64,
    received_bytes: u64,
    reason: String,
}

/// Of `session_ended` in `protocol::fleet::event`.
#[derive(Deserialize)]
struct What {
    session: SessionId,
    channel: ChannelId,
    reason: String,
    seconds: u64,
    received_bytes: u64,
}

fn read(row: &Row<'_>) -> Result<EndedSession, Error> {
    let what: What = serde_json::from_str(&row.get::<_, String>(0)?)?;
    let ended_ms: i64 = row.get(1)?;
    let box_id: String = row.get(2)?;
    let seconds_ms = i64::try_from(what.seconds.saturating_mul(1_000)).unwrap_or(i64::MAX);
    Ok(EndedSession {
        session: what.session,
        channel: what.channel,
        channel_name: row.get(4)?,
        box_id: box_id.parse().map_err(|error| Error::Internal(format!("database: {error}")))?,
        box_name: row.get(3)?,
        started_ms: ended_ms.saturating_sub(seconds_ms),
        ended_ms,
        seconds: what.seconds,
        received_bytes: what.received_bytes,
        reason: what.reason,
    })
}

/// What was live
///
/// From what boxes reported of the ends of sessions. Searched in names of channels and boxes.
#[utoipa::path(get, path = "/sessions/history", params(Paging, Filter),
    responses((status = 200, description = "One page, the newest first.", body = Page<EndedSession>)))]
async fn history(
    State(app): State<App>,
    who: Identity,
    Query(paging): Query<Paging>,
    Query(filter): Query<Filter>,
) -> Result<Json<Page<EndedSession>>, Error> {
    let page = app
        .db
        .read(move |connection| {
            Select::new(
                "event.what, event.at_ms, event.box_id, box.name, channel.display_name",
                "event LEFT JOIN box ON box.id = event.box_id LEFT JOIN channel ON channel.id = event.channel_id",
            )
            .only_when(true, "event.kind = 'session_ended'")
            .only("event.channel_id = ?", filter.channel)
            .only("event.box_id = ?", filter.box_id)
            .only("channel.owner_id = ?", who.only_channels_of().map(str::to_owned))
            .search(&paging, &["channel.display_name", "event.channel_id", "box.name"])?
            .page(
                connection,
                &paging,
                &[
                    ("ended_ms", "event.at_ms"),
                    ("channel_name", "channel.display_name COLLATE NOCASE"),
                    ("box_name", "box.name COLLATE NOCASE"),
                    ("seconds", "json_extract(event.what, '$.seconds')"),
                ],
                "-ended_ms",
                "event.id",
                read,
            )
        })
        .await?;
    Ok(Json(page))
}
