//! Channels: opened, described, followed, with keys that boxes take.

use nodi_protocol::revocation::Revocations;
use nodi_protocol::stream_key::{StreamKey, Verifier};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::{Visitor, member, ok, streamer};
use crate::support::{Fleet, START_MS, problem};

#[tokio::test]
async fn whoever_has_an_account_opens_a_channel_and_gets_a_key_that_boxes_take() {
    let fleet = Fleet::start().await;
    let ada = member(&fleet, "Ada_1").await;
    let made = ada.post("/channels", &json!({ "title": "  Knots \u{202e}&\n  splices " })).await;
    assert_eq!(made.status(), StatusCode::CREATED);
    let channel = ok(made).await;
    assert_eq!((&channel["id"], &channel["title"]), (&json!("ada_1"), &json!("Knots & splices")));
    assert_eq!((&channel["live"], &channel["following"]), (&json!(false), &json!(false)));
    assert_eq!(channel["streamer"]["name"], "Ada_1");
    assert_eq!(channel["watch_url"], "/watch/ada_1");
    assert_eq!((&channel["viewers"], &channel["thumbnail_url"]), (&Value::Null, &Value::Null));
    let account = &ada.get_ok("/session").await["account"];
    assert_eq!((&account["role"], &account["channels"]), (&json!("streamer"), &json!(["ada_1"])));
    problem(ada.post("/channels", &json!({})).await, 409).await;

    let minted = ada.ok(Method::POST, "/channels/ada_1/keys", &json!({ "label": "OBS" })).await;
    let public = std::fs::read_to_string(fleet.app.config.public_keys()).unwrap();
    let verifier = Verifier::parse(&public).unwrap();
    let key = StreamKey::from_text(minted["key"].as_str().unwrap());
    let now_s = u64::try_from(START_MS / 1_000).unwrap();
    let grant = verifier.verify(&key, now_s, &Revocations::default()).unwrap();
    assert_eq!((grant.channel.as_str(), grant.version), ("ada_1", 1));
    let keys = ada.get_ok("/channels/ada_1/keys").await;
    assert_eq!((&keys["keys"][0]["label"], &keys["keys"][0]["created_by"]), (&json!("OBS"), &json!("Ada_1")));
    assert!(!keys.to_string().contains(minted["key"].as_str().unwrap()), "it is shown once");
    ada.ok(Method::POST, "/channels/ada_1/keys", &json!({ "rotate": true })).await;
    let revoked = (*fleet.app.revoked.now()).clone();
    assert!(verifier.verify(&key, now_s, &revoked).is_err(), "rotated away");
    let gone = ada.send(Method::DELETE, "/channels/ada_1/keys/2", &json!({})).await;
    assert_eq!(gone.status(), StatusCode::NO_CONTENT);
    problem(ada.send(Method::DELETE, "/channels/ada_1/keys/3", &json!({})).await, 404).await;
    let keys = ada.get_ok("/channels/ada_1/keys").await;
    assert!(keys["keys"].as_array().unwrap().iter().all(|key| key["revoked_ms"].is_i64()), "{keys}");

    let health = ada.get_ok("/channels/ada_1/health").await;
    assert_eq!((&health["session"], &health["channel"]), (&Value::Null, &json!("ada_1")));
    assert!(health["settings"]["obs"].as_array().unwrap().len() > 3, "{health}");
    fleet.stop().await;
}

#[tokio::test]
async fn a_channel_is_its_owners() {
    let fleet = Fleet::start().await;
    let ada = streamer(&fleet, "Ada").await;
    let bert = streamer(&fleet, "Bert").await;
    let mut admin = Visitor::new(&fleet);
    admin.sign_in(crate::support::ADMIN).await;
    for other in [&bert, &admin] {
        for (method, path, body) in [
            (Method::PATCH, "/channels/ada", json!({ "title": "Mine" })),
            (Method::GET, "/channels/ada/keys", json!({})),
            (Method::POST, "/channels/ada/keys", json!({})),
            (Method::DELETE, "/channels/ada/keys/1", json!({})),
            (Method::GET, "/channels/ada/health", json!({})),
            (Method::DELETE, "/channels/ada/emotes/hi", json!({})),
        ] {
            problem(other.send(method.clone(), path, &body).await, 403).await;
            let nowhere = path.replace("/ada", "/nowhere");
            problem(other.send(method, &nowhere, &body).await, 404).await;
        }
    }
    ada.ok(Method::PATCH, "/channels/ada", &json!({ "description": "One.\n\n\n\nTwo." })).await;
    let page = Visitor::new(&fleet).get_ok("/channels/ada").await;
    assert_eq!((&page["description"], &page["following"]), (&json!("One.\n\nTwo."), &Value::Null));
    let long = json!({ "title": "x".repeat(141) });
    let told = problem(ada.send(Method::PATCH, "/channels/ada", &long).await, 422).await;
    assert_eq!(told["field"], "title");
    // Operators see in the dashboard what it is called, and can change it.
    let operator = fleet.admin().await;
    ada.ok(Method::PATCH, "/channels/ada", &json!({ "title": "Something rude" })).await;
    assert_eq!(operator.get_ok("/channels/ada").await["title"], "Something rude");
    operator.patch_ok("/channels/ada", &json!({ "title": "" })).await;
    assert_eq!(ada.get_ok("/channels/ada").await["title"], "Ada\u{2019}s stream");
    fleet.stop().await;
}

