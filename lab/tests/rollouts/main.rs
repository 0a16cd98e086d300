//! Rollouts over a small fleet: the real fleet server and broker, and on every box the real agent, which drives a stand-in
//! for RAUC over D-Bus and is rebooted through a stand-in for its boot loader. What breaks is said by each journey.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests fail by panicking"
)]

mod platform;

use nodi_lab::rauc::{Control, Gate};
use serde_json::{Value, json};

use platform::{Platform, eventually};

const BOXES: usize = 20;

/// The server is killed at each change that can be seen from outside, all the time.
#[tokio::test(flavor = "multi_thread")]
async fn twenty_boxes_take_a_bundle_while_the_server_is_killed_at_every_change() {
    let mut platform = Platform::start(BOXES).await;
    let bundle = platform.bundle("2.0.0").await;
    // The canary's new slot has a broken ingest; so it goes back to the old one.
    let broken = Control { gate: Gate::Fails, ..Control::default() };
    platform.boxes[0].rig.control(&broken).unwrap();
    let canary = platform.boxes[0].id.clone();
    let id = platform
        .rollout(json!({
            "name": "Two", "bundle": bundle, "canary": [canary], "stages": [25, 100], "soak_s": 1,
            "deadlines": { "trial_s": 60 },
        }))
        .await;
    let halted = platform.until_with_kills(&id, "halted").await;
    assert_eq!(halted["reason"], "1 box failed", "{halted:#}");
    let row = platform.row(&id, 0).await;
    assert_eq!(row["state"], "rolled_back", "{row:#}");
    assert!(row["message"].as_str().is_some_and(|text| !text.is_empty()), "{row:#}");
    assert_eq!(platform.version(0), "1.0.0", "it runs what it ran");
    assert!((1..BOXES).all(|index| platform.orders(index) == 0), "nobody but the canary was touched");

    // Who steers it has to have seen what failed; then it is tried again.
    let refused = platform.api().post(&format!("/rollouts/{id}/resume"), json!({})).await;
    assert!(refused.unwrap_err().to_string().contains(&canary));
    platform.boxes[0].rig.control(&Control::default()).unwrap();
    platform.steer(&id, "resume", json!({ "acknowledge": [canary], "retry": true })).await;
    // A box that enrols while it runs is part of it.
    platform.join(BOXES).await;
    let done = platform.until_with_kills(&id, "done").await;
    let totals = &done["totals"];
    assert_eq!((&totals["confirmed"], &totals["boxes"]), (&json!(BOXES + 1), &json!(BOXES + 1)), "{done:#}");
    for index in 0..=BOXES {
        assert_eq!(platform.version(index), "2.0.0", "box {index}");
        // Nobody installed twice because of a server that forgot; the canary was told twice.
        assert_eq!(platform.orders(index), if index == 0 { 2 } else { 1 }, "box {index}");
    }
    assert!(platform.kills >= 6, "{} kills", platform.kills);
    let software = platform.api().get("/software").await.unwrap();
    assert_eq!(software[0]["boxes"], BOXES + 1, "{software:#}");

    // The next one: a box that does not answer counts as failed.
    let bundle = platform.bundle("3.0.0").await;
    let silent = platform.boxes[3].id.clone();
    platform.boxes[3].agent.switch_off();
    let plan = json!({ "name": "Three", "bundle": bundle, "canary": [silent], "stages": [50, 100] });
    let id = platform.rollout(plan).await;
    let halted = platform.until(&id, "halted").await;
    let row = platform.row(&id, 3).await;
    assert_eq!(row["state"], "silent", "{row:#} {halted:#}");
    // Seen, and the others go on; then it is enough, and who has not begun to install never does.
    let held = Control { install_hangs_at: Some(40), ..Control::default() };
    for index in (0..=BOXES).filter(|index| *index != 3) {
        platform.boxes[index].rig.control(&held).unwrap();
    }
    platform.steer(&id, "resume", json!({ "acknowledge": [silent] })).await;
    eventually("half of the boxes install", async || {
        let view = platform.view(&id).await;
        (view["totals"]["running"].as_u64()? >= 9).then_some(())
    })
    .await;
    let aborted = platform.steer(&id, "abort", json!({})).await;
    assert_eq!(aborted["state"], "aborted");
    let later = platform.view(&id).await["stages_view"][2]["waiting"].clone();
    assert!(later.as_u64().unwrap() >= 9, "the second half was never asked: {later}");
    let actions: Vec<Value> =
        platform.api().get("/audit?action=rollout.&per_page=500").await.unwrap()["items"]
            .as_array()
            .unwrap()
            .iter()
            .map(|entry| entry["action"].clone())
            .collect();
    for action in ["create", "start", "halt", "acknowledge", "resume", "advance", "done", "abort"] {
        assert!(actions.contains(&json!(format!("rollout.{action}"))), "{action}: {actions:?}");
    }
    platform.check();
}
