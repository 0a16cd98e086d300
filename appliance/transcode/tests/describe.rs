//! The pipelines' texts, in files that a person can read beside NVIDIA's documentation. After an intended change:
//! `UPDATE_SNAPSHOTS=1 cargo nextest run -p nodi-transcode --test describe`.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests fail by panicking")]

use std::path::Path;
use std::time::Duration;

use nodi_transcode::backend::{Backend, Jetson, Preset, Software};
use nodi_transcode::config;
use nodi_transcode::ladder::{Ladder, Picture};
use nodi_transcode::pipeline::{Plan, Source, describe};
use nodi_transcode::rate::FrameRate;

fn plan(width: u32, height: u32, rate: (u32, u32), reorders: bool, backend: Backend) -> Plan {
    let picture = Picture::new(width, height, (1, 1), FrameRate::new(rate.0, rate.1));
    let ladder = Ladder::for_source(picture, &config::default_ladder(), Duration::from_secs(2));
    Plan { source: Source { picture, reorders }, ladder, backend, thumbnail_s: 5 }
}

fn software(preset: Preset) -> Backend {
    Backend::Software(Software { preset })
}

fn matches_snapshot(name: &str, text: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/snapshots").join(name);
    if std::env::var_os("UPDATE_SNAPSHOTS").is_some() {
        std::fs::write(&path, text).unwrap();
    }
    let expected = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(text, expected, "differs from {}", path.display());
}

/// Orin NX, an encoder that sends B-frames, every property that NVIDIA documents.
#[test]
fn jetson_1080p60() {
    let plan = plan(1920, 1080, (60, 1), true, Backend::Jetson(Jetson::documented()));
    matches_snapshot("jetson-orin-nx-1080p60.txt", &plan.describe());
}

#[test]
fn jetson_720p_without_reordering() {
    let plan = plan(1280, 720, (30_000, 1001), false, Backend::Jetson(Jetson::documented()));
    matches_snapshot("jetson-720p2997-no-b-frames.txt", &plan.describe());
}

/// Elements that have only what the back end cannot do without.
#[test]
fn jetson_with_required_properties_only() {
    let plan = plan(1920, 1080, (30, 1), true, Backend::Jetson(Jetson::default()));
    matches_snapshot("jetson-1080p30-required-only.txt", &plan.describe());
}

#[test]
fn software_1080p30() {
    let plan = plan(1920, 1080, (30, 1), true, software(Preset::Veryfast));
    matches_snapshot("software-1080p30.txt", &plan.describe());
}

#[test]
fn software_portrait_at_half_rate() {
    let mut plan = plan(1080, 1920, (60, 1), false, software(Preset::Ultrafast));
    plan.ladder.rungs[0].half_rate = true;
    plan.thumbnail_s = 0;
    matches_snapshot("software-portrait-60-half-rate.txt", &plan.describe());
}

#[test]
fn audio() {
    matches_snapshot("audio.txt", &describe::describe_audio(128_000));
}
