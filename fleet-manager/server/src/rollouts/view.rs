//! Rollouts as the API shows them.

use nodi_protocol::BoxId;
use rusqlite::{Connection, Row, params};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::decide::Standing;
use super::plan::Plan;
use super::store::{Rollout, State, standing};
use crate::bundles::BundleId;
use crate::error::Error;

/// A rollout and how it stands.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct RolloutView {
    pub id: String,
    pub name: String,
    pub bundle: RolloutBundle,
    /// Board and L4T release of the boxes that it covers.
    pub compatible: String,
    #[serde(flatten)]
    pub plan: Plan,
    pub state: State,
    /// Why it is as it is.
    pub reason: String,
    /// Index of the stage that is under way, in `stages_view`.
    pub stage: usize,
    /// Until when a stage that is done is watched before the next one begins; null while none is.
    pub soak_until_ms: Option<i64>,
    pub stages_view: Vec<StageView>,
    pub totals: Totals,
    pub created_ms: i64,
    pub created_by: String,
    pub started_ms: Option<i64>,
    pub ended_ms: Option<i64>,
    /// Boxes that failed, and a person has taken note.
    pub acknowledged: Vec<BoxId>,
}

/// Which bundle.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct RolloutBundle {
    pub sha256: BundleId,
    pub version: String,
}

/// A stage and its boxes, without those of earlier stages and without those that are excluded.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, ToSchema)]
pub struct StageView {
    /// `canary`, or its percentage.
    pub name: String,
    /// How many boxes belong to it.
    pub target: u32,
    /// Of these, how many are confirmed.
    pub updated: u32,
    pub failed: u32,
    pub running: u32,
    /// Whose turn has not come.
    pub waiting: u32,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = RolloutTotals)]
pub struct Totals {
    /// Without those that are excluded.
    pub boxes: u32,
    pub confirmed: u32,
    pub failed: u32,
    /// Of those that failed: boxes that said nothing when they should have.
    pub silent: u32,
    pub running: u32,
    pub waiting: u32,
    pub excluded: u32,
}

/// # Errors
/// SQLite's.
pub(super) fn view(connection: &Connection, rollout: Rollout) -> Result<RolloutView, Error> {
    let mut stages: Vec<StageView> = (0..rollout.plan.stage_count())
        .map(|stage| StageView { name: rollout.plan.stage_name(stage), ..StageView::default() })
        .collect();
    let mut totals = Totals::default();
    let mut statement = connection.prepare_cached(
        "SELECT r.stage, r.standing, u.state, count(*) FROM rollout_box AS r
         LEFT JOIN box_update AS u ON u.id = r.update_id WHERE r.rollout_id = ?1 GROUP BY 1, 2, 3",
    )?;
    let mut rows = statement.query([&rollout.id])?;
    while let Some(row) = rows.next()? {
        let count: u32 = row.get(3)?;
        let update: Option<String> = row.get(2)?;
        let stage = usize::try_from(row.get::<_, i64>(0)?).ok().and_then(|stage| stages.get_mut(stage));
        let (of_stage, of_all) = match standing(&row.get::<_, String>(1)?, update.as_deref())? {
            Standing::Pending => {
                (stage.map(|stage| (&mut stage.waiting, &mut stage.target)), &mut totals.waiting)
            }
            Standing::Running => {
                (stage.map(|stage| (&mut stage.running, &mut stage.target)), &mut totals.running)
            }
            Standing::Confirmed => {
                (stage.map(|stage| (&mut stage.updated, &mut stage.target)), &mut totals.confirmed)
            }
            Standing::Failed { .. } => {
                (stage.map(|stage| (&mut stage.failed, &mut stage.target)), &mut totals.failed)
            }
            Standing::Excluded { .. } => {
                totals.excluded += count;
                continue;
            }
        };
        *of_all += count;
        totals.boxes += count;
        if update.as_deref() == Some("silent") {
            totals.silent += count;
        }
        if let Some((of_kind, target)) = of_stage {
            *of_kind += count;
            *target += count;
        }
    }
    let soak = i64::from(rollout.plan.soak_s) * 1_000;
    Ok(RolloutView {
        acknowledged: failed(connection, &rollout.id)?
            .into_iter()
            .filter_map(|(id, known)| known.then_some(id))
            .collect(),
        soak_until_ms: rollout
            .soak_ms
            .filter(|_| rollout.state == State::Running)
            .map(|soak_ms| soak_ms.saturating_add(soak)),
        bundle: RolloutBundle { sha256: rollout.bundle, version: rollout.version },
        id: rollout.id,
        name: rollout.name,
        compatible: rollout.compatible,
        plan: rollout.plan,
        state: rollout.state,
        reason: rollout.reason,
        stage: rollout.stage,
        stages_view: stages,
        totals,
        created_ms: rollout.created_ms,
        created_by: rollout.created_by,
        started_ms: rollout.started_ms,
        ended_ms: rollout.ended_ms,
    })
}

