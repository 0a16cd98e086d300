//! What boxes said that has to be in the database: many messages, one transaction.

use std::collections::{HashSet, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use nodi_protocol::BoxId;
use nodi_protocol::fleet::command::Status;
use nodi_protocol::fleet::desired::Reported;
use nodi_protocol::fleet::event::Event;
use nodi_protocol::fleet::update::Report;
use rusqlite::params;

use super::events;
use crate::boxes::{self, store};
use crate::commands;
use crate::db::Tx;
use crate::error::Error;
use crate::state::App;
use crate::telemetry::{self, Sample};
use crate::updates;

/// What may wait for a database that does not take anything, such as on a full disk. The oldest are given up first:
/// events come again from the box, states with the next connection.
const MAX_WAITING: usize = 20_000;

/// One message.
#[derive(Clone)]
pub(super) enum Item {
    Reported(Reported),
    Status(Status),
    Update(Report),
    Event(Event),
}

/// Boxes of which the last sighting has to be written.
#[derive(Default)]
pub(super) struct Seen(Mutex<HashSet<BoxId>>);

impl Seen {
    pub(super) fn mark(&self, id: BoxId) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(id);
    }

    fn take(&self) -> HashSet<BoxId> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[derive(Default)]
pub(super) struct Batch {
    items: VecDeque<(BoxId, Item)>,
    samples: Vec<(i64, Sample)>,
}

impl Batch {
    pub(super) fn push(&mut self, id: BoxId, item: Item) {
        if self.items.len() >= MAX_WAITING {
            self.items.pop_front();
        }
        self.items.push_back((id, item));
    }

    pub(super) fn sample(&mut self, box_no: i64, sample: Sample) {
        // Without its journal a sample is only lost if this process is killed now.
        if self.samples.len() < MAX_WAITING {
            self.samples.push((box_no, sample));
        }
    }

    pub(super) fn len(&self) -> usize {
        self.items.len() + self.samples.len()
    }

    /// Writes everything. What cannot be written now is tried again with the next flush.
    pub(super) async fn flush(&mut self, app: &App) {
        let seen = app.link.seen.take();
        if self.len() == 0 && seen.is_empty() {
            return;
        }
        let now_ms = app.now_ms();
        let items: Vec<_> = self.items.drain(..).collect();
        let samples = std::mem::take(&mut self.samples);
        let shared = app.clone();
        let again = items.clone();
        let written = app
            .db
            .write(move |tx| {
                telemetry::append_journal(tx, &samples, now_ms)?;
                for id in &seen {
                    if let Some(record) = shared.boxes.registry.get(id) {
                        store::save_seen(tx, &record)?;
                    }
                }
                for (id, item) in items {
                    // A box may have been deleted since.
                    if shared.boxes.registry.contains(&id) {
                        apply(&shared, tx, &id, item, now_ms)?;
                    }
                }
                Ok(())
            })
            .await;
        if let Err(error) = written {
            log::error!("what boxes said is not stored: {error}");
            if !matches!(error, Error::Internal(_)) {
                for (id, item) in again.into_iter().rev() {
                    self.items.push_front((id, item));
                }
                self.items.truncate(MAX_WAITING);
            }
        }
    }
}

fn apply(app: &App, tx: &Tx<'_>, id: &BoxId, item: Item, now_ms: i64) -> Result<(), Error> {
    match item {
        Item::Status(status) => commands::said(app, tx, id, &status, now_ms),
        Item::Update(report) => updates::said(app, tx, id, &report, now_ms),
        Item::Event(event) => events::store(app, tx, id, event, now_ms),
        Item::Reported(reported) => said_applied(app, tx, id, reported, now_ms),
    }
}

fn said_applied(app: &App, tx: &Tx<'_>, id: &BoxId, reported: Reported, now_ms: i64) -> Result<(), Error> {
    tx.prepare_cached("UPDATE box SET reported = ?2 WHERE id = ?1")?
        .execute(params![id.as_str(), serde_json::to_string(&reported)?])?;
    if reported.epoch == app.boxes.registry.epoch() {
        let seen = reported.rejected.as_ref().map_or(0, |rejected| rejected.version).max(reported.applied);
        boxes::desired::catch_up(app, tx, id, seen, now_ms)?;
        if let Some(rejected) = &reported.rejected {
            log::warn!(box_id:% = id, version = rejected.version; "settings rejected: {}", rejected.reason);
        }
    }
    let (app, id) = (app.clone(), id.clone());
    tx.then(move || {
        app.boxes.registry.update(&id, now_ms, |record| record.reported = Some(Arc::new(reported)));
    });
    Ok(())
}
