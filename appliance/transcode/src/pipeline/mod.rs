//! Decoding, scaling and encoding, by GStreamer: what the pipelines are ([`describe`]) and how one runs ([`run`]).

pub mod describe;
pub mod run;

pub use describe::{Plan, Source};
pub use run::{AudioEncoder, Controls, Output, Running};
