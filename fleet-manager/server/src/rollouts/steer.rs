//! What a person does with a rollout.

use std::collections::BTreeSet;

use nodi_protocol::BoxId;
use rusqlite::{Connection, params};

use super::plan::NewRollout;
use super::store::{self, Rollout, State};
use super::view;
use crate::audit::{self, Actor};
use crate::bundles;
use crate::db::Tx;
use crate::error::Error;
use crate::ids;
use crate::state::App;

/// Boxes that an answer names before it says only how many more there are.
const NAMED: usize = 20;

/// A draft.
///
/// # Errors
/// What of it is not possible.
pub(super) fn create(app: &App, tx: &Tx<'_>, new: NewRollout, actor: &Actor) -> Result<Rollout, Error> {
    let now_ms = app.now_ms();
    let (name, bundle, plan) = new.checked()?;
    let bundle =
        bundles::one(tx, &bundle)?.ok_or_else(|| Error::invalid("bundle", "there is no such bundle"))?;
    let registry = &app.boxes.registry;
    for (field, boxes) in [("canary", Some(&plan.canary)), ("boxes", plan.boxes.as_ref())] {
        for (index, id) in boxes.into_iter().flatten().enumerate() {
            let record = registry.get(id);
            let why = match &record {
                None => Some("there is no such box".to_owned()),
                Some(record) => store::unfit(Some(record), &bundle.compatible),
            };
            if let Some(why) = why {
                return Err(Error::invalid(format!("{field}[{index}]"), why));
            }
        }
    }
    let open: u32 =
        tx.query_row("SELECT count(*) FROM rollout WHERE ended_ms IS NULL", [], |row| row.get(0))?;
    if open >= app.config.rollouts.max_open {
        return Err(Error::conflict(format!("{open} rollouts are not over: abort one")));
    }
    store::forget_old(tx, app.config.rollouts.keep)?;
    let rollout = Rollout {
        id: ids::ulid(now_ms)?,
        name,
        bundle: bundle.sha256,
        version: bundle.version,
        compatible: bundle.compatible,
        plan,
        state: State::Draft,
        reason: String::new(),
        stage: 0,
        soak_ms: None,
        created_ms: now_ms,
        created_by: actor.name.clone(),
        started_ms: None,
        ended_ms: None,
    };
    store::insert(tx, &rollout)?;
    let target = format!("rollout/{}", rollout.id);
    let after = serde_json::json!({
        "name": rollout.name,
        "bundle": rollout.bundle,
        "version": rollout.version,
        "compatible": rollout.compatible,
        "plan": rollout.plan,
    });
    audit::record(tx, now_ms, actor, "rollout.create", &target, audit::NONE, Some(&after))?;
    touch(app, tx, &rollout.id);
    Ok(rollout)
}

fn touch(app: &App, tx: &Tx<'_>, id: &str) {
    let (app, id) = (app.clone(), id.to_owned());
    tx.then(move || app.rollouts.touch(id));
}

fn not_now(rollout: &Rollout, wanted: &str) -> Error {
    Error::conflict(format!("it is {}, and only what is {wanted} can do that", rollout.state.name()))
}

/// From draft to running: who is in it, and in which stage.
pub(super) fn start(app: &App, tx: &Tx<'_>, id: &str, actor: &Actor) -> Result<Rollout, Error> {
    let now_ms = app.now_ms();
    let mut rollout = store::one(tx, id)?;
    if rollout.state != State::Draft {
        return Err(not_now(&rollout, "a draft"));
    }
    if bundles::one(tx, &rollout.bundle)?.is_none() {
        return Err(Error::conflict("its bundle was removed"));
    }
    let registry = &app.boxes.registry;
    let wanted: Vec<BoxId> = match &rollout.plan.boxes {
        Some(boxes) => boxes.clone(),
        None => registry.records().iter().map(|record| record.id.clone()).collect(),
    };
    let (mut fit, mut unfit) = (Vec::new(), Vec::new());
    for id in wanted {
        match store::unfit(registry.get(&id).as_deref(), &rollout.compatible) {
            None => fit.push(id),
            Some(why) => unfit.push((id, why)),
        }
    }
    if fit.is_empty() {
        return Err(Error::conflict(format!("there is no box for {}", rollout.compatible)));
    }
    not_in_another(tx, &rollout, &fit)?;
    let name = |id: &BoxId| registry.get(id).map(|record| record.name.clone()).unwrap_or_default();
    for (box_id, stage) in rollout.plan.assign(&rollout.id, &fit) {
        store::add_box(tx, &rollout.id, &box_id, &name(&box_id), stage, None, now_ms)?;
    }
    // Of all boxes that there are, those for other boards are none of its business.
    if rollout.plan.boxes.is_some() {
        let last = rollout.plan.stage_count().saturating_sub(1);
        for (box_id, why) in unfit {
            store::add_box(tx, &rollout.id, &box_id, &name(&box_id), last, Some(&why), now_ms)?;
        }
    }
    store::change(tx, &mut rollout, actor, "rollout.start", now_ms, |rollout| {
        rollout.state = State::Running;
        rollout.started_ms = Some(now_ms);
    })?;
    touch(app, tx, id);
    Ok(rollout)
}

