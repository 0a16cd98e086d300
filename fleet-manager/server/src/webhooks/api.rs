//! Webhooks, for administrators.

use axum::extract::State;
use axum::http::StatusCode;
use rusqlite::params;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::routes;

use super::queue::{self, DeliveryView, WebhookView};
use crate::alerts::Kind;
use crate::audit::{self, NONE};
use crate::error::Error;
use crate::http::access::Api;
use crate::http::extract::{At, Json, Query};
use crate::http::identity::Identity;
use crate::http::list::{Page, Paging, Select};
use crate::ids;
use crate::state::App;

/// Tells a secret of ours from others.
const SECRET_PREFIX: &str = "nodi_whs_";
/// How long what is sent is signed with the secret before the last rotation too, in milliseconds.
const PREVIOUS_MS: i64 = 24 * 3_600 * 1_000;

/// What it serves below `/api/v1`.
#[must_use]
pub fn routes() -> Api {
    Api::new("webhooks")
        .administrator(routes!(list, create))
        .administrator(routes!(change, delete))
        .administrator(routes!(rotate))
        .administrator(routes!(test))
        .administrator(routes!(deliveries))
}

/// Webhooks
#[utoipa::path(get, path = "/webhooks", params(Paging),
    responses((status = 200, description = "One page.", body = Page<WebhookView>)))]
async fn list(
    State(app): State<App>,
    Query(paging): Query<Paging>,
) -> Result<Json<Page<WebhookView>>, Error> {
    let page = app
        .db
        .read(move |connection| {
            Select::new(queue::COLUMNS, "webhook").search(&paging, &["url"])?.page(
                connection,
                &paging,
                &[("created_ms", "created_ms"), ("url", "url")],
                "-created_ms",
                "id",
                queue::read,
            )
        })
        .await?;
    Ok(Json(page))
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewWebhook {
    /// `https://…`, on the public Internet unless the configuration allows more.
    #[schema(max_length = 2000)]
    url: String,
    /// Empty: all.
    #[serde(default)]
    #[schema(max_items = 9)]
    kinds: Vec<Kind>,
    #[serde(default = "yes")]
    enabled: bool,
}

fn yes() -> bool {
    true
}

/// A webhook with its secret, shown this once.
#[derive(Debug, Serialize, ToSchema)]
struct MadeWebhook {
    #[serde(flatten)]
    view: WebhookView,
    /// What is sent is signed with it. It is never shown again.
    secret: String,
}

/// Make a webhook
///
/// It is sent a signed message when an alert starts, gets worse or ends.
#[utoipa::path(post, path = "/webhooks", request_body = NewWebhook, responses(
    (status = 201, description = "Made.", body = MadeWebhook),
    (status = 409, description = "There are too many."),
))]
async fn create(
    State(app): State<App>,
    who: Identity,
    Json(body): Json<NewWebhook>,
) -> Result<(StatusCode, Json<MadeWebhook>), Error> {
    let url = checked(&app, &body.url)?;
    let kinds = serde_json::to_string(&tidy(body.kinds))?;
    let now_ms = app.now_ms();
    let (id, secret) = (ids::ulid(now_ms)?, ids::secret(SECRET_PREFIX)?);
    let stored = secret.clone();
    let most = app.config.webhooks.max_webhooks;
    let view = app
        .db
        .write(move |tx| {
            let held: u32 = tx.query_row("SELECT count(*) FROM webhook", [], |row| row.get(0))?;
            if held >= most {
                return Err(Error::conflict(format!("there are {held} webhooks already; delete some first")));
            }
            tx.execute(
                "INSERT INTO webhook (id, url, kinds, enabled, secret, created_ms, created_by)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
                params![id, url, kinds, body.enabled, stored, now_ms, who.name],
            )?;
            let view = queue::one(tx, &id)?;
            audit::record(tx, now_ms, &who.actor(), "webhook.create", &target(&id), NONE, Some(&view))?;
            Ok(view)
        })
        .await?;
    Ok((StatusCode::CREATED, Json(MadeWebhook { view, secret })))
}

/// What is absent stays as it is.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct WebhookChange {
    #[schema(max_length = 2000)]
    url: Option<String>,
    /// Empty: all.
    #[schema(max_items = 9)]
    kinds: Option<Vec<Kind>>,
    /// What waits is kept while it is not enabled, until it is too old; nothing is added.
    enabled: Option<bool>,
}

/// Change a webhook
#[utoipa::path(patch, path = "/webhooks/{id}", params(("id" = String, Path)), request_body = WebhookChange,
    responses((status = 200, description = "As it is now.", body = WebhookView)))]
