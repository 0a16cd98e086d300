//! Follows all sessions of a spool. inotify only says *where* something changed; what changed is read from the files,
//! from the position that was reached before. A watch is added before the first look, so that nothing falls between;
//! a lost inotify event (queue overflow) costs one look at everything and no content.
//!
//! Never blocks. The descriptor is readable when [`Follower::read`] has something to do:
//!
//! ```no_run
//! # fn readable(_: &nodi_spool::Follower) {}
//! # fn handle(_: nodi_spool::Event) {}
//! let mut follower = nodi_spool::Follower::open("/var/spool/nodi".as_ref(), |_| 0)?;
//! loop {
//!     let events = follower.read(256)?;
//!     if events.is_empty() {
//!         readable(&follower); // with tokio: an `AsyncFd<Follower>`, and `clear_ready` after an empty read
//!     }
//!     events.into_iter().for_each(handle);
//! }
//! # Ok::<(), nodi_spool::Error>(())
//! ```

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

use inotify::{EventMask, Inotify, WatchDescriptor, WatchMask};
use nodi_protocol::{ChannelId, RenditionName, SessionId};

use crate::layout::{RenditionKey, SessionKey};
use crate::{AtPath, BadLine, Entry, MAX_LINE_LEN, Result, SpoolSession, layout};

/// Bytes of an index that one look takes: some 500 lines, so that one long index cannot keep the others waiting.
const READ_LEN: usize = 64 << 10;
/// Bytes of inotify events that one look takes.
const EVENTS_LEN: usize = 16 << 10;
/// Largest `session.json` that is read: 100 renditions take a third of it.
const MAX_SESSION_LEN: u64 = 64 << 10;

/// Something new in the spool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// `session.json` is there, or was replaced.
    Session(Box<SpoolSession>),
    /// `status.json` is there, or was replaced.
    Status(SessionKey),
    /// `thumbnail.jpg` is there, or was replaced.
    Thumbnail(SessionKey),
    /// One line of an index. `end` is the offset of the next line: where a later follower may start.
    Entry { key: RenditionKey, entry: Entry, end: u64 },
    /// A line that a crash tore or that is damaged; it was skipped.
    BadLine { key: RenditionKey, error: BadLine, end: u64 },
    /// The session's directory is gone.
    SessionRemoved(SessionKey),
}

/// A place in the tree that a watch reports on and that can be looked at again.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Place {
    Root,
    Channel(ChannelId),
    Session(SessionKey),
    Rendition(RenditionKey),
    Index(RenditionKey),
}

/// Reads what is new under one root.
pub struct Follower {
    root: PathBuf,
    start: Box<dyn FnMut(&RenditionKey) -> u64 + Send>,
    inotify: Inotify,
    watches: HashMap<WatchDescriptor, Place>,
    /// Places to look at, each at most once.
    due: VecDeque<Place>,
    tree: BTreeMap<ChannelId, BTreeMap<SessionId, Session>>,
    /// Looked at but not handed out yet; bounded by one look.
    ready: VecDeque<Event>,
}

#[derive(Debug, Default)]
struct Session {
    /// Nobody wants to hear of it any more.
    released: bool,
    session: Stamp,
    status: Stamp,
    thumbnail: Stamp,
    renditions: BTreeMap<RenditionName, Tail>,
}

/// Tells one version of a file that is replaced by rename from another: inode, size, and mtime in ns.
type Stamp = Option<(u64, u64, i64, i64)>;

#[derive(Debug)]
struct Tail {
    watched: bool,
    offset: u64,
    /// In a line that is too long: everything up to the next newline is dropped.
    skipping: bool,
}

impl Follower {
    /// Starts to follow `root`, which is made if it is not there. `start` is asked once per rendition for the offset in
    /// its index from which to read: 0, or an `end` from an earlier run.
    ///
    /// # Errors
    /// When the root cannot be made or inotify is not available.
    pub fn open(root: &Path, start: impl FnMut(&RenditionKey) -> u64 + Send + 'static) -> Result<Self> {
        fs::create_dir_all(root).at(root)?;
        let mut follower = Self {
            root: root.to_owned(),
            start: Box::new(start),
            inotify: Inotify::init().at(root)?,
            watches: HashMap::new(),
            due: VecDeque::new(),
            tree: BTreeMap::new(),
            ready: VecDeque::new(),
        };
        follower.watch(Place::Root)?;
        Ok(follower)
    }

