//! The `jetson` back end, run for real on elements that carry NVIDIA's names, pads, memory features and properties.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "tests fail by panicking"
)]

mod support;

#[path = "support/stand_ins.rs"]
mod stand_ins;

use std::sync::atomic::Ordering;

use nodi_spool::{EndReason, Overload, RungState};
use nodi_transcode::backend::{self, Detected};
use nodi_transcode::config::BackendChoice;
use nodi_transcode::config::Config;
use nodi_transcode::elements::{self, Finding, Table};
use nodi_transcode::worker::{self, Stop};
use support::{Bench, LADDER, Paced, Session, X264, live, live_ladder, tone, video};

#[test]
fn stand_ins_are_what_the_table_says() {
    stand_ins::register(true);
    for line in elements::check(Table::get()) {
        assert_eq!(line.finding, Finding::Present, "{line}");
    }
}

#[test]
fn a_board_with_an_encoder_is_found_with_all_its_properties() {
    stand_ins::register(true);
    assert_eq!(backend::detect(BackendChoice::Auto), Ok(Detected::Jetson(backend::Jetson::documented())));
}

#[test]
fn a_board_without_an_encoder_says_so_and_uses_software() {
    stand_ins::register(false);
    let reason = "there is no nvv4l2h264enc".to_owned();
    assert_eq!(
        backend::detect(BackendChoice::Auto),
        Ok(Detected::Software { instead: Some(reason.clone()) })
    );
    assert_eq!(backend::detect(BackendChoice::Jetson), Err(backend::Error::NoJetson(reason)));
}

#[test]
fn an_encoder_that_does_not_open_is_none() {
    stand_ins::register(true);
    stand_ins::ENCODER_FAILS.store(true, Ordering::Relaxed);
    let Ok(Detected::Software { instead: Some(reason) }) = backend::detect(BackendChoice::Auto) else {
        panic!("not software")
    };
    assert!(reason.contains("does not open"), "{reason}");
}

/// Runs the worker in this process, where the stand-ins are.
fn run(bench: &Bench, input: impl std::io::Read + Send + 'static, more: &str) -> Session {
    let config: Config = nodi_daemon::config::load(&bench.config(more)).unwrap();
    worker::run(&config, input, &Stop::default()).unwrap();
    bench.session()
}

#[test]
fn the_whole_pipeline_runs() {
    stand_ins::register(true);
    let bench = Bench::new();
    let flv = bench.flv(&format!("{} {} {X264} -bf 2 -c:a aac", video("640x360", "25", 6), tone(48_000, 6)));
    let session = run(&bench, std::io::Cursor::new(flv), &format!("backend = \"jetson\"\n{LADDER}"));
    session.check();
    assert_eq!(session.status.backend, nodi_spool::Backend::Jetson);
    assert_eq!(session.rungs(), ["180p", "360p"]);
    assert_eq!(session.packets("360p").len(), 150);
    assert_eq!(session.decodes("180p"), 150);
    let starts: Vec<u64> = session.rung("360p").segments.values().map(|segment| segment.start_ns).collect();
    assert_eq!(starts.windows(2).map(|pair| pair[1] - pair[0]).collect::<Vec<_>>(), [2_000_000_000; 2]);
    assert!(session.dir.join("thumbnail.jpg").exists());
    // Each encoder was asked for its first key frame by signal.
    assert_eq!(stand_ins::FORCED.load(Ordering::Relaxed), 2);
}

#[test]
fn a_board_without_an_encoder_encodes_in_software() {
    stand_ins::register(false);
    let bench = Bench::new();
    let flv = bench.flv(&format!("{} {X264}", video("320x180", "25", 3)));
    let session = run(&bench, std::io::Cursor::new(flv), LADDER);
    session.check();
    assert_eq!(session.status.backend, nodi_spool::Backend::Software);
    assert!(session.warnings().contains(&"no_hardware_encoder"), "{:?}", session.warnings());
}

/// The top rung's encoder takes three times as long as it may.
#[test]
fn overload_gives_up_the_rate_and_then_the_rung() {
    stand_ins::register(true);
    stand_ins::SLOW_MS.store(120, Ordering::Relaxed);
    let bench = Bench::new();
    let flv =
        bench.flv(&format!("{} {} {X264} -bf 0 -c:a aac", video("640x360", "25", 20), tone(48_000, 20)));
    let input = Paced::new(&live(&flv, 0));
    let session = run(&bench, input, &format!("backend = \"jetson\"\n{}", live_ladder()));
    assert_eq!(session.status.overload, Overload::RungDropped);
    assert!(session.warnings().contains(&"overload"), "{:?}", session.warnings());
    assert_eq!(session.rung("360p").end, Some(EndReason::Overload));
    assert_eq!(session.status.rungs[0].state, RungState::Gone(EndReason::Overload));
    // The other rung went on to the end, with more pictures.
    assert_eq!(session.rung("180p").end, Some(EndReason::Eof));
    assert!(session.packets("180p").len() > session.packets("360p").len());
    assert!(session.rung("180p").duration_s() > session.rung("360p").duration_s());
    assert!(session.status.rungs[0].dropped > 0);
}
