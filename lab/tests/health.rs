//! The health gate with the other processes of a box, each as it is shipped.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests fail by panicking"
)]

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nodi_lab::config::Rung;
use nodi_lab::process::{Process, Spec};
use nodi_lab::{Edge, Lab, Options};
use serde_json::{Value, json};

const PATIENCE: Duration = Duration::from_secs(90);
const POLL: Duration = Duration::from_millis(50);

/// One box of a lab, in slot B, whose trial the gate judges.
struct Trial {
    dir: tempfile::TempDir,
    lab: Lab,
    started: usize,
}

impl Trial {
    async fn start() -> Self {
        nodi_daemon::logging::init("health", log::LevelFilter::Info);
        let dir = tempfile::tempdir().unwrap();
        let mut options = Options::new("test".parse().unwrap());
        options.edge = Edge::None;
        options.web_root = None;
        let rung = |name: &str, height, bitrate| Rung { name: name.to_owned(), height, bitrate };
        options.ladder = Some(vec![rung("360p", 360, 500_000), rung("180p", 180, 150_000)]);
        options.overrides.transcode = json!({ "preset": "ultrafast", "cpu_budget": 1.0 });
        options.overrides.ingest = json!({ "keys": { "self_test_keys": dir.path().join("self-test.pub") } });
        options.overrides.uplink = json!({ "janitor": { "every_s": 1 } });
        std::fs::write(dir.path().join("cmdline"), "rauc.slot=B").unwrap();
        let trial = Self { lab: Lab::start(options).await.unwrap(), dir, started: 0 };
        trial.agent_says(false);
        trial
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn agent_says(&self, connected: bool) {
        // Since the boot, and it will not fall silent.
        let text =
            json!({ "connected": connected, "since_ms": 1, "since_boot_ms": 0, "at_boot_ms": u64::MAX });
        let text = text.to_string();
        std::fs::write(self.path("link.new"), text).unwrap();
        std::fs::rename(self.path("link.new"), self.path("link.json")).unwrap();
    }

    /// Starts the gate on a trial of its own.
    fn gate(&mut self, window_s: u64, broker: bool, stream: &str) -> Process {
        self.started += 1;
        let id = format!("trial-{}", self.started);
        let trial = json!({ "id": id, "slot": "B", "from_slot": "A", "to": "2", "trial_s": window_s, "broker": broker });
        std::fs::write(self.path("trial.json"), trial.to_string()).unwrap();
        let at = |name: &str| self.path(name).display().to_string();
        let appliance = &self.lab.boxes[0];
        let log = at("commands");
        let config = format!(
            "trial = {:?}\ngate = {:?}\nlink = {:?}\nkernel_command_line = {:?}\nself_test_key = {:?}\nspool = {:?}\n\
             uplink = \"127.0.0.1:{}\"\nrtmp = \"127.0.0.1:{}\"\nshortest_trial_s = 1\n[stream]\n{stream}\n\
             [commands]\nstatus = [\"false\"]\nmark_bad = [\"sh\", \"-c\", \"echo bad >> {log}\"]\n\
             mark_other = [\"sh\", \"-c\", \"echo other >> {log}\"]\nreboot = [\"sh\", \"-c\", \"echo reboot >> {log}\"]\n",
            at("trial.json"),
            at("gate.json"),
            at("link.json"),
            at("cmdline"),
            at("self-test.pub"),
            appliance.paths.spool.display().to_string(),
            appliance.ports.uplink,
            appliance.ports.rtmp,
        );
        std::fs::write(self.path("health.toml"), config).unwrap();
        let spec = Spec::new("health", program(), &self.lab.logs());
        let health = self.path("health.toml");
        Process::start(spec.args(["gate".as_ref(), "--config".as_ref(), health.as_os_str()])).unwrap()
    }

    fn said(&self) -> Value {
        let text = std::fs::read(self.path("gate.json")).unwrap_or_default();
        let said: Value = serde_json::from_slice(&text).unwrap_or_default();
        if said["id"] == format!("trial-{}", self.started) { said } else { Value::Null }
    }

    fn check(&self, name: &str) -> (bool, String) {
        let said = self.said();
        let all = said["checks"].as_array().cloned().unwrap_or_default();
        let check = all.into_iter().find(|check| check["name"] == name).unwrap_or_default();
        (check["passed"] == true, check["message"].as_str().unwrap_or_default().to_owned())
    }

    async fn until<T>(&self, what: &str, mut condition: impl FnMut() -> Option<T>) -> T {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(value) = condition() {
                return value;
            }
            assert!(Instant::now() < deadline, "waited in vain until {what}: {}", self.said());
            tokio::time::sleep(POLL).await;
        }
    }

