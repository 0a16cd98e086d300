//! Bundles: taken, looked at, kept within bounds.

use nodi_fleet::clock::Clock;
use nodi_fleet::maintenance::{self, Level};
use reqwest::{Method, Response};
use serde_json::json;

use crate::support::{Fleet, User, problem};

const VERITY: &[u8] = include_bytes!("../fixtures/bundles/verity.raucb");
const PLAIN: &[u8] = include_bytes!("../fixtures/bundles/plain.raucb");
const ENCRYPTED: &[u8] = include_bytes!("../fixtures/bundles/encrypted.raucb");

async fn upload(user: &User, query: &str, bytes: &[u8]) -> Response {
    user.request(Method::POST, &format!("/bundles{query}")).body(bytes.to_vec()).send().await.unwrap()
}

#[tokio::test]
async fn a_bundle_says_what_it_is() {
    let fleet = Fleet::start().await;
    let admin = fleet.admin().await;
    let answer = upload(&admin, "", VERITY).await;
    assert_eq!(answer.status(), 201);
    let view: serde_json::Value = answer.json().await.unwrap();
    let id = view["sha256"].as_str().unwrap();
    for (field, expected) in [
        ("version", json!("1.2.3")),
        ("compatible", json!("nodi-qemux86-64")),
        ("description", json!("For tests")),
        ("build", json!("20261123")),
        ("format", json!("verity")),
        ("bytes", json!(VERITY.len())),
        ("boxes", json!(0)),
        ("rollouts", json!(0)),
    ] {
        assert_eq!(view[field], expected, "{field}");
    }
    assert_eq!(admin.get_ok(&format!("/bundles/{id}")).await, view);
    assert_eq!(admin.get_ok("/bundles").await["total"], 1);
    let again = problem(upload(&admin, "", VERITY).await, 409).await;
    assert!(again["detail"].as_str().unwrap().contains("already"));
    let kept = fleet.dir.path().join("data/bundles").join(id);
    assert_eq!(std::fs::read(&kept).unwrap(), VERITY);
    let draft = admin.post_ok("/rollouts", &json!({ "name": "x", "bundle": id })).await;
    problem(admin.delete(&format!("/bundles/{id}")).await, 409).await;
    assert_eq!(admin.get_ok(&format!("/bundles/{id}")).await["rollouts"], 1);
    let path = format!("/rollouts/{}", draft["id"].as_str().unwrap());
    let started = admin.post(&format!("{path}/start"), &json!({})).await;
    assert!(problem(started, 409).await["detail"].as_str().unwrap().contains("no box"));
    admin.post_ok(&format!("{path}/abort"), &json!({})).await;
    assert_eq!(admin.delete(&format!("/bundles/{id}")).await.status(), 204);
    assert!(!kept.exists());
    problem(admin.get(&format!("/bundles/{id}")).await, 404).await;
    let actions: Vec<_> =
        fleet.audit(&admin).await.into_iter().map(|entry| entry["action"].clone()).collect();
    for action in ["bundle.add", "bundle.remove", "rollout.create", "rollout.abort"] {
        assert!(actions.contains(&json!(action)), "{action}: {actions:?}");
    }
    fleet.stop().await;
}

#[tokio::test]
async fn what_cannot_be_read_has_to_be_said() {
    let fleet = Fleet::start().await;
    let admin = fleet.admin().await;
    for (bytes, format) in [(PLAIN, "plain"), (ENCRYPTED, "crypt")] {
        assert_eq!(problem(upload(&admin, "", bytes).await, 422).await["field"], "version");
        let missing = upload(&admin, "?version=2", bytes).await;
        assert_eq!(problem(missing, 422).await["field"], "compatible");
        let answer = upload(&admin, "?version=2&compatible=box", bytes).await;
        assert_eq!(answer.status(), 201);
        let view: serde_json::Value = answer.json().await.unwrap();
        assert_eq!((&view["version"], &view["format"]), (&json!("2"), &json!(format)));
    }
    let other = problem(upload(&admin, "?version=2", VERITY).await, 422).await;
    assert_eq!(other["field"], "version", "the manifest says something else");
    for bytes in [&b""[..], b"nothing", &VERITY[..VERITY.len() - 1], &[0; 4096]] {
        assert_eq!(problem(upload(&admin, "", bytes).await, 422).await["field"], "body");
    }
    let left: Vec<_> = std::fs::read_dir(fleet.dir.path().join("data/bundles")).unwrap().collect();
    assert_eq!(left.len(), 2, "what was refused is gone: {left:?}");
    fleet.stop().await;
}