#[tokio::test]
async fn an_id_that_is_taken_or_looks_like_another_is_not_opened() {
    let fleet = Fleet::start().await;
    let admin = fleet.admin().await;
    admin.post_ok("/channels", &json!({ "id": "paul", "display_name": "Paul" })).await;
    let paul = member(&fleet, "Paul").await;
    let told = problem(paul.post("/channels", &json!({})).await, 409).await;
    assert!(told["detail"].as_str().unwrap().contains("paul"), "{told}");
    admin.post_ok("/channels", &json!({ "id": "b-lue", "display_name": "Blue" })).await;
    let blue = member(&fleet, "B1ue").await;
    problem(blue.post("/channels", &json!({})).await, 409).await;
    // An operator gives the channel to whom it belongs, who is a streamer then.
    let id = paul.get_ok("/session").await["account"]["id"].clone();
    admin.patch_ok("/channels/paul", &json!({ "owner": id })).await;
    let account = &paul.get_ok("/session").await["account"];
    assert_eq!((&account["role"], &account["channels"]), (&json!("streamer"), &json!(["paul"])));
    paul.ok(Method::POST, "/channels/paul/keys", &json!({})).await;
    fleet.stop().await;
}

#[tokio::test]
async fn channels_are_followed_and_left() {
    let fleet = Fleet::with(|config| config.site.follows_per_person = 2).await;
    let admin = fleet.admin().await;
    for id in ["one", "two", "three"] {
        admin.post_ok("/channels", &json!({ "id": id, "display_name": id })).await;
    }
    let ada = member(&fleet, "Ada").await;
    let follow = async |id: &str| ada.send(Method::PUT, &format!("/channels/{id}/follow"), &json!({})).await;
    for _ in 0..2 {
        assert_eq!(follow("one").await.status(), StatusCode::NO_CONTENT, "twice is once");
    }
    assert_eq!(follow("two").await.status(), StatusCode::NO_CONTENT);
    problem(follow("three").await, 409).await;
    assert_eq!(follow("one").await.status(), StatusCode::NO_CONTENT, "also when the list is full");
    problem(follow("nowhere").await, 404).await;
    let page = ada.get_ok("/channels/one").await;
    assert_eq!((&page["followers"], &page["following"]), (&json!(1), &json!(true)));
    let following = ada.get_ok("/following").await;
    let ids: Vec<&str> =
        following["channels"].as_array().unwrap().iter().map(|card| card["id"].as_str().unwrap()).collect();
    assert_eq!(ids, ["one", "two"]);
    assert_eq!(following["channels"][0]["followed_ms"], START_MS);
    for _ in 0..2 {
        ada.ok(Method::DELETE, "/channels/one/follow", &json!({})).await;
    }
    assert_eq!(ada.get_ok("/channels/one").await["followers"], 0);
    assert_eq!(follow("three").await.status(), StatusCode::NO_CONTENT);
    problem(Visitor::new(&fleet).send(Method::PUT, "/channels/one/follow", &json!({})).await, 401).await;
    fleet.stop().await;
}

#[tokio::test]
async fn a_suspended_channel_says_so() {
    let fleet = Fleet::start().await;
    let admin = fleet.admin().await;
    let ada = streamer(&fleet, "Ada").await;
    admin.post_ok("/channels/ada/suspend", &json!({ "reason": "a complaint" })).await;
    let page = Visitor::new(&fleet).get_ok("/channels/ada").await;
    assert_eq!((&page["suspended"], &page["live"]), (&json!(true), &json!(false)));
    assert!(!page.to_string().contains("complaint"), "the reason is for the streamer");
    assert_eq!(ada.get_ok("/channels/ada/health").await["suspended_reason"], "a complaint");
    assert_eq!(Visitor::new(&fleet).get_ok("/channels/ada/chat").await["suspended"], true);
    problem(ada.post("/channels/ada/chat-token", &json!({})).await, 403).await;
    fleet.stop().await;
}
