//! RAUC bundles: uploaded once, kept as files under their SHA-256, downloaded by the boxes that have an order for them.
//!
//! Whether a bundle is genuine is judged by the box, with the keyring of its image; what is read here is what the
//! bundle says it is.

mod api;
mod download;
mod format;
mod range;
mod store;
mod upload;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use serde::{Deserialize, Serialize};
use tokio::sync::Semaphore;

use crate::db::Db;
use crate::error::Error;
use crate::metrics::Metrics;

pub use api::routes;
pub use format::Format;
pub(crate) use store::missing_files;
pub use store::{Bundle, BundleView, one};

/// This area's section of the configuration.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Longest bundle, in bytes.
    pub max_bytes: u64,
    /// All bundles together, in bytes; more are refused.
    pub max_total_bytes: u64,
    /// Bundles that are kept; more are refused.
    pub max_bundles: u32,
    /// What an upload leaves free on the disk, in bytes: the database is on it too.
    pub keep_free_bytes: u64,
    /// Boxes that download at the same time; the others are told to try again in a moment.
    pub max_downloads: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            // A root file system for Jetson is about 1 GB compressed.
            max_bytes: 4 << 30,
            max_total_bytes: 32 << 30,
            max_bundles: 100,
            keep_free_bytes: 1 << 30,
            // At 2 Mbit/s each these fill a line of 500 Mbit/s.
            max_downloads: 256,
        }
    }
}

impl Config {
    /// # Errors
    /// The key and what is wrong with it.
    pub fn validate(&self) -> Result<(), (&'static str, String)> {
        if self.max_bytes == 0 || self.max_bytes > self.max_total_bytes {
            return Err(("bundles.max_bytes", "is 0 or above bundles.max_total_bytes".to_owned()));
        }
        if self.max_bundles == 0 {
            return Err(("bundles.max_bundles", "must not be 0".to_owned()));
        }
        if self.max_downloads == 0 {
            return Err(("bundles.max_downloads", "must not be 0".to_owned()));
        }
        Ok(())
    }
}

/// Names a bundle: the SHA-256 of its file, in lower-case hexadecimal.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(try_from = "String", into = "String")]
#[schema(value_type = String, pattern = "^[0-9a-f]{64}$")]
pub struct BundleId(String);

impl BundleId {
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    fn of_digest(digest: &[u8]) -> Self {
        Self(digest.iter().map(|byte| format!("{byte:02x}")).collect())
    }
}

impl TryFrom<String> for BundleId {
    type Error = NotABundleId;

    fn try_from(text: String) -> Result<Self, NotABundleId> {
        let hexadecimal = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        if text.len() == 64 && text.bytes().all(hexadecimal) { Ok(Self(text)) } else { Err(NotABundleId) }
    }
}

#[derive(Debug, thiserror::Error)]
#[error("not a SHA-256 of 64 lower-case hexadecimal digits")]
pub struct NotABundleId;

impl From<BundleId> for String {
    fn from(id: BundleId) -> Self {
        id.0
    }
}

impl std::fmt::Display for BundleId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// This area's part of [`crate::App`].
pub struct State {
    dir: PathBuf,
    /// One upload at a time: so the quota is a sum, and a disk has one writer.
    uploading: Semaphore,
    downloading: Arc<Semaphore>,
    stored: Gauge,
    sent: Counter,
}

/// Where bundles are, below the data directory.
#[must_use]
pub fn directory(config: &crate::Config) -> PathBuf {
    config.data_dir.join("bundles")
}

impl State {
    /// Removes what an interrupted upload left behind.
    ///
    /// # Errors
    /// When the directory or the database is not usable.
    pub async fn load(config: &crate::Config, db: &Db, metrics: &Metrics) -> Result<Self, Error> {
        let dir = directory(config);
        let known = db.read(store::ids).await?;
        let failed = |error: std::io::Error| Error::Internal(format!("{}: {error}", dir.display()));
        std::fs::create_dir_all(&dir).map_err(failed)?;
        for entry in std::fs::read_dir(&dir).map_err(failed)? {
            let path = entry.map_err(failed)?.path();
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            if !known.iter().any(|id| id.as_str() == name) {
                log::info!("{}: not a bundle of the database, removed", path.display());
                remove(&path);
            }
        }
        let state = Self {
            dir,
            uploading: Semaphore::new(1),
            downloading: Arc::new(Semaphore::new(config.bundles.max_downloads)),
            stored: Gauge::default(),
            sent: Counter::default(),
        };
        state.stored.set(db.read(store::total_bytes).await?);
        metrics.register(|registry| {
            registry.register(
                "nodi_fleet_bundles_bytes",
                "Bytes of all bundles that are kept",
                state.stored.clone(),
            );
            registry.register(
                "nodi_fleet_bundles_sent_bytes",
                "Bytes of bundles that boxes downloaded",
                state.sent.clone(),
            );
        });
        Ok(state)
    }

    /// Where a bundle's file is.
    #[must_use]
    pub fn path(&self, id: &BundleId) -> PathBuf {
        self.dir.join(id.as_str())
    }
}

fn remove(path: &Path) {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            log::warn!("{}: {error}", path.display());
        }
        _ => {}
    }
}
