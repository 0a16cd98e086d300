//! The schema's version, and the way from each older one to this one.

use rusqlite::{Connection, TransactionBehavior, params};

/// Marks the file as ours (`PRAGMA application_id`): "nodc".
const APPLICATION_ID: i64 = 0x6e6f_6463;
/// A new database.
const SCHEMA: &str = include_str!("schema.sql");
/// From each older version to the next, oldest first.
const STEPS: [&str; 0] = [];

/// Why a file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{0}")]
    Sqlite(#[from] rusqlite::Error),
    #[error("it has schema {0}, which this build does not know: a newer one wrote it")]
    Newer(u32),
    #[error("it is not a database of nodi-chat")]
    Foreign,
}

/// Makes the schema, or leads an older one to it, in one transaction.
pub(super) fn up_to_date(connection: &mut Connection, now_ms: u64) -> Result<(), Error> {
    let newest = u32::try_from(STEPS.len() + 1).unwrap_or(u32::MAX);
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let version: u32 = transaction.pragma_query_value(None, "user_version", |row| row.get(0))?;
    let id: i64 = transaction.pragma_query_value(None, "application_id", |row| row.get(0))?;
    let tables: i64 = transaction.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    match version {
        0 if tables > 0 => return Err(Error::Foreign),
        0 => {
            transaction.execute_batch(SCHEMA)?;
            transaction.execute(
                "INSERT INTO meta (id, created_ms) VALUES (1, ?1)",
                params![super::signed(now_ms)],
            )?;
            transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
        }
        _ if id != APPLICATION_ID => return Err(Error::Foreign),
        newer if newer > newest => return Err(Error::Newer(newer)),
        older => {
            for step in STEPS.iter().skip(usize::try_from(older).unwrap_or_default() - 1) {
                transaction.execute_batch(step)?;
            }
        }
    }
    transaction.pragma_update(None, "user_version", newest)?;
    transaction.commit()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_database_is_ours_and_strict() {
        let mut new = Connection::open_in_memory().unwrap();
        up_to_date(&mut new, 1).unwrap();
        up_to_date(&mut new, 2).unwrap();
        let loose: i64 = new
            .query_row(
                "SELECT count(*) FROM pragma_table_list WHERE schema = 'main' AND strict = 0 AND name NOT LIKE 'sqlite_%'",
                [],
                |row| row.get(0),
            )
            .unwrap();
        assert_eq!(loose, 0);
    }

    #[test]
    fn others_are_left_alone() {
        let mut foreign = Connection::open_in_memory().unwrap();
        foreign.execute_batch("CREATE TABLE t (a)").unwrap();
        assert!(matches!(up_to_date(&mut foreign, 1), Err(Error::Foreign)));
        let mut newer = Connection::open_in_memory().unwrap();
        up_to_date(&mut newer, 1).unwrap();
        newer.pragma_update(None, "user_version", 99).unwrap();
        assert!(matches!(up_to_date(&mut newer, 1), Err(Error::Newer(99))));
    }
}
