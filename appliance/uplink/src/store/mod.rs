//! Sessions on their way to stores that only hold objects: S3-compatible buckets and local directories. A store
//! cannot answer blocking reloads, so that it gets ordinary HLS: whole segments, and then the playlist that names
//! them.

mod bucket;
mod directory;
mod list;
mod remote;
mod shelf;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use nodi_daemon::shutdown::Shutdown;

pub(crate) use shelf::Shelf;

use crate::backoff::Backoff;
use crate::config;
use crate::journal::Journal;
use crate::metrics::TargetMetrics;
use bucket::Bucket;
use directory::Directory;

/// Names that never change their bytes may be kept for ever.
const IMMUTABLE: &str = "public, max-age=31536000, immutable";
/// Playlists change with every segment: an edge may keep one for less than a segment.
const PLAYLIST: &str = "public, max-age=1";
/// Between two looks for objects to delete.
const SWEEP_EVERY: Duration = Duration::from_secs(10);
/// Objects deleted per look: a request each.
const SWEEP_MOST: u32 = 64;
/// A failure that goes on is logged this often, in attempts.
const LOG_EVERY: u32 = 16;

/// Why an object is not in the store, or cannot be read from it.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The spool does not have it: trying again will not help.
    #[error("{path}: {source}")]
    Lost { path: PathBuf, source: std::io::Error },
    #[error("{0}")]
    Unreachable(String),
    #[error("{status}: {body}")]
    Refused { status: reqwest::StatusCode, body: String },
    #[error("{path}: {source}")]
    File { path: PathBuf, source: std::io::Error },
}

/// What an object is, for its headers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Media,
    Playlist,
    Thumbnail,
}

impl Kind {
    fn content_type(self) -> &'static str {
        match self {
            Self::Media => "video/mp4",
            Self::Playlist => "application/vnd.apple.mpegurl",
            Self::Thumbnail => "image/jpeg",
        }
    }

    fn cache_control(self) -> &'static str {
        match self {
            Self::Media => IMMUTABLE,
            Self::Playlist | Self::Thumbnail => PLAYLIST,
        }
    }
}

/// What to put.
#[derive(Debug, Clone)]
pub(crate) enum Content {
    /// A file of the spool, whole.
    File(PathBuf),
    Bytes(Bytes),
}

#[derive(Debug)]
enum Place {
    Bucket(Box<Bucket>),
    Directory(Directory),
}

/// One configured store, shared by all channels.
#[derive(Debug)]
pub(crate) struct Store {
    name: String,
    place: Place,
    shelf: config::Shelf,
    metrics: TargetMetrics,
}

impl Store {
    /// # Errors
    /// When the endpoint is unusable or no HTTP client can be made.
    pub(crate) fn bucket(config: &config::Bucket, metrics: TargetMetrics) -> Result<Self, crate::Error> {
        Ok(Self {
            name: config.name.clone(),
            place: Place::Bucket(Box::new(Bucket::new(config)?)),
            shelf: config.shelf.clone(),
            metrics,
        })
    }

    #[must_use]
    pub(crate) fn directory(config: &config::Directory, metrics: TargetMetrics) -> Self {
        Self {
            name: config.name.clone(),
            place: Place::Directory(Directory::new(&config.path)),
            shelf: config.shelf.clone(),
            metrics,
        }
    }

    #[must_use]
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    async fn put_once(&self, key: &str, content: &Content, kind: Kind) -> Result<u64, Error> {
        match &self.place {
            Place::Bucket(bucket) => bucket.put(key, content, kind).await,
            Place::Directory(directory) => directory.put(key, content).await,
        }
    }

    /// The object's bytes; `None` when there is none. For playlists: the size is bounded.
    async fn get(&self, key: &str) -> Result<Option<Vec<u8>>, Error> {
        match &self.place {
            Place::Bucket(bucket) => bucket.get(key).await,
            Place::Directory(directory) => directory.get(key).await,
        }
    }

    async fn delete(&self, key: &str) -> Result<(), Error> {
        match &self.place {
            Place::Bucket(bucket) => bucket.delete(key).await,
            Place::Directory(directory) => directory.delete(key).await,
        }
    }

    /// Puts an object, trying until it is there.
    ///
    /// # Errors
    /// `Lost` when the spool does not have it; any other one only when the process stops.
    async fn put(&self, key: &str, content: &Content, kind: Kind, shutdown: &Shutdown) -> Result<(), Error> {
        let attempt = || self.put_once(key, content, kind);
        let bytes = self.persist(key, shutdown, attempt).await?;
        self.metrics.objects.inc();
        if kind == Kind::Media {
            self.metrics.bytes.inc_by(bytes);
        }
        Ok(())
    }

    /// Tries until it works, the object is lost, or the process stops.
    async fn persist<T, F: Future<Output = Result<T, Error>>>(
        &self,
        what: &str,
        shutdown: &Shutdown,
        attempt: impl Fn() -> F,
    ) -> Result<T, Error> {
        let mut backoff = Backoff::patient();
        loop {
            let error = match attempt().await {
                Ok(value) => return Ok(value),
                Err(error @ Error::Lost { .. }) => return Err(error),
                Err(error) => error,
            };
            self.metrics.retries.inc();
            if backoff.attempts().is_multiple_of(LOG_EVERY) {
                log::warn!(target_name:% = self.name, object = what, attempt = backoff.attempts() + 1;
                    "store does not take it, trying again: {error}");
            }
            tokio::select! {
                () = tokio::time::sleep(backoff.next()) => {}
                () = shutdown.wait() => return Err(error),
            }
        }
    }

    /// Deletes what left the windows, until the process stops.
    pub(crate) async fn sweep(self: Arc<Self>, journal: Journal, shutdown: Shutdown) {
        loop {
            match journal.doomed(&self.name, SWEEP_MOST).await {
                Ok(objects) => {
                    for object in objects {
                        match self.delete(&object).await {
                            Ok(()) => journal.deleted(&self.name, object).await,
                            Err(error) => {
                                self.metrics.retries.inc();
                                log::warn!(target_name:% = self.name, object; "not deleted: {error}");
                                break;
                            }
                        }
                    }
                }
                Err(error) => log::error!("{error}"),
            }
            tokio::select! {
                () = tokio::time::sleep(SWEEP_EVERY) => {}
                () = shutdown.wait() => return,
            }
        }
    }
}
