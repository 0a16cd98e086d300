//! What boxes say, what the server makes of it, and what they are told.

use std::sync::atomic::{AtomicU64, Ordering};

use nodi_protocol::fleet::Payload as _;
use nodi_protocol::fleet::desired::{Desired, Rejected, Reported};
use nodi_protocol::fleet::event::{Ack, Event, What};
use nodi_protocol::fleet::presence::Presence;
use nodi_protocol::fleet::telemetry::{Memory, Telemetry};
use nodi_protocol::fleet::topic::BoxTopic;
use serde_json::{Value, json};

use crate::support::{Fleet, Robot, presence, wait};

fn now_ms() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    u64::try_from(since.as_millis()).unwrap()
}

fn telemetry(at_ms: u64, cpu: f32) -> Telemetry {
    let memory = Memory { total: 8 << 30, available: 6 << 30, swap_total: 0, swap_free: 0 };
    Telemetry { at_ms, cpu: Some(cpu), memory: Some(memory), sessions: 1, ..Telemetry::default() }
}

#[tokio::test]
async fn telemetry_shows_in_the_list_and_in_the_charts_and_survives_kill_9() {
    let mut fleet = Fleet::start().await;
    let robot = fleet.robot().await;
    let now = now_ms();
    // The newest first, as after an outage.
    for ago in [0, 10_000, 20_000, 30_000] {
        let cpu = if ago == 0 { 0.75 } else { 0.25 };
        robot.say(BoxTopic::Telemetry, false, &telemetry(now - ago, cpu)).await;
    }
    let path = format!("/boxes/{}/telemetry?points=360", robot.id());
    let points = async |fleet: &Fleet| fleet.get(&path).await["at_ms"].as_array().unwrap().len();
    wait("four points", async || (points(&fleet).await == 4).then_some(())).await;
    let list = fleet.get("/boxes?q=1.2.3").await;
    assert_eq!(list["items"][0]["cpu"], json!(0.75), "{list}");
    let view = fleet.get(&path).await;
    assert_eq!(view["resolution_s"], 10);
    assert_eq!(view["series"]["memory_used"][0], json!(0.25));
    assert_eq!(view["series"]["gpu"][0], Value::Null);

    tokio::time::sleep(std::time::Duration::from_millis(400)).await;
    fleet.kill_server();
    fleet.start_server();
    fleet.server_is_up().await;
    assert_eq!(points(&fleet).await, 4);
}

#[tokio::test]
async fn a_box_that_vanishes_is_offline_and_a_late_will_counts_for_nothing() {
    let fleet = Fleet::start().await;
    let robot = fleet.robot().await;
    robot.vanish();
    fleet.state_is(robot.id(), "offline").await;
    let robot = Robot::connect(robot.identity.clone(), fleet.broker_port);
    fleet.state_is(robot.id(), "online").await;
    // The will of an earlier connection, late.
    robot.say(BoxTopic::Presence, true, &presence(false, 0)).await;
    robot.say(BoxTopic::Telemetry, false, &telemetry(now_ms(), 0.5)).await;
    wait("the telemetry behind it is taken", async || {
        (fleet.get(&format!("/boxes/{}", robot.id())).await["cpu"] == json!(0.5)).then_some(())
    })
    .await;
    fleet.state_is(robot.id(), "online").await;
}

#[tokio::test]
async fn a_box_whose_line_is_cut_is_offline_by_its_silence() {
    let fleet = Fleet::start().await;
    let robot = fleet.robot().await;
    let begun = std::time::Instant::now();
    // It stays connected, as a line that swallows everything looks to the broker, and says nothing.
    fleet.state_is(robot.id(), "offline").await;
    assert!(robot.link.is_connected());
    assert!(begun.elapsed().as_secs() >= 10, "{:?}", begun.elapsed());
    robot.say(BoxTopic::Telemetry, false, &telemetry(now_ms(), 0.5)).await;
    fleet.state_is(robot.id(), "online").await;
}

