//! The agent of a box: its identity, its desired and reported state, its commands, and its telemetry.
//!
//! The core ([`identity`], [`clock`], [`store`], the link to the broker, commands' state) and what is done on the box
//! ([`settings`], [`telemetry`], [`sessions`], [`actions`]) meet in [`seams`].

pub mod actions;
pub mod clock;
pub mod config;
pub mod events;
pub mod files;
pub mod fleet;
pub mod identity;
pub mod seams;
pub mod sessions;
pub mod settings;
pub mod store;
pub mod telemetry;
mod time;
mod tls;

pub use config::Config;