    async fn ends(&self, gate: &mut Process) -> i32 {
        self.until("the gate has judged", || gate.ended()).await.code().unwrap()
    }

    fn workers(&self, signal: &str) {
        for pid in self.lab.boxes[0].workers.pids() {
            let sent =
                std::process::Command::new("kill").args([format!("-{signal}"), pid.to_string()]).status();
            assert!(sent.unwrap().success());
        }
    }

    fn commands(&self) -> String {
        std::fs::read_to_string(self.path("commands")).unwrap_or_default()
    }
}

/// Beside the test's own executable, as cargo puts them.
fn program() -> PathBuf {
    let me = std::env::current_exe().unwrap();
    let folder = me.parent().and_then(Path::parent).unwrap();
    let program = folder.join("nodi-health");
    assert!(program.is_file(), "{} is missing: cargo build --workspace --bins", program.display());
    program
}

#[tokio::test(flavor = "multi_thread")]
async fn a_box_passes_when_everything_holds_and_goes_back_when_something_does_not() {
    let mut trial = Trial::start().await;
    let spool = trial.lab.boxes[0].paths.spool.join("self-test");
    let sessions = trial.lab.boxes[0].paths.sessions();

    // The broker was away before the update: it may be now.
    let mut gate = trial.gate(60, false, "");
    trial.until("the stream arrives", || (!trial.check("stream").1.is_empty()).then_some(())).await;
    let first = || std::fs::read_dir(&spool).ok()?.next()?.ok();
    trial.until("a session is in the spool", first).await;
    assert_eq!(std::fs::read_dir(&sessions).unwrap().count(), 0, "no credentials for the uplink");
    assert_eq!(trial.lab.boxes[0].sessions().await.unwrap(), Vec::<Value>::new());
    assert_eq!(trial.ends(&mut gate).await, 0);
    assert_eq!(trial.said()["passed"], true);
    assert_eq!(trial.check("stream"), (true, "arrives as 360p, 180p, audio".to_owned()));
    assert!(trial.check("broker").0 && trial.check("broker").1.contains("was not before"));
    assert!(!trial.path("self-test.pub").exists());
    // Nobody was told, and nothing of it stays.
    let origin = trial.lab.origins[0].ports.public;
    let answer = reqwest_status(origin, "/live/self-test/index.m3u8").await;
    assert_eq!(answer, 404);
    trial
        .until("the spool is clean", || std::fs::read_dir(&spool).ok()?.next().is_none().then_some(()))
        .await;

    // It was there before: without it the slot is not good, with it everything holds at the same time.
    let mut gate = trial.gate(60, true, "clip = \"1080p\"\nstall_s = 3");
    trial.until("all but the broker holds", || trial.check("stream").0.then_some(())).await;
    assert_eq!((trial.check("broker").0, &trial.said()["passed"]), (false, &Value::Null));
    // The broker comes when the worker hangs.
    trial.workers("STOP");
    let stopped = || trial.check("stream").1.contains("has got nothing for 3 s").then_some(());
    trial.until("the stream is missed", stopped).await;
    trial.agent_says(true);
    trial.until("the broker is seen", || trial.check("broker").0.then_some(())).await;
    assert_eq!((trial.check("stream").0, &trial.said()["passed"]), (false, &Value::Null));
    trial.workers("CONT");
    assert_eq!(trial.ends(&mut gate).await, 0);
    assert_eq!(trial.commands(), "");

    // An encoder that the box should have and has not.
    let mut gate = trial.gate(6, true, "clip = \"360p\"\nbackend = \"jetson\"");
    assert_eq!(trial.ends(&mut gate).await, 1);
    let (passed, message) = trial.check("stream");
    assert!(!passed && message.contains("the encoder is software, not jetson"), "{message}");
    assert_eq!(trial.commands(), "bad\nother\nreboot\n");

    // Ingest does not come up, and the uplink neither.
    trial.lab.process("ingest").unwrap().kill();
    trial.lab.process("uplink").unwrap().kill();
    let mut gate = trial.gate(2, true, "clip = \"360p\"");
    assert_eq!(trial.ends(&mut gate).await, 1);
    assert!(trial.check("stream").1.contains("ingest does not answer"), "{}", trial.said());
    assert!(trial.check("uplink").1.contains("the uplink does not answer"), "{}", trial.said());
    assert!(trial.check("agent").0 && trial.check("broker").0);
}

async fn reqwest_status(port: u16, path: &str) -> u16 {
    reqwest::get(format!("http://127.0.0.1:{port}{path}")).await.unwrap().status().as_u16()
}
