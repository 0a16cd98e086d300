//! Every command, once, on a box that is well.

use std::io::Read as _;
use std::time::{SystemTime, UNIX_EPOCH};

use nodi_lab::host::Request;
use nodi_lab::publish::Client;
use serde_json::json;

use crate::operator::{Steering, start, until_live};
use crate::support::{live_sessions, publish, tiny};

#[tokio::test(flavor = "multi_thread")]
async fn every_command_does_what_it_says() {
    let mut lab = start().await;
    let steering = Steering::of(&lab, 0);
    let host = |lab: &nodi_lab::Lab| lab.boxes[0].host.as_ref().unwrap().requests();

    steering.done(json!({ "kind": "identify", "seconds": 7 })).await;
    assert_eq!(host(&lab), [Request::Identify(7)]);

    let (ingest, uplink) = (lab.boxes[0].ingest.pid(), lab.boxes[0].uplink.pid());
    steering.done(json!({ "kind": "restart_process", "process": "ingest" })).await;
    assert_ne!(lab.boxes[0].ingest.pid(), ingest);
    assert_eq!(lab.boxes[0].uplink.pid(), uplink);

    // The agent answers for its own restart afterwards.
    let agent = lab.boxes[0].agent().unwrap().pid();
    steering.done(json!({ "kind": "restart_process", "process": "agent" })).await;
    assert_ne!(lab.boxes[0].agent().unwrap().pid(), agent);

    let tested = steering.done(json!({ "kind": "self_test" })).await;
    assert!(tested["result"].is_object(), "{tested:#}");
    let measured = steering.done(json!({ "kind": "measure_uplink", "bytes": 2_000_000 })).await;
    assert!(measured["result"].is_object(), "{measured:#}");

    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis();
    let now = u64::try_from(now).unwrap();
    let range = json!({ "kind": "collect_logs", "since_ms": now - 600_000, "until_ms": now + 60_000 });
    let collected = steering.done(range).await;
    assert_eq!(collected["has_file"], true, "{collected:#}");
    let path = format!("/commands/{}/file", collected["id"].as_str().unwrap());
    let bytes = steering.api.bytes(&path).await.unwrap();
    let mut text = String::new();
    flate2::read::GzDecoder::new(bytes.as_slice()).read_to_string(&mut text).unwrap();
    assert!(text.contains("nodi_ingest") && text.contains("nodi_agent"), "{text}");

    let encoder = publish(&mut lab, Client::Ffmpeg, &tiny());
    let session = until_live(&steering.api, "test").await;
    let end = json!({ "kind": "end_session", "session": session["session"], "reason": "enough" });
    steering.done(end).await;
    assert!(crate::operator::sent_away(&mut lab.clients[encoder]).await.contains("enough"));
    assert!(live_sessions(&lab, 0).await.is_empty());

    let boot = steering.summary().await["presence"]["boot_id"].clone();
    let rebooted = steering.done(json!({ "kind": "reboot" })).await;
    let summary = steering.summary().await;
    assert_ne!(summary["presence"]["boot_id"], boot, "{rebooted:#}");
    let restart = |process: &str| Request::Restart(process.to_owned());
    assert_eq!(host(&lab), [Request::Identify(7), restart("ingest"), restart("agent"), Request::Reboot]);
    lab.check_running().unwrap();
}
