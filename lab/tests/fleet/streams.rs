//! Channels, keys and live streams, steered from the centre.

use nodi_lab::publish::Client;
use serde_json::json;

use crate::operator::{Steering, live, sent_away, start, until_live, until_over};
use crate::support::{
    PATIENCE, eventually, live_sessions, more_segments, publish, publish_as, thumbnail, tiny, view,
};

#[tokio::test(flavor = "multi_thread")]
async fn from_a_minted_key_to_an_ended_session() {
    let mut lab = start().await;
    let steering = Steering::of(&lab, 0);
    let encoder = publish(&mut lab, Client::Ffmpeg, &tiny());
    let viewer = view(&mut lab).await;
    let session = until_live(&steering.api, "test").await;
    thumbnail(&lab).await;
    more_segments(&viewer, 2).await;
    let id = session["session"].as_str().unwrap();
    assert_eq!(live_sessions(&lab, 0).await, [id]);
    // What the box measures of it arrives: size, ladder, and that the uplink is with it.
    let path = format!("/sessions/{id}");
    let seen = eventually("the session's health", PATIENCE, async || {
        let seen = steering.api.get(&path).await.unwrap();
        let told = seen["input"]["width"] == 320
            && seen["ladder"]["rungs"].as_array().is_some_and(|rungs| !rungs.is_empty())
            && seen["uplink"]["connected"] == true;
        told.then_some(seen)
    })
    .await;
    assert_eq!(seen["input"]["height"], 180, "{seen:#}");
    let channel = steering.api.get("/channels/test").await.unwrap();
    assert_eq!(channel["state"], "live", "{channel:#}");
    let reason = "the operator pulled the plug";
    steering.api.post(&format!("{path}/end"), json!({ "reason": reason })).await.unwrap();
    let said = sent_away(&mut lab.clients[encoder]).await;
    assert!(said.contains(reason), "the encoder was told: {said}");
    until_over(&steering.api, "test").await;
    let ended = eventually("the end in the box's journal", PATIENCE, async || {
        steering.events("session_ended").await.into_iter().find(|event| event["session"] == *id)
    })
    .await;
    assert!(ended["reason"].as_str().unwrap().contains(reason), "{ended:#}");
    let audit = steering.api.get("/audit?action=command.end_session").await.unwrap();
    assert!(audit["total"].as_u64().unwrap() >= 1, "{audit:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn revoked_keys_and_suspended_channels_end_what_is_live() {
    let mut lab = start().await;
    let steering = Steering::of(&lab, 0);
    let (url, channel) = (lab.rtmp_url(0), lab.channel().clone());
    let first = publish(&mut lab, Client::Ffmpeg, &tiny());
    until_live(&steering.api, "test").await;

    let keys = steering.api.get("/channels/test").await.unwrap();
    let version = keys["keys"][0]["version"].as_u64().unwrap();
    steering.api.post(&format!("/channels/test/keys/{version}/revoke"), json!({})).await.unwrap();
    let said = sent_away(&mut lab.clients[first]).await;
    assert!(said.contains("revoked"), "the encoder was told: {said}");
    until_over(&steering.api, "test").await;
    let again = publish(&mut lab, Client::Ffmpeg, &tiny());
    let said = sent_away(&mut lab.clients[again]).await;
    assert!(said.contains("revoked"), "the encoder was told: {said}");

    let minted = lab.fleet().unwrap().mint(&channel, "the next one").await.unwrap();
    assert!(minted.version > version);
    let second = publish_as(&mut lab, Client::Ffmpeg, &tiny(), &url, &minted.key);
    until_live(&steering.api, "test").await;
    steering.api.post("/channels/test/suspend", json!({ "reason": "a complaint" })).await.unwrap();
    let said = sent_away(&mut lab.clients[second]).await;
    assert!(said.contains("suspended"), "the encoder was told: {said}");
    let third = publish_as(&mut lab, Client::Ffmpeg, &tiny(), &url, &minted.key);
    let said = sent_away(&mut lab.clients[third]).await;
    assert!(said.contains("suspended"), "the encoder was told: {said}");
    until_over(&steering.api, "test").await;

    steering.api.post("/channels/test/resume", json!({})).await.unwrap();
    eventually("a stream on the resumed channel", PATIENCE, async || {
        // The box hears of it a moment later: an encoder tries again until it is let in.
        let index = publish_as(&mut lab, Client::Ffmpeg, &tiny(), &url, &minted.key);
        for _ in 0..20 {
            tokio::time::sleep(std::time::Duration::from_millis(200)).await;
            if lab.clients[index].ended().is_some() {
                return None;
            }
            if !live(&steering.api).await.is_empty() {
                return Some(());
            }
        }
        None
    })
    .await;
}
