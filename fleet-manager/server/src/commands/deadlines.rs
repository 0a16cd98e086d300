//! Looks for commands that nobody answered.

use std::time::Duration;

use super::store;
use crate::state::App;

/// Deadlines have a minute of grace: a second more is nothing.
const INTERVAL: Duration = Duration::from_secs(2);

pub(super) async fn watch(app: App) {
    loop {
        let shared = app.clone();
        let now_ms = app.now_ms();
        if let Err(error) = app.db.write(move |tx| store::give_up(&shared, tx, now_ms)).await {
            log::warn!("commands: {error}");
        }
        app.clock.sleep(INTERVAL).await;
    }
}
