//! Commands in the database.

use nodi_protocol::fleet::command::Status;
use nodi_protocol::{BoxId, CommandId};
use rusqlite::{Connection, OptionalExtension as _, Row, params};
use serde::Serialize;

use super::new::NewAction;
use super::states::{State, after, deadline_ms};
use crate::db::Tx;
use crate::error::Error;
use crate::live::{Audience, Kind};
use crate::state::App;

/// Longest text of a status that is kept, in characters.
const MAX_TEXT: usize = 2_000;
/// Longest result that is kept, in bytes of JSON.
const MAX_RESULT: usize = 16 << 10;
/// Steps of one command: every state once, and some for a box that repeats itself.
const MAX_STEPS: u32 = 12;

/// What the server makes of a box that says nothing.
pub(super) const SILENT: &str = "silent";

/// A command and how it stands.
#[derive(Debug, Clone, PartialEq, Serialize, utoipa::ToSchema)]
pub struct CommandView {
    pub id: CommandId,
    pub box_id: BoxId,
    pub action: NewAction,
    pub state: State,
    /// 0 to 100 where it can be told.
    pub progress: Option<u8>,
    /// What the box does now, or why it ended as it did.
    pub message: String,
    /// What it found.
    #[schema(value_type = Option<serde_json::Value>)]
    pub result: Option<serde_json::Value>,
    /// `silent`: the box did not say how it ended, the server gave up waiting.
    pub reason: Option<String>,
    pub issued_ms: i64,
    pub expires_ms: i64,
    pub timeout_s: u32,
    pub updated_ms: i64,
    pub issued_by: String,
    pub history: Vec<Step>,
    /// Whether there is a file to download.
    pub has_file: bool,
}

/// One change of state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct Step {
    pub state: State,
    pub message: String,
    /// By the server's clock.
    pub at_ms: i64,
}

pub(super) const COLUMNS: &str = "id, box_id, action, state, progress, text, result, reason, issued_ms, expires_ms, \
     timeout_s, updated_ms, issued_by, file_bytes IS NOT NULL AS has_file";

/// A row of [`COLUMNS`], with its history.
///
/// # Errors
/// SQLite's, or what is not readable.
pub(super) fn read(connection: &Connection, row: &Row<'_>) -> Result<CommandView, Error> {
    let id: String = row.get("id")?;
    let mut statement = connection
        .prepare_cached("SELECT state, text, at_ms FROM command_step WHERE command_id = ?1 ORDER BY n")?;
    let mut rows = statement.query([&id])?;
    let mut history = Vec::new();
    while let Some(step) = rows.next()? {
        history.push(Step {
            state: state(&step.get::<_, String>(0)?)?,
            message: step.get(1)?,
            at_ms: step.get(2)?,
        });
    }
    let result: Option<String> = row.get("result")?;
    Ok(CommandView {
        id: parsed(&id)?,
        box_id: parsed(&row.get::<_, String>("box_id")?)?,
        action: serde_json::from_str(&row.get::<_, String>("action")?)?,
        state: state(&row.get::<_, String>("state")?)?,
        progress: row.get("progress")?,
        message: row.get("text")?,
        result: result.map(|text| serde_json::from_str(&text)).transpose()?,
        reason: row.get("reason")?,
        issued_ms: row.get("issued_ms")?,
        expires_ms: row.get("expires_ms")?,
        timeout_s: row.get("timeout_s")?,
        updated_ms: row.get("updated_ms")?,
        issued_by: row.get("issued_by")?,
        history,
        has_file: row.get("has_file")?,
    })
}

fn parsed<T: std::str::FromStr<Err = nodi_protocol::id::Error>>(text: &str) -> Result<T, Error> {
    text.parse().map_err(|error| Error::Internal(format!("database: {error}")))
}

fn state(name: &str) -> Result<State, Error> {
    State::from_name(name).ok_or_else(|| Error::Internal(format!("database: no state {name:?}")))
}

/// # Errors
/// SQLite's.
pub(super) fn one(connection: &Connection, id: &CommandId) -> Result<Option<CommandView>, Error> {
    let mut statement = connection.prepare_cached(&format!("SELECT {COLUMNS} FROM command WHERE id = ?1"))?;
    let mut rows = statement.query([id.to_string()])?;
    rows.next()?.map(|row| read(connection, row)).transpose()
}

