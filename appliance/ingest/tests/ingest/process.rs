//! The process as it is started on a box: configuration, log, signals.

use std::io::{BufRead as _, BufReader, Read as _};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};

use crate::support::client::Client;
use crate::support::{eventually, key, media, minter, other_minter};

/// The real binary, with everything that it logs.
struct Process {
    child: Child,
    log: Arc<Mutex<String>>,
    directory: tempfile::TempDir,
}

impl Process {
    fn start() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path();
        std::fs::write(path.join("keys.pub"), minter().public_line()).unwrap();
        let config = format!(
            "[rtmp]\nlisten = \"127.0.0.1:0\"\n\
             [keys]\npublic_keys = \"{0}/keys.pub\"\nrevocations = \"{0}/revocations.json\"\n\
             [sessions]\ncredentials = \"{0}/sessions\"\nnewest = \"{0}/newest\"\n\
             [worker]\nsocket = \"{0}/worker.sock\"\n\
             [status]\nsocket = \"{0}/ingest.sock\"\n",
            path.display()
        );
        std::fs::write(path.join("ingest.toml"), config).unwrap();
        let mut child = Command::new(env!("CARGO_BIN_EXE_nodi-ingest"))
            .arg("--config")
            .arg(path.join("ingest.toml"))
            .env("RUST_LOG", "trace")
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let log = Arc::new(Mutex::new(String::new()));
        let (pipe, copy) = (child.stderr.take().unwrap(), Arc::clone(&log));
        std::thread::spawn(move || {
            for line in BufReader::new(pipe).lines() {
                let mut log = copy.lock().unwrap();
                log.push_str(&line.unwrap());
                log.push('\n');
            }
        });
        Self { child, log, directory }
    }

    fn log(&self) -> String {
        self.log.lock().unwrap().clone()
    }

    /// Where it listens, as it says itself.
    fn address(&self) -> std::net::SocketAddr {
        eventually("the process to listen", || {
            let log = self.log();
            let (_, rest) = log.split_once("rtmp=Some(")?;
            rest.split_once(')')?.0.parse().ok()
        })
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn no_key_is_ever_logged_and_sigterm_ends_it_in_good_order() {
    let mut process = Process::start();
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
