//! How boxes become the fleet's, and how they stop being that.

use nodi_lab::publish::Client;
use serde_json::json;

use crate::operator::{LONG, Steering, live, start, start_with, until_live};
use crate::support::{PATIENCE, eventually, more_segments, publish, tiny, view};

#[tokio::test(flavor = "multi_thread")]
async fn a_claim_code_lets_a_box_in_and_a_person_lets_in_the_other() {
    let lab = start_with(|options| (options.boxes, options.unclaimed) = (2, 1)).await;
    let api = lab.fleet().unwrap().api.clone();
    let claimed = Steering::of(&lab, 0);
    assert_eq!(claimed.summary().await["state"], "online");
    let (waiting, shown) = eventually("the box that waits", PATIENCE, async || {
        let page = api.get("/enrolments").await.unwrap();
        let shown = std::fs::read_to_string(lab.boxes[1].paths.pairing_code()).ok()?;
        Some((page["items"].as_array()?.first()?.clone(), shown))
    })
    .await;
    // A person compares what the box shows with what the dashboard shows.
    let code = waiting["code"].as_str().unwrap();
    assert!(shown.contains(code), "the box shows {shown:?}, the dashboard {code}");
    let id = waiting["box_id"].as_str().unwrap();
    api.post(&format!("/enrolments/{id}/approve"), json!({ "name": "On the roof" })).await.unwrap();
    let approved = eventually("the approved box online", LONG, async || {
        let summary = api.get(&format!("/boxes/{id}")).await.ok()?;
        (summary["state"] == "online").then_some(summary)
    })
    .await;
    assert_eq!(approved["name"], "On the roof", "{approved:#}");
    assert_eq!(lab.boxes[1].id().unwrap().as_str(), id);
    let page = api.get("/enrolments").await.unwrap();
    assert_eq!(page["total"], 0, "{page:#}");
    // The claim code was good for one box, and that was the first.
    let codes = api.get("/claim-codes").await.unwrap();
    assert_eq!(codes["items"][0]["used"], 1, "{codes:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_is_wrong_by_years_keeps_no_box_out() {
    const YEAR_S: i64 = 365 * 86_400;
    for skew_s in [-9 * YEAR_S, 7 * YEAR_S] {
        let lab = start_with(|options| {
            options.overrides.agent["clock"] = json!({ "skew_s": skew_s });
        })
        .await;
        let steering = Steering::of(&lab, 0);
        let summary = steering.summary().await;
        assert_eq!(summary["state"], "online", "{summary:#}");
        // And what it says is said in the fleet's time.
        steering.done(json!({ "kind": "identify", "seconds": 1 })).await;
        let telemetry = eventually("a measurement", PATIENCE, async || {
            steering.summary().await["telemetry"]["at_ms"].as_i64()
        })
        .await;
        let now = lab.fleet().unwrap().api.get("/time").await.unwrap()["unix_ms"].as_i64().unwrap();
        assert!((now - telemetry).abs() < 60_000, "measured at {telemetry}, and it is {now}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_box_is_cut_off_from_broker_and_origin() {
    let mut lab = start().await;
    let steering = Steering::of(&lab, 0);
    publish(&mut lab, Client::Ffmpeg, &tiny());
    let viewer = view(&mut lab).await;
    more_segments(&viewer, 1).await;
    until_live(&steering.api, "test").await;
    steering.api.post(&format!("{}/revoke", steering.path), json!({ "reason": "stolen" })).await.unwrap();
    steering.until_state("revoked").await;
    eventually("the origin to cut the box off", PATIENCE, async || {
        (crate::support::channel_state(&lab).await != "live").then_some(())
    })
    .await;
    let last = viewer.report().renditions["180p"].parts;
    eventually("the broker to refuse the box", PATIENCE, async || {
        let log = std::fs::read_to_string(lab.logs().join("mosquitto.log")).unwrap();
        log.contains("certificate verify failed").then_some(())
    })
    .await;
    assert!(live(&steering.api).await.is_empty(), "a revoked box has live sessions");
    // Its agent and its uplink go on trying, and nothing of that arrives.
    assert_eq!(viewer.report().renditions["180p"].parts, last);
    drop(viewer);
}
