//! The whole platform on one machine: for the demo, for end-to-end tests with broken networks and killed
//! processes, and for benches. Nothing here is shipped, and nothing shipped depends on it.

pub mod appliance;
mod binaries;
pub mod certs;
pub mod chat;
pub mod chat_load;
pub mod check;
pub mod config;
pub mod control;
mod edge;
pub mod error;
pub mod fault;
pub mod fleet;
pub mod host;
pub mod keys;
pub mod network;
pub mod platform;
pub mod ports;
pub mod process;
pub mod publish;
pub mod rauc;
pub mod sim;
pub mod site;
pub mod workers;

pub use error::Error;
pub use platform::{Edge, Lab, Links, Options};

/// Chooses the TLS implementation; calling it again changes nothing.
pub(crate) fn install_tls() {
    let _ = rustls::crypto::ring::default_provider().install_default();
}
