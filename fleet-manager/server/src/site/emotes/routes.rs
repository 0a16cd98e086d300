//! Emotes over HTTP.

use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, FromRequest as _, Request, State};
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use nodi_protocol::ChannelId;
use rusqlite::{Connection, OptionalExtension as _, Row, params};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::routes;

use super::picture::{self, Kind, MAX_BYTES, Picture};
use super::{OF_PLATFORM, url};
use crate::audit::{self, NONE};
use crate::channels::rows;
use crate::db::Tx;
use crate::error::Error;
use crate::http::extract::{At, Json, Query};
use crate::site::access::Site;
use crate::site::directory::hex;
use crate::site::sessions::Account;
use crate::site::studio::own;
use crate::state::App;

/// Length of a name, in characters.
const NAME: std::ops::RangeInclusive<usize> = 2..=24;
/// Hexadecimal digits of a picture's digest in its address: 64 bits tell the pictures of one name apart.
const DIGEST: usize = 16;
/// A picture that is opened by itself runs nothing and asks for nothing.
const ALONE: &str = "default-src 'none'; sandbox";

pub(in crate::site) fn routes() -> Site {
    Site::new("emotes").public(routes!(list)).member(routes!(remove))
}

/// What takes or sends pictures and not JSON: another limit on bodies.
pub(in crate::site) fn images() -> Site {
    Site::new("emotes").member(routes!(add)).public(routes!(image))
}

/// A channel's own emote.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = EmoteView)]
struct View {
    /// Without the colons.
    name: String,
    url: String,
    width: u32,
    height: u32,
    animated: bool,
    bytes: u64,
    created_ms: i64,
}

#[derive(Debug, Serialize, ToSchema)]
struct Emotes {
    emotes: Vec<View>,
    /// How many there may be.
    most: u32,
}

const COLUMNS: &str = "name, digest, kind, width, height, animated, length(picture), created_ms";

fn read(channel: &ChannelId, row: &Row<'_>) -> Result<View, Error> {
    let (name, digest, kind): (String, String, String) = (row.get(0)?, row.get(1)?, row.get(2)?);
    Ok(View {
        url: url(channel, &name, &digest, &kind),
        name,
        width: row.get(3)?,
        height: row.get(4)?,
        animated: row.get(5)?,
        bytes: u64::try_from(row.get::<_, i64>(6)?).unwrap_or(0),
        created_ms: row.get(7)?,
    })
}

fn all(connection: &Connection, channel: &ChannelId) -> Result<Vec<View>, Error> {
    let mut statement = connection
        .prepare_cached(&format!("SELECT {COLUMNS} FROM emote WHERE channel_id = ?1 ORDER BY name"))?;
    let mut rows = statement.query([channel.as_str()])?;
    let mut views = Vec::new();
    while let Some(row) = rows.next()? {
        views.push(read(channel, row)?);
    }
    Ok(views)
}

/// A channel's emotes
///
/// Its own; every chat has those of the platform too.
#[utoipa::path(get, path = "/channels/{channel}/emotes", params(("channel" = ChannelId, Path)), responses((status = 200, description = "The emotes, by name.", body = Emotes)))]
async fn list(State(app): State<App>, At(channel): At<ChannelId>) -> Result<Json<Emotes>, Error> {
    let emotes = app
        .db
        .read(move |connection| {
            if rows::get(connection, &channel)?.is_none() {
                return Err(Error::not_found("channel", &channel));
            }
            all(connection, &channel)
        })
        .await?;
    Ok(Json(Emotes { emotes, most: app.config.site.emotes_per_channel }))
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct Named {
    /// 2 to 24 lower-case letters, digits and underscores: without the colons.
    #[param(min_length = 2, max_length = 24, pattern = "^[a-z0-9_]{2,24}$")]
    name: String,
}

fn check_name(name: &str) -> Result<(), Error> {
    let will_do = NAME.contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_');
    if !will_do {
        return Err(Error::invalid(
            "name",
            format!("must be {} to {} letters from a to z, digits and underscores", NAME.start(), NAME.end()),
        ));
    }
    if OF_PLATFORM.contains(&name) {
        return Err(Error::conflict(format!("{name:?} is an emote of the platform")));
    }
    Ok(())
}

/// Add an emote
///
/// The body is the picture: PNG, WebP or GIF, still or moving, up to 256 KiB, 512 × 512 pixels and 300 frames. What is
/// no part of the picture, such as comments and places, is left out of what is kept.
#[utoipa::path(post, path = "/channels/{channel}/emotes", params(("channel" = ChannelId, Path), Named),
    request_body(content((Vec<u8> = "image/png"), (Vec<u8> = "image/webp"), (Vec<u8> = "image/gif"))),
    responses(
        (status = 201, description = "Added.", body = View),
        (status = 409, description = "There is one of this name, or there are too many."),
    ))]
