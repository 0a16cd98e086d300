//! Channels, stream keys, and the revocation document that boxes and origins get.

use std::time::Duration;

use nodi_protocol::ChannelId;
use nodi_protocol::stream_key::{Refusal, StreamKey, Verifier};
use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::support::{Fleet, START_MS, problem};

fn verifier(fleet: &Fleet) -> Verifier {
    Verifier::parse(&fleet.app.channels.public_keys().join("\n")).unwrap()
}

fn verify(fleet: &Fleet, minted: &Value) -> Result<u32, Refusal> {
    let key = StreamKey::from_text(minted["key"].as_str().unwrap());
    let now_s = u64::try_from(fleet.app.now_ms() / 1_000).unwrap();
    verifier(fleet).verify(&key, now_s, &fleet.app.revoked.now()).map(|grant| grant.version)
}

#[tokio::test]
async fn a_key_is_good_until_it_is_revoked_or_expires() {
    let fleet = Fleet::start().await;
    let admin = fleet.admin().await;
    admin.post_ok("/channels", &json!({"id": "nodi", "display_name": "Nodi"})).await;
    let first = admin.post_ok("/channels/nodi/keys", &json!({"label": "OBS"})).await;
    let second = admin.post_ok("/channels/nodi/keys", &json!({"expires_s": 60})).await;
    assert_eq!((verify(&fleet, &first), verify(&fleet, &second)), (Ok(1), Ok(2)));

    let shown = admin.get_ok("/channels/nodi").await;
    assert_eq!(shown["keys"][0]["version"], 2);
    assert_eq!(shown["keys"][1]["label"], "OBS");
    assert!(!shown.to_string().contains(first["key"].as_str().unwrap()), "shown once");
    let database = std::fs::read(fleet.app.config.database()).unwrap();
    let wal = std::fs::read(format!("{}-wal", fleet.app.config.database().display())).unwrap_or_default();
    let key = first["key"].as_str().unwrap().as_bytes();
    assert!(![database, wal].iter().any(|file| file.windows(key.len()).any(|part| part == key)), "hashed");

    fleet.clock.advance(Duration::from_secs(60));
    assert_eq!(verify(&fleet, &second), Err(Refusal::Expired));
    let mut watch = fleet.app.revoked.watch();
    watch.mark_unchanged();
    admin.post_ok("/channels/nodi/keys/1/revoke", &json!({})).await;
    assert!(watch.has_changed().unwrap(), "whoever publishes the document hears of it");
    assert_eq!(verify(&fleet, &first), Err(Refusal::Revoked));
    problem(admin.post("/channels/nodi/keys/3/revoke", &json!({})).await, 404).await;
    fleet.stop().await;
}

#[tokio::test]
async fn rotation_leaves_one_key() {
    let fleet = Fleet::start().await;
    let admin = fleet.admin().await;
    admin.post_ok("/channels", &json!({"id": "nodi", "display_name": "Nodi"})).await;
    let old = admin.post_ok("/channels/nodi/keys", &json!({})).await;
    let new = admin.post_ok("/channels/nodi/keys/rotate", &json!({"label": "new"})).await;
    assert_eq!(verify(&fleet, &old), Err(Refusal::Revoked));
    assert_eq!(verify(&fleet, &new), Ok(2));
    let keys = admin.get_ok("/channels/nodi").await["keys"].clone();
    assert_eq!((&keys[0]["revoked_ms"], &keys[1]["revoked_ms"]), (&json!(null), &json!(START_MS)));
    let entry = &fleet.audit(&admin).await[0];
    assert_eq!(entry["action"], "channel.key.rotate");
    assert_eq!((&entry["before"]["min_version"], &entry["after"]["min_version"]), (&json!(1), &json!(2)));
    assert!(!entry.to_string().contains("nodi_"), "no key in the log");
    fleet.stop().await;
}

#[tokio::test]
async fn a_suspended_channel_is_in_the_document() {
    let fleet = Fleet::start().await;
    let admin = fleet.admin().await;
    let id: ChannelId = "nodi".parse().unwrap();
    admin.post_ok("/channels", &json!({"id": "nodi", "display_name": "Nodi"})).await;
    assert_eq!(
        problem(admin.post("/channels/nodi/suspend", &json!({"reason": " "})).await, 422).await["field"],
        "reason"
    );
    let view = admin.post_ok("/channels/nodi/suspend", &json!({"reason": "Copyright"})).await;
    assert_eq!((&view["state"], &view["suspended_reason"]), (&json!("suspended"), &json!("Copyright")));
    assert!(fleet.app.revoked.now().suspended.contains(&id));
    admin.post_ok("/channels/nodi/resume", &json!({})).await;
    assert!(!fleet.app.revoked.now().suspended.contains(&id));
    let actions: Vec<Value> = fleet.audit(&admin).await.iter().map(|entry| entry["action"].clone()).collect();
    assert_eq!(actions[..3], ["channel.resume", "channel.suspend", "channel.create"]);
    fleet.stop().await;
}

#[tokio::test]
async fn bounds_hold() {
    let fleet = Fleet::with(|config| {
        config.channels.keys_per_channel = 2;
        config.channels.max_channels = 2;
    })
    .await;
    let admin = fleet.admin().await;
    let made = admin.post_ok("/channels", &json!({"display_name": "Made up"})).await;
    let id = made["id"].as_str().unwrap();
    assert!(id.parse::<ChannelId>().is_ok());
    admin.post_ok("/channels", &json!({"id": "two", "display_name": "Two"})).await;
    problem(admin.post("/channels", &json!({"id": "three", "display_name": "Three"})).await, 409).await;
    for _ in 0..2 {
        admin.post_ok("/channels/two/keys", &json!({})).await;
    }
    problem(admin.post("/channels/two/keys", &json!({})).await, 409).await;
    // Rotation always works: it is what somebody does whose key is out in the world.
    assert_eq!(admin.post("/channels/two/keys/rotate", &json!({})).await.status(), StatusCode::CREATED);
    fleet.stop().await;
}

#[tokio::test]
async fn ids_are_taken_once_and_owners_exist() {
    let fleet = Fleet::start().await;
    let admin = fleet.admin().await;
    let body = json!({"id": "nodi", "display_name": "Nodi"});
    admin.post_ok("/channels", &body).await;
    problem(admin.post("/channels", &body).await, 409).await;
    for bad in ["No", "self-test"] {
        let bad = json!({"id": bad, "display_name": "x"});
        assert_eq!(problem(admin.post("/channels", &bad).await, 422).await["field"], "id");
    }
    let owner = json!({"display_name": "x", "owner": "nobody"});
    assert_eq!(problem(admin.post("/channels", &owner).await, 422).await["field"], "owner");
    problem(admin.get("/channels/NO").await, 400).await;
    problem(admin.get("/channels/none").await, 404).await;
    fleet.stop().await;
}
