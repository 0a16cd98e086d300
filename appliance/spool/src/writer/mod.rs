//! Writes one session: bytes first, then the index line that names them.

mod recover;

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{IoSlice, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nodi_protocol::{ChannelId, Rendition, RenditionName, SessionId};

use crate::{AtPath, EndReason, Entry, Error, FreeSpace, Result, SpoolSession, WorkerStatus, layout};

/// Default of [`Options::min_free_bytes`]: what the rest of the box (logs, databases, the next session's first
/// segments) needs so that a full spool stops one stream and not the machine.
pub const MIN_FREE_BYTES: u64 = 256 << 20;

/// Default of [`Options::lock_wait`]: how long a new worker waits for the one before it to let go of the session: a worker that lost its input still
/// drains its encoders. Beyond that it hangs, and two writers would interleave their lines.
pub const LOCK_WAIT: Duration = Duration::from_secs(5);
const LOCK_POLL: Duration = Duration::from_millis(20);

#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// A segment is opened only when at least this much is free.
    pub min_free_bytes: u64,
    /// Sync each segment and its index when it is complete.
    pub sync_segments: bool,
    pub free_space: FreeSpace,
    /// How long to wait for another worker of the session to end.
    pub lock_wait: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            min_free_bytes: MIN_FREE_BYTES,
            sync_segments: false,
            free_space: crate::free_space,
            lock_wait: LOCK_WAIT,
        }
    }
}

/// How a segment starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Open {
    pub seq: u64,
    pub discontinuity: bool,
    /// Media time since the session's start.
    pub start_ns: u64,
    /// Wall clock of its first frame, in milliseconds since the Unix epoch.
    pub wall_ms: u64,
}

/// What an earlier worker of the session left behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Resumed {
    /// The highest sequence number that any rendition opened, + 1.
    pub next_seq: u64,
    /// End of the newest media that any rendition holds, in nanoseconds since the session's start.
    pub media_ns: u64,
}

/// The one writer of a session. Holds a lock on its directory.
#[derive(Debug)]
pub struct SessionWriter {
    channel: ChannelId,
    session: SessionId,
    options: Options,
    files: SessionFiles,
    renditions: BTreeMap<RenditionName, RenditionWriter>,
    resumed: Option<Resumed>,
    promised: Promised,
    _lock: File,
}

/// The longest durations that `session.json` ever named. They never go down within a session: what was cut before a
/// change of the source is still in the playlists.
#[derive(Debug, Clone, Copy, Default)]
struct Promised {
    target_duration_s: u32,
    part_target_ns: u64,
}

#[derive(Debug)]
struct RenditionWriter {
    dir: PathBuf,
    index: Index,
    next_init: u32,
    segment: Option<Segment>,
    ended: bool,
}

#[derive(Debug)]
struct Segment {
    seq: u64,
    path: PathBuf,
    file: File,
    len: u64,
    parts: u32,
    duration_ns: u64,
}

impl SessionWriter {
    /// Opens the session's directory, makes it if it is not there, and finishes what a crashed worker left open.
    ///
    /// # Errors
    /// `NoSpace` when less than the reserve is free, `Busy` when another worker does not let go, `Io`.
    pub fn open(root: &Path, channel: &ChannelId, session: SessionId, options: Options) -> Result<Self> {
        let dir = layout::session_dir(root, channel, session);
        fs::create_dir_all(&dir).at(&dir)?;
        check_space(&dir, &options)?;
        let lock = lock(&dir, options.lock_wait)?;
        let (renditions, resumed) = recover::renditions(&dir)?;
        if let Some(resumed) = resumed {
            log::warn!(channel:%, session:%, seq = resumed.next_seq, media_ns = resumed.media_ns;
                "going on with a session that another worker left");
        }
        let promised = promised(&dir);
        let files = SessionFiles { dir };
        let channel = channel.clone();
        Ok(Self { channel, session, options, files, renditions, resumed, promised, _lock: lock })
    }

    #[must_use]
    pub fn channel(&self) -> &ChannelId {
        &self.channel
    }

    #[must_use]
    pub fn session(&self) -> SessionId {
        self.session
    }

    /// `None` for a session that starts here.
    #[must_use]
    pub fn resumed(&self) -> Option<Resumed> {
        self.resumed
    }

    /// The renditions that exist and have not ended.
    pub fn active(&self) -> impl Iterator<Item = &RenditionName> {
        self.renditions.iter().filter(|(_, rendition)| !rendition.ended).map(|(name, _)| name)
    }

    /// For the files beside the renditions, from any thread.
    #[must_use]
    pub fn files(&self) -> SessionFiles {
        self.files.clone()
    }

