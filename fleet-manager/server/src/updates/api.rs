//! Updates of single boxes over HTTP.

use axum::extract::State;
use axum::http::StatusCode;
use nodi_protocol::BoxId;
use nodi_protocol::fleet::update::Deadlines;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::routes;

use super::order::{self, BEGIN_S, Wish, check_begin_s, check_deadlines};
use super::store::{self, UpdateView};
use crate::audit;
use crate::bundles::{self, BundleId};
use crate::db::Tx;
use crate::error::Error;
use crate::http::access::Api;
use crate::http::extract::{At, Json, Query};
use crate::http::identity::Identity;
use crate::http::list::{Page, Paging, Select};
use crate::rollouts;
use crate::state::App;

/// What it serves below `/api/v1`.
#[must_use]
pub fn routes() -> Api {
    Api::new("updates")
        .viewer(routes!(newest))
        .viewer(routes!(list))
        .operator(routes!(give))
        .operator(routes!(withdraw))
}

/// Body of `PUT /boxes/{id}/update`.
#[derive(Debug, Clone, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewUpdate {
    pub bundle: BundleId,
    /// Also while something is live, and outside the maintenance windows.
    #[serde(default)]
    pub force: bool,
    /// How long each state may last.
    #[serde(default)]
    pub deadlines: Option<Deadlines>,
    /// A box that has not begun after so many seconds never begins; by default a day.
    #[serde(default)]
    #[schema(minimum = 10, maximum = 2_592_000)]
    pub begin_s: Option<u32>,
}

fn known(app: &App, id: &BoxId) -> Result<(), Error> {
    if app.boxes.registry.contains(id) { Ok(()) } else { Err(Error::not_found("box", id)) }
}

/// A box's newest update
#[utoipa::path(get, path = "/boxes/{id}/update", params(("id" = BoxId, Path)), responses(
    (status = 200, description = "How it stands.", body = UpdateView),
))]
async fn newest(State(app): State<App>, At(id): At<BoxId>) -> Result<Json<UpdateView>, Error> {
    known(&app, &id)?;
    let wanted = id.clone();
    let view = app.db.read(move |connection| store::newest(connection, &wanted)).await?;
    Ok(Json(view.ok_or_else(|| Error::not_found("update of the box", id))?))
}

/// All updates of a box
#[utoipa::path(get, path = "/boxes/{id}/updates", params(("id" = BoxId, Path), Paging), responses(
    (status = 200, description = "One page of them, the newest first.", body = Page<UpdateView>),
))]
async fn list(
    State(app): State<App>,
    At(id): At<BoxId>,
    Query(paging): Query<Paging>,
) -> Result<Json<Page<UpdateView>>, Error> {
    known(&app, &id)?;
    let page = app
        .db
        .read(move |connection| {
            Select::new(store::COLUMNS, store::FROM)
                .only("u.box_id = ?", Some(String::from(id)))
                .search(&paging, &["u.version", "u.text", "u.state", "u.issued_by"])?
                .page(
                    connection,
                    &paging,
                    &[("issued_ms", "u.issued_ms"), ("state", "u.state"), ("version", "u.version")],
                    "-issued_ms",
                    "u.id",
                    store::read,
                )
        })
        .await?;
    Ok(Json(page))
}

/// Updates one box
///
/// An older order that has not begun to install is withdrawn. A box that is offline gets it when it comes back, unless it
/// was away for too long by then.
#[utoipa::path(put, path = "/boxes/{id}/update", params(("id" = BoxId, Path)), request_body = NewUpdate, responses(
    (status = 201, description = "The order is on its way.", body = UpdateView),
    (status = 409, description = "The box is revoked, installs just now, is steered by a rollout, or the bundle is for another board."),
))]
async fn give(
    State(app): State<App>,
    who: Identity,
    At(id): At<BoxId>,
    Json(new): Json<NewUpdate>,
) -> Result<(StatusCode, Json<UpdateView>), Error> {
    known(&app, &id)?;
    let (shared, actor, now_ms) = (app.clone(), who.actor(), app.now_ms());
    let deadlines = new.deadlines.unwrap_or_default();
    let begin_s = new.begin_s.unwrap_or(BEGIN_S);
    check_deadlines(&deadlines)?;
    check_begin_s(begin_s)?;
    let view = app
        .db
        .write(move |tx| {
            let bundle = bundles::one(tx, &new.bundle)?
                .ok_or_else(|| Error::invalid("bundle", "there is no such bundle"))?;
            not_steered(tx, &id)?;
            let wish = Wish {
                bundle: &bundle,
                force: new.force,
                deadlines,
                begin_s,
                rollout: None,
                issued_by: &actor.name,
            };
            let view = order::give(&shared, tx, &id, &wish)?;
            audit::record(
                tx,
                now_ms,
                &actor,
                "update.order",
                &store::target(&view),
                audit::NONE,
                Some(&new),
            )?;
            Ok(view)
        })
        .await?;
    Ok((StatusCode::CREATED, Json(view)))
}

/// An order of a rollout that is not over is the rollout's.
fn not_steered(tx: &Tx<'_>, id: &BoxId) -> Result<(), Error> {
    if let Some(rollout) = store::open_of(tx, id)?.and_then(|open| open.rollout)
        && let Some(name) = rollouts::name_of_open(tx, &rollout)?
    {
        return Err(Error::conflict(format!("the rollout {name:?} updates this box just now")));
    }
    Ok(())
}

/// Takes a box's order back
///
/// Only while it has not begun to install. One that begins in this moment may still report that it ran. Of a rollout, the
/// box is then excluded.
#[utoipa::path(delete, path = "/boxes/{id}/update", params(("id" = BoxId, Path)), responses(
    (status = 204, description = "It is withdrawn."),
    (status = 409, description = "It installs already."),
))]
async fn withdraw(State(app): State<App>, who: Identity, At(id): At<BoxId>) -> Result<StatusCode, Error> {
    known(&app, &id)?;
    let (shared, actor, now_ms) = (app.clone(), who.actor(), app.now_ms());
    app.db
        .write(move |tx| {
            let open = store::open_of(tx, &id)?
                .ok_or_else(|| Error::not_found("update of the box that is not over", &id))?;
            let why = format!("withdrawn by {}", actor.name);
            if !store::withdraw(&shared, tx, &id, &why, now_ms)? {
                return Err(Error::conflict(format!("{id} is {} already", open.state.name())));
            }
            audit::record(
                tx,
                now_ms,
                &actor,
                "update.withdraw",
                &store::target(&open),
                Some(&open),
                audit::NONE,
            )
        })
        .await?;
    Ok(StatusCode::NO_CONTENT)
}
