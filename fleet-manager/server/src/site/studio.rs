//! What streamers do for themselves: open a channel, describe it, make and revoke its keys, and see how the stream does.
//! Only the owner: operators steer other people's channels in the dashboard, with a login that ends sooner.

use axum::extract::State;
use axum::http::StatusCode;
use nodi_protocol::ChannelId;
use rusqlite::Connection;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::routes;

use super::access::Site;
use super::channel_routes::ChannelPage;
use super::sessions::Account;
use super::text;
use crate::audit;
use crate::channels::changes::{self, Minted, NewChannel};
use crate::channels::key_routes::{MintedKey, NewKeyBody};
use crate::channels::rows::{self, Channel, KeyView};
use crate::db::Tx;
use crate::error::Error;
use crate::http::client::Client;
use crate::http::extract::{At, Json, Query};
use crate::ingests::{self, Where};
use crate::people::{self, names};
use crate::state::App;
use crate::streams::go_live::GoLive;

pub(super) fn routes() -> Site {
    Site::new("studio")
        .member(routes!(open))
        .member(routes!(change))
        .member(routes!(keys, mint))
        .member(routes!(revoke))
        .member(routes!(health))
}

/// The channel, for its owner.
pub(super) fn own(connection: &Connection, account: &Account, id: &ChannelId) -> Result<Channel, Error> {
    let channel = rows::get(connection, id)?.ok_or_else(|| Error::not_found("channel", id))?;
    if channel.owner_id.as_deref() == Some(account.id.as_str()) {
        Ok(channel)
    } else {
        Err(Error::forbidden("this is not your channel"))
    }
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Opening {
    /// Absent or empty: the usual one.
    #[schema(max_length = 1024)]
    title: Option<String>,
}

/// Open one's own channel
///
/// Its id is one's name in lower case, and stays. Whoever opens one becomes a streamer.
#[utoipa::path(post, path = "/channels", request_body = Opening, responses(
    (status = 201, description = "Opened.", body = ChannelPage),
    (status = 403, description = "Channels are opened by operators here."),
    (status = 409, description = "One has a channel already, there is one with this id or one that looks like it, or there are too many."),
))]
async fn open(
    State(app): State<App>,
    account: Account,
    Json(body): Json<Opening>,
) -> Result<(StatusCode, Json<ChannelPage>), Error> {
    if !app.config.site.open_channels {
        return Err(Error::forbidden("channels are opened by the operators of this platform"));
    }
    let title = text::title(body.title.as_deref().unwrap_or_default())?;
    let Some(id) = names::channel_of(&account.name) else {
        return Err(Error::conflict("your name cannot be a channel's; ask the operators of this platform"));
    };
    let shared = app.clone();
    let viewer = account.clone();
    let channel = app.db.write(move |tx| open_now(&shared, tx, &account, &id, &title)).await?;
    Ok((StatusCode::CREATED, Json(ChannelPage::load(&app, channel, Some(viewer)).await?)))
}

fn open_now(
    app: &App,
    tx: &Tx<'_>,
    account: &Account,
    id: &ChannelId,
    title: &str,
) -> Result<ChannelId, Error> {
    if let Some(other) = crate::channels::owned_by(tx, &account.id)?.into_iter().next() {
        return Err(Error::conflict(format!("you have the channel {other:?} already")));
    }
    look_alike(tx, id)?;
    let new =
        NewChannel { id: id.clone(), display_name: account.name.clone(), owner: Some(account.id.clone()) };
    let actor = account.actor();
    let before = people::rows::get(tx, &account.id)?;
    changes::create(app, tx, &actor, &new)?;
    if !title.is_empty() {
        let untitled = changes::get(tx, id)?;
        changes::describe(tx, id, Some(title), None)?;
        changes::changed(app, tx, &actor, "channel.update", Some(&untitled), id)?;
    }
    let after = people::rows::get(tx, &account.id)?;
    if before.role != after.role {
        let target = people::target(&before.name);
        audit::record(tx, app.now_ms(), &actor, "site.streamer", &target, Some(&before), Some(&after))?;
    }
    Ok(id.clone())
}

/// Refuses an id that viewers would take for another channel's.
fn look_alike(tx: &Tx<'_>, id: &ChannelId) -> Result<(), Error> {
    let skeleton = names::skeleton(id.as_str());
    let mut statement = tx.prepare_cached("SELECT id FROM channel")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let other: String = row.get(0)?;
        if other != id.as_str() && names::skeleton(&other) == skeleton {
            return Err(Error::conflict(format!(
                "the channel {:?} would look too much like {other:?}; ask the operators of this platform",
                id.as_str()
            )));
        }
    }
    Ok(())
}

/// What is absent stays as it is.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Description {
    /// One line of at most 140 characters; empty: the usual one.
    #[schema(max_length = 1024)]
    title: Option<String>,
    /// At most 1,000 characters.
    #[schema(max_length = 8192)]
    description: Option<String>,
}

