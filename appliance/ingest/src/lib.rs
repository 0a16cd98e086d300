//! The RTMP(S) server of a box.
pub mod admission;
pub mod config;
pub mod credentials;
pub mod health;
pub mod keys;
pub mod reload;
pub mod session_ids;
pub mod throttle;
pub mod tls;
