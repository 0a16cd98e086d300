//! Channels and their stream keys.

use std::collections::HashSet;

use rusqlite::Connection;
use serde::Deserialize;

use crate::error::Error;
use crate::http::access::Api;

/// This area's section of the configuration.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Where viewers watch and pull thumbnails from, such as `https://live.example`. Without a slash at its end.
    pub watch_url: String,
}

impl Default for Config {
    fn default() -> Self {
        Self { watch_url: "http://127.0.0.1:8080".to_owned() }
    }
}

/// This area's part of [`crate::App`].
pub struct State {}

impl State {
    /// # Errors
    /// When the signing key cannot be read.
    pub fn load(_config: &crate::Config) -> Result<Self, Error> {
        Ok(Self {})
    }
}

/// What it serves below `/api/v1`.
#[must_use]
pub fn routes() -> Api {
    Api::new("channels")
}

/// Ids of the channels that a person owns.
///
/// # Errors
/// When the database fails.
pub fn owned_by(connection: &Connection, person_id: &str) -> Result<HashSet<String>, Error> {
    let mut statement = connection.prepare_cached("SELECT id FROM channel WHERE owner_id = ?1")?;
    let ids = statement.query_map([person_id], |row| row.get(0))?.collect::<rusqlite::Result<_>>()?;
    Ok(ids)
}
