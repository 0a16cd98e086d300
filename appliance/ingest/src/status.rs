//! The local socket: how the live sessions stand, and a way to end one (docs/interfaces.md section 4).

use std::collections::HashMap;
use std::io;
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
use std::path::Path;
use std::sync::Arc;

use axum::extract::{self, Query, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get};
use axum::{Json, Router};
use nodi_daemon::settings;
use nodi_protocol::SessionId;
use tokio::net::UnixListener;
use tokio::sync::watch;

use crate::mailbox::Order;
use crate::metrics::Metrics;
use crate::registry::{Ended, Entry, Registry};

/// The uplink and the agent reach it through its group.
const SOCKET_MODE: u32 = 0o660;
/// The reason with which the uplink says that a newer session owns the channel.
const SUPERSEDED: &str = "superseded";
/// Longest reason that is passed on to the publisher.
const MAX_REASON: usize = 200;
const UNNAMED_REASON: &str = "the stream was ended by its operator";

#[derive(Clone)]
pub(crate) struct Status {
    pub(crate) registry: Arc<Registry>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) settings: watch::Receiver<settings::State>,
}

/// Listens on a Unix socket; one that an earlier process left is replaced.
pub(crate) fn listen(path: &Path) -> io::Result<UnixListener> {
    match std::fs::symlink_metadata(path) {
        Ok(found) if found.file_type().is_socket() => std::fs::remove_file(path)?,
        Ok(_) => return Err(io::ErrorKind::AlreadyExists.into()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    let listener = UnixListener::bind(path)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(SOCKET_MODE))?;
    Ok(listener)
}

pub(crate) fn router(status: Status) -> Router {
    Router::new()
        .route("/sessions", get(sessions))
        .route("/sessions/{session}", delete(end))
        .route("/ended", get(ended))
        .route("/settings", get(settings))
        .merge(metrics_router(status.clone()))
        .with_state(status)
}

/// What is served over TCP as well: nothing that changes anything.
pub(crate) fn metrics_router(status: Status) -> Router<Status> {
    Router::new().route("/metrics", get(metrics)).with_state(status)
}

async fn sessions(State(status): State<Status>) -> Json<Vec<Entry>> {
    Json(status.registry.entries())
}

async fn ended(State(status): State<Status>) -> Json<Vec<Ended>> {
    Json(status.registry.ended())
}

async fn settings(State(status): State<Status>) -> Json<settings::State> {
    Json(status.settings.borrow().clone())
}

async fn end(
    State(status): State<Status>,
    extract::Path(session): extract::Path<String>,
    Query(query): Query<HashMap<String, String>>,
) -> StatusCode {
    let Ok(session) = session.parse::<SessionId>() else { return StatusCode::NOT_FOUND };
    let order = match query.get("reason").map(|reason| reason.trim()) {
        Some(SUPERSEDED) => Order::Superseded,
        None | Some("") => Order::Asked(UNNAMED_REASON.to_owned()),
        Some(reason) => Order::Asked(reason.chars().take(MAX_REASON).collect()),
    };
    if status.registry.end(session, order) { StatusCode::NO_CONTENT } else { StatusCode::NOT_FOUND }
}

async fn metrics(State(status): State<Status>) -> Response {
    const TEXT: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    match status.metrics.render() {
        Ok(text) => ([(header::CONTENT_TYPE, TEXT)], text).into_response(),
        Err(error) => {
            log::error!(error:%; "cannot write the metrics");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}
