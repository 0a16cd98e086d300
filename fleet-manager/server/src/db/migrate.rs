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
/// The way from each older version to the next, oldest first.
const STEPS: [Step; VERSION as usize - 1] = [];

/// From one version to the next.
struct Step {
    /// SQL that does it.
    change: &'static str,
    /// The schema that it starts from, as it was: what its test begins with.
    #[cfg(test)]
    from: &'static str,
}

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
    lead_to(connection, SCHEMA, &STEPS)
}

/// The same for any schema and the steps that lead to it.
fn lead_to(connection: &mut Connection, schema: &str, steps: &[Step]) -> Result<(), Error> {
    let newest = u32::try_from(steps.len() + 1).unwrap_or(u32::MAX);
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let version = version(&transaction)?;
    let tables: i64 = transaction.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    match version {
        0 if tables > 0 => return Err(Error::Foreign),
        0 => {
            transaction.execute_batch(schema)?;
            let now = Clock::System.unix_ms();
            let epoch = ids::ulid(now).map_err(|error| Error::Random(error.to_string()))?;
            transaction.execute(
                "INSERT INTO meta (id, epoch, created_ms) VALUES (1, ?1, ?2)",
                params![epoch, now],
            )?;
            transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
        }
        newer if newer > newest => return Err(Error::Newer(newer)),
        older => {
            if application_id(&transaction)? != APPLICATION_ID {
                return Err(Error::Foreign);
            }
            for (index, step) in steps.iter().enumerate().skip(older as usize - 1) {
                log::info!("database: schema {} becomes {}", index + 1, index + 2);
                transaction.execute_batch(step.change)?;
            }
        }
    }
    transaction.pragma_update(None, "user_version", newest)?;
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

#[cfg(test)]
mod tests {
    use super::*;

    const META: &str = "CREATE TABLE meta (id INTEGER PRIMARY KEY, epoch TEXT NOT NULL, created_ms INTEGER NOT NULL) STRICT;";
    const ONE: &str = "CREATE TABLE t (a TEXT NOT NULL) STRICT;";
    const TWO: &str = "CREATE TABLE t (a TEXT NOT NULL, b INTEGER) STRICT;";
    const THREE: &str = "CREATE TABLE t (a TEXT NOT NULL, b INTEGER) STRICT; CREATE INDEX t_b ON t (b);";
    const TO_THREE: [Step; 2] = [
        Step { from: ONE, change: "ALTER TABLE t ADD COLUMN b INTEGER" },
        Step { from: TWO, change: "CREATE INDEX t_b ON t (b)" },
    ];

    /// What a schema consists of, however its text is spaced.
    fn parts(connection: &Connection) -> Vec<(String, String, Vec<String>)> {
        let mut statement = connection
            .prepare("SELECT type, name, coalesce(sql, '') FROM sqlite_schema ORDER BY type, name")
            .unwrap();
        let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?))).unwrap();
        let mut parts = Vec::new();
        for row in rows {
            let (kind, name, sql): (String, String, String) = row.unwrap();
            let columns = if kind == "table" {
                let mut info =
                    connection.prepare(&format!("SELECT * FROM pragma_table_xinfo('{name}')")).unwrap();
                let columns = info
                    .query_map([], |row| {
                        let facts: Vec<String> =
                            (1..7).map(|at| format!("{:?}", row.get_ref(at).unwrap())).collect();
                        Ok(facts.join(" "))
                    })
                    .unwrap();
                columns.map(Result::unwrap).collect()
            } else {
                vec![sql.split_whitespace().collect::<Vec<_>>().join(" ")]
            };
            parts.push((kind, name, columns));
        }
        parts
    }

    fn fresh(schema: &str, steps: &[Step]) -> Connection {
        let mut connection = Connection::open_in_memory().unwrap();
        lead_to(&mut connection, schema, steps).unwrap();
        connection
    }

    /// An old database, brought up to date, is what a new one is.
    fn check(schema: &str, steps: &[Step], with_meta: bool) {
        let meta = if with_meta { META } else { "" };
        let new = fresh(&format!("{meta}{schema}"), steps);
        for (index, step) in steps.iter().enumerate() {
            let mut old = fresh(&format!("{meta}{}", step.from), &steps[..index]);
            lead_to(&mut old, schema, steps).unwrap();
            assert_eq!(parts(&old), parts(&new), "from version {}", index + 1);
            assert_eq!(version(&old).unwrap(), version(&new).unwrap());
        }
    }

    #[test]
    fn every_older_schema_becomes_this_one() {
        check(SCHEMA, &STEPS, false);
        let new = fresh(SCHEMA, &STEPS);
        assert_eq!(version(&new).unwrap(), VERSION);
        let loose: Vec<String> = new
            .prepare("SELECT name FROM pragma_table_list WHERE schema = 'main' AND strict = 0 AND name NOT LIKE 'sqlite_%'")
            .unwrap()
            .query_map([], |row| row.get(0))
            .unwrap()
            .map(Result::unwrap)
            .collect();
        assert!(loose.is_empty(), "tables that are not STRICT: {loose:?}");
    }

    #[test]
    fn steps_are_taken_in_order_from_wherever_a_database_is() {
        check(THREE, &TO_THREE, true);
    }

    #[test]
    fn a_step_that_fails_leaves_everything_as_it_was() {
        let meta = format!("{META}{ONE}");
        let mut old = fresh(&meta, &[]);
        old.execute("INSERT INTO t (a) VALUES ('kept')", []).unwrap();
        let before = parts(&old);
        let bad = [
            Step { from: ONE, change: "ALTER TABLE t ADD COLUMN b INTEGER" },
            Step { from: TWO, change: "CREATE INDEX nonsense ON nothing (b)" },
        ];
        assert!(lead_to(&mut old, THREE, &bad).is_err());
        assert_eq!(parts(&old), before);
        assert_eq!(version(&old).unwrap(), 1);
    }
}
