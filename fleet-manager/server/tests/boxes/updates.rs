//! One order for one box, from the person who gives it to the box that is done with it.

use nodi_protocol::fleet::topic::BoxTopic;
use nodi_protocol::fleet::update::{Order, State};
use reqwest::header;
use serde_json::json;

use crate::support::{Fleet, Robot, report, wait};

async fn says(robot: &Robot, order: &Order, state: State, message: &str) {
    robot.say(BoxTopic::UpdateStatus, true, &report(order, state, message)).await;
}

async fn is_cleared(robot: &Robot) {
    robot.hears(BoxTopic::Update, |bytes| bytes.is_empty().then_some(())).await;
}

async fn content(
    fleet: &Fleet,
    order: &Order,
    token: &str,
    headers: &[(header::HeaderName, &str)],
) -> reqwest::Response {
    let mut request = fleet.http().get(&order.bundle.url).bearer_auth(token);
    for (name, value) in headers {
        request = request.header(name, *value);
    }
    request.send().await.unwrap()
}

#[tokio::test]
async fn an_order_runs_its_course_and_is_cleared() {
    let fleet = Fleet::start().await;
    let (robot, other) = (fleet.robot().await, fleet.robot().await);
    let path = format!("/boxes/{}/update", robot.id());
    assert_eq!(fleet.ask("GET", &path, None).await.0, 404);
    let (first, second) = (fleet.bundle("2.0.0").await, fleet.bundle("3.0.0").await);
    let order = fleet.order(&robot, &first, json!({ "deadlines": { "trial_s": 77 } })).await;
    assert_eq!((order.bundle.version.as_str(), order.deadlines.trial_s, order.force), ("2.0.0", 77, false));
    assert_eq!(order.bundle.sha256, first);

    // The bundle: all of it, a part, and nothing for others.
    let token = order.bundle.token.clone().unwrap();
    let whole = content(&fleet, &order, &token, &[]).await;
    assert_eq!(whole.status(), 200);
    let etag = whole.headers()[header::ETAG].to_str().unwrap().to_owned();
    assert_eq!(etag, format!("\"{first}\""));
    let whole = whole.bytes().await.unwrap();
    assert_eq!(whole.len() as u64, order.bundle.bytes);
    let ranged = [(header::RANGE, "bytes=1000-"), (header::IF_RANGE, etag.as_str())];
    let rest = content(&fleet, &order, &token, &ranged).await;
    assert_eq!(rest.status(), 206);
    assert_eq!(
        rest.headers()[header::CONTENT_RANGE],
        format!("bytes 1000-{}/{}", whole.len() - 1, whole.len())
    );
    assert_eq!(rest.bytes().await.unwrap(), whole.slice(1000..));
    let changed = [(header::RANGE, "bytes=1000-"), (header::IF_RANGE, "\"another\"")];
    assert_eq!(content(&fleet, &order, &token, &changed).await.status(), 200);
    assert_eq!(content(&fleet, &order, &token, &[(header::RANGE, "bytes=999999-")]).await.status(), 416);
    assert_eq!(content(&fleet, &order, "nodi_bu_wrong", &[]).await.status(), 401);
    let theirs = fleet.order(&other, &second, json!({})).await;
    let stolen = theirs.bundle.token.clone().unwrap();
    assert_eq!(content(&fleet, &order, &stolen, &[]).await.status(), 401, "of another order");

    for (state, name) in [
        (State::Waiting, "waiting"),
        (State::Downloading, "downloading"),
        (State::Installing, "installing"),
        (State::Rebooting, "rebooting"),
        (State::Trial, "trial"),
    ] {
        says(&robot, &order, state, "so far").await;
        let view = fleet.update_is(&robot, name).await;
        assert_eq!(
            (&view["message"], &view["from"], &view["to"]),
            (&json!("so far"), &json!("1.2.3"), &json!("2.0.0"))
        );
        assert!(view["deadline_ms"].as_i64().unwrap() > view["changed_ms"].as_i64().unwrap());
    }
    assert_eq!(fleet.ask("DELETE", &path, None).await.0, 409, "it installs already");
    assert_eq!(fleet.ask("PUT", &path, Some(json!({ "bundle": second }))).await.0, 409);
    assert_eq!(fleet.ask("DELETE", &format!("/bundles/{first}"), None).await.0, 409, "it is needed");
    says(&robot, &order, State::Confirmed, "the new slot is good").await;
    let view = fleet.update_is(&robot, "confirmed").await;
    assert_eq!((&view["message"], &view["deadline_ms"]), (&json!("the new slot is good"), &json!(null)));
    is_cleared(&robot).await;
    assert_eq!(content(&fleet, &order, &token, &[]).await.status(), 401, "it is over");
    // The box did not get that, and says it again: it is cleared again, and nothing changes.
    robot.newest.lock().unwrap().clear();
    says(&robot, &order, State::RolledBack, "no").await;
    is_cleared(&robot).await;
    fleet.update_is(&robot, "confirmed").await;
    assert_eq!(fleet.get(&format!("/boxes/{}/updates", robot.id())).await["total"], 1);
    for action in ["update.order", "update.confirmed"] {
        let audit = fleet.get(&format!("/audit?action={action}&target={}", robot.id())).await;
        assert_eq!(audit["total"], 1, "{action}: {audit}");
    }
}