    /// What is new, at most about `max` events; empty when there is nothing until the descriptor is readable.
    ///
    /// # Errors
    /// `Io` when the root itself is gone or watches have run out (`fs.inotify.max_user_watches`).
    pub fn read(&mut self, max: usize) -> Result<Vec<Event>> {
        self.take_notifications()?;
        while self.ready.len() < max
            && let Some(place) = self.due.pop_front()
        {
            self.look(place)?;
        }
        let count = max.min(self.ready.len());
        Ok(self.ready.drain(..count).collect())
    }

    /// Nothing more is wanted of this session, also if it is still written; until its directory is gone.
    pub fn release(&mut self, key: &SessionKey) {
        let Some(session) = self.tree.get_mut(&key.channel).and_then(|all| all.get_mut(&key.session)) else {
            return;
        };
        *session = Session { released: true, ..Session::default() };
        let of_session = |place: &Place| match place {
            Place::Session(of) => of == key,
            Place::Rendition(of) | Place::Index(of) => of.channel == key.channel && of.session == key.session,
            Place::Root | Place::Channel(_) => false,
        };
        let obsolete: Vec<_> =
            self.watches.iter().filter(|(_, place)| of_session(place)).map(|(wd, _)| wd.clone()).collect();
        for watch in obsolete {
            self.watches.remove(&watch);
            // Fails when the directory went away at this moment: the kernel removed the watch itself.
            let _ = self.inotify.watches().remove(watch);
        }
        self.due.retain(|place| !of_session(place));
    }

