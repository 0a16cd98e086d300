//! The agent of a box: its identity, its desired and reported state, its commands, and its telemetry.
//!
//! The core ([`identity`], [`clock`], [`store`], the link to the broker, commands' state) and what is done on the box
//! ([`settings`], [`telemetry`], [`sessions`], [`actions`]) meet in [`seams`].

pub mod actions;
mod appliance;
pub mod clock;
pub mod config;
mod core;
pub mod events;
pub mod files;
pub mod fleet;
pub mod host;
pub mod identity;
pub mod local;
pub mod seams;
pub mod sessions;
pub mod settings;
pub mod store;
pub mod telemetry;
mod time;
mod timekeeping;
mod tls;
pub mod update;

pub use appliance::Host;
pub use config::Config;
pub use core::{Error, box_id, run};
