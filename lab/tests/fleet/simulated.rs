//! The simulated boxes are boxes to the fleet.

use nodi_lab::sim::{Behaviour, Sim};
use serde_json::json;

use crate::operator::{LONG, start_with};
use crate::support::eventually;

const BOXES: usize = 40;

#[tokio::test(flavor = "multi_thread")]
async fn a_simulated_fleet_reports_and_obeys() {
    let lab = start_with(|options| (options.boxes, options.origins) = (0, 1)).await;
    let fleet = lab.fleet().unwrap();
    let api = &fleet.api;
    let code = fleet.claim_code(BOXES).await.unwrap();
    let provisioning = fleet.provisioning(Some(code)).unwrap();
    let behaviour = Behaviour { flapping: false, live: 0.5, ..Behaviour::default() };
    let mut sim = Sim::enrol(&provisioning, BOXES, behaviour, 7).await.unwrap();
    let online = async |count: usize| {
        eventually(&format!("{count} boxes online"), LONG, async || {
            let page = api.get("/boxes?state=online&per_page=1").await.unwrap();
            (page["total"] == count).then_some(())
        })
        .await;
    };
    online(BOXES).await;
    let one = sim.any().unwrap();
    let command = json!({ "action": { "kind": "identify", "seconds": 1 } });
    let given = api.post(&format!("/boxes/{one}/commands"), command).await.unwrap();
    let path = format!("/commands/{}", given["id"].as_str().unwrap());
    let settings = json!({ "expected_version": api.get("/fleet/settings").await.unwrap()["version"], "settings": { "telemetry_s": 4 } });
    api.put("/fleet/settings", settings).await.unwrap();
    eventually("the command's success, everywhere new settings, and sessions", LONG, async || {
        let command = api.get(&path).await.unwrap();
        let summary = api.get(&format!("/boxes/{one}")).await.unwrap();
        let sessions = api.get("/sessions?per_page=1").await.unwrap();
        let done = command["state"] == "succeeded"
            && summary["applied_version"] == summary["desired_version"]
            && sessions["total"].as_u64()? > 0;
        done.then_some(())
    })
    .await;
    sim.hang(&one).await.unwrap();
    online(BOXES - 1).await;
    assert_eq!(sim.figures().refused, 0, "{:?}", sim.figures());
    sim.stop().await;
    online(0).await;
}