#[tokio::test]
async fn a_newer_order_takes_the_place_of_one_that_has_not_begun_and_a_person_takes_it_back() {
    let fleet = Fleet::start().await;
    let robot = fleet.robot().await;
    let (first, second) = (fleet.bundle("2.0.0").await, fleet.bundle("3.0.0").await);
    let old = fleet.order(&robot, &first, json!({})).await;
    says(&robot, &old, State::Downloading, "").await;
    fleet.update_is(&robot, "downloading").await;
    let new = fleet.order(&robot, &second, json!({ "force": true })).await;
    assert!(new.id > old.id && new.force);
    let updates = fleet.get(&format!("/boxes/{}/updates", robot.id())).await;
    assert_eq!(updates["items"][1]["state"], "withdrawn", "{updates}");
    // It had begun to install in that moment after all: the box knows better, and the new order stands.
    says(&robot, &old, State::RolledBack, "too late").await;
    wait("the old one's end", async || {
        let updates = fleet.get(&format!("/boxes/{}/updates", robot.id())).await;
        (updates["items"][1]["state"] == "rolled_back" && updates["items"][0]["state"] == "ordered")
            .then_some(())
    })
    .await;
    let path = format!("/boxes/{}/update", robot.id());
    assert_eq!(fleet.ask("DELETE", &path, None).await.0, 204);
    is_cleared(&robot).await;
    fleet.update_is(&robot, "withdrawn").await;
    assert_eq!(fleet.ask("DELETE", &path, None).await.0, 404);
    // A box that is no longer ours is told nothing.
    fleet.order(&robot, &second, json!({})).await;
    let revoked = fleet.post(&format!("/boxes/{}/revoke", robot.id()), json!({ "reason": "stolen" })).await;
    assert!(revoked.is_object() || revoked == "", "{revoked}");
    fleet.update_is(&robot, "withdrawn").await;
    assert_eq!(fleet.ask("PUT", &path, Some(json!({ "bundle": second }))).await.0, 409);
}

#[tokio::test]
async fn silence_counts_until_the_box_says_otherwise() {
    let fleet = Fleet::with("[updates]\ngrace_s = 1\noffline_s = 2").await;
    let robot = fleet.robot().await;
    let bundle = fleet.bundle("2.0.0").await;
    let order = fleet.order(&robot, &bundle, json!({ "deadlines": { "trial_s": 1 } })).await;
    says(&robot, &order, State::Trial, "").await;
    let view = fleet.update_is(&robot, "silent").await;
    assert!(view["message"].as_str().unwrap().contains("trial"), "{view}");
    is_cleared(&robot).await;
    says(&robot, &order, State::Confirmed, "it took its time").await;
    fleet.update_is(&robot, "confirmed").await;
    // One that is away before it has begun is not waited for.
    fleet.order(&robot, &bundle, json!({})).await;
    robot.vanish();
    fleet.state_is(robot.id(), "offline").await;
    let view = fleet.update_is(&robot, "silent").await;
    assert!(view["message"].as_str().unwrap().contains("offline"), "{view}");
}