/// Two rollouts that steer the same boxes would undo each other.
fn not_in_another(connection: &Connection, rollout: &Rollout, boxes: &[BoxId]) -> Result<(), Error> {
    let ours: BTreeSet<&str> = boxes.iter().map(BoxId::as_str).collect();
    for id in store::under_way(connection)? {
        let other = store::one(connection, &id)?;
        let both_all = rollout.plan.boxes.is_none()
            && other.plan.boxes.is_none()
            && rollout.compatible == other.compatible;
        let mut statement = connection.prepare_cached(
            "SELECT box_id FROM rollout_box WHERE rollout_id = ?1 AND standing <> 'excluded'",
        )?;
        let mut rows = statement.query([&id])?;
        let mut shared = None;
        while let Some(row) = rows.next()? {
            let box_id: String = row.get(0)?;
            if ours.contains(box_id.as_str()) {
                shared = Some(box_id);
                break;
            }
        }
        if both_all || shared.is_some() {
            let which = shared.map_or_else(|| "all boxes".to_owned(), |id| format!("box {id}"));
            return Err(Error::conflict(format!(
                "the rollout {:?} is {} and has {which} too: abort it first",
                other.name,
                other.state.name()
            )));
        }
    }
    Ok(())
}

pub(super) fn pause(app: &App, tx: &Tx<'_>, id: &str, actor: &Actor) -> Result<Rollout, Error> {
    let mut rollout = store::one(tx, id)?;
    match rollout.state {
        // Twice is once.
        State::Paused => return Ok(rollout),
        State::Running | State::Gated => {}
        _ => return Err(not_now(&rollout, "running or gated")),
    }
    let now_ms = app.now_ms();
    store::hold_back(app, tx, id, "the rollout was paused", now_ms)?;
    store::change(tx, &mut rollout, actor, "rollout.pause", now_ms, |rollout| {
        rollout.state = State::Paused;
        rollout.reason = format!("paused by {}", actor.name);
    })?;
    touch(app, tx, id);
    Ok(rollout)
}

/// Opens the manual gate.
pub(super) fn proceed(app: &App, tx: &Tx<'_>, id: &str, actor: &Actor) -> Result<Rollout, Error> {
    let mut rollout = store::one(tx, id)?;
    if rollout.state != State::Gated {
        return Err(not_now(&rollout, "gated"));
    }
    store::change(tx, &mut rollout, actor, "rollout.continue", app.now_ms(), store::next_stage)?;
    touch(app, tx, id);
    Ok(rollout)
}

/// After a pause or a halt. Everything that failed is taken note of by naming it.
pub(super) fn resume(
    app: &App,
    tx: &Tx<'_>,
    id: &str,
    acknowledge: &[BoxId],
    retry: bool,
    actor: &Actor,
) -> Result<Rollout, Error> {
    let now_ms = app.now_ms();
    let mut rollout = store::one(tx, id)?;
    if !matches!(rollout.state, State::Halted | State::Paused) {
        return Err(not_now(&rollout, "halted or paused"));
    }
    let failed = view::failed(tx, id)?;
    let named: BTreeSet<&BoxId> = acknowledge.iter().collect();
    if let Some(index) = acknowledge.iter().position(|id| !failed.iter().any(|(failed, _)| failed == id)) {
        return Err(Error::invalid(format!("acknowledge[{index}]"), "is no box of it that failed"));
    }
    let missing: Vec<String> = failed
        .iter()
        .filter(|(id, known)| !known && !named.contains(id))
        .map(|(id, _)| id.to_string())
        .collect();
    if !missing.is_empty() {
        let more = missing.len().saturating_sub(NAMED);
        let mut text = missing.into_iter().take(NAMED).collect::<Vec<_>>().join(", ");
        if more > 0 {
            text = format!("{text} and {more} more");
        }
        return Err(Error::conflict(format!("these failed and are not acknowledged: {text}")));
    }
    for box_id in &named {
        let sql = if retry {
            "UPDATE rollout_box SET standing = 'pending', update_id = NULL, acknowledged = 0, changed_ms = ?3, text = ''
             WHERE rollout_id = ?1 AND box_id = ?2"
        } else {
            "UPDATE rollout_box SET acknowledged = 1, changed_ms = ?3 WHERE rollout_id = ?1 AND box_id = ?2"
        };
        tx.prepare_cached(sql)?.execute(params![id, box_id.as_str(), now_ms])?;
    }
    let note = serde_json::json!({ "acknowledged": named, "retry": retry });
    let target = format!("rollout/{id}");
    audit::record(tx, now_ms, actor, "rollout.acknowledge", &target, audit::NONE, Some(&note))?;
    store::change(tx, &mut rollout, actor, "rollout.resume", now_ms, |rollout| {
        rollout.state = State::Running;
        rollout.reason.clear();
    })?;
    touch(app, tx, id);
    Ok(rollout)
}

/// The end: orders that have not begun to install are withdrawn, the others end by themselves.
pub(super) fn abort(app: &App, tx: &Tx<'_>, id: &str, actor: &Actor) -> Result<Rollout, Error> {
    let now_ms = app.now_ms();
    let mut rollout = store::one(tx, id)?;
    if rollout.ended_ms.is_some() {
        return Err(not_now(&rollout, "not over"));
    }
    store::take_back(app, tx, id, "the rollout was aborted", now_ms)?;
    store::change(tx, &mut rollout, actor, "rollout.abort", now_ms, |rollout| {
        rollout.state = State::Aborted;
        rollout.reason = format!("aborted by {}", actor.name);
        rollout.ended_ms = Some(now_ms);
    })?;
    touch(app, tx, id);
    Ok(rollout)
}
