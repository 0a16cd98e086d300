//! The spool: how the transcode worker hands finished bytes to the uplink (`docs/interfaces.md`, section 2).
//! Append-only files under one root; one `index` per rendition says what is in them. One process writes a
//! session ([`SessionWriter`]), any number of processes follow it ([`Follower`]), one keeps it within bounds
//! ([`janitor`]). Nothing here knows about playlists, HTTP or boxes of MP4.
//!
//! A crash of either side loses nothing that reached the file. Parts are not fsynced: the page cache survives
//! a process, and a power loss also takes the publisher's connection, so that what it costs is the unsynced
//! tail of a stream that is interrupted anyway, while an fsync per part (three renditions, three parts a
//! second) would wear eMMC and stall on it. [`writer::Options::sync_segments`] syncs whole segments.

mod entry;
pub mod follow;
pub mod janitor;
pub mod layout;
mod session;
mod status;
pub mod writer;

pub use entry::{BadLine, EndReason, Entry, MAX_LINE_LEN};
pub use follow::{Event, Follower};
pub use layout::{RenditionKey, SessionKey};
pub use session::SpoolSession;
pub use status::{
    AudioStatus, Backend, Overload, RungState, RungStatus, SourceStatus, Warning, WorkerState, WorkerStatus,
};
pub use writer::{SessionFiles, SessionWriter};

use std::path::{Path, PathBuf};

/// Why the spool could not be written or read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{path}: {source}")]
    Io { path: PathBuf, source: std::io::Error },
    /// Fewer than the reserved bytes are free, or the file system said that it is full.
    #[error("no space in the spool {path}: {free} bytes free, {reserve} are reserved")]
    NoSpace { path: PathBuf, free: u64, reserve: u64 },
    #[error("{path}: another worker still writes this session")]
    Busy { path: PathBuf },
    /// The caller broke the order that the index promises to its readers.
    #[error("rendition {rendition}: {what}")]
    Order { rendition: String, what: &'static str },
    #[error("{path}: {source}")]
    Json { path: PathBuf, source: serde_json::Error },
}

pub type Result<T> = std::result::Result<T, Error>;

pub(crate) trait AtPath<T> {
    fn at(self, path: &Path) -> Result<T>;
}

impl<T> AtPath<T> for std::io::Result<T> {
    fn at(self, path: &Path) -> Result<T> {
        self.map_err(|source| {
            if source.kind() == std::io::ErrorKind::StorageFull
                || source.kind() == std::io::ErrorKind::QuotaExceeded
            {
                Error::NoSpace { path: path.to_owned(), free: 0, reserve: 0 }
            } else {
                Error::Io { path: path.to_owned(), source }
            }
        })
    }
}

impl<T> AtPath<T> for serde_json::Result<T> {
    fn at(self, path: &Path) -> Result<T> {
        self.map_err(|source| Error::Json { path: path.to_owned(), source })
    }
}

/// How much a process of our rights may still write to the file system that holds `path`, in bytes.
///
/// # Errors
/// When the path does not exist.
pub fn free_space(path: &Path) -> std::io::Result<u64> {
    use std::os::unix::ffi::OsStrExt;
    let path = std::ffi::CString::new(path.as_os_str().as_bytes())?;
    let mut stat = std::mem::MaybeUninit::<libc::statvfs>::uninit();
    #[allow(unsafe_code, reason = "std has no statvfs")]
    // SAFETY: `path` is NUL-terminated and outlives the call; `stat` is read only after the call filled it.
    let stat = unsafe {
        if libc::statvfs(path.as_ptr(), stat.as_mut_ptr()) != 0 {
            return Err(std::io::Error::last_os_error());
        }
        stat.assume_init()
    };
    #[allow(clippy::useless_conversion, reason = "the fields' width differs between targets")]
    Ok(u64::from(stat.f_bavail).saturating_mul(u64::from(stat.f_frsize)))
}

/// Asks how many bytes are free at a path. Passed in, so that tests can run out of space.
pub type FreeSpace = fn(&Path) -> std::io::Result<u64>;
