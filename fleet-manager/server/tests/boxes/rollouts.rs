//! Rollouts over scripted boxes, with the real broker and a server that is killed.

use std::collections::BTreeSet;

use nodi_protocol::fleet::topic::BoxTopic;
use nodi_protocol::fleet::update::State;
use serde_json::{Value, json};

use crate::support::{Fleet, Outcome, Robot, Updater, wait};

/// Boxes with what they do, and a bundle for them.
struct Stage {
    fleet: Fleet,
    robots: Vec<Robot>,
    updaters: Vec<Updater>,
    bundle: String,
}

impl Stage {
    async fn new(boxes: usize, extra: &str) -> Self {
        let fleet = Fleet::with(extra).await;
        let bundle = fleet.bundle("2.0.0").await;
        let (mut robots, mut updaters) = (Vec::new(), Vec::new());
        for _ in 0..boxes {
            let robot = fleet.robot().await;
            updaters.push(Updater::start(&robot, Outcome::Confirms));
            robots.push(robot);
        }
        Self { fleet, robots, updaters, bundle }
    }

    async fn join(&mut self, outcome: Outcome) {
        let robot = self.fleet.robot().await;
        self.updaters.push(Updater::start(&robot, outcome));
        self.robots.push(robot);
    }

    fn id(&self, index: usize) -> &str {
        self.robots[index].id()
    }

    async fn create(&self, more: Value) -> String {
        let mut body = json!({ "name": "Spring", "bundle": self.bundle });
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let view = self.fleet.post("/rollouts", body).await;
        assert_eq!(view["state"], "draft");
        view["id"].as_str().unwrap().to_owned()
    }

    async fn start(&self, more: Value) -> String {
        let id = self.create(more).await;
        let view = self.steer(&id, "start", None).await;
        assert_eq!(view["state"], "running", "{view}");
        id
    }

    async fn steer(&self, id: &str, what: &str, body: Option<Value>) -> Value {
        let (status, view) = self.fleet.ask("POST", &format!("/rollouts/{id}/{what}"), body).await;
        assert_eq!(status, 200, "{what}: {view}");
        view
    }

    async fn refuses(&self, id: &str, what: &str, body: Option<Value>) -> String {
        let (status, view) = self.fleet.ask("POST", &format!("/rollouts/{id}/{what}"), body).await;
        assert_eq!(status, 409, "{what}: {view}");
        view["detail"].as_str().unwrap().to_owned()
    }

    async fn view(&self, id: &str) -> Value {
        self.fleet.get(&format!("/rollouts/{id}")).await
    }

    async fn until(&self, id: &str, state: &str) -> Value {
        wait(&format!("the rollout is {state}"), async || {
            let view = self.view(id).await;
            let over = ["done", "halted", "aborted"].contains(&view["state"].as_str()?);
            assert!(!over || view["state"] == state, "{view:#}");
            (view["state"] == state).then_some(view)
        })
        .await
    }

    /// How a box stands.
    async fn standing(&self, id: &str, index: usize) -> Value {
        let boxes = self.fleet.get(&format!("/rollouts/{id}/boxes?per_page=500")).await;
        let rows = boxes["items"].as_array().unwrap();
        rows.iter().find(|row| row["box"] == self.id(index)).cloned().unwrap_or_default()
    }

    /// What a box says of the newest order that it got.
    async fn says(&self, index: usize, state: State, message: &str) {
        let order = self.updaters[index].orders.lock().unwrap().last().unwrap().clone();
        let report = crate::support::report(&order, state, message);
        self.robots[index].say(BoxTopic::UpdateStatus, true, &report).await;
    }

    /// How many boxes of a rollout there are with `query`.
    async fn count(&self, id: &str, query: &str) -> Value {
        self.fleet.get(&format!("/rollouts/{id}/boxes?{query}")).await["total"].clone()
    }

