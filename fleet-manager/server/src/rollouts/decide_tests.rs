//! Tables of single decisions, and whole rollouts of random boxes.

use proptest::prelude::*;

use super::super::plan::NewRollout;
use super::*;

fn id(n: usize) -> BoxId {
    format!("box-{n}").parse().unwrap()
}

fn plan(canaries: usize, stages: &[u8]) -> Plan {
    let canary: Vec<BoxId> = (0..canaries).map(id).collect();
    let json =
        serde_json::json!({ "name": "x", "bundle": "0".repeat(64), "stages": stages, "canary": canary });
    serde_json::from_value::<NewRollout>(json).unwrap().checked().unwrap().2
}

fn member(n: usize, stage: usize, standing: Standing) -> Member {
    Member { id: id(n), stage, standing, acknowledged: false, unfit: None, runs_it: false, busy: false }
}

/// One canary, then everything; running.
fn snapshot(members: Vec<Member>) -> Snapshot {
    Snapshot {
        id: "r".to_owned(),
        state: State::Running,
        plan: plan(1, &[100]),
        version: "2".to_owned(),
        stage: 0,
        soak_ms: None,
        bundle: true,
        members,
        joining: Vec::new(),
    }
}

use Standing::{Confirmed, Pending, Running};

const FAILED: Standing = Standing::Failed { early: false };

fn order(n: usize) -> Step {
    Step::Order { id: id(n) }
}

fn is_halt(steps: &[Step], words: &str) -> bool {
    matches!(steps, [Step::Halt { reason }] if reason.contains(words))
}

#[test]
fn a_stage_begins_with_its_boxes_and_no_others() {
    let now = snapshot(vec![member(0, 0, Pending), member(1, 1, Pending)]);
    assert_eq!(decide(&now, 0), [order(0)]);
    let next = Snapshot { stage: 1, ..snapshot(vec![member(0, 0, Confirmed), member(1, 1, Pending)]) };
    assert_eq!(decide(&next, 0), [order(1)]);
}

#[test]
fn nothing_new_begins_unless_it_runs() {
    for state in State::ALL.into_iter().filter(|state| *state != State::Running) {
        let now = Snapshot { state, ..snapshot(vec![member(0, 0, Pending), member(1, 0, FAILED)]) };
        assert_eq!(decide(&now, 0), [], "{state:?}");
    }
}

#[test]
fn the_first_failure_halts_and_an_acknowledged_one_does_not() {
    let failed = member(0, 0, FAILED);
    let waits = member(1, 0, Pending);
    assert!(is_halt(&decide(&snapshot(vec![failed.clone(), waits.clone()]), 0), "1 box failed"));
    let seen = Member { acknowledged: true, ..failed };
    assert_eq!(decide(&snapshot(vec![seen.clone(), waits]), 0), [order(1)]);
    assert_eq!(decide(&snapshot(vec![seen]), 0), [Step::Soak], "what was acknowledged counts for nothing");
}

#[test]
fn failures_below_the_threshold_are_borne_as_long_as_enough_can_be_confirmed() {
    let mut now = snapshot(vec![member(0, 0, FAILED), member(1, 0, Running), member(2, 0, Confirmed)]);
    now.plan.max_failures = 1;
    assert!(is_halt(&decide(&now, 0), "only 2 of 3"), "100 % cannot be reached");
    now.plan.success_percent = 60;
    assert_eq!(decide(&now, 0), []);
    now.members[1].standing = Confirmed;
    assert_eq!(decide(&now, 0), [Step::Soak]);
    now.members[1].standing = FAILED;
    assert!(is_halt(&decide(&now, 0), "2 boxes failed"));
}

#[test]
fn a_stage_that_is_done_soaks_and_then_the_next_one_begins() {
    let mut now = snapshot(vec![member(0, 0, Confirmed), member(1, 1, Pending)]);
    now.plan.soak_s = 60;
    assert_eq!(decide(&now, 1_000), [Step::Soak]);
    now.soak_ms = Some(1_000);
    assert_eq!(decide(&now, 60_999), []);
    assert_eq!(decide(&now, 61_000), [Step::Advance]);
    now.plan.gate = Gate::Manual;
    assert!(matches!(&decide(&now, 61_000)[..], [Step::Gate { reason }] if reason.contains("canary")));
    now.members[0].standing = FAILED;
    assert!(is_halt(&decide(&now, 61_000), "1 box failed"), "also while it soaks");
}

#[test]
fn a_canary_that_nobody_is_proves_nothing() {
    let gone = Standing::Excluded { returns: true };
    let unfit = Some("another board".to_owned());
    let canary = Member { unfit, ..member(0, 0, gone) };
    let mut now = snapshot(vec![canary, member(1, 1, Pending)]);
    assert!(is_halt(&decide(&now, 0), "no box of the canary"));
    // It is itself again.
    now.members[0].unfit = None;
    assert_eq!(decide(&now, 0), [Step::Return { id: id(0), stage: 0 }]);
}

