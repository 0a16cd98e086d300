//! The agent's side of a box with the real processes: ingest, transcode workers and uplink as they are built, ffmpeg
//! as the publisher, and a fleet server that takes uploads over TLS.

mod bench;

use std::io::Read as _;
use std::time::Duration;

use bench::{Bench, ORIGIN, eventually, ladder};
use nodi_protocol::fleet::command::{Action, Process, Upload};
use nodi_protocol::fleet::desired::Reported;
use nodi_protocol::fleet::event::What;
use nodi_protocol::revocation::Revocations;
use nodi_protocol::stream_key::Minter;
use serde_json::json;

fn reason(reported: &Reported) -> &str {
    &reported.rejected.as_ref().expect("refused").reason
}

#[tokio::test]
async fn desired_state_reaches_the_processes_and_what_is_bad_leaves_the_last_good_one() {
    let bench = Bench::start().await;
    let (agent, _) = bench.agent().await;
    let uplink = bench.pid("uplink");
    let good = json!({
        "log_level": "debug",
        "ladder": ladder("180p", 180),
        "part_ms": 250,
        "limits": {"bitrate_bps": 9_000_000},
        "origins": [{"name": "first", "url": ORIGIN}],
        "stream_keys": [Minter::from_seed(&[9; 32]).public_line()],
        "telemetry_s": 3,
    });
    let reported = bench.apply(&agent, 1, "a", &good).await;
    assert_eq!((reported.applied, reported.epoch.as_str()), (1, "a"), "{reported:?}");
    assert_eq!(serde_json::to_value(&reported.settings).unwrap(), good);
    assert!(reported.rejected.is_none() && reported.pending.is_empty());
    for process in ["ingest", "uplink"] {
        let state = bench.get(process, "/settings").await;
        assert!(state["sha256"].is_string() && state["error"].is_null(), "{process}: {state}");
    }
    assert_ne!(bench.pid("uplink"), uplink, "restarted for its new origin");
    let keys = std::fs::read_to_string(bench.path("state/stream-keys.pub")).unwrap();
    assert_eq!(keys, format!("{}\n", Minter::from_seed(&[9; 32]).public_line()));
    let files =
        |name: &str| std::fs::read_to_string(bench.path(&format!("state/settings/{name}.toml"))).unwrap();
    let in_force = ["ingest", "transcode", "uplink"].map(files);
    assert!(in_force[2].contains("identity/key.pem"), "{}", in_force[2]);

    let uplink = bench.pid("uplink");
    for (version, change, expected) in [
        (2, json!({"limits": {"connections": 0}}), "ingest: limits.connections: must be at least 1"),
        (
            3,
            json!({"ladder": [ladder("180p", 180)[0], ladder("180p", 180)[0]]}),
            "transcode: ladder.name: 180p is taken",
        ),
        (4, json!({"part_ms": 5000}), "transcode: part_ms: 5000 is not between 200 and 1000"),
        (
            5,
            json!({"origins": [{"name": "a", "url": "http://origin.example"}]}),
            "uplink: origin.url: http://origin.example/ is not https",
        ),
        (6, json!({"telemetry_s": 0}), "telemetry_s: 0 is not between 1 and 300"),
    ] {
        let mut settings = good.clone();
        settings.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        let reported = bench.apply(&agent, version, "a", &settings).await;
        assert_eq!(reported.applied, 1, "{version}");
        assert_eq!(reported.rejected.as_ref().unwrap().version, version);
        assert!(reason(&reported).starts_with(expected), "{reported:?}");
        assert_eq!(["ingest", "transcode", "uplink"].map(files), in_force);
    }
    assert_eq!(bench.pid("uplink"), uplink);

    // Older than what was seen: as if it never came. The next good one ends the refusal.
    assert_eq!(bench.apply(&agent, 1, "a", &json!({})).await.applied, 1);
    let reported = bench.apply(&agent, 7, "a", &json!({"drain": true})).await;
    assert!(reported.applied == 7 && reported.rejected.is_none(), "{reported:?}");
    assert!(files("ingest").contains("drain = true") && !files("uplink").contains("[[origin]]"));
    // Another fleet database counts anew.
    let reported = bench.apply(&agent, 1, "b", &json!({"drain": false})).await;
    assert_eq!((reported.applied, reported.epoch.as_str()), (1, "b"));
}

