//! Updates in the database.

use std::collections::BTreeSet;

use nodi_protocol::fleet::update::{Deadlines, Report};
use nodi_protocol::{BoxId, UpdateId};
use rusqlite::{Connection, OptionalExtension as _, Row, params};
use serde::Serialize;

use super::states::{Span, State, after, deadline_ms};
use crate::audit::{self, Actor, ActorKind};
use crate::bundles::BundleId;
use crate::db::Tx;
use crate::error::Error;
use crate::live::{Audience, Kind};
use crate::state::App;

/// Longest text of a report that is kept, in characters.
const MAX_TEXT: usize = 1_000;
/// Longest name of a slot and of a version.
const MAX_NAME: usize = 64;
/// Browsers hear of progress in steps of so many per cent: thousands of boxes may download at once.
const PROGRESS_STEP: u8 = 5;

/// An update and how it stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct UpdateView {
    pub id: UpdateId,
    #[serde(rename = "box")]
    pub box_id: BoxId,
    pub box_name: String,
    /// The rollout that steers it; null: a person gave it.
    pub rollout: Option<String>,
    pub bundle: BundleName,
    /// Also while something is live, and outside the maintenance windows.
    pub force: bool,
    pub state: State,
    /// 0 to 100 of this state, where it can be told.
    pub progress: Option<u8>,
    /// What the box does or waits for, or exactly why it ended as it did.
    pub message: String,
    /// Version of the software before, once the box has said it.
    pub from: Option<String>,
    pub to: String,
    /// The slot that runs, such as `A`.
    pub slot: Option<String>,
    pub issued_ms: i64,
    /// Since when it is in this state, by the server's clock.
    pub changed_ms: i64,
    /// When this state has lasted too long, by the server's clock; null once it is over.
    pub deadline_ms: Option<i64>,
    pub issued_by: String,
}

/// Which bundle.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct BundleName {
    pub sha256: BundleId,
    pub version: String,
}

pub(super) const COLUMNS: &str = "u.id, u.box_id, b.name AS box_name, u.rollout_id, u.bundle, u.version, u.force, u.state, \
     u.progress, u.text, u.from_version, u.slot, u.issued_ms, u.changed_ms, u.deadline_ms, u.issued_by";
pub(super) const FROM: &str = "box_update AS u JOIN box AS b ON b.id = u.box_id";

pub(super) fn read(row: &Row<'_>) -> Result<UpdateView, Error> {
    let version: String = row.get("version")?;
    Ok(UpdateView {
        id: parsed(&row.get::<_, String>("id")?)?,
        box_id: parsed(&row.get::<_, String>("box_id")?)?,
        box_name: row.get("box_name")?,
        rollout: row.get("rollout_id")?,
        bundle: BundleName {
            sha256: BundleId::try_from(row.get::<_, String>("bundle")?)
                .map_err(|error| Error::Internal(format!("database: {error}")))?,
            version: version.clone(),
        },
        force: row.get("force")?,
        state: state(&row.get::<_, String>("state")?)?,
        progress: row.get("progress")?,
        message: row.get("text")?,
        from: row.get("from_version")?,
        to: version,
        slot: row.get("slot")?,
        issued_ms: row.get("issued_ms")?,
        changed_ms: row.get("changed_ms")?,
        deadline_ms: row.get("deadline_ms")?,
        issued_by: row.get("issued_by")?,
    })
}

fn parsed<T: std::str::FromStr<Err = nodi_protocol::id::Error>>(text: &str) -> Result<T, Error> {
    text.parse().map_err(|error| Error::Internal(format!("database: {error}")))
}

fn state(name: &str) -> Result<State, Error> {
    State::from_name(name).ok_or_else(|| Error::Internal(format!("database: no state {name:?}")))
}

pub(super) fn one(connection: &Connection, id: &UpdateId) -> Result<Option<UpdateView>, Error> {
    let mut statement =
        connection.prepare_cached(&format!("SELECT {COLUMNS} FROM {FROM} WHERE u.id = ?1"))?;
    let mut rows = statement.query([id.to_string()])?;
    rows.next()?.map(read).transpose()
}

