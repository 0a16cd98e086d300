//! What all connections of a process have in common.

use std::sync::{Arc, Mutex};

use nodi_daemon::shutdown::Shutdown;
use tokio::sync::watch;

use crate::config::Config;
use crate::credentials;
use crate::keys::Keyring;
use crate::metrics::Metrics;
use crate::registry::Registry;
use crate::session_ids::SessionIds;
use crate::throttle::Throttle;

pub(crate) struct Shared {
    pub(crate) config: Config,
    pub(crate) keyring: watch::Receiver<Arc<Keyring>>,
    pub(crate) throttle: Mutex<Throttle>,
    pub(crate) ids: Mutex<SessionIds>,
    pub(crate) credentials: credentials::Store,
    pub(crate) registry: Arc<Registry>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) shutdown: Shutdown,
}
