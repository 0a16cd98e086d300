//! The credentials of live sessions for the uplink: one file per session on a memory file system,
//! there before the worker gets its first byte and gone with the session (docs/interfaces.md section 3).

use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use nodi_protocol::stream_key::StreamKey;
use nodi_protocol::{ChannelId, SessionId};

/// The uplink reads them through its group; nobody else does.
const FILE_MODE: u32 = 0o640;
const DIRECTORY_MODE: u32 = 0o750;
/// A file that was being written when the process died.
const UNFINISHED: &str = "new";

#[derive(Debug, thiserror::Error)]
#[error("credentials {path}: {source}")]
pub struct Error {
    path: PathBuf,
    source: io::Error,
}

/// The directory; only this process writes into it.
#[derive(Debug, Clone)]
pub struct Store {
    directory: PathBuf,
}

/// One session's file, removed on drop.
#[derive(Debug)]
pub struct Credentials {
    path: PathBuf,
}

impl Store {
    /// Creates the directory where it is missing, and removes what an earlier process left in it.
    ///
    /// # Errors
    /// When the directory cannot be made, read or cleaned.
    pub fn open(directory: &Path) -> Result<Self, Error> {
        let failed = |path: &Path| {
            let path = path.to_owned();
            move |source| Error { path, source }
        };
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(DIRECTORY_MODE)
            .create(directory)
            .map_err(failed(directory))?;
        for entry in std::fs::read_dir(directory).map_err(failed(directory))? {
            let path = entry.map_err(failed(directory))?.path();
            // Only what this process can have written: a wrong path in the configuration must not cost anyone's files.
            let ours = path
                .file_stem()
                .and_then(|stem| stem.to_str())
                .is_some_and(|stem| stem.parse::<SessionId>().is_ok());
            if ours {
                std::fs::remove_file(&path).map_err(failed(&path))?;
                log::info!(path:% = path.display(); "removed the credentials of a session that is over");
            }
        }
        Ok(Self { directory: directory.to_owned() })
    }

    /// Writes the file whole: a reader sees all of it or nothing.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write(
        &self,
        channel: &ChannelId,
        session: SessionId,
        key: &StreamKey,
    ) -> Result<Credentials, Error> {
        let path = self.directory.join(session.to_string());
        let unfinished = path.with_extension(UNFINISHED);
        let text = serde_json::json!({ "channel": channel, "session": session, "stream_key": key.reveal() });
        let written = std::fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(FILE_MODE)
            .open(&unfinished)
            .and_then(|mut file| file.write_all(text.to_string().as_bytes()))
            .and_then(|()| std::fs::rename(&unfinished, &path));
        match written {
            Ok(()) => Ok(Credentials { path }),
            Err(source) => {
                // The error that is told is the first one.
                let _ = std::fs::remove_file(&unfinished);
                Err(Error { path, source })
            }
        }
    }
}

impl Drop for Credentials {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_file(&self.path) {
            log::error!(path:% = self.path.display(), error:%; "cannot remove the credentials of a session");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_file_lives_as_long_as_its_session() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(&directory.path().join("sessions")).unwrap();
        let session = SessionId::new(1_000, 7);
        let channel: ChannelId = "nodi".parse().unwrap();
        let credentials = store.write(&channel, session, &StreamKey::from_text("nodi_secret")).unwrap();
        let path = directory.path().join("sessions").join(session.to_string());
        let value: serde_json::Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        assert_eq!(
            value,
            serde_json::json!({"channel": "nodi", "session": session.to_string(), "stream_key": "nodi_secret"})
        );
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o7777, FILE_MODE);
        drop(credentials);
        assert!(!path.exists());
    }

    #[test]
    fn what_a_crash_left_is_removed_and_nothing_else() {
        let directory = tempfile::tempdir().unwrap();
        let session = SessionId::new(1_000, 7).to_string();
        for name in [session.as_str(), &format!("{session}.new"), "notes"] {
            std::fs::write(directory.path().join(name), "x").unwrap();
        }
        Store::open(directory.path()).unwrap();
        let left: Vec<_> =
            std::fs::read_dir(directory.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(left, ["notes"]);
    }
}
