//! What boxes measured: at full rate for two hours, per minute for a week.
//!
//! A box's samples are gathered in memory for ten minutes and then stored as one compressed chunk, together with their
//! minutes. Until then each batch of all boxes together is also a row of the journal, so that a restart loses none: per
//! sample that is a few dozen bytes written in sequence, where a row per sample would be pages all over the file.

mod api;
mod chunk;
mod codec;
mod gather;
mod query;
mod sample;
mod state;
mod store;

pub use api::routes;
pub use chunk::{FULL_RATE, KEEP_MINUTES};
pub use query::{Query, Series, View, render};
pub use sample::{SERIES, Sample, Which, fullest, hottest};
pub use state::{State, start};
pub(crate) use store::{append_journal, remove_box};
