//! Decoding, scaling and encoding, by GStreamer: what the pipelines are ([`describe`]) and how one runs ([`run`]).

mod controls;
pub mod describe;
pub mod run;
pub mod scaler;

pub use controls::Controls;
pub use describe::{Plan, Source};
pub use run::{AudioEncoder, Output, Running};
