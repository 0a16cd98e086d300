//! The channels' part of the API.

use axum::extract::State;
use axum::http::StatusCode;
use nodi_protocol::ChannelId;
use rusqlite::params;
use serde::{Deserialize, Deserializer};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::routes;

use super::changes::{self, NewChannel};
use super::rows::{self, ChannelView};
use super::{key_routes, see, steer};
use crate::error::Error;
use crate::http::access::Api;
use crate::http::extract::{At, Json, Query};
use crate::http::identity::Identity;
use crate::http::list::{Page, Paging, Select};
use crate::ids;
use crate::site::text;
use crate::state::App;

/// Longest display name and longest reason, in characters.
const MAX_DISPLAY_NAME: usize = 100;
const MAX_REASON: usize = 300;

/// What it serves below `/api/v1`.
#[must_use]
pub fn routes() -> Api {
    Api::new("channels")
        .person(routes!(list))
        .operator(routes!(create))
        .person(routes!(show))
        .person(routes!(change))
        .operator(routes!(suspend))
        .operator(routes!(resume))
        .person(routes!(key_routes::mint))
        .person(routes!(key_routes::rotate))
        .person(routes!(key_routes::revoke))
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct Filter {
    /// Id of a person: only theirs.
    owner: Option<String>,
    suspended: Option<bool>,
}

/// Channels
#[utoipa::path(get, path = "/channels", params(Paging, Filter), responses((status = 200, description = "One page.", body = Page<ChannelView>)))]
async fn list(
    State(app): State<App>,
    who: Identity,
    Query(paging): Query<Paging>,
    Query(filter): Query<Filter>,
) -> Result<Json<Page<ChannelView>>, Error> {
    let db = app.db.clone();
    let page = db
        .read(move |connection| {
            Select::new(rows::COLUMNS, rows::FROM)
                .only("channel.owner_id = ?", who.only_channels_of().map(str::to_owned))
                .only("channel.owner_id = ?", filter.owner)
                .only("(channel.suspended_ms IS NOT NULL) = ?", filter.suspended)
                .search(&paging, &["channel.id", "channel.display_name", "person.name"])?
                .page(
                    connection,
                    &paging,
                    &[
                        ("display_name", "channel.display_name COLLATE NOCASE"),
                        ("name", "channel.display_name COLLATE NOCASE"),
                        ("id", "channel.id"),
                        ("created_ms", "channel.created_ms"),
                        ("owner", "person.name COLLATE NOCASE"),
                    ],
                    "display_name",
                    "channel.id",
                    |row| rows::view(&app, connection, rows::read(row)?),
                )
        })
        .await?;
    Ok(Json(page))
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewChannelBody {
    /// In addresses and keys, for ever. Absent: made up.
    #[schema(value_type = Option<String>, pattern = "^[a-z0-9][a-z0-9_-]{0,31}$")]
    id: Option<ChannelId>,
    #[schema(min_length = 1, max_length = 100)]
    display_name: String,
    /// Id of the person who streams on it.
    owner: Option<String>,
}

/// Create a channel
#[utoipa::path(post, path = "/channels", request_body = NewChannelBody, responses(
    (status = 201, description = "Created.", body = ChannelView),
    (status = 409, description = "There is one with this id, or too many."),
))]
async fn create(
    State(app): State<App>,
    who: Identity,
    Json(body): Json<NewChannelBody>,
) -> Result<(StatusCode, Json<ChannelView>), Error> {
    check_display_name(&body.display_name)?;
    let id = match body.id {
        Some(id) => id,
        None => made_up_id()?,
    };
    let new = NewChannel { id, display_name: body.display_name, owner: body.owner };
    let db = app.db.clone();
    let view = db
        .write(move |tx| {
            let channel = changes::create(&app, tx, &who.actor(), &new)?;
            rows::view(&app, tx, channel)
        })
        .await?;
    Ok((StatusCode::CREATED, Json(view)))
}

/// `c-` and 60 random bits: short enough to be read out, long enough to be the only one.
fn made_up_id() -> Result<ChannelId, Error> {
    const ALPHABET: &[u8; 32] = b"abcdefghijkmnopqrstuvwxyz2345678";
    let random: [u8; 12] = ids::random()?;
    let digits: String = random
        .iter()
        .filter_map(|byte| ALPHABET.get(usize::from(byte % 32)))
        .map(|byte| char::from(*byte))
        .collect();
    format!("c-{digits}").parse().map_err(|error| Error::Internal(format!("channel id: {error}")))
}

fn check_display_name(name: &str) -> Result<(), Error> {
    let length = name.chars().count();
    if !(1..=MAX_DISPLAY_NAME).contains(&length) || name.trim().is_empty() {
        return Err(Error::invalid("display_name", format!("must be 1 to {MAX_DISPLAY_NAME} characters")));
    }
    if name.chars().any(char::is_control) {
        return Err(Error::invalid("display_name", "must not hold control characters"));
    }
    Ok(())
}

