//! Reads what is kept.

use std::collections::HashMap;

use nodi_protocol::ChannelId;
use nodi_protocol::chat::action::Then;
use nodi_protocol::chat::event::{Event, What};
use nodi_protocol::chat::server::LogEntry;
use nodi_protocol::chat::{EventId, User};
use rusqlite::{Connection, OptionalExtension as _, Row, params};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::rows::{Loaded, Nonce, Person, Restricted, Waiting};
use super::{Error, signed, unsigned};
use crate::limits::AddressHash;
use crate::moderation::{
    MAX_HELD, MAX_KNOWN, MAX_LOG, MAX_NONCES, MAX_PEOPLE, MAX_RECENT, MAX_RESTRICTED, MAX_TERMS,
    NONCES_KEPT_MS,
};

/// What happened after an event.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Since {
    /// Oldest first.
    pub events: Vec<Event>,
    /// More happened than this, or than is kept.
    pub gap: bool,
}

/// A page of what somebody said.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Export {
    pub items: Vec<Exported>,
    /// For the next page; `None`: this was the last one.
    pub next: Option<i64>,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Exported {
    pub channel: String,
    #[serde(flatten)]
    pub event: Event,
    /// Nobody can see it any more.
    pub taken_away: bool,
}

fn parse<T: DeserializeOwned>(what: &'static str, text: &str) -> Result<T, Error> {
    serde_json::from_str(text).map_err(|source| Error::Json { what, source })
}

fn id(text: &str) -> Result<EventId, Error> {
    parse("id", &format!("\"{text}\""))
}

fn count(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}

