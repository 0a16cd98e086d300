//! The synthetic stream while it is published: its key, which ingest learns from a file, and the task that publishes.

use std::io;
use std::net::SocketAddr;
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
    rtmp: SocketAddr,
    /// The one that the file belongs to, or why there is none.
    key: Result<(StreamKey, KeyFile), String>,
    playing: Option<Playing>,
}

struct Playing {
    state: watch::Receiver<State>,
    task: JoinHandle<()>,
}

/// The public half where ingest looks for it; gone with the source.
struct KeyFile(PathBuf);

impl Source {
    pub(super) fn start(config: &Config, clip: Clip) -> Self {
        let key = make_key(&config.self_test_key)
            .map_err(|error| format!("{}: {error}", config.self_test_key.display()));
        let mut source = Self { rtmp: config.rtmp, key, playing: None };
        source.play(clip);
        source
    }

    /// Another clip from now on, as a new session with the same key.
    pub(super) fn play(&mut self, clip: Clip) {
        let Ok((key, _)) = &self.key else { return };
        let (send, state) = watch::channel(State::Connecting);
        let task = tokio::spawn(publisher::run(self.rtmp, key.clone(), clip, send));
        self.playing = Some(Playing { state, task });
    }

    /// Why nothing is published now.
    pub(super) fn trouble(&self) -> Option<String> {
        if let Err(fault) = &self.key {
            return Some(fault.clone());
        }
        match self.playing.as_ref().map(|playing| playing.state.borrow().clone()) {
            Some(State::Publishing) => None,
            Some(State::Connecting) | None => Some("ingest has not taken the stream yet".to_owned()),
            Some(State::Failed(reason)) => Some(reason),
        }
    }
}

impl Drop for Playing {
    fn drop(&mut self) {
        self.task.abort();
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

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn one_key_is_good_for_both_clips_and_goes_with_the_source() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("health/self-test.pub");
        let config = Config {
            self_test_key: path.clone(),
            rtmp: SocketAddr::from(([127, 0, 0, 1], 1)),
            ..Config::default()
        };
        let mut source = Source::start(&config, Clip::Small);
        let line = std::fs::read_to_string(&path).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, MODE);
        source.play(Clip::Full);
        assert_eq!(std::fs::read_to_string(&path).unwrap(), line);
        assert!(source.trouble().is_some());
        drop(source);
        assert!(!path.exists());
        let nowhere = Config { self_test_key: "/proc/self-test.pub".into(), ..config };
        assert!(Source::start(&nowhere, Clip::Small).trouble().unwrap().starts_with("/proc/self-test.pub"));
    }
}
