//! Deletes what is too old or too much, a little at a time, so that writing goes on in between.

use std::collections::HashSet;

use nodi_protocol::ChannelId;
use rusqlite::{Connection, Transaction, TransactionBehavior, params};

use super::{Config, Error, signed};
use crate::moderation::MAX_LOG;

/// Rows deleted at once: some tens of milliseconds.
const AT_ONCE: usize = 2_000;
/// Pages given back to the disk at once, 4 KiB each.
const VACUUM: usize = 500;
/// Held messages whose room never opened again, in milliseconds: one day.
const HELD_MS: u64 = 86_400_000;
const DAY_MS: u64 = 86_400_000;

/// Whether there is more to delete.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Left {
    Nothing,
    More,
}

/// One round. `touched`: channels in which something was written since the last round; those that are done are taken
/// out.
pub(super) fn clean(
    connection: &mut Connection,
    config: &Config,
    now_ms: u64,
    touched: &mut HashSet<ChannelId>,
) -> Result<Left, Error> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let before = |age_ms: u64| signed(now_ms.saturating_sub(age_ms));
    let old = before(u64::from(config.keep_days).saturating_mul(DAY_MS));
    let salt_ms = config.salt_s.saturating_mul(1_000);
    let limit = i64::try_from(AT_ONCE).unwrap_or(i64::MAX);
    let mut most = transaction.execute(
        "DELETE FROM event WHERE seq IN (SELECT seq FROM event WHERE at_ms < ?1 LIMIT ?2)",
        params![old, limit],
    )?;
    most = most.max(transaction.execute(
        "DELETE FROM person WHERE (channel, account) IN (
            SELECT p.channel, p.account FROM person p WHERE p.last_ms < ?1
              AND NOT EXISTS (SELECT 1 FROM restriction r WHERE r.channel = p.channel AND r.account = p.account)
              AND NOT EXISTS (SELECT 1 FROM moderator m WHERE m.channel = p.channel AND m.account = p.account)
            LIMIT ?2)",
        params![old, limit],
    )?);
    transaction.execute("DELETE FROM log WHERE at_ms < ?1", params![old])?;
    transaction.execute("DELETE FROM held WHERE at_ms < ?1", params![before(HELD_MS)])?;
    transaction.execute("DELETE FROM restriction WHERE until_ms <= ?1", params![signed(now_ms)])?;
    // What a salt that is gone has made says nothing.
    transaction.execute("DELETE FROM address WHERE at_ms < ?1", params![before(salt_ms)])?;
    transaction
        .execute("DELETE FROM banned_address WHERE at_ms < ?1", params![before(salt_ms.saturating_mul(2))])?;
    let mut done = Vec::new();
    for channel in touched.iter() {
        let deleted = too_much(&transaction, channel, config.keep_events)?;
        most = most.max(deleted);
        if deleted < AT_ONCE {
            done.push(channel.clone());
        }
    }
    transaction.commit()?;
    for channel in &done {
        touched.remove(channel);
    }
    let mut vacuum = connection.prepare(&format!("PRAGMA incremental_vacuum({VACUUM})"))?;
    let mut rows = vacuum.query([])?;
    // Each step frees a page.
    while rows.next()?.is_some() {}
    Ok(if most >= AT_ONCE { Left::More } else { Left::Nothing })
}

/// Deletes the oldest of a channel that has more than it may, and how many these were.
fn too_much(transaction: &Transaction<'_>, channel: &ChannelId, keep: u64) -> Result<usize, Error> {
    let deleted = transaction.execute(
        "DELETE FROM event WHERE seq IN (
            SELECT seq FROM event WHERE channel = ?1
              AND id <= (SELECT id FROM event WHERE channel = ?1 ORDER BY id DESC LIMIT 1 OFFSET ?2)
            ORDER BY id LIMIT ?3)",
        params![channel.as_str(), signed(keep), i64::try_from(AT_ONCE).unwrap_or(i64::MAX)],
    )?;
    transaction.execute(
        "DELETE FROM log WHERE channel = ?1
           AND id <= (SELECT id FROM log WHERE channel = ?1 ORDER BY id DESC LIMIT 1 OFFSET ?2)",
        params![channel.as_str(), i64::try_from(MAX_LOG).unwrap_or(i64::MAX)],
    )?;
    Ok(deleted)
}
