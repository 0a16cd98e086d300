//! The chat service as a process, with real connections: what must hold when clients come and go, when it is killed,
//! when a reader stops reading, and when the fleet server is away.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests fail by panicking"
)]

mod client;
mod counts;
mod cuts;
mod evasion;
mod fleet;
mod killed;
mod messages;
mod service;
mod slow;
mod tls;
mod tokens;