async fn change(
    State(app): State<App>,
    who: Identity,
    At(id): At<String>,
    Json(body): Json<WebhookChange>,
) -> Result<Json<WebhookView>, Error> {
    let url = body.url.as_deref().map(|url| checked(&app, url)).transpose()?;
    let kinds = body.kinds.map(|kinds| serde_json::to_string(&tidy(kinds))).transpose()?;
    let now_ms = app.now_ms();
    let shared = app.clone();
    let view = app
        .db
        .write(move |tx| {
            let before = queue::one(tx, &id)?;
            tx.execute(
                "UPDATE webhook SET url = coalesce(?2, url), kinds = coalesce(?3, kinds),
                 enabled = coalesce(?4, enabled) WHERE id = ?1",
                params![id, url, kinds, body.enabled],
            )?;
            let after = queue::one(tx, &id)?;
            if after != before {
                let (before, after) = (Some(&before), Some(&after));
                audit::record(tx, now_ms, &who.actor(), "webhook.change", &target(&id), before, after)?;
                tx.then(move || shared.webhooks.wake());
            }
            Ok(after)
        })
        .await?;
    Ok(Json(view))
}

/// Delete a webhook
///
/// What waits for it is not sent any more.
#[utoipa::path(delete, path = "/webhooks/{id}", params(("id" = String, Path)),
    responses((status = 204, description = "Deleted.")))]
async fn delete(State(app): State<App>, who: Identity, At(id): At<String>) -> Result<StatusCode, Error> {
    let now_ms = app.now_ms();
    app.db
        .write(move |tx| {
            let before = queue::one(tx, &id)?;
            tx.execute("DELETE FROM webhook WHERE id = ?1", [&id])?;
            audit::record(tx, now_ms, &who.actor(), "webhook.delete", &target(&id), Some(&before), NONE)
        })
        .await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Replace a webhook's secret
///
/// For a day what is sent is signed with the old one too, so that the receiver can be told in peace.
#[utoipa::path(post, path = "/webhooks/{id}/rotate", params(("id" = String, Path)),
    responses((status = 200, description = "With its new secret.", body = MadeWebhook)))]
async fn rotate(
    State(app): State<App>,
    who: Identity,
    At(id): At<String>,
) -> Result<Json<MadeWebhook>, Error> {
    let now_ms = app.now_ms();
    let secret = ids::secret(SECRET_PREFIX)?;
    let stored = secret.clone();
    let view = app
        .db
        .write(move |tx| {
            let view = queue::one(tx, &id)?;
            tx.execute(
                "UPDATE webhook SET previous_secret = secret, previous_until_ms = ?2, secret = ?3 WHERE id = ?1",
                params![id, now_ms + PREVIOUS_MS, stored],
            )?;
            audit::record(tx, now_ms, &who.actor(), "webhook.rotate", &target(&id), NONE, NONE)?;
            Ok(view)
        })
        .await?;
    Ok(Json(MadeWebhook { view, secret }))
}

/// Send a test message
///
/// Also to a webhook that is not enabled. What became of it is in the list of deliveries.
#[utoipa::path(post, path = "/webhooks/{id}/test", params(("id" = String, Path)),
    responses((status = 202, description = "On its way.", body = DeliveryView)))]
async fn test(
    State(app): State<App>,
    who: Identity,
    At(id): At<String>,
) -> Result<(StatusCode, Json<DeliveryView>), Error> {
    let now_ms = app.now_ms();
    let shared = app.clone();
    let view = app
        .db
        .write(move |tx| {
            queue::one(tx, &id)?;
            let view = queue::enqueue_test(&shared, tx, &id)?;
            audit::record(tx, now_ms, &who.actor(), "webhook.test", &target(&id), NONE, NONE)?;
            Ok(view)
        })
        .await?;
    Ok((StatusCode::ACCEPTED, Json(view)))
}

/// What was sent to a webhook
#[utoipa::path(get, path = "/webhooks/{id}/deliveries", params(("id" = String, Path), Paging),
    responses((status = 200, description = "One page, the newest first.", body = Page<DeliveryView>)))]
async fn deliveries(
    State(app): State<App>,
    At(id): At<String>,
    Query(paging): Query<Paging>,
) -> Result<Json<Page<DeliveryView>>, Error> {
    let page = app
        .db
        .read(move |connection| {
            queue::one(connection, &id)?;
            Select::new(queue::DELIVERY_COLUMNS, "webhook_delivery")
                .only("webhook_id = ?", Some(id))
                .search(&paging, &["event", "kind", "error"])?
                .page(
                    connection,
                    &paging,
                    &[("created_ms", "created_ms"), ("state", "state"), ("attempts", "attempts")],
                    "-created_ms",
                    "id",
                    queue::read_delivery,
                )
        })
        .await?;
    Ok(Json(page))
}

fn checked(app: &App, url: &str) -> Result<String, Error> {
    let guard = app.config.webhooks.guard();
    guard.check(url).map(String::from).map_err(|refusal| Error::invalid("url", refusal.to_string()))
}

/// Each kind once.
fn tidy(mut kinds: Vec<Kind>) -> Vec<Kind> {
    kinds.sort_unstable();
    kinds.dedup();
    kinds
}

fn target(id: &str) -> String {
    format!("webhook/{id}")
}
