//! The revocation document: a file that an operator or the fleet's broker may change.
//!
//! The file is what counts, so that a restart while the broker is away forgets nothing. Only while it cannot be
//! written is a newer document held in memory.

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use nodi_protocol::revocation::{self, Revocations};
use tokio::sync::Notify;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{}: {source}", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("{}: {source}", path.display())]
    Document { path: PathBuf, source: revocation::Error },
    #[error("{}: cannot write: {source}", path.display())]
    Write { path: PathBuf, source: io::Error },
}

#[derive(Debug)]
pub(crate) struct Bulletin {
    path: Option<PathBuf>,
    /// What could not be written yet.
    unwritten: Mutex<Option<Revocations>>,
    changed: Arc<Notify>,
}

impl Bulletin {
    pub(crate) fn new(path: Option<PathBuf>) -> Self {
        Self { path, unwritten: Mutex::default(), changed: Arc::default() }
    }

    /// Notified when [`Bulletin::read`] has something new.
    pub(crate) fn changed(&self) -> Arc<Notify> {
        Arc::clone(&self.changed)
    }

    /// The document in force; an empty one while there is none.
    pub(crate) fn read(&self) -> Result<Revocations, Error> {
        let unwritten = self.unwritten.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let file = self.read_file();
        match unwritten {
            // It was newer than the file when it came; only a file that was made newer since wins.
            Some(unwritten) if !file.as_ref().is_ok_and(|file| file.version > unwritten.version) => {
                Ok(unwritten)
            }
            _ => file,
        }
    }

    /// Takes a document from the broker unless what is in force is newer; `false` if it is not taken. It counts even
    /// when this fails: the error says that it would not outlive the process.
    pub(crate) fn take(&self, document: Revocations) -> Result<bool, Error> {
        // An unreadable file has nothing to say about what is newer.
        let held = self.read().unwrap_or_default();
        if !document.replaces(&held) {
            return Ok(false);
        }
        *self.unwritten.lock().unwrap_or_else(PoisonError::into_inner) = Some(document);
        let written = self.write();
        self.changed.notify_one();
        written.map(|()| true)
    }

    /// Writes what is not in the file yet.
    pub(crate) fn write(&self) -> Result<(), Error> {
        let mut unwritten = self.unwritten.lock().unwrap_or_else(PoisonError::into_inner);
        if let (Some(document), Some(path)) = (&*unwritten, &self.path) {
            write_whole(path, document).map_err(|source| Error::Write { path: path.clone(), source })?;
            *unwritten = None;
        }
        Ok(())
    }

    fn read_file(&self) -> Result<Revocations, Error> {
        let Some(path) = &self.path else { return Ok(Revocations::default()) };
        match std::fs::read(path) {
            Ok(bytes) => Revocations::from_json(&bytes)
                .map_err(|source| Error::Document { path: path.clone(), source }),
            // It is written when there is something to revoke.
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Revocations::default()),
            Err(source) => Err(Error::Read { path: path.clone(), source }),
        }
    }
}

/// Readers see the old file or the new one, also after a power cut.
fn write_whole(path: &Path, document: &Revocations) -> io::Result<()> {
    let temporary = path.with_extension("new");
    let mut file = std::fs::File::create(&temporary)?;
    file.write_all(&serde_json::to_vec(document)?)?;
    file.sync_all()?;
    std::fs::rename(&temporary, path)?;
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    std::fs::File::open(parent.unwrap_or(Path::new(".")))?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn document(version: u64, channel: &str) -> Revocations {
        let suspended = [channel.parse().unwrap()].into();
        Revocations { version, suspended, ..Revocations::default() }
    }

    #[test]
    fn the_newest_document_is_kept_in_the_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("revocations.json");
        let bulletin = Bulletin::new(Some(path.clone()));
        assert_eq!(bulletin.read().unwrap(), Revocations::default());
        assert!(bulletin.take(document(5, "a")).unwrap());
        assert!(!bulletin.take(document(4, "b")).unwrap(), "it was late");
        assert!(!bulletin.take(document(5, "a")).unwrap(), "it came again");
        let next = Bulletin::new(Some(path));
        assert_eq!(next.read().unwrap(), document(5, "a"));
        assert!(!next.take(document(4, "b")).unwrap(), "after a restart too");
    }

    #[test]
    fn an_operator_may_change_the_file_until_the_fleet_says_something_newer() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("revocations.json");
        let bulletin = Bulletin::new(Some(path.clone()));
        assert!(bulletin.take(document(5, "a")).unwrap());
        std::fs::write(&path, r#"{"schema":1,"version":5,"min_versions":{"b":9}}"#).unwrap();
        assert_eq!(bulletin.read().unwrap().min_version(&"b".parse().unwrap()), 9);
        assert!(bulletin.take(document(6, "c")).unwrap());
        assert_eq!(bulletin.read().unwrap(), document(6, "c"));
    }

    #[test]
    fn a_document_counts_also_when_it_cannot_be_written() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("later/revocations.json");
        let bulletin = Bulletin::new(Some(path.clone()));
        assert!(matches!(bulletin.take(document(5, "a")), Err(Error::Write { .. })));
        assert_eq!(bulletin.read().unwrap(), document(5, "a"));
        std::fs::create_dir(dir.path().join("later")).unwrap();
        bulletin.write().unwrap();
        assert_eq!(Bulletin::new(Some(path)).read().unwrap(), document(5, "a"));
    }

    #[test]
    fn a_broken_file_does_not_keep_the_fleet_out() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("revocations.json");
        std::fs::write(&path, "nonsense").unwrap();
        let bulletin = Bulletin::new(Some(path));
        assert!(bulletin.read().is_err());
        assert!(bulletin.take(document(5, "a")).unwrap());
        assert_eq!(bulletin.read().unwrap(), document(5, "a"));
    }
}
