//! Live sessions, as operators and streamers see and end them.

use nodi_protocol::fleet::command::{Action, State, Status};
use nodi_protocol::fleet::event::{Event, What};
use nodi_protocol::fleet::session::{Input, Session, UplinkOf, Warning};
use nodi_protocol::fleet::topic::BoxTopic;
use nodi_protocol::revocation::Revocations;
use serde_json::{Value, json};

use crate::now_ms;
use crate::support::{Fleet, Robot, command_id, session_id, wait};

pub fn session(n: u64, warnings: &[&str]) -> Session {
    let warning = |code: &&str| Warning { code: (**code).to_owned(), text: "so it is".to_owned() };
    Session {
        session: session_id(n),
        channel: "nodi".parse().unwrap(),
        encoder: "OBS".to_owned(),
        transport: "rtmps".to_owned(),
        peer: "192.0.2.7:40001".to_owned(),
        at_ms: now_ms(),
        live_s: 5.0,
        input: Input { bitrate_bps: 6_000_000, ..Input::default() },
        ladder: None,
        uplink: Some(UplinkOf { connected: true, lag_ms: 300, backlog: 0 }),
        warnings: warnings.iter().map(warning).collect(),
    }
}

async fn live(fleet: &Fleet, robot: &Robot, n: u64, warnings: &[&str]) -> Value {
    robot.say(BoxTopic::Session(session_id(n)), true, &session(n, warnings)).await;
    let path = format!("/sessions/{}", session_id(n));
    wait("it is live", async || {
        let (status, view) = fleet.ask("GET", &path, None).await;
        let health = if warnings.is_empty() { "ok" } else { "warning" };
        (status == 200 && view["health"] == health).then_some(view)
    })
    .await
}

#[tokio::test]
async fn a_stream_is_seen_in_plain_words_ended_and_remembered() {
    let fleet = Fleet::with("[channels]\nwatch_url = 'https://watch.example'\n").await;
    fleet.post("/channels", json!({ "id": "nodi", "display_name": "Nodi TV" })).await;
    let robot = fleet.robot().await;
    let view = live(&fleet, &robot, 1, &[]).await;
    assert_eq!(view["channel_name"], "Nodi TV");
    assert_eq!(view["watch_url"], "https://watch.example/watch/nodi");
    assert_eq!(view["thumbnail_url"], "https://watch.example/live/nodi/thumbnail.jpg");
    assert_eq!(view["headline"], "The stream is healthy.");
    let view = live(&fleet, &robot, 1, &["stalls", "b_frames"]).await;
    assert_eq!(view["headline"], "Viewers may notice a problem.");
    assert_eq!(
        view["advice"][0],
        json!({ "code": "stalls", "side": "encoder", "hint": false, "text": "So it is." })
    );
    let go_live = fleet.get("/channels/nodi/go-live").await;
    assert_eq!(go_live["session"]["session"], json!(session_id(1)));
    assert!(go_live["settings"]["obs"].as_array().unwrap().iter().all(|setting| setting["why"].is_string()));
    assert_eq!(fleet.get("/channels/nodi").await["state"], "live");
    assert_eq!(fleet.get("/overview").await["live"].as_array().unwrap().len(), 1);
    assert_eq!(fleet.get("/sessions?q=nodi%20tv").await["total"], 1);
    assert_eq!(fleet.get("/sessions?channel=other").await["total"], 0);

    let path = format!("/sessions/{}/end", session_id(1));
    let command = fleet.post(&path, json!({ "reason": "the hall is closed" })).await;
    let heard = robot.hears_command(command_id(&command)).await;
    let reason = "the hall is closed".to_owned();
    assert_eq!(heard.action, Action::EndSession { session: session_id(1), reason });
    let status = |state| Status {
        id: command_id(&command),
        state,
        progress: None,
        message: String::new(),
        result: None,
        boot_id: "boot-1".into(),
        at_ms: now_ms(),
    };
    robot.say(BoxTopic::CommandStatus(command_id(&command)), true, &status(State::Succeeded)).await;
    robot.say_bytes(&robot.topic(BoxTopic::Session(session_id(1))), true, Vec::new()).await;
    let what = What::SessionEnded {
        session: session_id(1),
        channel: "nodi".parse().unwrap(),
        reason: "the hall is closed".into(),
        seconds: 65,
        received_bytes: 48_000_000,
    };
    let event = Event { seq: 1, journal: "j".into(), at_ms: now_ms(), what };
    robot.say(BoxTopic::Event, false, &event).await;
    let ended = wait("it is history", async || {
        fleet.get("/sessions/history?channel=nodi").await["items"].as_array().unwrap().first().cloned()
    })
    .await;
    assert_eq!((&ended["channel_name"], &ended["reason"]), (&json!("Nodi TV"), &json!("the hall is closed")));
    assert_eq!(ended["ended_ms"].as_i64().unwrap() - ended["started_ms"].as_i64().unwrap(), 65_000);
    wait("it is not live", async || {
        (fleet.get("/sessions").await["total"] == 0
            && fleet.get("/channels/nodi").await["state"] == "offline")
            .then_some(())
    })
    .await;
    assert_eq!(fleet.ask("POST", &path, Some(json!({ "reason": "again" }))).await.0, 404);
    fleet.command_is(command["id"].as_str().unwrap(), "succeeded").await;
}

#[tokio::test]
async fn suspending_a_channel_reaches_every_box_in_a_document_that_is_newer() {
    let fleet = Fleet::start().await;
    fleet.post("/channels", json!({ "id": "nodi", "display_name": "Nodi TV" })).await;
    let robot = fleet.robot().await;
    let view = live(&fleet, &robot, 1, &[]).await;
    assert!(view["watch_url"].is_string());
    fleet.post("/channels/nodi/suspend", json!({ "reason": "a complaint" })).await;
    let topic = "nodi/v1/fleet/revocations";
    let document = async |suspended: bool| {
        wait("the document", async || {
            let document = Revocations::from_json(&robot.holds(topic)?).unwrap();
            (document.suspended.contains(&"nodi".parse().unwrap()) == suspended && document.version > 0)
                .then_some(document)
        })
        .await
    };
    let first = document(true).await;
    let hidden = fleet.get(&format!("/sessions/{}", session_id(1))).await;
    assert!(hidden["watch_url"].is_null() && hidden["thumbnail_url"].is_null(), "{hidden}");
    assert_eq!(fleet.get("/channels/nodi/go-live").await["suspended_reason"], "a complaint");
    fleet.post("/channels/nodi/resume", json!({})).await;
    assert!(document(false).await.version > first.version);
}
