//! The cases of `cases/`, played by three clients that others wrote.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use nodi_protocol::chat::Role;
use nodi_protocol::chat::token::Minter;
use serde_json::{Map, Value, json};

use super::bystanders::Bystanders;
use super::service::{Account, Service, mint};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/conformance")
}

/// The cases' names, in order.
fn cases() -> Vec<String> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(folder().join("cases")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "json") {
            let list: Vec<Value> = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
            names.extend(list.iter().map(|case| case["name"].as_str().unwrap().to_owned()));
        }
    }
    names
}

/// A channel and tokens for each case, written where the client finds them.
fn accounts(service: &Service, client: &str) -> PathBuf {
    let mut all = Map::new();
    for (index, case) in cases().iter().enumerate() {
        let channel = format!("{client}-{index}");
        let id = |name: &str| format!("{client}-{index}-{name}");
        let token = |name: &str, role, followed, good_for_h| {
            let display = [&name[..1].to_uppercase(), &name[1..]].concat();
            service.token(&channel, &Account { id: &id(name), name: &display, role, followed, good_for_h })
        };
        let ada = Account::viewer("ada", "Ada");
        let tokens = json!({
            "ada": token("ada", Role::Viewer, false, 1),
            "renewed": token("ada", Role::Viewer, false, 2),
            "expired": token("ada", Role::Viewer, false, -1),
            "bob": token("bob", Role::Viewer, false, 1),
            "fan": token("fan", Role::Subscriber, true, 1),
            "mod": token("mod", Role::Moderator, false, 1),
            "owner": token("owner", Role::Streamer, false, 1),
            "elsewhere": service.token("elsewhere", &ada),
            "forged": mint(&Minter::from_seed(&[1; 32]), &channel, &ada),
        });
        let before = all.insert(case.clone(), json!({ "channel": channel, "tokens": tokens }));
        assert!(before.is_none(), "two cases are called {case:?}");
    }
    let path = service.path(&format!("{client}.json"));
    std::fs::write(&path, Value::Object(all).to_string()).unwrap();
    path
}

fn play(client: &str, program: &str, script: &str, can_all: bool) {
    let mut service = Service::start("");
    let bystanders = Bystanders::start(&service);
    let output = Command::new(program)
        .arg(folder().join("clients").join(script))
        .args(["--url", &service.url()])
        .arg("--cases")
        .arg(folder().join("cases"))
        .arg("--accounts")
        .arg(accounts(&service, client))
        .args(
            (client == "chromium")
                .then(|| ["--page-port".to_owned(), service.page_port.to_string()])
                .iter()
                .flatten(),
        )
        .stdin(Stdio::null())
        .output()
        .unwrap_or_else(|error| panic!("{program} is needed (scripts/setup web test): {error}"));
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    let lines: Vec<Value> = output
        .stdout
        .split(|byte| *byte == b'\n')
        .filter(|line| !line.is_empty())
        .map(|line| serde_json::from_slice(line).unwrap())
        .collect();
    let failed: Vec<_> = lines.iter().filter(|line| line.get("error").is_some()).collect();
    assert!(failed.is_empty(), "{failed:#?}\n{errors}\n{}", service.log());
    assert_eq!(lines.len(), cases().len(), "{errors}");
    let skipped: Vec<_> = lines.iter().filter_map(|line| line.get("skipped")).collect();
    println!("{client}: {} cases, without {skipped:?}", lines.len() - skipped.len());
    assert!(!can_all || skipped.is_empty(), "{skipped:?}");
    bystanders.finish();
    service.is_well();
}

#[test]
fn npm_ws_passes() {
    play("ws", "node", "ws.mjs", true);
}

#[test]
fn python_websockets_passes() {
    // Debian's own, whose module it is: not any other Python on the path.
    play("python", "/usr/bin/python3", "script.py", false);
}

#[test]
fn chromium_passes() {
    play("chromium", "node", "chromium.mjs", false);
}