    fn take_notifications(&mut self) -> Result<()> {
        let mut buffer = [0; EVENTS_LEN];
        loop {
            let events = match self.inotify.read_events(&mut buffer) {
                Ok(events) => events,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error).at(&self.root),
            };
            for event in events {
                if event.mask.contains(EventMask::Q_OVERFLOW) {
                    log::warn!("inotify lost events: looking at the whole spool");
                    self.due = self.watches.values().cloned().collect();
                } else if event.mask.contains(EventMask::IGNORED) {
                    self.watches.remove(&event.wd);
                } else if let Some(place) = self.watches.get(&event.wd)
                    && concerns(place, event.name)
                    && !self.due.contains(place)
                {
                    self.due.push_back(place.clone());
                }
            }
        }
    }

    /// Watches a place and puts it up for a first look.
    fn watch(&mut self, place: Place) -> Result<bool> {
        let path = self.path(&place);
        let children = WatchMask::CREATE | WatchMask::MOVED_TO | WatchMask::ONLYDIR;
        let mask = match &place {
            Place::Root | Place::Channel(_) => children | WatchMask::DELETE | WatchMask::MOVED_FROM,
            Place::Session(_) | Place::Rendition(_) => children,
            Place::Index(_) => WatchMask::MODIFY,
        };
        match self.inotify.watches().add(&path, mask) {
            Ok(watch) => {
                self.watches.insert(watch, place.clone());
                self.due.push_back(place);
                Ok(true)
            }
            // Removed since it was listed; or not a directory and none of ours.
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
                Ok(false)
            }
            Err(error) => Err(error).at(&path),
        }
    }

    fn path(&self, place: &Place) -> PathBuf {
        match place {
            Place::Root => self.root.clone(),
            Place::Channel(channel) => self.root.join(channel.as_str()),
            Place::Session(key) => key.dir(&self.root),
            Place::Rendition(key) => key.dir(&self.root),
            Place::Index(key) => key.dir(&self.root).join(layout::INDEX),
        }
    }

    fn look(&mut self, place: Place) -> Result<()> {
        match place {
            Place::Root => self.look_at_root(),
            Place::Channel(channel) => self.look_at_channel(&channel),
            Place::Session(key) => self.look_at_session(&key),
            Place::Rendition(key) => self.look_at_rendition(&key),
            Place::Index(key) => self.look_at_index(key),
        }
    }

    fn look_at_root(&mut self) -> Result<()> {
        let there: BTreeSet<ChannelId> = names(&self.root)?.unwrap_or_default();
        let gone: Vec<_> = self.tree.keys().filter(|channel| !there.contains(channel)).cloned().collect();
        for channel in gone {
            for session in self.tree.remove(&channel).unwrap_or_default().into_keys() {
                let key = SessionKey { channel: channel.clone(), session };
                self.ready.push_back(Event::SessionRemoved(key));
            }
        }
        for channel in there {
            if !self.tree.contains_key(&channel) && self.watch(Place::Channel(channel.clone()))? {
                self.tree.insert(channel, BTreeMap::new());
            }
        }
        Ok(())
    }

    fn look_at_channel(&mut self, channel: &ChannelId) -> Result<()> {
        let there: BTreeSet<SessionId> = names(&self.root.join(channel.as_str()))?.unwrap_or_default();
        let Some(known) = self.tree.get_mut(channel) else {
            return Ok(());
        };
        let gone: Vec<_> = known.keys().filter(|session| !there.contains(session)).copied().collect();
        let new: Vec<_> = there.into_iter().filter(|session| !known.contains_key(session)).collect();
        for session in gone {
            known.remove(&session);
            self.ready.push_back(Event::SessionRemoved(SessionKey { channel: channel.clone(), session }));
        }
        for session in new {
            if self.watch(Place::Session(SessionKey { channel: channel.clone(), session }))?
                && let Some(known) = self.tree.get_mut(channel)
            {
                known.insert(session, Session::default());
            }
        }
        Ok(())
    }

    fn look_at_session(&mut self, key: &SessionKey) -> Result<()> {
        let dir = key.dir(&self.root);
        let Some(session) = self.tree.get_mut(&key.channel).and_then(|all| all.get_mut(&key.session)) else {
            return Ok(());
        };
        if session.released {
            return Ok(());
        }
        if changed(&mut session.session, &dir.join(layout::SESSION)) {
            match read_session(&dir.join(layout::SESSION)) {
                Ok(description) => self.ready.push_back(Event::Session(Box::new(description))),
                Err(error) => {
                    log::warn!(session:% = key.session, error:%; "cannot read the session's description")
                }
            }
        }
        if changed(&mut session.status, &dir.join(layout::STATUS)) {
            self.ready.push_back(Event::Status(key.clone()));
        }
        if changed(&mut session.thumbnail, &dir.join(layout::THUMBNAIL)) {
            self.ready.push_back(Event::Thumbnail(key.clone()));
        }
        let there: BTreeSet<RenditionName> = names(&dir)?.unwrap_or_default();
        for rendition in there {
            let known = |follower: &Self| {
                follower.session(key).is_some_and(|session| session.renditions.contains_key(&rendition))
            };
            let key = key.rendition(rendition.clone());
            if known(self)
                || !dir.join(rendition.as_str()).is_dir()
                || !self.watch(Place::Rendition(key.clone()))?
            {
                continue;
            }
            let tail = Tail { watched: false, offset: (self.start)(&key), skipping: false };
            if let Some(session) = self.session_mut(&key) {
                session.renditions.insert(rendition, tail);
            }
        }
        Ok(())
    }

    fn look_at_rendition(&mut self, key: &RenditionKey) -> Result<()> {
        let unwatched = self.tail(key).is_some_and(|tail| !tail.watched);
        if unwatched
            && self.watch(Place::Index(key.clone()))?
            && let Some(tail) = self.tail(key)
        {
            tail.watched = true;
        }
        Ok(())
    }

    fn look_at_index(&mut self, key: RenditionKey) -> Result<()> {
        let path = self.path(&Place::Index(key.clone()));
        let Some(tail) = self.tail(&key) else {
            return Ok(());
        };
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(error).at(&path),
        };
        if tail.offset > file.metadata().at(&path)?.len() {
            // Not the file that the offset came from. What the consumer knows already it gets again.
            log::warn!(path:% = path.display(), offset = tail.offset; "the index is shorter than it was: reading it anew");
            tail.offset = 0;
        }
        let mut buffer = vec![0; READ_LEN];
        let len = read_at(&file, &mut buffer, tail.offset).at(&path)?;
        let mut rest = buffer.get(..len).unwrap_or_default();
        let mut found = Vec::new();
        while let Some(newline) = rest.iter().position(|byte| *byte == b'\n') {
            let (line, after) = rest.split_at(newline);
            rest = after.get(1..).unwrap_or_default();
            tail.offset += newline as u64 + 1;
            let end = tail.offset;
            let key = key.clone();
            if std::mem::take(&mut tail.skipping) {
                found.push(Event::BadLine { key, error: BadLine::TooLong, end });
            } else if !line.is_empty() {
                found.push(match Entry::parse(line) {
                    Ok(entry) => Event::Entry { key, entry, end },
                    Err(error) => Event::BadLine { key, error, end },
                });
            }
        }
        if rest.len() > MAX_LINE_LEN || (tail.skipping && !rest.is_empty()) {
            tail.skipping = true;
            tail.offset += rest.len() as u64;
        }
        self.ready.extend(found);
        if len == READ_LEN && !self.due.contains(&Place::Index(key.clone())) {
            self.due.push_back(Place::Index(key));
        }
        Ok(())
    }

    fn session(&self, key: &SessionKey) -> Option<&Session> {
        self.tree.get(&key.channel)?.get(&key.session)
    }

    fn session_mut(&mut self, key: &RenditionKey) -> Option<&mut Session> {
        self.tree.get_mut(&key.channel)?.get_mut(&key.session)
    }

    fn tail(&mut self, key: &RenditionKey) -> Option<&mut Tail> {
        self.session_mut(key)?.renditions.get_mut(&key.rendition)
    }
}

