//! Signing up, in and out, and what people change about themselves.

use std::time::Duration;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::{Visitor, member, ok, streamer};
use crate::support::{ADMIN, Fleet, PASSWORD, cookie_of, problem};

const DAY: Duration = Duration::from_secs(86_400);

#[tokio::test]
async fn somebody_signs_up_in_and_out() {
    let fleet = Fleet::start().await;
    let mut ada = Visitor::new(&fleet);
    let nobody = ada.get_ok("/session").await;
    assert_eq!(nobody, json!({ "account": null, "csrf": null }));
    let answer = ada.post("/accounts", &json!({ "name": "Ada", "password": PASSWORD })).await;
    assert_eq!(answer.status(), StatusCode::CREATED);
    let cookie = answer.headers()["set-cookie"].to_str().unwrap().to_owned();
    for attribute in ["HttpOnly", "SameSite=Lax", "Path=/site", "Max-Age=7776000"] {
        assert!(cookie.contains(attribute), "{cookie}");
    }
    assert!(!cookie.contains("Secure"), "not on plain HTTP without a proxy");
    assert_eq!(answer.headers()["cache-control"], "no-store");
    ada.cookie = cookie_of(&answer);
    let session = ok(answer).await;
    ada.csrf = session["csrf"].as_str().map(str::to_owned);
    let account = &session["account"];
    assert_eq!((&account["name"], &account["role"]), (&json!("Ada"), &json!("member")));
    assert_eq!((&account["color"], &account["channels"]), (&Value::Null, &json!([])));
    assert_eq!(ada.get_ok("/session").await, session);

    let gone = ada.send(Method::DELETE, "/session", &json!({})).await;
    assert!(gone.headers()["set-cookie"].to_str().unwrap().contains("Max-Age=0"));
    assert_eq!(gone.status(), StatusCode::NO_CONTENT);
    assert_eq!(ada.get_ok("/session").await["account"], Value::Null);
    // Names are compared without case.
    assert_eq!(ada.sign_in("ADA").await["name"], "Ada");
    let wrong = json!({ "name": "Ada", "password": "not the password" });
    let refused = Visitor::new(&fleet).post("/session", &wrong).await;
    assert!(!refused.headers()["www-authenticate"].to_str().unwrap().contains("Bearer"));
    problem(refused, 401).await;
    let unknown = json!({ "name": "Eve", "password": "not the password" });
    problem(Visitor::new(&fleet).post("/session", &unknown).await, 401).await;
    fleet.stop().await;
}

#[tokio::test]
async fn names_that_are_taken_or_look_like_it_are_refused() {
    let fleet = Fleet::start().await;
    member(&fleet, "Pauline").await;
    let visitor = Visitor::new(&fleet);
    for taken in ["Pauline", "pauline", "PAULINE", "Pau1ine", "paullne", "Paul_ine", "PAUL1NE_"] {
        let answer = visitor.post("/accounts", &json!({ "name": taken, "password": PASSWORD })).await;
        problem(answer, 409).await;
    }
    // Of somebody whom an administrator has added.
    let admin = fleet.admin().await;
    fleet.person(&admin, "Otto B.", "operator").await;
    problem(visitor.post("/accounts", &json!({ "name": "0tt0b", "password": PASSWORD })).await, 409).await;
    for (name, password, field) in [
        ("ab", PASSWORD, "name"),
        ("_ada", PASSWORD, "name"),
        ("a b c", PASSWORD, "name"),
        ("Аda", PASSWORD, "name"),
        (ADMIN, PASSWORD, "name"),
        ("M0derator", PASSWORD, "name"),
        ("Berta", "short", "password"),
        ("Bertabertabe", "bertaBertaBE", "password"),
    ] {
        let answer = visitor.post("/accounts", &json!({ "name": name, "password": password })).await;
        assert_eq!(problem(answer, 422).await["field"], field, "{name}");
    }
    fleet.stop().await;
}

#[tokio::test]
async fn an_account_is_changed_by_whom_it_belongs_to() {
    let fleet = Fleet::start().await;
    let ada = member(&fleet, "Ada").await;
    let mut elsewhere = Visitor::new(&fleet);
    elsewhere.sign_in("Ada").await;
    let change = async |body: Value| ada.send(Method::PATCH, "/account", &body).await;
    let session = ok(change(json!({ "color": "#C0FFEE" })).await).await;
    assert_eq!(session["account"]["color"], "#c0ffee");
    for bad in ["red", "#12345", "#1234567", "#12345g", ""] {
        assert_eq!(problem(change(json!({ "color": bad })).await, 422).await["field"], "color");
    }
    assert_eq!(ok(change(json!({})).await).await["account"]["color"], "#c0ffee");
    assert_eq!(ok(change(json!({ "color": null })).await).await["account"]["color"], Value::Null);

    let new = "another long password";
    let wrong = json!({ "password": new, "current_password": "not this one" });
    assert_eq!(problem(change(wrong).await, 422).await["field"], "current_password");
    assert_eq!(problem(change(json!({ "password": new })).await, 422).await["field"], "current_password");
    ok(change(json!({ "password": new, "current_password": PASSWORD })).await).await;
    assert_eq!(elsewhere.get_ok("/session").await["account"], Value::Null, "signed out elsewhere");
    assert_eq!(ada.get_ok("/session").await["account"]["name"], "Ada");
    problem(elsewhere.post("/session", &json!({ "name": "Ada", "password": PASSWORD })).await, 401).await;
    ok(elsewhere.post("/session", &json!({ "name": "Ada", "password": new })).await).await;
    fleet.stop().await;
}

