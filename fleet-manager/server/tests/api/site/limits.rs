//! What a stranger cannot do too often, or from another site.

use std::time::Duration;

use nodi_fleet::config::Config;
use reqwest::{Method, StatusCode};
use serde_json::json;

use super::{Visitor, member};
use crate::support::{Fleet, PASSWORD, problem};

/// Behind a proxy, which is believed.
fn behind_a_proxy(config: &mut Config) {
    config.http.trusted_proxies = vec!["127.0.0.0/8".parse().unwrap()];
}

#[tokio::test]
async fn accounts_are_made_at_a_bounded_rate() {
    let fleet = Fleet::with(|config| {
        behind_a_proxy(config);
        config.site.sign_ups_burst = 3;
        config.site.sign_ups_per_hour = 2;
    })
    .await;
    let flooder = Visitor::from(&fleet, "198.51.100.7");
    let sign_up = async |who: &Visitor, name: &str| {
        who.post("/accounts", &json!({ "name": name, "password": PASSWORD })).await
    };
    for n in 0..3 {
        assert_eq!(sign_up(&flooder, &format!("flood{n}x")).await.status(), StatusCode::CREATED);
    }
    let refused = sign_up(&flooder, "flood9x").await;
    assert_eq!(refused.headers()["retry-after"], "1800");
    problem(refused, 429).await;
    // What is no name costs nothing, and others are not held up.
    problem(sign_up(&flooder, "x").await, 422).await;
    assert_eq!(sign_up(&Visitor::from(&fleet, "198.51.100.8"), "Ada").await.status(), StatusCode::CREATED);
    fleet.clock.advance(Duration::from_secs(1_801));
    assert_eq!(sign_up(&flooder, "flood9x").await.status(), StatusCode::CREATED);
    // A customer with a network of IPv6 is one.
    for n in 0..3 {
        let one = Visitor::from(&fleet, &format!("2001:db8::{n}"));
        assert_eq!(sign_up(&one, &format!("six{n}six")).await.status(), StatusCode::CREATED);
    }
    problem(sign_up(&Visitor::from(&fleet, "2001:db8::9"), "six9six").await, 429).await;
    fleet.stop().await;
}

#[tokio::test]
async fn guessing_passwords_is_slow_here_and_in_the_dashboard_together() {
    let fleet = Fleet::start().await;
    member(&fleet, "Ada").await;
    let visitor = Visitor::new(&fleet);
    let guess = json!({ "name": "Ada", "password": "perhaps this one" });
    let mut refused = None;
    for n in 0..10 {
        // In turns: both doors count.
        let answer = if n % 2 == 0 {
            visitor.post("/session", &guess).await
        } else {
            fleet.nobody().post("/login", &guess).await
        };
        if answer.status() == StatusCode::TOO_MANY_REQUESTS {
            refused = Some(n);
            break;
        }
        assert_eq!(answer.status(), StatusCode::UNAUTHORIZED);
    }
    assert_eq!(refused, Some(5));
    let right = json!({ "name": "Ada", "password": PASSWORD });
    problem(visitor.post("/session", &right).await, 429).await;
    fleet.clock.advance(Duration::from_secs(61));
    assert_eq!(visitor.post("/session", &right).await.status(), StatusCode::OK);
    fleet.stop().await;
}

#[tokio::test]
async fn requests_and_changes_of_an_address_are_counted() {
    let fleet = Fleet::with(|config| {
        behind_a_proxy(config);
        config.site.requests_burst = 20;
        config.site.requests_per_s = 1;
        config.site.changes_burst = 3;
        config.site.changes_per_minute = 1;
        config.site.max_followers = 3;
        config.site.followers_per_address = 2;
    })
    .await;
    let busy = Visitor::from(&fleet, "198.51.100.7");
    let mut statuses = Vec::new();
    for _ in 0..4 {
        statuses.push(busy.post("/session", &json!({})).await.status().as_u16());
    }
    assert_eq!(statuses, [422, 422, 422, 429]);
    let mut looked = 0;
    while busy.get("/live").await.status() == StatusCode::OK {
        looked += 1;
        assert!(looked < 30);
    }
    assert_eq!(looked, 16);
    fleet.clock.advance(Duration::from_secs(60));
    let mut open = Vec::new();
    for (address, status) in [
        ("198.51.100.7", 200),
        ("198.51.100.7", 200),
        ("198.51.100.7", 429),
        ("198.51.100.8", 200),
        ("198.51.100.9", 429),
    ] {
        let stream = Visitor::from(&fleet, address).get("/live/events").await;
        assert_eq!(stream.status().as_u16(), status, "{address}");
        open.push(stream);
    }
    fleet.stop().await;
}

#[tokio::test]
async fn pages_of_other_sites_cannot_change_anything() {
    let fleet = Fleet::start().await;
    let ada = member(&fleet, "Ada").await;
    // A session whose token is not sent, or is another one's.
    for csrf in [None, Some("guessed".to_owned()), member(&fleet, "Bert").await.csrf] {
        let forged = Visitor { csrf, ..ada.clone() };
        problem(forged.send(Method::PATCH, "/account", &json!({ "color": "#000000" })).await, 403).await;
        problem(forged.send(Method::PUT, "/channels/x/follow", &json!({})).await, 403).await;
        problem(forged.post("/account/chat-token", &json!({})).await, 403).await;
        problem(forged.send(Method::DELETE, "/session", &json!({})).await, 403).await;
    }
    // Signing somebody else in, with a form or with a script of another site.
    let body = json!({ "name": "Ada", "password": PASSWORD });
    let form = ada.request(Method::POST, "/session").header("content-type", "text/plain");
    problem(form.body(body.to_string()).send().await.unwrap(), 415).await;
    for site in ["cross-site", "same-site"] {
        let script = Visitor::new(&fleet).request(Method::POST, "/session").header("sec-fetch-site", site);
        problem(script.json(&body).send().await.unwrap(), 403).await;
    }
    let asked = Visitor::new(&fleet)
        .request(Method::OPTIONS, "/session")
        .header("origin", "https://evil.example")
        .header("access-control-request-method", "POST")
        .send()
        .await
        .unwrap();
    assert!(asked.headers().keys().all(|name| !name.as_str().starts_with("access-control")), "no CORS");
    fleet.stop().await;
}