impl std::fmt::Debug for Follower {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Follower").field("root", &self.root).finish_non_exhaustive()
    }
}

impl AsFd for Follower {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.inotify.as_fd()
    }
}

impl AsRawFd for Follower {
    fn as_raw_fd(&self) -> RawFd {
        self.inotify.as_raw_fd()
    }
}

/// Whether a change of the child `name` can matter: a rendition's directory gets a file for each segment.
fn concerns(place: &Place, name: Option<&OsStr>) -> bool {
    let name = name.map(OsStr::as_encoded_bytes).unwrap_or_default();
    match place {
        Place::Root | Place::Channel(_) | Place::Index(_) => true,
        Place::Session(_) => !name.ends_with(layout::TEMPORARY.as_bytes()),
        Place::Rendition(_) => name == layout::INDEX.as_bytes(),
    }
}

/// The children of a directory that are named like a `T`; `None` if it is gone.
fn names<T: std::str::FromStr + Ord>(dir: &Path) -> Result<Option<BTreeSet<T>>> {
    let items = match fs::read_dir(dir) {
        Ok(items) => items,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error).at(dir),
    };
    let mut names = BTreeSet::new();
    for item in items {
        if let Some(name) = item.at(dir)?.file_name().to_str().and_then(|name| name.parse().ok()) {
            names.insert(name);
        }
    }
    Ok(Some(names))
}

fn changed(stamp: &mut Stamp, path: &Path) -> bool {
    let now = fs::metadata(path).ok().map(|meta| (meta.ino(), meta.len(), meta.mtime(), meta.mtime_nsec()));
    let changed = now.is_some() && now != *stamp;
    *stamp = now;
    changed
}

fn read_session(path: &Path) -> Result<SpoolSession> {
    if fs::metadata(path).at(path)?.len() > MAX_SESSION_LEN {
        return Err(io::Error::from(io::ErrorKind::FileTooLarge)).at(path);
    }
    serde_json::from_slice(&fs::read(path).at(path)?).at(path)
}

fn read_at(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    let mut filled = 0;
    while let Some(rest) = buffer.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match file.read_at(rest, offset + filled as u64) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}
