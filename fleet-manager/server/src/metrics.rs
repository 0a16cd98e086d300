//! What the server counts about itself, in Prometheus' text form on a loopback listener of its own.

use std::sync::{Mutex, PoisonError};

use axum::Router;
use axum::extract::State;
use axum::routing::get;
use prometheus_client::registry::Registry;

use crate::error::Error;
use crate::state::App;

/// Each area registers what it counts when its state is made.
#[derive(Default)]
pub struct Metrics {
    registry: Mutex<Registry>,
}

impl Metrics {
    /// Adds metrics.
    pub fn register(&self, add: impl FnOnce(&mut Registry)) {
        add(&mut self.registry.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// # Errors
    /// Never in practice: text is written into memory.
    pub fn render(&self) -> Result<String, std::fmt::Error> {
        let mut text = String::new();
        let registry = self.registry.lock().unwrap_or_else(PoisonError::into_inner);
        prometheus_client::encoding::text::encode(&mut text, &registry)?;
        Ok(text)
    }
}

/// The loopback listener's routes.
pub(crate) fn router(app: &App) -> Router {
    Router::new().route("/metrics", get(metrics)).with_state(app.clone())
}

async fn metrics(State(app): State<App>) -> Result<String, Error> {
    app.metrics.render().map_err(|error| Error::Internal(format!("metrics: {error}")))
}
