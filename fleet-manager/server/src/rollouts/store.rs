//! Rollouts in the database.

use std::collections::{BTreeMap, BTreeSet};

use nodi_protocol::BoxId;
use rusqlite::{Connection, OptionalExtension as _, Row, params};
use serde::{Deserialize, Serialize};

use super::decide::{Member, Snapshot, Standing, Step};
use super::plan::Plan;
use crate::audit::{self, Actor};
use crate::boxes::Record;
use crate::bundles::{self, Bundle, BundleId};
use crate::db::Tx;
use crate::error::Error;
use crate::state::App;
use crate::updates::{self, UpdateState, Wish};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = RolloutState)]
pub enum State {
    /// Not started.
    Draft,
    Running,
    /// An error threshold was reached: nobody new begins.
    Halted,
    /// A stage is done, and a person has to continue.
    Gated,
    /// By a person: nobody new begins.
    Paused,
    Done,
    Aborted,
}

impl State {
    pub(super) const ALL: [Self; 7] =
        [Self::Draft, Self::Running, Self::Halted, Self::Gated, Self::Paused, Self::Done, Self::Aborted];

    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Draft => "draft",
            Self::Running => "running",
            Self::Halted => "halted",
            Self::Gated => "gated",
            Self::Paused => "paused",
            Self::Done => "done",
            Self::Aborted => "aborted",
        }
    }

    pub(super) fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.name() == name)
    }

    /// It was started and is not over.
    #[must_use]
    pub fn is_under_way(self) -> bool {
        matches!(self, Self::Running | Self::Halted | Self::Gated | Self::Paused)
    }
}

/// A row.
#[derive(Debug, Clone)]
pub(super) struct Rollout {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) bundle: BundleId,
    pub(super) version: String,
    pub(super) compatible: String,
    pub(super) plan: Plan,
    pub(super) state: State,
    pub(super) reason: String,
    pub(super) stage: usize,
    pub(super) soak_ms: Option<i64>,
    pub(super) created_ms: i64,
    pub(super) created_by: String,
    pub(super) started_ms: Option<i64>,
    pub(super) ended_ms: Option<i64>,
}

/// A rollout that goes on only with a person.
#[derive(Debug, Clone)]
pub struct Halted {
    pub name: String,
    pub version: String,
    pub reason: String,
}

pub(super) const COLUMNS: &str = "id, name, bundle, version, compatible, plan, state, reason, stage, soak_ms, created_ms, \
     created_by, started_ms, ended_ms";

fn broken(what: impl std::fmt::Display) -> Error {
    Error::Internal(format!("database: rollout: {what}"))
}

pub(super) fn read(row: &Row<'_>) -> Result<Rollout, Error> {
    let state: String = row.get("state")?;
    Ok(Rollout {
        id: row.get("id")?,
        name: row.get("name")?,
        bundle: BundleId::try_from(row.get::<_, String>("bundle")?).map_err(broken)?,
        version: row.get("version")?,
        compatible: row.get("compatible")?,
        plan: serde_json::from_str(&row.get::<_, String>("plan")?)?,
        state: State::from_name(&state).ok_or_else(|| broken(&state))?,
        reason: row.get("reason")?,
        stage: usize::try_from(row.get::<_, i64>("stage")?).map_err(broken)?,
        soak_ms: row.get("soak_ms")?,
        created_ms: row.get("created_ms")?,
        created_by: row.get("created_by")?,
        started_ms: row.get("started_ms")?,
        ended_ms: row.get("ended_ms")?,
    })
}

/// # Errors
/// When there is none.
pub(super) fn one(connection: &Connection, id: &str) -> Result<Rollout, Error> {
    let mut statement = connection.prepare_cached(&format!("SELECT {COLUMNS} FROM rollout WHERE id = ?1"))?;
    let mut rows = statement.query([id])?;
    rows.next()?.map(read).transpose()?.ok_or_else(|| Error::not_found("rollout", id))
}

