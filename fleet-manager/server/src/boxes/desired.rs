//! Desired state over HTTP, and what follows from a change of it.

use std::sync::Arc;

use axum::extract::State;
use nodi_protocol::BoxId;
use nodi_protocol::fleet::desired::{Reported, Settings};
use rusqlite::{Connection, params};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::routes;

use super::settings::{Difference, differences, overlay, validate};
use super::store;
use crate::audit;
use crate::db::Tx;
use crate::error::Error;
use crate::http::access::Api;
use crate::http::extract::{At, Json};
use crate::http::identity::Identity;
use crate::state::App;

pub(super) fn routes(api: Api) -> Api {
    api.viewer(routes!(get_desired))
        .operator(routes!(put_desired))
        .viewer(routes!(get_fleet))
        .administrator(routes!(put_fleet))
}

/// What a box is told, what of it is its own, and what it says to it.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
struct DesiredView {
    /// Set for this box.
    own: Settings,
    /// Set for all boxes.
    fleet: Settings,
    /// What the box is told: its own over the fleet's.
    effective: Settings,
    /// Of `effective`; rises with each change. Name it when changing something.
    version: u64,
    /// What the box said last, if it was about this server's settings.
    reported: Option<Reported>,
    /// Setting by setting.
    differences: Vec<Difference>,
}

/// What all boxes are told.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
struct FleetView {
    settings: Settings,
    /// Rises with each change. Name it when changing something.
    version: u64,
}

#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Change {
    /// The version that this change is made to; another one is answered 409.
    expected_version: u64,
    settings: Settings,
}

/// What one box shall be like
#[utoipa::path(get, path = "/boxes/{id}/desired", params(("id" = BoxId, Path)), responses(
    (status = 200, description = "Desired beside reported.", body = DesiredView),
))]
async fn get_desired(State(app): State<App>, At(id): At<BoxId>) -> Result<Json<DesiredView>, Error> {
    view(&app, &id).await
}

async fn view(app: &App, id: &BoxId) -> Result<Json<DesiredView>, Error> {
    let (fleet, _) = app.db.read(store::fleet_settings).await?;
    let registry = &app.boxes.registry;
    let record = registry.get(id).ok_or_else(|| Error::not_found("box", id))?;
    let reported = record.reported_of(registry.epoch());
    Ok(Json(DesiredView {
        own: (*record.own_settings).clone(),
        fleet,
        effective: (*record.desired).clone(),
        version: record.desired_version,
        reported: reported.cloned(),
        differences: differences(&record.desired, record.desired_version, reported),
    }))
}

/// Sets what one box shall be like
///
/// Replaces everything that was set for this box. What is left out follows the fleet's settings.
#[utoipa::path(put, path = "/boxes/{id}/desired", params(("id" = BoxId, Path)), request_body = Change, responses(
    (status = 200, description = "It is on its way to the box.", body = DesiredView),
    (status = 409, description = "Somebody changed it meanwhile, or the box is revoked."),
))]
async fn put_desired(
    State(app): State<App>,
    who: Identity,
    At(id): At<BoxId>,
    Json(change): Json<Change>,
) -> Result<Json<DesiredView>, Error> {
    validate(&change.settings)?;
    let (shared, actor, now_ms, box_id) = (app.clone(), who.actor(), app.now_ms(), id.clone());
    app.db
        .write(move |tx| {
            let record = store::one(tx, &box_id, now_ms)?.ok_or_else(|| Error::not_found("box", &box_id))?;
            if record.revoked.is_some() {
                return Err(Error::conflict(format!("{box_id} is revoked")));
            }
            stale(change.expected_version, record.desired_version)?;
            tx.prepare_cached("UPDATE box SET settings = ?2 WHERE id = ?1")?
                .execute(params![box_id.as_str(), serde_json::to_string(&change.settings)?])?;
            let target = format!("box/{box_id}/desired");
            audit::record(
                tx,
                now_ms,
                &actor,
                "box.settings",
                &target,
                Some(&*record.own_settings),
                Some(&change.settings),
            )?;
            recompute(&shared, tx, &box_id, now_ms)
        })
        .await?;
    view(&app, &id).await
}

/// What all boxes shall be like
#[utoipa::path(get, path = "/fleet/settings", responses(
    (status = 200, description = "What a box's own settings lie over.", body = FleetView),
))]
async fn get_fleet(State(app): State<App>) -> Result<Json<FleetView>, Error> {
    let (settings, version) = app.db.read(store::fleet_settings).await?;
    Ok(Json(FleetView { settings, version }))
}

