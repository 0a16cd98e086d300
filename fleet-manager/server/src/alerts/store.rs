//! Alerts in the database, and as the API shows them.

use nodi_protocol::{BoxId, ChannelId, SessionId};
use rusqlite::{Connection, OptionalExtension as _, Row, params};
use serde::Serialize;
use utoipa::ToSchema;

use super::engine::{Decision, Engine, FLAP_WINDOW_MS, Open, What};
use super::kind::{Kind, Severity};
use crate::db::Tx;
use crate::error::Error;
use crate::ids;
use crate::live::{self, Audience};
use crate::state::App;
use crate::webhooks;

/// Longest reason that is kept, in characters.
const MAX_REASON: usize = 500;

/// Something that somebody should know of, from its start to its end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct AlertView {
    pub id: String,
    pub kind: Kind,
    pub severity: Severity,
    pub box_id: Option<BoxId>,
    pub box_name: Option<String>,
    pub session: Option<SessionId>,
    pub channel: Option<ChannelId>,
    /// Id of the rollout that is halted.
    pub rollout: Option<String>,
    /// For people: what is wrong.
    pub reason: String,
    pub started_ms: i64,
    /// Null while it lasts.
    pub ended_ms: Option<i64>,
    /// For people: why it is over.
    pub end_reason: Option<String>,
    /// Name of who has seen to it.
    pub acknowledged_by: Option<String>,
    pub acknowledged_ms: Option<i64>,
}

pub(super) const COLUMNS: &str = "id, kind, severity, box_id, box_name, session_id, channel_id, reason, started_ms, \
     ended_ms, end_reason, acknowledged_by, acknowledged_ms, subject";

pub(super) fn read(row: &Row<'_>) -> Result<AlertView, Error> {
    let kind = Kind::from_name(&row.get::<_, String>(1)?)?;
    let subject: String = row.get(13)?;
    Ok(AlertView {
        id: row.get(0)?,
        kind,
        severity: Severity::from_name(&row.get::<_, String>(2)?)?,
        box_id: parsed(row.get(3)?)?,
        box_name: row.get(4)?,
        session: parsed(row.get(5)?)?,
        channel: parsed(row.get(6)?)?,
        rollout: (kind == Kind::RolloutHalted).then_some(subject),
        reason: row.get(7)?,
        started_ms: row.get(8)?,
        ended_ms: row.get(9)?,
        end_reason: row.get(10)?,
        acknowledged_by: row.get(11)?,
        acknowledged_ms: row.get(12)?,
    })
}

fn parsed<T: std::str::FromStr<Err = nodi_protocol::id::Error>>(
    text: Option<String>,
) -> Result<Option<T>, Error> {
    text.map(|text| text.parse().map_err(|error| Error::Internal(format!("database: {error}")))).transpose()
}

/// # Errors
/// When the database fails.
pub(super) fn one(connection: &Connection, id: &str) -> Result<Option<AlertView>, Error> {
    let mut statement = connection.prepare_cached(&format!("SELECT {COLUMNS} FROM alert WHERE id = ?1"))?;
    let mut rows = statement.query([id])?;
    rows.next()?.map(read).transpose()
}

/// What was open, and what started lately, when the server stopped.
///
/// # Errors
/// When the database fails.
pub(super) fn load(connection: &Connection, now_ms: i64) -> Result<Engine, Error> {
    let mut engine = Engine::default();
    let mut statement = connection.prepare_cached(
        "SELECT kind, subject, id, severity, started_ms, ended_ms IS NULL FROM alert
         WHERE ended_ms IS NULL OR started_ms >= ?1 ORDER BY started_ms",
    )?;
    let mut rows = statement.query([now_ms - FLAP_WINDOW_MS])?;
    while let Some(row) = rows.next()? {
        let kind = Kind::from_name(&row.get::<_, String>(0)?)?;
        let subject: String = row.get(1)?;
        let started_ms: i64 = row.get(4)?;
        if started_ms >= now_ms - FLAP_WINDOW_MS {
            engine.restore_start(kind, &subject, started_ms);
        }
        if row.get(5)? {
            let open = Open { id: row.get(2)?, severity: Severity::from_name(&row.get::<_, String>(3)?)? };
            engine.restore(kind, &subject, open, now_ms);
        }
    }
    Ok(engine)
}

