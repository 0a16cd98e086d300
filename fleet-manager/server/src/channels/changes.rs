//! What changes a channel or its keys: each in a transaction with its row in the audit log, the revocation document and
//! what browsers hear of it.

use nodi_protocol::ChannelId;
use nodi_protocol::stream_key::{Grant, SELF_TEST_CHANNEL, StreamKey};
use rusqlite::params;
use serde::Serialize;

use super::rows::{self, Channel, KeyView};
use crate::audit::{self, Actor, NONE};
use crate::db::Tx;
use crate::error::Error;
use crate::ids;
use crate::live::{Audience, Kind};
use crate::people::rows as people;
use crate::state::App;

pub(crate) fn target(id: &ChannelId) -> String {
    format!("channel/{id}")
}

pub(crate) fn get(tx: &Tx<'_>, id: &ChannelId) -> Result<Channel, Error> {
    rows::get(tx, id)?.ok_or_else(|| Error::not_found("channel", id))
}

/// After a change: the row in the audit log, and the channel as it is now to all who look at it.
pub(crate) fn changed(
    app: &App,
    tx: &Tx<'_>,
    actor: &Actor,
    action: &str,
    before: Option<&Channel>,
    id: &ChannelId,
) -> Result<Channel, Error> {
    let after = get(tx, id)?;
    audit::record(tx, app.now_ms(), actor, action, &target(id), before, Some(&after))?;
    tell(app, tx, after.clone())?;
    Ok(after)
}

pub(crate) fn tell(app: &App, tx: &Tx<'_>, channel: Channel) -> Result<(), Error> {
    let view = rows::view(app, tx, channel)?;
    let live = app.live.clone();
    tx.then(move || live.send(Kind::Channel, Audience::Channel(view.id.clone()), &view));
    Ok(())
}

/// What a new key is like.
#[derive(Debug, Clone, Default)]
pub struct NewKey {
    pub label: String,
    pub expires_ms: Option<i64>,
}

/// A key that was just made.
#[derive(Debug)]
pub struct Minted {
    pub key: StreamKey,
    pub version: u32,
}

/// What the audit log says of keys.
#[derive(Serialize)]
struct Keys {
    key: Option<KeyView>,
    min_version: u32,
}

/// Mints a key; with `rotate` every key of the channel that was made before is revoked.
///
/// # Errors
/// When there is no such channel, it has too many keys, or the database fails.
pub fn mint(
    app: &App,
    tx: &Tx<'_>,
    actor: &Actor,
    id: &ChannelId,
    new: &NewKey,
    rotate: bool,
) -> Result<Minted, Error> {
    let now_ms = app.now_ms();
    let channel = get(tx, id)?;
    let version = channel.next_version;
    if version == u32::MAX {
        return Err(Error::conflict("this channel has used up its key versions"));
    }
    if rotate {
        revoke_below(app, tx, id, version, now_ms)?;
    } else {
        let held: u32 = tx
            .prepare_cached(
                "SELECT count(*) FROM stream_key WHERE channel_id = ?1 AND revoked_ms IS NULL
                 AND (expires_ms IS NULL OR expires_ms > ?2)",
            )?
            .query_row(params![id.as_str(), now_ms], |row| row.get(0))?;
        if held >= app.config.channels.keys_per_channel {
            return Err(Error::conflict(format!("this channel has {held} keys already; revoke some first")));
        }
    }
    // Keys count their expiry in seconds; rounded up, so that a key lives at least as long as was asked for.
    let expires_at = new.expires_ms.map(|ms| u64::try_from(ms).unwrap_or(0).div_ceil(1_000));
    let key = app.channels.signing.mint(&Grant { channel: id.clone(), version, expires_at });
    tx.prepare_cached(
        "INSERT INTO stream_key (channel_id, version, label, digest, created_ms, created_by, expires_ms)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
    )?
    .execute(params![
        id.as_str(),
        version,
        new.label,
        ids::digest(key.reveal()),
        now_ms,
        actor.name,
        new.expires_ms
    ])?;
    tx.prepare_cached("UPDATE channel SET next_version = ?2 WHERE id = ?1")?
        .execute(params![id.as_str(), version + 1])?;
    let after = get(tx, id)?;
    let key_view = rows::keys(tx, id)?.into_iter().find(|key| key.version == version);
    let action = if rotate { "channel.key.rotate" } else { "channel.key.mint" };
    let said = Keys { key: key_view, min_version: after.min_version };
    let before = rotate.then_some(Keys { key: None, min_version: channel.min_version });
    audit::record(tx, now_ms, actor, action, &target(id), before.as_ref(), Some(&said))?;
    tell(app, tx, after)?;
    Ok(Minted { key, version })
}

/// Revokes this version and all older ones.
pub(crate) fn revoke(
    app: &App,
    tx: &Tx<'_>,
    actor: &Actor,
    id: &ChannelId,
    version: u32,
) -> Result<Channel, Error> {
    let now_ms = app.now_ms();
    let channel = get(tx, id)?;
    if version == 0 || version >= channel.next_version {
        return Err(Error::not_found("stream key version", version));
    }
    revoke_below(app, tx, id, version + 1, now_ms)?;
    let after = get(tx, id)?;
    let said = |channel: &Channel| Keys { key: None, min_version: channel.min_version };
    audit::record(
        tx,
        now_ms,
        actor,
        "channel.key.revoke",
        &target(id),
        Some(&said(&channel)),
        Some(&said(&after)),
    )?;
    tell(app, tx, after.clone())?;
    Ok(after)
}

