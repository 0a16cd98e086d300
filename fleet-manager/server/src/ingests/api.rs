//! `GET /ingests`: public, small, and the same for everybody in one place.

use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse as _, Response};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::routes;

use super::place::Place;
use super::score::{Candidate, best};
use crate::error::Error;
use crate::http::access::Api;
use crate::http::client::Client;
use crate::http::extract::Query;
use crate::state::App;

/// What it serves below `/api/v1`.
#[must_use]
pub fn routes() -> Api {
    Api::new("ingests").public(routes!(list))
}

/// Where the publisher is.
#[derive(Debug, Clone, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct Where {
    /// Degrees north; with `lon`.
    #[param(minimum = -90, maximum = 90)]
    pub lat: Option<f64>,
    /// Degrees east.
    #[param(minimum = -180, maximum = 180)]
    pub lon: Option<f64>,
}

/// A server to publish to.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[schema(as = Ingest)]
pub struct Ingest {
    #[serde(rename = "_id")]
    pub id: String,
    pub name: String,
    /// 0 (nearly full) to 1 (idle).
    pub availability: f64,
    /// The one to take.
    pub default: bool,
    /// 1 for the best one.
    pub priority: u32,
    /// With `{stream_key}` in it.
    pub url_template: String,
    /// The same over TLS, where the server has that.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url_template_secure: Option<String>,
}

/// The answer.
#[derive(Debug, Clone, Serialize, ToSchema)]
struct Ingests {
    ingests: Vec<Ingest>,
}

/// Where to publish
///
/// The nearest and fittest first. Servers that are away, hot, full, being emptied or restarting are not listed. Without
/// `lat` and `lon` the place is that of the client's address.
#[utoipa::path(get, path = "/ingests", params(Where), responses(
    (status = 200, description = "At most 25.", body = Ingests),
    (status = 429, description = "Too many requests."),
))]
async fn list(State(app): State<App>, client: Client, Query(place): Query<Where>) -> Result<Response, Error> {
    let now_ms = app.now_ms();
    app.ingests.throttle.take(client.address, now_ms).map_err(|retry_after_s| Error::TooMany {
        reason: "too many requests from this address".to_owned(),
        retry_after_s,
    })?;
    let said = place.lat.is_some();
    let place = super::place(&app, &place, client)?;
    let body = serde_json::to_vec(&Ingests { ingests: nearest(&app, place, super::LISTED) })?;
    // What depends on the client's address must not be kept for another client.
    let caching = if said { "public, max-age=5" } else { "private, max-age=5" };
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("application/json")),
        (header::CACHE_CONTROL, HeaderValue::from_static(caching)),
        // Pages of others may ask, too: there is nothing in it that is not for everybody.
        (header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*")),
    ];
    Ok((headers, Bytes::from(body)).into_response())
}

/// The best servers for somebody at `place`.
#[must_use]
pub fn nearest(app: &App, place: Option<Place>, most: usize) -> Vec<Ingest> {
    let candidates = app.ingests.candidates(app);
    best(&candidates, place, most)
        .into_iter()
        .zip(1..)
        .map(|(candidate, rank)| listed(candidate, rank))
        .collect()
}

fn listed(candidate: &Candidate, rank: u32) -> Ingest {
    Ingest {
        id: candidate.id.clone(),
        name: candidate.name.clone(),
        // Two digits: more would tell nothing and make every answer another one.
        availability: (candidate.fitness * 100.0).round() / 100.0,
        default: rank == 1,
        priority: rank,
        url_template: candidate.url_template.clone(),
        url_template_secure: candidate.url_template_secure.clone(),
    }
}