/// Ids of those that were started and are not over.
pub(super) fn under_way(connection: &Connection) -> Result<Vec<String>, Error> {
    let mut statement = connection
        .prepare_cached("SELECT id FROM rollout WHERE ended_ms IS NULL AND state <> 'draft' ORDER BY id")?;
    let ids = statement.query_map([], |row| row.get(0))?.collect::<rusqlite::Result<_>>()?;
    Ok(ids)
}

/// Those that are halted: id, and what they are called, bring and halted for.
///
/// # Errors
/// SQLite's.
pub fn halted(connection: &Connection) -> Result<Vec<(String, Halted)>, Error> {
    let mut statement = connection.prepare_cached(
        "SELECT id, name, version, reason FROM rollout WHERE ended_ms IS NULL AND state = 'halted' ORDER BY id",
    )?;
    let rows = statement.query_map([], |row| {
        Ok((row.get(0)?, Halted { name: row.get(1)?, version: row.get(2)?, reason: row.get(3)? }))
    })?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

/// How many there are in each state.
pub(super) fn counts(connection: &Connection) -> Result<BTreeMap<String, i64>, Error> {
    let mut statement = connection.prepare_cached("SELECT state, count(*) FROM rollout GROUP BY state")?;
    let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

/// The name of a rollout that is not over.
///
/// # Errors
/// SQLite's.
pub fn name_of_open(connection: &Connection, id: &str) -> Result<Option<String>, Error> {
    Ok(connection
        .prepare_cached("SELECT name FROM rollout WHERE id = ?1 AND ended_ms IS NULL")?
        .query_row([id], |row| row.get(0))
        .optional()?)
}

pub(super) fn insert(connection: &Connection, rollout: &Rollout) -> Result<(), Error> {
    connection
        .prepare_cached(
            "INSERT INTO rollout (id, name, bundle, version, compatible, plan, state, created_ms, created_by)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
        )?
        .execute(params![
            rollout.id,
            rollout.name,
            rollout.bundle.as_str(),
            rollout.version,
            rollout.compatible,
            serde_json::to_string(&rollout.plan)?,
            rollout.state.name(),
            rollout.created_ms,
            rollout.created_by,
        ])?;
    Ok(())
}

/// Forgets the oldest that are over.
pub(super) fn forget_old(connection: &Connection, keep: u32) -> Result<(), Error> {
    connection
        .prepare_cached(
            "DELETE FROM rollout WHERE ended_ms IS NOT NULL AND id IN (
                 SELECT id FROM rollout WHERE ended_ms IS NOT NULL ORDER BY id DESC LIMIT -1 OFFSET ?1)",
        )?
        .execute([keep])?;
    Ok(())
}

/// Why a box cannot take what this rollout brings; `None`: it can.
pub(super) fn unfit(record: Option<&Record>, compatible: &str) -> Option<String> {
    let Some(record) = record else { return Some("the box was removed".to_owned()) };
    if record.revoked.is_some() {
        return Some("the box is revoked".to_owned());
    }
    match &record.hardware.compatible {
        Some(its) if its == compatible => None,
        Some(its) => Some(format!("the box is {its}, and the bundle is for {compatible}")),
        None => Some("the box does not say that it takes updates".to_owned()),
    }
}

/// The rollout and all that counts for it.
pub(super) fn snapshot(app: &App, connection: &Connection, id: &str) -> Result<(Rollout, Snapshot), Error> {
    let rollout = one(connection, id)?;
    let registry = &app.boxes.registry;
    let orders: BTreeMap<String, String> = connection
        .prepare_cached("SELECT box_id, id FROM box_update WHERE over_ms IS NULL")?
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect::<rusqlite::Result<_>>()?;
    let mut statement = connection.prepare_cached(
        "SELECT r.box_id, r.stage, r.standing, r.acknowledged, r.update_id, u.state FROM rollout_box AS r
         LEFT JOIN box_update AS u ON u.id = r.update_id WHERE r.rollout_id = ?1 ORDER BY r.stage, r.box_id",
    )?;
    let mut rows = statement.query([id])?;
    let mut members = Vec::new();
    while let Some(row) = rows.next()? {
        let box_id: String = row.get(0)?;
        let update: Option<String> = row.get(4)?;
        let busy = orders.get(&box_id).is_some_and(|open| Some(open) != update.as_ref());
        let box_id: BoxId = box_id.parse().map_err(broken)?;
        let record = registry.get(&box_id);
        let standing = standing(&row.get::<_, String>(2)?, row.get::<_, Option<String>>(5)?.as_deref())?;
        let says_it = record.as_ref().is_some_and(|record| record.version == rollout.version);
        members.push(Member {
            stage: usize::try_from(row.get::<_, i64>(1)?).map_err(broken)?,
            standing,
            acknowledged: row.get(3)?,
            unfit: unfit(record.as_deref(), &rollout.compatible),
            // One that went silent said so in its trial, and may have gone back since.
            runs_it: says_it
                && (standing == Standing::Confirmed || !updates::is_silent(connection, &box_id)?),
            busy,
            id: box_id,
        });
    }
    let joining = if rollout.plan.boxes.is_none() && rollout.state.is_under_way() {
        let known: BTreeSet<&BoxId> = members.iter().map(|member| &member.id).collect();
        let mut joining: Vec<BoxId> = registry
            .records()
            .iter()
            .filter(|record| {
                !known.contains(&record.id) && unfit(Some(record), &rollout.compatible).is_none()
            })
            .map(|record| record.id.clone())
            .collect();
        joining.sort_unstable();
        joining
    } else {
        Vec::new()
    };
    let file =
        bundles::one(connection, &rollout.bundle)?.is_some() && app.bundles.path(&rollout.bundle).exists();
    let snapshot = Snapshot {
        id: rollout.id.clone(),
        state: rollout.state,
        plan: rollout.plan.clone(),
        version: rollout.version.clone(),
        stage: rollout.stage,
        soak_ms: rollout.soak_ms,
        bundle: file,
        members,
        joining,
    };
    Ok((rollout, snapshot))
}

/// What a box's row and its newest order come to.
pub(super) fn standing(own: &str, update: Option<&str>) -> Result<Standing, Error> {
    Ok(match own {
        "confirmed" => Standing::Confirmed,
        "excluded" => Standing::Excluded { returns: true },
        "pending" | "ordered" => {
            match update.map(|name| UpdateState::from_name(name).ok_or_else(|| broken(name))).transpose()? {
                // Without an order, or held back before it had begun.
                None | Some(UpdateState::Withdrawn) if own == "pending" => Standing::Pending,
                // Removed with its box, or taken back by a person.
                None | Some(UpdateState::Withdrawn) => Standing::Excluded { returns: false },
                Some(UpdateState::Confirmed) => Standing::Confirmed,
                Some(UpdateState::Failed | UpdateState::Expired) => Standing::Failed { early: true },
                Some(UpdateState::RolledBack | UpdateState::Silent) => Standing::Failed { early: false },
                Some(_) => Standing::Running,
            }
        }
        other => return Err(broken(other)),
    })
}

/// Puts a box into the rollout.
pub(super) fn add_box(
    connection: &Connection,
    rollout: &str,
    id: &BoxId,
    name: &str,
    stage: usize,
    unfit: Option<&str>,
    now_ms: i64,
) -> Result<(), Error> {
    connection
        .prepare_cached(
            "INSERT INTO rollout_box (rollout_id, box_id, box_name, stage, standing, text, changed_ms)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        )?
        .execute(params![
            rollout,
            id.as_str(),
            name,
            i64::try_from(stage).unwrap_or(i64::MAX),
            if unfit.is_some() { "excluded" } else { "pending" },
            unfit.unwrap_or_default(),
            now_ms,
        ])?;
    Ok(())
}

/// A change of the rollout itself, by a person or by itself, and its line in the audit log.
pub(super) fn change(
    tx: &Tx<'_>,
    rollout: &mut Rollout,
    actor: &Actor,
    action: &str,
    now_ms: i64,
    change: impl FnOnce(&mut Rollout),
) -> Result<(), Error> {
    let told = |rollout: &Rollout| {
        serde_json::json!({
            "name": rollout.name,
            "version": rollout.version,
            "state": rollout.state,
            "stage": rollout.plan.stage_name(rollout.stage),
            "reason": rollout.reason,
        })
    };
    let before = told(rollout);
    change(rollout);
    tx.prepare_cached(
        "UPDATE rollout SET state = ?2, reason = ?3, stage = ?4, soak_ms = ?5, started_ms = ?6, ended_ms = ?7 WHERE id = ?1",
    )?
    .execute(params![
        rollout.id,
        rollout.state.name(),
        rollout.reason,
        i64::try_from(rollout.stage).unwrap_or(i64::MAX),
        rollout.soak_ms,
        rollout.started_ms,
        rollout.ended_ms,
    ])?;
    let target = format!("rollout/{}", rollout.id);
    audit::record(tx, now_ms, actor, action, &target, Some(&before), Some(&told(rollout)))
}

/// Does what was decided; nothing of it counts before the transaction is committed.
pub(super) fn apply(
    app: &App,
    tx: &Tx<'_>,
    rollout: &mut Rollout,
    steps: &[Step],
    now_ms: i64,
) -> Result<(), Error> {
    let bundle = bundles::one(tx, &rollout.bundle)?;
    for step in steps {
        apply_one(app, tx, rollout, bundle.as_ref(), step, now_ms)?;
    }
    let (app, id) = (app.clone(), rollout.id.clone());
    tx.then(move || app.rollouts.touch(id));
    Ok(())
}

fn apply_one(
    app: &App,
    tx: &Tx<'_>,
    rollout: &mut Rollout,
    bundle: Option<&Bundle>,
    step: &Step,
    now_ms: i64,
) -> Result<(), Error> {
    let id = rollout.id.clone();
    let system = Actor::system();
    let set = |box_id: &BoxId, standing: &str, text: &str| {
        tx.prepare_cached(
            "UPDATE rollout_box SET standing = ?3, text = ?4, changed_ms = ?5 WHERE rollout_id = ?1 AND box_id = ?2",
        )?
        .execute(params![id, box_id.as_str(), standing, text, now_ms])
    };
    match step {
        Step::Join { id: box_id, stage } => {
            let name = app.boxes.registry.get(box_id).map(|record| record.name.clone());
            add_box(tx, &id, box_id, &name.unwrap_or_default(), *stage, None, now_ms)?;
        }
        Step::Exclude { id: box_id, why } => {
            set(box_id, "excluded", why)?;
        }
        Step::Return { id: box_id, stage } => {
            set(box_id, "pending", "")?;
            tx.prepare_cached("UPDATE rollout_box SET stage = ?3 WHERE rollout_id = ?1 AND box_id = ?2")?
                .execute(params![id, box_id.as_str(), i64::try_from(*stage).unwrap_or(i64::MAX)])?;
        }
        Step::Confirm { id: box_id } => {
            set(box_id, "confirmed", "it runs the version already")?;
        }
        Step::Order { id: box_id } => order(app, tx, rollout, bundle, box_id, now_ms)?,
        Step::Halt { reason } => {
            hold_back(app, tx, &id, "the rollout halted", now_ms)?;
            change(tx, rollout, &system, "rollout.halt", now_ms, |rollout| {
                rollout.state = State::Halted;
                rollout.reason.clone_from(reason);
            })?;
        }
        Step::Soak => {
            // No news for anybody: what it leads to is.
            rollout.soak_ms = Some(now_ms);
            tx.execute("UPDATE rollout SET soak_ms = ?2 WHERE id = ?1", params![id, now_ms])?;
        }
        Step::Gate { reason } => change(tx, rollout, &system, "rollout.gate", now_ms, |rollout| {
            rollout.state = State::Gated;
            rollout.reason.clone_from(reason);
        })?,
        Step::Advance => change(tx, rollout, &system, "rollout.advance", now_ms, next_stage)?,
        Step::Finish { reason } => change(tx, rollout, &system, "rollout.done", now_ms, |rollout| {
            rollout.state = State::Done;
            rollout.reason.clone_from(reason);
            rollout.ended_ms = Some(now_ms);
        })?,
    }
    Ok(())
}

/// The stage after the one that is under way.
pub(super) fn next_stage(rollout: &mut Rollout) {
    rollout.state = State::Running;
    rollout.reason.clear();
    rollout.stage += 1;
    rollout.soak_ms = None;
}

fn order(
    app: &App,
    tx: &Tx<'_>,
    rollout: &Rollout,
    bundle: Option<&Bundle>,
    box_id: &BoxId,
    now_ms: i64,
) -> Result<(), Error> {
    let Some(bundle) = bundle else { return Ok(()) };
    let wish = Wish {
        bundle,
        force: rollout.plan.force,
        deadlines: rollout.plan.deadlines,
        begin_s: rollout.plan.begin_s,
        rollout: Some(&rollout.id),
        issued_by: &rollout.name,
    };
    let view = match updates::give(app, tx, box_id, &wish) {
        Ok(view) => view,
        // Something happened to it in this moment: what follows from that is decided when it can be seen.
        Err(error @ (Error::Conflict(_) | Error::NotFound { .. })) => {
            log::info!(box_id:%, rollout = rollout.id.as_str(); "not ordered: {error}");
            return Ok(());
        }
        Err(error) => return Err(error),
    };
    tx.prepare_cached(
        "UPDATE rollout_box SET standing = 'ordered', update_id = ?3, attempt = attempt + 1, acknowledged = 0, text = '',
             changed_ms = ?4 WHERE rollout_id = ?1 AND box_id = ?2",
    )?
    .execute(params![rollout.id, box_id.as_str(), view.id.to_string(), now_ms])?;
    Ok(())
}

/// Takes those orders back that have not begun to install. Their boxes.
pub(super) fn take_back(
    app: &App,
    tx: &Tx<'_>,
    rollout: &str,
    why: &str,
    now_ms: i64,
) -> Result<Vec<BoxId>, Error> {
    let mut statement =
        tx.prepare_cached("SELECT box_id FROM box_update WHERE rollout_id = ?1 AND over_ms IS NULL")?;
    let open: Vec<String> =
        statement.query_map([rollout], |row| row.get(0))?.collect::<rusqlite::Result<_>>()?;
    let mut taken = Vec::new();
    for box_id in open {
        let box_id: BoxId = box_id.parse().map_err(broken)?;
        if updates::withdraw(app, tx, &box_id, why, now_ms)? {
            taken.push(box_id);
        }
    }
    Ok(taken)
}

/// Who has not begun to install waits again. Its order is remembered: a box that began in this moment counts as it ends.
pub(super) fn hold_back(app: &App, tx: &Tx<'_>, rollout: &str, why: &str, now_ms: i64) -> Result<(), Error> {
    for box_id in take_back(app, tx, rollout, why, now_ms)? {
        tx.prepare_cached(
            "UPDATE rollout_box SET standing = 'pending', text = ?3, changed_ms = ?4 WHERE rollout_id = ?1 AND box_id = ?2",
        )?
        .execute(params![rollout, box_id.as_str(), why, now_ms])?;
    }
    Ok(())
}
