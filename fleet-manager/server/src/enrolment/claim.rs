//! Claim codes: whoever has one may bring so many boxes in.

use rusqlite::{Connection, OptionalExtension as _, params};
use serde::{Deserialize, Serialize};

use super::codes;
use crate::error::Error;
use crate::ids;

/// A code that is over is shown for so long, in milliseconds.
const SHOWN_MS: i64 = 7 * 24 * 3_600 * 1_000;
const DEFAULT_EXPIRES_S: u64 = 7 * 24 * 3_600;
const MAX_EXPIRES_S: u64 = 366 * 24 * 3_600;
/// One image for a fleet.
const MAX_USES: u32 = 100_000;
const MAX_NOTE: usize = 200;

#[derive(Debug, Clone, Default, Deserialize, Serialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewClaimCode {
    /// What it is for.
    #[serde(default)]
    #[schema(max_length = 200)]
    pub note: Option<String>,
    /// Seconds for which it is good; by default a week.
    #[serde(default)]
    #[schema(minimum = 60, maximum = 31_622_400)]
    pub expires_s: Option<u64>,
    /// How many boxes may use it; by default one.
    #[serde(default)]
    #[schema(minimum = 1, maximum = 100_000)]
    pub uses: Option<u32>,
}

#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub(super) struct ClaimCode {
    pub id: String,
    /// Only in the answer to its making; it cannot be shown again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    pub note: String,
    pub created_ms: i64,
    pub created_by: String,
    pub expires_ms: i64,
    pub uses: u32,
    pub used: u32,
}

/// A new one, with its code.
///
/// # Errors
/// What of the request is not possible.
pub(super) fn create(
    connection: &Connection,
    new: &NewClaimCode,
    by: &str,
    most: u32,
    now_ms: i64,
) -> Result<ClaimCode, Error> {
    let note = new.note.clone().unwrap_or_default().trim().to_owned();
    if note.chars().count() > MAX_NOTE {
        return Err(Error::invalid("note", format!("is longer than {MAX_NOTE} characters")));
    }
    let expires_s = new.expires_s.unwrap_or(DEFAULT_EXPIRES_S);
    if !(60..=MAX_EXPIRES_S).contains(&expires_s) {
        return Err(Error::invalid("expires_s", format!("{expires_s} is not 60 to {MAX_EXPIRES_S}")));
    }
    let uses = new.uses.unwrap_or(1);
    if !(1..=MAX_USES).contains(&uses) {
        return Err(Error::invalid("uses", format!("{uses} is not 1 to {MAX_USES}")));
    }
    let there: u32 = connection.query_row("SELECT count(*) FROM claim_code", [], |row| row.get(0))?;
    if there >= most {
        return Err(Error::conflict(format!("there are {there} claim codes: delete some first")));
    }
    let code = codes::claim()?;
    let claim = ClaimCode {
        id: ids::ulid(now_ms)?,
        note,
        created_ms: now_ms,
        created_by: by.to_owned(),
        expires_ms: now_ms + i64::try_from(expires_s).unwrap_or(0) * 1_000,
        uses,
        used: 0,
        code: None,
    };
    connection.execute(
        "INSERT INTO claim_code (id, digest, note, created_ms, created_by, expires_ms, uses) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        params![
            claim.id,
            codes::digest(&code),
            claim.note,
            claim.created_ms,
            claim.created_by,
            claim.expires_ms,
            claim.uses
        ],
    )?;
    Ok(ClaimCode { code: Some(code), ..claim })
}

/// Uses a code once. `Ok(None)`: it is none, or used up, or over.
///
/// # Errors
/// SQLite's.
pub(super) fn consume(connection: &Connection, typed: &str, now_ms: i64) -> Result<Option<String>, Error> {
    Ok(connection
        .prepare_cached(
            "UPDATE claim_code SET used = used + 1 WHERE digest = ?1 AND used < uses AND expires_ms > ?2 RETURNING id",
        )?
        .query_row(params![codes::digest(typed), now_ms], |row| row.get(0))
        .optional()?)
}

pub(super) const COLUMNS: &str = "id, note, created_ms, created_by, expires_ms, uses, used";

/// A row of [`COLUMNS`].
///
/// # Errors
/// SQLite's.
pub(super) fn read(row: &rusqlite::Row<'_>) -> rusqlite::Result<ClaimCode> {
    Ok(ClaimCode {
        id: row.get(0)?,
        code: None,
        note: row.get(1)?,
        created_ms: row.get(2)?,
        created_by: row.get(3)?,
        expires_ms: row.get(4)?,
        uses: row.get(5)?,
        used: row.get(6)?,
    })
}

/// # Errors
/// SQLite's.
pub(super) fn prune(connection: &Connection, now_ms: i64) -> Result<(), Error> {
    connection
        .prepare_cached("DELETE FROM claim_code WHERE expires_ms < ?1")?
        .execute([now_ms - SHOWN_MS])?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn database() -> Connection {
        let connection = Connection::open_in_memory().unwrap();
        connection.execute_batch(crate::db::migrate::SCHEMA).unwrap();
        connection
    }

    #[test]
    fn a_code_is_good_for_so_many_uses_and_so_long() {
        let db = database();
        let new = NewClaimCode { uses: Some(2), expires_s: Some(60), note: None };
        let claim = create(&db, &new, "ada", 10, 1_000).unwrap();
        let code = claim.code.unwrap();
        assert_eq!(consume(&db, &code, 2_000).unwrap().as_ref(), Some(&claim.id));
        assert_eq!(consume(&db, &code.to_lowercase(), 2_000).unwrap().as_ref(), Some(&claim.id));
        assert_eq!(consume(&db, &code, 2_000).unwrap(), None, "used up");
        let claim = create(&db, &new, "ada", 10, 1_000).unwrap();
        assert_eq!(consume(&db, &claim.code.unwrap(), 61_000).unwrap(), None, "over");
        assert_eq!(consume(&db, "", 0).unwrap(), None);
        let stored: Vec<u8> =
            db.query_row("SELECT digest FROM claim_code LIMIT 1", [], |row| row.get(0)).unwrap();
        assert_eq!(stored.len(), 32, "only a digest is stored");
    }

    #[test]
    fn there_are_only_so_many() {
        let db = database();
        create(&db, &NewClaimCode::default(), "ada", 1, 0).unwrap();
        assert!(matches!(create(&db, &NewClaimCode::default(), "ada", 1, 0), Err(Error::Conflict(_))));
        for bad in [
            NewClaimCode { uses: Some(0), ..NewClaimCode::default() },
            NewClaimCode { expires_s: Some(u64::MAX), ..NewClaimCode::default() },
            NewClaimCode { note: Some("x".repeat(201)), ..NewClaimCode::default() },
        ] {
            assert!(matches!(create(&db, &bad, "ada", 10, 0), Err(Error::Invalid { .. })));
        }
    }
}
