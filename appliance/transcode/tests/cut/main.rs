//! The timeline as its readers see it: what is in the spool after frames went in.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    unreachable_pub,
    reason = "tests fail by panicking"
)]

mod audio;
mod bench;
mod media;
mod order;
mod resume;
mod rungs;
mod story;
