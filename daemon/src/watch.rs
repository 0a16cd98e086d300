//! Files that take effect when they change: looked at a few times a second instead of watched, because
//! that works the same for files written in place, replaced by rename, or reached through links that
//! are switched over, and has no events to lose.

use std::fmt::Display;
use std::io::{self, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::sync::{Notify, watch};

/// How often files are looked at: a revocation takes effect within 2 s, with room for a busy machine.
pub const PERIOD: Duration = Duration::from_millis(500);
/// A change this young may be followed by another one with the same time stamp and length.
const UNSETTLED: Duration = Duration::from_secs(2);
/// Largest file that is read: a revocation document with 100,000 channels is below 5 MiB.
const LARGEST: u64 = 16 << 20;

/// What a look at a file finds.
#[derive(Debug)]
pub enum Look {
    Same,
    Changed(Vec<u8>),
    Missing,
    Failed(io::Error),
}

/// One file, and what was last seen of it.
#[derive(Debug)]
pub struct WatchedFile {
    path: PathBuf,
    seen: Seen,
}

#[derive(Debug)]
enum Seen {
    Nothing,
    Missing,
    Failed(io::ErrorKind),
    Contents { stamp: Stamp, contents: Vec<u8> },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    device: u64,
    inode: u64,
    len: u64,
    modified: (i64, i64),
}

impl WatchedFile {
    #[must_use]
    pub fn new(path: &Path) -> Self {
        Self { path: path.to_owned(), seen: Seen::Nothing }
    }

    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Blocks for as long as a small read takes. A state that goes on is told once.
    pub fn look(&mut self) -> Look {
        match self.read() {
            Ok(None) => Look::Same,
            Ok(Some((stamp, contents))) => {
                let same = matches!(&self.seen, Seen::Contents { contents: seen, .. } if *seen == contents);
                self.seen = Seen::Contents { stamp, contents: contents.clone() };
                if same { Look::Same } else { Look::Changed(contents) }
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                match std::mem::replace(&mut self.seen, Seen::Missing) {
                    Seen::Missing => Look::Same,
                    _ => Look::Missing,
                }
            }
            Err(error) => match std::mem::replace(&mut self.seen, Seen::Failed(error.kind())) {
                Seen::Failed(kind) if kind == error.kind() => Look::Same,
                _ => Look::Failed(error),
            },
        }
    }

    /// `None`: certainly the contents seen before.
    fn read(&self) -> io::Result<Option<(Stamp, Vec<u8>)>> {
        let mut file = std::fs::File::open(&self.path)?;
        let metadata = file.metadata()?;
        let stamp = Stamp {
            device: metadata.dev(),
            inode: metadata.ino(),
            len: metadata.len(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
        };
        if let Seen::Contents { stamp: seen, .. } = &self.seen
            && *seen == stamp
            && metadata
                .modified()
                .ok()
                .and_then(|modified| SystemTime::now().duration_since(modified).ok())
                .is_some_and(|age| age >= UNSETTLED)
        {
            return Ok(None);
        }
        if stamp.len > LARGEST {
            return Err(io::Error::new(
                io::ErrorKind::FileTooLarge,
                format!("{} bytes, more than {LARGEST}", stamp.len),
            ));
        }
        let mut contents = Vec::new();
        file.by_ref().take(LARGEST).read_to_end(&mut contents)?;
        Ok(Some((stamp, contents)))
    }
}

/// Follows `files` for ever: whenever one changes, what `read` makes of all of them replaces the value. A version
/// that cannot be read leaves the old value and a warning.
pub async fn follow<T, E: Display>(
    what: &'static str,
    files: Vec<PathBuf>,
    read: impl Fn() -> Result<T, E>,
    value: watch::Sender<Arc<T>>,
) {
    follow_or_when(what, files, Arc::default(), read, value).await;
}

/// [`follow`] for a value that is made of more than files: it is read anew at each notification too.
pub async fn follow_or_when<T, E: Display>(
    what: &'static str,
    files: Vec<PathBuf>,
    changed_elsewhere: Arc<Notify>,
    read: impl Fn() -> Result<T, E>,
    value: watch::Sender<Arc<T>>,
) {
    let mut files: Vec<_> = files.iter().map(|path| WatchedFile::new(path)).collect();
    // What was read before the first look may be older than what is there now: the first look reads again.
    let mut first = true;
    let mut notified = false;
    loop {
        // Each is looked at: `any` would stop at the first change and find the second one in the next turn.
        let changed =
            files.iter_mut().filter_map(|file| (!matches!(file.look(), Look::Same)).then_some(())).count();
        if changed > 0 || notified {
            match read() {
                Ok(new) => {
                    value.send_replace(Arc::new(new));
                    if !first {
                        log::info!("{what}: read again");
                    }
                }
                Err(error) => log::warn!("{what}: still using the previous version: {error}"),
            }
        }
        first = false;
        notified = tokio::time::timeout(PERIOD, changed_elsewhere.notified()).await.is_ok();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_state_is_told_once() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        let mut file = WatchedFile::new(&path);
        assert!(matches!(file.look(), Look::Missing));
        assert!(matches!(file.look(), Look::Same));
        std::fs::write(&path, "one").unwrap();
        assert!(matches!(file.look(), Look::Changed(contents) if contents == b"one"));
        assert!(matches!(file.look(), Look::Same));
        // The same length, and within one tick of the file system's clock.
        std::fs::write(&path, "two").unwrap();
        assert!(matches!(file.look(), Look::Changed(contents) if contents == b"two"));
        std::fs::remove_file(&path).unwrap();
        assert!(matches!(file.look(), Look::Missing));
        std::fs::create_dir(&path).unwrap();
        assert!(matches!(file.look(), Look::Failed(_)));
        assert!(matches!(file.look(), Look::Same));
    }

    #[test]
    fn a_link_that_is_switched_over_is_a_change() {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        std::fs::write(at("one"), "one").unwrap();
        std::fs::write(at("two"), "two").unwrap();
        std::os::unix::fs::symlink(at("one"), at("current")).unwrap();
        let mut file = WatchedFile::new(&at("current"));
        assert!(matches!(file.look(), Look::Changed(_)));
        std::os::unix::fs::symlink(at("two"), at("next")).unwrap();
        std::fs::rename(at("next"), at("current")).unwrap();
        assert!(matches!(file.look(), Look::Changed(contents) if contents == b"two"));
    }

    #[tokio::test]
    async fn a_bad_version_leaves_the_one_before() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("number");
        std::fs::write(&path, "1").unwrap();
        let (value, mut seen) = watch::channel(Arc::new(0_u32));
        let read = {
            let path = path.clone();
            move || -> Result<u32, String> {
                std::fs::read_to_string(&path)
                    .map_err(|e| e.to_string())?
                    .parse()
                    .map_err(|_| "no number".to_owned())
            }
        };
        let task = tokio::spawn(follow("number", vec![path.clone()], read, value));
        seen.wait_for(|value| **value == 1).await.unwrap();
        std::fs::write(&path, "x").unwrap();
        tokio::time::sleep(PERIOD + PERIOD / 2).await;
        std::fs::write(&path, "3").unwrap();
        seen.changed().await.unwrap();
        assert_eq!(**seen.borrow(), 3, "nothing was made of the bad one");
        task.abort();
    }
}
