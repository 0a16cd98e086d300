//! What a box shall be like, and what becomes of it.

use nodi_lab::Error;
use nodi_lab::publish::Client;
use serde_json::{Value, json};

use crate::operator::{LONG, Steering, sent_away, start, until_live, until_over};
use crate::support::{PATIENCE, eventually, more_segments, publish, tiny, view};

#[tokio::test(flavor = "multi_thread")]
async fn a_ladder_waits_for_the_next_session_and_limits_do_not() {
    let mut lab = start().await;
    let steering = Steering::of(&lab, 0);
    let encoder = publish(&mut lab, Client::Ffmpeg, &tiny());
    let viewer = view(&mut lab).await;
    until_live(&steering.api, "test").await;

    let ladder = json!([{ "name": "144p", "height": 144, "bitrate": 120_000 }]);
    let version = steering.set(json!({ "ladder": ladder })).await;
    let desired = steering.until_applied(version).await;
    let pending = desired["reported"]["pending"].as_array().unwrap();
    assert!(pending.iter().any(|one| one == "ladder"), "{desired:#}");
    // The stream that is live stays as it is.
    more_segments(&viewer, 2).await;
    lab.clients[encoder].check_running().unwrap();
    let renditions: Vec<String> = viewer.report().renditions.keys().cloned().collect();
    assert_eq!(renditions, ["180p", "audio"]);
    drop(viewer);

    // A limit that this stream breaks ends it.
    let limits = json!({ "bitrate_bps": 100_000 });
    let version = steering.set(json!({ "ladder": ladder, "limits": limits })).await;
    let said = sent_away(&mut lab.clients[encoder]).await;
    assert!(said.contains("bit"), "the encoder was told: {said}");
    steering.until_applied(version).await;
    until_over(&steering.api, "test").await;

    let version = steering.set(json!({ "ladder": ladder })).await;
    steering.until_applied(version).await;
    publish(&mut lab, Client::Ffmpeg, &tiny());
    eventually("the new ladder", PATIENCE, async || {
        let session = until_live(&steering.api, "test").await;
        let rungs = session["ladder"]["rungs"].as_array()?;
        rungs.iter().any(|rung| rung["name"] == "144p").then_some(())
    })
    .await;
    eventually("nothing pending any more", LONG, async || {
        let desired = steering.desired().await;
        desired["reported"]["pending"].as_array()?.is_empty().then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_box_cannot_be_is_refused_with_the_reason_and_the_last_good_one_stays() {
    let lab = start().await;
    let steering = Steering::of(&lab, 0);
    let good = steering.set(json!({ "telemetry_s": 5 })).await;
    steering.until_applied(good).await;
    // Refused where it was typed, and the field is named.
    let change = |version: u64, settings: Value| json!({ "expected_version": version, "settings": settings });
    let path = format!("{}/desired", steering.path);
    let origins = json!([{ "name": "nowhere", "url": "ftp://origin.invalid" }]);
    match steering.api.put(&path, change(good, json!({ "origins": origins }))).await {
        Err(Error::Refused { status: 422, text, .. }) => assert!(text.contains("origins"), "{text}"),
        other => panic!("an impossible origin: {other:?}"),
    }
    // 32 bytes as a public key has them, and no point of the curve: only the box looks that closely.
    let bad = json!({ "telemetry_s": 7, "stream_keys": ["AgAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="] });
    let refused = steering.set(bad).await;
    let desired = eventually("the box's refusal", LONG, async || {
        let desired = steering.desired().await;
        (desired["reported"]["rejected"]["version"] == refused).then_some(desired)
    })
    .await;
    let reason = desired["reported"]["rejected"]["reason"].as_str().unwrap();
    assert!(reason.contains("stream_keys"), "{desired:#}");
    assert_eq!(desired["reported"]["applied"], good, "{desired:#}");
    assert_eq!(desired["reported"]["settings"]["telemetry_s"], 5, "{desired:#}");
    // Somebody who has not seen the newest version changes nothing.
    let stale = json!({ "expected_version": good - 1, "settings": {} });
    match steering.api.put(&format!("{}/desired", steering.path), stale).await {
        Err(Error::Refused { status: 409, .. }) => {}
        other => panic!("a stale change: {other:?}"),
    }
    let version = steering.set(json!({ "telemetry_s": 2 })).await;
    let desired = steering.until_applied(version).await;
    assert!(desired["reported"]["rejected"].is_null(), "{desired:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn another_origin_is_pushed_to_without_losing_the_stream() {
    let mut lab = crate::operator::start_with(|options| options.origins = 2).await;
    let steering = Steering::of(&lab, 0);
    let encoder = publish(&mut lab, Client::Ffmpeg, &tiny());
    let viewer = view(&mut lab).await;
    more_segments(&viewer, 1).await;
    // Only the first of the two from now on.
    let origins =
        json!([{ "name": "origin", "url": format!("https://localhost:{}", lab.origins[0].ports.push) }]);
    let version = steering.set(json!({ "origins": origins })).await;
    steering.until_applied(version).await;
    more_segments(&viewer, 2).await;
    lab.clients[encoder].check_running().unwrap();
    assert_eq!(viewer.finish().await.sessions.len(), 1);
}