#[tokio::test]
async fn a_deleted_account_leaves_nothing_that_works() {
    let fleet = Fleet::start().await;
    let admin = fleet.admin().await;
    let mut ada = streamer(&fleet, "Ada").await;
    let bert = member(&fleet, "Bert").await;
    bert.ok(Method::PUT, "/channels/ada/follow", &json!({})).await;
    ada.ok(Method::PUT, "/channels/ada/follow", &json!({})).await;
    ada.ok(Method::PATCH, "/channels/ada", &json!({ "title": "My life" })).await;
    ada.ok(Method::POST, "/channels/ada/keys", &json!({})).await;
    assert_eq!(bert.get_ok("/channels/ada").await["followers"], 2);

    let wrong = ada.send(Method::DELETE, "/account", &json!({ "current_password": "not it at all" })).await;
    assert_eq!(problem(wrong, 422).await["field"], "current_password");
    ada.ok(Method::DELETE, "/account", &json!({ "current_password": PASSWORD })).await;
    assert_eq!(ada.get_ok("/session").await["account"], Value::Null);
    problem(ada.post("/session", &json!({ "name": "Ada", "password": PASSWORD })).await, 401).await;
    let channel = bert.get_ok("/channels/ada").await;
    assert_eq!((&channel["streamer"], &channel["followers"]), (&Value::Null, &json!(1)), "{channel}");
    assert_eq!(channel["title"], "Ada\u{2019}s stream");
    let view = admin.get_ok("/channels/ada").await;
    assert!(view["keys"].as_array().unwrap().iter().all(|key| key["revoked_ms"].is_i64()), "{view}");
    // Whoever takes the name does not get the channel.
    ada.sign_up("Ada").await;
    problem(ada.post("/channels", &json!({})).await, 409).await;
    let actions: Vec<Value> = fleet.audit(&admin).await.iter().map(|entry| entry["action"].clone()).collect();
    for action in ["site.sign_up", "site.streamer", "channel.retire", "site.account.delete"] {
        assert!(actions.contains(&json!(action)), "{action}: {actions:?}");
    }
    assert!(!actions.iter().any(|action| action.as_str().unwrap().contains("follow")), "{actions:?}");
    // Whoever has rights in the fleet is deleted by an administrator.
    let mut boss = Visitor::new(&fleet);
    boss.sign_in(ADMIN).await;
    let refused = boss.send(Method::DELETE, "/account", &json!({ "current_password": PASSWORD })).await;
    problem(refused, 403).await;
    fleet.stop().await;
}

#[tokio::test]
async fn sessions_last_while_they_are_used_and_are_no_more_than_so_many() {
    let fleet = Fleet::with(|config| config.site.sessions_per_person = 2).await;
    let ada = member(&fleet, "Ada").await;
    for _ in 0..4 {
        fleet.clock.advance(DAY * 60);
        let answer = ada.get("/session").await;
        assert!(cookie_of(&answer).is_some(), "the browser keeps it for as long");
        assert_eq!(ok(answer).await["account"]["name"], "Ada");
        assert!(cookie_of(&ada.get("/session").await).is_none(), "once is enough");
    }
    fleet.clock.advance(DAY * 90);
    assert_eq!(ada.get_ok("/session").await["account"], Value::Null);
    problem(ada.get("/following").await, 401).await;

    let mut browsers = Vec::new();
    for _ in 0..3 {
        fleet.clock.advance(Duration::from_secs(1));
        let mut browser = Visitor::new(&fleet);
        browser.sign_in("Ada").await;
        browsers.push(browser);
    }
    assert_eq!(browsers[0].get_ok("/session").await["account"], Value::Null, "the oldest goes");
    for browser in &browsers[1..] {
        assert_eq!(browser.get_ok("/session").await["account"]["name"], "Ada");
    }
    fleet.stop().await;
}

#[tokio::test]
async fn somebody_who_is_disabled_is_out_at_once() {
    let fleet = Fleet::start().await;
    let admin = fleet.admin().await;
    let mut ada = member(&fleet, "Ada").await;
    let id = ada.get_ok("/session").await["account"]["id"].as_str().unwrap().to_owned();
    admin.patch_ok(&format!("/people/{id}"), &json!({ "disabled": true })).await;
    problem(ada.get("/following").await, 401).await;
    problem(ada.post("/session", &json!({ "name": "Ada", "password": PASSWORD })).await, 403).await;
    admin.patch_ok(&format!("/people/{id}"), &json!({ "disabled": false })).await;
    problem(ada.get("/following").await, 401).await;
    ada.sign_in("Ada").await;
    ada.get_ok("/following").await;
    // The same for a password that an administrator gives.
    admin.patch_ok(&format!("/people/{id}"), &json!({ "password": "given by an administrator" })).await;
    problem(ada.get("/following").await, 401).await;
    fleet.stop().await;
}

#[tokio::test]
async fn a_platform_can_be_closed() {
    let fleet = Fleet::with(|config| {
        config.site.open_accounts = false;
        config.site.open_channels = false;
    })
    .await;
    let admin = fleet.admin().await;
    let mut visitor = Visitor::new(&fleet);
    problem(visitor.post("/accounts", &json!({ "name": "Ada", "password": PASSWORD })).await, 403).await;
    admin.post_ok("/people", &json!({ "name": "Ada", "password": PASSWORD, "role": "member" })).await;
    visitor.sign_in("Ada").await;
    problem(visitor.post("/channels", &json!({})).await, 403).await;
    fleet.stop().await;
}
