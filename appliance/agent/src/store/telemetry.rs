//! Telemetry that waits for the broker.

use rusqlite::{OptionalExtension as _, params};

use super::values::{add, get, names};
use super::{Error, Store};

/// How much may wait. The oldest goes first.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    pub bytes: u64,
    pub count: u64,
    pub age_ms: u64,
}

/// One measurement that waits.
#[derive(Debug)]
pub(crate) struct Waiting {
    pub number: i64,
    pub payload: Vec<u8>,
}

impl Store {
    /// Keeps a measurement. `room` is whether the file system has any to spare: when not, the measurement is given up.
    ///
    /// # Errors
    /// When the database fails.
    pub(crate) async fn keep(
        &self,
        at_ms: u64,
        payload: Vec<u8>,
        bounds: Bounds,
        room: bool,
    ) -> Result<(), Error> {
        self.ask(move |db| {
            if !room {
                add(db, names::DROPPED_TELEMETRY, 1)?;
                return Ok(());
            }
            db.prepare_cached("INSERT INTO telemetry (at_ms, payload) VALUES (?, ?)")?
                .execute(params![at_ms.cast_signed(), payload])?;
            let mut gone = db
                .prepare_cached("DELETE FROM telemetry WHERE at_ms < ?")?
                .execute([at_ms.saturating_sub(bounds.age_ms).cast_signed()])?;
            loop {
                let (count, bytes) = waiting(db)?;
                if count <= bounds.count && bytes <= bounds.bytes {
                    break;
                }
                // A tenth more than needed, so that a full outbox does not do this for every measurement.
                let surplus = (count.saturating_sub(bounds.count)).max(1) + bounds.count / 10;
                let deleted = db
                    .prepare_cached(
                        "DELETE FROM telemetry WHERE number IN
                         (SELECT number FROM telemetry ORDER BY at_ms, number LIMIT ?)",
                    )?
                    .execute([surplus.cast_signed()])?;
                gone += deleted;
                if deleted == 0 {
                    break;
                }
            }
            add(db, names::DROPPED_TELEMETRY, gone as u64)?;
            Ok(())
        })
        .await
    }

    /// The newest measurement that waits. One that is too old is given up.
    ///
    /// # Errors
    /// When the database fails.
    pub(crate) async fn newest_telemetry(&self, now_ms: u64, age_ms: u64) -> Result<Option<Waiting>, Error> {
        self.ask(move |db| {
            let gone = db
                .prepare_cached("DELETE FROM telemetry WHERE at_ms < ?")?
                .execute([now_ms.saturating_sub(age_ms).cast_signed()])?;
            add(db, names::DROPPED_TELEMETRY, gone as u64)?;
            Ok(db
                .prepare_cached(
                    "SELECT number, payload FROM telemetry ORDER BY at_ms DESC, number DESC LIMIT 1",
                )?
                .query_row([], |row| Ok(Waiting { number: row.get(0)?, payload: row.get(1)? }))
                .optional()?)
        })
        .await
    }

    /// The broker has it.
    ///
    /// # Errors
    /// When the database fails.
    pub(crate) async fn telemetry_sent(&self, number: i64) -> Result<(), Error> {
        self.ask(move |db| {
            db.prepare_cached("DELETE FROM telemetry WHERE number = ?")?.execute([number])?;
            Ok(())
        })
        .await
    }

    /// How many wait, their bytes, and how much was ever given up.
    ///
    /// # Errors
    /// When the database fails.
    pub(crate) async fn outbox(&self) -> Result<(u64, u64, u64), Error> {
        self.ask(|db| {
            let (count, bytes) = waiting(db)?;
            let (events, event_bytes): (i64, i64) = db
                .prepare_cached("SELECT COUNT(*), COALESCE(SUM(LENGTH(what)), 0) FROM event")?
                .query_row([], |row| Ok((row.get(0)?, row.get(1)?)))?;
            let dropped = get::<u64>(db, names::DROPPED_TELEMETRY)?
                .unwrap_or(0)
                .saturating_add(get::<u64>(db, names::DROPPED_EVENTS)?.unwrap_or(0));
            Ok((count + events.cast_unsigned(), bytes + event_bytes.cast_unsigned(), dropped))
        })
        .await
    }
}

fn waiting(db: &rusqlite::Transaction<'_>) -> Result<(u64, u64), Error> {
    let (count, bytes): (i64, i64) = db
        .prepare_cached("SELECT COUNT(*), COALESCE(SUM(LENGTH(payload)), 0) FROM telemetry")?
        .query_row([], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok((count.cast_unsigned(), bytes.cast_unsigned()))
}
