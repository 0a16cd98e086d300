//! Boxes that asked without a claim code and wait for a person.

use nodi_protocol::BoxId;
use nodi_protocol::fleet::presence::Hardware;
use rusqlite::{Connection, OptionalExtension as _, Row, params};
use serde::Serialize;

use super::codes;
use crate::ca::PublicKey;
use crate::error::Error;

/// A box that has not asked for so long is gone, in milliseconds: it asks every few seconds.
const GONE_MS: i64 = 3_600 * 1_000;
/// One that was turned away is remembered for so long after it last asked.
const REJECTED_MS: i64 = 30 * 24 * 3_600 * 1_000;

#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub(super) struct WaitingBox {
    pub box_id: BoxId,
    /// What the box shows.
    pub code: String,
    pub hardware: Hardware,
    /// Of its software.
    pub version: String,
    /// Where it asked from.
    pub address: String,
    pub first_seen_ms: i64,
    pub last_seen_ms: i64,
    /// Whether a person turned it away. Approving it still lets it in.
    pub rejected: bool,
}

pub(super) const COLUMNS: &str =
    "box_id, code, hardware, version, address, first_seen_ms, last_seen_ms, rejected_ms IS NOT NULL";

/// A row of [`COLUMNS`].
///
/// # Errors
/// SQLite's, or what is not readable.
pub(super) fn read(row: &Row<'_>) -> Result<WaitingBox, Error> {
    let id: String = row.get(0)?;
    let hardware: String = row.get(2)?;
    Ok(WaitingBox {
        box_id: id.parse().map_err(|error| Error::Internal(format!("database: {error}")))?,
        code: row.get(1)?,
        hardware: serde_json::from_str(&hardware)?,
        version: row.get(3)?,
        address: row.get(4)?,
        first_seen_ms: row.get(5)?,
        last_seen_ms: row.get(6)?,
        rejected: row.get(7)?,
    })
}

/// How it stands with a box that asks.
pub(super) enum Asked {
    Waits {
        code: String,
        new: bool,
    },
    Rejected,
    /// Too many wait already.
    Full,
}

/// A box asks.
///
/// # Errors
/// SQLite's.
pub(super) fn ask(
    connection: &Connection,
    key: &PublicKey,
    hardware: &Hardware,
    version: &str,
    address: &str,
    most: u32,
    now_ms: i64,
) -> Result<Asked, Error> {
    let id = key.box_id();
    let hardware = serde_json::to_string(hardware)?;
    let there: Option<(String, bool)> = connection
        .prepare_cached(
            "UPDATE waiting_box SET hardware = ?2, version = ?3, address = ?4, last_seen_ms = ?5 WHERE box_id = ?1 \
             RETURNING code, rejected_ms IS NOT NULL",
        )?
        .query_row(params![id.as_str(), hardware, version, address, now_ms], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    match there {
        Some((_, true)) => return Ok(Asked::Rejected),
        Some((code, false)) => return Ok(Asked::Waits { code, new: false }),
        None => {}
    }
    let waiting: u32 = connection
        .prepare_cached("SELECT count(*) FROM waiting_box WHERE rejected_ms IS NULL")?
        .query_row([], |row| row.get(0))?;
    if waiting >= most {
        return Ok(Asked::Full);
    }
    let code = codes::waiting()?;
    connection
        .prepare_cached(
            "INSERT INTO waiting_box (box_id, public_key, code, hardware, version, address, first_seen_ms, \
             last_seen_ms) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?7)",
        )?
        .execute(params![id.as_str(), key.as_bytes(), code, hardware, version, address, now_ms])?;
    Ok(Asked::Waits { code, new: true })
}

/// A waiting box by its id.
///
/// # Errors
/// SQLite's.
pub(super) fn find(connection: &Connection, id: &BoxId) -> Result<Option<(WaitingBox, PublicKey)>, Error> {
    one(connection, "box_id = ?1", id.as_str())
}

/// A waiting box by the code that it shows.
///
/// # Errors
/// SQLite's.
pub(super) fn find_code(
    connection: &Connection,
    typed: &str,
) -> Result<Option<(WaitingBox, PublicKey)>, Error> {
    one(connection, "replace(code, '-', '') = ?1", &codes::normalised(typed))
}

fn one(
    connection: &Connection,
    condition: &str,
    value: &str,
) -> Result<Option<(WaitingBox, PublicKey)>, Error> {
    let mut statement = connection
        .prepare_cached(&format!("SELECT {COLUMNS}, public_key FROM waiting_box WHERE {condition}"))?;
    let mut rows = statement.query([value])?;
    let Some(row) = rows.next()? else { return Ok(None) };
    let key: Vec<u8> = row.get("public_key")?;
    let key = PublicKey::from_bytes(&key)
        .ok_or_else(|| Error::Internal("database: a waiting box without a usable key".to_owned()))?;
    Ok(Some((read(row)?, key)))
}

/// A person turns it away.
///
/// # Errors
/// SQLite's.
pub(super) fn reject(connection: &Connection, id: &BoxId, now_ms: i64) -> Result<(), Error> {
    connection
        .execute("UPDATE waiting_box SET rejected_ms = ?2 WHERE box_id = ?1", params![id.as_str(), now_ms])?;
    Ok(())
}

/// # Errors
/// SQLite's.
pub(super) fn remove(connection: &Connection, id: &BoxId) -> Result<(), Error> {
    connection.prepare_cached("DELETE FROM waiting_box WHERE box_id = ?1")?.execute([id.as_str()])?;
    Ok(())
}

/// # Errors
/// SQLite's.
pub(super) fn prune(connection: &Connection, now_ms: i64) -> Result<(), Error> {
    connection
        .prepare_cached("DELETE FROM waiting_box WHERE last_seen_ms < iif(rejected_ms IS NULL, ?1, ?2)")?
        .execute([now_ms - GONE_MS, now_ms - REJECTED_MS])?;
    Ok(())
}
