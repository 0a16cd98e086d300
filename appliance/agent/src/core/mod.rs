//! What the agent is apart from what it does: it is somebody, it is connected, it remembers, it obeys once.

mod broker;
mod commands;
mod dispatch;
mod journal;
mod keep;
mod link;
mod live;
mod measure;
mod renewal;
mod run;

pub use run::{Error, box_id, run};
