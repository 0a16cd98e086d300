//! `nodi-ingest`: the RTMP and RTMPS server of a box. It faces the internet, checks stream keys offline, measures
//! each stream's health, and hands each session to a worker as a plain FLV byte stream.
//!
//! It holds no secrets but its TLS key, decodes nothing, and writes nothing but credentials for the uplink.

pub mod admission;
pub mod config;
pub mod credentials;
pub mod ending;
pub mod handover;
pub mod health;
pub mod inspector;
pub mod keys;
pub mod mailbox;
pub mod metrics;
mod probe;
mod publisher;
pub mod registry;
pub mod server;
mod session;
pub mod session_ids;
mod settings;
mod shared;
mod status;
pub mod throttle;
pub mod tls;
mod wire;

pub use config::Config;
pub use server::Ingest;
