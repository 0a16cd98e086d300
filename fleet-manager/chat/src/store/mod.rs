//! What outlives the process: one SQLite file, written by one thread in batches, so that writing slows down nobody.
//!
//! What is submitted is on the disk (synced) [`Config::batch_ms`] later, with up to some thousand others in one transaction. A
//! process that is killed loses what was submitted since the last batch, and nothing that was written is damaged. While the
//! disk is full or broken what is submitted waits; when [`QUEUE`] of it wait, more is dropped, counted ([`Stats::lost`]) and
//! told in the log. [`Store::written`] does not wait for the batch: for what moderators decide.

mod apply;
mod config;
mod erase;
mod migrate;
mod read;
mod retention;
mod rows;
mod salts;
#[cfg(test)]
mod tests;
mod writer;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use nodi_protocol::ChannelId;
use nodi_protocol::chat::EventId;
use rusqlite::{Connection, OpenFlags};
use tokio::sync::oneshot;

pub use config::Config;
pub use read::{Export, Exported, Since};
pub use rows::{Loaded, Nonce, Op, Person, Restricted, Waiting};
pub use salts::Salts;
pub use writer::QUEUE;
use writer::{Job, Writer};

/// Longest wait for a lock that only another process (`sqlite3`, a backup) can hold.
const BUSY: Duration = Duration::from_secs(5);
/// Prepared statements kept per connection: more than there are different ones.
const STATEMENTS: usize = 64;
/// Cache of a connection, in KiB (negative: SQLite's way to say KiB).
const CACHE_KIB: i64 = -4_096;
/// Reading connections that are kept open. More are opened when more read at a time.
const READERS: usize = 4;

/// Why there is no store.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("database {}: {source}", path.display())]
    Migrate { path: PathBuf, source: migrate::Error },
    #[error("database {}: {source}", path.display())]
    Use { path: PathBuf, source: Error },
    #[error("database {}: cannot start a thread: {source}", path.display())]
    Thread { path: PathBuf, source: std::io::Error },
}

/// Why something could not be read or erased. It can be tried again.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{0}")]
    Sqlite(#[from] rusqlite::Error),
    #[error("{what} in the database is not what was written: {source}")]
    Json { what: &'static str, source: serde_json::Error },
    #[error("no randomness: {0}")]
    Random(String),
    #[error("what was submitted before is not written yet")]
    Behind,
    #[error("the store is closed")]
    Closed,
}

/// Where the time comes from.
#[derive(Debug, Clone)]
pub enum Clock {
    System,
    /// Milliseconds since the Unix epoch, moved by hand.
    Manual(Arc<AtomicU64>),
}

impl Clock {
    #[must_use]
    pub fn system() -> Self {
        Self::System
    }

    fn unix_ms(&self) -> u64 {
        match self {
            Self::System => crate::clock::unix_ms(),
            Self::Manual(at) => at.load(Ordering::Relaxed),
        }
    }
}

/// What the store did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Stats {
    /// Submitted and not yet on the disk.
    pub waiting: u64,
    pub written: u64,
    /// Dropped because too much waited.
    pub lost: u64,
    /// Refused by the database.
    pub failed: u64,
}

/// What was erased.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Erased {
    pub messages: u64,
}

/// A clonable handle. The thread ends with the last one, after it wrote what waited.
#[derive(Clone)]
pub struct Store {
    path: Arc<Path>,
    clock: Clock,
    salts: Arc<Salts>,
    writer: Writer,
    readers: Arc<Mutex<Vec<Connection>>>,
}

impl Store {
    /// Opens the database, or makes it, and starts its thread.
    ///
    /// # Errors
    /// It cannot be opened, is not ours, or was written by a newer build.
    pub fn open(config: &Config, path: &Path, clock: Clock) -> Result<Self, OpenError> {
        let using = |source: Error| OpenError::Use { path: path.to_owned(), source };
        let now_ms = clock.unix_ms();
        let mut connection = connect(path, true).map_err(|error| using(error.into()))?;
        migrate::up_to_date(&mut connection, now_ms)
            .map_err(|source| OpenError::Migrate { path: path.to_owned(), source })?;
        let salts = Arc::new(Salts::default());
        salts.turn(&connection, config, now_ms).map_err(using)?;
        let writer = Writer::start(connection, config.clone(), Arc::clone(&salts), clock.clone())
            .map_err(|source| OpenError::Thread { path: path.to_owned(), source })?;
        Ok(Self { path: path.into(), clock, salts, writer, readers: Arc::default() })
    }

    /// Takes something to write down. Never blocks.
    pub fn submit(&self, op: Op) {
        self.writer.submit(op);
    }

