//! The event journal.

use nodi_protocol::fleet::event::{Event, What};
use rusqlite::{Transaction, params};

use super::values::{add, get, names, put};
use super::{Error, Store, parse, render};

/// How many events may wait for a fleet server that is away.
#[derive(Debug, Clone, Copy)]
pub(crate) struct EventBounds {
    pub count: u64,
}

/// Events to send, in order.
#[derive(Debug, Default)]
pub(crate) struct Backlog {
    pub events: Vec<Event>,
}

impl Store {
    /// Writes one down. The oldest go when there are too many, and are counted.
    ///
    /// # Errors
    /// When the database fails.
    pub(crate) async fn record(&self, at_ms: u64, what: What, bounds: EventBounds) -> Result<u64, Error> {
        self.ask(move |db| insert(db, at_ms, &what, bounds)).await
    }

    /// Says how much was given up since this was last said, if anything.
    ///
    /// # Errors
    /// When the database fails.
    pub(crate) async fn record_drops(&self, at_ms: u64, bounds: EventBounds) -> Result<bool, Error> {
        self.ask(move |db| {
            let telemetry = get::<u64>(db, names::DROPPED_TELEMETRY)?.unwrap_or(0);
            let events = get::<u64>(db, names::DROPPED_EVENTS)?.unwrap_or(0);
            let new_telemetry = telemetry.saturating_sub(get::<u64>(db, names::TOLD_TELEMETRY)?.unwrap_or(0));
            let new_events = events.saturating_sub(get::<u64>(db, names::TOLD_EVENTS)?.unwrap_or(0));
            if new_telemetry == 0 && new_events == 0 {
                return Ok(false);
            }
            put(db, names::TOLD_TELEMETRY, &telemetry)?;
            put(db, names::TOLD_EVENTS, &events)?;
            insert(db, at_ms, &What::Dropped { telemetry: new_telemetry, events: new_events }, bounds)?;
            Ok(true)
        })
        .await
    }

    /// Up to `limit` events after number `after`.
    ///
    /// # Errors
    /// When the database fails.
    pub(crate) async fn events_after(&self, after: u64, limit: u32) -> Result<Backlog, Error> {
        self.ask(move |db| {
            let journal: String = get(db, names::JOURNAL)?.unwrap_or_default();
            let mut statement =
                db.prepare_cached("SELECT seq, at_ms, what FROM event WHERE seq > ? ORDER BY seq LIMIT ?")?;
            let mut rows = statement.query(params![after.cast_signed(), limit])?;
            let mut events = Vec::new();
            while let Some(row) = rows.next()? {
                let what: String = row.get(2)?;
                events.push(Event {
                    seq: row.get::<_, i64>(0)?.cast_unsigned(),
                    journal: journal.clone(),
                    at_ms: row.get::<_, i64>(1)?.cast_unsigned(),
                    what: parse("event", &what)?,
                });
            }
            Ok(Backlog { events })
        })
        .await
    }

    /// The journal's id; `fresh` if there was none yet.
    ///
    /// # Errors
    /// When the database fails.
    pub(crate) async fn journal(&self, fresh: String) -> Result<String, Error> {
        self.ask(move |db| {
            if let Some(journal) = get::<String>(db, names::JOURNAL)? {
                return Ok(journal);
            }
            put(db, names::JOURNAL, &fresh)?;
            Ok(fresh)
        })
        .await
    }

    /// Number up to which all events are acknowledged.
    ///
    /// # Errors
    /// When the database fails.
    pub(crate) async fn acknowledged(&self) -> Result<u64, Error> {
        self.ask(|db| Ok(get(db, names::ACKNOWLEDGED)?.unwrap_or(0))).await
    }

    /// The fleet server has all events up to `through`, which therefore go.
    ///
    /// # Errors
    /// When the database fails.
    pub(crate) async fn acknowledge(&self, through: u64) -> Result<(), Error> {
        self.ask(move |db| {
            let known = get::<u64>(db, names::ACKNOWLEDGED)?.unwrap_or(0);
            if through > known {
                put(db, names::ACKNOWLEDGED, &through)?;
                db.prepare_cached("DELETE FROM event WHERE seq <= ?")?.execute([through.cast_signed()])?;
            }
            Ok(())
        })
        .await
    }
}

pub(super) fn insert(
    db: &Transaction<'_>,
    at_ms: u64,
    what: &What,
    bounds: EventBounds,
) -> Result<u64, Error> {
    db.prepare_cached("INSERT INTO event (at_ms, what) VALUES (?, ?)")?
        .execute(params![at_ms.cast_signed(), render("event", what)?])?;
    let seq = db.last_insert_rowid().cast_unsigned();
    // Numbers have no holes apart from those at the front, so that the newest number tells how many there are.
    let gone = db
        .prepare_cached("DELETE FROM event WHERE seq <= ?")?
        .execute([seq.saturating_sub(bounds.count).cast_signed()])?;
    add(db, names::DROPPED_EVENTS, gone as u64)?;
    Ok(seq)
}