/// Notes a change of state.
///
/// # Errors
/// SQLite's.
pub(super) fn step(
    connection: &Connection,
    id: &CommandId,
    state: State,
    text: &str,
    now_ms: i64,
) -> Result<(), Error> {
    connection
        .prepare_cached(
            "INSERT INTO command_step (command_id, n, state, text, at_ms)
             SELECT ?1, count(*), ?2, ?3, ?4 FROM command_step WHERE command_id = ?1 HAVING count(*) < ?5",
        )?
        .execute(params![id.to_string(), state.name(), text, now_ms, MAX_STEPS])?;
    Ok(())
}

/// Browsers and the broker hear of it once it is committed.
pub(super) fn tell(app: &App, tx: &Tx<'_>, view: &CommandView) {
    let (app, view) = (app.clone(), view.clone());
    tx.then(move || {
        app.live.send(Kind::Command, Audience::Staff, &view);
        app.link.command_changed(view.box_id, view.id);
    });
}

/// What the box said of a command. Every final word is answered by clearing the command, also a repeated one and one
/// to a command that nobody knows: the answer may have been lost.
///
/// # Errors
/// SQLite's.
pub fn said(app: &App, tx: &Tx<'_>, box_id: &BoxId, status: &Status, now_ms: i64) -> Result<(), Error> {
    let id = status.id;
    let row: Option<(String, Option<String>, String)> = tx
        .prepare_cached("SELECT state, reason, text FROM command WHERE id = ?1 AND box_id = ?2")?
        .query_row(params![id.to_string(), box_id.as_str()], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?))
        })
        .optional()?;
    let Some((current, reason, old_text)) = row else {
        let (app, box_id) = (app.clone(), box_id.clone());
        tx.then(move || app.link.command_changed(box_id, id));
        return Ok(());
    };
    let current = state(&current)?;
    let Some(new) = after(current, reason.as_deref() == Some(SILENT), status.state) else {
        if current.is_over() {
            let (app, box_id) = (app.clone(), box_id.clone());
            tx.then(move || app.link.command_changed(box_id, id));
        }
        return Ok(());
    };
    let text: String = status.message.chars().filter(|char| !char.is_control()).take(MAX_TEXT).collect();
    let progress = status.progress.map(|percent| percent.min(100));
    let result = status
        .result
        .as_ref()
        .map(serde_json::to_string)
        .transpose()?
        .filter(|json| json.len() <= MAX_RESULT);
    tx.prepare_cached(
        "UPDATE command SET state = ?2, reason = NULL, progress = ?3, text = ?4, result = coalesce(?5, result), \
         updated_ms = ?6, over_ms = iif(?7, ?6, NULL), \
         running_ms = iif(?8, coalesce(running_ms, ?6), running_ms), \
         message = iif(?7, NULL, message), upload_digest = iif(?7, NULL, upload_digest) WHERE id = ?1",
    )?
    .execute(params![
        id.to_string(),
        new.name(),
        progress,
        text,
        result,
        now_ms,
        new.is_over(),
        new == State::Running,
    ])?;
    // Progress alone is no step.
    if new != current {
        step(tx, &id, new, &text, now_ms)?;
    } else if text == old_text && progress.is_none() && result.is_none() {
        return Ok(());
    }
    let view = one(tx, &id)?.ok_or_else(|| Error::not_found("command", id))?;
    log::info!(box_id:%, command:% = id, state = new.name(); "command: {text}");
    if new.is_over() {
        tell(app, tx, &view);
    } else {
        let app = app.clone();
        tx.then(move || app.live.send(Kind::Command, Audience::Staff, &view));
    }
    Ok(())
}

/// Takes a command back that has not begun.
///
/// # Errors
/// When there is no such command, or it runs or is over.
pub(super) fn withdraw(app: &App, tx: &Tx<'_>, id: &CommandId, now_ms: i64) -> Result<CommandView, Error> {
    let view = one(tx, id)?.ok_or_else(|| Error::not_found("command", id))?;
    match view.state {
        State::Queued | State::Accepted => {}
        State::Running => return Err(Error::conflict("it runs already")),
        _ => return Err(Error::conflict("it is over already")),
    }
    set_over(tx, id, State::Withdrawn, None, "", now_ms)?;
    let view = one(tx, id)?.ok_or_else(|| Error::not_found("command", id))?;
    tell(app, tx, &view);
    Ok(view)
}