#[tokio::test]
async fn a_change_that_was_cut_short_is_undone_and_an_unwilling_process_is_named() {
    let bench = Bench::start().await;
    let settings = json!({"limits": {"bitrate_bps": 9_000_000}});
    {
        let (agent, _) = bench.agent().await;
        assert_eq!(bench.apply(&agent, 1, "a", &settings).await.applied, 1);
        let mut document = Revocations { version: 5, ..Revocations::default() };
        document.suspended.insert("nodi".parse().unwrap());
        agent.settings.revoke(document.clone()).await;
        agent.settings.revoke(Revocations { version: 4, ..Revocations::default() }).await;
        let held = std::fs::read(bench.path("state/revocations.json")).unwrap();
        assert_eq!(Revocations::from_json(&held).unwrap(), document, "an older one changes nothing");
    }
    // As if the agent had been killed between the files and the memory of them.
    let file = bench.path("state/settings/ingest.toml");
    let before = std::fs::read(&file).unwrap();
    std::fs::write(&file, "drain = true\n").unwrap();
    let (agent, _) = bench.agent().await;
    assert_eq!(std::fs::read(&file).unwrap(), before);
    let reported = agent.settings.reported().borrow().clone();
    assert_eq!((reported.applied, serde_json::to_value(reported.settings).unwrap()), (1, settings.clone()));

    // A process that is away takes its settings when it comes.
    bench.kill("ingest");
    assert_eq!(bench.apply(&agent, 2, "a", &json!({"drain": true})).await.applied, 2);
    bench.spawn("ingest");
    eventually("ingest to drain", async || bench.get("ingest", "/settings").await["sha256"].is_string())
        .await;

    // A restart that fails names itself, and the origins stay what they were.
    std::fs::write(bench.path("restart-uplink"), "#!/bin/sh\necho no such unit >&2\nexit 5\n").unwrap();
    let reported = bench.apply(&agent, 3, "a", &json!({"origins": [{"name": "x", "url": ORIGIN}]})).await;
    assert_eq!(reported.applied, 2);
    assert!(
        reason(&reported).contains("could not be restarted") && reason(&reported).contains("no such unit")
    );
    let uplink = std::fs::read_to_string(bench.path("state/settings/uplink.toml")).unwrap();
    assert!(!uplink.contains("origin"), "{uplink}");
}

#[tokio::test]
async fn a_session_is_seen_with_its_ladder_and_its_end_is_told_once() {
    let bench = Bench::start().await;
    let (mut agent, store) = bench.agent().await;
    bench.apply(&agent, 1, "a", &json!({"ladder": ladder("180p", 180)})).await;
    let _publisher = bench.publish("nodi");
    let mut sessions = agent.sessions.clone();
    let full = |sessions: &Option<crate::seams::Sessions>| {
        sessions.as_ref().and_then(|all| all.values().next()).is_some_and(|session| {
            session.ladder.as_ref().is_some_and(|ladder| ladder.rungs.iter().any(|rung| rung.frames > 0))
                && session.input.fps.is_some()
        })
    };
    let wait = tokio::time::timeout(bench::PATIENCE, sessions.wait_for(full));
    let session = wait.await.expect("in time").unwrap().as_ref().unwrap().values().next().unwrap().clone();
    assert_eq!((session.channel.as_str(), session.transport.as_str()), ("nodi", "rtmp"));
    assert!(session.encoder.starts_with("Lavf"), "{session:?}");
    assert_eq!((session.input.width, session.input.height), (Some(320), Some(180)));
    assert_eq!(session.input.audio_codec.as_deref(), Some("AAC LC"));
    let rung = &session.ladder.as_ref().unwrap().rungs[0];
    assert_eq!((rung.name.as_str(), rung.state.as_str()), ("180p", "active"));

    // New rungs wait for the next session; the encoder and the line are measured meanwhile.
    let reported = bench.apply(&agent, 2, "a", &json!({"ladder": ladder("144p", 144)})).await;
    assert_eq!((reported.applied, reported.pending), (2, vec!["ladder".to_owned()]));
    let mut telemetry = agent.telemetry.measure().await;
    eventually("rates, which need two looks", async || {
        telemetry = agent.telemetry.measure().await;
        telemetry.uplink.is_some() && telemetry.cpu.is_some()
    })
    .await;
    assert_eq!(telemetry.sessions, 1);
    let running =
        |name: &str| telemetry.processes.iter().any(|p| p.name == name && p.running && p.memory_bytes > 0);
    assert!(
        running("ingest") && running("uplink") && running("transcode") && running("agent"),
        "{telemetry:?}"
    );

    let reason = "too loud for the neighbours".to_owned();
    let end = Action::EndSession { session: session.session, reason: reason.clone() };
    let outcome = bench.act(&agent, end.clone()).await;
    assert!(outcome.succeeded, "{outcome:?}");
    tokio::time::timeout(
        bench::PATIENCE,
        sessions.wait_for(|all| all.as_ref().is_some_and(|all| all.is_empty())),
    )
    .await
    .expect("in time")
    .unwrap();
    let outcome = bench.act(&agent, end).await;
    assert!(!outcome.succeeded && outcome.message.contains("no such session"));
    let mut reports = agent.settings.reported();
    tokio::time::timeout(bench::PATIENCE, reports.wait_for(|reported| reported.pending.is_empty()))
        .await
        .expect("nothing waits any more")
        .unwrap();
    let events: Vec<What> = bench.events(&store).await;
    let of_session: Vec<&What> = events
        .iter()
        .filter(|what| matches!(what, What::SessionStarted { .. } | What::SessionEnded { .. }))
        .collect();
    let [
        What::SessionStarted { session: started, .. },
        What::SessionEnded { session: ended, reason: said, received_bytes, .. },
    ] = of_session.as_slice()
    else {
        panic!("{events:?}")
    };
    assert_eq!((*started, *ended), (session.session, session.session));
    assert!(*said == reason && *received_bytes > 10_000, "{events:?}");
}

