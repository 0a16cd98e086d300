//! Certificates in the database.

use std::time::Duration;

use nodi_protocol::BoxId;
use rusqlite::{Connection, OptionalExtension as _, params};

use crate::ca::{Authority, Certificate, PublicKey, Revoked};
use crate::clock::millis;
use crate::error::Error;

/// A request that comes so soon after another one gets the same certificate: the answer was lost on the way.
const SAME: Duration = Duration::from_secs(60);
/// Certificates of one box that are valid at the same time. A box that renews as it should has two.
const MOST: i64 = 50;

/// What a box that enrols gets: its newest certificate while two thirds of it are left, else a new one.
///
/// # Errors
/// When signing or the database fails.
pub(super) fn for_enrolment(
    connection: &Connection,
    authority: &Authority,
    key: &PublicKey,
    validity: Duration,
    now_ms: i64,
) -> Result<String, Error> {
    match newest(connection, &key.box_id())? {
        Some((pem, issued_ms, not_after_ms))
            if (not_after_ms - now_ms) * 3 > (not_after_ms - issued_ms) * 2 =>
        {
            Ok(pem)
        }
        _ => issue(connection, authority, key, validity, now_ms),
    }
}

/// The next certificate of a box.
///
/// # Errors
/// When signing or the database fails, or the box has asked too often.
pub(super) fn for_renewal(
    connection: &Connection,
    authority: &Authority,
    key: &PublicKey,
    validity: Duration,
    now_ms: i64,
) -> Result<String, Error> {
    match newest(connection, &key.box_id())? {
        Some((pem, issued_ms, _)) if now_ms - issued_ms < millis(SAME) => Ok(pem),
        _ => issue(connection, authority, key, validity, now_ms),
    }
}

fn newest(connection: &Connection, id: &BoxId) -> Result<Option<(String, i64, i64)>, Error> {
    Ok(connection
        .prepare_cached(
            "SELECT pem, issued_ms, not_after_ms FROM certificate WHERE box_id = ?1 AND revoked_ms IS NULL \
             ORDER BY issued_ms DESC LIMIT 1",
        )?
        .query_row([id.as_str()], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
        .optional()?)
}

fn issue(
    connection: &Connection,
    authority: &Authority,
    key: &PublicKey,
    validity: Duration,
    now_ms: i64,
) -> Result<String, Error> {
    let id = key.box_id();
    let valid: i64 = connection
        .prepare_cached("SELECT count(*) FROM certificate WHERE box_id = ?1 AND not_after_ms > ?2")?
        .query_row(params![id.as_str(), now_ms], |row| row.get(0))?;
    if valid >= MOST {
        return Err(Error::TooMany {
            reason: format!("{id} has {valid} certificates that are still good"),
            retry_after_s: 24 * 3_600,
        });
    }
    let Certificate { pem, serial, not_after_ms, .. } = authority.issue_box(key, validity, now_ms)?;
    connection
        .prepare_cached(
            "INSERT INTO certificate (serial, box_id, pem, issued_ms, not_after_ms) VALUES (?1, ?2, ?3, ?4, ?5)",
        )?
        .execute(params![serial, id.as_str(), pem, now_ms, not_after_ms])?;
    Ok(pem)
}

/// Takes back all certificates of a box that are still good.
///
/// # Errors
/// SQLite's.
pub(super) fn revoke(connection: &Connection, id: &BoxId, now_ms: i64) -> Result<(), Error> {
    connection.execute(
        "UPDATE certificate SET revoked_ms = ?2 WHERE box_id = ?1 AND revoked_ms IS NULL AND not_after_ms > ?2",
        params![id.as_str(), now_ms],
    )?;
    Ok(())
}

/// What belongs on the revocation list, and the number that the next list gets.
///
/// # Errors
/// SQLite's.
pub fn revoked(connection: &Connection) -> Result<Vec<Revoked>, Error> {
    let mut statement = connection.prepare_cached(
        "SELECT serial, revoked_ms FROM certificate WHERE revoked_ms IS NOT NULL ORDER BY serial",
    )?;
    let rows = statement.query_map([], |row| Ok(Revoked { serial: row.get(0)?, at_ms: row.get(1)? }))?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

/// Removes those that are over: nobody takes them any more, whether or not they are on a list.
///
/// # Errors
/// SQLite's.
pub(super) fn prune(connection: &Connection, now_ms: i64) -> Result<(), Error> {
    /// Clocks of those who check them differ.
    const GRACE_MS: i64 = 24 * 3_600 * 1_000;
    connection
        .prepare_cached("DELETE FROM certificate WHERE not_after_ms < ?1")?
        .execute([now_ms - GRACE_MS])?;
    Ok(())
}
