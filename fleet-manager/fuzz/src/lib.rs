//! Fuzz targets: one function each, which panics when something is wrong. The binaries hand them to libFuzzer
//! (`scripts/fuzz`); the tests hand them the seeds, and every input that was ever a finding.

#![allow(
    clippy::panic,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a target reports what it found by panicking"
)]

mod frame;
mod token;

pub use frame::chat_frame;
pub use token::chat_token;

/// A target's name and its function.
pub type Target = (&'static str, fn(&[u8]));

/// All targets, by the names of their binaries and seed directories.
pub const TARGETS: [Target; 2] = [("chat_frame", chat_frame), ("chat_token", chat_token)];