/// All rows of a query; what cannot be understood is left out and told in the log, so that one bad row does not keep a
/// channel closed.
fn rows<T>(
    connection: &Connection,
    sql: &str,
    params: impl rusqlite::Params,
    mut row: impl FnMut(&Row<'_>) -> Result<T, Error>,
) -> Result<Vec<T>, Error> {
    let mut statement = connection.prepare_cached(sql)?;
    let mut found = statement.query(params)?;
    let mut all = Vec::new();
    while let Some(next) = found.next()? {
        match row(next) {
            Ok(one) => all.push(one),
            Err(error @ Error::Json { .. }) => log::warn!("database: {error}"),
            Err(error) => return Err(error),
        }
    }
    Ok(all)
}

fn event(row: &Row<'_>) -> Result<Event, Error> {
    let what: What = parse("event", &row.get::<_, String>("what")?)?;
    Ok(Event { id: id(&row.get::<_, String>("id")?)?, at_ms: unsigned(row.get("at_ms")?), what })
}

/// Of those that are still to be seen.
const SEEN: &str = "channel = ?1 AND gone = 0
    AND (account IS NULL OR id > coalesce((SELECT cleared_id FROM channel WHERE channel = ?1), ''))";

pub(super) fn load(connection: &Connection, channel: &ChannelId, now_ms: u64) -> Result<Loaded, Error> {
    let name = channel.as_str();
    let mut loaded = Loaded::default();
    let row = connection
        .prepare_cached("SELECT last_id, settings, facts, raid_until_ms FROM channel WHERE channel = ?1")?
        .query_row(params![name], |row| {
            let texts: (Option<String>, Option<String>, Option<String>) =
                (row.get(0)?, row.get(1)?, row.get(2)?);
            Ok((texts, unsigned(row.get(3)?)))
        })
        .optional()?;
    if let Some(((last, settings, facts), raid_until_ms)) = row {
        loaded.last = last.as_deref().map(id).transpose()?;
        loaded.settings = settings.as_deref().map(|text| parse("settings", text)).transpose()?;
        loaded.facts = facts.as_deref().map(|text| parse("facts", text)).transpose()?;
        loaded.raid_until_ms = raid_until_ms;
    }
    let sql = format!("SELECT id, at_ms, what FROM event WHERE {SEEN} ORDER BY id DESC LIMIT ?2");
    loaded.events = rows(connection, &sql, params![name, count(MAX_RECENT)], event)?;
    loaded.events.reverse();
    loaded.nonces = nonces(connection, name, now_ms)?;
    loaded.moderators =
        rows(connection, "SELECT user FROM moderator WHERE channel = ?1", params![name], |row| {
            parse("moderator", &row.get::<_, String>(0)?)
        })?;
    loaded.restrictions = restrictions(connection, name, now_ms)?;
    loaded.terms = rows(
        connection,
        "SELECT term, refuse FROM term WHERE channel = ?1 ORDER BY term LIMIT ?2",
        params![name, count(MAX_TERMS)],
        |row| Ok((row.get(0)?, if row.get(1)? { Then::Refuse } else { Then::Hold })),
    )?;
    loaded.held = rows(
        connection,
        "SELECT id, at_ms, message, why, inside FROM held WHERE channel = ?1 ORDER BY id DESC LIMIT ?2",
        params![name, count(MAX_HELD)],
        |row| {
            Ok(Waiting {
                id: id(&row.get::<_, String>(0)?)?,
                at_ms: unsigned(row.get(1)?),
                message: parse("held message", &row.get::<_, String>(2)?)?,
                why: row.get(3)?,
                inside: parse("held message", &row.get::<_, String>(4)?)?,
            })
        },
    )?;
    loaded.log = log_entries(connection, name)?;
    (loaded.people, loaded.known) = people(connection, name)?;
    Ok(loaded)
}

fn nonces(connection: &Connection, name: &str, now_ms: u64) -> Result<Vec<Nonce>, Error> {
    let since = now_ms.saturating_sub(NONCES_KEPT_MS);
    let mut all = rows(
        connection,
        // By id, which begins with the time: what came before these minutes is not read.
        "SELECT account, nonce, id, at_ms FROM event
         WHERE channel = ?1 AND id >= ?2 AND account IS NOT NULL AND nonce IS NOT NULL ORDER BY id DESC LIMIT ?3",
        params![name, EventId::new(since, 0).to_string(), count(MAX_NONCES)],
        |row| {
            Ok(Nonce {
                account: row.get(0)?,
                nonce: row.get(1)?,
                id: id(&row.get::<_, String>(2)?)?,
                at_ms: unsigned(row.get(3)?),
            })
        },
    )?;
    all.reverse();
    Ok(all)
}

fn hashes(
    connection: &Connection,
    table: &str,
    name: &str,
) -> Result<HashMap<String, Vec<(AddressHash, u64)>>, Error> {
    let mut all: HashMap<String, Vec<(AddressHash, u64)>> = HashMap::new();
    let sql = format!("SELECT account, hash, at_ms FROM {table} WHERE channel = ?1 ORDER BY at_ms");
    for (account, hash, at_ms) in rows(connection, &sql, params![name], |row| {
        Ok((row.get::<_, String>(0)?, row.get::<_, [u8; 16]>(1)?, unsigned(row.get(2)?)))
    })? {
        all.entry(account).or_default().push((AddressHash::new(hash), at_ms));
    }
    Ok(all)
}

fn restrictions(connection: &Connection, name: &str, now_ms: u64) -> Result<Vec<Restricted>, Error> {
    let mut addresses = hashes(connection, "banned_address", name)?;
    rows(
        connection,
        "SELECT user, until_ms, reason, by, at_ms FROM restriction
         WHERE channel = ?1 AND (until_ms IS NULL OR until_ms > ?2) LIMIT ?3",
        params![name, signed(now_ms), count(MAX_RESTRICTED)],
        |row| {
            let user: User = parse("restriction", &row.get::<_, String>(0)?)?;
            let addresses = addresses.remove(&user.id).unwrap_or_default();
            Ok(Restricted {
                until_ms: row.get::<_, Option<i64>>(1)?.map(unsigned),
                reason: row.get(2)?,
                by: parse("restriction", &row.get::<_, String>(3)?)?,
                at_ms: unsigned(row.get(4)?),
                addresses: addresses.into_iter().map(|(hash, _)| hash).collect(),
                user,
            })
        },
    )
}

fn log_entries(connection: &Connection, name: &str) -> Result<Vec<LogEntry>, Error> {
    let mut all = rows(
        connection,
        "SELECT id, at_ms, by, action, user, text FROM log WHERE channel = ?1 ORDER BY id DESC LIMIT ?2",
        params![name, count(MAX_LOG)],
        |row| {
            let (by, user): (Option<String>, Option<String>) = (row.get(2)?, row.get(4)?);
            Ok(LogEntry {
                id: id(&row.get::<_, String>(0)?)?,
                at_ms: unsigned(row.get(1)?),
                by: by.as_deref().map(|text| parse("log entry", text)).transpose()?,
                action: row.get(3)?,
                user: user.as_deref().map(|text| parse("log entry", text)).transpose()?,
                text: row.get(5)?,
            })
        },
    )?;
    all.reverse();
    Ok(all)
}

fn people(connection: &Connection, name: &str) -> Result<(Vec<Person>, Vec<String>), Error> {
    let mut addresses = hashes(connection, "address", name)?;
    let mut people = rows(
        connection,
        "SELECT user, first_ms, last_ms, messages, timeouts, bans, created_s, followed_s FROM person
         WHERE channel = ?1 ORDER BY last_ms DESC LIMIT ?2",
        params![name, count(MAX_PEOPLE)],
        |row| {
            let user: User = parse("person", &row.get::<_, String>(0)?)?;
            let number = |at: usize| row.get::<_, i64>(at).map(unsigned);
            let maybe = |at: usize| row.get::<_, Option<i64>>(at).map(|number| number.map(unsigned));
            Ok(Person {
                first_ms: maybe(1)?,
                last_ms: number(2)?,
                messages: number(3)?,
                timeouts: number(4)?,
                bans: number(5)?,
                created_s: maybe(6)?,
                followed_s: maybe(7)?,
                addresses: addresses.remove(&user.id).unwrap_or_default(),
                user,
            })
        },
    )?;
    people.reverse();
    let known = rows(
        connection,
        "SELECT account FROM person WHERE channel = ?1 AND messages > 0 ORDER BY last_ms DESC LIMIT ?2 OFFSET ?3",
        params![name, count(MAX_KNOWN - MAX_PEOPLE), count(MAX_PEOPLE)],
        |row| Ok(row.get(0)?),
    )?;
    Ok((people, known))
}

pub(super) fn since(
    connection: &Connection,
    channel: &ChannelId,
    after: EventId,
    limit: usize,
) -> Result<Since, Error> {
    let (name, after) = (channel.as_str(), after.to_string());
    let sql = format!("SELECT id, at_ms, what FROM event WHERE {SEEN} AND id > ?2 ORDER BY id DESC LIMIT ?3");
    let mut events = rows(connection, &sql, params![name, after, count(limit.saturating_add(1))], event)?;
    let more = events.len() > limit;
    events.truncate(limit);
    events.reverse();
    // What the asker has, or something before it, is still there: nothing between was deleted for its age.
    let connected: bool = connection
        .prepare_cached("SELECT EXISTS (SELECT 1 FROM event WHERE channel = ?1 AND id <= ?2)")?
        .query_row(params![name, after], |row| row.get(0))?;
    Ok(Since { events, gap: more || !connected })
}

pub(super) fn export(
    connection: &Connection,
    account: &str,
    cursor: Option<i64>,
    limit: usize,
) -> Result<Export, Error> {
    let mut last = None;
    let mut read = 0;
    let items = rows(
        connection,
        "SELECT seq, channel, id, at_ms, what, gone OR id <= coalesce(
            (SELECT cleared_id FROM channel WHERE channel.channel = event.channel), '') AS gone
         FROM event WHERE account = ?1 AND seq > ?2 ORDER BY seq LIMIT ?3",
        params![account, cursor.unwrap_or(i64::MIN), count(limit)],
        |row| {
            last = Some(row.get("seq")?);
            read += 1;
            Ok(Exported { channel: row.get("channel")?, event: event(row)?, taken_away: row.get("gone")? })
        },
    )?;
    Ok(Export { items, next: last.filter(|_| read >= limit) })
}