fn box_id(text: &str) -> Result<BoxId, Error> {
    text.parse().map_err(|error| Error::Internal(format!("database: {error}")))
}

/// How a box stands in a rollout.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = RolloutBoxState)]
pub enum BoxState {
    /// Its turn has not come, or it was held back before it had begun to install.
    Pending,
    Ordered,
    Waiting,
    Downloading,
    Installing,
    Rebooting,
    Trial,
    Confirmed,
    RolledBack,
    Failed,
    Expired,
    Silent,
    /// It was removed or revoked, is for another board, or a person took its order back.
    Excluded,
}

impl BoxState {
    const ALL: [Self; 13] = [
        Self::Pending,
        Self::Ordered,
        Self::Waiting,
        Self::Downloading,
        Self::Installing,
        Self::Rebooting,
        Self::Trial,
        Self::Confirmed,
        Self::RolledBack,
        Self::Failed,
        Self::Expired,
        Self::Silent,
        Self::Excluded,
    ];

    #[must_use]
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Ordered => "ordered",
            Self::Waiting => "waiting",
            Self::Downloading => "downloading",
            Self::Installing => "installing",
            Self::Rebooting => "rebooting",
            Self::Trial => "trial",
            Self::Confirmed => "confirmed",
            Self::RolledBack => "rolled_back",
            Self::Failed => "failed",
            Self::Expired => "expired",
            Self::Silent => "silent",
            Self::Excluded => "excluded",
        }
    }
}

/// What a state comes to, as in [`Totals`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = RolloutBoxStanding)]
pub enum BoxStanding {
    /// Its turn has not come.
    Waiting,
    Running,
    Confirmed,
    Failed,
    Excluded,
}

impl BoxStanding {
    #[must_use]
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Running => "running",
            Self::Confirmed => "confirmed",
            Self::Failed => "failed",
            Self::Excluded => "excluded",
        }
    }
}

/// A box of a rollout.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct RolloutBoxView {
    #[serde(rename = "box")]
    pub box_id: BoxId,
    pub box_name: String,
    pub online: bool,
    /// Index of its stage.
    pub stage: usize,
    pub state: BoxState,
    /// 0 to 100 of this state, where it can be told.
    pub progress: Option<u8>,
    /// What it does or waits for, or exactly why it ended as it did.
    pub message: String,
    /// How often it was ordered.
    pub attempt: u32,
    /// It failed, and a person has taken note.
    pub acknowledged: bool,
    pub changed_ms: i64,
}

pub(super) const BOX_FROM: &str = "rollout_box AS r LEFT JOIN box_update AS u ON u.id = r.update_id";
/// As [`BoxState`].
pub(super) const BOX_STATE: &str = "CASE r.standing WHEN 'ordered' THEN coalesce(nullif(u.state, 'withdrawn'), 'excluded') \
     WHEN 'pending' THEN coalesce(nullif(u.state, 'withdrawn'), 'pending') ELSE r.standing END";
