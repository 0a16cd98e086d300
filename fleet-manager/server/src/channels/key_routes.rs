//! Stream keys: minted, shown once, rotated, revoked.

use axum::extract::State;
use axum::http::StatusCode;
use nodi_protocol::ChannelId;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::changes::{self, Minted, NewKey};
use super::rows::{self, ChannelView};
use super::steer;
use crate::error::Error;
use crate::http::extract::{At, Json};
use crate::http::identity::Identity;
use crate::ingests;
use crate::state::App;

/// Longest label, in characters.
const MAX_LABEL: usize = 100;
/// Longest life of a key that has one, in seconds: ten years.
const MAX_LIFE_S: u32 = 315_360_000;

#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct NewKeyBody {
    /// Whose it is, or for which encoder.
    #[schema(max_length = 100)]
    pub(crate) label: Option<String>,
    /// Absent: until it is revoked.
    #[schema(minimum = 1, maximum = 315_360_000)]
    pub(crate) expires_s: Option<u32>,
}

impl NewKeyBody {
    pub(crate) fn check(self, app: &App) -> Result<NewKey, Error> {
        let label = self.label.unwrap_or_default();
        if label.chars().count() > MAX_LABEL {
            return Err(Error::invalid("label", format!("must not be longer than {MAX_LABEL} characters")));
        }
        if self.expires_s.is_some_and(|seconds| seconds == 0 || seconds > MAX_LIFE_S) {
            return Err(Error::invalid("expires_s", format!("must be 1 to {MAX_LIFE_S}")));
        }
        let now_ms = app.now_ms();
        let expires_ms = self.expires_s.map(|seconds| now_ms.saturating_add(i64::from(seconds) * 1_000));
        Ok(NewKey { label, expires_ms })
    }
}

/// A stream key, shown this once.
#[derive(Serialize, ToSchema)]
pub(crate) struct MintedKey {
    /// The key itself: it is never shown again.
    pub(crate) key: String,
    pub(crate) version: u32,
    /// Where to publish to, the best first.
    pub(crate) ingest_urls: Vec<String>,
}

/// Make a stream key
///
/// Those that there are stay valid.
#[utoipa::path(post, path = "/channels/{id}/keys", params(("id" = ChannelId, Path)), request_body = NewKeyBody, responses(
    (status = 201, description = "Made.", body = MintedKey),
    (status = 409, description = "There are too many."),
))]
pub(super) async fn mint(
    State(app): State<App>,
    who: Identity,
    At(id): At<ChannelId>,
    Json(body): Json<NewKeyBody>,
) -> Result<(StatusCode, Json<MintedKey>), Error> {
    make(app, who, id, body, false).await
}

/// Rotate the stream key
///
/// Every key of the channel that was made before is revoked: within two seconds no box takes it any more, and a
/// session with it ends.
#[utoipa::path(post, path = "/channels/{id}/keys/rotate", params(("id" = ChannelId, Path)), request_body = NewKeyBody, responses(
    (status = 201, description = "Made.", body = MintedKey),
))]
pub(super) async fn rotate(
    State(app): State<App>,
    who: Identity,
    At(id): At<ChannelId>,
    Json(body): Json<NewKeyBody>,
) -> Result<(StatusCode, Json<MintedKey>), Error> {
    make(app, who, id, body, true).await
}

async fn make(
    app: App,
    who: Identity,
    id: ChannelId,
    body: NewKeyBody,
    rotate: bool,
) -> Result<(StatusCode, Json<MintedKey>), Error> {
    let new = body.check(&app)?;
    let client = who.client;
    let minting = app.clone();
    let Minted { key, version } = app
        .db
        .write(move |tx| {
            steer(tx, &who, &id)?;
            changes::mint(&minting, tx, &who.actor(), &id, &new, rotate)
        })
        .await?;
    let ingest_urls = ingests::urls(&app, client).await?;
    Ok((StatusCode::CREATED, Json(MintedKey { key: key.reveal().to_owned(), version, ingest_urls })))
}

/// Revoke stream keys
///
/// This version and all older ones: within two seconds no box takes them any more, and a session with one of them ends.
#[utoipa::path(post, path = "/channels/{id}/keys/{version}/revoke", params(("id" = ChannelId, Path), ("version" = u32, Path)), responses(
    (status = 200, description = "Revoked.", body = ChannelView),
))]
pub(super) async fn revoke(
    State(app): State<App>,
    who: Identity,
    At((id, version)): At<(ChannelId, u32)>,
) -> Result<Json<ChannelView>, Error> {
    let db = app.db.clone();
    let view = db
        .write(move |tx| {
            steer(tx, &who, &id)?;
            let channel = changes::revoke(&app, tx, &who.actor(), &id, version)?;
            rows::view(&app, tx, channel)
        })
        .await?;
    Ok(Json(view))
}