async fn add(
    State(app): State<App>,
    account: Account,
    At(channel): At<ChannelId>,
    Query(Named { name }): Query<Named>,
    request: Request,
) -> Result<(StatusCode, Json<View>), Error> {
    check_name(&name)?;
    let asked = channel.clone();
    let asking = account.clone();
    // Before a body is taken from somebody whose channel it is not.
    app.db.read(move |connection| own(connection, &asking, &asked).map(|_| ())).await?;
    let said = request.headers().get(header::CONTENT_TYPE).cloned();
    let bytes = body(&app, request).await?;
    let picture = picture::read(&bytes).map_err(|refusal| match refusal {
        picture::Refusal::Kind => Error::MediaType(format!("the picture {refusal}")),
        refusal => Error::invalid("body", format!("the picture {refusal}")),
    })?;
    if said.is_some_and(|said| !is_said(&said, picture.kind)) {
        return Err(Error::MediaType(format!(
            "the Content-Type is not {}, which the picture is",
            picture.kind.media_type()
        )));
    }
    let (now_ms, most) = (app.now_ms(), app.config.site.emotes_per_channel);
    let view = app.db.write(move |tx| store(tx, &account, &channel, &name, &picture, now_ms, most)).await?;
    Ok((StatusCode::CREATED, Json(view)))
}

/// A browser that does not know says nothing, or that it is bytes.
fn is_said(said: &HeaderValue, kind: Kind) -> bool {
    let said = said.to_str().unwrap_or_default().split(';').next().unwrap_or_default().trim();
    said.eq_ignore_ascii_case(kind.media_type()) || said.eq_ignore_ascii_case("application/octet-stream")
}

async fn body(app: &App, request: Request) -> Result<Bytes, Error> {
    let seconds = app.config.http.body_timeout_s;
    match tokio::time::timeout(Duration::from_secs(seconds), Bytes::from_request(request, app)).await {
        Ok(Ok(bytes)) => Ok(bytes),
        Ok(Err(error)) if error.status() == StatusCode::PAYLOAD_TOO_LARGE => {
            Err(Error::TooLarge(format!("the picture is longer than {} KiB", MAX_BYTES >> 10)))
        }
        Ok(Err(error)) => Err(Error::Malformed(format!("the body broke off: {error}"))),
        Err(_) => Err(Error::Timeout(format!("the body was not there within {seconds} s"))),
    }
}

fn store(
    tx: &Tx<'_>,
    account: &Account,
    channel: &ChannelId,
    name: &str,
    picture: &Picture,
    now_ms: i64,
    most: u32,
) -> Result<View, Error> {
    own(tx, account, channel)?;
    let held: u32 = tx
        .prepare_cached("SELECT count(*) FROM emote WHERE channel_id = ?1")?
        .query_row([channel.as_str()], |row| row.get(0))?;
    if held >= most {
        return Err(Error::conflict(format!("there are {held} emotes already; remove some first")));
    }
    let digest = hex(&Sha256::digest(&picture.bytes), DIGEST);
    tx.prepare_cached(
        "INSERT INTO emote (channel_id, name, digest, kind, picture, width, height, animated, created_ms)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
    )?
    .execute(params![
        channel.as_str(),
        name,
        digest,
        picture.kind.name(),
        picture.bytes,
        picture.width,
        picture.height,
        picture.frames > 1,
        now_ms
    ])
    .map_err(|error| {
        if crate::error::is_duplicate(&error) {
            Error::conflict(format!("there is an emote {name:?} already; remove it first"))
        } else {
            error.into()
        }
    })?;
    let view = one(tx, channel, name)?;
    let target = format!("channel/{channel}");
    audit::record(tx, now_ms, &account.actor(), "channel.emote.add", &target, NONE, Some(&view))?;
    Ok(view)
}

