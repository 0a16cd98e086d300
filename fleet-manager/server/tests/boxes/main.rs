//! Boxes at the real fleet server and the real Mosquitto, with exactly the configuration that `nodi-fleet
//! broker-config` writes. The boxes are scripted: what they do with what they are told is the test's.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests fail by panicking"
)]

mod breakage;
mod commands;
mod enrolment;
mod isolation;
mod revocation;
mod rollouts;
mod silence;
mod state;
mod support;
mod updates;
