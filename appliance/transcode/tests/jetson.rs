//! The `jetson` back end, run for real on elements that carry NVIDIA's names, pads, memory features and properties.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests fail by panicking"
)]

#[path = "support/stand_ins.rs"]
mod stand_ins;

use std::sync::atomic::Ordering;

use nodi_transcode::backend::{self, Detected};
use nodi_transcode::config::BackendChoice;
use nodi_transcode::elements::{self, Finding, Table};

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
