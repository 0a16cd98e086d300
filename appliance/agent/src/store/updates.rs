//! The update that is under way, or the last one that was.

use nodi_protocol::fleet::event::What;
use rusqlite::{OptionalExtension as _, Transaction};

use super::events::insert;
use super::{Error, EventBounds, Store, parse, render};
use crate::update::Record;

impl Store {
    /// # Errors
    /// When the database fails.
    pub(crate) async fn update(&self) -> Result<Option<Record>, Error> {
        self.ask(|db| {
            let json: Option<String> = db
                .prepare_cached("SELECT record FROM software_update")?
                .query_row([], |row| row.get(0))
                .optional()?;
            match json.map(|json| parse("update", &json)).transpose() {
                Ok(record) => Ok(record),
                // The build in the other slot may have known more states. What runs tells where the update is.
                Err(error) => {
                    log::error!("{error}");
                    Ok(None)
                }
            }
        })
        .await
    }

    /// Remembers `record` in the place of the one before.
    ///
    /// # Errors
    /// When the database fails.
    pub(crate) async fn put_update(&self, record: Record) -> Result<(), Error> {
        self.ask(move |db| put(db, &record)).await
    }

    /// The same for a final state, and the event that says so: both or neither.
    ///
    /// # Errors
    /// When the database fails.
    pub(crate) async fn end_update(
        &self,
        record: Record,
        what: What,
        bounds: EventBounds,
    ) -> Result<u64, Error> {
        self.ask(move |db| {
            put(db, &record)?;
            insert(db, record.report.at_ms, &what, bounds)
        })
        .await
    }
}

fn put(db: &Transaction<'_>, record: &Record) -> Result<(), Error> {
    db.prepare_cached(
        "INSERT INTO software_update VALUES (1, ?) ON CONFLICT DO UPDATE SET record = excluded.record",
    )?
    .execute([render("update", record)?])?;
    Ok(())
}