/// The newest of a box.
pub(super) fn newest(connection: &Connection, box_id: &BoxId) -> Result<Option<UpdateView>, Error> {
    let mut statement = connection.prepare_cached(&format!(
        "SELECT {COLUMNS} FROM {FROM} WHERE u.box_id = ?1 ORDER BY u.id DESC LIMIT 1"
    ))?;
    let mut rows = statement.query([box_id.as_str()])?;
    rows.next()?.map(read).transpose()
}

/// Whether the newest of a box ended in silence: what was last heard of it may not be so any more.
///
/// # Errors
/// SQLite's.
pub fn is_silent(connection: &Connection, box_id: &BoxId) -> Result<bool, Error> {
    let newest: Option<String> = connection
        .prepare_cached("SELECT state FROM box_update WHERE box_id = ?1 ORDER BY id DESC LIMIT 1")?
        .query_row([box_id.as_str()], |row| row.get(0))
        .optional()?;
    Ok(newest.as_deref() == Some(State::Silent.name()))
}

/// The one of a box that is not over.
pub(super) fn open_of(connection: &Connection, box_id: &BoxId) -> Result<Option<UpdateView>, Error> {
    let mut statement = connection
        .prepare_cached(&format!("SELECT {COLUMNS} FROM {FROM} WHERE u.box_id = ?1 AND u.over_ms IS NULL"))?;
    let mut rows = statement.query([box_id.as_str()])?;
    rows.next()?.map(read).transpose()
}

/// Browsers, the broker and the rollout hear of it once it is committed.
pub(super) fn tell(app: &App, tx: &Tx<'_>, view: &UpdateView) {
    let (app, view) = (app.clone(), view.clone());
    tx.then(move || {
        app.live.send(Kind::Updates, Audience::Staff, &view);
        app.link.update_changed(view.box_id);
        if let Some(rollout) = view.rollout {
            app.rollouts.touch(rollout);
        }
    });
}

fn shown(text: &str, max: usize) -> String {
    text.chars().filter(|char| !char.is_control()).take(max).collect()
}

/// The row before a report.
struct Before {
    state: State,
    assumed: bool,
    progress: Option<u8>,
    text: String,
    deadlines: Deadlines,
    expires_ms: i64,
    deadline_ms: Option<i64>,
    changed_ms: i64,
}

/// What a box said of its update. Every final word is answered by clearing the order, also a repeated one and one to an
/// order that nobody knows: the answer may have been lost.
///
/// # Errors
/// SQLite's.
pub fn said(app: &App, tx: &Tx<'_>, box_id: &BoxId, report: &Report, now_ms: i64) -> Result<(), Error> {
    let id = report.id;
    let mut statement = tx.prepare_cached(
        "SELECT state, assumed, progress, text, deadlines, expires_ms, deadline_ms, changed_ms FROM box_update
         WHERE id = ?1 AND box_id = ?2",
    )?;
    let mut rows = statement.query(params![id.to_string(), box_id.as_str()])?;
    let answer = |app: &App| {
        let (app, box_id) = (app.clone(), box_id.clone());
        tx.then(move || app.link.update_changed(box_id));
    };
    let Some(row) = rows.next()? else {
        answer(app);
        return Ok(());
    };
    let before = Before {
        state: state(&row.get::<_, String>(0)?)?,
        assumed: row.get(1)?,
        progress: row.get(2)?,
        text: row.get(3)?,
        deadlines: serde_json::from_str(&row.get::<_, String>(4)?)?,
        expires_ms: row.get(5)?,
        deadline_ms: row.get(6)?,
        changed_ms: row.get(7)?,
    };
    let Some(new) = after(before.state, before.assumed, report.state) else {
        answer(app);
        return Ok(());
    };
    if before.state.is_over() && !new.is_over() && open_of(tx, box_id)?.is_some() {
        // It has a newer order already; what becomes of the old one is told by its end.
        return Ok(());
    }
    take(app, tx, box_id, report, &before, new, now_ms)
}

