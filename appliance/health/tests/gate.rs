//! The gate as systemd starts it, on a box on which nothing else runs: what it decides from its files, and what it
//! does when a trial fails. With the other processes it is tried in the lab.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests fail by panicking"
)]

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use nodi_daemon::shutdown;
use nodi_health::{Config, Gate, Verdict};
use serde_json::{Value, json};

const PATIENCE: Duration = Duration::from_secs(40);

struct Box {
    directory: tempfile::TempDir,
}

impl Box {
    /// Slot B runs, with the trial that is given.
    fn new(trial: Option<&str>) -> Self {
        let board = Self { directory: tempfile::tempdir().unwrap() };
        board.runs("B");
        board.other_is("good");
        board.write("boot_id", "boot-1\n");
        if let Some(trial) = trial {
            board.write("trial.json", trial);
        }
        board.configure("");
        board
    }

    fn configure(&self, commands: &str) {
        let at = |name: &str| self.path(name).display().to_string();
        let log = at("commands");
        let note = |what: &str| format!(r#"["sh", "-c", "echo {what} >> {log}"]"#);
        let line = |name: &str| {
            if commands.contains(&format!("{name} =")) {
                String::new()
            } else {
                format!("{name} = {}\n", note(name))
            }
        };
        let text = format!(
            "trial = {:?}\ngate = {:?}\nlink = {:?}\nboot_id = {:?}\nkernel_command_line = {:?}\nself_test_key = {:?}\n\
             spool = {:?}\nuplink = \"unix:{}\"\nrtmp = \"127.0.0.1:1\"\nshortest_trial_s = 1\n\
             [commands]\nstatus = [\"cat\", {:?}]\n{}{}{}{commands}",
            at("trial.json"),
            at("gate.json"),
            at("link.json"),
            at("boot_id"),
            at("cmdline"),
            at("health/self-test.pub"),
            at("spool"),
            at("uplink.sock"),
            at("status"),
            line("mark_bad"),
            line("mark_other"),
            line("reboot"),
        );
        self.write("health.toml", &text);
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path(name), text).unwrap();
    }

    /// The boot loader has chosen this slot.
    fn runs(&self, slot: &str) {
        self.write("cmdline", &format!("quiet rauc.slot={slot}\n"));
    }

    fn other_is(&self, state: &str) {
        let slot = |name: &str| json!({"bootname": name, "state": "inactive", "boot_status": state});
        self.write(
            "status",
            &json!({"slots": [{"rootfs.0": slot("A")}, {"rootfs.1": slot("B")}]}).to_string(),
        );
    }

    fn start(&self) -> Child {
        let mut command = Command::new(env!("CARGO_BIN_EXE_nodi-health"));
        command.args(["gate", "--config"]).arg(self.path("health.toml"));
        command.stdin(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
    }

    /// Its exit status.
    fn run(&self) -> i32 {
        self.start().wait().unwrap().code().unwrap()
    }

    fn gate(&self) -> Value {
        serde_json::from_slice(&std::fs::read(self.path("gate.json")).unwrap()).unwrap()
    }

    /// What was run since the last question.
    fn commands(&self) -> Vec<String> {
        let text = std::fs::read_to_string(self.path("commands")).unwrap_or_default();
        let _ = std::fs::remove_file(self.path("commands"));
        text.lines().map(str::to_owned).collect()
    }
}

const TRIAL: &str =
    r#"{"id": "01JB", "slot": "B", "from_slot": "A", "to": "2.0.0", "trial_s": 1, "broker": true}"#;
const ALL: [&str; 3] = ["mark_bad", "mark_other", "reboot"];

fn check<'a>(gate: &'a Value, name: &str) -> &'a Value {
    let all = gate["checks"].as_array().unwrap();
    all.iter().find(|check| check["name"] == name).unwrap_or_else(|| panic!("no {name} in {gate}"))
}

#[test]
fn without_a_trial_it_is_good_at_once() {
    for (trial, runs) in [(None, "A"), (Some(TRIAL), "A")] {
        let board = Box::new(trial);
        board.runs(runs);
        assert_eq!(board.run(), 0);
        let gate = board.gate();
        assert_eq!(
            (&gate["trial"], &gate["passed"], &gate["slot"]),
            (&json!(false), &json!(true), &json!("A"))
        );
        assert_eq!((&gate["boot_id"], &gate["checks"]), (&json!("boot-1"), &json!([])));
        assert!(gate["began_ms"].as_u64() > Some(0) && gate["at_ms"].is_u64());
        assert_eq!(board.commands(), Vec::<String>::new());
    }
    // Nor does anything else decide outside of one.
    let board = Box::new(None);
    board.write("cmdline", "");
    board.write("status", "RAUC is not there");
    assert_eq!(board.run(), 0);
    assert_eq!(board.gate()["slot"], "");
    board.write("health.toml", "nonsense = ");
    assert_eq!(board.run(), 0);
}

