//! What the tests share: a box with a spool that the real writer fills, an origin that records what it is sent, and
//! a network in between that can be cut.

#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests fail by panicking, and each uses a part of this"
)]

pub mod media;
pub mod network;
pub mod recorder;

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nodi_daemon::shutdown::{self, Trigger};
use nodi_protocol::SessionId;
use nodi_uplink::{Config, Uplink};

/// Longer than anything takes on a busy machine.
pub const DEADLINE: Duration = Duration::from_secs(30);

/// Waits for a condition.
pub async fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < DEADLINE, "waited in vain until {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// The directories of a box.
pub struct Appliance {
    pub dir: tempfile::TempDir,
}

impl Appliance {
    pub fn new() -> Self {
        let _ = env_logger_once();
        let dir = tempfile::tempdir().unwrap();
        for name in ["spool", "sessions"] {
            std::fs::create_dir(dir.path().join(name)).unwrap();
        }
        Self { dir }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub fn spool(&self) -> PathBuf {
        self.path("spool")
    }

    /// What ingest writes when a publisher comes.
    pub fn credential(&self, channel: &str, session: SessionId, key: &str) {
        let text =
            format!("{{\"channel\":\"{channel}\",\"session\":\"{session}\",\"stream_key\":\"{key}\"}}");
        std::fs::write(self.path("sessions").join(session.to_string()), text).unwrap();
    }

    pub fn remove_credential(&self, session: SessionId) {
        std::fs::remove_file(self.path("sessions").join(session.to_string())).unwrap();
    }

    /// Configuration text: the box's paths and `more`.
    pub fn config(&self, more: &str) -> String {
        let path = |name: &str| self.path(name).display().to_string();
        format!(
            "spool = {:?}\nsessions = {:?}\njournal = {:?}\ningest_socket = {:?}\nlisten = \"unix:{}\"\n\
             credential_wait_s = 2\n{more}",
            path("spool"),
            path("sessions"),
            path("state/journal.sqlite"),
            path("ingest.sock"),
            path("uplink.sock"),
        )
    }

    /// Starts the uplink inside the test.
    pub async fn start(&self, more: &str) -> Running {
        let config: Config = toml::from_str(&self.config(more)).unwrap();
        nodi_daemon::config::Validate::validate(&config).unwrap();
        let (trigger, shutdown) = shutdown::manual();
        let uplink = Uplink::open(config, shutdown).await.unwrap();
        Running { task: tokio::spawn(uplink.run()), trigger }
    }

    /// Starts the uplink as a process of its own.
    pub fn spawn(&self, more: &str) -> Process {
        let path = self.path("uplink.toml");
        std::fs::write(&path, self.config(more)).unwrap();
        let child = self.command().stdin(Stdio::null()).spawn().unwrap();
        Process(child)
    }

    /// The command line of the uplink that [`spawn`](Self::spawn) starts.
    pub fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_nodi-uplink"));
        command.arg("--config").arg(self.path("uplink.toml"));
        command.arg("--settings").arg(self.path("settings.toml"));
        command
    }

    pub async fn metrics(&self) -> String {
        self.get("/metrics").await.unwrap()
    }

    /// One GET over the status socket; nothing while nobody listens there.
    pub async fn get(&self, path: &str) -> Option<String> {
        let client = reqwest::Client::builder().unix_socket(self.path("uplink.sock")).build().unwrap();
        client.get(format!("http://uplink{path}")).send().await.ok()?.text().await.ok()
    }

    /// The answer to a GET as JSON, once `accept` likes it.
    pub async fn json(&self, path: &str, accept: impl Fn(&serde_json::Value) -> bool) -> serde_json::Value {
        let start = Instant::now();
        loop {
            let found = self.get(path).await.and_then(|text| serde_json::from_str(&text).ok());
            if let Some(found) = found.as_ref().filter(|value| accept(value)) {
                return found.clone();
            }
            assert!(start.elapsed() < DEADLINE, "{path} is still {found:?}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

fn env_logger_once() -> bool {
    // With `--no-capture` the log shows what the uplink did.
    nodi_daemon::logging::init("test", log::LevelFilter::Info);
    rustls::crypto::ring::default_provider().install_default().is_ok()
}

/// An uplink inside the test.
pub struct Running {
    task: tokio::task::JoinHandle<Result<(), nodi_uplink::Error>>,
    trigger: Trigger,
}

impl Running {
    /// As by SIGTERM.
    pub async fn stop(self) {
        self.trigger.stop();
        tokio::time::timeout(DEADLINE, self.task).await.expect("drains in time").unwrap().unwrap();
    }
}

/// An uplink as a process; killed when dropped.
pub struct Process(Child);

impl Process {
    pub fn kill(mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }

    /// SIGTERM, and the exit code.
    pub async fn terminate(mut self) -> Option<i32> {
        let pid = self.0.id().to_string();
        assert!(Command::new("kill").arg("-TERM").arg(pid).status().unwrap().success());
        // Elsewhere: the origin that it drains to runs on this thread.
        tokio::task::spawn_blocking(move || self.0.wait().unwrap().code()).await.unwrap()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// All files below a directory, as paths relative to it.
pub fn files_below(root: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut due = vec![root.to_owned()];
    while let Some(dir) = due.pop() {
        for item in std::fs::read_dir(dir).into_iter().flatten().flatten() {
            let path = item.path();
            if path.is_dir() {
                due.push(path);
            } else {
                found.push(path.strip_prefix(root).unwrap().to_str().unwrap().to_owned());
            }
        }
    }
    found.sort();
    found
}