/// Makes a decision durable, with what browsers and webhooks are told of it. Returns the alert's id.
///
/// # Errors
/// When the database fails.
pub(super) fn apply(app: &App, tx: &Tx<'_>, decision: &Decision, now_ms: i64) -> Result<String, Error> {
    let (id, event) = match &decision.what {
        What::Start { about, severity, reason } => {
            let id = ids::ulid(now_ms)?;
            tx.prepare_cached(
                "INSERT INTO alert (id, kind, severity, subject, box_id, box_name, session_id, channel_id, reason,
                 started_ms) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
            )?
            .execute(params![
                id,
                decision.kind.name(),
                severity.name(),
                decision.subject,
                about.box_id.as_ref().map(BoxId::as_str),
                about.box_name,
                about.session.map(|session| session.to_string()),
                about.channel.as_ref().map(ChannelId::as_str),
                short(reason),
                now_ms,
            ])?;
            (id, "alert.started")
        }
        What::Worse { id, severity, reason } => {
            tx.prepare_cached("UPDATE alert SET severity = ?2, reason = ?3 WHERE id = ?1")?
                .execute(params![id, severity.name(), short(reason)])?;
            (id.clone(), "alert.worsened")
        }
        What::End { id, reason } => {
            tx.prepare_cached(
                "UPDATE alert SET ended_ms = max(?2, started_ms), end_reason = ?3
                 WHERE id = ?1 AND ended_ms IS NULL",
            )?
            .execute(params![id, now_ms, reason])?;
            (id.clone(), "alert.ended")
        }
    };
    // One that was pruned meanwhile is nothing to tell of.
    if let Some(view) = one(tx, &id)? {
        let reason = view.end_reason.as_deref().unwrap_or(&view.reason);
        log::info!(alert = view.kind.name(), subject = decision.subject.as_str(); "{event}: {reason}");
        webhooks::enqueue(app, tx, event, view.kind, &view)?;
        tell(app, tx, view);
    }
    Ok(id)
}

pub(super) fn tell(app: &App, tx: &Tx<'_>, view: AlertView) {
    let hub = app.live.clone();
    let audience = view.channel.clone().map_or(Audience::Staff, Audience::Channel);
    tx.then(move || hub.send(live::Kind::Alert, audience, &view));
}

fn short(text: &str) -> String {
    text.chars().take(MAX_REASON).collect()
}

/// Somebody has seen to it. Whoever was first stays.
///
/// # Errors
/// When there is no such alert, or the database fails.
pub(super) fn acknowledge(
    tx: &Tx<'_>,
    id: &str,
    by: &str,
    now_ms: i64,
) -> Result<(AlertView, Option<AlertView>), Error> {
    let before = one(tx, id)?.ok_or_else(|| Error::not_found("alert", id))?;
    if before.acknowledged_by.is_some() {
        return Ok((before, None));
    }
    tx.prepare_cached("UPDATE alert SET acknowledged_by = ?2, acknowledged_ms = ?3 WHERE id = ?1")?
        .execute(params![id, by, now_ms])?;
    let after = one(tx, id)?;
    Ok((before, after))
}

/// Commands that their box did not answer within the last day: id, box and what it was to do.
///
/// # Errors
/// When the database fails.
pub(super) fn silent_commands(
    connection: &Connection,
    since_ms: i64,
    most: u32,
) -> Result<Vec<(String, BoxId, String)>, Error> {
    let mut statement = connection.prepare_cached(
        "SELECT id, box_id, kind FROM command INDEXED BY command_silent
         WHERE reason = 'silent' AND over_ms >= ?1 ORDER BY over_ms DESC LIMIT ?2",
    )?;
    let mut rows = statement.query(params![since_ms, most])?;
    let mut list = Vec::new();
    while let Some(row) = rows.next()? {
        let Some(box_id) = parsed(row.get(1)?)? else { continue };
        list.push((row.get(0)?, box_id, row.get(2)?));
    }
    Ok(list)
}

/// How many last.
///
/// # Errors
/// When the database fails.
pub fn active(connection: &Connection) -> Result<u64, Error> {
    let count: i64 = connection
        .prepare_cached("SELECT count(*) FROM alert WHERE ended_ms IS NULL")?
        .query_row([], |row| row.get(0))?;
    Ok(u64::try_from(count).unwrap_or(0))
}

/// How many last, of each box that has some.
///
/// # Errors
/// When the database fails.
pub(super) fn active_by_box(
    connection: &Connection,
) -> Result<std::collections::BTreeMap<BoxId, u32>, Error> {
    let mut statement = connection.prepare_cached(
        "SELECT box_id, count(*) FROM alert WHERE ended_ms IS NULL AND box_id IS NOT NULL GROUP BY box_id",
    )?;
    let mut rows = statement.query([])?;
    let mut counts = std::collections::BTreeMap::new();
    while let Some(row) = rows.next()? {
        if let Some(id) = parsed(row.get(0)?)? {
            counts.insert(id, row.get(1)?);
        }
    }
    Ok(counts)
}

/// Forgets what ended before `before_ms`, and the oldest that ended when there are more than `most`.
///
/// # Errors
/// When the database fails.
pub(super) fn prune(connection: &Connection, before_ms: i64, most: u32) -> Result<usize, Error> {
    let old = connection
        .prepare_cached("DELETE FROM alert WHERE ended_ms IS NOT NULL AND started_ms < ?1")?
        .execute([before_ms])?;
    let oldest: Option<i64> = connection
        .prepare_cached("SELECT started_ms FROM alert ORDER BY started_ms DESC LIMIT 1 OFFSET ?1")?
        .query_row([most], |row| row.get(0))
        .optional()?;
    let many = match oldest {
        None => 0,
        Some(oldest) => connection
            .prepare_cached("DELETE FROM alert WHERE ended_ms IS NOT NULL AND started_ms <= ?1")?
            .execute([oldest])?,
    };
    Ok(old + many)
}