#[tokio::test]
async fn settings_are_compared_and_set_and_reach_the_box_in_order() {
    let fleet = Fleet::start().await;
    let robot = fleet.robot().await;
    let id = robot.id().to_owned();
    let desired = async |accept: fn(&Desired) -> bool| -> Desired {
        robot.hears(BoxTopic::Desired, |bytes| Desired::from_json(bytes).ok().filter(accept)).await
    };
    let first = desired(|_| true).await;
    assert_eq!(first.settings.stream_keys.as_ref().map(Vec::len), Some(1), "the fleet's public stream key");

    let put = async |path: &str, version: u64, settings: Value| {
        fleet.ask("PUT", path, Some(json!({ "expected_version": version, "settings": settings }))).await
    };
    let own = format!("/boxes/{id}/desired");
    let (status, view) = put(&own, first.version, json!({ "telemetry_s": 5 })).await;
    assert_eq!((status, &view["version"]), (200, &json!(first.version + 1)), "{view}");
    let (status, stale) = put(&own, first.version, json!({ "telemetry_s": 7 })).await;
    assert_eq!(status, 409, "{stale}");
    let (status, wrong) = put(&own, first.version + 1, json!({ "telemetry_s": 0 })).await;
    assert_eq!((status, &wrong["field"]), (422, &json!("settings.telemetry_s")));
    let (status, wrong) = put(&own, first.version + 1, json!({ "telemetry": 1 })).await;
    assert_eq!(status, 422, "{wrong}");
    let second = desired(|desired| desired.settings.telemetry_s == Some(5)).await;
    assert_eq!((second.version, &second.epoch), (first.version + 1, &first.epoch));

    // The fleet's settings lie below.
    let fleet_version = fleet.get("/fleet/settings").await["version"].as_u64().unwrap();
    let (status, _) =
        put("/fleet/settings", fleet_version, json!({ "telemetry_s": 20, "drain": true })).await;
    assert_eq!(status, 200);
    let third = desired(|desired| desired.settings.drain == Some(true)).await;
    assert_eq!((third.version, third.settings.telemetry_s), (second.version + 1, Some(5)));

    // The box says what it made of it.
    let mut reported = Reported {
        applied: second.version,
        epoch: third.epoch.clone(),
        settings: second.settings.clone(),
        rejected: Some(Rejected { version: third.version, reason: "drain: not today".into() }),
        pending: vec![],
        at_ms: 1,
    };
    robot.say(BoxTopic::Reported, true, &reported).await;
    let view = wait("the report is there", async || {
        let view = fleet.get(&own).await;
        (!view["reported"].is_null()).then_some(view)
    })
    .await;
    let standing = |view: &Value, name: &str| {
        let list = view["differences"].as_array().unwrap().clone();
        list.into_iter().find(|one| one["setting"] == name).unwrap()["standing"].clone()
    };
    assert_eq!(
        (standing(&view, "drain"), standing(&view, "telemetry_s")),
        (json!("rejected"), json!("applied"))
    );
    let summary = fleet.get("/boxes").await["items"][0].clone();
    assert_eq!(summary["rejected"], json!("drain: not today"));
    assert_eq!(summary["applied_version"], json!(second.version));

    reported =
        Reported { applied: third.version, settings: third.settings.clone(), rejected: None, ..reported };
    robot.say(BoxTopic::Reported, true, &reported).await;
    wait("it is applied", async || {
        let view = fleet.get(&own).await;
        (standing(&view, "drain") == json!("applied")).then_some(())
    })
    .await;
    let audit = fleet.get("/audit?action=box.settings").await;
    assert_eq!(audit["items"][0]["after"], json!({ "telemetry_s": 5 }), "{audit}");
}

#[tokio::test]
async fn a_database_from_a_backup_is_above_what_boxes_have_seen() {
    let fleet = Fleet::start().await;
    let robot = fleet.robot().await;
    let first = robot.hears(BoxTopic::Desired, |bytes| Desired::from_json(bytes).ok()).await;
    let reported = Reported {
        applied: 41,
        epoch: first.epoch.clone(),
        settings: first.settings.clone(),
        rejected: None,
        pending: vec![],
        at_ms: 1,
    };
    robot.say(BoxTopic::Reported, true, &reported).await;
    robot
        .hears(BoxTopic::Desired, |bytes| {
            Desired::from_json(bytes).ok().filter(|desired| desired.version == 42)
        })
        .await;
}

fn event(seq: u64, seconds: i64) -> Event {
    Event { seq, journal: "j1".into(), at_ms: now_ms(), what: What::ClockStepped { by_ms: seconds } }
}

