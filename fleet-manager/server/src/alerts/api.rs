//! The list of alerts, and taking note of one.

use axum::extract::State;
use serde::Deserialize;
use utoipa::IntoParams;
use utoipa_axum::routes;

use super::kind::{Kind, Severity};
use super::store::{self, AlertView};
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
    Api::new("alerts").viewer(routes!(list)).operator(routes!(acknowledge))
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct Filter {
    /// `true`: those that last; `false`: those that are over.
    active: Option<bool>,
    kind: Option<Kind>,
    severity: Option<Severity>,
    /// Id of a box.
    #[serde(rename = "box")]
    box_id: Option<String>,
    /// Id of a channel.
    channel: Option<String>,
}

/// Alerts
///
/// Searched in reasons and names of boxes.
#[utoipa::path(get, path = "/alerts", params(Paging, Filter),
    responses((status = 200, description = "One page, the newest first.", body = Page<AlertView>)))]
async fn list(
    State(app): State<App>,
    Query(paging): Query<Paging>,
    Query(filter): Query<Filter>,
) -> Result<Json<Page<AlertView>>, Error> {
    let page = app
        .db
        .read(move |connection| {
            Select::new(store::COLUMNS, "alert")
                .only_when(filter.active == Some(true), "ended_ms IS NULL")
                .only_when(filter.active == Some(false), "ended_ms IS NOT NULL")
                .only("kind = ?", filter.kind.map(|kind| kind.name().to_owned()))
                .only("severity = ?", filter.severity.map(|severity| severity.name().to_owned()))
                .only("box_id = ?", filter.box_id)
                .only("channel_id = ?", filter.channel)
                .search(&paging, &["reason", "box_name"])?
                .page(
                    connection,
                    &paging,
                    &[
                        ("started_ms", "started_ms"),
                        ("ended_ms", "ended_ms"),
                        ("kind", "kind"),
                        ("severity", "severity"),
                        ("box_name", "box_name COLLATE NOCASE"),
                    ],
                    "-started_ms",
                    "id",
                    store::read,
                )
        })
        .await?;
    Ok(Json(page))
}

/// Take note of an alert
///
/// It lasts until what it is about is over. Whoever was first to take note stays named.
#[utoipa::path(post, path = "/alerts/{id}/acknowledge", params(("id" = String, Path)),
    responses((status = 200, description = "The alert.", body = AlertView)))]
async fn acknowledge(
    State(app): State<App>,
    who: Identity,
    At(id): At<String>,
) -> Result<Json<AlertView>, Error> {
    let now_ms = app.now_ms();
    let shared = app.clone();
    let view = app
        .db
        .write(move |tx| {
            let actor = who.actor();
            let (before, after) = store::acknowledge(tx, &id, &who.name, now_ms)?;
            let Some(after) = after else { return Ok(before) };
            audit::record(
                tx,
                now_ms,
                &actor,
                "alert.acknowledge",
                &format!("alert/{id}"),
                Some(&before),
                Some(&after),
            )?;
            store::tell(&shared, tx, after.clone());
            Ok(after)
        })
        .await?;
    Ok(Json(view))
}
