//! Boxes in the database.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use nodi_protocol::BoxId;
use nodi_protocol::fleet::desired::Settings;
use nodi_protocol::fleet::presence::Hardware;
use rusqlite::{Connection, OptionalExtension as _, Row, params};
use serde::de::DeserializeOwned;

use super::presence::Presence;
use super::record::{Certificate, Location, Record, Revocation};
use super::settings::overlay;
use crate::ca::PublicKey;
use crate::error::Error;

const COLUMNS: &str = "no, id, name, location_name, latitude, longitude, notes, capacity_bps, enrolled_ms, \
     revoked_ms, revoked_reason, settings, desired, desired_version, hardware, version, online, connection, boot_id, \
     last_seen_ms, reported, telemetry";

/// Names the database that counts the versions.
///
/// # Errors
/// SQLite's.
pub fn epoch(connection: &Connection) -> Result<String, Error> {
    Ok(connection.query_row("SELECT epoch FROM meta", [], |row| row.get(0))?)
}

/// All boxes, as they were when an earlier process last wrote.
///
/// # Errors
/// SQLite's, or what is not readable.
pub fn all(connection: &Connection, now_ms: i64) -> Result<Vec<Record>, Error> {
    let mut statement = connection.prepare(&format!("SELECT {COLUMNS} FROM box"))?;
    let mut rows = statement.query([])?;
    let mut records = Vec::new();
    while let Some(row) = rows.next()? {
        let mut record = record(row, now_ms)?;
        record.certificate = newest_certificate(connection, &record.id)?;
        records.push(record);
    }
    Ok(records)
}

/// # Errors
/// SQLite's, or what is not readable.
pub fn one(connection: &Connection, id: &BoxId, now_ms: i64) -> Result<Option<Record>, Error> {
    let mut statement = connection.prepare_cached(&format!("SELECT {COLUMNS} FROM box WHERE id = ?1"))?;
    let mut rows = statement.query([id.as_str()])?;
    let Some(row) = rows.next()? else { return Ok(None) };
    let mut record = record(row, now_ms)?;
    record.certificate = newest_certificate(connection, id)?;
    Ok(Some(record))
}

fn record(row: &Row<'_>, now_ms: i64) -> Result<Record, Error> {
    let latitude: Option<f64> = row.get("latitude")?;
    let longitude: Option<f64> = row.get("longitude")?;
    let location_name: Option<String> = row.get("location_name")?;
    let location = latitude.zip(longitude).map(|(latitude, longitude)| Location {
        name: location_name.unwrap_or_default(),
        latitude,
        longitude,
    });
    let revoked_ms: Option<i64> = row.get("revoked_ms")?;
    let reason: Option<String> = row.get("revoked_reason")?;
    let connection = u64::try_from(row.get::<_, i64>("connection")?).unwrap_or(0);
    let last_seen_ms: Option<i64> = row.get("last_seen_ms")?;
    // The telemetry of an earlier process is shown with the time at which the box was last seen.
    let telemetry =
        optional_json(row, "telemetry")?.map(|telemetry| (Arc::new(telemetry), last_seen_ms.unwrap_or(0)));
    Ok(Record {
        no: row.get("no")?,
        id: id(&row.get::<_, String>("id")?)?,
        name: row.get("name")?,
        location,
        notes: row.get("notes")?,
        capacity_bps: row.get::<_, Option<i64>>("capacity_bps")?.and_then(|bps| u64::try_from(bps).ok()),
        enrolled_ms: row.get("enrolled_ms")?,
        revoked: revoked_ms.map(|at_ms| Revocation { at_ms, reason: reason.unwrap_or_default() }),
        presence: Presence::restored(row.get("online")?, connection, now_ms),
        boot_id: row.get("boot_id")?,
        hardware: Arc::new(json(row, "hardware")?),
        version: row.get("version")?,
        last_seen_ms,
        telemetry,
        own_settings: Arc::new(json(row, "settings")?),
        desired: Arc::new(json(row, "desired")?),
        desired_version: u64::try_from(row.get::<_, i64>("desired_version")?).unwrap_or(0),
        reported: optional_json(row, "reported")?.map(Arc::new),
        sessions: Arc::default(),
        certificate: None,
        alerts: 0,
    })
}

fn id(text: &str) -> Result<BoxId, Error> {
    text.parse().map_err(|error| Error::Internal(format!("database: {error}")))
}

fn json<T: DeserializeOwned>(row: &Row<'_>, column: &str) -> Result<T, Error> {
    Ok(serde_json::from_str(&row.get::<_, String>(column)?)?)
}

/// What a box said once; a document that this build does not read any more is as good as none.
fn optional_json<T: DeserializeOwned>(row: &Row<'_>, column: &str) -> Result<Option<T>, Error> {
    let text: Option<String> = row.get(column)?;
    Ok(text.and_then(|text| serde_json::from_str(&text).ok()))
}

