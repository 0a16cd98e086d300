//! Rollouts over HTTP.

use axum::extract::State;
use axum::http::StatusCode;
use nodi_protocol::BoxId;
use serde::Deserialize;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::routes;

use super::plan::NewRollout;
use super::steer;
use super::store::{self, Rollout, State as RolloutState};
use super::view::{self, BoxStanding, BoxState, RolloutBoxView, RolloutView};
use crate::audit::Actor;
use crate::db::Tx;
use crate::error::Error;
use crate::http::access::Api;
use crate::http::extract::{At, Json, Query};
use crate::http::identity::Identity;
use crate::http::list::{Page, Paging, Select};
use crate::state::App;

/// What it serves below `/api/v1`.
#[must_use]
pub fn routes() -> Api {
    Api::new("rollouts")
        .viewer(routes!(list))
        .viewer(routes!(one))
        .viewer(routes!(boxes))
        .operator(routes!(create))
        .operator(routes!(start))
        .operator(routes!(pause))
        .operator(routes!(proceed))
        .operator(routes!(resume))
        .operator(routes!(abort))
}

#[derive(Debug, Clone, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct Filter {
    /// Only rollouts in this state.
    state: Option<RolloutState>,
}

/// All rollouts
#[utoipa::path(get, path = "/rollouts", params(Paging, Filter), responses(
    (status = 200, description = "One page of them, the newest first.", body = Page<RolloutView>),
))]
async fn list(
    State(app): State<App>,
    Query(paging): Query<Paging>,
    Query(filter): Query<Filter>,
) -> Result<Json<Page<RolloutView>>, Error> {
    let page = app
        .db
        .read(move |connection| {
            Select::new(store::COLUMNS, "rollout")
                .only("state = ?", filter.state.map(|state| state.name().to_owned()))
                .search(&paging, &["name", "version", "compatible", "created_by"])?
                .page(
                    connection,
                    &paging,
                    &[
                        ("created_ms", "created_ms"),
                        ("name", "name COLLATE NOCASE"),
                        ("version", "version"),
                        ("state", "state"),
                    ],
                    "-created_ms",
                    "id",
                    |row| view::view(connection, store::read(row)?),
                )
        })
        .await?;
    Ok(Json(page))
}

/// One rollout
#[utoipa::path(get, path = "/rollouts/{id}", params(("id" = String, Path)), responses(
    (status = 200, description = "How it stands.", body = RolloutView),
))]
async fn one(State(app): State<App>, At(id): At<String>) -> Result<Json<RolloutView>, Error> {
    let view = app.db.read(move |connection| view::view(connection, store::one(connection, &id)?)).await?;
    Ok(Json(view))
}

#[derive(Debug, Clone, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct BoxFilter {
    /// Only boxes in this state.
    state: Option<BoxState>,
    /// Only boxes whose state comes to this.
    #[param(inline)]
    standing: Option<BoxStanding>,
    /// Only boxes of the stage with this index.
    #[param(maximum = 20)]
    stage: Option<u32>,
    /// `true`: boxes that failed, and a person has taken note; `false`: all others.
    acknowledged: Option<bool>,
}

/// The boxes of a rollout
#[utoipa::path(get, path = "/rollouts/{id}/boxes", params(("id" = String, Path), Paging, BoxFilter), responses(
    (status = 200, description = "One page of them, what failed first.", body = Page<RolloutBoxView>),
))]
async fn boxes(
    State(app): State<App>,
    At(id): At<String>,
    Query(paging): Query<Paging>,
    Query(filter): Query<BoxFilter>,
) -> Result<Json<Page<RolloutBoxView>>, Error> {
    let page = app
        .db
        .read(move |connection| {
            store::one(connection, &id)?;
            let (rank, changed) = (view::box_rank(), view::box_changed());
            Select::new(&view::box_columns(), view::BOX_FROM)
                .only("r.rollout_id = ?", Some(id))
                .only(
                    &format!("({}) = ?", view::BOX_STATE),
                    filter.state.map(|state| state.name().to_owned()),
                )
                .only(
                    &format!("({}) = ?", view::box_standing()),
                    filter.standing.map(|standing| standing.name().to_owned()),
                )
                .only("r.stage = ?", filter.stage.map(i64::from))
                .only(&format!("{} = ?", view::box_acknowledged()), filter.acknowledged.map(i64::from))
                .search(&paging, &["r.box_name", "r.box_id", "u.text", "r.text"])?
                .page(
                    connection,
                    &paging,
                    &[
                        ("state", rank.as_str()),
                        ("box_name", "r.box_name COLLATE NOCASE"),
                        ("stage", "r.stage"),
                        ("changed_ms", changed.as_str()),
                    ],
                    "state",
                    "r.box_id",
                    view::read_box,
                )
        })
        .await?;
    let registry = &app.boxes.registry;
    Ok(Json(page.map(|row| RolloutBoxView {
        online: registry.get(&row.box_id).is_some_and(|record| record.is_online()),
        ..row
    })))
}

