//! The bytes of one segment, in memory, readable while they grow.
//!
//! They live in an anonymous file (`memfd_create`) that is also mapped: a plain connection is served with
//! `sendfile` straight from the page cache, everything else reads the mapping. Bytes that were written
//! never change and the file never shrinks.
//!
//! Sending costs the kernel some time per page. Where `hugepages-64kB/shmem_enabled` of
//! `/sys/kernel/mm/transparent_hugepage` is `within_size` (Linux 6.14 and later; `never` by default) the pages
//! are larger and sending is about a tenth cheaper.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use memmap2::{MmapOptions, MmapRaw};
use rustix::fs::MemfdFlags;
use tokio::sync::watch;

/// How far a blob has come.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Progress {
    /// Bytes that are there.
    pub len: u64,
    /// How many there will be; known once the segment is over.
    pub end: Option<u64>,
    /// Nothing will be added and readers that wait should give up.
    pub abandoned: bool,
}

/// Append-only bytes. Dropping the last handle frees them.
#[derive(Debug)]
pub struct Blob {
    file: File,
    map: MmapRaw,
    capacity: u64,
    progress: watch::Sender<Progress>,
    /// Which upload writes: a newer one takes the blob over from one whose connection may be dead.
    writer: AtomicU64,
    /// What the channel holds in all, for its limit.
    held: Arc<AtomicU64>,
}

/// Why bytes could not be added.
#[derive(Debug, thiserror::Error)]
pub enum AppendError {
    #[error("longer than {0} bytes")]
    Full(u64),
    #[error("a newer upload of the same segment took over")]
    TakenOver,
    #[error("no memory: {0}")]
    Io(#[from] io::Error),
}

impl Blob {
    /// An empty blob that can take `capacity` bytes; counts what it holds in `held`.
    ///
    /// # Errors
    /// When the system is out of file descriptors, mappings or memory.
    #[allow(unsafe_code, reason = "mapping a file has no safe form")]
    pub fn new(capacity: u64, held: Arc<AtomicU64>) -> io::Result<Self> {
        let file = File::from(rustix::fs::memfd_create("nodi-segment", MemfdFlags::CLOEXEC)?);
        let len = usize::try_from(capacity).map_err(|_| io::ErrorKind::InvalidInput)?;
        let map = MmapOptions::new().len(len).map_raw_read_only(&file)?;
        Ok(Self {
            file,
            map,
            capacity,
            progress: watch::channel(Progress::default()).0,
            writer: AtomicU64::new(0),
            held,
        })
    }