/// Describe one's channel
#[utoipa::path(patch, path = "/channels/{channel}", params(("channel" = ChannelId, Path)), request_body = Description, responses((status = 200, description = "Changed.", body = ChannelPage)))]
async fn change(
    State(app): State<App>,
    account: Account,
    At(channel): At<ChannelId>,
    Json(body): Json<Description>,
) -> Result<Json<ChannelPage>, Error> {
    let title = body.title.as_deref().map(text::title).transpose()?;
    let description = body.description.as_deref().map(text::description).transpose()?;
    let shared = app.clone();
    let viewer = account.clone();
    let changed = channel.clone();
    app.db
        .write(move |tx| {
            let before = own(tx, &account, &changed)?;
            changes::describe(tx, &changed, title.as_deref(), description.as_deref())?;
            if changes::get(tx, &changed)? == before {
                return Ok(());
            }
            changes::changed(&shared, tx, &account.actor(), "channel.update", Some(&before), &changed)?;
            Ok(())
        })
        .await?;
    Ok(Json(ChannelPage::load(&app, channel, Some(viewer)).await?))
}

#[derive(Debug, Serialize, ToSchema)]
struct Keys {
    /// Newest first.
    keys: Vec<KeyView>,
    /// Where to publish to, the best first.
    ingest_urls: Vec<String>,
}

/// One's stream keys
///
/// Without the keys themselves, which are shown once, when they are made.
#[utoipa::path(get, path = "/channels/{channel}/keys", params(("channel" = ChannelId, Path)), responses((status = 200, description = "The keys.", body = Keys)))]
async fn keys(
    State(app): State<App>,
    account: Account,
    At(channel): At<ChannelId>,
) -> Result<Json<Keys>, Error> {
    let client = account.client;
    let keys = app
        .db
        .read(move |connection| {
            own(connection, &account, &channel)?;
            rows::keys(connection, &channel)
        })
        .await?;
    Ok(Json(Keys { keys, ingest_urls: ingests::urls(&app, client).await? }))
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewKey {
    /// For which encoder.
    #[schema(max_length = 100)]
    label: Option<String>,
    /// Absent: until it is revoked.
    #[schema(minimum = 1, maximum = 315_360_000)]
    expires_s: Option<u32>,
    /// Revokes all older ones: a stream with one of them ends.
    #[serde(default)]
    rotate: bool,
}

/// Make a stream key
#[utoipa::path(post, path = "/channels/{channel}/keys", params(("channel" = ChannelId, Path)), request_body = NewKey, responses(
    (status = 201, description = "Made. It is shown this once.", body = MintedKey),
    (status = 409, description = "There are too many."),
))]
async fn mint(
    State(app): State<App>,
    account: Account,
    At(channel): At<ChannelId>,
    Json(body): Json<NewKey>,
) -> Result<(StatusCode, Json<MintedKey>), Error> {
    let rotate = body.rotate;
    let new = NewKeyBody { label: body.label, expires_s: body.expires_s }.check(&app)?;
    let client = account.client;
    let shared = app.clone();
    let Minted { key, version } = app
        .db
        .write(move |tx| {
            own(tx, &account, &channel)?;
            changes::mint(&shared, tx, &account.actor(), &channel, &new, rotate)
        })
        .await?;
    let ingest_urls = ingests::urls(&app, client).await?;
    Ok((StatusCode::CREATED, Json(MintedKey { key: key.reveal().to_owned(), version, ingest_urls })))
}

/// Revoke stream keys
///
/// This version and all older ones: within two seconds no box takes them any more, and a stream with one of them ends.
#[utoipa::path(delete, path = "/channels/{channel}/keys/{version}", params(("channel" = ChannelId, Path), ("version" = u32, Path)), responses((status = 204, description = "Revoked.")))]
async fn revoke(
    State(app): State<App>,
    account: Account,
    At((channel, version)): At<(ChannelId, u32)>,
) -> Result<StatusCode, Error> {
    let shared = app.clone();
    app.db
        .write(move |tx| {
            own(tx, &account, &channel)?;
            changes::revoke(&shared, tx, &account.actor(), &channel, version)
        })
        .await?;
    Ok(StatusCode::NO_CONTENT)
}

/// How one's stream does
///
/// With the servers to publish to and the settings for an encoder.
#[utoipa::path(get, path = "/channels/{channel}/health", params(("channel" = ChannelId, Path), Where), responses((status = 200, description = "The stream, if it is live, and how to make it so.", body = GoLive)))]
async fn health(
    State(app): State<App>,
    account: Account,
    client: Client,
    At(channel): At<ChannelId>,
    Query(place): Query<Where>,
) -> Result<Json<GoLive>, Error> {
    let channel = app.db.read(move |connection| own(connection, &account, &channel)).await?;
    Ok(Json(GoLive::of(&app, channel, client, &place).await?))
}