#[test]
fn it_is_over_when_everybody_has_said_a_word() {
    let mut now = snapshot(vec![member(0, 0, Confirmed), member(1, 1, Running)]);
    now.stage = 1;
    now.plan.success_percent = 50;
    assert_eq!(decide(&now, 0), []);
    now.members[1].standing = Confirmed;
    assert_eq!(decide(&now, 0), [Step::Finish { reason: "2 of 2 boxes run 2".to_owned() }]);
}

#[test]
fn who_is_in_it_changes() {
    let mut now = snapshot(vec![member(0, 0, Pending), member(1, 1, Pending), member(2, 1, Pending)]);
    now.members[0].runs_it = true;
    now.members[1].unfit = Some("revoked".to_owned());
    now.members[2].standing = Standing::Excluded { returns: true };
    now.joining = vec![id(3)];
    assert_eq!(
        decide(&now, 0),
        [
            Step::Join { id: id(3), stage: 1 },
            Step::Confirm { id: id(0) },
            Step::Exclude { id: id(1), why: "revoked".to_owned() },
            Step::Return { id: id(2), stage: 1 },
        ]
    );
    now.members[2].standing = Standing::Excluded { returns: false };
    now.joining.clear();
    assert_eq!(decide(&now, 0).len(), 2, "whom a person took out stays out");
}

#[test]
fn a_box_that_somebody_else_updates_is_waited_for() {
    let mut now = snapshot(vec![member(0, 0, Pending)]);
    now.members[0].busy = true;
    now.members[0].runs_it = true;
    assert_eq!(decide(&now, 0), [], "it may be in its trial");
    now.members[0].busy = false;
    assert_eq!(decide(&now, 0), [Step::Confirm { id: id(0) }]);
}

#[test]
fn a_refusal_because_it_runs_already_is_no_failure() {
    let mut now = snapshot(vec![member(0, 0, Standing::Failed { early: true })]);
    now.members[0].runs_it = true;
    assert_eq!(decide(&now, 0), [Step::Confirm { id: id(0) }]);
    now.members[0].standing = FAILED;
    assert!(is_halt(&decide(&now, 0), "1 box failed"), "what rolled back or is silent is not believed");
}

#[test]
fn without_its_bundle_it_halts() {
    let mut now = snapshot(vec![member(0, 0, Pending)]);
    now.bundle = false;
    assert!(is_halt(&decide(&now, 0), "file"));
}

#[test]
fn a_stage_without_boxes_is_passed() {
    let shares = Plan { soak_s: 60, gate: Gate::Manual, ..plan(1, &[1, 50, 100]) };
    let before = vec![member(0, 0, Confirmed), member(1, 2, Pending)];
    let mut now = Snapshot { plan: shares, stage: 1, ..snapshot(before) };
    assert_eq!(decide(&now, 0), [Step::Advance], "there is nothing to watch, and nothing to ask a person");
    now.members.push(member(2, 1, Standing::Excluded { returns: false }));
    now.soak_ms = Some(0);
    assert_eq!(decide(&now, 0), [Step::Advance], "also when its boxes went meanwhile");
    now.members[0].standing = Running;
    assert_eq!(decide(&now, 0), [], "enough of those before it are still to be confirmed");
    (now.stage, now.members[0].standing, now.members[1].standing) = (3, Confirmed, Confirmed);
    assert!(matches!(&decide(&now, 0)[..], [Step::Finish { .. }]), "the last one is the end");
    let first = Snapshot { plan: plan(0, &[1, 100]), ..snapshot(vec![member(0, 1, Pending)]) };
    assert_eq!(decide(&first, 0), [Step::Advance]);
}

#[test]
fn a_stage_that_failed_and_was_acknowledged_is_not_without_boxes() {
    let seen = Member { acknowledged: true, ..member(1, 1, FAILED) };
    let members = vec![member(0, 0, Confirmed), seen, member(2, 2, Pending)];
    let now = Snapshot { plan: plan(1, &[50, 100]), stage: 1, ..snapshot(members) };
    assert_eq!(decide(&now, 0), [Step::Soak]);
}

/// Takes a step as the database does.
fn apply(now: &mut Snapshot, step: &Step, now_ms: i64) {
    let of = |now: &mut Snapshot, id: &BoxId, standing: Standing| {
        let member = now.members.iter_mut().find(|member| member.id == *id).unwrap();
        member.standing = standing;
        member.acknowledged = false;
    };
    match step {
        Step::Join { id, stage } => {
            now.joining.retain(|other| other != id);
            let n = id.as_str()[4..].parse().unwrap();
            now.members.push(member(n, *stage, Pending));
        }
        Step::Exclude { id, .. } => of(now, id, Standing::Excluded { returns: true }),
        Step::Return { id, stage } => {
            of(now, id, Pending);
            now.members.iter_mut().find(|member| member.id == *id).unwrap().stage = *stage;
        }
        Step::Confirm { id } => of(now, id, Confirmed),
        Step::Order { id } => of(now, id, Running),
        Step::Halt { .. } => {
            now.state = State::Halted;
            // Of those that are under way every other one has begun to install; the rest is held back.
            let running = now.members.iter_mut().filter(|member| member.standing == Running);
            running.step_by(2).for_each(|member| member.standing = Pending);
        }
        Step::Soak => now.soak_ms = Some(now_ms),
        Step::Gate { .. } => now.state = State::Gated,
        Step::Advance => (now.stage, now.soak_ms) = (now.stage + 1, None),
        Step::Finish { .. } => now.state = State::Done,
    }
}