/// One channel
#[utoipa::path(get, path = "/channels/{id}", params(("id" = ChannelId, Path)), responses((status = 200, description = "The channel.", body = ChannelView)))]
async fn show(
    State(app): State<App>,
    who: Identity,
    At(id): At<ChannelId>,
) -> Result<Json<ChannelView>, Error> {
    let db = app.db.clone();
    let view = db
        .read(move |connection| {
            let channel = see(connection, &who, &id)?;
            rows::view(&app, connection, channel)
        })
        .await?;
    Ok(Json(view))
}

/// What is absent stays as it is.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct ChannelChange {
    #[schema(min_length = 1, max_length = 100)]
    display_name: Option<String>,
    /// Id of the person who streams on it; null: nobody. For operators and administrators only.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<String>)]
    owner: Option<Option<String>>,
    /// What viewers read; empty: the usual one.
    #[schema(max_length = 1024)]
    title: Option<String>,
    /// The same, at more length.
    #[schema(max_length = 8192)]
    description: Option<String>,
}

/// Tells null from absent.
fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Option<String>>, D::Error> {
    Deserialize::deserialize(deserializer).map(Some)
}

/// Rename or describe a channel, or give it to somebody else
#[utoipa::path(patch, path = "/channels/{id}", params(("id" = ChannelId, Path)), request_body = ChannelChange, responses((status = 200, description = "Changed.", body = ChannelView)))]
async fn change(
    State(app): State<App>,
    who: Identity,
    At(id): At<ChannelId>,
    Json(body): Json<ChannelChange>,
) -> Result<Json<ChannelView>, Error> {
    if let Some(name) = &body.display_name {
        check_display_name(name)?;
    }
    let title = body.title.as_deref().map(text::title).transpose()?;
    let description = body.description.as_deref().map(text::description).transpose()?;
    let db = app.db.clone();
    let view = db
        .write(move |tx| {
            let before = steer(tx, &who, &id)?;
            if let Some(name) = &body.display_name {
                tx.execute("UPDATE channel SET display_name = ?2 WHERE id = ?1", params![id.as_str(), name])?;
            }
            if let Some(owner) = &body.owner {
                if !who.has(crate::people::Role::Operator) {
                    return Err(Error::forbidden("a channel is given away by an operator"));
                }
                changes::check_owner(tx, owner.as_deref())?;
                if let Some(owner) = owner {
                    crate::people::rows::owns_now(tx, owner)?;
                }
                tx.execute("UPDATE channel SET owner_id = ?2 WHERE id = ?1", params![id.as_str(), owner])?;
            }
            changes::describe(tx, &id, title.as_deref(), description.as_deref())?;
            let renamed = changes::changed(&app, tx, &who.actor(), "channel.update", Some(&before), &id)?;
            rows::view(&app, tx, renamed)
        })
        .await?;
    Ok(Json(view))
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Suspension {
    /// For the streamer to read.
    #[schema(min_length = 1, max_length = 300)]
    reason: String,
}

/// Suspend a channel
///
/// Its stream ends everywhere within seconds, and nobody can publish to it until it is resumed.
#[utoipa::path(post, path = "/channels/{id}/suspend", params(("id" = ChannelId, Path)), request_body = Suspension, responses((status = 200, description = "Suspended.", body = ChannelView)))]
async fn suspend(
    State(app): State<App>,
    who: Identity,
    At(id): At<ChannelId>,
    Json(body): Json<Suspension>,
) -> Result<Json<ChannelView>, Error> {
    let length = body.reason.chars().count();
    if !(1..=MAX_REASON).contains(&length) || body.reason.trim().is_empty() {
        return Err(Error::invalid("reason", format!("must be 1 to {MAX_REASON} characters")));
    }
    let db = app.db.clone();
    let view = db
        .write(move |tx| {
            let channel = changes::suspend(&app, tx, &who.actor(), &id, &body.reason)?;
            rows::view(&app, tx, channel)
        })
        .await?;
    Ok(Json(view))
}

/// Resume a suspended channel
#[utoipa::path(post, path = "/channels/{id}/resume", params(("id" = ChannelId, Path)), responses((status = 200, description = "Resumed.", body = ChannelView)))]
async fn resume(
    State(app): State<App>,
    who: Identity,
    At(id): At<ChannelId>,
) -> Result<Json<ChannelView>, Error> {
    let db = app.db.clone();
    let view = db
        .write(move |tx| {
            let channel = changes::resume(&app, tx, &who.actor(), &id)?;
            rows::view(&app, tx, channel)
        })
        .await?;
    Ok(Json(view))
}
