//! The dashboard in Chromium, as people use it, with everything behind it real.

use std::path::Path;
use std::time::Duration;

use nodi_lab::Lab;
use nodi_lab::publish::Client;
use nodi_lab::sim::{Behaviour, Sim};

use crate::operator::{LONG, Steering, start_with, until_live};
use crate::support::{eventually, publish, run, text, tiny};

/// Four walks, each with pages to load on a busy machine.
const WALKS: Duration = Duration::from_secs(170);

#[tokio::test(flavor = "multi_thread")]
async fn people_walk_through_the_dashboard() {
    let mut lab = start_with(|options| (options.boxes, options.unclaimed) = (2, 1)).await;
    publish(&mut lab, Client::Ffmpeg, &tiny());
    until_live(&Steering::of(&lab, 0).api, "test").await;
    walk(&lab, &[], WALKS).await;
}

/// One walk, with three stages of updates to wait for.
const ROLLOUTS: Duration = Duration::from_secs(150);
/// One of them is suggested as the canary.
const BOXES: usize = 12;

#[tokio::test(flavor = "multi_thread")]
async fn people_roll_software_out() {
    let lab = start_with(|options| (options.boxes, options.origins) = (0, 1)).await;
    let fleet = lab.fleet().unwrap();
    let code = fleet.claim_code(BOXES).await.unwrap();
    let provisioning = fleet.provisioning(Some(code)).unwrap();
    let behaviour = Behaviour { flapping: false, live: 0.1, ..Behaviour::default() };
    let sim = Sim::enrol(&provisioning, BOXES, behaviour, 7).await.unwrap();
    eventually("all boxes online", LONG, async || {
        let page = fleet.api.get("/boxes?state=online&per_page=1").await.unwrap();
        (page["total"] == BOXES).then_some(())
    })
    .await;
    walk(&lab, &["--only", "software"], ROLLOUTS).await;
    assert_eq!(sim.figures().refused, 0, "{:?}", sim.figures());
    sim.stop().await;
}

async fn walk(lab: &Lab, more: &[&str], time: Duration) {
    let links = lab.dir().join("links.json");
    std::fs::write(&links, serde_json::to_string(&lab.links()).unwrap()).unwrap();
    let script =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../fleet-manager/web/dashboard/test/journeys/run.mjs");
    let mut args = vec![script.to_str().unwrap(), "--lab-json", links.to_str().unwrap()];
    args.extend(more);
    let output = run("node", &args, time).await;
    assert!(output.status.success(), "{}\n{}", text(&output.stdout), text(&output.stderr));
}
