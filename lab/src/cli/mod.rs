//! The commands that take more than a few lines.

pub(crate) mod fleet_sim;
pub(crate) mod up;