/// Revokes every key that there is, and takes away what was written about a channel: its owner leaves.
pub(crate) fn retire(app: &App, tx: &Tx<'_>, actor: &Actor, id: &ChannelId) -> Result<(), Error> {
    let before = get(tx, id)?;
    revoke_below(app, tx, id, before.next_version, app.now_ms())?;
    tx.prepare_cached("UPDATE channel SET title = '', description = '', owner_id = NULL WHERE id = ?1")?
        .execute([id.as_str()])?;
    tx.prepare_cached("DELETE FROM emote WHERE channel_id = ?1")?.execute([id.as_str()])?;
    changed(app, tx, actor, "channel.retire", Some(&before), id)?;
    Ok(())
}

fn revoke_below(app: &App, tx: &Tx<'_>, id: &ChannelId, version: u32, now_ms: i64) -> Result<(), Error> {
    tx.prepare_cached("UPDATE channel SET min_version = max(min_version, ?2) WHERE id = ?1")?
        .execute(params![id.as_str(), version])?;
    tx.prepare_cached(
        "UPDATE stream_key SET revoked_ms = ?3 WHERE channel_id = ?1 AND version < ?2 AND revoked_ms IS NULL",
    )?
    .execute(params![id.as_str(), version, now_ms])?;
    app.revoked.refresh(tx)
}

/// What viewers read of a channel; what is `None` stays.
pub(crate) fn describe(
    tx: &Tx<'_>,
    id: &ChannelId,
    title: Option<&str>,
    description: Option<&str>,
) -> Result<(), Error> {
    tx.prepare_cached(
        "UPDATE channel SET title = coalesce(?2, title), description = coalesce(?3, description) WHERE id = ?1",
    )?
    .execute(params![id.as_str(), title, description])?;
    Ok(())
}

/// Nobody may publish from now on, and who does is cut off.
pub(crate) fn suspend(
    app: &App,
    tx: &Tx<'_>,
    actor: &Actor,
    id: &ChannelId,
    reason: &str,
) -> Result<Channel, Error> {
    let before = get(tx, id)?;
    tx.execute(
        "UPDATE channel SET suspended_ms = coalesce(suspended_ms, ?2), suspended_reason = ?3 WHERE id = ?1",
        params![id.as_str(), app.now_ms(), reason],
    )?;
    app.revoked.refresh(tx)?;
    changed(app, tx, actor, "channel.suspend", Some(&before), id)
}

pub(crate) fn resume(app: &App, tx: &Tx<'_>, actor: &Actor, id: &ChannelId) -> Result<Channel, Error> {
    let before = get(tx, id)?;
    if before.suspended_ms.is_none() {
        return Ok(before);
    }
    tx.execute(
        "UPDATE channel SET suspended_ms = NULL, suspended_reason = NULL WHERE id = ?1",
        [id.as_str()],
    )?;
    app.revoked.refresh(tx)?;
    changed(app, tx, actor, "channel.resume", Some(&before), id)
}

/// What a new channel is like.
pub(crate) struct NewChannel {
    pub(crate) id: ChannelId,
    pub(crate) display_name: String,
    pub(crate) owner: Option<String>,
}

pub(crate) fn create(app: &App, tx: &Tx<'_>, actor: &Actor, new: &NewChannel) -> Result<Channel, Error> {
    let there: u32 = tx.query_row("SELECT count(*) FROM channel", [], |row| row.get(0))?;
    let most = app.config.channels.max_channels;
    if there >= most {
        return Err(Error::conflict(format!(
            "there are {there} channels already, the most that there may be"
        )));
    }
    if new.id.as_str() == SELF_TEST_CHANNEL {
        return Err(Error::invalid("id", "belongs to the boxes themselves, who test their video with it"));
    }
    check_owner(tx, new.owner.as_deref())?;
    tx.execute(
        "INSERT INTO channel (id, display_name, owner_id, created_ms) VALUES (?1, ?2, ?3, ?4)",
        params![new.id.as_str(), new.display_name, new.owner, app.now_ms()],
    )
    .map_err(|error| {
        if crate::error::is_duplicate(&error) {
            Error::conflict(format!("there is a channel {:?} already", new.id.as_str()))
        } else {
            error.into()
        }
    })?;
    if let Some(owner) = &new.owner {
        people::owns_now(tx, owner)?;
    }
    let after = get(tx, &new.id)?;
    audit::record(tx, app.now_ms(), actor, "channel.create", &target(&new.id), NONE, Some(&after))?;
    tell(app, tx, after.clone())?;
    Ok(after)
}

pub(crate) fn check_owner(tx: &Tx<'_>, owner: Option<&str>) -> Result<(), Error> {
    let Some(owner) = owner else { return Ok(()) };
    let known: i64 = tx.query_row("SELECT count(*) FROM person WHERE id = ?1", [owner], |row| row.get(0))?;
    if known == 0 { Err(Error::invalid("owner", "there is no such person")) } else { Ok(()) }
}
