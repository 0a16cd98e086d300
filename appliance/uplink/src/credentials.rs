//! The stream key of a live session, as ingest leaves it on a memory file system (`docs/interfaces.md` 3).

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nodi_protocol::stream_key::StreamKey;
use nodi_protocol::{ChannelId, SessionId};
use serde::Deserialize;
use tokio::time::Instant;

/// Between two looks for a file that is late, or gone. Not on the media path: ingest writes the file before
/// the worker gets its first byte.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// Where ingest keeps the files.
#[derive(Debug, Clone)]
pub(crate) struct Credentials {
    directory: PathBuf,
}

/// Why a session has no usable credential.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("no credential file {path} within {} s", .waited.as_secs())]
    Missing { path: PathBuf, waited: Duration },
    #[error("credential file {path}: {source}")]
    Read { path: PathBuf, source: std::io::Error },
    /// Without the parser's words: they would quote the file.
    #[error("credential file {path} is not JSON with channel, session and stream_key")]
    Json { path: PathBuf },
    #[error("credential file {path} is for channel {channel}, session {session}")]
    Foreign { path: PathBuf, channel: ChannelId, session: SessionId },
}

#[derive(Deserialize)]
struct File {
    channel: ChannelId,
    session: SessionId,
    stream_key: String,
}

impl Credentials {
    #[must_use]
    pub(crate) fn new(directory: &Path) -> Self {
        Self { directory: directory.to_owned() }
    }

    fn path(&self, session: SessionId) -> PathBuf {
        self.directory.join(session.to_string())
    }

    /// Whether the session is live as far as ingest knows.
    #[must_use]
    pub(crate) fn exists(&self, session: SessionId) -> bool {
        self.path(session).exists()
    }

    /// The session's key; `Ok(None)` when there is no file.
    ///
    /// # Errors
    /// When the file cannot be read or is not this session's.
    pub(crate) async fn read(
        &self,
        channel: &ChannelId,
        session: SessionId,
    ) -> Result<Option<StreamKey>, Error> {
        let path = self.path(session);
        let bytes = match tokio::fs::read(&path).await {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(Error::Read { path, source }),
        };
        let Ok(file) = serde_json::from_slice::<File>(&bytes) else { return Err(Error::Json { path }) };
        if file.channel != *channel || file.session != session {
            return Err(Error::Foreign { path, channel: file.channel, session: file.session });
        }
        Ok(Some(StreamKey::from_text(file.stream_key)))
    }

    /// The session's key, waiting at most `limit` for its file.
    ///
    /// # Errors
    /// As [`Self::read`], and when the file does not come.
    pub(crate) async fn wait(
        &self,
        channel: &ChannelId,
        session: SessionId,
        limit: Duration,
    ) -> Result<StreamKey, Error> {
        let deadline = Instant::now() + limit;
        loop {
            // A file that is just being written does not parse yet: only the last look decides.
            match self.read(channel, session).await {
                Ok(Some(key)) => return Ok(key),
                Ok(None) if Instant::now() >= deadline => {
                    return Err(Error::Missing { path: self.path(session), waited: limit });
                }
                Err(error) if Instant::now() >= deadline => return Err(error),
                Ok(None) | Err(_) => tokio::time::sleep(LOOK_EVERY).await,
            }
        }
    }

    /// Completes when the session's file is gone.
    pub(crate) async fn gone(&self, session: SessionId) {
        let path = self.path(session);
        while tokio::fs::try_exists(&path).await.unwrap_or(true) {
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_file_of_another_session_is_refused_and_errors_hide_the_key() {
        let directory = tempfile::tempdir().unwrap();
        let credentials = Credentials::new(directory.path());
        let session = SessionId::new(1, 1);
        let channel: ChannelId = "nodi".parse().unwrap();
        let path = directory.path().join(session.to_string());
        assert!(credentials.read(&channel, session).await.unwrap().is_none());

        let other = SessionId::new(2, 2);
        let text = |session| {
            format!("{{\"channel\":\"nodi\",\"session\":\"{session}\",\"stream_key\":\"nodi_secret\"}}")
        };
        std::fs::write(&path, text(other)).unwrap();
        let error = credentials.read(&channel, session).await.unwrap_err();
        assert!(matches!(error, Error::Foreign { .. }) && !error.to_string().contains("secret"), "{error}");

        std::fs::write(&path, "{\"stream_key\":\"nodi_secret\"}").unwrap();
        let error = credentials.wait(&channel, session, Duration::ZERO).await.unwrap_err();
        assert!(matches!(error, Error::Json { .. }) && !error.to_string().contains("secret"), "{error}");

        std::fs::write(&path, text(session)).unwrap();
        let key = credentials.wait(&channel, session, Duration::ZERO).await.unwrap();
        assert_eq!(key.reveal(), "nodi_secret");

        std::fs::remove_file(&path).unwrap();
        credentials.gone(session).await;
        let error = credentials.wait(&channel, session, Duration::ZERO).await.unwrap_err();
        assert!(matches!(error, Error::Missing { .. }), "{error}");
    }
}