#[tokio::test]
async fn commands_do_what_they_say_and_say_what_they_did() {
    let bench = Bench::start().await;
    let (agent, _) = bench.agent().await;

    let before = bench.pid("ingest");
    let outcome = bench.act(&agent, Action::RestartProcess { process: Process::Ingest }).await;
    assert!(outcome.succeeded && outcome.message == "ingest was restarted and answers", "{outcome:?}");
    assert_ne!(bench.pid("ingest"), before);
    let outcome = bench.act(&agent, Action::Identify { seconds: 7 }).await;
    assert!(outcome.succeeded, "{outcome:?}");
    assert_eq!(std::fs::read_to_string(bench.path("identified")).unwrap().trim(), "7");
    // A reboot is judged by what comes of it: the action itself does not return.
    let reboot = bench.act(&agent, Action::Reboot);
    assert!(tokio::time::timeout(Duration::from_secs(2), reboot).await.is_err());
    assert!(bench.path("rebooted").exists());

    let upload = |path: &str| Upload {
        url: format!("{}{path}", bench.fleet_url),
        token: "once".to_owned(),
        max_bytes: 8 << 20,
    };
    let lines = "[2026-11-22T18:59:59.000Z INFO  a] before\n[2026-11-22T19:00:00.000Z INFO  a] within\n";
    std::fs::write(bench.path("log"), lines).unwrap();
    let since_ms = 1_795_374_000_000;
    let collect = |path| Action::CollectLogs { since_ms, until_ms: since_ms + 1000, upload: upload(path) };
    let outcome = bench.act(&agent, collect("/logs")).await;
    assert!(outcome.succeeded, "{outcome:?}");
    let received = bench.received.lock().unwrap().pop().unwrap();
    assert_eq!(received.authorization, "Bearer once");
    let mut text = String::new();
    flate2::read::GzDecoder::new(received.body.as_slice()).read_to_string(&mut text).unwrap();
    assert!(text.contains("within") && !text.contains("before"), "{text}");
    let outcome = bench.act(&agent, collect("/refused")).await;
    assert!(!outcome.succeeded && outcome.message.contains("403") && outcome.message.contains("used up"));
    let plain = Upload { url: "http://fleet.example/logs".to_owned(), ..upload("") };
    let outcome =
        bench.act(&agent, Action::CollectLogs { since_ms, until_ms: since_ms + 1, upload: plain }).await;
    assert!(!outcome.succeeded && outcome.message.contains("http is not https"), "{outcome:?}");

    let outcome =
        bench.act(&agent, Action::MeasureUplink { bytes: 1 << 20, upload: upload("/measure") }).await;
    assert!(outcome.succeeded && outcome.message.contains("Mbit/s"), "{outcome:?}");
    let result = outcome.result.unwrap();
    assert_eq!(result["bytes"], 1 << 20);
    assert_eq!(bench.received.lock().unwrap().pop().unwrap().body.len(), 1 << 20);
    let (mut again, _) = bench.agent().await;
    eventually("the uplink to be asked", async || again.telemetry.measure().await.uplink.is_some()).await;
    let uplink = again.telemetry.measure().await.uplink.unwrap();
    assert_eq!(uplink.capacity_bps, result["bits_per_s"].as_u64(), "remembered");

    let outcome = bench.act(&agent, Action::SelfTest).await;
    assert!(outcome.succeeded && outcome.message.starts_with("software encoder, "), "{outcome:?}");
    assert_eq!(outcome.result.unwrap()["passed"], true);
}
