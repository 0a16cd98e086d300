//! The fleet server: people, channels, stream keys, boxes; REST API, dashboard, and the MQTT side of the boxes.
//!
//! One process, one SQLite database. Each area is a module that exports its routes, its background tasks, its
//! part of the configuration and its part of the state; [`state::App`] holds them together, [`http`] serves them.
//! Video never passes through here, and goes on when this process is down.

pub mod alerts;
pub mod audit;
pub mod boxes;
pub mod broker_config;
pub mod bundles;
pub mod ca;
pub mod channels;
pub mod clock;
pub mod commands;
pub mod config;
pub mod db;
pub mod enrolment;
pub mod error;
pub mod http;
pub mod ids;
pub mod ingests;
pub mod link;
pub mod live;
pub mod maintenance;
pub mod metrics;
pub mod overview;
pub mod people;
pub mod revocations;
pub mod rollouts;
pub mod server;
pub mod site;
pub mod state;
pub mod streams;
pub mod tasks;
pub mod telemetry;
pub mod updates;
pub mod webhooks;

pub use config::Config;
pub use error::Error;
pub use state::App;
