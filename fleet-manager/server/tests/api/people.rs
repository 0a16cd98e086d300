//! People, for administrators.

use reqwest::StatusCode;
use serde_json::json;

use crate::support::{Fleet, PASSWORD, problem};

#[tokio::test]
async fn the_last_administrator_stays() {
    let fleet = Fleet::start().await;
    let admin = fleet.admin().await;
    let me = admin.get_ok("/me").await["person"]["id"].as_str().unwrap().to_owned();
    let path = format!("/people/{me}");
    problem(admin.delete(&path).await, 409).await;
    problem(admin.patch(&path, &json!({"role": "viewer"})).await, 409).await;
    problem(admin.patch(&path, &json!({"disabled": true})).await, 409).await;
    let (second, _) = fleet.person(&admin, "second", "administrator").await;
    assert_eq!(admin.delete(&path).await.status(), StatusCode::NO_CONTENT);
    problem(admin.get("/me").await, 401).await;
    second.get_ok("/people").await;
    fleet.stop().await;
}

#[tokio::test]
async fn a_disabled_person_is_out_at_once_and_so_are_their_programs() {
    let fleet = Fleet::start().await;
    let admin = fleet.admin().await;
    let (otto, id) = fleet.person(&admin, "otto", "operator").await;
    let made = otto.post_ok("/tokens", &json!({"name": "t", "scopes": ["read"]})).await;
    let program = fleet.nobody().program(made["token"].as_str().unwrap());
    let path = format!("/people/{id}");
    assert_eq!(admin.patch_ok(&path, &json!({"disabled": true})).await["disabled"], true);
    problem(otto.get("/me").await, 401).await;
    problem(program.get("/me").await, 401).await;
    let body = json!({"name": "otto", "password": PASSWORD});
    problem(fleet.nobody().post("/login", &body).await, 403).await;
    admin.patch_ok(&path, &json!({"disabled": false})).await;
    program.get_ok("/me").await;
    fleet.login("otto", PASSWORD).await;
    fleet.stop().await;
}

#[tokio::test]
async fn people_are_changed_and_everything_is_in_the_audit_log() {
    let fleet = Fleet::start().await;
    let admin = fleet.admin().await;
    let (otto, id) = fleet.person(&admin, "otto", "operator").await;
    let path = format!("/people/{id}");
    // A smaller role counts at once, without logging in again.
    otto.post_ok("/channels", &json!({"id": "a", "display_name": "A"})).await;
    let changed =
        admin.patch_ok(&path, &json!({"role": "viewer", "name": "Otto B.", "channels": ["a"]})).await;
    assert_eq!((&changed["name"], &changed["channels"]), (&json!("Otto B."), &json!(["a"])));
    problem(otto.post("/channels", &json!({"display_name": "B"})).await, 403).await;
    let entry = &fleet.audit(&admin).await[0];
    assert_eq!(entry["action"], "person.update");
    assert_eq!(entry["before"]["role"], "operator");
    assert_eq!(entry["after"]["role"], "viewer");
    // A new password from the administrator logs the person out.
    admin.patch_ok(&path, &json!({"password": "another long password"})).await;
    problem(otto.get("/me").await, 401).await;
    fleet.login("OTTO B.", "another long password").await;
    assert_eq!(admin.delete(&path).await.status(), StatusCode::NO_CONTENT);
    problem(admin.get(&path).await, 404).await;
    assert_eq!(admin.get_ok("/channels/a").await["owner"], json!(null), "the channel outlives its owner");
    let log = serde_json::to_string(&fleet.audit(&admin).await).unwrap();
    assert!(!log.contains("password\":") && !log.contains("$argon2"), "no secret in the log: {log}");
    fleet.stop().await;
}

#[tokio::test]
async fn what_will_not_do_is_named() {
    let fleet = Fleet::start().await;
    let admin = fleet.admin().await;
    let good = json!({"name": "otto", "password": PASSWORD, "role": "viewer"});
    for (key, value) in [
        ("name", json!("")),
        ("name", json!(" otto")),
        ("name", json!("x".repeat(65))),
        ("name", json!(7)),
        ("password", json!("short")),
        ("role", json!("king")),
        ("channels", json!(["none"])),
    ] {
        let mut body = good.clone();
        body[key] = value.clone();
        let told = problem(admin.post("/people", &body).await, 422).await;
        assert_eq!(told["field"], key, "{value}: {told}");
    }
    let mut unknown = good.clone();
    unknown["rank"] = json!(1);
    let told = problem(admin.post("/people", &unknown).await, 422).await;
    assert!(told["detail"].as_str().unwrap().contains("rank"), "{told}");
    admin.post_ok("/people", &good).await;
    problem(admin.post("/people", &good).await, 409).await;
    fleet.stop().await;
}
