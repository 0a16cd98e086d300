//! Whether the agent is connected to the broker: for the health gate as a file, for an update as a time.

use std::path::{Path, PathBuf};
use std::time::Duration;

use nodi_mqtt::Link;
use serde::Serialize;
use tokio::sync::watch;

use crate::clock::Clock;
use crate::files::replace;

/// Between two notes of a connection that is as it was.
const NOTE: Duration = Duration::from_secs(15);
/// Everybody on the box may read it.
const MODE: u32 = 0o644;

/// `link.json`, as docs/interfaces.md section 13 has it.
#[derive(Serialize)]
struct State {
    connected: bool,
    /// By the box's clock, in milliseconds since the Unix epoch.
    since_ms: u64,
    /// The same in milliseconds since boot, and when this was written.
    since_boot_ms: u64,
    at_boot_ms: u64,
}

impl State {
    fn now(connected: bool, clock: &Clock) -> Self {
        let now = clock.since_boot_ms();
        Self { connected, since_ms: clock.now_ms(), since_boot_ms: now, at_boot_ms: now }
    }
}

/// Writes `file` at each change and every [`NOTE`], so that who reads it knows that this process lives, and keeps `seen`: when there
/// was a connection last, in milliseconds since boot. For ever.
pub(crate) async fn note(link: Link, clock: Clock, file: PathBuf, seen: watch::Sender<Option<u64>>) {
    let mut connection = link.connection();
    let mut state = State::now(connection.borrow_and_update().is_some(), &clock);
    loop {
        state.at_boot_ms = clock.since_boot_ms();
        if state.connected {
            seen.send_replace(Some(state.at_boot_ms));
        }
        write(&file, &state);
        tokio::select! {
            changed = connection.changed() => if changed.is_err() {
                write(&file, &State::now(false, &clock));
                // The link is closed for good: the process stops.
                std::future::pending::<()>().await;
            },
            () = tokio::time::sleep(NOTE) => {}
        }
        let connected = connection.borrow_and_update().is_some();
        if connected != state.connected {
            state = State::now(connected, &clock);
        }
    }
}

fn write(file: &Path, state: &State) {
    let written = serde_json::to_vec(state)
        .map_err(std::io::Error::other)
        .and_then(|bytes| replace(file, &bytes, MODE));
    if let Err(error) = written {
        // Off a box there is no gate, and no place for it.
        log::debug!(error:%, path:% = file.display(); "whether there is a connection is not noted");
    }
}