#[tokio::test]
async fn events_are_stored_once_and_acknowledged_when_they_are_on_the_disk() {
    let mut fleet = Fleet::start().await;
    let robot = fleet.robot().await;
    let through = async |n: u64| {
        robot
            .hears(BoxTopic::EventAck, |bytes| {
                Ack::from_json(bytes).ok().filter(|ack| ack.journal == "j1" && ack.through == n)
            })
            .await
    };
    for seq in [1, 2, 2, 1, 3] {
        robot.say(BoxTopic::Event, false, &event(seq, 1)).await;
    }
    through(3).await;
    let path = format!("/boxes/{}/events", robot.id());
    assert_eq!(fleet.get(&path).await["total"], 3);
    // Behind a gap nothing is acknowledged.
    robot.say(BoxTopic::Event, false, &event(5, 1)).await;
    wait("five is stored", async || (fleet.get(&path).await["total"] == 4).then_some(())).await;
    robot.say(BoxTopic::Event, false, &event(4, 1)).await;
    through(5).await;
    // Also by a server that was killed meanwhile.
    fleet.kill_server();
    robot.say(BoxTopic::Event, false, &event(6, 1)).await;
    fleet.start_server();
    fleet.server_is_up().await;
    through(6).await;
    assert_eq!(fleet.get(&path).await["total"], 6);
    assert_eq!(fleet.get(&path).await["items"][0]["kind"], "clock_stepped");
}

#[tokio::test]
async fn what_is_retained_for_nobody_is_cleared() {
    let mut fleet = Fleet::start().await;
    let robot = fleet.robot().await;
    robot.hears(BoxTopic::Desired, |bytes| (!bytes.is_empty()).then_some(())).await;
    // A command that the database does not know, as after a restore.
    let stray = nodi_protocol::CommandId::new(1_800_000_000_000, 1);
    fleet.stop_server().await;
    let ca = fleet.dir.path().join("data/ca");
    let authority = nodi_fleet::ca::Authority::load(&ca).unwrap();
    let now = i64::try_from(now_ms()).unwrap();
    let server = authority.issue_client("nodi-fleet", std::time::Duration::from_secs(600), now).unwrap();
    let topic = robot.topic(BoxTopic::Command(stray));
    let (certificate, key) = (fleet.dir.path().join("f.pem"), fleet.dir.path().join("f.key"));
    std::fs::write(&certificate, &server.certificate.pem).unwrap();
    std::fs::write(&key, &server.key_pem).unwrap();
    let published = std::process::Command::new("mosquitto_pub")
        .args(["-h", "localhost", "-p", &fleet.broker_port.to_string(), "-V", "5", "-q", "1", "-r"])
        .args(["-i", "x", "-t", &topic, "-m", "{}"])
        .arg("--cafile")
        .arg(ca.join("ca.pem"))
        .arg("--cert")
        .arg(&certificate)
        .arg("--key")
        .arg(&key)
        .status()
        .unwrap();
    assert!(published.success());
    robot.hears(BoxTopic::Command(stray), |bytes| (bytes == b"{}").then_some(())).await;
    fleet.start_server();
    robot.hears(BoxTopic::Command(stray), |bytes| bytes.is_empty().then_some(())).await;
}

#[tokio::test]
async fn sessions_come_and_go_with_their_retained_reports() {
    static N: AtomicU64 = AtomicU64::new(0);
    let mut fleet = Fleet::start().await;
    let robot = fleet.robot().await;
    let session = crate::support::session_id(N.fetch_add(1, Ordering::Relaxed));
    let report = json!({
        "schema": 1, "session": session, "channel": "nodi", "encoder": "OBS", "transport": "rtmp", "peer": "x",
        "at_ms": now_ms(), "live_s": 1.0, "input": {}, "ladder": null, "uplink": null, "warnings": [],
    });
    let topic = robot.topic(BoxTopic::Session(session));
    robot.say_bytes(&topic, true, serde_json::to_vec(&report).unwrap()).await;
    let path = format!("/boxes/{}", robot.id());
    let sessions = async |fleet: &Fleet, n: u64| {
        wait("the number of sessions", async || {
            (fleet.get(&path).await["sessions"] == json!(n)).then_some(())
        })
        .await;
    };
    sessions(&fleet, 1).await;
    // A server that starts anew gets it from the broker.
    fleet.kill_server();
    fleet.start_server();
    fleet.server_is_up().await;
    sessions(&fleet, 1).await;
    // One that ended while no server listened is over.
    robot.say_bytes(&topic, true, Vec::new()).await;
    sessions(&fleet, 0).await;
}

#[tokio::test]
async fn the_server_says_that_it_is_there() {
    let mut fleet = Fleet::start().await;
    let identity = fleet.enrolled().await;
    let robot =
        Robot::connect_as(identity, fleet.broker_port, "x", vec!["nodi/v1/fleet/presence".to_owned()]);
    let online = async |expected: bool| {
        wait("the server's presence", async || {
            let bytes = robot.holds("nodi/v1/fleet/presence")?;
            (Presence::from_json(&bytes).ok()?.online == expected).then_some(())
        })
        .await;
    };
    online(true).await;
    fleet.stop_server().await;
    online(false).await;
}