fn one(connection: &Connection, channel: &ChannelId, name: &str) -> Result<View, Error> {
    let mut statement = connection
        .prepare_cached(&format!("SELECT {COLUMNS} FROM emote WHERE channel_id = ?1 AND name = ?2"))?;
    let mut rows = statement.query([channel.as_str(), name])?;
    let row = rows.next()?.ok_or_else(|| Error::not_found("emote", name))?;
    read(channel, row)
}

/// Remove an emote
#[utoipa::path(delete, path = "/channels/{channel}/emotes/{name}", params(("channel" = ChannelId, Path), ("name" = String, Path)), responses((status = 204, description = "Removed.")))]
async fn remove(
    State(app): State<App>,
    account: Account,
    At((channel, name)): At<(ChannelId, String)>,
) -> Result<StatusCode, Error> {
    let now_ms = app.now_ms();
    app.db
        .write(move |tx| {
            own(tx, &account, &channel)?;
            let before = one(tx, &channel, &name)?;
            tx.execute(
                "DELETE FROM emote WHERE channel_id = ?1 AND name = ?2",
                params![channel.as_str(), name],
            )?;
            let target = format!("channel/{channel}");
            audit::record(tx, now_ms, &account.actor(), "channel.emote.remove", &target, Some(&before), NONE)
        })
        .await?;
    Ok(StatusCode::NO_CONTENT)
}

/// An emote's picture
#[utoipa::path(get, path = "/channels/{channel}/emotes/{name}/{file}",
    params(("channel" = ChannelId, Path), ("name" = String, Path), ("file" = String, Path, description = "Digest and ending, as its `url` has them.")),
    responses((status = 200, description = "The picture. It never changes.", content(
        (Vec<u8> = "image/png"), (Vec<u8> = "image/webp"), (Vec<u8> = "image/gif")
    ))))]
async fn image(
    State(app): State<App>,
    At((channel, name, file)): At<(ChannelId, String, String)>,
) -> Result<Response, Error> {
    let missing = || Error::not_found("picture", &file);
    let (digest, kind) = file.split_once('.').ok_or_else(missing)?;
    let kind = Kind::from_name(kind).ok_or_else(missing)?;
    let digest = digest.to_owned();
    let found: Option<Vec<u8>> = app
        .db
        .read(move |connection| {
            let mut statement = connection.prepare_cached(
                "SELECT picture FROM emote WHERE channel_id = ?1 AND name = ?2 AND digest = ?3 AND kind = ?4",
            )?;
            let key = params![channel.as_str(), name, digest, kind.name()];
            Ok(statement.query_row(key, |row| row.get(0)).optional()?)
        })
        .await?;
    let headers = [
        (header::CONTENT_TYPE, kind.media_type()),
        (header::CACHE_CONTROL, "public, max-age=31536000, immutable"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::CONTENT_SECURITY_POLICY, ALONE),
        (header::CONTENT_DISPOSITION, "inline"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    ];
    Ok((headers, found.ok_or_else(missing)?).into_response())
}

/// The limit of bodies that are pictures. One byte more than is taken, so that the answer is the same word whoever
/// notices.
pub(in crate::site) fn body_limit<S: Clone + Send + Sync + 'static>(router: Router<S>) -> Router<S> {
    router.layer(DefaultBodyLimit::max(MAX_BYTES))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_what_chat_can_find_between_colons() {
        for good in ["hi", "a_1", &"x".repeat(24)] {
            assert!(check_name(good).is_ok(), "{good}");
        }
        for bad in ["", "a", "Hi", "a-b", "a b", "a:b", "\u{e4}h", &"x".repeat(25)] {
            assert!(matches!(check_name(bad), Err(Error::Invalid { .. })), "{bad}");
        }
        assert!(matches!(check_name("wave"), Err(Error::Conflict(_))));
    }
}
