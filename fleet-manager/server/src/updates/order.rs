//! Giving a box its order.

use nodi_protocol::fleet::Payload as _;
use nodi_protocol::fleet::update::{self, Deadlines, Order};
use nodi_protocol::{BoxId, UpdateId};
use rusqlite::{OptionalExtension as _, params};

use super::states::State;
use super::store::{self, UpdateView};
use crate::boxes;
use crate::bundles::Bundle;
use crate::db::Tx;
use crate::error::Error;
use crate::ids;
use crate::state::App;

/// A box that has not begun after so long never begins, in seconds, unless the order says otherwise: a day has a quiet hour.
pub const BEGIN_S: u32 = 24 * 3_600;
const BEGIN_RANGE: std::ops::RangeInclusive<u32> = 10..=30 * 24 * 3_600;
/// Of one state, in seconds.
const DEADLINE_RANGE: std::ops::RangeInclusive<u32> = 1..=7 * 24 * 3_600;

/// What one box is to become.
#[derive(Debug, Clone)]
pub struct Wish<'a> {
    pub bundle: &'a Bundle,
    pub force: bool,
    pub deadlines: Deadlines,
    pub begin_s: u32,
    /// Who steers it.
    pub rollout: Option<&'a str>,
    pub issued_by: &'a str,
}

/// # Errors
/// Which one is out of bounds.
pub fn check_deadlines(deadlines: &Deadlines) -> Result<(), Error> {
    for (name, seconds) in [
        ("download_s", deadlines.download_s),
        ("install_s", deadlines.install_s),
        ("reboot_s", deadlines.reboot_s),
        ("trial_s", deadlines.trial_s),
    ] {
        if !DEADLINE_RANGE.contains(&seconds) {
            let (least, most) = (DEADLINE_RANGE.start(), DEADLINE_RANGE.end());
            let reason = format!("{seconds} is not between {least} and {most}");
            return Err(Error::invalid(format!("deadlines.{name}"), reason));
        }
    }
    Ok(())
}

/// # Errors
/// When it is out of bounds.
pub fn check_begin_s(begin_s: u32) -> Result<(), Error> {
    if !BEGIN_RANGE.contains(&begin_s) {
        let (least, most) = (BEGIN_RANGE.start(), BEGIN_RANGE.end());
        return Err(Error::invalid("begin_s", format!("{begin_s} is not between {least} and {most}")));
    }
    Ok(())
}

/// Gives a box its order, in place of an older one that has not begun to install. It is on its way once the transaction is
/// committed.
///
/// # Errors
/// When there is no such box, it cannot take this bundle, or it installs just now.
pub fn give(app: &App, tx: &Tx<'_>, box_id: &BoxId, wish: &Wish<'_>) -> Result<UpdateView, Error> {
    let now_ms = app.now_ms();
    let bundle = wish.bundle;
    let record = boxes::store::one(tx, box_id, now_ms)?.ok_or_else(|| Error::not_found("box", box_id))?;
    if record.revoked.is_some() {
        return Err(Error::conflict(format!("{box_id} is revoked")));
    }
    // What it said last is in memory first.
    let hardware = app.boxes.registry.get(box_id).map_or(record.hardware, |known| known.hardware.clone());
    match &hardware.compatible {
        Some(compatible) if *compatible == bundle.compatible => {}
        Some(compatible) => {
            let reason = format!("{box_id} is {compatible}, and the bundle is for {}", bundle.compatible);
            return Err(Error::conflict(reason));
        }
        None => return Err(Error::conflict(format!("{box_id} does not say that it takes updates"))),
    }
    if let Some(open) = store::open_of(tx, box_id)? {
        if !open.state.is_before_installing() {
            return Err(Error::conflict(format!("{box_id} is {} already", open.state.name())));
        }
        store::set_over(app, tx, &open.id, State::Withdrawn, "a newer order took its place", now_ms)?;
    }
    let newest: Option<String> = tx
        .prepare_cached("SELECT max(id) FROM box_update WHERE box_id = ?1")?
        .query_row([box_id.as_str()], |row| row.get(0))
        .optional()?
        .flatten();
    let unsigned = |ms: i64| u64::try_from(ms).unwrap_or(0);
    // The newer order has the greater id, whatever the clock did meanwhile.
    let newest = newest.and_then(|id| id.parse::<UpdateId>().ok()).map_or(0, UpdateId::unix_ms);
    let id = UpdateId::new(unsigned(now_ms).max(newest + 1), u128::from_be_bytes(ids::random()?));
    let token = ids::secret("nodi_bu_")?;
    let expires_ms = now_ms + i64::from(wish.begin_s) * 1_000;
    let order = Order {
        id,
        issued_ms: unsigned(now_ms),
        expires_ms: unsigned(expires_ms),
        bundle: update::Bundle {
            version: bundle.version.clone(),
            compatible: bundle.compatible.clone(),
            url: format!("{}/api/v1/bundles/{}/content", app.config.public_url, bundle.sha256),
            token: Some(token.clone()),
            bytes: bundle.bytes,
            sha256: bundle.sha256.to_string(),
        },
        force: wish.force,
        deadlines: wish.deadlines,
    };
    let message = order.to_json().map_err(|error| Error::Internal(error.to_string()))?;
    let message = String::from_utf8(message).map_err(|error| Error::Internal(error.to_string()))?;
    tx.prepare_cached(
        "INSERT INTO box_update (id, box_id, rollout_id, bundle, version, force, deadlines, message, token_digest, state,
             issued_ms, issued_by, expires_ms, changed_ms, deadline_ms)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, 'ordered', ?10, ?11, ?12, ?10, ?12)",
    )?
    .execute(params![
        id.to_string(),
        box_id.as_str(),
        wish.rollout,
        bundle.sha256.as_str(),
        bundle.version,
        wish.force,
        serde_json::to_string(&wish.deadlines)?,
        message,
        ids::digest(&token),
        now_ms,
        wish.issued_by,
        expires_ms,
    ])?;
    store::forget_old(tx, box_id, app.config.updates.keep_per_box)?;
    let view = store::one(tx, &id)?.ok_or_else(|| Error::not_found("update", id))?;
    store::tell(app, tx, &view);
    Ok(view)
}
