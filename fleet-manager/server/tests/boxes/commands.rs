//! Commands, from the person who gives one to the box that does it.

use nodi_protocol::CommandId;
use nodi_protocol::fleet::command::{Action, State, Status, Upload};
use nodi_protocol::fleet::topic::BoxTopic;
use serde_json::{Value, json};

use crate::support::{Fleet, Robot, command_id, wait};

pub(crate) fn status(id: CommandId, state: State, message: &str) -> Status {
    Status {
        id,
        state,
        progress: None,
        message: message.into(),
        result: None,
        boot_id: "boot-1".into(),
        at_ms: 1,
    }
}

async fn give(fleet: &Fleet, robot: &Robot, action: Value) -> (CommandId, String) {
    let view = fleet.post(&format!("/boxes/{}/commands", robot.id()), json!({ "action": action })).await;
    assert_eq!(view["state"], "queued");
    (command_id(&view), view["id"].as_str().unwrap().to_owned())
}

#[tokio::test]
async fn a_command_runs_its_course_and_is_cleared() {
    let fleet = Fleet::start().await;
    let robot = fleet.robot().await;
    let (id, text) = give(&fleet, &robot, json!({ "kind": "self_test" })).await;
    let command = robot.hears_command(id).await;
    assert_eq!(command.action, Action::SelfTest);
    for (state, name) in [(State::Accepted, "accepted"), (State::Running, "running")] {
        robot.say(BoxTopic::CommandStatus(id), true, &status(id, state, "")).await;
        fleet.command_is(&text, name).await;
    }
    let mut done = status(id, State::Running, "encoding");
    done.progress = Some(50);
    robot.say(BoxTopic::CommandStatus(id), true, &done).await;
    wait("progress", async || {
        (fleet.get(&format!("/commands/{text}")).await["progress"] == 50).then_some(())
    })
    .await;
    done = status(id, State::Succeeded, "all well");
    done.result = Some(json!({ "fps": 60 }));
    robot.say(BoxTopic::CommandStatus(id), true, &done).await;
    let view = fleet.command_is(&text, "succeeded").await;
    assert_eq!((&view["message"], &view["result"]["fps"]), (&json!("all well"), &json!(60)));
    let states: Vec<_> =
        view["history"].as_array().unwrap().iter().map(|step| step["state"].clone()).collect();
    assert_eq!(states, ["queued", "accepted", "running", "succeeded"]);
    robot.hears(BoxTopic::Command(id), |bytes| bytes.is_empty().then_some(())).await;
    // The box did not get that, and says it again: it is cleared again, and nothing changes.
    robot.newest.lock().unwrap().clear();
    robot.say(BoxTopic::CommandStatus(id), true, &status(id, State::Failed, "no")).await;
    robot.hears(BoxTopic::Command(id), |bytes| bytes.is_empty().then_some(())).await;
    assert_eq!(fleet.get(&format!("/commands/{text}")).await["state"], "succeeded");
    let audit = fleet.get("/audit?action=command.self_test").await;
    assert_eq!(audit["total"], 1, "{audit}");
}

#[tokio::test]
async fn a_command_can_be_taken_back_until_it_runs() {
    let fleet = Fleet::start().await;
    let robot = fleet.robot().await;
    let (id, text) = give(&fleet, &robot, json!({ "kind": "reboot" })).await;
    robot.hears_command(id).await;
    let (status_code, view) = fleet.ask("DELETE", &format!("/commands/{text}"), None).await;
    assert_eq!((status_code, &view["state"]), (200, &json!("withdrawn")));
    robot.hears(BoxTopic::Command(id), |bytes| bytes.is_empty().then_some(())).await;

    let (id, text) = give(&fleet, &robot, json!({ "kind": "reboot" })).await;
    robot.say(BoxTopic::CommandStatus(id), true, &status(id, State::Running, "")).await;
    fleet.command_is(&text, "running").await;
    assert_eq!(fleet.ask("DELETE", &format!("/commands/{text}"), None).await.0, 409);
}

#[tokio::test]
async fn only_so_many_commands_wait_for_a_box() {
    let fleet = Fleet::with("[commands]\nmax_open_per_box = 2").await;
    let robot = fleet.robot().await;
    for _ in 0..2 {
        give(&fleet, &robot, json!({ "kind": "self_test" })).await;
    }
    let path = format!("/boxes/{}/commands", robot.id());
    let (status, _) = fleet.ask("POST", &path, Some(json!({ "action": { "kind": "self_test" } }))).await;
    assert_eq!(status, 409);
    let (status, answer) = fleet.ask("POST", &path, Some(json!({ "action": { "kind": "dance" } }))).await;
    assert_eq!(status, 422, "{answer}");
    assert_eq!(fleet.get(&format!("{path}?state=queued")).await["total"], 2);
    assert_eq!(fleet.get("/commands?kind=reboot").await["total"], 0);
}

async fn put(fleet: &Fleet, upload: &Upload, token: &str, body: Vec<u8>) -> u16 {
    let request = fleet.http().put(&upload.url).bearer_auth(token).body(body);
    request.send().await.unwrap().status().as_u16()
}

#[tokio::test]
async fn logs_are_uploaded_once_with_the_token_of_the_command() {
    let fleet = Fleet::with("[commands]\nmax_upload = 1000").await;
    let robot = fleet.robot().await;
    let action = json!({ "kind": "collect_logs", "since_ms": 1, "until_ms": 2 });
    let (id, text) = give(&fleet, &robot, action.clone()).await;
    let Action::CollectLogs { upload, .. } = robot.hears_command(id).await.action else { panic!() };
    let view = fleet.get(&format!("/commands/{text}")).await;
    assert_eq!(view["action"], action, "no token is shown");
    assert!(!view.to_string().contains(&upload.token));

    assert_eq!(put(&fleet, &upload, "wrong", vec![1]).await, 401);
    assert_eq!(put(&fleet, &upload, &upload.token, vec![0; 1_001]).await, 413);
    let log = b"\x1f\x8b logs".to_vec();
    assert_eq!(put(&fleet, &upload, &upload.token, log.clone()).await, 204);
    assert_eq!(put(&fleet, &upload, &upload.token, vec![1]).await, 401, "good for one upload");
    assert_eq!(fleet.get(&format!("/commands/{text}")).await["has_file"], true);
    let (status_code, body) = fleet.ask("GET", &format!("/commands/{text}/file"), None).await;
    assert_eq!((status_code, body), (200, Value::String(String::from_utf8_lossy(&log).into_owned())));

    // Once the command is over its token is worth nothing.
    let (id, _) = give(&fleet, &robot, json!({ "kind": "measure_uplink", "bytes": 200_000 })).await;
    let Action::MeasureUplink { upload, .. } = robot.hears_command(id).await.action else { panic!() };
    assert_eq!(put(&fleet, &upload, &upload.token, vec![0; 100_000]).await, 204);
    let (id, text) = give(&fleet, &robot, json!({ "kind": "measure_uplink", "bytes": 200_000 })).await;
    let Action::MeasureUplink { upload, .. } = robot.hears_command(id).await.action else { panic!() };
    robot.say(BoxTopic::CommandStatus(id), true, &status(id, State::Failed, "no line")).await;
    fleet.command_is(&text, "failed").await;
    assert_eq!(put(&fleet, &upload, &upload.token, vec![0; 10]).await, 401);
}