/// Whether the order says how the box stands: also one that was held back too late.
const BY_ORDER: &str = "(r.standing = 'ordered' OR r.standing = 'pending' AND u.state <> 'withdrawn')";
/// [`BOX_STATE`]s that count as failed.
const FAILED: &str = "('failed', 'rolled_back', 'expired', 'silent')";

/// For [`read_box`].
pub(super) fn box_columns() -> String {
    format!(
        "r.box_id, r.box_name, r.stage, {BOX_STATE} AS state, iif({BY_ORDER}, u.progress, NULL) AS progress,
         iif({BY_ORDER}, coalesce(u.text, 'the box was removed'), r.text) AS text, r.attempt,
         {} AS acknowledged, {} AS changed_ms",
        box_acknowledged(),
        box_changed()
    )
}

/// Since when it stands so.
pub(super) fn box_changed() -> String {
    format!("iif({BY_ORDER}, coalesce(u.changed_ms, r.changed_ms), r.changed_ms)")
}

/// What failed and was taken note of may be confirmed after all.
pub(super) fn box_acknowledged() -> String {
    format!("(r.acknowledged <> 0 AND ({BOX_STATE}) IN {FAILED})")
}

/// As [`BoxStanding`].
pub(super) fn box_standing() -> String {
    format!(
        "CASE ({BOX_STATE}) WHEN 'failed' THEN 'failed' WHEN 'rolled_back' THEN 'failed' WHEN 'expired' THEN 'failed'
         WHEN 'silent' THEN 'failed' WHEN 'pending' THEN 'waiting' WHEN 'confirmed' THEN 'confirmed'
         WHEN 'excluded' THEN 'excluded' ELSE 'running' END"
    )
}

/// What somebody has to look at first: failed, then running, then waiting, then the rest.
pub(super) fn box_rank() -> String {
    format!(
        "CASE ({BOX_STATE}) WHEN 'failed' THEN 0 WHEN 'rolled_back' THEN 0 WHEN 'expired' THEN 0 WHEN 'silent' THEN 0
         WHEN 'pending' THEN 2 WHEN 'confirmed' THEN 3 WHEN 'excluded' THEN 4 ELSE 1 END"
    )
}

pub(super) fn read_box(row: &Row<'_>) -> Result<RolloutBoxView, Error> {
    let state: String = row.get("state")?;
    let broken = |what: &str| Error::Internal(format!("database: rollout: {what}"));
    Ok(RolloutBoxView {
        box_id: box_id(&row.get::<_, String>("box_id")?)?,
        box_name: row.get("box_name")?,
        online: false,
        stage: usize::try_from(row.get::<_, i64>("stage")?).map_err(|error| broken(&error.to_string()))?,
        state: BoxState::ALL.into_iter().find(|known| known.name() == state).ok_or_else(|| broken(&state))?,
        progress: row.get("progress")?,
        message: row.get("text")?,
        attempt: row.get("attempt")?,
        acknowledged: row.get("acknowledged")?,
        changed_ms: row.get("changed_ms")?,
    })
}

/// Boxes that failed, and whether somebody has taken note.
pub(super) fn failed(connection: &Connection, rollout: &str) -> Result<Vec<(BoxId, bool)>, Error> {
    let mut statement = connection.prepare_cached(&format!(
        "SELECT r.box_id, r.acknowledged FROM {BOX_FROM}
         WHERE r.rollout_id = ?1 AND ({BOX_STATE}) IN {FAILED} ORDER BY r.box_id"
    ))?;
    let mut rows = statement.query(params![rollout])?;
    let mut boxes = Vec::new();
    while let Some(row) = rows.next()? {
        boxes.push((box_id(&row.get::<_, String>(0)?)?, row.get(1)?));
    }
    Ok(boxes)
}
