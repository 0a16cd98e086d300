//! `/sessions`, `/settings`, `/metrics` and `/healthz`, on the loopback interface or a Unix socket.

use std::io;
use std::os::unix::fs::FileTypeExt as _;
use std::sync::Arc;

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use nodi_daemon::settings;
use nodi_daemon::shutdown::Shutdown;
use prometheus_client::encoding::text::encode;
use prometheus_client::registry::Registry;
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::watch;

use crate::config::Listen;
use crate::journal::Journal;
use crate::metrics::Metrics;
use crate::status;
use crate::watch::Catalogue;

/// What is shown.
pub(crate) struct Shown {
    pub metrics: Metrics,
    pub journal: Journal,
    pub catalogue: Catalogue,
    /// Names of all targets.
    pub targets: Vec<String>,
    pub settings: watch::Receiver<settings::State>,
}

struct Shared {
    registry: Registry,
    shown: Shown,
}

/// A bound listener, so that the caller learns the port before anything is served.
#[derive(Debug)]
pub(crate) enum Bound {
    Tcp(TcpListener),
    Unix(UnixListener),
}

/// # Errors
/// When the address or path cannot be bound.
pub(crate) async fn bind(listen: &Listen) -> io::Result<Bound> {
    match listen {
        Listen::Tcp(address) => TcpListener::bind(address).await.map(Bound::Tcp),
        Listen::Unix(path) => {
            // A socket that an earlier process left; anything else at that path is not ours to remove.
            if std::fs::symlink_metadata(path).is_ok_and(|metadata| metadata.file_type().is_socket()) {
                std::fs::remove_file(path)?;
            }
            UnixListener::bind(path).map(Bound::Unix)
        }
    }
}

/// Serves until stopping is asked for.
///
/// # Errors
/// When the listener fails.
pub(crate) async fn serve(bound: Bound, shown: Shown, shutdown: Shutdown) -> io::Result<()> {
    let shared = Arc::new(Shared { registry: shown.metrics.registry(), shown });
    let app = Router::new()
        .route("/sessions", get(sessions))
        .route("/settings", get(settings))
        .route("/metrics", get(show))
        .route("/healthz", get(|| async { "ok\n" }))
        .with_state(shared);
    let stop = async move { shutdown.wait().await };
    match bound {
        Bound::Tcp(listener) => axum::serve(listener, app).with_graceful_shutdown(stop).await,
        Bound::Unix(listener) => axum::serve(listener, app).with_graceful_shutdown(stop).await,
    }
}

async fn sessions(State(shared): State<Arc<Shared>>) -> Json<status::Status> {
    let Shown { catalogue, metrics, targets, .. } = &shared.shown;
    Json(status::status(catalogue, metrics, targets))
}

async fn settings(State(shared): State<Arc<Shared>>) -> Json<settings::State> {
    Json(shared.shown.settings.borrow().clone())
}

async fn show(State(shared): State<Arc<Shared>>) -> Response {
    let failures = i64::try_from(shared.shown.journal.failures()).unwrap_or(i64::MAX);
    shared.shown.metrics.journal_failures.set(failures);
    let mut text = String::new();
    match encode(&mut text, &shared.registry) {
        Ok(()) => {
            let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
            ([(header::CONTENT_TYPE, kind)], text).into_response()
        }
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}