/// Plans a rollout
///
/// It is a draft until it is started.
#[utoipa::path(post, path = "/rollouts", request_body = NewRollout, responses(
    (status = 201, description = "The draft.", body = RolloutView),
    (status = 409, description = "Too many rollouts are not over."),
))]
async fn create(
    State(app): State<App>,
    who: Identity,
    Json(new): Json<NewRollout>,
) -> Result<(StatusCode, Json<RolloutView>), Error> {
    let (shared, actor) = (app.clone(), who.actor());
    let view = app
        .db
        .write(move |tx| {
            let rollout = steer::create(&shared, tx, new, &actor)?;
            view::view(tx, rollout)
        })
        .await?;
    Ok((StatusCode::CREATED, Json(view)))
}

async fn steered(
    app: App,
    who: Identity,
    id: String,
    steer: impl FnOnce(&App, &Tx<'_>, &str, &Actor) -> Result<Rollout, Error> + Send + 'static,
) -> Result<Json<RolloutView>, Error> {
    let (shared, actor) = (app.clone(), who.actor());
    let view = app
        .db
        .write(move |tx| {
            let rollout = steer(&shared, tx, &id, &actor)?;
            view::view(tx, rollout)
        })
        .await?;
    Ok(Json(view))
}

/// Starts a rollout
///
/// Which box is in which stage is decided now.
#[utoipa::path(post, path = "/rollouts/{id}/start", params(("id" = String, Path)), responses(
    (status = 200, description = "It runs.", body = RolloutView),
    (status = 409, description = "It is no draft, there is no box for it, its bundle is gone, or another rollout has a box of it."),
))]
async fn start(
    State(app): State<App>,
    who: Identity,
    At(id): At<String>,
) -> Result<Json<RolloutView>, Error> {
    steered(app, who, id, steer::start).await
}

/// Pauses a rollout
///
/// Nobody new begins to install: orders of boxes that have not begun are withdrawn until it is resumed.
#[utoipa::path(post, path = "/rollouts/{id}/pause", params(("id" = String, Path)), responses(
    (status = 200, description = "It is paused.", body = RolloutView),
    (status = 409, description = "It is neither running nor gated."),
))]
async fn pause(
    State(app): State<App>,
    who: Identity,
    At(id): At<String>,
) -> Result<Json<RolloutView>, Error> {
    steered(app, who, id, steer::pause).await
}

/// Lets the next stage begin
#[utoipa::path(post, path = "/rollouts/{id}/continue", params(("id" = String, Path)), operation_id = "continue", responses(
    (status = 200, description = "It runs.", body = RolloutView),
    (status = 409, description = "It does not wait for a person."),
))]
async fn proceed(
    State(app): State<App>,
    who: Identity,
    At(id): At<String>,
) -> Result<Json<RolloutView>, Error> {
    steered(app, who, id, steer::proceed).await
}

/// Body of `POST /rollouts/{id}/resume`.
#[derive(Debug, Clone, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
struct Resume {
    /// Everything that failed and was not acknowledged before.
    acknowledge: Vec<BoxId>,
    /// Tries those again that are named.
    retry: bool,
}

/// Resumes a rollout
///
/// After a pause or a halt. Everything that failed has to be named.
#[utoipa::path(post, path = "/rollouts/{id}/resume", params(("id" = String, Path)), request_body = Resume, responses(
    (status = 200, description = "It runs.", body = RolloutView),
    (status = 409, description = "It is neither paused nor halted, or something failed that is not acknowledged."),
))]
async fn resume(
    State(app): State<App>,
    who: Identity,
    At(id): At<String>,
    Json(body): Json<Resume>,
) -> Result<Json<RolloutView>, Error> {
    steered(app, who, id, move |app, tx, id, actor| {
        steer::resume(app, tx, id, &body.acknowledge, body.retry, actor)
    })
    .await
}

/// Aborts a rollout
///
/// For good. Orders that have not begun to install are withdrawn.
#[utoipa::path(post, path = "/rollouts/{id}/abort", params(("id" = String, Path)), responses(
    (status = 200, description = "It is over.", body = RolloutView),
    (status = 409, description = "It is over already."),
))]
async fn abort(
    State(app): State<App>,
    who: Identity,
    At(id): At<String>,
) -> Result<Json<RolloutView>, Error> {
    steered(app, who, id, steer::abort).await
}