#[tokio::test]
async fn there_is_no_room_for_everything() {
    let fleet = Fleet::with(|config| {
        config.bundles.max_bytes = VERITY.len() as u64;
        config.bundles.max_total_bytes = VERITY.len() as u64 + 10;
    })
    .await;
    let admin = fleet.admin().await;
    let too_long = upload(&admin, "?version=2&compatible=box", ENCRYPTED).await;
    problem(too_long, 413).await;
    assert_eq!(upload(&admin, "", VERITY).await.status(), 201);
    let full = problem(upload(&admin, "?version=2&compatible=box", PLAIN).await, 507).await;
    assert!(full["detail"].as_str().unwrap().contains("room"), "{full}");
    fleet.stop().await;
}

#[tokio::test]
async fn a_bundle_whose_file_is_missing_does_not_stand_in_its_own_way() {
    let fleet = Fleet::with(|config| {
        config.bundles.max_bundles = 1;
        config.bundles.max_bytes = VERITY.len() as u64;
        config.bundles.max_total_bytes = VERITY.len() as u64;
    })
    .await;
    let admin = fleet.admin().await;
    let view: serde_json::Value = upload(&admin, "", VERITY).await.json().await.unwrap();
    problem(upload(&admin, "", VERITY).await, 507).await;
    let kept = fleet.dir.path().join("data/bundles").join(view["sha256"].as_str().unwrap());
    std::fs::remove_file(&kept).unwrap();
    assert_eq!(upload(&admin, "", VERITY).await.status(), 201);
    assert_eq!(std::fs::read(&kept).unwrap(), VERITY);
    fleet.stop().await;
}

#[tokio::test]
async fn a_check_finds_what_a_backup_does_not_bring_back() {
    let fleet = Fleet::start().await;
    let admin = fleet.admin().await;
    let view: serde_json::Value = upload(&admin, "", VERITY).await.json().await.unwrap();
    let id = view["sha256"].as_str().unwrap();
    let found = |level: Level| -> Vec<String> {
        maintenance::check(&fleet.app.config, &Clock::Manual(fleet.clock.clone()))
            .into_iter()
            .filter(|finding| finding.level == level && finding.text.contains("bundle"))
            .map(|finding| finding.text)
            .collect()
    };
    assert_eq!(found(Level::Ok), ["files of bundles"]);
    std::fs::remove_file(fleet.dir.path().join("data/bundles").join(id)).unwrap();
    assert_eq!(found(Level::Warning).len(), 1);
    admin.post_ok("/rollouts", &json!({ "name": "x", "bundle": id })).await;
    assert!(found(Level::Error)[0].contains("upload it again"));
    assert_eq!(upload(&admin, "", VERITY).await.status(), 201);
    assert!(found(Level::Error).is_empty());
    // A copy of the database waits for a person before boxes are ordered anything.
    fleet.app.db.write(|tx| Ok(tx.execute("UPDATE rollout SET state = 'gated'", [])?)).await.unwrap();
    let copy = fleet.dir.path().join("copy.sqlite");
    maintenance::backup(&fleet.app.config, &Clock::System, &copy).unwrap();
    let copy = rusqlite::Connection::open(&copy).unwrap();
    let state: String = copy.query_row("SELECT state FROM rollout", [], |row| row.get(0)).unwrap();
    assert_eq!(state, "paused");
    fleet.stop().await;
}
