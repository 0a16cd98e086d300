//! What follows from how a rollout and its boxes are now. Nothing here knows a database, a broker or a clock.

use nodi_protocol::BoxId;

use super::plan::{Gate, Plan};
use super::store::State;

/// Most orders at once: they go into one transaction, and others want to write too. The rest follows at once.
pub(super) const ORDERS: usize = 200;

/// A rollout and everything that counts for it, at one moment.
#[derive(Debug, Clone)]
pub(super) struct Snapshot {
    pub(super) id: String,
    pub(super) state: State,
    pub(super) plan: Plan,
    pub(super) version: String,
    /// Index of the stage that is under way.
    pub(super) stage: usize,
    /// When enough boxes of it were confirmed.
    pub(super) soak_ms: Option<i64>,
    /// Whether the bundle can be had.
    pub(super) bundle: bool,
    pub(super) members: Vec<Member>,
    /// Boxes that it should cover and does not yet.
    pub(super) joining: Vec<BoxId>,
}

/// A box of the rollout.
#[derive(Debug, Clone)]
pub(super) struct Member {
    pub(super) id: BoxId,
    pub(super) stage: usize,
    pub(super) standing: Standing,
    /// A person has seen that it failed.
    pub(super) acknowledged: bool,
    /// Why it cannot take the bundle, if so.
    pub(super) unfit: Option<String>,
    /// It runs the version.
    pub(super) runs_it: bool,
    /// It has an order that is not of this rollout.
    pub(super) busy: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    /// Not ordered yet.
    Pending,
    /// Ordered, and not over.
    Running,
    Confirmed,
    Failed {
        /// Before anything was installed: it may run the version for another reason.
        early: bool,
    },
    Excluded {
        /// It could not take the bundle, and comes back when it can.
        returns: bool,
    },
}

/// One thing to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Step {
    Join {
        id: BoxId,
        stage: usize,
    },
    Exclude {
        id: BoxId,
        why: String,
    },
    /// It can take the bundle after all.
    Return {
        id: BoxId,
        stage: usize,
    },
    /// It runs the version.
    Confirm {
        id: BoxId,
    },
    Order {
        id: BoxId,
    },
    Halt {
        reason: String,
    },
    /// Enough of the stage's boxes are confirmed: its time of watching begins.
    Soak,
    Gate {
        reason: String,
    },
    Advance,
    Finish {
        reason: String,
    },
}

/// How boxes stand, counted.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
struct Tally {
    waiting: usize,
    running: usize,
    confirmed: usize,
    /// That nobody acknowledged.
    failed: usize,
}

impl Tally {
    fn of<'a>(members: impl Iterator<Item = &'a Member>) -> Self {
        let mut tally = Self::default();
        for member in members {
            match member.standing {
                Standing::Pending => tally.waiting += 1,
                Standing::Running => tally.running += 1,
                Standing::Confirmed => tally.confirmed += 1,
                Standing::Failed { .. } if member.acknowledged => {}
                Standing::Failed { .. } => tally.failed += 1,
                Standing::Excluded { .. } => {}
            }
        }
        tally
    }

    fn open(self) -> usize {
        self.waiting + self.running
    }

    /// What counts for the share that has to be confirmed.
    fn total(self) -> usize {
        self.open() + self.confirmed + self.failed
    }

    fn reaches(confirmed: usize, percent: u8, total: usize) -> bool {
        confirmed * 100 >= usize::from(percent) * total
    }
}

/// What has to be done now. To be asked again once that is done, until there is nothing.
#[must_use]
pub(super) fn decide(snapshot: &Snapshot, now_ms: i64) -> Vec<Step> {
    if !snapshot.state.is_under_way() {
        return Vec::new();
    }
    let steps = membership(snapshot);
    // The counts below are of boxes whose place is settled.
    if !steps.is_empty() || snapshot.state != State::Running {
        return steps;
    }
    let all = Tally::of(snapshot.members.iter());
    if all.failed > usize::try_from(snapshot.plan.max_failures).unwrap_or(usize::MAX) {
        return vec![Step::Halt { reason: failures(all.failed) }];
    }
    if !snapshot.bundle && all.waiting > 0 {
        return vec![Step::Halt { reason: "the bundle's file is not there any more".to_owned() }];
    }
    let orders: Vec<Step> = snapshot
        .members
        .iter()
        .filter(|member| {
            member.stage <= snapshot.stage && member.standing == Standing::Pending && !member.busy
        })
        .take(ORDERS)
        .map(|member| Step::Order { id: member.id.clone() })
        .collect();
    if !orders.is_empty() {
        return orders;
    }
    progress(snapshot, now_ms).into_iter().collect()
}

