//! Channels and their stream keys.
//!
//! A key certifies itself: boxes and origins check it without asking here. What this server keeps is which versions
//! there are; revoking raises the channel's lowest accepted version in the revocation document.

pub(crate) mod changes;
pub(crate) mod key_routes;
mod routes;
pub(crate) mod rows;
pub(crate) mod signing;

use std::collections::HashSet;

use nodi_protocol::ChannelId;
use rusqlite::Connection;
use serde::Deserialize;

use crate::error::Error;
use crate::http::identity::Identity;
use crate::state::App;
pub use changes::{Minted, NewKey, mint};
pub use routes::routes;
pub use rows::{Channel, ChannelView, KeyView, shown_title};
pub use signing::{Error as SigningKeyError, SigningKey, create_files};

/// This area's section of the configuration.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Where viewers watch, such as `https://live.example`. Without a slash at its end.
    pub watch_url: String,
    /// Keys that one channel may have in force at a time.
    pub keys_per_channel: u32,
    /// Channels that there may be. The revocation document names each that had a key revoked, with about 50 bytes,
    /// and goes to every box.
    pub max_channels: u32,
}

impl Default for Config {
    fn default() -> Self {
        Self { watch_url: "http://127.0.0.1:8080".to_owned(), keys_per_channel: 20, max_channels: 10_000 }
    }
}

/// This area's part of [`App`].
pub struct State {
    signing: SigningKey,
}

impl State {
    /// # Errors
    /// When the signing key cannot be read.
    pub fn load(config: &crate::Config) -> Result<Self, Error> {
        let signing =
            SigningKey::load(config).map_err(|error| Error::Internal(format!("signing key: {error}")))?;
        Ok(Self { signing })
    }

    /// The fleet's public stream keys, base64, newest first: for the settings of boxes.
    #[must_use]
    pub fn public_keys(&self) -> &[String] {
        self.signing.public_keys()
    }
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

/// The channel, for somebody who may see it; for everybody else there is none.
///
/// # Errors
/// When there is none, or the database fails.
pub fn see(connection: &Connection, who: &Identity, id: &ChannelId) -> Result<Channel, Error> {
    rows::get(connection, id)?
        .filter(|channel| who.may_see(channel.owner_id.as_deref()))
        .ok_or_else(|| Error::not_found("channel", id))
}

/// The channel, for somebody who may steer it.
///
/// # Errors
/// When there is none that they may see, they may only see it, or the database fails.
pub fn steer(connection: &Connection, who: &Identity, id: &ChannelId) -> Result<Channel, Error> {
    let channel = see(connection, who, id)?;
    if who.may_steer(channel.owner_id.as_deref()) {
        Ok(channel)
    } else {
        Err(Error::forbidden("this takes the channel's owner or the role operator"))
    }
}

/// Where viewers watch a channel.
#[must_use]
pub fn watch_url(app: &App, id: &ChannelId) -> String {
    format!("{}/watch/{id}", app.config.channels.watch_url)
}

/// A live channel's picture.
#[must_use]
pub fn thumbnail_url(app: &App, id: &ChannelId) -> String {
    format!("{}/live/{id}/thumbnail.jpg", app.config.channels.watch_url)
}