/// Lets a box in.
///
/// # Errors
/// SQLite's.
#[allow(clippy::too_many_arguments, reason = "the columns of a new row")]
pub fn insert(
    connection: &Connection,
    key: &PublicKey,
    name: &str,
    location: Option<&Location>,
    hardware: &Hardware,
    version: &str,
    by: &str,
    base: &Settings,
    now_ms: i64,
) -> Result<Record, Error> {
    let id = key.box_id();
    let desired = overlay(&overlay(base, &fleet_settings(connection)?.0), &Settings::default());
    connection
        .prepare_cached(
            "INSERT INTO box (id, public_key, name, location_name, latitude, longitude, enrolled_ms, enrolled_by, \
             desired, desired_version, hardware, version) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, 1, ?10, ?11)",
        )?
        .execute(params![
            id.as_str(),
            key.as_bytes(),
            name,
            location.map(|location| &location.name),
            location.map(|location| location.latitude),
            location.map(|location| location.longitude),
            now_ms,
            by,
            serde_json::to_string(&desired)?,
            serde_json::to_string(hardware)?,
            version,
        ])?;
    one(connection, &id, now_ms)?
        .ok_or_else(|| Error::Internal("a box vanished while it was added".to_owned()))
}

/// The key that a box enrolled with.
///
/// # Errors
/// SQLite's.
pub fn public_key(connection: &Connection, id: &BoxId) -> Result<Option<PublicKey>, Error> {
    let bytes: Option<Vec<u8>> = connection
        .prepare_cached("SELECT public_key FROM box WHERE id = ?1")?
        .query_row([id.as_str()], |row| row.get(0))
        .optional()?;
    Ok(bytes.and_then(|bytes| PublicKey::from_bytes(&bytes)))
}

/// What was last seen of a box, for the next process.
///
/// # Errors
/// SQLite's.
pub fn save_seen(connection: &Connection, record: &Record) -> Result<(), Error> {
    let telemetry =
        record.telemetry.as_ref().map(|(telemetry, _)| serde_json::to_string(&**telemetry)).transpose()?;
    connection
        .prepare_cached(
            "UPDATE box SET online = ?2, connection = ?3, boot_id = ?4, last_seen_ms = ?5, hardware = ?6, \
             version = ?7, telemetry = ?8 WHERE id = ?1",
        )?
        .execute(params![
            record.id.as_str(),
            record.presence.online,
            i64::try_from(record.presence.connection).unwrap_or(i64::MAX),
            record.boot_id,
            record.last_seen_ms,
            serde_json::to_string(&*record.hardware)?,
            record.version,
            telemetry,
        ])?;
    Ok(())
}

/// The fleet's settings and their version.
///
/// # Errors
/// SQLite's.
pub fn fleet_settings(connection: &Connection) -> Result<(Settings, u64), Error> {
    let (text, version): (String, i64) = connection
        .prepare_cached("SELECT settings, version FROM fleet_settings")?
        .query_row([], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok((serde_json::from_str(&text)?, u64::try_from(version).unwrap_or(0)))
}

/// What a box is to be told has changed: its settings and their next version, if they differ from what it is told now.
///
/// # Errors
/// SQLite's.
pub fn set_desired(
    connection: &Connection,
    id: &BoxId,
    current: &Settings,
    version: u64,
    desired: &Settings,
) -> Result<Option<u64>, Error> {
    if current == desired {
        return Ok(None);
    }
    let next = version + 1;
    connection.prepare_cached("UPDATE box SET desired = ?2, desired_version = ?3 WHERE id = ?1")?.execute(
        params![id.as_str(), serde_json::to_string(desired)?, i64::try_from(next).unwrap_or(i64::MAX)],
    )?;
    Ok(Some(next))
}

/// The newest certificate that was signed for a box and not taken back.
///
/// # Errors
/// SQLite's.
pub fn newest_certificate(connection: &Connection, id: &BoxId) -> Result<Option<Certificate>, Error> {
    Ok(connection
        .prepare_cached(
            "SELECT serial, not_after_ms FROM certificate WHERE box_id = ?1 AND revoked_ms IS NULL \
             ORDER BY issued_ms DESC LIMIT 1",
        )?
        .query_row([id.as_str()], |row| {
            let serial: Vec<u8> = row.get(0)?;
            Ok(Certificate {
                serial: serial.iter().map(|byte| format!("{byte:02x}")).collect(),
                not_after_ms: row.get(1)?,
            })
        })
        .optional()?)
}

/// Boxes that origins must not take anything from: those that are revoked, and those that were deleted while a
/// certificate of theirs is still valid.
///
/// # Errors
/// SQLite's.
pub fn revoked(connection: &Connection) -> Result<BTreeSet<BoxId>, Error> {
    let mut statement = connection.prepare_cached(
        "SELECT id FROM box WHERE revoked_ms IS NOT NULL
         UNION SELECT box_id FROM certificate
         WHERE revoked_ms IS NOT NULL AND box_id NOT IN (SELECT id FROM box)",
    )?;
    let mut rows = statement.query([])?;
    let mut ids = BTreeSet::new();
    while let Some(row) = rows.next()? {
        ids.insert(id(&row.get::<_, String>(0)?)?);
    }
    Ok(ids)
}

/// Numbers and ids of all boxes.
///
/// # Errors
/// SQLite's.
pub fn numbers(connection: &Connection) -> Result<BTreeMap<i64, BoxId>, Error> {
    let mut statement = connection.prepare_cached("SELECT no, id FROM box")?;
    let mut rows = statement.query([])?;
    let mut numbers = BTreeMap::new();
    while let Some(row) = rows.next()? {
        numbers.insert(row.get(0)?, id(&row.get::<_, String>(1)?)?);
    }
    Ok(numbers)
}