    async fn until_box(&self, id: &str, index: usize, state: &str) -> Value {
        wait(&format!("box {index} is {state}"), async || {
            let row = self.standing(id, index).await;
            (row["state"] == state).then_some(row)
        })
        .await
    }
}

#[tokio::test]
async fn canaries_first_then_shares_then_everybody() {
    let mut stage = Stage::new(6, "").await;
    stage.updaters[0].set(Outcome::StopsAt(State::Trial));
    let body = json!({ "canary": [stage.id(0)], "stages": [50, 100], "gate": "manual", "soak_s": 1 });
    let id = stage.create(body).await;
    assert!(stage.refuses(&id, "pause", None).await.contains("draft"));
    stage.steer(&id, "start", None).await;
    stage.until_box(&id, 0, "trial").await;
    let view = stage.view(&id).await;
    let names: Vec<_> = view["stages_view"].as_array().unwrap().iter().map(|of| of["name"].clone()).collect();
    assert_eq!(names, ["canary", "50 %", "100 %"]);
    let targets: Vec<_> =
        view["stages_view"].as_array().unwrap().iter().map(|of| of["target"].clone()).collect();
    assert_eq!(targets, [1, 2, 3]);
    assert_eq!(
        view["totals"],
        json!({ "boxes": 6, "confirmed": 0, "failed": 0, "silent": 0, "running": 1, "waiting": 5, "excluded": 0 })
    );
    assert!(stage.updaters[1..].iter().all(|updater| updater.count() == 0), "nobody but the canary");
    // Another rollout for these boxes would undo this one.
    let second = stage.create(json!({ "name": "Summer" })).await;
    assert!(stage.refuses(&second, "start", None).await.contains("Spring"));
    stage.steer(&second, "abort", None).await;
    // The canary is content.
    let order = stage.updaters[0].orders.lock().unwrap()[0].clone();
    let done = crate::support::report(&order, State::Confirmed, "");
    stage.robots[0].say(BoxTopic::UpdateStatus, true, &done).await;
    let mut here = crate::support::presence(true, u64::MAX >> 2);
    here.version = "2.0.0".to_owned();
    stage.robots[0].say(BoxTopic::Presence, true, &here).await;
    let gated = stage.until(&id, "gated").await;
    assert_eq!(gated["stage"], 0, "{gated}");
    // A box that comes now is part of it, and none of a stage that is over.
    stage.join(Outcome::Confirms).await;
    stage.until_box(&id, 6, "pending").await;
    stage.steer(&id, "continue", None).await;
    let gated = stage.until(&id, "gated").await;
    assert_eq!(gated["stage"], 1, "{gated}");
    assert!(stage.refuses(&id, "resume", Some(json!({}))).await.contains("gated"));
    stage.steer(&id, "continue", None).await;
    let done = stage.until(&id, "done").await;
    assert_eq!((&done["totals"]["confirmed"], &done["totals"]["boxes"]), (&json!(7), &json!(7)));
    assert_eq!(done["reason"], "7 of 7 boxes run 2.0.0");
    assert!(stage.updaters.iter().all(|updater| updater.count() == 1), "each once");
    let actions: BTreeSet<String> = stage.fleet.get("/audit?action=rollout.&per_page=500").await["items"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|entry| entry["target"] == format!("rollout/{id}"))
        .map(|entry| entry["action"].as_str().unwrap().to_owned())
        .collect();
    let expected = ["continue", "create", "done", "gate", "start"].map(|action| format!("rollout.{action}"));
    assert_eq!(actions, BTreeSet::from(expected));
    // Who runs it already is not asked again.
    wait("seven boxes that run it", async || {
        let software = stage.fleet.get("/software").await;
        (software[0]["version"] == "2.0.0" && software[0]["boxes"] == 7).then_some(())
    })
    .await;
    let again = stage.start(json!({})).await;
    let done = stage.until(&again, "done").await;
    assert_eq!(done["totals"]["confirmed"], 7);
    assert!(stage.updaters.iter().all(|updater| updater.count() == 1), "nobody was ordered again");
}

