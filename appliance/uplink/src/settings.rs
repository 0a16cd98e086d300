//! Settings that are laid over the configuration (docs/interfaces.md section 9): the log level moves while the
//! process runs, everything else with a restart, after which the journal goes on.

use nodi_daemon::settings::{Change, Settings, State};
use nodi_daemon::shutdown::Shutdown;
use nodi_daemon::watch::PERIOD;
use tokio::sync::watch;

use crate::config::Config;

const AT_ONCE: &str = "log_level";

/// Looks at the file until the process stops.
pub(crate) async fn follow(mut settings: Settings, state: watch::Sender<State>, shutdown: Shutdown) {
    loop {
        tokio::select! {
            () = tokio::time::sleep(PERIOD) => {}
            () = shutdown.wait() => return,
        }
        if let Some(Change { value, keys }) = settings.look::<Config>() {
            nodi_daemon::logging::set_level(value.log_level);
            let waiting: Vec<_> = keys.iter().map(String::as_str).filter(|key| *key != AT_ONCE).collect();
            log::info!("settings applied");
            if !waiting.is_empty() {
                log::info!(keys:% = waiting.join(", "); "these settings count only after a restart");
            }
        }
        state.send_if_modified(|state| {
            let changed = state != settings.state();
            state.clone_from(settings.state());
            changed
        });
    }
}
