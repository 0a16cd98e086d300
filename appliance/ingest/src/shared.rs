//! What all connections of a process have in common.

use std::sync::{Arc, Mutex};

use nodi_daemon::shutdown::Shutdown;
use tokio::sync::watch;

use crate::config::{Config, Limits};
use crate::credentials;
use crate::keys::Keyring;
use crate::metrics::Metrics;
use crate::registry::Registry;
use crate::session_ids::SessionIds;
use crate::throttle::Throttle;

/// What counts from one moment to the next.
#[derive(Debug, Clone)]
pub(crate) struct InForce {
    pub(crate) limits: Arc<Limits>,
    pub(crate) drain: bool,
}

pub(crate) struct Shared {
    /// As it was at the start. What settings move at once is in `in_force`, `throttle` and the admission.
    pub(crate) config: Config,
    pub(crate) in_force: watch::Receiver<InForce>,
    pub(crate) keyring: watch::Receiver<Arc<Keyring>>,
    pub(crate) throttle: Mutex<Throttle>,
    pub(crate) ids: Mutex<SessionIds>,
    pub(crate) credentials: credentials::Store,
    pub(crate) registry: Arc<Registry>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) shutdown: Shutdown,
}

impl Shared {
    pub(crate) fn limits(&self) -> Arc<Limits> {
        Arc::clone(&self.in_force.borrow().limits)
    }
}
