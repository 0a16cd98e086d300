//! Alerts: from what a box says to what a receiver hears, over a crash of the server.

use nodi_protocol::fleet::topic::BoxTopic;
use nodi_protocol::fleet::update::State;
use serde_json::{Value, json};

use crate::receiver::Receiver;
use crate::support::{Fleet, Outcome, Robot, Updater, report, wait};
use crate::telemetry;
use crate::webhooks::ALLOW;

/// Tests do not wait a minute for an alert.
const QUICK: &str = "[alerts.rules]\ndisk_filling = { start_after_s = 0, end_after_s = 0 }\n\
    box_offline = { start_after_s = 0, end_after_s = 0 }\n";

async fn alerts(fleet: &Fleet, query: &str) -> Vec<Value> {
    fleet.get(&format!("/alerts?{query}")).await["items"].as_array().unwrap().clone()
}

async fn one(fleet: &Fleet, query: &str) -> Value {
    wait(&format!("an alert with {query}"), async || alerts(fleet, query).await.into_iter().next()).await
}

async fn says(robot: &Robot, free_percent: u64) {
    robot.say(BoxTopic::Telemetry, false, &telemetry(free_percent)).await;
}

#[tokio::test]
async fn an_alert_starts_once_survives_kill_9_gets_worse_and_ends() {
    let mut fleet = Fleet::with(&format!("{QUICK}{ALLOW}")).await;
    let receiver = Receiver::start().await;
    let body = json!({ "url": receiver.url(), "kinds": ["disk_filling"] });
    let secret = fleet.post("/webhooks", body).await["secret"].as_str().unwrap().to_owned();
    let robot = fleet.robot().await;
    says(&robot, 10).await;
    let started = one(&fleet, "active=true&kind=disk_filling").await;
    assert_eq!((&started["severity"], &started["box_id"]), (&json!("warning"), &json!(robot.id())));
    assert_eq!(started["reason"], "A disk is 90 % full.");
    wait("the box's row counts it", async || {
        (fleet.get(&format!("/boxes/{}", robot.id())).await["alerts"] == json!(1)).then_some(())
    })
    .await;
    let acknowledged =
        fleet.post(&format!("/alerts/{}/acknowledge", started["id"].as_str().unwrap()), json!({})).await;
    assert_eq!(acknowledged["acknowledged_by"], "admin");

    fleet.kill_server();
    fleet.start_server();
    fleet.server_is_up().await;
    says(&robot, 3).await;
    let worse = one(&fleet, "active=true&severity=critical").await;
    assert_eq!((&worse["id"], &worse["acknowledged_by"]), (&started["id"], &json!("admin")));
    says(&robot, 60).await;
    let ended = one(&fleet, "active=false&kind=disk_filling").await;
    assert_eq!(
        (&ended["id"], &ended["end_reason"]),
        (&started["id"], &json!("There is room on its disk again."))
    );
    assert_eq!(fleet.get("/alerts?kind=disk_filling").await["total"], 1);

    let got = receiver.gets(3).await;
    let events: Vec<_> = got.iter().map(|got| got.event.as_str()).collect();
    assert_eq!(events, ["alert.started", "alert.worsened", "alert.ended"]);
    assert!(got.iter().all(|got| got.json()["alert"]["id"] == started["id"]));
    let now_s = i64::try_from(crate::now_ms() / 1_000).unwrap();
    assert!(got.iter().all(|got| got.is_signed_with(&secret, now_s)));
}

#[tokio::test]
async fn a_box_that_vanishes_is_an_alert_until_it_is_back_or_revoked() {
    let fleet = Fleet::with(QUICK).await;
    let robot = fleet.robot().await;
    robot.vanish();
    let started = one(&fleet, "active=true&kind=box_offline").await;
    assert_eq!(started["severity"], "critical");
    let robot = Robot::connect(robot.identity.clone(), fleet.broker_port);
    let ended = one(&fleet, "active=false").await;
    assert_eq!((&ended["id"], &ended["end_reason"]), (&started["id"], &json!("It is connected again.")));

    robot.vanish();
    one(&fleet, "active=true&kind=box_offline").await;
    fleet.post(&format!("/boxes/{}/revoke", robot.id()), json!({ "reason": "sold" })).await;
    wait("nothing lasts", async || alerts(&fleet, "active=true").await.is_empty().then_some(())).await;
    let gone = one(&fleet, "active=false&sort=-ended_ms").await;
    assert_eq!(gone["end_reason"], "The box is no longer part of the fleet.");
}

#[tokio::test]
async fn a_box_that_reboots_for_its_update_is_no_alert_until_that_takes_too_long() {
    let fleet = Fleet::with(&format!("{QUICK}[updates]\ngrace_s = 1\n")).await;
    let robot = fleet.robot().await;
    let bundle = fleet.bundle("2.0.0").await;
    let order = fleet.order(&robot, &bundle, json!({ "deadlines": { "reboot_s": 5 } })).await;
    robot.say(BoxTopic::UpdateStatus, true, &report(&order, State::Rebooting, "")).await;
    fleet.update_is(&robot, "rebooting").await;
    robot.vanish();
    let silent = fleet.update_is(&robot, "silent").await;
    let started = one(&fleet, "kind=box_offline").await;
    assert!(started["started_ms"].as_i64() >= silent["changed_ms"].as_i64(), "{started} {silent}");
}

#[tokio::test]
async fn a_rollout_that_is_halted_is_one_alert_until_it_goes_on() {
    let mut fleet = Fleet::with(QUICK).await;
    let robot = fleet.robot().await;
    let updater = Updater::start(&robot, Outcome::RollsBack);
    let bundle = fleet.bundle("2.0.0").await;
    let made = fleet.post("/rollouts", json!({ "name": "Spring", "bundle": bundle })).await;
    let path = format!("/rollouts/{}", made["id"].as_str().unwrap());
    fleet.post(&format!("{path}/start"), json!({})).await;
    let started = one(&fleet, "active=true&kind=rollout_halted").await;
    assert_eq!(
        (&started["severity"], &started["rollout"], &started["box_id"]),
        (&json!("critical"), &made["id"], &json!(null))
    );
    assert_eq!(started["reason"], "The rollout \"Spring\" of version 2.0.0 is halted: 1 box failed.");

    fleet.kill_server();
    fleet.start_server();
    fleet.server_is_up().await;
    // Another alert tells that everything was looked at.
    says(&robot, 10).await;
    one(&fleet, "active=true&kind=disk_filling").await;
    updater.set(Outcome::Confirms);
    let again = json!({ "acknowledge": [robot.id()], "retry": true });
    fleet.post(&format!("{path}/resume"), again).await;
    let ended = one(&fleet, "active=false&kind=rollout_halted").await;
    assert_eq!(
        (&ended["id"], &ended["end_reason"]),
        (&started["id"], &json!("It goes on, or it was ended."))
    );
    assert_eq!(alerts(&fleet, "kind=rollout_halted").await.len(), 1);
}
