//! People in the database.

use rusqlite::{Connection, OptionalExtension as _, Row, params};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Role, names};
use crate::db::Tx;
use crate::error::Error;

/// Longest name, in characters.
pub(crate) const MAX_NAME: usize = 64;

/// Somebody who can log in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PersonView {
    pub id: String,
    /// What they log in with.
    pub name: String,
    pub role: Role,
    /// Neither they nor their tokens are let in.
    pub disabled: bool,
    pub created_ms: i64,
    /// Into the dashboard.
    pub last_login_ms: Option<i64>,
    /// Ids of the channels that they own.
    pub channels: Vec<String>,
}

pub(super) const COLUMNS: &str = "id, name, role, disabled_ms IS NOT NULL, created_ms, last_login_ms";

/// A person without their channels.
pub(super) fn read(row: &Row<'_>) -> Result<PersonView, Error> {
    let role: String = row.get(2)?;
    Ok(PersonView {
        id: row.get(0)?,
        name: row.get(1)?,
        role: Role::from_name(&role)?,
        disabled: row.get(3)?,
        created_ms: row.get(4)?,
        last_login_ms: row.get(5)?,
        channels: Vec::new(),
    })
}

/// Adds the channels.
pub(super) fn with_channels(connection: &Connection, mut person: PersonView) -> Result<PersonView, Error> {
    let mut statement =
        connection.prepare_cached("SELECT id FROM channel WHERE owner_id = ?1 ORDER BY id")?;
    person.channels =
        statement.query_map([&person.id], |row| row.get(0))?.collect::<rusqlite::Result<_>>()?;
    Ok(person)
}

pub(crate) fn get(connection: &Connection, id: &str) -> Result<PersonView, Error> {
    let mut statement = connection.prepare_cached(&format!("SELECT {COLUMNS} FROM person WHERE id = ?1"))?;
    let mut rows = statement.query([id])?;
    let person = match rows.next()? {
        Some(row) => read(row)?,
        None => return Err(Error::not_found("person", id)),
    };
    with_channels(connection, person)
}

/// What a log-in is checked against.
pub(crate) struct Secret {
    pub(crate) id: String,
    pub(crate) role: Role,
    pub(crate) password: String,
    pub(crate) disabled: bool,
}

pub(crate) fn secret_of(connection: &Connection, name: &str) -> Result<Option<Secret>, Error> {
    let mut statement = connection
        .prepare_cached("SELECT id, password, disabled_ms IS NOT NULL, role FROM person WHERE name = ?1")?;
    let found: Option<(String, String, bool, String)> = statement
        .query_row([name], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)))
        .optional()?;
    found
        .map(|(id, password, disabled, role)| {
            Ok(Secret { id, password, disabled, role: Role::from_name(&role)? })
        })
        .transpose()
}

pub(crate) struct New {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) role: Role,
    /// PHC string.
    pub(crate) password: String,
}

pub(crate) fn insert(tx: &Tx<'_>, new: &New, now_ms: i64) -> Result<(), Error> {
    tx.prepare_cached(
        "INSERT INTO person (id, name, role, password, created_ms, password_changed_ms, skeleton)
         VALUES (?1, ?2, ?3, ?4, ?5, ?5, ?6)",
    )?
    .execute(params![new.id, new.name, new.role.name(), new.password, now_ms, names::skeleton(&new.name)])
    .map_err(|error| taken(error, &new.name))?;
    Ok(())
}

/// A name that somebody has already is no fault of the database.
pub(super) fn taken(error: rusqlite::Error, name: &str) -> Error {
    if crate::error::is_duplicate(&error) {
        Error::conflict(format!("somebody is called {name:?} already"))
    } else {
        error.into()
    }
}

/// A member who owns a channel is a streamer.
pub(crate) fn owns_now(tx: &Tx<'_>, id: &str) -> Result<(), Error> {
    tx.prepare_cached("UPDATE person SET role = ?2 WHERE id = ?1 AND role = ?3")?.execute(params![
        id,
        Role::Streamer.name(),
        Role::Member.name()
    ])?;
    Ok(())
}

/// Gives the person these channels and no others.
pub(super) fn set_channels(tx: &Tx<'_>, id: &str, channels: &[String]) -> Result<(), Error> {
    tx.execute("UPDATE channel SET owner_id = NULL WHERE owner_id = ?1", [id])?;
    for channel in channels {
        let changed = tx.execute("UPDATE channel SET owner_id = ?1 WHERE id = ?2", params![id, channel])?;
        if changed == 0 {
            return Err(Error::invalid("channels", format!("there is no channel {channel:?}")));
        }
    }
    if channels.is_empty() { Ok(()) } else { owns_now(tx, id) }
}

/// Refuses what leaves nobody who could put it right.
pub(super) fn keep_an_administrator(tx: &Tx<'_>) -> Result<(), Error> {
    let left: i64 = tx.query_row(
        "SELECT count(*) FROM person WHERE role = 'administrator' AND disabled_ms IS NULL",
        [],
        |row| row.get(0),
    )?;
    if left > 0 {
        return Ok(());
    }
    Err(Error::conflict("this is the last administrator; make somebody else one first"))
}

pub(super) fn check_name(name: &str) -> Result<(), Error> {
    let length = name.chars().count();
    if !(1..=MAX_NAME).contains(&length) {
        return Err(Error::invalid("name", format!("must be 1 to {MAX_NAME} characters")));
    }
    if name.trim() != name || name.chars().any(char::is_control) {
        return Err(Error::invalid("name", "must not begin or end with a space or hold control characters"));
    }
    Ok(())
}

pub(crate) fn check_password(field: &str, password: &str, name: &str, min: usize) -> Result<(), Error> {
    if password.chars().count() < min {
        return Err(Error::invalid(field, format!("must be at least {min} characters")));
    }
    if password.len() > super::password::MAX_BYTES {
        return Err(Error::invalid(
            field,
            format!("must not be longer than {} bytes", super::password::MAX_BYTES),
        ));
    }
    if password.eq_ignore_ascii_case(name) {
        return Err(Error::invalid(field, "must not be the name"));
    }
    Ok(())
}