fn take(
    app: &App,
    tx: &Tx<'_>,
    box_id: &BoxId,
    report: &Report,
    before: &Before,
    new: State,
    now_ms: i64,
) -> Result<(), Error> {
    let id = report.id;
    let text = shown(&report.message, MAX_TEXT);
    let progress = report.progress.map(|percent| percent.min(100)).filter(|_| !new.is_over());
    let changed = new != before.state;
    let signed = |ms: u64| i64::try_from(ms).unwrap_or(i64::MAX);
    let span = Span {
        state: new,
        progress,
        deadlines: &before.deadlines,
        expires_ms: before.expires_ms,
        left_ms: report.deadline_ms.map(|ms| signed(ms).saturating_sub(signed(report.at_ms))),
        before_ms: before.deadline_ms.filter(|_| !changed),
    };
    tx.prepare_cached(
        "UPDATE box_update SET state = ?2, assumed = 0, progress = ?3, text = ?4, from_version = ?5, slot = ?6,
             changed_ms = ?7, deadline_ms = ?8, said_ms = ?9, over_ms = iif(?10, ?11, NULL),
             message = iif(?10, NULL, message), token_digest = iif(?10, NULL, token_digest) WHERE id = ?1",
    )?
    .execute(params![
        id.to_string(),
        new.name(),
        progress,
        text,
        shown(&report.from, MAX_NAME),
        report.slot.as_deref().map(|slot| shown(slot, MAX_NAME)),
        if changed { now_ms } else { before.changed_ms },
        deadline_ms(&span, now_ms),
        signed(report.at_ms),
        new.is_over(),
        now_ms,
    ])?;
    let Some(view) = one(tx, &id)? else { return Ok(()) };
    if changed {
        log::info!(box_id:%, update:% = id, state = new.name(); "update: {text}");
    }
    if new.is_over() {
        ended(app, tx, &view, &box_actor(&view), now_ms)?;
        tell(app, tx, &view);
    } else if changed || text != before.text || moved(before.progress, progress) {
        let app = app.clone();
        tx.then(move || {
            app.live.send(Kind::Updates, Audience::Staff, &view);
            if let Some(rollout) = view.rollout
                && changed
            {
                app.rollouts.touch(rollout);
            }
        });
    }
    Ok(())
}

/// Whether progress made a step that is worth telling.
fn moved(before: Option<u8>, now: Option<u8>) -> bool {
    match (before, now) {
        (Some(before), Some(now)) => before / PROGRESS_STEP != now / PROGRESS_STEP,
        (before, now) => before != now,
    }
}

fn box_actor(view: &UpdateView) -> Actor {
    let id = Some(view.box_id.to_string());
    Actor { kind: ActorKind::Box, id, name: view.box_name.clone(), address: None }
}

/// Into the audit log and the counters.
fn ended(app: &App, tx: &Tx<'_>, view: &UpdateView, actor: &Actor, now_ms: i64) -> Result<(), Error> {
    let (action, target) = (format!("update.{}", view.state.name()), target(view));
    let about = serde_json::json!({
        "version": view.to,
        "from": view.from,
        "rollout": view.rollout,
        "message": view.message,
    });
    audit::record(tx, now_ms, actor, &action, &target, audit::NONE, Some(&about))?;
    let (app, state) = (app.clone(), view.state.name());
    tx.then(move || {
        app.updates.ended.get_or_create(&[("state", state)]).inc();
    });
    Ok(())
}

/// Of an update, in the audit log.
pub(super) fn target(view: &UpdateView) -> String {
    format!("box/{}/update/{}", view.box_id, view.id)
}

