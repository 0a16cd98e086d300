//! The agent's process against a real broker with mutual TLS: it enrols, it is killed at every step, its clock is wrong,
//! its broker is away; and what it promised holds.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests fail by panicking"
)]
#![allow(unreachable_pub, reason = "one crate, many modules")]

mod away;
mod commands;
mod enrolment;
mod support;
mod updates;