    #[must_use]
    pub fn len(&self) -> u64 {
        self.progress.borrow().len
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Follows how it grows.
    pub fn follow(&self) -> watch::Receiver<Progress> {
        self.progress.subscribe()
    }

    /// Makes the caller the only one who can [`Blob::append`].
    pub fn take_over(&self) -> u64 {
        self.writer.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// Adds bytes; returns the length before and after.
    ///
    /// # Errors
    /// When `writer` is not the newest [`Blob::take_over`], or there is no room.
    pub fn append(&self, writer: u64, bytes: &[u8]) -> Result<(u64, u64), AppendError> {
        let mut outcome = Err(AppendError::TakenOver);
        // Within the watch's lock, so that two writers cannot interleave.
        self.progress.send_if_modified(|progress| {
            outcome = self.append_locked(writer, bytes, progress);
            outcome.is_ok()
        });
        outcome
    }

    fn append_locked(
        &self,
        writer: u64,
        bytes: &[u8],
        progress: &mut Progress,
    ) -> Result<(u64, u64), AppendError> {
        if self.writer.load(Ordering::Relaxed) != writer {
            return Err(AppendError::TakenOver);
        }
        let before = progress.len;
        let after = before
            .checked_add(bytes.len() as u64)
            .filter(|after| *after <= self.capacity)
            .ok_or(AppendError::Full(self.capacity))?;
        self.file.write_all_at(bytes, before)?;
        self.held.fetch_add(after - before, Ordering::Relaxed);
        progress.len = after;
        Ok((before, after))
    }

    /// Says how long it is in the end; readers that follow it stop there.
    pub fn set_end(&self, end: u64) {
        self.progress.send_if_modified(|progress| {
            let changed = progress.end != Some(end);
            progress.end = Some(end);
            changed
        });
    }

    /// Tells readers that nothing more will come.
    pub fn abandon(&self) {
        self.progress.send_if_modified(|progress| !std::mem::replace(&mut progress.abandoned, true));
    }

    /// `None` unless all bytes of the range are there.
    #[must_use]
    pub fn slice(self: &Arc<Self>, offset: u64, len: u64) -> Option<Slice> {
        let end = offset.checked_add(len)?;
        (end <= self.len()).then(|| Slice { blob: Arc::clone(self), offset, len })
    }
}

impl Drop for Blob {
    fn drop(&mut self) {
        self.held.fetch_sub(self.progress.borrow().len, Ordering::Relaxed);
    }
}

/// A range of a blob's bytes, all there.
#[derive(Debug, Clone)]
pub struct Slice {
    blob: Arc<Blob>,
    offset: u64,
    len: u64,
}

impl Slice {
    /// Without copying.
    #[must_use]
    pub fn bytes(&self) -> Bytes {
        Bytes::from_owner(self.clone())
    }

    #[must_use]
    pub fn len(&self) -> u64 {
        self.len
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// A part of it; `None` if it is not within.
    #[must_use]
    pub fn range(&self, offset: u64, len: u64) -> Option<Self> {
        (offset.checked_add(len)? <= self.len).then(|| Self {
            blob: Arc::clone(&self.blob),
            offset: self.offset + offset,
            len,
        })
    }

    /// The file behind it, and where in that file it starts.
    #[must_use]
    pub fn file(&self) -> (BorrowedFd<'_>, u64) {
        (self.blob.file.as_fd(), self.offset)
    }
}

impl AsRef<[u8]> for Slice {
    #[allow(unsafe_code, reason = "the mapping grows with the file, which no safe type can say")]
    #[allow(
        clippy::cast_possible_truncation,
        reason = "capacity was checked to fit usize when it was mapped"
    )]
    fn as_ref(&self) -> &[u8] {
        // SAFETY: `Blob::slice` and `Slice::range` only make slices of bytes that `append` has written, which
        // is within the mapping since `append` stops at its length. The file is private to this process and is
        // only ever appended to, so that these bytes exist and stay the same as long as the blob lives, which
        // this slice owns a share of.
        unsafe {
            std::slice::from_raw_parts(self.blob.map.as_ptr().add(self.offset as usize), self.len as usize)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn blob(capacity: u64) -> (Arc<Blob>, Arc<AtomicU64>) {
        let held = Arc::new(AtomicU64::new(0));
        (Arc::new(Blob::new(capacity, Arc::clone(&held)).unwrap()), held)
    }

    #[test]
    fn bytes_can_be_read_while_it_grows() {
        let (blob, held) = blob(1 << 20);
        let writer = blob.take_over();
        assert_eq!(blob.append(writer, b"hello ").unwrap(), (0, 6));
        assert!(blob.slice(0, 7).is_none());
        let early = blob.slice(0, 5).unwrap().bytes();
        blob.append(writer, &[b'x'; 10_000]).unwrap();
        assert_eq!(early, "hello");
        assert_eq!(blob.slice(5, 3).unwrap().bytes(), " xx");
        assert_eq!(blob.slice(4, 8).unwrap().range(1, 2).unwrap().bytes(), " x");
        assert_eq!(held.load(Ordering::Relaxed), 10_006);
        drop((early, blob));
        assert_eq!(held.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn capacity_is_a_bound_and_the_newest_writer_wins() {
        let (blob, _) = blob(8);
        let first = blob.take_over();
        blob.append(first, b"1234").unwrap();
        assert!(matches!(blob.append(first, b"56789"), Err(AppendError::Full(8))));
        let second = blob.take_over();
        assert!(matches!(blob.append(first, b"x"), Err(AppendError::TakenOver)));
        assert_eq!(blob.append(second, b"5678").unwrap(), (4, 8));
    }
}
