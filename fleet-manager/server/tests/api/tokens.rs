//! API tokens.

use std::time::Duration;

use reqwest::StatusCode;
use serde_json::json;

use crate::support::{Fleet, problem};

#[tokio::test]
async fn a_token_is_shown_once_and_works_until_it_is_revoked() {
    let fleet = Fleet::start().await;
    let admin = fleet.admin().await;
    let made = admin.post_ok("/tokens", &json!({"name": "ci", "scopes": ["operate"]})).await;
    let token = made["token"].as_str().unwrap();
    assert_eq!(made["scopes"], json!(["read", "operate"]));
    let program = fleet.nobody().program(token);
    program.post_ok("/channels", &json!({"id": "c", "display_name": "C"})).await;
    let listed = admin.get_ok("/tokens").await;
    assert!(listed["items"][0].get("token").is_none());
    assert_eq!(listed["items"][0]["last_used_ms"], crate::support::START_MS);
    let entry = &fleet.audit(&admin).await[0];
    assert_eq!(entry["actor"]["kind"], "token");
    assert_eq!(entry["actor"]["name"], "admin (ci)");
    let path = format!("/tokens/{}", made["id"].as_str().unwrap());
    assert_eq!(admin.delete(&path).await.status(), StatusCode::NO_CONTENT);
    problem(program.get("/channels").await, 401).await;
    fleet.stop().await;
}

#[tokio::test]
async fn a_token_expires() {
    let fleet = Fleet::start().await;
    let admin = fleet.admin().await;
    let body = json!({"name": "short", "scopes": ["read"], "expires_s": 60});
    let made = admin.post_ok("/tokens", &body).await;
    let program = fleet.nobody().program(made["token"].as_str().unwrap());
    program.get_ok("/channels").await;
    fleet.clock.advance(Duration::from_secs(60));
    let told = problem(program.get("/channels").await, 401).await;
    assert!(told["detail"].as_str().unwrap().contains("expired"));
    fleet.stop().await;
}

#[tokio::test]
async fn nobody_gives_away_more_than_they_have() {
    let fleet = Fleet::with(|config| config.people.tokens_per_person = 3).await;
    let admin = fleet.admin().await;
    let (viewer, _) = fleet.person(&admin, "viola", "viewer").await;
    let more = json!({"name": "x", "scopes": ["read", "operate"]});
    assert_eq!(problem(viewer.post("/tokens", &more).await, 422).await["field"], "scopes");
    let made = admin.post_ok("/tokens", &more).await;
    let program = fleet.nobody().program(made["token"].as_str().unwrap());
    problem(program.post("/tokens", &json!({"name": "y", "scopes": ["administer"]})).await, 422).await;
    program.post_ok("/tokens", &json!({"name": "y", "scopes": ["operate"]})).await;
    program.post_ok("/tokens", &json!({"name": "z", "scopes": ["read"]})).await;
    problem(program.post("/tokens", &json!({"name": "w", "scopes": ["read"]})).await, 409).await;
    fleet.stop().await;
}

#[tokio::test]
async fn ones_tokens_are_ones_own() {
    let fleet = Fleet::start().await;
    let admin = fleet.admin().await;
    let (viola, viola_id) = fleet.person(&admin, "viola", "viewer").await;
    let (otto, _) = fleet.person(&admin, "otto", "operator").await;
    let hers = viola.post_ok("/tokens", &json!({"name": "hers", "scopes": ["read"]})).await;
    assert_eq!(otto.get_ok("/tokens").await["total"], 0);
    let path = format!("/tokens/{}", hers["id"].as_str().unwrap());
    problem(otto.delete(&path).await, 404).await;
    assert_eq!(admin.get_ok(&format!("/tokens?person={viola_id}")).await["total"], 1);
    assert_eq!(admin.delete(&path).await.status(), StatusCode::NO_CONTENT);
    fleet.stop().await;
}
