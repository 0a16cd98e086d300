//! The centre is away, and the video does not mind.

use std::time::Duration;

use nodi_lab::publish::Client;
use serde_json::json;

use crate::operator::{LONG, Steering, start, until_live};
use crate::support::{
    PATIENCE, assert_clean, discontinuities, eventually, live_sessions, more_segments, publish, publish_as,
    tiny, view,
};

#[tokio::test(flavor = "multi_thread")]
async fn video_goes_on_and_a_new_publisher_is_let_in_while_the_centre_is_away() {
    let mut lab = start().await;
    let steering = Steering::of(&lab, 0);
    steering.api.post("/channels", json!({ "id": "other", "display_name": "Other" })).await.unwrap();
    let other = lab.fleet().unwrap().mint(&"other".parse().unwrap(), "spare").await.unwrap();
    publish(&mut lab, Client::Ffmpeg, &tiny());
    let viewer = view(&mut lab).await;
    more_segments(&viewer, 1).await;
    until_live(&steering.api, "test").await;

    lab.process("mosquitto").unwrap().kill();
    lab.process("fleet").unwrap().kill();
    more_segments(&viewer, 2).await;
    let url = lab.rtmp_url(0);
    let late = publish_as(&mut lab, Client::Ffmpeg, &tiny(), &url, &other.key);
    eventually("both streams on the box", PATIENCE, async || {
        (live_sessions(&lab, 0).await.len() == 2).then_some(())
    })
    .await;
    let second = lab.multivariant_url().replace("/test/", "/other/");
    let options = nodi_lab::check::Options { wait: PATIENCE, ..nodi_lab::check::Options::new(second) };
    let other_viewer = nodi_lab::check::Viewer::start(options).await.unwrap();
    more_segments(&other_viewer, 2).await;
    more_segments(&viewer, 2).await;
    lab.clients[late].stop();
    drop(other_viewer);

    lab.process("mosquitto").unwrap().restart().unwrap();
    lab.process("fleet").unwrap().restart().unwrap();
    steering.until_state("online").await;
    // Nothing that happened meanwhile is forgotten.
    let of_other = |events: Vec<serde_json::Value>| {
        events.into_iter().filter(|event| event["channel"] == "other").count()
    };
    eventually("the journal of the outage", LONG, async || {
        let started = of_other(steering.events("session_started").await);
        let ended = of_other(steering.events("session_ended").await);
        ((started, ended) == (1, 1)).then_some(())
    })
    .await;
    until_live(&steering.api, "test").await;
    more_segments(&viewer, 1).await;
    let report = viewer.finish().await;
    assert_eq!(report.sessions.len(), 1, "{report}");
    assert!(discontinuities(&report).is_empty(), "{report}");
    assert_clean(&report);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_box_without_power_is_offline_and_comes_back_by_itself() {
    let mut lab = start().await;
    let steering = Steering::of(&lab, 0);
    // Its connection stays open and nothing comes: only time can tell.
    lab.boxes[0].agent().unwrap().freeze();
    steering.until_state("offline").await;
    let alert = eventually("the alert", PATIENCE, async || {
        let page = steering.api.get("/alerts?active=true").await.ok()?;
        page["items"].as_array()?.iter().find(|alert| alert["kind"] == "box_offline").cloned()
    });
    tokio::time::timeout(Duration::from_secs(120), alert).await.unwrap();
    lab.boxes[0].agent().unwrap().thaw();
    steering.until_state("online").await;
}
