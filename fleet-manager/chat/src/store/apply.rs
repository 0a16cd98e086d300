//! Writes down one operation.

use nodi_protocol::ChannelId;
use nodi_protocol::chat::action::Then;
use nodi_protocol::chat::event::{Message, What};
use nodi_protocol::chat::rooms::ChannelFacts;
use nodi_protocol::chat::server::LogEntry;
use nodi_protocol::chat::{EventId, Role, User};
use rusqlite::{Connection, params};
use serde::Serialize;

use super::{Error, Op, erase, signed};
use crate::limits::AddressHash;
use crate::moderation::{Delivery, Inside, Item, Note};

/// How much older the remembered time at an address has to be to be written again, in milliseconds.
const ADDRESS_STEP_MS: i64 = 600_000;

pub(super) fn op(connection: &Connection, op: &Op) -> Result<(), Error> {
    match op {
        Op::Delivered { channel, delivery } => {
            delivered(&Channel { connection, name: channel.as_str() }, delivery)
        }
        Op::Log { channel, entry } => log_entry(&Channel { connection, name: channel.as_str() }, entry),
        Op::Facts(facts) => channel_facts(connection, facts),
        Op::Ended { channel, account } => Channel { connection, name: channel.as_str() }.released(account),
    }
}

/// The greatest id of a channel.
pub(super) fn last(connection: &Connection, channel: &ChannelId, id: EventId) -> Result<(), Error> {
    connection
        .prepare_cached(
            "INSERT INTO channel (channel, last_id) VALUES (?1, ?2)
             ON CONFLICT (channel) DO UPDATE SET last_id = max(coalesce(last_id, ''), excluded.last_id)",
        )?
        .execute(params![channel.as_str(), id.to_string()])?;
    Ok(())
}

pub(super) fn json(what: &'static str, value: &impl Serialize) -> Result<String, Error> {
    serde_json::to_string(value).map_err(|source| Error::Json { what, source })
}

fn delivered(channel: &Channel<'_>, delivery: &Delivery) -> Result<(), Error> {
    match &delivery.item {
        Item::Event(what) => channel.event(delivery, what),
        Item::Note(note) => channel.note(delivery, note),
    }
}

fn channel_facts(connection: &Connection, facts: &ChannelFacts) -> Result<(), Error> {
    connection
        .prepare_cached(
            "INSERT INTO channel (channel, facts) VALUES (?1, ?2)
             ON CONFLICT (channel) DO UPDATE SET facts = excluded.facts",
        )?
        .execute(params![facts.channel.as_str(), json("facts", facts)?])?;
    Ok(())
}

fn log_entry(channel: &Channel<'_>, entry: &LogEntry) -> Result<(), Error> {
    let by = entry.by.as_ref().map(|by| json("by", by)).transpose()?;
    let user = entry.user.as_ref().map(|user| json("user", user)).transpose()?;
    channel
        .connection
        .prepare_cached(
            "INSERT OR IGNORE INTO log (channel, id, at_ms, by, action, account, user, text)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
        )?
        .execute(params![
            channel.name,
            entry.id.to_string(),
            signed(entry.at_ms),
            by,
            entry.action,
            entry.user.as_ref().map(|user| &user.id),
            user,
            entry.text,
        ])?;
    Ok(())
}

struct Channel<'a> {
    connection: &'a Connection,
    name: &'a str,
}

