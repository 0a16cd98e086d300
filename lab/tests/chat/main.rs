//! Journeys of viewers who talk: the real chat service, the real site, real accounts, and video where it matters, while
//! somebody moderates or something breaks.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests fail by panicking"
)]

mod browser;
mod community;
mod cuts;
mod site;
#[path = "../journeys/support.rs"]
#[allow(dead_code, reason = "shared with the journeys of the video path, which use all of it")]
mod support;
