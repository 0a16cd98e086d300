//! The schema's version, and the way from each older one to this one.

use rusqlite::{Connection, TransactionBehavior, params};

use crate::clock::Clock;
use crate::ids;

/// What this build reads and writes (`PRAGMA user_version`).
pub const VERSION: u32 = 1;
/// Marks the file as ours (`PRAGMA application_id`): "nodf".
pub const APPLICATION_ID: i64 = 0x6e6f_6466;
/// A new database.
pub const SCHEMA: &str = include_str!("schema.sql");
/// What leads from version n + 1 to version n + 2, in order.
const STEPS: [&str; VERSION as usize - 1] = [];

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{0}")]
    Sqlite(#[from] rusqlite::Error),
    #[error("it has schema {0}, this build reads {VERSION}: it was written by a newer one")]
    Newer(u32),
    #[error("it is not a database of nodi-fleet")]
    Foreign,
    #[error("{0}")]
    Random(String),
}

/// Makes the schema, or leads an older one to it, in one transaction.
///
/// # Errors
/// When the database is somebody else's, or a newer build's.
pub fn up_to_date(connection: &mut Connection) -> Result<(), Error> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let version = version(&transaction)?;
    let tables: i64 = transaction.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    match version {
        0 if tables > 0 => return Err(Error::Foreign),
        0 => {
            transaction.execute_batch(SCHEMA)?;
            let now = Clock::System.unix_ms();
            let epoch = ids::ulid(now).map_err(|error| Error::Random(error.to_string()))?;
            transaction.execute(
                "INSERT INTO meta (id, epoch, created_ms) VALUES (1, ?1, ?2)",
                params![epoch, now],
            )?;
            transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
        }
        newer if newer > VERSION => return Err(Error::Newer(newer)),
        older => {
            if application_id(&transaction)? != APPLICATION_ID {
                return Err(Error::Foreign);
            }
            for (index, step) in STEPS.iter().enumerate().skip(older as usize - 1) {
                log::info!("database: schema {} becomes {}", index + 1, index + 2);
                transaction.execute_batch(step)?;
            }
        }
    }
    transaction.pragma_update(None, "user_version", VERSION)?;
    transaction.commit()?;
    Ok(())
}

/// # Errors
/// SQLite's.
pub fn version(connection: &Connection) -> rusqlite::Result<u32> {
    connection.pragma_query_value(None, "user_version", |row| row.get(0))
}

/// # Errors
/// SQLite's.
pub fn application_id(connection: &Connection) -> rusqlite::Result<i64> {
    connection.pragma_query_value(None, "application_id", |row| row.get(0))
}
