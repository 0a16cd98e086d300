//! Journeys through the whole platform with its fleet: the real broker with the configuration that we ship, the real
//! fleet server, and boxes with real agents and real video, while somebody steers them or something breaks.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests fail by panicking"
)]

mod browser;
mod commands;
mod enrolment;
mod killed;
mod operator;
mod outages;
mod settings;
mod simulated;
mod streams;
#[path = "../journeys/support.rs"]
#[allow(dead_code, reason = "shared with the journeys of the video path, which use all of it")]
mod support;
