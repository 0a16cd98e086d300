//! `nodi-fleet init`: from nothing to a server that somebody can log in to. Can be run again after it was interrupted.

use std::fs;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::PathBuf;

use nodi_daemon::shutdown;

use crate::ca::{self, Authority};
use crate::channels;
use crate::clock::Clock;
use crate::config::Config;
use crate::db::{self, Db};
use crate::people;
use crate::site;
use crate::state::App;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{}: {source}", path.display())]
    Directory { path: PathBuf, source: std::io::Error },
    #[error("certificate authority: {0}")]
    Authority(#[from] ca::Error),
    #[error("signing key: {0}")]
    SigningKey(#[from] channels::SigningKeyError),
    #[error("key of chat tokens: {0}")]
    ChatKey(#[from] site::chat_key::Error),
    #[error("{0}")]
    Database(#[from] db::OpenError),
    #[error("{0}")]
    Person(#[from] crate::Error),
}

/// What there is now.
#[derive(Debug)]
pub struct Done {
    pub database: PathBuf,
    pub authority: PathBuf,
    pub public_keys: PathBuf,
    /// Of chat tokens.
    pub chat_keys: PathBuf,
}

/// Makes what is missing, then the first administrator. What an interrupted run has made already is kept.
///
/// # Errors
/// What cannot be made, or that there are people already.
pub async fn init(config: Config, clock: Clock, name: String, password: String) -> Result<Done, Error> {
    people::check_credentials(&config.people, &name, &password)?;
    let io = |source| Error::Directory { path: config.data_dir.clone(), source };
    fs::DirBuilder::new().recursive(true).mode(0o700).create(&config.data_dir).map_err(io)?;
    let done = Done {
        database: config.database(),
        authority: config.ca_dir(),
        public_keys: config.public_keys(),
        chat_keys: config.chat_public_keys(),
    };
    if !Authority::exists(&done.authority) {
        Authority::create(&done.authority, "Nodi fleet", clock.unix_ms())?;
    }
    // The public half is written last: with it there, both are.
    if !done.public_keys.exists() {
        channels::create_files(&config)?;
    }
    site::chat_key::load_or_create(&config)?;
    let db = Db::open(&done.database, true)?;
    let (_trigger, shutdown) = shutdown::manual();
    let app = App::new(config, clock, db, shutdown).await?;
    people::first_administrator(&app, name, password).await?;
    Ok(done)
}
