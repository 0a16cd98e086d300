//! What is looked at, and what came of it.

use serde::{Deserialize, Serialize};

/// One line of `gate.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Check {
    /// Stable, for programs.
    pub name: String,
    pub passed: bool,
    /// For people: what was seen, or what is wrong.
    pub message: String,
}

/// Names of checks.
pub mod name {
    /// The gate's own configuration.
    pub const CONFIGURATION: &str = "configuration";
    /// Which slot runs is known.
    pub const SLOT: &str = "slot";
    /// `trial.json` can be read.
    pub const TRIAL: &str = "trial";
    /// This trial passed in an earlier boot.
    pub const EARLIER: &str = "earlier";
    /// The synthetic stream is in the spool, on all rungs.
    pub const STREAM: &str = "stream";
    pub const UPLINK: &str = "uplink";
    pub const AGENT: &str = "agent";
    pub const BROKER: &str = "broker";
    /// After the window: going back to the other slot.
    pub const WAY_BACK: &str = "way_back";
}

impl Check {
    #[must_use]
    pub fn of(name: &str, looked: Result<String, String>) -> Self {
        let (passed, message) = match looked {
            Ok(message) => (true, message),
            Err(message) => (false, message),
        };
        Self { name: name.to_owned(), passed, message }
    }
}
