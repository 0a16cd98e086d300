//! Events of boxes: each stored once, and acknowledged only then.

use std::sync::Arc;

use nodi_protocol::BoxId;
use nodi_protocol::fleet::event::{Event, What};
use rusqlite::{OptionalExtension as _, params};

use crate::boxes::Change;
use crate::db::Tx;
use crate::error::Error;
use crate::state::App;

/// A box repeats what was not acknowledged, oldest first. When it repeats the first one behind a gap, and that came
/// at least so long ago, then it does not have what is missing any more: its outbox was full.
const REPEATED_MS: i64 = 5_000;
/// Events kept of one box; the oldest go.
const KEEP: i64 = 10_000;
/// Longest name of a journal.
const MAX_JOURNAL: usize = 64;

/// Stores one event, and says how far the box's journal is complete.
///
/// # Errors
/// SQLite's.
pub(super) fn store(app: &App, tx: &Tx<'_>, id: &BoxId, event: Event, now_ms: i64) -> Result<(), Error> {
    let Ok(seq) = i64::try_from(event.seq) else { return Ok(()) };
    if seq == 0 || event.journal.is_empty() || event.journal.len() > MAX_JOURNAL {
        return Ok(());
    }
    let new = insert(tx, id, seq, &event, now_ms)?;
    let through = advance(tx, id, &event.journal, seq, new, now_ms)?;
    if new {
        // Not with every event: the index makes it cheap, but not free.
        if seq % 64 == 0 {
            prune(tx, id)?;
        }
        let (app, id, event) = (app.clone(), id.clone(), Arc::new(event.clone()));
        tx.then(move || {
            log::debug!(box_id:% = id; "event {:?}", event.what);
            app.boxes.registry.tell(Change::Event(id, event));
        });
    }
    if through > 0 {
        let (app, id) = (app.clone(), id.clone());
        tx.then(move || app.link.outgoing.acknowledge(id, event.journal, through));
    }
    Ok(())
}

fn insert(tx: &Tx<'_>, id: &BoxId, seq: i64, event: &Event, now_ms: i64) -> Result<bool, Error> {
    let what = serde_json::to_value(&event.what)?;
    let kind = what.get("kind").and_then(|kind| kind.as_str()).unwrap_or_default();
    let (session, channel) = match &event.what {
        What::SessionStarted { session, channel, .. } | What::SessionEnded { session, channel, .. } => {
            (Some(session.to_string()), Some(channel.to_string()))
        }
        _ => (None, None),
    };
    let rows = tx
        .prepare_cached(
            "INSERT OR IGNORE INTO event (box_id, journal, seq, at_ms, received_ms, kind, session_id, channel_id, what) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
        )?
        .execute(params![
            id.as_str(),
            event.journal,
            seq,
            i64::try_from(event.at_ms).unwrap_or(i64::MAX),
            now_ms,
            kind,
            session,
            channel,
            what.to_string(),
        ])?;
    Ok(rows > 0)
}

/// Up to where every event is here. `seq` is the one that just came.
fn advance(tx: &Tx<'_>, id: &BoxId, journal: &str, seq: i64, new: bool, now_ms: i64) -> Result<u64, Error> {
    let before: i64 = tx
        .prepare_cached("SELECT through FROM event_journal WHERE box_id = ?1 AND journal = ?2")?
        .query_row(params![id.as_str(), journal], |row| row.get(0))
        .optional()?
        .unwrap_or(0);
    let mut through = before;
    if !new && seq > before && is_lowest_and_old(tx, id, journal, before, seq, now_ms)? {
        log::warn!(box_id:% = id; "events {} to {} are lost", before + 1, seq - 1);
        through = seq - 1;
    }
    // What lies behind without a gap.
    let mut next =
        tx.prepare_cached("SELECT 1 FROM event WHERE box_id = ?1 AND journal = ?2 AND seq = ?3")?;
    while next.exists(params![id.as_str(), journal, through + 1])? {
        through += 1;
    }
    if through != before {
        tx.prepare_cached(
            "INSERT INTO event_journal (box_id, journal, through, seen_ms) VALUES (?1, ?2, ?3, ?4) \
             ON CONFLICT (box_id, journal) DO UPDATE SET through = ?3, seen_ms = ?4",
        )?
        .execute(params![id.as_str(), journal, through, now_ms])?;
    }
    Ok(u64::try_from(through).unwrap_or(0))
}

fn is_lowest_and_old(
    tx: &Tx<'_>,
    id: &BoxId,
    journal: &str,
    through: i64,
    seq: i64,
    now_ms: i64,
) -> Result<bool, Error> {
    let lowest: Option<(i64, i64)> = tx
        .prepare_cached(
            "SELECT seq, received_ms FROM event WHERE box_id = ?1 AND journal = ?2 AND seq > ?3 ORDER BY seq LIMIT 1",
        )?
        .query_row(params![id.as_str(), journal, through], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    Ok(lowest.is_some_and(|(lowest, received_ms)| lowest == seq && now_ms - received_ms >= REPEATED_MS))
}

/// Keeps the newest, of which none may be missing that is not acknowledged yet.
fn prune(tx: &Tx<'_>, id: &BoxId) -> Result<(), Error> {
    tx.prepare_cached(
        "DELETE FROM event WHERE box_id = ?1 AND id <= (
             SELECT id FROM event WHERE box_id = ?1 ORDER BY id DESC LIMIT 1 OFFSET ?2
         ) AND seq <= coalesce((
             SELECT through FROM event_journal j WHERE j.box_id = event.box_id AND j.journal = event.journal
         ), 0)",
    )?
    .execute(params![id.as_str(), KEEP])?;
    Ok(())
}
