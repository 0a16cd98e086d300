//! SQLite: one thread writes, a few connections read.
//!
//! What waits for the writer when it looks goes into one transaction, each job in a savepoint of its own: a job that
//! fails takes back what it did and nothing else. WAL with a sync per commit: what was answered is on the disk, also
//! after a power cut. What others have to hear of a change goes into [`Tx::then`], which runs after the commit and in
//! the order of the commits, whether or not the asker is still there.

pub mod migrate;
mod readers;
mod writer;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};

use crate::error::Error;
use readers::Readers;
pub use writer::Tx;
use writer::Writer;

/// Longest wait for a lock that only another process (`nodi-fleet check`, `sqlite3`) can hold.
const BUSY: Duration = Duration::from_secs(5);
/// Prepared statements kept per connection: more than there are different ones.
const STATEMENTS: usize = 256;
/// Pages of a connection's cache, in KiB (negative: SQLite's way to say KiB).
const CACHE_KIB: i64 = -8_192;
/// Reads at a time: they are short, and more threads than that only wait for the cores.
const READERS: usize = 4;

/// Why there is no database to work with.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("database {}: {source}", path.display())]
    Sqlite { path: PathBuf, source: rusqlite::Error },
    #[error("database {}: {source}", path.display())]
    Migrate { path: PathBuf, source: migrate::Error },
    #[error("database {}: there is none; `nodi-fleet init` makes one", .0.display())]
    Missing(PathBuf),
    #[error("database {}: cannot start a thread: {source}", path.display())]
    Thread { path: PathBuf, source: std::io::Error },
}

/// A clonable handle.
#[derive(Clone)]
pub struct Db {
    path: Arc<Path>,
    writer: Writer,
    readers: Arc<Readers>,
}

impl Db {
    /// Opens the database and brings its schema up to date. With `create` there may be none yet.
    ///
    /// # Errors
    /// When it cannot be opened, or was written by a newer build.
    pub fn open(path: &Path, create: bool) -> Result<Self, OpenError> {
        if !create && !path.exists() {
            return Err(OpenError::Missing(path.to_owned()));
        }
        let sqlite = |source| OpenError::Sqlite { path: path.to_owned(), source };
        let mut connection = connect(path, create).map_err(sqlite)?;
        migrate::up_to_date(&mut connection)
            .map_err(|source| OpenError::Migrate { path: path.to_owned(), source })?;
        let readers = (0..READERS)
            .map(|_| {
                let connection = connect(path, false)?;
                connection.pragma_update(None, "query_only", true)?;
                Ok(connection)
            })
            .collect::<rusqlite::Result<Vec<_>>>()
            .map_err(sqlite)?;
        let writer = Writer::start(connection)
            .map_err(|source| OpenError::Thread { path: path.to_owned(), source })?;
        Ok(Self { path: path.into(), writer, readers: Arc::new(Readers::new(readers)) })
    }

    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Runs `job` in a transaction and waits until what it did is on the disk. A job once taken runs to its end even
    /// if nobody waits for it any more.
    ///
    /// # Errors
    /// What the job returned (then nothing of it stays), or that the database failed.
    pub async fn write<T: Send + 'static>(
        &self,
        job: impl FnOnce(&Tx<'_>) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        self.writer.run(job).await
    }

    /// Runs `job` on a snapshot of the database.
    ///
    /// # Errors
    /// What the job returned, or that the database failed.
    pub async fn read<T: Send + 'static>(
        &self,
        job: impl FnOnce(&Connection) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        self.readers.run(job).await
    }

    /// Jobs that wait for the writer.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.writer.waiting()
    }
}

/// One connection, set up as all of ours are.
///
/// # Errors
/// SQLite's.
pub fn connect(path: &Path, create: bool) -> rusqlite::Result<Connection> {
    let mut flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    if create {
        flags |= OpenFlags::SQLITE_OPEN_CREATE;
    }
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(BUSY)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    connection.pragma_update(None, "journal_mode", "wal")?;
    connection.pragma_update(None, "synchronous", "full")?;
    connection.pragma_update(None, "foreign_keys", true)?;
    connection.pragma_update(None, "cache_size", CACHE_KIB)?;
    // Text from the network can never be run: no SQL in the schema that somebody else wrote.
    connection.pragma_update(None, "trusted_schema", false)?;
    Ok(connection)
}
