//! The list of ingests, and the overview.

use nodi_protocol::fleet::topic::BoxTopic;
use serde_json::{Value, json};

use crate::support::{Fleet, Robot, wait};
use crate::telemetry;

const TEMPLATE: &str =
    "[ingests]\nurl_template = 'rtmp://{box}.example:1935/live/{stream_key}'\nburst = 200\nper_s = 200\n";

async fn ids(fleet: &Fleet, query: &str) -> Vec<String> {
    let (status, answer) = fleet.ask_as_stranger("GET", &format!("/ingests{query}"), Value::Null).await;
    assert_eq!(status, 200, "{answer}");
    let ingests = answer["ingests"].as_array().unwrap();
    ingests.iter().map(|ingest| ingest["_id"].as_str().unwrap().to_owned()).collect()
}

async fn listed(fleet: &Fleet, query: &str, expected: &[&str]) {
    wait(&format!("{query} lists {expected:?}"), async || {
        (ids(fleet, query).await == expected).then_some(())
    })
    .await;
}

async fn robot_at(fleet: &Fleet, name: &str, latitude: f64, longitude: f64) -> Robot {
    let robot = fleet.robot().await;
    let location = json!({ "name": name, "latitude": latitude, "longitude": longitude });
    let body = json!({ "name": name, "location": location });
    let (status, answer) = fleet.ask("PATCH", &format!("/boxes/{}", robot.id()), Some(body)).await;
    assert_eq!(status, 200, "{answer}");
    robot.say(BoxTopic::Telemetry, false, &telemetry(60)).await;
    robot
}

#[tokio::test]
async fn the_nearest_box_comes_first_and_one_that_must_not_be_used_is_gone() {
    let fleet = Fleet::with(TEMPLATE).await;
    let rome = robot_at(&fleet, "Rome", 41.9, 12.5).await;
    let boston = robot_at(&fleet, "Boston", 42.4, -71.1).await;
    listed(&fleet, "?lat=45&lon=9", &[rome.id(), boston.id()]).await;
    listed(&fleet, "?lat=40&lon=-74", &[boston.id(), rome.id()]).await;
    let (_, answer) = fleet.ask_as_stranger("GET", "/ingests?lat=45&lon=9", Value::Null).await;
    let first = &answer["ingests"][0];
    assert_eq!(
        first,
        &json!({
            "_id": rome.id(), "name": "Rome", "availability": 1.0, "default": true, "priority": 1,
            "url_template": format!("rtmp://{}.example:1935/live/{{stream_key}}", rome.id()),
        })
    );
    // Whoever said where they are is still there.
    listed(&fleet, "", &[rome.id(), boston.id()]).await;

    let mut hot = telemetry(60);
    hot.throttling = vec!["over-current".into()];
    rome.say(BoxTopic::Telemetry, false, &hot).await;
    listed(&fleet, "?lat=45&lon=9", &[boston.id()]).await;
    rome.say(BoxTopic::Telemetry, false, &telemetry(60)).await;
    listed(&fleet, "?lat=45&lon=9", &[rome.id(), boston.id()]).await;
    boston.vanish();
    listed(&fleet, "?lat=45&lon=9", &[rome.id()]).await;
    fleet.post(&format!("/boxes/{}/commands", rome.id()), json!({ "action": { "kind": "reboot" } })).await;
    listed(&fleet, "?lat=45&lon=9", &[]).await;

    let overview = fleet.get("/overview").await;
    assert_eq!(
        (&overview["boxes"]["total"], &overview["boxes"]["online"]),
        (&json!(2), &json!(1)),
        "{overview}"
    );
    assert_eq!(overview["boxes_on_map"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn the_list_is_public_cacheable_and_limited() {
    let fleet = Fleet::with("[ingests]\nburst = 5\nper_s = 1\n").await;
    let get =
        async |query: &str| fleet.http().get(fleet.url(&format!("/ingests{query}"))).send().await.unwrap();
    for (query, caching) in [("?lat=1&lon=2", "public, max-age=5"), ("", "private, max-age=5")] {
        let answer = get(query).await;
        assert_eq!(answer.headers()["cache-control"], caching);
        assert_eq!(answer.headers()["access-control-allow-origin"], "*");
        assert_eq!(answer.json::<Value>().await.unwrap(), json!({ "ingests": [] }));
    }
    for query in ["?lat=1", "?lat=91&lon=0"] {
        assert_eq!(get(query).await.status(), 400, "{query}");
    }
    let limited = wait("too many", async || {
        let answer = get("").await;
        (answer.status() == 429).then_some(answer)
    })
    .await;
    assert!(limited.headers().contains_key("retry-after"));
}