#[tokio::test]
async fn the_first_failure_halts_and_a_person_has_to_see_it() {
    let stage = Stage::new(3, "[updates]\ngrace_s = 1").await;
    stage.updaters[0].set(Outcome::RollsBack);
    let id = stage.start(json!({ "canary": [stage.id(0)] })).await;
    let halted = stage.until(&id, "halted").await;
    assert_eq!(halted["reason"], "1 box failed");
    assert_eq!(stage.standing(&id, 0).await["state"], "rolled_back");
    assert!(stage.updaters[1..].iter().all(|updater| updater.count() == 0), "nobody new began");
    assert!(stage.refuses(&id, "continue", None).await.contains("halted"));
    assert!(stage.refuses(&id, "resume", Some(json!({}))).await.contains(stage.id(0)));
    let wrong = json!({ "acknowledge": [stage.id(1)] });
    let (status, refused) = stage.fleet.ask("POST", &format!("/rollouts/{id}/resume"), Some(wrong)).await;
    assert_eq!((status, &refused["field"]), (422, &json!("acknowledge[0]")));
    // Tried again, and silent this time.
    stage.updaters[0].set(Outcome::SaysNothing);
    let seen = json!({ "acknowledge": [stage.id(0)], "retry": true });
    stage.steer(&id, "resume", Some(seen)).await;
    stage.until_box(&id, 0, "ordered").await;
    stage.steer(&id, "abort", None).await;
    assert_eq!(stage.standing(&id, 0).await["state"], "excluded", "its order was withdrawn");
    stage.robots[0].hears(BoxTopic::Update, |bytes| bytes.is_empty().then_some(())).await;
    assert!(stage.refuses(&id, "start", None).await.contains("aborted"));

    let body = json!({ "canary": [stage.id(0)], "begin_s": 10 });
    stage.updaters[0].set(Outcome::StopsAt(State::Trial));
    let deadlines = json!({ "trial_s": 1 });
    let mut body = body;
    body["deadlines"] = deadlines;
    let id = stage.start(body).await;
    let halted = stage.until(&id, "halted").await;
    assert_eq!(stage.standing(&id, 0).await["state"], "silent", "{halted}");
    // It says that it is well after all, and another failed meanwhile: nothing is left to acknowledge.
    let order = stage.updaters[0].orders.lock().unwrap().last().unwrap().clone();
    let late = crate::support::report(&order, State::Confirmed, "at last");
    stage.robots[0].say(BoxTopic::UpdateStatus, true, &late).await;
    stage.until_box(&id, 0, "confirmed").await;
    stage.steer(&id, "resume", Some(json!({}))).await;
    let done = stage.until(&id, "done").await;
    assert_eq!(done["totals"]["confirmed"], 3, "{done}");
}

#[tokio::test]
async fn what_was_acknowledged_does_not_count_and_who_is_paused_waits() {
    let stage = Stage::new(4, "").await;
    stage.updaters[1].set(Outcome::StopsAt(State::Failed));
    let body = json!({ "canary": [stage.id(0), stage.id(1)], "gate": "manual" });
    let id = stage.start(body).await;
    stage.until(&id, "halted").await;
    stage.until_box(&id, 0, "confirmed").await;
    let resumed = stage.steer(&id, "resume", Some(json!({ "acknowledge": [stage.id(1)] }))).await;
    assert_eq!(resumed["acknowledged"], json!([stage.id(1)]));
    stage.until(&id, "gated").await;
    stage.steer(&id, "pause", None).await;
    stage.steer(&id, "pause", None).await;
    assert_eq!(stage.updaters[2].count() + stage.updaters[3].count(), 0);
    // One is taken away meanwhile.
    let gone = stage.id(3).to_owned();
    stage.fleet.post(&format!("/boxes/{gone}/revoke"), json!({ "reason": "stolen" })).await;
    stage.until_box(&id, 3, "excluded").await;
    stage.steer(&id, "resume", Some(json!({}))).await;
    stage.until(&id, "gated").await;
    stage.steer(&id, "continue", None).await;
    let done = stage.until(&id, "done").await;
    let totals = &done["totals"];
    assert_eq!(
        (&totals["confirmed"], &totals["failed"], &totals["excluded"]),
        (&json!(2), &json!(1), &json!(1))
    );
    assert_eq!(stage.updaters[3].count(), 0);
}

