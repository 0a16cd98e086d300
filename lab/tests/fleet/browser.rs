//! The dashboard in Chromium, as people use it, with everything behind it real.

use std::path::Path;
use std::time::Duration;

use nodi_lab::publish::Client;

use crate::operator::{Steering, start_with, until_live};
use crate::support::{publish, run, text, tiny};

/// Four walks, each with pages to load on a busy machine.
const WALKS: Duration = Duration::from_secs(170);

#[tokio::test(flavor = "multi_thread")]
async fn people_walk_through_the_dashboard() {
    let mut lab = start_with(|options| (options.boxes, options.unclaimed) = (2, 1)).await;
    publish(&mut lab, Client::Ffmpeg, &tiny());
    until_live(&Steering::of(&lab, 0).api, "test").await;
    let links = lab.dir().join("links.json");
    std::fs::write(&links, serde_json::to_string(&lab.links()).unwrap()).unwrap();
    let script =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../fleet-manager/web/dashboard/test/journeys/run.mjs");
    let args = [script.to_str().unwrap(), "--lab-json", links.to_str().unwrap()];
    let output = run("node", &args, WALKS).await;
    assert!(output.status.success(), "{}\n{}", text(&output.stdout), text(&output.stderr));
}
