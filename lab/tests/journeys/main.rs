//! Journeys through the whole platform: a real encoder at one end, a real player at the other, everything
//! between them as it is shipped, and now and then something breaks.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests fail by panicking"
)]

mod breakage;
mod clients;
mod keys;
mod odd_inputs;
mod support;
