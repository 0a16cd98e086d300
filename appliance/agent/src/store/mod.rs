//! The agent's memory: one SQLite file, written by one thread, on disk before an answer is given.
//!
//! Write-ahead log with a sync per commit: neither SIGKILL nor a power cut takes back what was answered. All
//! that waits when the thread looks goes into one transaction. Caches are small: the box has better use
//! for its memory.

mod commands;
mod events;
mod sessions;
mod telemetry;
#[cfg(test)]
mod tests;
mod updates;
mod values;

use std::path::{Path, PathBuf};

use nodi_daemon::damage::set_aside;
use rusqlite::{Connection, Transaction};
use tokio::sync::{mpsc, oneshot};

pub(crate) use commands::{Phase, Record};
pub(crate) use events::EventBounds;
pub(crate) use telemetry::Bounds;
pub(crate) use values::names;

const SCHEMA_VERSION: i64 = 1;
const SCHEMA: &str = include_str!("schema.sql");
const UPDATES: &str = include_str!("updates.sql");
/// Jobs that may wait for the thread.
const QUEUE: usize = 64;
/// Most jobs in one transaction, so that nobody waits long for an answer.
const BATCH: usize = 32;
/// Pages of the log after which they go into the database: 256 KiB, instead of SQLite's 4 MiB.
const CHECKPOINT_PAGES: u32 = 64;
/// What the log's file may keep when it is empty, in bytes.
const LOG_BYTES: u32 = 1 << 20;
/// Page cache, in KiB. Everything here is read once, in order.
const CACHE_KIB: i32 = 128;

/// Why something could not be remembered.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("store: {0}")]
    Sqlite(#[from] rusqlite::Error),
    #[error("store {path}: {source}")]
    File { path: PathBuf, source: std::io::Error },
    #[error("store has schema {0}, this build reads {SCHEMA_VERSION}")]
    Schema(i64),
    #[error("store: {0} is not readable: {1}")]
    Content(&'static str, serde_json::Error),
    #[error("store: the writer is gone")]
    Gone,
}

type Job = Box<dyn FnOnce(&Transaction<'_>) -> Answer + Send>;
/// Runs after the commit, with whether it succeeded.
type Answer = Box<dyn FnOnce(bool) + Send>;

/// A clonable handle to the thread, which ends with the last handle.
#[derive(Clone)]
pub struct Store {
    jobs: mpsc::Sender<Job>,
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Store")
    }
}

impl Store {
    /// Opens or creates the database. One that is damaged is set aside and a new one started: an agent without
    /// memory is better than none.
    ///
    /// # Errors
    /// When there can be no database at `path`, or it was written by a newer build.
    pub fn open(path: &Path) -> Result<Self, Error> {
        Self::open_noting(path).map(|(store, _)| store)
    }

    /// Like [`Self::open`]; also whether everything was lost.
    pub(crate) fn open_noting(path: &Path) -> Result<(Self, bool), Error> {
        let mut lost = false;
        let connection = match connect(path) {
            Err(Error::Sqlite(error)) if is_damage(&error) => {
                set_aside("store", path, &error)
                    .map_err(|source| Error::File { path: path.to_owned(), source })?;
                lost = true;
                connect(path)?
            }
            other => other?,
        };
        let (jobs, queue) = mpsc::channel(QUEUE);
        std::thread::Builder::new()
            .name("store".to_owned())
            .stack_size(512 << 10)
            .spawn(move || write(connection, queue))
            .map_err(|source| Error::File { path: path.to_owned(), source })?;
        Ok((Self { jobs }, lost))
    }

    /// Runs `job` and waits until what it did is on disk.
    async fn ask<T: Send + 'static>(
        &self,
        job: impl FnOnce(&Transaction<'_>) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let (reply, answer) = oneshot::channel();
        let job: Job = Box::new(move |transaction| {
            let result = alone(transaction, job);
            Box::new(move |committed| {
                let result = if committed { result } else { result.and(Err(Error::Gone)) };
                // The asker may have been cancelled: then nobody wants to know.
                let _ = reply.send(result);
            })
        });
        self.jobs.send(job).await.map_err(|_| Error::Gone)?;
        answer.await.map_err(|_| Error::Gone)?
    }
}

fn connect(path: &Path) -> Result<Connection, Error> {
    let connection = Connection::open(path)?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "wal_autocheckpoint", CHECKPOINT_PAGES)?;
    connection.pragma_update(None, "journal_size_limit", LOG_BYTES)?;
    connection.pragma_update(None, "cache_size", -CACHE_KIB)?;
    connection.set_prepared_statement_cache_capacity(32);
    let version: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    match version {
        SCHEMA_VERSION => {}
        0 => {
            let schema = connection.unchecked_transaction()?;
            schema.execute_batch(SCHEMA)?;
            schema.pragma_update(None, "user_version", SCHEMA_VERSION)?;
            schema.commit()?;
        }
        newer => return Err(Error::Schema(newer)),
    }
    connection.execute_batch(UPDATES)?;
    Ok(connection)
}

/// One job of several in a transaction: when it fails, what it did is taken back and the others' work stays.
fn alone<T>(
    db: &Transaction<'_>,
    job: impl FnOnce(&Transaction<'_>) -> Result<T, Error>,
) -> Result<T, Error> {
    db.execute_batch("SAVEPOINT job")?;
    let result = job(db);
    db.execute_batch(if result.is_ok() { "RELEASE job" } else { "ROLLBACK TO job; RELEASE job" })?;
    result
}

fn is_damage(error: &rusqlite::Error) -> bool {
    matches!(
        error.sqlite_error_code(),
        Some(rusqlite::ErrorCode::DatabaseCorrupt | rusqlite::ErrorCode::NotADatabase)
    )
}

fn write(mut connection: Connection, mut queue: mpsc::Receiver<Job>) {
    while let Some(first) = queue.blocking_recv() {
        let mut answers = Vec::new();
        let committed = (|| {
            let transaction = connection.transaction()?;
            let mut next = Some(first);
            while let Some(job) = next {
                answers.push(job(&transaction));
                next = if answers.len() < BATCH { queue.try_recv().ok() } else { None };
            }
            transaction.commit()
        })();
        if let Err(error) = &committed {
            log::error!("store: {error}");
        }
        for answer in answers {
            answer(committed.is_ok());
        }
    }
}

/// Turns what came out of the database into its type.
fn parse<T: serde::de::DeserializeOwned>(what: &'static str, json: &str) -> Result<T, Error> {
    serde_json::from_str(json).map_err(|error| Error::Content(what, error))
}

fn render<T: serde::Serialize>(what: &'static str, value: &T) -> Result<String, Error> {
    serde_json::to_string(value).map_err(|error| Error::Content(what, error))
}
