//! Settings from afar, followed by the process as it is started on a box.

use std::net::TcpStream;
use std::process::Output;

use crate::support::client::Client;
use crate::support::process::Process;
use crate::support::{Server, eventually, key, media, write_revocations};

/// 25 frames of `bytes` for each of `seconds`, as fast as they are taken.
fn play(client: &mut Client, seconds: std::ops::Range<u32>, bytes: usize) {
    for second in seconds {
        for _ in 0..25 {
            if client.try_tag(&media::key_frame(second * 1000, bytes)).is_err() {
                return;
            }
        }
    }
}

#[test]
fn a_draining_box_keeps_who_is_live_and_refuses_the_rest() {
    let process = Process::start(None);
    let address = process.address();
    let mut live = Client::publishing(address, &key("live"));
    process.apply("drain = true\n");
    let mut late = Client::connect(address);
    assert!(!late.publish(key("late").reveal()));
    let said = late.until_closed();
    assert!(said.contains("takes no new streams now; use another server"), "{said}");
    live.second(0, 100);
    assert_eq!(process.get("/sessions").as_array().unwrap().len(), 1);
    process.apply("drain = false\n");
    assert!(Client::connect(address).publish(key("late").reveal()));
}

#[test]
fn a_live_session_that_breaks_a_new_limit_ends_with_the_reason() {
    let process = Process::start(None);
    let mut client = Client::publishing(process.address(), &key("nodi"));
    // 20 Mbit, which the default of 30 Mbit/s over 10 s allows.
    play(&mut client, 0..20, 5_000);
    process.apply("[limits]\nbitrate_bps = 1000000\n");
    let said = client.until_closed();
    assert!(said.contains("NetStream.Publish.BadName") && said.contains("lower the bitrate"), "{said}");
}

#[test]
fn a_bad_file_is_said_and_the_last_good_one_stays() {
    let process = Process::start(None);
    let address = process.address();
    process.apply("drain = true\n");
    for (text, reason) in [
        ("drain = false\n[limits]\nconnections = 0\n", "limits.connections: must be at least 1"),
        ("drain = false\n[limits]\nconections = 5\n", "limits.conections: unknown field"),
        ("drain = ", "line 1: "),
    ] {
        process.set(text);
        let state = process.settings(text);
        assert!(state["error"].as_str().unwrap().starts_with(reason), "{state}");
        assert!(!Client::connect(address).publish(key("nodi").reveal()), "still draining");
        let Output { status, stdout, stderr } = check(&process);
        assert_eq!((status.code(), stdout.len()), (Some(78), 0));
        let said = String::from_utf8(stderr).unwrap();
        assert!(said.lines().count() == 1 && said.contains(reason), "{said}");
    }
    process.apply("[rtmp]\nlisten = \"127.0.0.1:1\"\n");
    eventually("what waits for a restart to be said", || {
        let log = process.log();
        log.lines().any(|line| line.contains("only after a restart") && line.contains("rtmp")).then_some(())
    });
    assert!(Client::connect(address).publish(key("nodi").reveal()));
    let Output { status, stdout, stderr } = check(&process);
    assert_eq!((status.code(), stdout.len(), stderr.len()), (Some(0), 0, 0));
}

fn check(process: &Process) -> Output {
    Process::command(process.directory.path()).arg("--check").env_remove("RUST_LOG").output().unwrap()
}

#[test]
fn the_log_level_moves_at_once() {
    let process = Process::start(None);
    let address = process.address();
    drop(TcpStream::connect(address).unwrap());
    assert!(!process.log().contains(" DEBUG "));
    process.apply("log_level = \"debug\"\n");
    eventually("a line of the new level", || {
        drop(TcpStream::connect(address).unwrap());
        process.log().contains("DEBUG").then_some(())
    });
}

#[test]
fn a_suspended_channel_ends_and_is_refused_by_name() {
    let server = Server::start();
    let mut client = Client::publishing(server.rtmp, &key("nodi"));
    let mut other = Client::publishing(server.rtmp, &key("other"));
    let document = serde_json::json!({"schema": 1, "min_versions": {}, "suspended": ["nodi"]});
    write_revocations(server.directory.path(), &document);
    let said = client.until_closed();
    assert!(said.contains("NetStream.Publish.BadName") && said.contains("channel is suspended"), "{said}");
    let mut again = Client::connect(server.rtmp);
    assert!(!again.publish(key("nodi").reveal()));
    assert!(again.until_closed().contains("channel is suspended"));
    other.second(0, 100);
    assert_eq!(server.sessions().len(), 1);
    assert_eq!(server.metric("nodi_ingest_endings_total{reason=\"suspended\"}"), 1.0);
    let ended: serde_json::Value = serde_json::from_str(&server.http("GET", "/ended").1).unwrap();
    assert_eq!((&ended[0]["channel"], &ended[0]["code"]), (&"nodi".into(), &"suspended".into()), "{ended}");
    assert!(ended[0]["reason"].as_str().unwrap().contains("suspended") && ended[0]["received_bytes"] != 0);
    assert_eq!(ended.as_array().unwrap().len(), 1);
    write_revocations(server.directory.path(), &serde_json::json!({"schema": 1, "min_versions": {}}));
    eventually("the channel to be taken again", || {
        Client::connect(server.rtmp).publish(key("nodi").reveal()).then_some(())
    });
}
