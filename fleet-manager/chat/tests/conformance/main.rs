//! What clients that we did not write may rely on, and what those that mean harm get: against the real process, over
//! real sockets. The cases of `cases/` are played by npm's `ws`, Python's `websockets` and Chromium; what these
//! libraries are too well-behaved to send is sent here byte by byte, while somebody else goes on talking undisturbed.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::indexing_slicing,
    reason = "tests fail by panicking, and say what they found"
)]

mod bystanders;
mod clients;
mod half_open;
mod handshake;
mod malformed;
mod service;
mod wire;
