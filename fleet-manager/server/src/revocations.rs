//! The revocation document: made of the database, and told to whoever publishes it.
//!
//! Whatever changes a minimum version, a suspension or a box's revocation calls [`Revoked::refresh`] in the same
//! transaction; the link to the broker follows [`Revoked::watch`] and publishes what it sees.

use std::sync::Arc;

use nodi_protocol::ChannelId;
use nodi_protocol::revocation::Revocations;
use rusqlite::Connection;
use tokio::sync::watch;

use crate::boxes;
use crate::db::{Db, Tx};
use crate::error::Error;

/// A clonable handle to the newest document.
#[derive(Debug, Clone)]
pub struct Revoked {
    document: watch::Sender<Arc<Revocations>>,
}

impl Revoked {
    /// # Errors
    /// When the database fails.
    pub async fn load(db: &Db) -> Result<Self, Error> {
        let document = db.read(compose).await?;
        Ok(Self { document: watch::channel(Arc::new(document)).0 })
    }

    /// As of the last commit that changed it.
    #[must_use]
    pub fn now(&self) -> Arc<Revocations> {
        self.document.borrow().clone()
    }

    /// Changes with each commit that changed it.
    #[must_use]
    pub fn watch(&self) -> watch::Receiver<Arc<Revocations>> {
        self.document.subscribe()
    }

    /// Makes the document anew as of this transaction; it counts once that is committed.
    ///
    /// # Errors
    /// When the database fails.
    pub fn refresh(&self, tx: &Tx<'_>) -> Result<(), Error> {
        // See `Revocations::next_version`: above everything that was sent, also after a backup was restored.
        tx.prepare_cached(
            "UPDATE meta SET revocations_version =
             max(revocations_version + 1, CAST(unixepoch('subsec') * 1000 AS INTEGER))",
        )?
        .execute([])?;
        let document = Arc::new(compose(tx)?);
        let sender = self.document.clone();
        tx.then(move || {
            sender.send_if_modified(|current| {
                let changed = **current != *document;
                if changed {
                    *current = document;
                }
                changed
            });
        });
        Ok(())
    }
}

/// The document as the database has it.
///
/// # Errors
/// When the database fails.
pub fn compose(connection: &Connection) -> Result<Revocations, Error> {
    let version: i64 =
        connection.prepare_cached("SELECT revocations_version FROM meta")?.query_row([], |row| row.get(0))?;
    let mut document = Revocations { version: u64::try_from(version).unwrap_or(0), ..Revocations::default() };
    let mut statement = connection.prepare_cached(
        "SELECT id, min_version, suspended_ms IS NOT NULL FROM channel
         WHERE min_version > 1 OR suspended_ms IS NOT NULL",
    )?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let id: String = row.get(0)?;
        let id: ChannelId = id.parse().map_err(|error| Error::Internal(format!("database: {error}")))?;
        let min_version: u32 = row.get(1)?;
        if row.get(2)? {
            document.suspended.insert(id.clone());
        }
        // Version 1 is the first: all are accepted.
        if min_version > 1 {
            document.min_versions.insert(id, min_version);
        }
    }
    document.revoked_boxes = boxes::revoked(connection)?;
    Ok(document)
}
