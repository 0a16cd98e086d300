//! Fuzz targets: one function each, which panics when something is wrong. The binaries hand them to libFuzzer (`scripts/fuzz`);
//! the tests hand them the seeds, and every input that was ever a finding.

#![allow(
    clippy::panic,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a target reports what it found by panicking"
)]

mod codecs;
mod connection;
mod container;
mod keys;
mod values;

pub use codecs::avc_config;
pub use connection::rtmp_preauth;
pub use container::flv;
pub use keys::stream_key;
pub use values::amf0;

/// A target's name and its function.
pub type Target = (&'static str, fn(&[u8]));

/// All targets, by the names of their binaries and seed directories.
pub const TARGETS: [Target; 5] = [
    ("rtmp_preauth", rtmp_preauth),
    ("amf0", amf0),
    ("flv", flv),
    ("avc_config", avc_config),
    ("stream_key", stream_key),
];
