//! What the agent of the box asks, and the settings that it writes.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests fail by panicking"
)]

mod common;

use std::time::Duration;

use common::Appliance;
use common::media::{Worker, audio, session_id, video};
use common::network::{Line, Network};
use common::recorder::Recorder;
use nodi_daemon::settings::sha256;

#[tokio::test]
async fn a_target_that_is_away_falls_behind_and_catches_up() {
    let (_recorder, address) = Recorder::start().await;
    let network = Network::to(address).await;
    let appliance = Appliance::new();
    let target = format!(
        "[[origin]]\nname = \"primary\"\nurl = \"http://{}\"\nstall_timeout_ms = 1000\n\
         connect_timeout_ms = 500\n",
        network.address
    );
    let uplink = appliance.start(&target).await;
    let idle = appliance.json("/sessions", |_| true).await;
    assert_eq!(idle, serde_json::json!({"sent_bytes": 0, "sessions": []}));

    let session = session_id(1);
    appliance.credential("nodi", session, "k");
    let rungs = [video("720p", 3_000_000, 20_000), audio(1_000)];
    let mut worker = Worker::new(&appliance.spool(), "nodi", session, &rungs);
    worker.play(Duration::from_millis(500)).await;
    let target = |value: &serde_json::Value| value["sessions"][0]["targets"][0].clone();
    let live = appliance.json("/sessions", |value| target(value)["connected"] == true).await;
    assert_eq!(live["sessions"][0]["channel"], "nodi");
    assert_eq!(live["sessions"][0]["session"], session.to_string());
    assert_eq!((&live["sessions"][0]["over"], &target(&live)["name"]), (&false.into(), &"primary".into()));

    network.set(Line::Cut);
    worker.play(Duration::from_secs(2)).await;
    let away = |value: &serde_json::Value| {
        let target = target(value);
        target["connected"] == false
            && target["lag_ms"].as_u64() > Some(1_500)
            && target["backlog"].as_u64() > Some(3)
    };
    appliance.json("/sessions", away).await;

    network.set(Line::Up);
    worker.play(Duration::from_millis(500)).await;
    let back = |value: &serde_json::Value| {
        let target = target(value);
        target["connected"] == true && target["backlog"] == 0 && target["lag_ms"].as_u64() < Some(1_500)
    };
    let after = appliance.json("/sessions", back).await;
    assert!(after["sent_bytes"].as_u64() > live["sent_bytes"].as_u64());
    worker.end();
    appliance.json("/sessions", |value| value["sessions"] == serde_json::json!([])).await;
    uplink.stop().await;
}

#[tokio::test]
async fn settings_are_followed_and_a_bad_file_is_said() {
    let appliance = Appliance::new();
    let settings = appliance.path("settings.toml");
    let origin = |url: &str| format!("log_level = \"error\"\n[[origin]]\nname = \"set\"\nurl = \"{url}\"\n");
    let good = origin("https://origin.example:8443");
    let process = appliance.spawn("");
    appliance.json("/settings", |value| value["sha256"].is_null() && value["error"].is_null()).await;
    std::fs::write(&settings, &good).unwrap();
    appliance
        .json("/settings", |value| value["sha256"] == sha256(good.as_bytes()) && value["error"].is_null())
        .await;
    let output = appliance.command().arg("--check").output().unwrap();
    assert_eq!((output.status.code(), output.stdout.len(), output.stderr.len()), (Some(0), 0, 0));

    let bad = origin("http://origin.example");
    std::fs::write(&settings, &bad).unwrap();
    let said = appliance.json("/settings", |value| value["sha256"] == sha256(bad.as_bytes())).await;
    let reason = "origin.url: http://origin.example/ is not https";
    assert!(said["error"].as_str().unwrap().starts_with(reason), "{said}");
    let output = appliance.command().arg("--check").output().unwrap();
    assert_eq!((output.status.code(), output.stdout.len()), (Some(78), 0));
    let line = String::from_utf8(output.stderr).unwrap();
    assert!(line.lines().count() == 1 && line.contains(reason), "{line}");
    process.terminate().await;
}