#[test]
fn a_trial_that_lacks_everything_says_what_and_goes_back() {
    let board = Box::new(Some(TRIAL));
    assert_eq!(board.run(), 1);
    let gate = board.gate();
    assert_eq!((&gate["trial"], &gate["passed"], &gate["id"]), (&json!(true), &json!(false), &json!("01JB")));
    for (name, passed, message) in [
        ("slot", true, "B runs"),
        ("stream", false, "ingest does not answer on 127.0.0.1:1"),
        ("uplink", false, "the uplink does not answer"),
        ("agent", false, "the agent has said nothing yet"),
        ("broker", false, "not connected, and was before the update"),
        ("way_back", true, "the other slot is the next one"),
    ] {
        let check = check(&gate, name);
        assert_eq!(check["passed"], passed, "{check}");
        assert!(check["message"].as_str().unwrap().contains(message), "{check}");
    }
    assert_eq!(board.commands(), ALL);
    assert!(!board.path("health/self-test.pub").exists(), "the key is gone with the stream");

    // In the old slot it is still known why.
    board.runs("A");
    board.write("boot_id", "boot-2");
    assert_eq!(board.run(), 0);
    let gate = board.gate();
    assert_eq!(
        (&gate["trial"], &gate["passed"], &gate["boot_id"]),
        (&json!(false), &json!(true), &json!("boot-2"))
    );
    let last = &gate["last_trial"];
    assert_eq!((&last["id"], &last["passed"], &last["slot"]), (&json!("01JB"), &json!(false), &json!("B")));
    assert!(check(last, "uplink")["message"].as_str().unwrap().contains("does not answer"));
    assert_eq!(board.commands(), Vec::<String>::new());
}

#[test]
fn what_fails_on_the_way_back_keeps_nothing_else_from_being_tried() {
    let board = Box::new(Some(TRIAL));
    board.configure(
        "mark_bad = [\"sh\", \"-c\", \"echo no such slot >&2; exit 1\"]\nmark_other = [\"/nowhere/rauc\"]\n",
    );
    assert_eq!(board.run(), 1);
    assert_eq!(board.commands(), ["reboot"]);
    let gate = board.gate();
    let way = check(&gate, "way_back");
    assert_eq!(way["passed"], false);
    let message = way["message"].as_str().unwrap();
    assert!(message.contains("no such slot") && message.contains("/nowhere/rauc"), "{message}");
}

#[test]
fn a_rauc_that_is_busy_is_told_again() {
    let board = Box::new(Some(TRIAL));
    let busy = board.path("busy");
    std::fs::write(&busy, "").unwrap();
    let once = format!(
        "rm {0} 2>/dev/null && {{ echo busy >&2; exit 1; }}; echo bad >> {1}",
        busy.display(),
        board.path("commands").display()
    );
    board.configure(&format!("mark_bad = [\"sh\", \"-c\", {once:?}]\n"));
    assert_eq!(board.run(), 1);
    assert_eq!(board.commands(), ["bad", "mark_other", "reboot"]);
    assert_eq!(check(&board.gate(), "way_back")["passed"], true);
}

#[test]
fn with_nothing_to_go_back_to_it_stays() {
    let board = Box::new(Some(TRIAL));
    board.other_is("bad");
    assert_eq!(board.run(), 0);
    assert_eq!(board.commands(), Vec::<String>::new());
    let gate = board.gate();
    assert_eq!(gate["passed"], false);
    assert!(check(&gate, "way_back")["message"].as_str().unwrap().contains("nothing to go back to"));
}

#[test]
fn a_trial_that_nothing_ends_stops_to_reboot() {
    let board = Box::new(Some(TRIAL));
    for boot in 1..=4 {
        board.write("boot_id", &format!("boot-{boot}"));
        let (code, commands) = if boot <= 3 { (1, ALL.to_vec()) } else { (0, vec![]) };
        assert_eq!(
            (board.run(), board.commands()),
            (code, commands.into_iter().map(str::to_owned).collect())
        );
        assert_eq!(board.gate()["failures"], boot - 1);
    }
    assert!(check(&board.gate(), "way_back")["message"].as_str().unwrap().contains("failed in 3 boots"));
    // Another trial starts from the beginning.
    board.write("trial.json", &TRIAL.replace("01JB", "01JC"));
    assert_eq!(board.run(), 1);
    assert_eq!(board.gate()["failures"], 0);
}

#[test]
fn a_damaged_trial_is_judged_once() {
    for damage in ["", "{\"id\": \"01JB\", \"sl", "\0\0\0\0\0\0\0\0", "{\"id\": \"01JB\", \"slot\": \"C\"}"] {
        let board = Box::new(Some(damage));
        let text = std::fs::read_to_string(board.path("health.toml")).unwrap();
        board.write("health.toml", &format!("trial_s = 1\n{text}"));
        assert_eq!(board.run(), 1, "{damage:?}");
        assert_eq!(board.commands(), ALL);
        let gate = board.gate();
        assert_eq!((&gate["id"], &gate["passed"]), (&json!("damaged"), &json!(false)));
        assert!(check(&gate, "trial")["message"].as_str().unwrap().contains("cannot be read"));
        // The other slot has nothing to do with it, and the next one is not sent back by it.
        board.runs("A");
        assert_eq!(board.run(), 0);
        assert!(!board.path("trial.json").exists() && board.path("trial.damaged").exists());
        assert_eq!(board.run(), 0);
        assert_eq!(board.gate()["last_trial"], Value::Null);
        assert_eq!(board.commands(), Vec::<String>::new());
    }
}

