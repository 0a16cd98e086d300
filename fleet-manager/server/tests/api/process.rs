//! The process itself: killed while it writes, and stopped.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nodi_fleet::clock::Clock;
use nodi_fleet::maintenance::{self, Level};
use serde_json::{Value, json};

use crate::support::{ADMIN, PASSWORD, PATIENCE};

struct Process {
    child: Child,
    url: String,
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn command(config: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_nodi-fleet"));
    command.arg("--config").arg(config).env_remove("RUST_LOG").env_remove("JOURNAL_STREAM");
    command
}

fn write_config(dir: &Path) -> std::path::PathBuf {
    let path = dir.join("fleet.toml");
    let text = format!(
        "data_dir = {:?}\n[http]\nlisten = \"127.0.0.1:0\"\n",
        dir.join("data").display().to_string()
    );
    std::fs::write(&path, text).unwrap();
    path
}

fn init(config: &Path) {
    let mut child = command(config)
        .args(["init", "--admin", ADMIN])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    writeln!(child.stdin.take().unwrap(), "{PASSWORD}").unwrap();
    assert!(child.wait().unwrap().success());
}

/// Starts it and reads from its log where it listens.
fn start(config: &Path) -> Process {
    let mut child = command(config).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let deadline = Instant::now() + PATIENCE;
    let url = loop {
        let line = lines.next().expect("it starts").unwrap();
        if line.contains("listening: http") {
            let address = line.split("address=").nth(1).unwrap();
            let address: String =
                address.chars().filter(|c| c.is_ascii_digit() || ".:".contains(*c)).collect();
            break format!("http://{address}/api/v1");
        }
        assert!(Instant::now() < deadline, "it says where it listens");
    };
    // What it logs later has to go somewhere.
    std::thread::spawn(move || lines.for_each(drop));
    Process { child, url }
}

async fn login(http: &reqwest::Client, url: &str) -> (String, String) {
    let body = json!({"name": ADMIN, "password": PASSWORD});
    let answer = http.post(format!("{url}/login")).json(&body).send().await.unwrap();
    let cookie = crate::support::cookie_of(&answer).unwrap();
    let me: Value = answer.json().await.unwrap();
    (cookie, me["csrf_token"].as_str().unwrap().to_owned())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_answered_survives_a_kill() {
    crate::support::provider();
    let dir = tempfile::tempdir().unwrap();
    let config = write_config(dir.path());
    init(&config);
    let http = reqwest::Client::new();
    let mut answered: Vec<String> = Vec::new();
    for round in 0..3 {
        let mut process = start(&config);
        let (cookie, csrf) = login(&http, &process.url).await;
        let mut writers = tokio::task::JoinSet::new();
        for writer in 0..4 {
            let (http, url, cookie, csrf) = (http.clone(), process.url.clone(), cookie.clone(), csrf.clone());
            writers.spawn(async move {
                let mut done = Vec::new();
                for n in 0.. {
                    let id = format!("c{round}-{writer}-{n}");
                    let request = http.post(format!("{url}/channels")).header("cookie", &cookie);
                    let request =
                        request.header("x-csrf-token", &csrf).json(&json!({"id": id, "display_name": id}));
                    match request.send().await {
                        Ok(answer) if answer.status() == 201 => done.push(id),
                        _ => break,
                    }
                }
                done
            });
        }
        // In the middle of it, whatever that is on this machine.
        tokio::time::sleep(Duration::from_millis(150 + 100 * round)).await;
        process.child.kill().unwrap();
        process.child.wait().unwrap();
        while let Some(done) = writers.join_next().await {
            answered.extend(done.unwrap());
        }
        let findings = maintenance::check(&nodi_daemon::config::load(&config).unwrap(), &Clock::System);
        let wrong: Vec<_> = findings.iter().filter(|finding| finding.level == Level::Error).collect();
        assert!(wrong.is_empty(), "{wrong:?}");
    }
    assert!(!answered.is_empty());
    let process = start(&config);
    let (cookie, _) = login(&http, &process.url).await;
    for id in &answered {
        let answer = http
            .get(format!("{}/channels/{id}", process.url))
            .header("cookie", &cookie)
            .send()
            .await
            .unwrap();
        assert_eq!(answer.status(), 200, "{id} was answered and is gone");
    }
}

#[tokio::test]
async fn a_signal_stops_it_and_commands_say_how_they_ended() {
    crate::support::provider();
    let dir = tempfile::tempdir().unwrap();
    let config = write_config(dir.path());
    assert_eq!(
        command(&config).stderr(Stdio::null()).status().unwrap().code(),
        Some(1),
        "there is no database"
    );
    init(&config);
    let mut process = start(&config);
    let pid = rustix::process::Pid::from_child(&process.child);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    let deadline = Instant::now() + PATIENCE;
    let status = loop {
        if let Some(status) = process.child.try_wait().unwrap() {
            break status;
        }
        assert!(Instant::now() < deadline, "it stops");
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    assert!(status.success(), "{status}");
    let check = command(&config).arg("check").output().unwrap();
    assert!(check.status.success(), "{}", String::from_utf8_lossy(&check.stdout));
    let backup = command(&config).arg("backup").arg(dir.path().join("b.sqlite")).output().unwrap();
    assert!(backup.status.success(), "{}", String::from_utf8_lossy(&backup.stderr));
    std::fs::write(&config, "[http]\nlisten = \"0.0.0.0:0\"\n").unwrap();
    let refused = command(&config).output().unwrap();
    assert_eq!(refused.status.code(), Some(78));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("http.listen"));
}
