//! A box stops being ours.

use nodi_protocol::BoxId;
use rusqlite::params;

use super::certificates;
use crate::audit::{self, Actor};
use crate::boxes::Revocation;
use crate::error::Error;
use crate::state::App;
use crate::{boxes, commands, live, telemetry, updates};

/// Longest reason, in characters.
const MAX_REASON: usize = 200;

/// Takes back a box's certificates. Once this returns it is on the disk; the broker and the origins follow within
/// seconds (`link::cut`).
///
/// # Errors
/// When there is no such box, or it is revoked already.
pub(super) async fn revoke(app: &App, id: &BoxId, reason: &str, actor: Actor) -> Result<(), Error> {
    let reason = reason.trim().to_owned();
    if reason.chars().count() > MAX_REASON {
        return Err(Error::invalid("reason", format!("is longer than {MAX_REASON} characters")));
    }
    let now_ms = app.now_ms();
    let (shared, id) = (app.clone(), id.clone());
    app.db
        .write(move |tx| {
            let record = boxes::store::one(tx, &id, now_ms)?.ok_or_else(|| Error::not_found("box", &id))?;
            if record.revoked.is_some() {
                return Err(Error::conflict(format!("{id} is revoked already")));
            }
            tx.execute(
                "UPDATE box SET revoked_ms = ?2, revoked_reason = ?3, online = 0 WHERE id = ?1",
                params![id.as_str(), now_ms, reason],
            )?;
            certificates::revoke(tx, &id, now_ms)?;
            commands::withdraw_all(&shared, tx, &id, now_ms)?;
            updates::withdraw_all(&shared, tx, &id, now_ms)?;
            shared.revoked.refresh(tx)?;
            let revocation = Revocation { at_ms: now_ms, reason };
            audit::record(
                tx,
                now_ms,
                &actor,
                "box.revoke",
                &format!("box/{id}"),
                audit::NONE,
                Some(&revocation),
            )?;
            let app = shared.clone();
            tx.then(move || {
                app.boxes.registry.update(&id, now_ms, |record| {
                    record.revoked = Some(revocation);
                    record.certificate = None;
                    record.sessions = std::sync::Arc::default();
                });
                app.boxes.registry.tell(boxes::Change::Box(id.clone()));
                app.link.cut(id);
            });
            Ok(())
        })
        .await
}

/// Removes a revoked box and everything that it reported. Its certificates stay on the revocation list.
///
/// # Errors
/// When there is no such box, or it is not revoked.
pub(super) async fn remove(app: &App, id: &BoxId, actor: Actor) -> Result<(), Error> {
    let now_ms = app.now_ms();
    let (shared, id) = (app.clone(), id.clone());
    app.db
        .write(move |tx| {
            let record = boxes::store::one(tx, &id, now_ms)?.ok_or_else(|| Error::not_found("box", &id))?;
            if record.revoked.is_none() {
                return Err(Error::conflict(format!("{id} is not revoked: revoke it first")));
            }
            commands::remove_files(&shared, tx, &id)?;
            telemetry::remove_box(tx, record.no)?;
            tx.execute("DELETE FROM box WHERE id = ?1", [id.as_str()])?;
            shared.revoked.refresh(tx)?;
            let before = serde_json::json!({ "name": record.name, "revoked": record.revoked });
            audit::record(
                tx,
                now_ms,
                &actor,
                "box.delete",
                &format!("box/{id}"),
                Some(&before),
                audit::NONE,
            )?;
            let app = shared.clone();
            tx.then(move || {
                app.telemetry.forget(record.no);
                app.boxes.registry.remove(&id);
                app.live.send(
                    live::Kind::BoxRemoved,
                    live::Audience::Staff,
                    &serde_json::json!({ "id": id }),
                );
                app.link.forget(&id);
            });
            Ok(())
        })
        .await
}