#[tokio::test]
async fn a_halt_holds_back_whoever_has_not_begun_to_install() {
    let stage = Stage::new(4, "").await;
    for (updater, last) in stage.updaters.iter().zip([
        State::Downloading,
        State::Downloading,
        State::Downloading,
        State::Installing,
    ]) {
        updater.set(Outcome::StopsAt(last));
    }
    let id = stage.start(json!({})).await;
    for (index, state) in ["downloading", "downloading", "downloading", "installing"].iter().enumerate() {
        stage.until_box(&id, index, state).await;
    }
    stage.says(0, State::Failed, "the bundle is broken").await;
    stage.until(&id, "halted").await;
    let held = stage.standing(&id, 1).await;
    assert_eq!((&held["state"], &held["message"]), (&json!("pending"), &json!("the rollout halted")));
    stage.robots[1].hears(BoxTopic::Update, |bytes| bytes.is_empty().then_some(())).await;
    assert_eq!(stage.standing(&id, 3).await["state"], "installing", "it goes on");
    assert_eq!(stage.view(&id).await["totals"]["waiting"], 2);
    let withdrawn = stage.fleet.get("/audit?action=update.withdrawn").await;
    assert_eq!(withdrawn["total"], 2, "{withdrawn}");
    // One had begun in that moment after all, and its end counts.
    stage.says(2, State::Installing, "RAUC writes").await;
    let row = stage.until_box(&id, 2, "installing").await;
    assert_eq!(row["message"], "RAUC writes");
    assert_eq!(stage.view(&id).await["totals"]["running"], 2);
    stage.says(2, State::Confirmed, "").await;
    stage.until_box(&id, 2, "confirmed").await;
    // The other one is ordered anew.
    stage.updaters[1].set(Outcome::Confirms);
    stage.steer(&id, "resume", Some(json!({ "acknowledge": [stage.id(0)] }))).await;
    stage.until_box(&id, 1, "confirmed").await;
    stage.says(3, State::Confirmed, "").await;
    let done = stage.until(&id, "done").await;
    let totals = &done["totals"];
    assert_eq!((&totals["confirmed"], &totals["failed"]), (&json!(3), &json!(1)), "{done}");
    let orders: Vec<_> = stage.updaters.iter().map(Updater::count).collect();
    assert_eq!(orders, [1, 2, 1, 1]);
}

#[tokio::test]
async fn a_pause_holds_back_whoever_has_not_begun_to_install() {
    let stage = Stage::new(1, "").await;
    stage.updaters[0].set(Outcome::StopsAt(State::Downloading));
    let id = stage.start(json!({})).await;
    stage.until_box(&id, 0, "downloading").await;
    let paused = stage.steer(&id, "pause", None).await;
    assert_eq!((&paused["totals"]["waiting"], &paused["totals"]["running"]), (&json!(1), &json!(0)));
    stage.robots[0].hears(BoxTopic::Update, |bytes| bytes.is_empty().then_some(())).await;
    assert_eq!(stage.standing(&id, 0).await["message"], "the rollout was paused");
    stage.says(0, State::Withdrawn, "withdrawn by the fleet").await;
    stage.updaters[0].set(Outcome::Confirms);
    stage.steer(&id, "resume", Some(json!({}))).await;
    stage.until(&id, "done").await;
    assert_eq!(stage.standing(&id, 0).await["attempt"], 2);
}

