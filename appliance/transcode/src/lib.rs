//! Placeholder.

pub mod cmaf;
pub mod cut;
