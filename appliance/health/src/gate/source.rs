//! The synthetic stream while it is published: its key, which ingest learns from a file, and the task that publishes.

use std::io;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use nodi_protocol::stream_key::{Grant, Minter, SELF_TEST_CHANNEL, StreamKey};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::config::Config;
use crate::stream::Clip;
use crate::stream::publisher::{self, State};

/// Ingest is another user, and what it reads is public.
const MODE: u32 = 0o644;

/// Publishes until it is dropped.
pub(super) struct Source {
    state: watch::Receiver<State>,
    task: Option<JoinHandle<()>>,
    /// Why there is no task.
    fault: Option<String>,
    _key: Option<KeyFile>,
}

/// The public half where ingest looks for it; gone with the stream.
struct KeyFile(PathBuf);

impl Source {
    pub(super) fn start(config: &Config, clip: Clip) -> Self {
        let (send, state) = watch::channel(State::Connecting);
        match make_key(&config.self_test_key) {
            Ok((key, file)) => {
                let task = tokio::spawn(publisher::run(config.rtmp, key, clip, send));
                Self { state, task: Some(task), fault: None, _key: Some(file) }
            }
            Err(error) => {
                let fault = format!("{}: {error}", config.self_test_key.display());
                Self { state, task: None, fault: Some(fault), _key: None }
            }
        }
    }

    /// Why nothing is published now.
    pub(super) fn trouble(&self) -> Option<String> {
        if let Some(fault) = &self.fault {
            return Some(fault.clone());
        }
        match &*self.state.borrow() {
            State::Publishing => None,
            State::Connecting => Some("ingest has not taken the stream yet".to_owned()),
            State::Failed(reason) => Some(reason.clone()),
        }
    }
}

impl Drop for Source {
    fn drop(&mut self) {
        if let Some(task) = &self.task {
            task.abort();
        }
    }
}

impl Drop for KeyFile {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_file(&self.0) {
            log::debug!(path:% = self.0.display(), error:%; "the self-test key is gone already");
        }
    }
}

/// A key pair whose private half is nowhere but here. Without an expiry: the clock may not be set yet.
fn make_key(path: &Path) -> io::Result<(StreamKey, KeyFile)> {
    let mut seed = [0; 32];
    getrandom::fill(&mut seed).map_err(|error| io::Error::other(error.to_string()))?;
    let minter = Minter::from_seed(&seed);
    let channel =
        SELF_TEST_CHANNEL.parse().map_err(|error: nodi_protocol::id::Error| io::Error::other(error))?;
    let key = minter.mint(&Grant { channel, version: 1, expires_at: None });
    if let Some(directory) = path.parent() {
        std::fs::create_dir_all(directory)?;
    }
    let unfinished = path.with_extension("new");
    let mut file =
        std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(MODE).open(&unfinished)?;
    io::Write::write_all(&mut file, format!("{}\n", minter.public_line()).as_bytes())?;
    // Whatever the unit's mask is.
    file.set_permissions(std::fs::Permissions::from_mode(MODE))?;
    std::fs::rename(&unfinished, path)?;
    Ok((key, KeyFile(path.to_owned())))
}
