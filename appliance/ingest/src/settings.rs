//! Settings that take effect while the process runs (docs/interfaces.md section 9): where each goes.

use std::collections::BTreeSet;
use std::sync::{Arc, PoisonError};

use nodi_daemon::settings::{self, Change, Settings};
use tokio::sync::watch;

use crate::admission::Admission;
use crate::config::Config;
use crate::shared::{InForce, Shared};

/// Keys that count at once; every other one waits for a restart.
const AT_ONCE: [&str; 4] = ["drain", "limits", "log_level", "throttle"];

/// Hands each setting to the part of the process that goes by it.
pub(crate) struct Application {
    pub(crate) shared: Arc<Shared>,
    pub(crate) admission: Arc<Admission>,
    pub(crate) in_force: watch::Sender<InForce>,
    pub(crate) state: watch::Sender<settings::State>,
    /// Keys that wait for a restart, as the log was told.
    pub(crate) waiting: BTreeSet<String>,
}

impl Application {
    /// Takes what a look at the file brought. `settings` says how the file stands by then.
    pub(crate) fn apply(&mut self, change: Option<Change<Config>>, settings: &Settings) {
        if let Some(Change { value, keys }) = change {
            nodi_daemon::logging::set_level(value.log_level);
            self.admission.set_limits(value.limits.connections, value.limits.connections_per_address);
            crate::server::check_descriptors(&value.limits);
            let mut throttle = self.shared.throttle.lock().unwrap_or_else(PoisonError::into_inner);
            throttle.set_config(value.throttle);
            drop(throttle);
            if self.in_force.borrow().drain != value.drain {
                log::info!(drain = value.drain; "new publishers are {}", if value.drain { "refused" } else { "taken" });
            }
            self.in_force.send_replace(InForce { limits: Arc::new(value.limits), drain: value.drain });
            let waiting: BTreeSet<_> =
                keys.into_iter().filter(|key| !AT_ONCE.contains(&key.as_str())).collect();
            log::info!("settings applied");
            if waiting != self.waiting && !waiting.is_empty() {
                let names: Vec<_> = waiting.iter().map(String::as_str).collect();
                log::warn!(keys:% = names.join(", "); "these settings count only after a restart");
            }
            self.waiting = waiting;
        }
        // Last: whoever reads that a file is in force may count on it.
        self.state.send_if_modified(|state| {
            let changed = state != settings.state();
            state.clone_from(settings.state());
            changed
        });
    }
}
