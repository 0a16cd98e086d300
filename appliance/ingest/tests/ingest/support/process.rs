//! Ingest as a process of its own.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};

use super::{eventually, http, minter};

/// The real binary, with everything that it logs.
pub struct Process {
    pub child: Child,
    log: Arc<Mutex<String>>,
    pub directory: tempfile::TempDir,
}

impl Process {
    /// `log`: what `RUST_LOG` is set to.
    pub fn start(log: Option<&str>) -> Self {
        Self::start_with(log, &[])
    }

    /// With more variables in its environment.
    pub fn start_with(log: Option<&str>, environment: &[(&str, &str)]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path();
        std::fs::write(path.join("keys.pub"), minter().public_line()).unwrap();
        let config = format!(
            "[rtmp]\nlisten = \"127.0.0.1:0\"\n\
             [keys]\npublic_keys = \"{0}/keys.pub\"\nrevocations = \"{0}/revocations.json\"\n\
             self_test_keys = \"{0}/self-test.pub\"\n\
             [sessions]\ncredentials = \"{0}/sessions\"\nnewest = \"{0}/newest\"\n\
             [worker]\nsocket = \"{0}/worker.sock\"\n\
             [status]\nsocket = \"{0}/ingest.sock\"\n",
            path.display()
        );
        std::fs::write(path.join("ingest.toml"), config).unwrap();
        let mut command = Self::command(path);
        match log {
            Some(filter) => command.env("RUST_LOG", filter),
            None => command.env_remove("RUST_LOG"),
        };
        let mut child = command.envs(environment.iter().copied()).stderr(Stdio::piped()).spawn().unwrap();
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

    /// The command line for files in `directory`.
    pub fn command(directory: &Path) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_nodi-ingest"));
        command.arg("--config").arg(directory.join("ingest.toml"));
        command.arg("--settings").arg(directory.join("settings.toml"));
        command
    }

    /// Replaces the settings as the agent does.
    pub fn set(&self, text: &str) {
        let unfinished = self.directory.path().join("settings.new");
        std::fs::write(&unfinished, text).unwrap();
        std::fs::rename(unfinished, self.directory.path().join("settings.toml")).unwrap();
    }

    /// `GET /settings`, once it speaks of `text`.
    pub fn settings(&self, text: &str) -> serde_json::Value {
        let sha256 = nodi_daemon::settings::sha256(text.as_bytes());
        eventually("the settings to be looked at", || {
            let state = self.get("/settings");
            (state["sha256"] == *sha256).then_some(state)
        })
    }

    /// Sets `text` and waits until it is in force.
    pub fn apply(&self, text: &str) {
        self.set(text);
        assert_eq!(self.settings(text)["error"], serde_json::Value::Null);
    }

    pub fn get(&self, target: &str) -> serde_json::Value {
        let (status, body) = http(&self.directory.path().join("ingest.sock"), "GET", target);
        assert_eq!(status, 200);
        serde_json::from_str(&body).unwrap()
    }

    pub fn log(&self) -> String {
        self.log.lock().unwrap().clone()
    }

    /// Where it listens, as it says itself.
    pub fn address(&self) -> std::net::SocketAddr {
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