    /// Replaces `session.json`; durations stay at the longest that the session ever had. Readers may take it for true as soon as it is there: write the initialisation
    /// sections of all renditions first.
    ///
    /// # Errors
    /// `NoSpace`, `Io`.
    pub fn describe(
        &mut self,
        renditions: Vec<Rendition>,
        target_duration_s: u32,
        part_target_ns: u64,
    ) -> Result<()> {
        self.promised.target_duration_s = target_duration_s.max(self.promised.target_duration_s);
        self.promised.part_target_ns = part_target_ns.max(self.promised.part_target_ns);
        let Promised { target_duration_s, part_target_ns } = self.promised;
        let description = SpoolSession {
            channel: self.channel.clone(),
            session: self.session,
            renditions,
            target_duration_s,
            part_target_ns,
        };
        let path = self.files.dir.join(layout::SESSION);
        self.files.replace(layout::SESSION, &serde_json::to_vec(&description).at(&path)?)
    }

    /// Writes an initialisation section and answers its number within the rendition. Makes the rendition, or brings
    /// it back after its end.
    ///
    /// # Errors
    /// `Order` in the middle of a segment, `NoSpace`, `Io`.
    pub fn init(&mut self, description: &Rendition, section: &[u8]) -> Result<u32> {
        let name = &description.name;
        if !self.renditions.contains_key(name) {
            let rendition = RenditionWriter::create(self.files.dir.join(name.as_str()))?;
            self.renditions.insert(name.clone(), rendition);
        }
        let rendition = find(&mut self.renditions, name)?;
        if rendition.segment.is_some() {
            return Err(order(name, "a new initialisation section inside a segment"));
        }
        let init = rendition.next_init;
        replace(&rendition.dir, &layout::init(init), section)?;
        rendition.index.append(&Entry::Init { init, rendition: description.clone() })?;
        rendition.next_init = init.saturating_add(1);
        rendition.ended = false;
        Ok(init)
    }

    /// Opens a segment with the newest initialisation section.
    ///
    /// # Errors
    /// `NoSpace` when less than the reserve is free, `Order`, `Io`.
    pub fn open_segment(&mut self, name: &RenditionName, open: Open) -> Result<()> {
        let rendition = find(&mut self.renditions, name)?;
        if rendition.ended {
            return Err(order(name, "a segment after the end"));
        }
        if rendition.segment.is_some() {
            return Err(order(name, "a segment inside a segment"));
        }
        let Some(init) = rendition.next_init.checked_sub(1) else {
            return Err(order(name, "a segment before the initialisation section"));
        };
        check_space(&rendition.dir, &self.options)?;
        let Open { seq, discontinuity, start_ns, wall_ms } = open;
        let path = rendition.dir.join(layout::segment(seq));
        // A number is never used twice: readers may hold the first file's bytes for true.
        let file = OpenOptions::new().write(true).create_new(true).open(&path).at(&path)?;
        rendition.index.append(&Entry::Open { seq, init, discontinuity, start_ns, wall_ms })?;
        rendition.segment = Some(Segment { seq, path, file, len: 0, parts: 0, duration_ns: 0 });
        Ok(())
    }

    /// Appends one part to the open segment: all of `slices` in one vectored write. Consumes the slices.
    ///
    /// # Errors
    /// `Order` without an open segment; `NoSpace` or `Io`, after which the part is not there.
    pub fn part(
        &mut self,
        name: &RenditionName,
        slices: &mut [IoSlice<'_>],
        duration_ns: u64,
        independent: bool,
    ) -> Result<()> {
        let rendition = find(&mut self.renditions, name)?;
        let Some(segment) = &mut rendition.segment else {
            return Err(order(name, "a part outside a segment"));
        };
        let len = slices.iter().map(|slice| slice.len() as u64).sum::<u64>();
        let part = Entry::Part {
            seq: segment.seq,
            part: segment.parts,
            offset: segment.len,
            len,
            duration_ns,
            independent,
        };
        let written = write_all_vectored(&segment.file, slices)
            .at(&segment.path)
            .and_then(|()| rendition.index.append(&part));
        if let Err(error) = written {
            // Takes back bytes that no line names, which also makes room for the lines that end the session.
            let _ = segment.file.set_len(segment.len);
            return Err(error);
        }
        segment.len += len;
        segment.parts += 1;
        segment.duration_ns += duration_ns;
        Ok(())
    }

    /// Completes the open segment. `duration_ns` is the distance to the next boundary; it is more than the parts add
    /// up to where frames are missing.
    ///
    /// # Errors
    /// `Order` without an open segment, `NoSpace`, `Io`.
    pub fn close_segment(&mut self, name: &RenditionName, duration_ns: u64) -> Result<()> {
        let rendition = find(&mut self.renditions, name)?;
        let Some(segment) = rendition.segment.take() else {
            return Err(order(name, "the end of a segment that is not open"));
        };
        let sync = self.options.sync_segments;
        if sync {
            segment.file.sync_data().at(&segment.path)?;
        }
        rendition.index.append(&Entry::Segment { seq: segment.seq, len: segment.len, duration_ns })?;
        if sync { rendition.index.sync() } else { Ok(()) }
    }

    /// Ends a rendition; a segment that is still open is closed with what it holds. Once is enough.
    ///
    /// # Errors
    /// `Order` for a rendition that never was, `NoSpace`, `Io`.
    pub fn end(&mut self, name: &RenditionName, reason: EndReason) -> Result<()> {
        let rendition = find(&mut self.renditions, name)?;
        if rendition.ended {
            return Ok(());
        }
        let open = rendition.segment.as_ref().map(|segment| segment.duration_ns);
        if let Some(duration_ns) = open {
            self.close_segment(name, duration_ns)?;
        }
        let rendition = find(&mut self.renditions, name)?;
        rendition.ended = true;
        rendition.index.append(&Entry::End { reason })
    }
}

impl RenditionWriter {
    fn create(dir: PathBuf) -> Result<Self> {
        fs::create_dir_all(&dir).at(&dir)?;
        let index = Index::open(dir.join(layout::INDEX))?;
        Ok(Self { dir, index, next_init: 0, segment: None, ended: false })
    }
}

/// `status.json` and `thumbnail.jpg`: replaced whole, and independent of the media.
#[derive(Debug, Clone)]
pub struct SessionFiles {
    dir: PathBuf,
}

impl SessionFiles {
    /// # Errors
    /// `NoSpace`, `Io`.
    pub fn write_status(&self, status: &WorkerStatus) -> Result<()> {
        let path = self.dir.join(layout::STATUS);
        self.replace(layout::STATUS, &serde_json::to_vec(status).at(&path)?)
    }

