//! Logging in and what keeps others out.

use std::time::Duration;

use reqwest::{Method, StatusCode};
use serde_json::json;

use crate::support::{ADMIN, As, Fleet, PASSWORD, cookie_of, problem};

#[tokio::test]
async fn a_person_logs_in_and_out() {
    let fleet = Fleet::start().await;
    problem(fleet.nobody().get("/me").await, 401).await;
    let admin = fleet.admin().await;
    let me = admin.get_ok("/me").await;
    assert_eq!(me["person"]["name"], ADMIN);
    assert_eq!(me["person"]["role"], "administrator");
    assert_eq!(admin.post("/logout", &json!({})).await.status(), StatusCode::NO_CONTENT);
    problem(admin.get("/me").await, 401).await;
    fleet.stop().await;
}

#[tokio::test]
async fn the_cookie_is_for_the_browser_alone() {
    let fleet =
        Fleet::with(|config| config.http.trusted_proxies = vec!["127.0.0.1/32".parse().unwrap()]).await;
    let body = json!({"name": ADMIN, "password": PASSWORD});
    let plain = fleet.nobody().post("/login", &body).await;
    let set = plain.headers()["set-cookie"].to_str().unwrap().to_owned();
    assert!(set.contains("HttpOnly") && set.contains("SameSite=Strict") && set.contains("Path=/"), "{set}");
    assert!(!set.contains("Secure"), "a browser would not send it back over plain HTTP: {set}");
    let secure = fleet.nobody().request(Method::POST, "/login").header("x-forwarded-proto", "https");
    let secure = secure.json(&body).send().await.unwrap();
    assert!(secure.headers()["set-cookie"].to_str().unwrap().contains("; Secure"));
    assert!(secure.headers().contains_key("strict-transport-security"));
    fleet.stop().await;
}

#[tokio::test]
async fn wrong_names_and_wrong_passwords_are_told_alike() {
    let fleet = Fleet::start().await;
    let nobody = fleet.nobody();
    let wrong = nobody.post("/login", &json!({"name": ADMIN, "password": "not this one"})).await;
    let unknown = nobody.post("/login", &json!({"name": "nobody", "password": "not this one"})).await;
    assert!(cookie_of(&wrong).is_none());
    assert_eq!(problem(wrong, 401).await, problem(unknown, 401).await);
    fleet.stop().await;
}

#[tokio::test]
async fn failures_slow_down_and_say_for_how_long() {
    let fleet = Fleet::start().await;
    let nobody = fleet.nobody();
    let wrong = json!({"name": ADMIN, "password": "not this one"});
    for _ in 0..5 {
        problem(nobody.post("/login", &wrong).await, 401).await;
    }
    let refused = nobody.post("/login", &json!({"name": ADMIN, "password": PASSWORD})).await;
    let wait: u64 = refused.headers()["retry-after"].to_str().unwrap().parse().unwrap();
    problem(refused, 429).await;
    fleet.clock.advance(Duration::from_secs(wait));
    fleet.admin().await;
    fleet.stop().await;
}

#[tokio::test]
async fn a_session_ends_when_it_is_idle_and_when_it_is_old() {
    let fleet = Fleet::with(|config| {
        config.people.idle_s = 600;
        config.people.longest_s = 1_500;
    })
    .await;
    let admin = fleet.admin().await;
    for _ in 0..2 {
        fleet.clock.advance(Duration::from_secs(590));
        admin.get_ok("/me").await;
    }
    fleet.clock.advance(Duration::from_secs(320));
    let told = problem(admin.get("/me").await, 401).await;
    assert!(told["detail"].as_str().unwrap().contains("expired"), "used all the time, and too old: {told}");

    let admin = fleet.admin().await;
    fleet.clock.advance(Duration::from_secs(601));
    problem(admin.get("/me").await, 401).await;
    fleet.stop().await;
}

#[tokio::test]
async fn what_changes_something_needs_the_csrf_token() {
    let fleet = Fleet::start().await;
    let admin = fleet.admin().await;
    let As::Browser { cookie, csrf } = admin.as_whom.clone() else { panic!("a browser") };
    let body = json!({"display_name": "x"});
    for token in [None, Some(""), Some("wrong"), Some(&csrf[1..])] {
        let request = fleet.nobody().request(Method::POST, "/channels").header("cookie", &cookie).json(&body);
        let request = match token {
            None => request,
            Some(token) => request.header("x-csrf-token", token),
        };
        problem(request.send().await.unwrap(), 403).await;
    }
    let other = fleet.admin().await;
    let As::Browser { csrf: others, .. } = other.as_whom.clone() else { panic!("a browser") };
    let request = fleet.nobody().request(Method::POST, "/channels").header("cookie", &cookie);
    let request = request.header("x-csrf-token", others).json(&body);
    problem(request.send().await.unwrap(), 403).await;
    assert_eq!(admin.post("/channels", &body).await.status(), StatusCode::CREATED);
    // A form of another site cannot send JSON.
    let form =
        admin.request(Method::POST, "/channels").header("content-type", "text/plain").body(body.to_string());
    problem(form.send().await.unwrap(), 415).await;
    fleet.stop().await;
}

#[tokio::test]
async fn somebody_changes_their_own_password() {
    let fleet = Fleet::start().await;
    let admin = fleet.admin().await;
    let elsewhere = fleet.admin().await;
    let wrong = json!({"current": "not this one", "new": "a new long password"});
    let told = problem(admin.post("/me/password", &wrong).await, 422).await;
    assert_eq!(told["field"], "current");
    let short = json!({"current": PASSWORD, "new": "short"});
    assert_eq!(problem(admin.post("/me/password", &short).await, 422).await["field"], "new");
    let right = json!({"current": PASSWORD, "new": "a new long password"});
    assert_eq!(admin.post("/me/password", &right).await.status(), StatusCode::NO_CONTENT);
    admin.get_ok("/me").await;
    problem(elsewhere.get("/me").await, 401).await;
    problem(fleet.nobody().post("/login", &json!({"name": ADMIN, "password": PASSWORD})).await, 401).await;
    fleet.login(ADMIN, "a new long password").await;
    fleet.stop().await;
}

#[tokio::test]
async fn one_sees_and_ends_ones_other_browsers() {
    let fleet = Fleet::with(|config| config.people.logins_per_person = 3).await;
    let first = fleet.admin().await;
    fleet.clock.advance(Duration::from_secs(1));
    let second = fleet.admin().await;
    let page = second.get_ok("/me/logins?sort=created_ms").await;
    let logins = page["items"].as_array().unwrap();
    assert_eq!(logins.len(), 2);
    assert_eq!((&logins[0]["current"], &logins[1]["current"]), (&json!(false), &json!(true)));
    let path = format!("/me/logins/{}", logins[0]["id"].as_str().unwrap());
    assert_eq!(second.delete(&path).await.status(), StatusCode::NO_CONTENT);
    problem(first.get("/me").await, 401).await;
    // The oldest make room.
    for _ in 0..3 {
        fleet.clock.advance(Duration::from_secs(1));
        fleet.admin().await;
    }
    problem(second.get("/me").await, 401).await;
    fleet.stop().await;
}