fn set_over(
    connection: &Connection,
    id: &CommandId,
    state: State,
    reason: Option<&str>,
    text: &str,
    now_ms: i64,
) -> Result<(), Error> {
    connection
        .prepare_cached(
            "UPDATE command SET state = ?2, reason = ?3, text = ?4, updated_ms = ?5, over_ms = ?5, message = NULL, \
             upload_digest = NULL WHERE id = ?1",
        )?
        .execute(params![id.to_string(), state.name(), reason, text, now_ms])?;
    step(connection, id, state, text, now_ms)
}

/// Takes back everything that a box has not finished: it is no longer ours.
///
/// # Errors
/// SQLite's.
pub fn withdraw_all(app: &App, tx: &Tx<'_>, box_id: &BoxId, now_ms: i64) -> Result<(), Error> {
    for id in open_of(tx, box_id)? {
        set_over(tx, &id, State::Withdrawn, None, "the box was revoked", now_ms)?;
        if let Some(view) = one(tx, &id)? {
            tell(app, tx, &view);
        }
    }
    Ok(())
}

fn open_of(connection: &Connection, box_id: &BoxId) -> Result<Vec<CommandId>, Error> {
    let mut statement =
        connection.prepare_cached("SELECT id FROM command WHERE box_id = ?1 AND over_ms IS NULL")?;
    let mut rows = statement.query([box_id.as_str()])?;
    let mut ids = Vec::new();
    while let Some(row) = rows.next()? {
        ids.push(parsed(&row.get::<_, String>(0)?)?);
    }
    Ok(ids)
}

/// Counts commands whose box said nothing in time as failed.
///
/// # Errors
/// SQLite's.
pub(super) fn give_up(app: &App, tx: &Tx<'_>, now_ms: i64) -> Result<(), Error> {
    let mut statement = tx.prepare_cached(
        "SELECT id, expires_ms, timeout_s, running_ms FROM command INDEXED BY command_open WHERE over_ms IS NULL",
    )?;
    let mut rows = statement.query([])?;
    let mut late = Vec::new();
    while let Some(row) = rows.next()? {
        let running_ms: Option<i64> = row.get(3)?;
        if now_ms >= deadline_ms(row.get(1)?, row.get(2)?, running_ms) {
            late.push((parsed::<CommandId>(&row.get::<_, String>(0)?)?, running_ms.is_some()));
        }
    }
    for (id, ran) in late {
        let text = if ran {
            "the box did not say how it ended"
        } else {
            "the box said nothing to it before it expired"
        };
        set_over(tx, &id, State::Failed, Some(SILENT), text, now_ms)?;
        if let Some(view) = one(tx, &id)? {
            log::warn!(box_id:% = view.box_id, command:% = id; "command failed: {text}");
            tell(app, tx, &view);
        }
    }
    Ok(())
}

/// All that are not over, for the broker.
///
/// # Errors
/// SQLite's.
pub fn open_commands(connection: &Connection) -> Result<Vec<(BoxId, CommandId)>, Error> {
    let mut statement = connection.prepare_cached("SELECT box_id, id FROM command WHERE over_ms IS NULL")?;
    let mut rows = statement.query([])?;
    let mut open = Vec::new();
    while let Some(row) = rows.next()? {
        open.push((parsed(&row.get::<_, String>(0)?)?, parsed(&row.get::<_, String>(1)?)?));
    }
    Ok(open)
}

/// What the broker has to retain for a command: its message, or nothing once it is over or unknown.
///
/// # Errors
/// SQLite's.
pub fn outgoing(connection: &Connection, box_id: &BoxId, id: &CommandId) -> Result<Option<String>, Error> {
    let message: Option<Option<String>> = connection
        .prepare_cached("SELECT message FROM command WHERE id = ?1 AND box_id = ?2")?
        .query_row(params![id.to_string(), box_id.as_str()], |row| row.get(0))
        .optional()?;
    Ok(message.flatten())
}

/// Forgets the oldest commands of a box that are over and have no file.
///
/// # Errors
/// SQLite's.
pub(super) fn forget_old(connection: &Connection, box_id: &BoxId, keep: u32) -> Result<(), Error> {
    connection
        .prepare_cached(
            "DELETE FROM command WHERE box_id = ?1 AND over_ms IS NOT NULL AND file_bytes IS NULL AND issued_ms < (
                 SELECT issued_ms FROM command WHERE box_id = ?1 ORDER BY issued_ms DESC LIMIT 1 OFFSET ?2
             )",
        )?
        .execute(params![box_id.as_str(), keep])?;
    Ok(())
}
