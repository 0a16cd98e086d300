//! When each channel was live last: written when it ends, and once a minute before, so that a crash loses a minute.

use std::collections::HashSet;
use std::time::Duration;

use nodi_protocol::ChannelId;

use crate::db::Tx;
use crate::error::Error;
use crate::state::App;
use crate::streams;

const LOOK: Duration = Duration::from_secs(1);
/// Looks between two times at which what is live is written although nothing ended.
const ROUNDS: u32 = 60;

/// Runs until the process stops.
pub(super) async fn run(app: App) {
    let mut before: HashSet<ChannelId> = HashSet::new();
    let mut rounds = 0;
    loop {
        let live: HashSet<ChannelId> =
            streams::live_since(&app).into_iter().map(|(channel, _)| channel).collect();
        rounds += 1;
        let due = rounds >= ROUNDS && !live.is_empty();
        if due || !before.is_subset(&live) {
            rounds = 0;
            let channels: Vec<String> = before.union(&live).map(ToString::to_string).collect();
            let now_ms = app.now_ms();
            if let Err(error) = app.db.write(move |tx| write(tx, &channels, now_ms)).await {
                log::warn!("when channels were live: {error}");
            }
        }
        before = live;
        tokio::time::sleep(LOOK).await;
    }
}

fn write(tx: &Tx<'_>, channels: &[String], now_ms: i64) -> Result<(), Error> {
    tx.prepare_cached("UPDATE channel SET last_live_ms = ?2 WHERE id IN (SELECT value FROM json_each(?1))")?
        .execute((serde_json::to_string(channels)?, now_ms))?;
    Ok(())
}