#[tokio::test]
async fn a_box_that_went_silent_in_its_trial_is_ordered_again_whatever_it_said_it_runs() {
    let stage = Stage::new(1, "[updates]\ngrace_s = 1").await;
    stage.updaters[0].set(Outcome::StopsAt(State::Trial));
    let id = stage.start(json!({ "deadlines": { "trial_s": 1 } })).await;
    stage.until_box(&id, 0, "trial").await;
    let mut here = crate::support::presence(true, u64::MAX >> 2);
    here.version = "2.0.0".to_owned();
    stage.robots[0].say(BoxTopic::Presence, true, &here).await;
    stage.until(&id, "halted").await;
    stage.updaters[0].set(Outcome::SaysNothing);
    let again = json!({ "acknowledge": [stage.id(0)], "retry": true });
    stage.steer(&id, "resume", Some(again)).await;
    stage.until_box(&id, 0, "ordered").await;
    wait("the second order", async || (stage.updaters[0].count() == 2).then_some(())).await;
    stage.says(0, State::Failed, "2.0.0 runs already").await;
    let done = stage.until(&id, "done").await;
    assert_eq!(done["totals"]["confirmed"], 1, "now it is believed");
}

#[tokio::test]
async fn what_is_confirmed_after_all_needs_no_note_of_its_failure() {
    let stage = Stage::new(2, "[updates]\ngrace_s = 1").await;
    stage.updaters[0].set(Outcome::StopsAt(State::Trial));
    let body = json!({ "canary": [stage.id(0)], "gate": "manual", "deadlines": { "trial_s": 1 } });
    let id = stage.start(body).await;
    stage.until(&id, "halted").await;
    assert_eq!(stage.count(&id, "standing=failed&acknowledged=false").await, 1);
    stage.steer(&id, "resume", Some(json!({ "acknowledge": [stage.id(0)] }))).await;
    let gated = stage.until(&id, "gated").await;
    assert_eq!(gated["acknowledged"], json!([stage.id(0)]));
    assert_eq!(stage.count(&id, "standing=failed&acknowledged=false").await, 0);
    assert_eq!(stage.count(&id, "acknowledged=true").await, 1);
    stage.says(0, State::Confirmed, "at last").await;
    stage.until_box(&id, 0, "confirmed").await;
    assert_eq!(stage.view(&id).await["acknowledged"], json!([]));
    assert_eq!(stage.count(&id, "acknowledged=true").await, 0);
    assert_eq!(stage.standing(&id, 0).await["acknowledged"], false);
}

#[tokio::test]
async fn a_server_that_is_killed_at_every_change_goes_on() {
    let mut stage = Stage::new(4, "").await;
    stage.updaters[3].set(Outcome::RollsBack);
    let body = json!({ "canary": [stage.id(0)], "stages": [50, 100], "soak_s": 1 });
    let id = stage.start(body).await;
    let (mut before, mut kills) = (Value::Null, 0);
    let end = wait("the end", async || {
        let view = stage.view(&id).await;
        let now = json!([view["state"], view["stage"], view["soak_until_ms"], view["totals"]]);
        if now != before {
            before = now;
            kills += 1;
            stage.fleet.kill_server();
            stage.fleet.start_server();
            stage.fleet.server_is_up().await;
        }
        if view["state"] == "halted" {
            let seen = json!({ "acknowledge": [stage.id(3)] });
            stage.steer(&id, "resume", Some(seen)).await;
        }
        (view["state"] == "done").then_some(view)
    })
    .await;
    let totals = &end["totals"];
    assert_eq!((&totals["confirmed"], &totals["failed"]), (&json!(3), &json!(1)), "{end:#}");
    assert!(kills >= 4, "{kills}");
    assert!(stage.updaters.iter().all(|updater| updater.count() == 1), "each once");
    stage.fleet.run(&["check"]);
}