#[derive(Debug, Clone)]
struct World {
    boxes: usize,
    canaries: usize,
    stages: Vec<u8>,
    max_failures: u32,
    success_percent: u8,
    manual: bool,
    soak_s: u32,
    late: usize,
    /// What happens next, as long as it lasts.
    events: Vec<u8>,
    retry: bool,
}

fn world() -> impl Strategy<Value = World> {
    let stages = proptest::collection::btree_set(1_u8..100, 0..4).prop_map(|set| {
        let mut stages: Vec<u8> = set.into_iter().collect();
        stages.push(100);
        stages
    });
    let numbers = (1_usize..30, 0_usize..4, 0_u32..4, 50_u8..=100, 0_u32..100, 0_usize..4);
    let rest = (any::<bool>(), any::<bool>(), proptest::collection::vec(any::<u8>(), 0..200));
    (stages, numbers, rest).prop_map(
        |(
            stages,
            (boxes, canaries, max_failures, success_percent, soak_s, late),
            (manual, retry, events),
        )| World {
            boxes,
            canaries: canaries.min(boxes),
            stages,
            max_failures,
            success_percent,
            manual,
            soak_s,
            late,
            events,
            retry,
        },
    )
}

fn failures(now: &Snapshot) -> usize {
    now.members
        .iter()
        .filter(|member| matches!(member.standing, Standing::Failed { .. }) && !member.acknowledged)
        .count()
}

proptest! {
    /// Never a box before its stage, never a new one after the threshold, and always an end.
    #[test]
    fn a_rollout_keeps_its_promises(world in world()) {
        let mut plan = plan(world.canaries, &world.stages);
        plan.max_failures = world.max_failures;
        plan.success_percent = world.success_percent;
        plan.soak_s = world.soak_s;
        plan.gate = if world.manual { Gate::Manual } else { Gate::Automatic };
        let ids: Vec<BoxId> = (0..world.boxes).map(id).collect();
        let assigned = plan.assign("r", &ids);
        let members =
            (0..world.boxes).map(|n| member(n, assigned[&id(n)], Pending)).collect::<Vec<_>>();
        let mut now = Snapshot { plan, ..snapshot(members) };
        let (mut clock, mut events, mut late, mut retries) = (0_i64, world.events.into_iter(), world.late, 2);
        for round in 0.. {
            prop_assert!(round < 5_000, "it does not end: {now:?}");
            if now.state == State::Done {
                break;
            }
            let steps = decide(&now, clock);
            let (stage, soaked) = (now.stage, now.soak_ms);
            let of_stage = now.members.iter().filter(|member| member.stage == stage).count();
            for step in &steps {
                if let Step::Order { id } = step {
                    prop_assert_eq!(now.state, State::Running);
                    prop_assert!(failures(&now) <= world.max_failures as usize, "a new one after the threshold");
                    let member = now.members.iter().find(|member| member.id == *id).unwrap();
                    prop_assert!(member.stage <= now.stage, "before its stage");
                    prop_assert_eq!(member.standing, Pending, "twice");
                }
                apply(&mut now, step, clock);
            }
            if now.stage > stage {
                prop_assert_eq!(now.stage, stage + 1);
                let soaks = of_stage > 0 || now.plan.is_canary(stage);
                let since = soaked.map_or(i64::MAX, |soak_ms| clock - soak_ms);
                prop_assert!(!soaks || since >= i64::from(world.soak_s) * 1_000, "it did not soak");
            }
            let at_once = now.members.iter().filter(|member| member.standing == Running).count();
            let allowed = now.members.iter().filter(|member| member.stage <= now.stage).count();
            prop_assert!(at_once <= allowed);
            if !steps.is_empty() {
                continue;
            }
            // Nothing to do: the world goes on.
            clock += 10_000;
            match now.state {
                State::Gated => (now.state, now.stage, now.soak_ms) = (State::Running, now.stage + 1, None),
                State::Halted => {
                    let again = world.retry && retries > 0;
                    retries -= i32::from(again);
                    for member in &mut now.members {
                        if matches!(member.standing, Standing::Failed { .. }) {
                            if again { member.standing = Pending } else { member.acknowledged = true }
                        }
                    }
                    now.state = State::Running;
                }
                _ => {
                    let event = events.next();
                    if late > 0 && event.is_some_and(|event| event % 7 == 0) {
                        late -= 1;
                        now.joining.push(id(1_000 + late));
                    }
                    let running = now.members.iter_mut().find(|member| member.standing == Running);
                    if let Some(member) = running {
                        member.standing = if event.is_some_and(|event| event % 4 == 0) { FAILED } else { Confirmed };
                    }
                }
            }
        }
        let left = now.members.iter().filter(|member| matches!(member.standing, Pending | Running)).count();
        prop_assert_eq!(left, 0, "somebody was forgotten");
    }
}
