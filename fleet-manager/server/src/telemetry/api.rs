//! Telemetry over HTTP.

use axum::extract::State;
use nodi_protocol::BoxId;
use serde::Deserialize;
use utoipa::IntoParams;
use utoipa_axum::routes;

use super::{View, render, store};
use crate::error::Error;
use crate::http::access::Api;
use crate::http::extract::{At, Json, Query};
use crate::state::App;

/// What it serves below `/api/v1`.
#[must_use]
pub fn routes() -> Api {
    Api::new("boxes").viewer(routes!(telemetry))
}

#[derive(Debug, Clone, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct Span {
    /// By default an hour before its end; at most a week before it.
    from_ms: Option<i64>,
    /// By default now.
    to_ms: Option<i64>,
    /// About so many points; by default 360.
    #[param(minimum = 1, maximum = 1_000)]
    points: Option<u32>,
}

/// What a box measured over time
///
/// The last two hours at full rate, a week per minute; as coarse as the span and the number of points ask for.
#[utoipa::path(get, path = "/boxes/{id}/telemetry", params(("id" = BoxId, Path), Span), responses(
    (status = 200, description = "Points in order of time.", body = View),
))]
async fn telemetry(
    State(app): State<App>,
    At(id): At<BoxId>,
    Query(span): Query<Span>,
) -> Result<Json<View>, Error> {
    let record = app.boxes.registry.get(&id).ok_or_else(|| Error::not_found("box", id))?;
    if span.points.is_some_and(|points| !(1..=1_000).contains(&points)) {
        return Err(Error::Malformed("query: points is not from 1 to 1000".to_owned()));
    }
    let query = super::Query::new(span.from_ms, span.to_ms, span.points, app.now_ms());
    let no = record.no;
    let mut samples = app
        .db
        .read(move |connection| {
            if query.full_rate {
                store::load_full(connection, no, query.from_ms)
            } else {
                store::load_minutes(connection, no, query.from_ms)
            }
        })
        .await?;
    samples.extend(app.telemetry.of(no));
    // A chunk that was stored while we looked is in both, or a late one lies before what is stored.
    samples.sort_by_key(|sample| sample.at_ms);
    samples.dedup_by_key(|sample| sample.at_ms);
    Ok(Json(render(&query, &samples)))
}
