//! The origin as boxes and players see it: real listeners on free ports, real certificates, synthetic media.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests fail by panicking"
)]
#![allow(unreachable_pub, reason = "one crate, many modules")]

mod authentication;
mod bounds;
mod broker;
mod fleet;
mod http;
mod lifecycle;
mod playlists;
mod revocation;
mod support;
mod uploads;