    /// # Errors
    /// `NoSpace`, `Io`.
    pub fn write_thumbnail(&self, jpeg: &[u8]) -> Result<()> {
        self.replace(layout::THUMBNAIL, jpeg)
    }

    fn replace(&self, name: &str, bytes: &[u8]) -> Result<()> {
        replace(&self.dir, name, bytes)
    }
}

/// The index file of one rendition, open for appending whole lines.
#[derive(Debug)]
struct Index {
    path: PathBuf,
    file: File,
    len: u64,
}

impl Index {
    fn open(path: PathBuf) -> Result<Self> {
        let file = OpenOptions::new().append(true).create(true).open(&path).at(&path)?;
        let len = file.metadata().at(&path)?.len();
        Ok(Self { path, file, len })
    }

    fn append(&mut self, entry: &Entry) -> Result<()> {
        let line = entry.to_line().at(&self.path)?;
        self.append_bytes(&line)
    }

    fn append_bytes(&mut self, line: &[u8]) -> Result<()> {
        if let Err(error) = self.file.write_all(line) {
            // Half a line would swallow the next one.
            let _ = self.file.set_len(self.len);
            return Err(error).at(&self.path);
        }
        self.len += line.len() as u64;
        Ok(())
    }

    fn sync(&self) -> Result<()> {
        self.file.sync_data().at(&self.path)
    }
}

fn find<'a>(
    renditions: &'a mut BTreeMap<RenditionName, RenditionWriter>,
    name: &RenditionName,
) -> Result<&'a mut RenditionWriter> {
    renditions.get_mut(name).ok_or_else(|| order(name, "no initialisation section yet"))
}

fn order(name: &RenditionName, what: &'static str) -> Error {
    Error::Order { rendition: name.to_string(), what }
}

fn check_space(path: &Path, options: &Options) -> Result<()> {
    let free = (options.free_space)(path).at(path)?;
    if free < options.min_free_bytes {
        return Err(Error::NoSpace { path: path.to_owned(), free, reserve: options.min_free_bytes });
    }
    Ok(())
}

/// What an earlier worker said, if it came to say anything.
fn promised(dir: &Path) -> Promised {
    let description = fs::read(dir.join(layout::SESSION))
        .ok()
        .and_then(|text| serde_json::from_slice::<SpoolSession>(&text).ok());
    description.map_or_else(Promised::default, |description| Promised {
        target_duration_s: description.target_duration_s,
        part_target_ns: description.part_target_ns,
    })
}

fn lock(dir: &Path, wait: Duration) -> Result<File> {
    let file = File::open(dir).at(dir)?;
    let deadline = Instant::now() + wait;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::WouldBlock) if Instant::now() < deadline => std::thread::sleep(LOCK_POLL),
            Err(TryLockError::WouldBlock) => return Err(Error::Busy { path: dir.to_owned() }),
            Err(TryLockError::Error(error)) => return Err(error).at(dir),
        }
    }
}

/// A reader sees the old bytes or the new ones, never a mixture.
fn replace(dir: &Path, name: &str, bytes: &[u8]) -> Result<()> {
    let path = dir.join(name);
    let temporary = dir.join(format!("{name}{}", layout::TEMPORARY));
    fs::write(&temporary, bytes).at(&temporary)?;
    fs::rename(&temporary, &path).at(&path)
}

fn write_all_vectored(mut file: &File, mut slices: &mut [IoSlice<'_>]) -> std::io::Result<()> {
    IoSlice::advance_slices(&mut slices, 0);
    while !slices.is_empty() {
        match file.write_vectored(slices) {
            Ok(0) => return Err(std::io::ErrorKind::WriteZero.into()),
            Ok(written) => IoSlice::advance_slices(&mut slices, written),
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
