//! Bundles over HTTP.

use std::collections::BTreeMap;

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::Response;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::routes;

use super::store::{self, Bundle, BundleView};
use super::{BundleId, download, upload};
use crate::audit;
use crate::error::Error;
use crate::http::access::Api;
use crate::http::extract::{At, Json, Query};
use crate::http::identity::Identity;
use crate::http::list::{Page, Paging, Select};
use crate::state::App;

/// What it serves below `/api/v1`.
#[must_use]
pub fn routes() -> Api {
    Api::new("bundles")
        .viewer(routes!(list))
        .viewer(routes!(one))
        .viewer(routes!(software))
        .administrator(routes!(add))
        .administrator(routes!(remove))
        .public(routes!(content))
}

/// What boxes run, by version and board.
fn running(app: &App) -> BTreeMap<(String, Option<String>), (u32, u32)> {
    let mut running: BTreeMap<_, (u32, u32)> = BTreeMap::new();
    for record in app.boxes.registry.records() {
        if record.revoked.is_none() {
            let key = (record.version.clone(), record.hardware.compatible.clone());
            let (boxes, online) = running.entry(key).or_default();
            *boxes += 1;
            *online += u32::from(record.is_online());
        }
    }
    running
}

fn view(
    bundle: Bundle,
    rollouts: u32,
    running: &BTreeMap<(String, Option<String>), (u32, u32)>,
) -> BundleView {
    let key = (bundle.version.clone(), Some(bundle.compatible.clone()));
    BundleView {
        boxes: running.get(&key).map_or(0, |(boxes, _)| *boxes),
        rollouts,
        sha256: bundle.sha256,
        version: bundle.version,
        compatible: bundle.compatible,
        description: bundle.description,
        build: bundle.build,
        format: bundle.format,
        bytes: bundle.bytes,
        added_ms: bundle.added_ms,
        added_by: bundle.added_by,
    }
}

#[derive(Debug, Clone, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct Filter {
    /// Only bundles for this board.
    #[param(max_length = 200)]
    compatible: Option<String>,
}

/// All bundles
#[utoipa::path(get, path = "/bundles", params(Paging, Filter), responses(
    (status = 200, description = "One page of them.", body = Page<BundleView>),
))]
async fn list(
    State(app): State<App>,
    Query(paging): Query<Paging>,
    Query(filter): Query<Filter>,
) -> Result<Json<Page<BundleView>>, Error> {
    let running = running(&app);
    let page = app
        .db
        .read(move |connection| {
            Select::new(store::COLUMNS, "bundle")
                .only("compatible = ?", filter.compatible)
                .search(&paging, &["version", "compatible", "description", "build", "added_by"])?
                .page(
                    connection,
                    &paging,
                    &[
                        ("added_ms", "added_ms"),
                        ("version", "version"),
                        ("compatible", "compatible"),
                        ("bytes", "bytes"),
                    ],
                    "-added_ms",
                    "sha256",
                    |row| {
                        let bundle = store::read(row)?;
                        let rollouts = store::rollouts(connection, &bundle.sha256)?;
                        Ok(view(bundle, rollouts, &running))
                    },
                )
        })
        .await?;
    Ok(Json(page))
}

/// One bundle
#[utoipa::path(get, path = "/bundles/{sha256}", params(("sha256" = BundleId, Path)), responses(
    (status = 200, description = "What it is, and what is made of it.", body = BundleView),
))]
async fn one(State(app): State<App>, At(id): At<BundleId>) -> Result<Json<BundleView>, Error> {
    let wanted = id.clone();
    let found = app
        .db
        .read(move |connection| {
            Ok(store::one(connection, &wanted)?.zip(Some(store::rollouts(connection, &wanted)?)))
        })
        .await?;
    let (bundle, rollouts) = found.ok_or_else(|| Error::not_found("bundle", id))?;
    Ok(Json(view(bundle, rollouts, &running(&app))))
}

/// What runs where.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
struct Software {
    version: String,
    /// Board and L4T release; null: these boxes take no updates.
    compatible: Option<String>,
    boxes: u32,
    /// Of these, how many are connected now.
    online: u32,
}