    pub fn submit_all(&self, ops: impl IntoIterator<Item = Op>) {
        ops.into_iter().for_each(|op| self.submit(op));
    }

    /// Everything that a room needs to open, with all that was submitted before.
    ///
    /// # Errors
    /// The database failed.
    pub async fn load(&self, channel: &ChannelId) -> Result<Loaded, Error> {
        let (channel, now_ms) = (channel.clone(), self.clock.unix_ms());
        self.read(move |connection| read::load(connection, &channel, now_ms)).await
    }

    /// What is still to be seen of what happened after an event, oldest first: at most the last `limit`.
    ///
    /// # Errors
    /// The database failed.
    pub async fn since(&self, channel: &ChannelId, after: EventId, limit: usize) -> Result<Since, Error> {
        let channel = channel.clone();
        self.read(move |connection| read::since(connection, &channel, after, limit)).await
    }

    /// A page of all that an account said, in the order in which it was written. `cursor`: [`Export::next`] of the page
    /// before.
    ///
    /// # Errors
    /// The database failed.
    pub async fn export(&self, account: &str, cursor: Option<i64>, limit: usize) -> Result<Export, Error> {
        let account = account.to_owned();
        self.read(move |connection| read::export(connection, &account, cursor, limit)).await
    }

    /// Deletes all that an account said, and what is known of it; not what moderators did to it.
    ///
    /// # Errors
    /// The database failed.
    pub async fn erase(&self, account: &str) -> Result<Erased, Error> {
        let (reply, answer) = oneshot::channel();
        self.writer.send(Job::Erase(account.to_owned(), reply))?;
        answer.await.map_err(|_| Error::Closed)?
    }

    /// With which addresses are hashed.
    #[must_use]
    pub fn salts(&self) -> Arc<Salts> {
        Arc::clone(&self.salts)
    }

    #[must_use]
    pub fn stats(&self) -> Stats {
        self.writer.stats()
    }

    /// Writes what waits now instead of with the next batch. False: it is not on the disk when `within` is over.
    pub async fn written(&self, within: Duration) -> bool {
        let (reply, answer) = oneshot::channel();
        self.writer.send(Job::Barrier(reply)).is_ok()
            && matches!(tokio::time::timeout(within, answer).await, Ok(Ok(Ok(()))))
    }

    /// Writes what waits and ends the thread. What is submitted after it is lost.
    pub async fn close(&self) {
        let (reply, answer) = oneshot::channel();
        if self.writer.send(Job::Close(reply)).is_ok() {
            // An error means that the thread has ended already.
            let _ = answer.await;
        }
    }

    /// Runs `job` on a snapshot that has everything that was submitted before.
    async fn read<T: Send + 'static>(
        &self,
        job: impl FnOnce(&Connection) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let (reply, answer) = oneshot::channel();
        self.writer.send(Job::Barrier(reply))?;
        answer.await.map_err(|_| Error::Closed)??;
        let (path, readers) = (Arc::clone(&self.path), Arc::clone(&self.readers));
        let task = tokio::task::spawn_blocking(move || {
            let idle = readers.lock().unwrap_or_else(PoisonError::into_inner).pop();
            let mut connection = match idle {
                Some(connection) => connection,
                None => {
                    let connection = connect(&path, false)?;
                    connection.pragma_update(None, "query_only", true)?;
                    connection
                }
            };
            let transaction = connection.transaction()?;
            let result = job(&transaction);
            drop(transaction);
            let mut idle = readers.lock().unwrap_or_else(PoisonError::into_inner);
            if idle.len() < READERS {
                idle.push(connection);
            }
            result
        });
        task.await.map_err(|_| Error::Closed)?
    }
}

/// One connection, set up as all of ours are.
fn connect(path: &Path, create: bool) -> rusqlite::Result<Connection> {
    let mut flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    if create {
        flags |= OpenFlags::SQLITE_OPEN_CREATE;
    }
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(BUSY)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    if create {
        // Before there are tables: what retention deletes is given back to the disk.
        connection.pragma_update(None, "auto_vacuum", "incremental")?;
    }
    connection.pragma_update(None, "journal_mode", "wal")?;
    connection.pragma_update(None, "synchronous", "full")?;
    connection.pragma_update(None, "foreign_keys", true)?;
    connection.pragma_update(None, "cache_size", CACHE_KIB)?;
    // What is erased is overwritten.
    connection.pragma_update(None, "secure_delete", true)?;
    // Text from the network can never be run: no SQL in the schema that somebody else wrote.
    connection.pragma_update(None, "trusted_schema", false)?;
    Ok(connection)
}

/// SQLite's integers are signed.
fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn unsigned(number: i64) -> u64 {
    u64::try_from(number).unwrap_or_default()
}
