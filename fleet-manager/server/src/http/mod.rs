//! The REST API below `/api/v1`, its description, and the dashboard: one router, put together from what each area
//! exports.

pub mod access;
mod assets;
pub mod client;
mod docs;
mod docs_page;
mod events;
pub mod extract;
mod headers;
pub mod identity;
pub mod list;
pub(crate) mod problems;
pub mod serve;
mod time;
pub mod tls;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::header;
use axum::middleware::{Next, from_fn, from_fn_with_state, map_response};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use tower_http::compression::predicate::{DefaultPredicate, NotForContentType, Predicate as _};
use tower_http::compression::{CompressionLayer, CompressionLevel};
use utoipa::openapi::OpenApi;
use utoipa_axum::router::OpenApiRouter;

use crate::error::{Error, PROBLEM_JSON, Problem};
use crate::state::App;
use crate::{
    alerts, audit, boxes, bundles, channels, commands, enrolment, ingests, overview, people, rollouts, site,
    streams, telemetry, updates, webhooks,
};
use client::{Client, Peer};

/// Where the API lives.
pub const API: &str = "/api/v1";

/// Everything that is served. Requests have to carry their [`Peer`] as an extension.
pub fn router(app: &App) -> Router {
    let (api, description) = api();
    let description = docs::Description::new(&description);
    let api: Router<App> = Router::new()
        .nest(API, api.fallback(nothing_here))
        .route(&format!("{API}/openapi.json"), get(docs::json))
        .route("/api/docs", get(docs::page))
        .route("/api/{*rest}", axum::routing::any(nothing_here))
        .layer(axum::Extension(description))
        .layer(map_response(as_problem))
        .layer(CompressionLayer::new().quality(CompressionLevel::Fastest).compress_when(
            // Files have ranges, and are compressed already.
            DefaultPredicate::new().and(NotForContentType::const_new("application/octet-stream")),
        ));
    let everything = Router::new().merge(api).merge(site::router());
    around(app, everything.route("/healthz", get(healthz)).fallback(assets::serve))
}

/// The watch site's part alone, for its own listener. Requests have to carry their [`Peer`] as an extension.
pub fn site_router(app: &App) -> Router {
    around(app, site::router().route("/healthz", get(healthz)).fallback(nothing_here))
}

/// What all requests go through.
fn around(app: &App, router: Router<App>) -> Router {
    router
        .layer(DefaultBodyLimit::max(app.config.http.max_body))
        .layer(from_fn(headers::secure))
        .layer(from_fn_with_state(app.clone(), context))
        .with_state(app.clone())
}

/// The API's routes and their description.
fn api() -> (Router<App>, OpenApi) {
    let areas = [
        people::routes(),
        channels::routes(),
        enrolment::routes(),
        boxes::routes(),
        commands::routes(),
        bundles::routes(),
        updates::routes(),
        rollouts::routes(),
        telemetry::routes(),
        streams::routes(),
        ingests::routes(),
        alerts::routes(),
        webhooks::routes(),
        overview::routes(),
        audit::routes(),
        events::routes(),
        time::routes(),
    ];
    let mut router = OpenApiRouter::default();
    for area in areas {
        router = router.merge(area.into_router());
    }
    let (router, description) = router.split_for_parts();
    (router, docs::complete(description))
}

/// The API's description (OpenAPI 3.1).
#[must_use]
pub fn description() -> OpenApi {
    api().1
}

/// Gives each request the server's state and its client.
async fn context(State(app): State<App>, mut request: Request, next: Next) -> Response {
    let Some(peer) = request.extensions().get::<Peer>().copied() else {
        return Error::Internal("a request without its peer".to_owned()).into_response();
    };
    let client = Client::of(peer, request.headers(), &app.config.http.trusted_proxies);
    request.extensions_mut().insert(client);
    request.extensions_mut().insert(app);
    next.run(request).await
}

/// What the router answers by itself (405, mostly) in the form of all other problems.
pub(crate) async fn as_problem(response: Response) -> Response {
    let status = response.status();
    let typed = response.headers().get(header::CONTENT_TYPE).is_some_and(|value| value == PROBLEM_JSON);
    if typed || !(status.is_client_error() || status.is_server_error()) {
        return response;
    }
    let title = status.canonical_reason().unwrap_or("Error").to_owned();
    let detail = format!("{}.", title.to_lowercase());
    let problem =
        Problem { r#type: "about:blank".to_owned(), title, status: status.as_u16(), detail, field: None };
    let mut answer = problem.into_response();
    if let Some(allow) = response.headers().get(header::ALLOW) {
        answer.headers_mut().insert(header::ALLOW, allow.clone());
    }
    answer
}

async fn nothing_here(request: Request) -> Error {
    Error::not_found("path", request.uri().path())
}

/// 200 while the database answers.
async fn healthz(State(app): State<App>) -> Result<&'static str, Error> {
    app.db.read(|connection| Ok(connection.query_row("SELECT 1", [], |_| Ok(()))?)).await?;
    Ok("ok\n")
}