/// What runs where
///
/// All versions of all boxes that are not revoked, the most frequent first.
#[utoipa::path(get, path = "/software", responses(
    (status = 200, description = "All of them.", body = Vec<Software>),
))]
async fn software(State(app): State<App>) -> Result<Json<Vec<Software>>, Error> {
    let mut rows: Vec<Software> = running(&app)
        .into_iter()
        .map(|((version, compatible), (boxes, online))| Software { version, compatible, boxes, online })
        .collect();
    rows.sort_by_key(|row| std::cmp::Reverse(row.boxes));
    Ok(Json(rows))
}

#[derive(Debug, Clone, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct Said {
    /// Of a bundle whose manifest cannot be read.
    #[param(max_length = 64)]
    version: Option<String>,
    /// The same: board and L4T release that it is for.
    #[param(max_length = 200)]
    compatible: Option<String>,
}

/// Adds a bundle
///
/// The body is the bundle itself. Version and board are read from it; of a `plain` and of an encrypted one they have to be
/// said in the query.
#[utoipa::path(post, path = "/bundles", params(Said),
    request_body(content = Vec<u8>, content_type = "application/octet-stream"), responses(
    (status = 201, description = "It can be rolled out.", body = BundleView),
    (status = 409, description = "It is here already."),
    (status = 413, description = "It is too long."),
    (status = 422, description = "It is no bundle, or says something else than the query; `field` names what."),
    (status = 507, description = "There is no room for it."),
))]
async fn add(
    State(app): State<App>,
    who: Identity,
    Query(said): Query<Said>,
    headers: HeaderMap,
    body: Body,
) -> Result<(StatusCode, Json<BundleView>), Error> {
    let length = headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
    let given = upload::Given { version: said.version, compatible: said.compatible };
    let bundle = upload::take(&app, given, length, body, who.actor()).await?;
    log::info!(bundle:% = bundle.sha256, version = bundle.version.as_str(), bytes = bundle.bytes; "bundle uploaded");
    let wanted = bundle.sha256.clone();
    let rollouts = app.db.read(move |connection| store::rollouts(connection, &wanted)).await?;
    Ok((StatusCode::CREATED, Json(view(bundle, rollouts, &running(&app)))))
}

/// Removes a bundle
///
/// Boxes that run it are not concerned.
#[utoipa::path(delete, path = "/bundles/{sha256}", params(("sha256" = BundleId, Path)), responses(
    (status = 204, description = "It is gone."),
    (status = 409, description = "A rollout or an update that is not over needs it."),
))]
async fn remove(State(app): State<App>, who: Identity, At(id): At<BundleId>) -> Result<StatusCode, Error> {
    let (shared, actor, now_ms) = (app.clone(), who.actor(), app.now_ms());
    app.db
        .write(move |tx| {
            let bundle = store::delete(tx, &id)?;
            let target = format!("bundle/{id}");
            audit::record(tx, now_ms, &actor, "bundle.remove", &target, Some(&bundle), audit::NONE)?;
            let path = shared.bundles.path(&id);
            tx.then(move || super::remove(&path));
            store::tell(&shared, tx)
        })
        .await?;
    Ok(StatusCode::NO_CONTENT)
}

/// The bundle itself
///
/// For boxes, with the token of an order for it as `Authorization: Bearer`. One range at a time.
#[utoipa::path(get, path = "/bundles/{sha256}/content", params(("sha256" = BundleId, Path)), responses(
    (status = 200, description = "All of it.", body = Vec<u8>, content_type = "application/octet-stream"),
    (status = 206, description = "The range that was asked for.", body = Vec<u8>, content_type = "application/octet-stream"),
    (status = 304, description = "It is the one of `If-None-Match`."),
    (status = 401, description = "The token is not of an order for this bundle that is not over."),
    (status = 416, description = "The range begins behind the end."),
))]
async fn content(
    State(app): State<App>,
    At(id): At<BundleId>,
    headers: HeaderMap,
) -> Result<Response, Error> {
    download::answer(&app, id, &headers).await
}