fn failures(count: usize) -> String {
    match count {
        1 => "1 box failed".to_owned(),
        count => format!("{count} boxes failed"),
    }
}

/// Who is in it, and who need not be ordered anything.
fn membership(snapshot: &Snapshot) -> Vec<Step> {
    let stage = |id: &BoxId| snapshot.plan.stage_of_joiner(&snapshot.id, id, snapshot.stage);
    let joins = snapshot.joining.iter().map(|id| Step::Join { id: id.clone(), stage: stage(id) });
    let changes = snapshot.members.iter().filter_map(|member| {
        let id = member.id.clone();
        match (member.standing, &member.unfit) {
            (Standing::Pending, Some(why)) => Some(Step::Exclude { id, why: why.clone() }),
            (Standing::Pending | Standing::Failed { early: true }, None)
                if member.runs_it && !member.busy =>
            {
                Some(Step::Confirm { id })
            }
            (Standing::Excluded { returns: true }, None) => {
                let stage = member.stage.max(snapshot.stage);
                Some(Step::Return { id, stage })
            }
            _ => None,
        }
    });
    joins.chain(changes).collect()
}

/// From stage to stage, and to the end.
fn progress(snapshot: &Snapshot, now_ms: i64) -> Option<Step> {
    let plan = &snapshot.plan;
    let stages = plan.stage_count();
    let last = snapshot.stage + 1 >= stages;
    // Of which nobody is left there is nothing to watch.
    let empty = !last
        && !plan.is_canary(snapshot.stage)
        && snapshot.members.iter().all(|member| {
            member.stage != snapshot.stage || matches!(member.standing, Standing::Excluded { .. })
        });
    if let Some(soak_ms) = snapshot.soak_ms
        && !last
        && !empty
    {
        if now_ms < soak_ms.saturating_add(i64::from(plan.soak_s) * 1_000) {
            return None;
        }
        let name = plan.stage_name(snapshot.stage);
        return Some(match plan.gate {
            Gate::Automatic => Step::Advance,
            Gate::Manual => Step::Gate { reason: format!("stage {name} is done; a person has to continue") },
        });
    }
    let upto = || snapshot.members.iter().filter(|member| member.stage <= snapshot.stage);
    if plan.is_canary(snapshot.stage)
        && upto().all(|member| matches!(member.standing, Standing::Excluded { .. }))
    {
        // Nobody tried it: that is no success.
        let reason = "no box of the canary can take the bundle any more".to_owned();
        return Some(Step::Halt { reason });
    }
    let upto = Tally::of(upto());
    let (total, percent) = (upto.total(), plan.success_percent);
    if !Tally::reaches(upto.confirmed + upto.open(), percent, total) {
        let reason = format!(
            "only {} of {total} boxes can still be confirmed, and {percent} % have to",
            upto.confirmed + upto.open()
        );
        return Some(Step::Halt { reason });
    }
    if last {
        // Everybody has a word to say before it is over.
        return (upto.open() == 0).then(|| Step::Finish { reason: finished(&upto, snapshot) });
    }
    Tally::reaches(upto.confirmed, percent, total).then_some(if empty { Step::Advance } else { Step::Soak })
}

fn finished(tally: &Tally, snapshot: &Snapshot) -> String {
    let all = snapshot.members.iter().filter(|member| !matches!(member.standing, Standing::Excluded { .. }));
    format!("{} of {} boxes run {}", tally.confirmed, all.count(), snapshot.version)
}

#[cfg(test)]
#[path = "decide_tests.rs"]
mod tests;