#[test]
fn what_passed_once_has_passed() {
    let board = Box::new(Some(TRIAL));
    let passed = json!({"boot_id": "boot-0", "slot": "B", "trial": true, "id": "01JB", "passed": true,
        "checks": [], "began_ms": 1, "at_ms": 2});
    board.write("gate.json", &passed.to_string());
    assert_eq!(board.run(), 0);
    let gate = board.gate();
    assert_eq!(
        (&gate["trial"], &gate["passed"], &gate["boot_id"]),
        (&json!(true), &json!(true), &json!("boot-1"))
    );
    assert_eq!(check(&gate, "earlier")["passed"], true);
    assert_eq!(board.commands(), Vec::<String>::new());
}

#[test]
fn an_unusable_configuration_fails_a_trial() {
    let board = Box::new(Some(TRIAL));
    let mut config: Config =
        toml::from_str(&std::fs::read_to_string(board.path("health.toml")).unwrap()).unwrap();
    config.trial_s = 1_000;
    config.shortest_trial_s = 1_000;
    let unusable = Some("health.toml: stream.clap: unknown field".to_owned());
    let verdict = judge(config, unusable, || 5);
    assert_eq!(verdict, Verdict::WentBack);
    assert_eq!(board.commands(), ALL);
    assert!(check(&board.gate(), "configuration")["message"].as_str().unwrap().contains("stream.clap"));
}

/// In this process.
fn judge(config: Config, unusable: Option<String>, now_ms: fn() -> u64) -> Verdict {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let (_trigger, shutdown) = shutdown::manual();
        let gate = Gate { config, unusable, now_ms, shutdown };
        tokio::time::timeout(PATIENCE, gate.run()).await.expect("it never ends")
    })
}

#[test]
fn the_window_does_not_go_by_the_clock() {
    static HOURS: AtomicU64 = AtomicU64::new(1_000);
    // Forth by a year and back by two, again and again.
    fn jumping() -> u64 {
        let turn = HOURS.fetch_add(1, Ordering::Relaxed);
        if turn.is_multiple_of(2) { 1 } else { 1_000_000_000_000 + turn * 31_536_000_000 }
    }
    let board = Box::new(Some(TRIAL));
    let config = toml::from_str(&std::fs::read_to_string(board.path("health.toml")).unwrap()).unwrap();
    assert_eq!(judge(config, None, jumping), Verdict::WentBack);
    assert!(check(&board.gate(), "stream")["message"].as_str().unwrap().contains("ingest does not answer"));
}

#[test]
fn a_power_cut_at_any_moment_leaves_a_record_that_can_be_read() {
    let board = Box::new(Some(TRIAL));
    let text = std::fs::read_to_string(board.path("health.toml")).unwrap();
    board.write("health.toml", &text.replace("shortest_trial_s = 1\n", "shortest_trial_s = 1000\n"));
    for cut in 0..20 {
        let mut child = board.start();
        std::thread::sleep(Duration::from_millis(7 * cut));
        child.kill().unwrap();
        child.wait().unwrap();
        if board.path("gate.json").exists() {
            assert_eq!(board.gate()["passed"], Value::Null, "nothing is decided yet");
        }
    }
    assert_eq!(board.commands(), Vec::<String>::new());
    // What is left of it keeps the next boot from nothing.
    board.runs("A");
    assert_eq!(board.run(), 0);
    assert_eq!((&board.gate()["trial"], &board.gate()["last_trial"]["id"]), (&json!(false), &json!("01JB")));
}

#[test]
fn a_shutdown_in_the_middle_decides_nothing() {
    let board = Box::new(Some(TRIAL));
    let text = std::fs::read_to_string(board.path("health.toml")).unwrap();
    board.write("health.toml", &text.replace("shortest_trial_s = 1\n", "shortest_trial_s = 1000\n"));
    let mut child = board.start();
    let deadline = Instant::now() + PATIENCE;
    while !board.path("gate.json").exists() {
        assert!(Instant::now() < deadline, "it never began");
        std::thread::sleep(Duration::from_millis(10));
    }
    let pid = child.id().to_string();
    assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
    assert_eq!(child.wait().unwrap().code(), Some(1));
    assert_eq!((&board.gate()["passed"], board.commands()), (&Value::Null, Vec::new()));
}

#[test]
fn a_record_that_cannot_be_written_decides_nothing() {
    let board = Box::new(None);
    std::fs::create_dir(board.path("gate.json")).unwrap();
    assert_eq!(board.run(), 0);
    board.write("trial.json", TRIAL);
    assert_eq!(board.run(), 1);
    assert_eq!(board.commands(), ALL);
}