impl Channel<'_> {
    fn run(&self, sql: &str, params: impl rusqlite::Params) -> Result<usize, Error> {
        Ok(self.connection.prepare_cached(sql)?.execute(params)?)
    }

    fn event(&self, delivery: &Delivery, what: &What) -> Result<(), Error> {
        let (account, nonce) = match what {
            What::Message(message) => (Some(&message.user.id), delivery.inside.nonce.as_ref()),
            _ => (None, None),
        };
        let new = self.run(
            "INSERT OR IGNORE INTO event (channel, id, at_ms, what, account, nonce) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            params![self.name, delivery.id.to_string(), signed(delivery.at_ms), json("event", what)?, account, nonce],
        )?;
        if new == 0 {
            // Written before.
            return Ok(());
        }
        match what {
            What::Message(message) => self.said(delivery, message),
            What::Deleted { message, .. } => {
                self.run(
                    "UPDATE event SET gone = 1 WHERE channel = ?1 AND id = ?2",
                    params![self.name, message.to_string()],
                )?;
                Ok(())
            }
            What::Purged { user, .. } => self.taken_away(&user.id, delivery.id),
            What::Cleared { .. } => {
                self.run(
                    "INSERT INTO channel (channel, cleared_id) VALUES (?1, ?2)
                     ON CONFLICT (channel) DO UPDATE SET cleared_id = excluded.cleared_id",
                    params![self.name, delivery.id.to_string()],
                )?;
                Ok(())
            }
            What::Restricted { user, until_ms, reason, by } => {
                self.taken_away(&user.id, delivery.id)?;
                self.restricted(delivery, user, *until_ms, reason.as_deref(), by)
            }
            What::Released { user, .. } => self.released(&user.id),
            What::Role { user, .. } => self.role(user, delivery.at_ms),
            What::Settings { settings, .. } => {
                self.run(
                    "INSERT INTO channel (channel, settings) VALUES (?1, ?2)
                     ON CONFLICT (channel) DO UPDATE SET settings = excluded.settings",
                    params![self.name, json("settings", settings)?],
                )?;
                Ok(())
            }
        }
    }

    fn said(&self, delivery: &Delivery, message: &Message) -> Result<(), Error> {
        let Inside { addresses, role, created_s, followed_s, .. } = &delivery.inside;
        let user = User { role: role.unwrap_or(message.user.role), ..message.user.clone() };
        self.run(
            "INSERT INTO person (channel, account, user, first_ms, last_ms, messages, created_s, followed_s)
             VALUES (?1, ?2, ?3, ?4, ?4, 1, ?5, ?6)
             ON CONFLICT (channel, account) DO UPDATE SET
                user = excluded.user, first_ms = coalesce(first_ms, excluded.first_ms),
                last_ms = max(last_ms, excluded.last_ms), messages = messages + 1,
                created_s = coalesce(excluded.created_s, created_s), followed_s = excluded.followed_s",
            params![
                self.name,
                user.id,
                json("user", &user)?,
                signed(delivery.at_ms),
                created_s.map(signed),
                followed_s.map(signed),
            ],
        )?;
        if let Some(address) = addresses.first() {
            self.run(
                "INSERT INTO address (channel, account, hash, at_ms) VALUES (?1, ?2, ?3, ?4)
                 ON CONFLICT (channel, account, hash) DO UPDATE SET at_ms = excluded.at_ms
                 WHERE excluded.at_ms - at_ms > ?5",
                params![self.name, user.id, address.bytes(), signed(delivery.at_ms), ADDRESS_STEP_MS],
            )?;
        }
        Ok(())
    }

    /// All that somebody said before `id`.
    fn taken_away(&self, account: &str, id: EventId) -> Result<(), Error> {
        self.run(
            "UPDATE event SET gone = 1 WHERE account = ?2 AND channel = ?1 AND id < ?3 AND gone = 0",
            params![self.name, account, id.to_string()],
        )?;
        self.run("DELETE FROM held WHERE channel = ?1 AND account = ?2", params![self.name, account])?;
        Ok(())
    }

    fn restricted(
        &self,
        delivery: &Delivery,
        user: &User,
        until_ms: Option<u64>,
        reason: Option<&str>,
        by: &User,
    ) -> Result<(), Error> {
        let at_ms = signed(delivery.at_ms);
        self.released(&user.id)?;
        let user_json = json("user", user)?;
        self.run(
            "INSERT INTO restriction (channel, account, user, until_ms, reason, by, at_ms)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
            params![self.name, user.id, user_json, until_ms.map(signed), reason, json("by", by)?, at_ms],
        )?;
        for address in &delivery.inside.addresses {
            self.banned_address(&user.id, address, at_ms)?;
        }
        let (timeouts, bans) = if until_ms.is_some() { (1, 0) } else { (0, 1) };
        self.run(
            "INSERT INTO person (channel, account, user, last_ms, timeouts, bans) VALUES (?1, ?2, ?3, ?4, ?5, ?6)
             ON CONFLICT (channel, account) DO UPDATE SET
                timeouts = timeouts + excluded.timeouts, bans = bans + excluded.bans",
            params![self.name, user.id, user_json, at_ms, timeouts, bans],
        )?;
        Ok(())
    }

    fn banned_address(&self, account: &str, address: &AddressHash, at_ms: i64) -> Result<(), Error> {
        self.run(
            "INSERT OR REPLACE INTO banned_address (channel, account, hash, at_ms) VALUES (?1, ?2, ?3, ?4)",
            params![self.name, account, address.bytes(), at_ms],
        )?;
        Ok(())
    }

    fn released(&self, account: &str) -> Result<(), Error> {
        self.run("DELETE FROM restriction WHERE channel = ?1 AND account = ?2", params![self.name, account])?;
        Ok(())
    }

    fn role(&self, user: &User, at_ms: u64) -> Result<(), Error> {
        if user.role >= Role::Moderator {
            self.run(
                "INSERT OR REPLACE INTO moderator (channel, account, user, at_ms) VALUES (?1, ?2, ?3, ?4)",
                params![self.name, user.id, json("user", user)?, signed(at_ms)],
            )?;
        } else {
            self.run(
                "DELETE FROM moderator WHERE channel = ?1 AND account = ?2",
                params![self.name, user.id],
            )?;
        }
        Ok(())
    }

    fn note(&self, delivery: &Delivery, note: &Note) -> Result<(), Error> {
        match note {
            Note::Held { message, why } => self.run(
                "INSERT OR IGNORE INTO held (channel, id, at_ms, account, message, why, inside)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
                params![
                    self.name,
                    delivery.id.to_string(),
                    signed(delivery.at_ms),
                    message.user.id,
                    json("message", message)?,
                    why,
                    json("inside", &delivery.inside)?,
                ],
            )?,
            Note::Reviewed { held, .. } => self.run(
                "DELETE FROM held WHERE channel = ?1 AND id = ?2",
                params![self.name, held.to_string()],
            )?,
            Note::Term { term, then, .. } => self.run(
                "INSERT OR REPLACE INTO term (channel, term, refuse) VALUES (?1, ?2, ?3)",
                params![self.name, term, *then == Then::Refuse],
            )?,
            Note::TermGone { term, .. } => {
                self.run("DELETE FROM term WHERE channel = ?1 AND term = ?2", params![self.name, term])?
            }
            Note::Raid { until_ms, .. } => self.run(
                "INSERT INTO channel (channel, raid_until_ms) VALUES (?1, ?2)
                 ON CONFLICT (channel) DO UPDATE SET raid_until_ms = excluded.raid_until_ms",
                params![self.name, signed(*until_ms)],
            )?,
            Note::Erased { account } => {
                erase::in_channel(self.connection, self.name, account)?;
                0
            }
        };
        Ok(())
    }
}
