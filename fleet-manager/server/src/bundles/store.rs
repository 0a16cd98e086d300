//! Bundles in the database.

use std::path::Path;

use rusqlite::{Connection, OptionalExtension as _, Row, params};
use serde::Serialize;

use super::{BundleId, Format};
use crate::db::Tx;
use crate::error::Error;
use crate::live::{Audience, Kind};
use crate::state::App;

/// One bundle.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Bundle {
    pub sha256: BundleId,
    pub version: String,
    pub compatible: String,
    pub description: String,
    pub build: String,
    pub format: Format,
    pub bytes: u64,
    pub added_ms: i64,
    pub added_by: String,
}

/// A bundle, and what is made of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct BundleView {
    pub sha256: BundleId,
    /// As its manifest says.
    pub version: String,
    /// Board and L4T release that it is for, as its manifest says.
    pub compatible: String,
    pub description: String,
    pub build: String,
    pub format: Format,
    pub bytes: u64,
    pub added_ms: i64,
    pub added_by: String,
    /// How many boxes run this version for this board.
    pub boxes: u32,
    /// How many rollouts name it.
    pub rollouts: u32,
}

pub(super) const COLUMNS: &str =
    "sha256, version, compatible, description, build, format, bytes, added_ms, added_by";

pub(super) fn read(row: &Row<'_>) -> Result<Bundle, Error> {
    let broken = |what: &str| Error::Internal(format!("database: bundle: {what}"));
    let format: String = row.get("format")?;
    Ok(Bundle {
        sha256: BundleId::try_from(row.get::<_, String>("sha256")?)
            .map_err(|error| broken(&error.to_string()))?,
        version: row.get("version")?,
        compatible: row.get("compatible")?,
        description: row.get("description")?,
        build: row.get("build")?,
        format: Format::from_name(&format).ok_or_else(|| broken(&format))?,
        bytes: u64::try_from(row.get::<_, i64>("bytes")?).unwrap_or(0),
        added_ms: row.get("added_ms")?,
        added_by: row.get("added_by")?,
    })
}

/// # Errors
/// SQLite's.
pub fn one(connection: &Connection, id: &BundleId) -> Result<Option<Bundle>, Error> {
    let mut statement =
        connection.prepare_cached(&format!("SELECT {COLUMNS} FROM bundle WHERE sha256 = ?1"))?;
    let mut rows = statement.query([id.as_str()])?;
    rows.next()?.map(read).transpose()
}

pub(super) fn ids(connection: &Connection) -> Result<Vec<BundleId>, Error> {
    let mut statement = connection.prepare(&format!("SELECT {COLUMNS} FROM bundle"))?;
    let mut rows = statement.query([])?;
    let mut ids = Vec::new();
    while let Some(row) = rows.next()? {
        ids.push(read(row)?.sha256);
    }
    Ok(ids)
}

pub(super) fn total_bytes(connection: &Connection) -> Result<i64, Error> {
    Ok(connection.query_row("SELECT coalesce(sum(bytes), 0) FROM bundle", [], |row| row.get(0))?)
}

/// Bytes and number of those whose file is there: one that is missing must not stand in its own way.
pub(super) fn on_disk(connection: &Connection, dir: &Path) -> Result<(u64, u32), Error> {
    let mut statement = connection.prepare(&format!("SELECT {COLUMNS} FROM bundle"))?;
    let mut rows = statement.query([])?;
    let (mut bytes, mut count) = (0_u64, 0);
    while let Some(row) = rows.next()? {
        let bundle = read(row)?;
        if dir.join(bundle.sha256.as_str()).exists() {
            bytes = bytes.saturating_add(bundle.bytes);
            count += 1;
        }
    }
    Ok((bytes, count))
}

/// How many rollouts name it.
pub(super) fn rollouts(connection: &Connection, id: &BundleId) -> Result<u32, Error> {
    Ok(connection
        .prepare_cached("SELECT count(*) FROM rollout WHERE bundle = ?1")?
        .query_row([id.as_str()], |row| row.get(0))?)
}

pub(super) fn insert(connection: &Connection, bundle: &Bundle) -> Result<(), Error> {
    connection
        .prepare_cached(
            "INSERT INTO bundle (sha256, version, compatible, description, build, format, bytes, added_ms, added_by)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
        )?
        .execute(params![
            bundle.sha256.as_str(),
            bundle.version,
            bundle.compatible,
            bundle.description,
            bundle.build,
            bundle.format.name(),
            i64::try_from(bundle.bytes).unwrap_or(i64::MAX),
            bundle.added_ms,
            bundle.added_by,
        ])?;
    Ok(())
}

/// Takes a bundle away that nothing needs any more.
///
/// # Errors
/// When there is none, or something needs it.
pub(super) fn delete(tx: &Tx<'_>, id: &BundleId) -> Result<Bundle, Error> {
    let bundle = one(tx, id)?.ok_or_else(|| Error::not_found("bundle", id))?;
    let needed: Option<String> = tx
        .prepare_cached(
            "SELECT 'the rollout ' || name FROM rollout WHERE bundle = ?1 AND ended_ms IS NULL
             UNION ALL SELECT 'the update of ' || box_id FROM box_update WHERE bundle = ?1 AND over_ms IS NULL LIMIT 1",
        )?
        .query_row([id.as_str()], |row| row.get(0))
        .optional()?;
    if let Some(needed) = needed {
        return Err(Error::conflict(format!("{needed} is not over and needs it")));
    }
    tx.execute("DELETE FROM bundle WHERE sha256 = ?1", [id.as_str()])?;
    Ok(bundle)
}

/// Browsers hear that the list changed, once it is committed.
pub(super) fn tell(app: &App, tx: &Tx<'_>) -> Result<(), Error> {
    let (app, bytes) = (app.clone(), total_bytes(tx)?);
    tx.then(move || {
        app.bundles.stored.set(bytes);
        app.live.send(Kind::Bundles, Audience::Staff, &serde_json::json!({}));
    });
    Ok(())
}

/// For `nodi-fleet check`: bundles whose file is not there or has another length, and whether something that is not
/// over needs it.
pub(crate) fn missing_files(connection: &Connection, dir: &Path) -> rusqlite::Result<Vec<(String, bool)>> {
    let mut statement = connection.prepare(
        "SELECT sha256, version, bytes,
             EXISTS (SELECT 1 FROM rollout WHERE bundle = sha256 AND ended_ms IS NULL)
             OR EXISTS (SELECT 1 FROM box_update WHERE box_update.bundle = sha256 AND over_ms IS NULL)
         FROM bundle",
    )?;
    let mut rows = statement.query([])?;
    let mut missing = Vec::new();
    while let Some(row) = rows.next()? {
        let (id, version, bytes): (String, String, i64) = (row.get(0)?, row.get(1)?, row.get(2)?);
        let found = std::fs::metadata(dir.join(&id)).map(|file| file.len()).ok();
        if found != u64::try_from(bytes).ok() {
            missing.push((format!("{version} ({id})"), row.get(3)?));
        }
    }
    Ok(missing)
}
