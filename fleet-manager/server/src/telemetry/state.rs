//! Telemetry of all boxes in the running server.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use prometheus_client::metrics::gauge::Gauge;

use super::gather::Gather;
use super::sample::Sample;
use super::store;
use crate::db::Db;
use crate::error::Error;
use crate::metrics::Metrics;
use crate::state::App;
use crate::tasks::Tasks;

/// How often chunks that are over are looked for.
const CLOSE: Duration = Duration::from_secs(2);
/// Chunks stored in one transaction, so that others do not wait for long.
const CLOSE_AT_ONCE: usize = 100;
/// How often old telemetry of boxes is removed.
const PRUNE: Duration = Duration::from_secs(600);
const PRUNE_AT_ONCE: usize = 50;

/// This area's part of [`App`].
pub struct State {
    gather: Mutex<Gather>,
    held: Gauge,
}

impl State {
    /// Takes up what an earlier process had not stored as chunks.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn load(db: &Db, metrics: &Metrics, now_ms: i64) -> Result<Self, Error> {
        let gather = db
            .read(move |connection| {
                let mut gather = Gather::default();
                let count = store::replay(connection, &mut gather, now_ms)?;
                log::debug!("telemetry: {count} samples of an earlier process");
                Ok(gather)
            })
            .await?;
        let held = Gauge::default();
        metrics.register(|registry| {
            let words = "Samples of telemetry that are not in a stored chunk yet";
            registry.register("nodi_fleet_telemetry_samples", words, held.clone());
        });
        Ok(Self { gather: Mutex::new(gather), held })
    }

    /// Takes one sample; `false`: it is not kept.
    pub fn add(&self, box_no: i64, sample: Sample, now_ms: i64) -> bool {
        self.gather().add(box_no, sample, now_ms)
    }

    /// What is not stored yet of one box.
    #[must_use]
    pub fn of(&self, box_no: i64) -> Vec<Sample> {
        self.gather().of(box_no)
    }

    pub fn forget(&self, box_no: i64) {
        self.gather().forget(box_no);
    }

    fn gather(&self) -> MutexGuard<'_, Gather> {
        self.gather.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Starts its background tasks.
pub fn start(app: &App, tasks: &mut Tasks) {
    tasks.spawn("telemetry chunks", close(app.clone()));
    tasks.spawn("telemetry pruning", prune(app.clone()));
}

async fn close(app: App) {
    loop {
        app.clock.sleep(CLOSE).await;
        let now_ms = app.now_ms();
        let mut closed = {
            let mut gather = app.telemetry.gather();
            let closed = gather.close(now_ms);
            app.telemetry.held.set(i64::try_from(gather.held()).unwrap_or(i64::MAX));
            closed
        };
        while !closed.is_empty() {
            let rest = closed.split_off(CLOSE_AT_ONCE.min(closed.len()));
            let some = std::mem::replace(&mut closed, rest);
            let boxes = app.boxes.registry.clone();
            let stored = app
                .db
                .write(move |tx| {
                    // A box may have been deleted meanwhile.
                    let there = crate::boxes::store::numbers(tx)?;
                    for chunk in some {
                        let Some(id) = there.get(&chunk.box_no) else { continue };
                        store::prune_box(tx, chunk.box_no, now_ms)?;
                        store::close(tx, chunk)?;
                        // What a restart shows until the box is heard again.
                        if let Some(record) = boxes.get(id) {
                            crate::boxes::store::save_seen(tx, &record)?;
                        }
                    }
                    Ok(())
                })
                .await;
            if let Err(error) = stored {
                // It is in the journal still, for the next process.
                log::error!("telemetry: {error}");
            }
        }
        if let Err(error) = app.db.write(move |tx| store::prune_journal(tx, now_ms)).await {
            log::error!("telemetry: {error}");
        }
    }
}

/// Boxes that are away have no chunk that closes.
async fn prune(app: App) {
    loop {
        app.clock.sleep(PRUNE).await;
        let now_ms = app.now_ms();
        let numbers: Vec<i64> = app.boxes.registry.records().iter().map(|record| record.no).collect();
        for some in numbers.chunks(PRUNE_AT_ONCE) {
            let some = some.to_vec();
            let pruned = app
                .db
                .write(move |tx| some.iter().try_for_each(|box_no| store::prune_box(tx, *box_no, now_ms)))
                .await;
            if let Err(error) = pruned {
                log::error!("telemetry: {error}");
            }
        }
    }
}
