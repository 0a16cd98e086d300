//! The watch site: what viewers and streamers do through `/site/v1` (`docs/interfaces.md` section 11).
//!
//! Everything here faces strangers: it has cookies of its own that are good for nothing in the fleet's API, and what a
//! stranger can make the server do is bounded. Pages, video and chat come from elsewhere and go on without it.

mod access;
mod accounts;
mod card;
mod channel_routes;
pub mod chat_key;
mod chat_tokens;
pub mod config;
mod description;
mod directory;
mod directory_routes;
pub mod emotes;
mod follows;
mod last_live;
mod limits;
mod metrics;
mod session_routes;
pub mod sessions;
mod studio;
pub mod text;
mod thumbnails;
mod viewers;

use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::map_response;
use axum::response::Response;
use axum::routing::get;
use nodi_protocol::chat::token::Minter;
use tower_http::compression::{CompressionLayer, CompressionLevel};
use utoipa::openapi::OpenApi;
use utoipa_axum::router::OpenApiRouter;

use crate::error::Error;
use crate::http::as_problem;
use crate::metrics::Metrics;
use crate::people::password::Hasher;
use crate::state::App;
use crate::tasks::Tasks;
pub use config::Config;

/// Where it lives.
pub const SITE: &str = "/site/v1";

/// How often expired sessions are deleted.
const PRUNE: Duration = Duration::from_secs(3_600);

/// This area's part of [`App`].
pub struct State {
    limits: limits::Limits,
    counts: metrics::Counts,
    /// Beside that of the dashboard: a flood of sign-ups keeps no operator out.
    hasher: Hasher,
    chat_key: Minter,
    directory: directory::Published,
    viewers: viewers::Viewers,
    pub(crate) thumbnails: thumbnails::Thumbnails,
    /// Asks the chat service and fetches pictures.
    http: reqwest::Client,
}

impl State {
    /// # Errors
    /// Which file is not usable.
    pub fn load(config: &crate::Config, metrics: &Metrics) -> Result<Self, Error> {
        let chat_key = chat_key::load_or_create(config)
            .map_err(|error| Error::Internal(format!("key of chat tokens: {error}")))?;
        Ok(Self {
            limits: limits::Limits::new(&config.site),
            counts: metrics::Counts::register(metrics),
            hasher: Hasher::new()?,
            chat_key,
            directory: directory::Published::default(),
            viewers: viewers::Viewers::default(),
            thumbnails: thumbnails::Thumbnails::load(thumbnails::dir(&config.data_dir))?,
            http: viewers::client()?,
        })
    }
}

/// Starts its background tasks.
pub fn start(app: &App, tasks: &mut Tasks) {
    tasks.spawn("directory", directory::run(app.clone()));
    tasks.spawn("channels that are live", last_live::run(app.clone()));
    tasks.spawn("pictures of channels", thumbnails::run(app.clone()));
    tasks.spawn("site sessions", prune(app.clone()));
    if let Some(url) = app.config.site.chat_url.clone() {
        tasks.spawn("viewers", viewers::poll(app.clone(), url));
    }
}

async fn prune(app: App) {
    loop {
        let pruning = app.clone();
        if let Err(error) = app.db.write(move |tx| sessions::prune(tx, &pruning)).await {
            log::warn!("expired site sessions stay: {error}");
        }
        app.clock.sleep(PRUNE).await;
    }
}

/// All below `/site`.
pub(crate) fn router() -> Router<App> {
    let (api, description) = api();
    Router::new()
        .nest(SITE, api.fallback(nothing_here))
        .merge(description::route(&description))
        .route("/site/{*rest}", axum::routing::any(nothing_here))
        .layer(map_response(as_problem))
        .layer(map_response(answers))
        .layer(CompressionLayer::new().quality(CompressionLevel::Fastest))
}

/// The routes and their description.
fn api() -> (Router<App>, OpenApi) {
    let areas = [
        session_routes::routes(),
        accounts::routes(),
        directory_routes::routes(),
        channel_routes::routes(),
        thumbnails::routes(),
        follows::routes(),
        chat_tokens::routes(),
        studio::routes(),
        emotes::routes(),
    ];
    let mut router = OpenApiRouter::default();
    for area in areas {
        router = router.merge(area.into_router());
    }
    let (router, mut description) = router.split_for_parts();
    let (images, more) = emotes::images().into_router().split_for_parts();
    description.merge(more);
    (router.merge(emotes::body_limit(images)), description::complete(description))
}

/// The description (OpenAPI 3.1).
#[must_use]
pub fn description() -> OpenApi {
    api().1
}

/// What is true of all answers: nothing in between keeps them unless the handler says so, and nobody who is not signed
/// in is asked for a token.
async fn answers(mut response: Response) -> Response {
    let status = response.status();
    let headers = response.headers_mut();
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    if status == StatusCode::UNAUTHORIZED {
        headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Cookie realm=\"nodi\""));
    }
    response
}

async fn nothing_here(request: Request) -> Error {
    Error::not_found("path", request.uri().path())
}

/// A router of one GET, for what is not part of the described routes.
fn served(path: &str, json: bytes::Bytes) -> Router<App> {
    let answer = move || {
        let json = json.clone();
        async move { ([(header::CONTENT_TYPE, "application/json")], json) }
    };
    Router::new().route(path, get(answer))
}
