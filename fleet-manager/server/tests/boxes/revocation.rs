//! A revoked box is cut off, and stays so.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::support::{Fleet, Robot, wait};

#[tokio::test]
async fn a_revoked_box_goes_and_does_not_come_back() {
    let fleet = Fleet::start().await;
    let (robot, other) = (fleet.robot().await, fleet.robot().await);
    let (status, _) = fleet
        .ask("POST", &format!("/boxes/{}/revoke", robot.id()), Some(json!({ "reason": "stolen" })))
        .await;
    assert_eq!(status, 204);
    let begun = Instant::now();
    // Its live connection ends, and every new one is refused: it tries again all the time.
    wait("it is out and stays out", async || {
        let log = std::fs::read_to_string(fleet.dir.path().join("server.log")).unwrap();
        let told = log.contains("box is cut off from the broker");
        (told && !robot.link.is_connected()).then_some(())
    })
    .await;
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
    let connections = *robot.connections.borrow();
    let new = Robot::connect(robot.identity.clone(), fleet.broker_port);
    wait("a new connection is refused", async || new.ended.lock().unwrap().clone()).await;
    assert_eq!((*robot.connections.borrow(), *new.connections.borrow()), (connections, 0));
    // Everybody else stays.
    assert!(other.link.is_connected());
    assert_eq!(*other.connections.borrow(), 1);

    // The origins hear of it.
    let document = other.holds("nodi/v1/fleet/revocations").unwrap();
    let document: serde_json::Value = serde_json::from_slice(&document).unwrap();
    assert_eq!(document["revoked_boxes"], json!([robot.id()]));
    // Nor does it get a new certificate.
    let id = robot.id();
    let request = robot.identity.request(None);
    assert_eq!(fleet.ask_as_stranger("POST", "/enrolments", request).await.0, 403);
    let renewal = json!({ "csr_pem": robot.identity.csr() });
    assert_eq!(fleet.ask_as_stranger("POST", &format!("/boxes/{id}/certificate"), renewal).await.0, 403);
    let (status, _) = fleet.ask("POST", &format!("/boxes/{id}/revoke"), Some(json!({ "reason": "" }))).await;
    assert_eq!(status, 409);
}

#[tokio::test]
async fn a_deleted_box_stays_out_with_its_old_certificate_and_may_ask_again() {
    let fleet = Fleet::start().await;
    let robot = fleet.robot().await;
    let id = robot.id().to_owned();
    assert_eq!(fleet.ask("DELETE", &format!("/boxes/{id}"), None).await.0, 409, "it is not revoked");
    fleet.ask("POST", &format!("/boxes/{id}/revoke"), Some(json!({ "reason": "sold" }))).await;
    wait("it is out", async || (!robot.link.is_connected()).then_some(())).await;
    assert_eq!(fleet.ask("DELETE", &format!("/boxes/{id}"), None).await.0, 204);
    assert_eq!(fleet.get("/boxes").await["total"], 0);
    let (status, _) = fleet.ask_as_stranger("POST", "/enrolments", robot.identity.request(None)).await;
    assert_eq!(status, 202, "it may ask again");
    fleet.post(&format!("/enrolments/{id}/approve"), json!({})).await;
    let mut again = robot.identity.clone();
    let (status, answer) = fleet.ask_as_stranger("POST", "/enrolments", again.request(None)).await;
    assert_eq!(status, 200);
    assert_ne!(answer["certificate_pem"].as_str().unwrap(), again.certificate_pem);
    again.take(&answer);
    let new = Robot::connect(again, fleet.broker_port);
    fleet.state_is(&id, "online").await;
    assert!(new.link.is_connected());
    assert!(!robot.link.is_connected(), "the old certificate stays on the list");
}

#[tokio::test]
async fn who_was_revoked_while_the_broker_was_down_is_cut_off_when_it_is_back() {
    let mut fleet = Fleet::start().await;
    let robot = fleet.robot().await;
    fleet.stop_broker().await;
    let path = format!("/boxes/{}/revoke", robot.id());
    assert_eq!(fleet.ask("POST", &path, Some(json!({ "reason": "" }))).await.0, 204);
    // The server dies before it could do anything about it.
    fleet.kill_server();
    fleet.start_broker();
    fleet.start_server();
    wait("it is out and stays out", async || {
        let log = std::fs::read_to_string(fleet.dir.path().join("server.log")).unwrap();
        (log.contains("box is cut off from the broker") && !robot.link.is_connected()).then_some(())
    })
    .await;
    let new = Robot::connect(robot.identity.clone(), fleet.broker_port);
    wait("a new connection is refused", async || new.ended.lock().unwrap().clone()).await;
    assert_eq!(*new.connections.borrow(), 0);
}
