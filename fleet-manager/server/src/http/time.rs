//! The fleet server's clock, for boxes whose own was wrong at boot.

use axum::extract::State;
use nodi_protocol::enrol::Time;
use utoipa_axum::routes;

use super::access::Api;
use super::extract::Json;
use crate::state::App;

pub(super) fn routes() -> Api {
    Api::new("time").public(routes!(time))
}

/// The fleet server's clock
#[utoipa::path(get, path = "/time", responses((status = 200, description = "The time now.", body = Time)))]
async fn time(State(app): State<App>) -> Json<Time> {
    Json(Time { unix_ms: u64::try_from(app.now_ms()).unwrap_or(0) })
}
