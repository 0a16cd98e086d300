//! Single values by name.

use rusqlite::{OptionalExtension as _, Transaction, params};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{Error, Store, parse, render};

/// Names of the values.
pub(crate) mod names {
    /// Id of the event journal.
    pub(crate) const JOURNAL: &str = "journal";
    /// Events up to this number are acknowledged.
    pub(crate) const ACKNOWLEDGED: &str = "acknowledged";
    /// Number of the newest connection to the broker.
    pub(crate) const CONNECTION: &str = "connection";
    /// Telemetry and events that were given up since the box was set up.
    pub(crate) const DROPPED_TELEMETRY: &str = "dropped_telemetry";
    pub(crate) const DROPPED_EVENTS: &str = "dropped_events";
    /// How many of them the fleet was told of.
    pub(crate) const TOLD_TELEMETRY: &str = "told_telemetry";
    pub(crate) const TOLD_EVENTS: &str = "told_events";
    /// Boot id that `booted` was last said of.
    pub(crate) const BOOTED: &str = "booted";
    /// Commands from before this time may have run: the memory of them was lost.
    pub(crate) const LOST_MS: &str = "lost_ms";
    /// What the fleet server said of the time, with the boot that it is good for.
    pub(crate) const TIME: &str = "time";
}

pub(super) fn get<T: DeserializeOwned>(db: &Transaction<'_>, name: &'static str) -> Result<Option<T>, Error> {
    let json: Option<String> = db
        .prepare_cached("SELECT value FROM value WHERE name = ?")?
        .query_row([name], |row| row.get(0))
        .optional()?;
    json.map(|json| parse(name, &json)).transpose()
}

pub(super) fn put<T: Serialize>(db: &Transaction<'_>, name: &'static str, value: &T) -> Result<(), Error> {
    db.prepare_cached("INSERT INTO value VALUES (?, ?) ON CONFLICT DO UPDATE SET value = excluded.value")?
        .execute(params![name, render(name, value)?])?;
    Ok(())
}

pub(super) fn add(db: &Transaction<'_>, name: &'static str, more: u64) -> Result<u64, Error> {
    let sum = get::<u64>(db, name)?.unwrap_or(0).saturating_add(more);
    if more > 0 {
        put(db, name, &sum)?;
    }
    Ok(sum)
}

impl Store {
    /// # Errors
    /// When the database fails.
    pub(crate) async fn value<T: DeserializeOwned + Send + 'static>(
        &self,
        name: &'static str,
    ) -> Result<Option<T>, Error> {
        self.ask(move |db| get(db, name)).await
    }

    /// # Errors
    /// When the database fails.
    pub(crate) async fn set_value<T: Serialize + Send + 'static>(
        &self,
        name: &'static str,
        value: T,
    ) -> Result<(), Error> {
        self.ask(move |db| put(db, name, &value)).await
    }

    /// The number of the next connection to the broker: greater than all before. A disk that was wiped counts on
    /// from the time, which is greater, too.
    ///
    /// # Errors
    /// When the database fails.
    pub(crate) async fn next_connection(&self, now_ms: u64) -> Result<u64, Error> {
        self.ask(move |db| {
            let last = get::<u64>(db, names::CONNECTION)?.unwrap_or(0);
            let next = last.saturating_add(1).max(now_ms / 1000);
            put(db, names::CONNECTION, &next)?;
            Ok(next)
        })
        .await
    }
}