/// The server ends an update by itself; the box may know better.
pub(super) fn set_over(
    app: &App,
    tx: &Tx<'_>,
    id: &UpdateId,
    state: State,
    text: &str,
    now_ms: i64,
) -> Result<(), Error> {
    tx.prepare_cached(
        "UPDATE box_update SET state = ?2, assumed = 1, progress = NULL, text = ?3, changed_ms = ?4, deadline_ms = NULL,
             over_ms = ?4, message = NULL, token_digest = NULL WHERE id = ?1",
    )?
    .execute(params![id.to_string(), state.name(), text, now_ms])?;
    if let Some(view) = one(tx, id)? {
        log::info!(box_id:% = view.box_id, update:% = id, state = state.name(); "update: {text}");
        ended(app, tx, &view, &Actor::system(), now_ms)?;
        tell(app, tx, &view);
    }
    Ok(())
}

/// Takes back what has not begun to install. `false`: there is nothing, or it installs already.
///
/// # Errors
/// SQLite's.
pub fn withdraw(app: &App, tx: &Tx<'_>, box_id: &BoxId, why: &str, now_ms: i64) -> Result<bool, Error> {
    match open_of(tx, box_id)? {
        Some(open) if open.state.is_before_installing() => {
            set_over(app, tx, &open.id, State::Withdrawn, why, now_ms)?;
            Ok(true)
        }
        _ => Ok(false),
    }
}

/// A revoked box is told nothing any more, whatever it does just now.
///
/// # Errors
/// SQLite's.
pub fn withdraw_all(app: &App, tx: &Tx<'_>, box_id: &BoxId, now_ms: i64) -> Result<(), Error> {
    if let Some(open) = open_of(tx, box_id)? {
        set_over(app, tx, &open.id, State::Withdrawn, "the box was revoked", now_ms)?;
    }
    Ok(())
}

/// Boxes that install, reboot or are on trial: they may be away without anything being wrong.
///
/// # Errors
/// SQLite's.
pub fn installing_boxes(connection: &Connection) -> Result<BTreeSet<BoxId>, Error> {
    let mut statement = connection.prepare_cached(
        "SELECT box_id FROM box_update WHERE over_ms IS NULL AND state IN ('installing', 'rebooting', 'trial')",
    )?;
    let mut rows = statement.query([])?;
    let mut boxes = BTreeSet::new();
    while let Some(row) = rows.next()? {
        boxes.insert(parsed(&row.get::<_, String>(0)?)?);
    }
    Ok(boxes)
}

/// Boxes that have an order, for the broker.
///
/// # Errors
/// SQLite's.
pub fn open_boxes(connection: &Connection) -> Result<Vec<BoxId>, Error> {
    let mut statement = connection.prepare_cached("SELECT box_id FROM box_update WHERE over_ms IS NULL")?;
    let mut rows = statement.query([])?;
    let mut boxes = Vec::new();
    while let Some(row) = rows.next()? {
        boxes.push(parsed(&row.get::<_, String>(0)?)?);
    }
    Ok(boxes)
}

/// What the broker has to retain for a box: its order, or nothing.
///
/// # Errors
/// SQLite's.
pub fn outgoing(connection: &Connection, box_id: &BoxId) -> Result<Option<String>, Error> {
    let message: Option<Option<String>> = connection
        .prepare_cached("SELECT message FROM box_update WHERE box_id = ?1 AND over_ms IS NULL")?
        .query_row([box_id.as_str()], |row| row.get(0))
        .optional()?;
    Ok(message.flatten())
}

/// Forgets the oldest updates of a box that are over.
pub(super) fn forget_old(connection: &Connection, box_id: &BoxId, keep: u32) -> Result<(), Error> {
    connection
        .prepare_cached(
            "DELETE FROM box_update WHERE box_id = ?1 AND over_ms IS NOT NULL AND id < (
                 SELECT id FROM box_update WHERE box_id = ?1 ORDER BY id DESC LIMIT 1 OFFSET ?2
             )",
        )?
        .execute(params![box_id.as_str(), keep])?;
    Ok(())
}