#[tokio::test]
async fn a_box_that_lost_its_order_is_told_it_again_and_withdraws_nothing_by_itself() {
    let fleet = Fleet::with("[updates]\ngrace_s = 1").await;
    let robot = fleet.robot().await;
    let bundle = fleet.bundle("2.0.0").await;
    let order = fleet.order(&robot, &bundle, json!({ "deadlines": { "trial_s": 1 } })).await;
    says(&robot, &order, State::Downloading, "").await;
    fleet.update_is(&robot, "downloading").await;
    robot.newest.lock().unwrap().clear();
    says(&robot, &order, State::Withdrawn, "withdrawn by the fleet").await;
    robot
        .hears(BoxTopic::Update, |bytes| {
            let again: Order = nodi_protocol::fleet::Payload::from_json(bytes).ok()?;
            (again == order).then_some(())
        })
        .await;
    fleet.update_is(&robot, "downloading").await;
    says(&robot, &order, State::Trial, "").await;
    fleet.update_is(&robot, "silent").await;
    robot.newest.lock().unwrap().clear();
    says(&robot, &order, State::Withdrawn, "withdrawn by the fleet").await;
    is_cleared(&robot).await;
    fleet.update_is(&robot, "silent").await;
}

#[tokio::test]
async fn orders_and_reports_survive_the_death_of_server_and_broker() {
    let mut fleet = Fleet::start().await;
    let robot = fleet.robot().await;
    let bundle = fleet.bundle("2.0.0").await;
    let order = fleet.order(&robot, &bundle, json!({})).await;
    // The broker forgets everything, and is told again.
    robot.newest.lock().unwrap().clear();
    fleet.kill_broker();
    let _ = std::fs::remove_file(fleet.dir.path().join("broker/data/mosquitto.db"));
    fleet.start_broker();
    robot
        .hears(BoxTopic::Update, |bytes| {
            let again: Order = nodi_protocol::fleet::Payload::from_json(bytes).ok()?;
            (again == order).then_some(())
        })
        .await;
    fleet.kill_server();
    says(&robot, &order, State::Failed, "while nobody listened").await;
    fleet.start_server();
    fleet.server_is_up().await;
    let view = fleet.update_is(&robot, "failed").await;
    assert_eq!(view["message"], "while nobody listened");
    is_cleared(&robot).await;
}

#[tokio::test]
async fn a_bundle_is_for_its_board() {
    let fleet = Fleet::start().await;
    let robot = fleet.robot().await;
    let bundle = fleet.bundle("2.0.0").await;
    let path = format!("/boxes/{}/update", robot.id());
    let mut presence = crate::support::presence(true, u64::MAX >> 2);
    for compatible in [Some("another".to_owned()), None] {
        let hardware =
            nodi_protocol::fleet::presence::Hardware { compatible: compatible.clone(), ..Default::default() };
        presence.hardware = Some(hardware);
        robot.say(BoxTopic::Presence, true, &presence).await;
        wait("what it is", async || {
            let software = fleet.get("/software").await;
            (software[0]["compatible"] == json!(compatible)).then_some(())
        })
        .await;
        let (status, refused) = fleet.ask("PUT", &path, Some(json!({ "bundle": bundle }))).await;
        assert_eq!(status, 409, "{refused}");
    }
    let nothing = json!({ "bundle": "0".repeat(64) });
    assert_eq!(fleet.ask("PUT", &path, Some(nothing)).await.0, 422);
    let wrong = json!({ "bundle": bundle, "deadlines": { "trial_s": 0 } });
    assert_eq!(fleet.ask("PUT", &path, Some(wrong)).await.1["field"], "deadlines.trial_s");
}
