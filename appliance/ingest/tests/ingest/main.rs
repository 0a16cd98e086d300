//! What a publisher and a worker see of ingest: real encoders, real sockets, hostile peers.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "tests fail by panicking"
)]
#![allow(unreachable_pub, reason = "the modules of one test binary")]

mod encoders;
mod handover;
mod health;
mod hostile;
mod liveness;
mod process;
mod refusals;
mod self_test;
mod settings;
mod support;
mod tls;
mod watchdog;
