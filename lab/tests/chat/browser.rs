//! The watch site in Chromium, as viewers, streamers and moderators use it, with everything behind it real.

use std::path::Path;
use std::time::Duration;

use nodi_lab::publish::{Client, Source};
use serde_json::json;

use crate::support::{publish, run, start_with, text, view};

/// Pages to load and pictures to wait for, on a busy machine.
const WALKS: Duration = Duration::from_secs(170);

#[tokio::test(flavor = "multi_thread")]
async fn people_walk_through_the_site() {
    let mut lab = start_with(|options| {
        (options.fleet, options.chat) = (true, true);
        options.overrides.fleet = json!({ "site": { "thumbnail_s": 1 } });
    })
    .await;
    lab.open_control().unwrap();
    publish(&mut lab, Client::Ffmpeg, &Source::small());
    drop(view(&mut lab).await);
    let links = lab.dir().join("links.json");
    std::fs::write(&links, serde_json::to_string(&lab.links()).unwrap()).unwrap();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fleet-manager/web/test/site/run.mjs");
    let mut args = vec![script.to_str().unwrap(), "--lab-json", links.to_str().unwrap()];
    // To be looked at by people.
    let pictures = std::env::var("NODI_SCREENSHOTS").ok();
    if let Some(pictures) = &pictures {
        args.extend(["--screenshots", pictures]);
    }
    let output = run("node", &args, WALKS).await;
    println!("{}", text(&output.stdout));
    assert!(output.status.success(), "{}\n{}", text(&output.stdout), text(&output.stderr));
}