/// Sets what all boxes shall be like
#[utoipa::path(put, path = "/fleet/settings", request_body = Change, responses(
    (status = 200, description = "It is on its way to the boxes.", body = FleetView),
    (status = 409, description = "Somebody changed it meanwhile."),
))]
async fn put_fleet(
    State(app): State<App>,
    who: Identity,
    Json(change): Json<Change>,
) -> Result<Json<FleetView>, Error> {
    validate(&change.settings)?;
    let (shared, actor, now_ms) = (app.clone(), who.actor(), app.now_ms());
    let view = app
        .db
        .write(move |tx| {
            let (before, version) = store::fleet_settings(tx)?;
            stale(change.expected_version, version)?;
            let view = FleetView { settings: change.settings, version: version + 1 };
            tx.execute(
                "UPDATE fleet_settings SET settings = ?1, version = ?2, updated_ms = ?3",
                params![
                    serde_json::to_string(&view.settings)?,
                    i64::try_from(view.version).unwrap_or(i64::MAX),
                    now_ms
                ],
            )?;
            audit::record(
                tx,
                now_ms,
                &actor,
                "fleet.settings",
                "fleet/settings",
                Some(&before),
                Some(&view.settings),
            )?;
            for id in store::numbers(tx)?.values() {
                recompute(&shared, tx, id, now_ms)?;
            }
            Ok(view)
        })
        .await?;
    Ok(Json(view))
}

fn stale(expected: u64, current: u64) -> Result<(), Error> {
    if expected == current {
        return Ok(());
    }
    Err(Error::conflict(format!("it is at version {current} by now, not {expected}: look at it again")))
}

/// What a box is told, from what is set for it and for all. The box hears of it once it is committed.
fn recompute(app: &App, tx: &Tx<'_>, id: &BoxId, now_ms: i64) -> Result<(), Error> {
    let Some((own, desired, version)) = recompute_one(tx, id, &app.boxes.base, now_ms)? else {
        return Ok(());
    };
    let (app, id) = (app.clone(), id.clone());
    tx.then(move || {
        let changed = app.boxes.registry.update(&id, now_ms, |record| {
            let changed = record.desired_version != version;
            record.own_settings = Arc::new(own);
            record.desired = Arc::new(desired);
            record.desired_version = version;
            changed
        });
        if changed == Some(true) {
            app.link.desired_changed(id);
        }
    });
    Ok(())
}

fn recompute_one(
    connection: &Connection,
    id: &BoxId,
    base: &Settings,
    now_ms: i64,
) -> Result<Option<(Settings, Settings, u64)>, Error> {
    let Some(record) = store::one(connection, id, now_ms)? else { return Ok(None) };
    let (fleet, _) = store::fleet_settings(connection)?;
    let desired = overlay(&overlay(base, &fleet), &record.own_settings);
    let version = store::set_desired(connection, id, &record.desired, record.desired_version, &desired)?
        .unwrap_or(record.desired_version);
    Ok(Some(((*record.own_settings).clone(), desired, version)))
}

/// Of all boxes, at the server's start.
pub(super) fn recompute_all(connection: &Connection, base: &Settings, now_ms: i64) -> Result<(), Error> {
    for id in store::numbers(connection)?.values() {
        recompute_one(connection, id, base, now_ms)?;
    }
    Ok(())
}

/// A box reports a higher version of this database than there is: the database was restored from a backup. What it is
/// told from now on has to be above that, or it would not listen.
pub(crate) fn catch_up(app: &App, tx: &Tx<'_>, id: &BoxId, seen: u64, now_ms: i64) -> Result<(), Error> {
    let Some(record) = store::one(tx, id, now_ms)? else { return Ok(()) };
    if seen <= record.desired_version {
        return Ok(());
    }
    log::warn!(box_id:% = id; "box has settings of version {seen}, the database is at {}", record.desired_version);
    let version = seen + 1;
    tx.prepare_cached("UPDATE box SET desired_version = ?2 WHERE id = ?1")?
        .execute(params![id.as_str(), i64::try_from(version).unwrap_or(i64::MAX)])?;
    let (app, id) = (app.clone(), id.clone());
    tx.then(move || {
        app.boxes.registry.update(&id, now_ms, |record| record.desired_version = version);
        app.link.desired_changed(id);
    });
    Ok(())
}
