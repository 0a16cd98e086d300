//! The process as it is started on a box: configuration, log, signals.

use std::io::Read as _;
use std::process::{Command, Stdio};

use crate::support::client::Client;
use crate::support::process::Process;
use crate::support::{eventually, key, media, other_minter};

#[test]
fn no_key_is_ever_logged_and_sigterm_ends_it_in_good_order() {
    let mut process = Process::start(Some("trace"));
    let address = process.address();
    let mut publisher = Client::publishing(address, &key("nodi"));
    publisher.second(0, 100);
    let foreign = other_minter().mint(&crate::support::grant("nodi", 1, None));
    let mistyped = format!("{}x", &key("nodi").reveal()[..40]);
    for wrong in [foreign.reveal(), &mistyped, "hunter2"] {
        let mut client = Client::connect(address);
        assert!(!client.publish(wrong));
        client.until_closed();
    }
    publisher.tag(&media::video(0, b"\x90hvc1config"));
    publisher.until_closed();
    let mut last = Client::publishing(address, &key("nodi"));

    let id = process.child.id().to_string();
    assert!(Command::new("kill").args(["-TERM", &id]).status().unwrap().success());
    assert!(last.until_closed().contains("NetStream.Unpublish.Success"));
    let status = eventually("the process to end", || process.child.try_wait().unwrap());
    assert_eq!(status.code(), Some(0));
    let log = process.log();
    assert!(log.contains("publisher refused") && log.contains("HEVC (hvc1)"), "{log}");
    for secret in [&key("nodi").reveal()[5..30], &foreign.reveal()[5..30], "hunter2"] {
        assert!(!log.contains(secret), "a key in the log");
    }
    assert!(std::fs::read_dir(process.directory.path().join("sessions")).unwrap().next().is_none());
}

#[test]
fn a_bad_configuration_is_named_and_has_its_own_exit_code() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("ingest.toml");
    std::fs::write(&path, "[limits]\nidle_seconds = 5\n").unwrap();
    let mut child = Command::new(env!("CARGO_BIN_EXE_nodi-ingest"))
        .arg("--config")
        .arg(&path)
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = String::new();
    child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(78));
    assert!(said.contains("idle_seconds"), "{said}");
}
