//! Keeps the spool within its bounds: bytes, age and free space. What goes first is what is pushed already, oldest
//! first; then what is not. A segment that is still written is never touched, nor are the indexes of a session that is
//! not over.

use std::cmp::Ordering;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use nodi_protocol::{ChannelId, RenditionName, SessionId};

use crate::layout::{RenditionKey, SessionKey};
use crate::{AtPath, Entry, FreeSpace, MAX_LINE_LEN, Result, layout};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policy {
    /// Most bytes that media may take.
    pub max_bytes: u64,
    /// Segments older than this go, pushed or not.
    pub max_age: Duration,
    /// What has to stay free; more than the writers' reserve ([`crate::writer::MIN_FREE_BYTES`]), so that the oldest
    /// media goes before a live session has to stop.
    pub min_free_bytes: u64,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            // Two hours of the default ladder.
            max_bytes: 10 << 30,
            max_age: Duration::from_secs(24 * 3600),
            min_free_bytes: 2 * crate::writer::MIN_FREE_BYTES,
        }
    }
}

/// What the caller knows and the spool does not.
pub trait Facts {
    /// The segment is safe at all places that want it.
    fn pushed(&self, rendition: &RenditionKey, seq: u64) -> bool;
    /// The session has no worker and will get none: `/run/nodi/sessions/<session>` is gone. A session whose renditions
    /// have all ended counts as over without asking.
    fn over(&self, session: &SessionKey) -> bool;
}

/// What a sweep did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Report {
    /// Segments dropped that were pushed before.
    pub pushed_segments: u64,
    pub pushed_bytes: u64,
    /// Segments dropped that no one has: lost.
    pub lost_segments: u64,
    pub lost_bytes: u64,
    /// Sessions removed as a whole.
    pub sessions: u64,
    /// Media bytes left.
    pub held_bytes: u64,
    /// The bounds could not be met: everything that is left is still written.
    pub over_bounds: bool,
}

#[derive(Debug)]
struct Candidate {
    rendition: RenditionKey,
    seq: u64,
    path: PathBuf,
    bytes: u64,
    modified: SystemTime,
    pushed: bool,
}

impl Candidate {
    /// What is dropped first is least.
    fn rank(&self, other: &Self) -> Ordering {
        other
            .pushed
            .cmp(&self.pushed)
            .then(self.modified.cmp(&other.modified))
            .then_with(|| (&self.rendition, self.seq).cmp(&(&other.rendition, other.seq)))
    }
}

/// One pass over the spool. Files that vanish meanwhile are no error.
///
/// # Errors
/// When a directory cannot be read or a file cannot be removed.
pub fn sweep(
    root: &Path,
    policy: &Policy,
    facts: &dyn Facts,
    now: SystemTime,
    free_space: FreeSpace,
) -> Result<Report> {
    let mut report = Report::default();
    let mut candidates = Vec::new();
    for session in sessions(root)? {
        let over = all_ended(&session.dir(root))? || facts.over(&session);
        let kept = scan(root, &session, over, &mut candidates)?;
        report.held_bytes += kept;
    }
    report.held_bytes += candidates.iter().map(|candidate| candidate.bytes).sum::<u64>();
    let mut to_free = policy.min_free_bytes.saturating_sub(free_space(root).at(root)?);
    let too_old =
        |candidate: &Candidate| now.duration_since(candidate.modified).is_ok_and(|age| age > policy.max_age);
    if report.held_bytes > policy.max_bytes || to_free > 0 || candidates.iter().any(too_old) {
        for candidate in &mut candidates {
            candidate.pushed = facts.pushed(&candidate.rendition, candidate.seq);
        }
        candidates.sort_by(Candidate::rank);
    }
    for candidate in &candidates {
        let too_much = report.held_bytes > policy.max_bytes || to_free > 0;
        if !too_much && !too_old(candidate) {
            continue;
        }
        remove(fs::remove_file(&candidate.path), &candidate.path)?;
        report.held_bytes -= candidate.bytes;
        to_free = to_free.saturating_sub(candidate.bytes);
        let (segments, bytes) = if candidate.pushed {
            (&mut report.pushed_segments, &mut report.pushed_bytes)
        } else {
            (&mut report.lost_segments, &mut report.lost_bytes)
        };
        *segments += 1;
        *bytes += candidate.bytes;
    }
    report.over_bounds = report.held_bytes > policy.max_bytes || to_free > 0;

    for session in sessions(root)? {
        let dir = session.dir(root);
        if !(all_ended(&dir)? || facts.over(&session)) || holds_media(&dir)? || !is_old(&dir, policy, now) {
            continue;
        }
        remove(fs::remove_dir_all(&dir), &dir)?;
        report.sessions += 1;
    }
    Ok(report)
}

/// Lists the segments of a session that may go, and answers how many bytes may not.
fn scan(root: &Path, session: &SessionKey, over: bool, candidates: &mut Vec<Candidate>) -> Result<u64> {
    let mut kept = 0;
    for rendition in names::<RenditionName>(&session.dir(root))? {
        let rendition = session.rendition(rendition);
        let dir = rendition.dir(root);
        let mut segments = Vec::new();
        for name in file_names(&dir)? {
            let Some(seq) = layout::parse_segment(&name) else { continue };
            let path = dir.join(name);
            let Ok(meta) = fs::metadata(&path) else { continue };
            let modified = meta.modified().at(&path)?;
            let rendition = rendition.clone();
            segments.push(Candidate { rendition, seq, path, bytes: meta.len(), modified, pushed: false });
        }
        segments.sort_by_key(|segment| segment.seq);
        // A writer closes a segment before it makes the next one: only the newest can be open.
        if !over && let Some(newest) = segments.pop() {
            kept += newest.bytes;
        }
        candidates.append(&mut segments);
    }
    Ok(kept)
}

fn sessions(root: &Path) -> Result<Vec<SessionKey>> {
    let mut sessions = Vec::new();
    for channel in names::<ChannelId>(root)? {
        for session in names::<SessionId>(&root.join(channel.as_str()))? {
            sessions.push(SessionKey { channel: channel.clone(), session });
        }
    }
    Ok(sessions)
}

/// Every rendition's last line is an `end`, and there is one at least.
fn all_ended(session: &Path) -> Result<bool> {
    let mut any = false;
    for rendition in names::<RenditionName>(session)? {
        let index = session.join(rendition.as_str()).join(layout::INDEX);
        match last_entry(&index) {
            Ok(Some(Entry::End { .. })) => any = true,
            Ok(_) => return Ok(false),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error).at(&index),
        }
    }
    Ok(any)
}

fn last_entry(index: &Path) -> io::Result<Option<Entry>> {
    use std::io::{Read, Seek, SeekFrom};
    let mut file = fs::File::open(index)?;
    let len = file.metadata()?.len();
    file.seek(SeekFrom::Start(len.saturating_sub(2 * MAX_LINE_LEN as u64)))?;
    let mut tail = Vec::new();
    file.read_to_end(&mut tail)?;
    Ok(tail
        .strip_suffix(b"\n")
        .and_then(|lines| lines.rsplit(|byte| *byte == b'\n').next())
        .and_then(|line| Entry::parse(line).ok()))
}

fn holds_media(session: &Path) -> Result<bool> {
    for rendition in names::<RenditionName>(session)? {
        let dir = session.join(rendition.as_str());
        if file_names(&dir)?.iter().any(|name| layout::parse_segment(name).is_some()) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// How long the rest of a session (indexes, description) stays after its media: the uplink may still have to say that
/// it ended.
const EMPTY_SESSION_AGE: Duration = Duration::from_secs(600);

fn is_old(session: &Path, policy: &Policy, now: SystemTime) -> bool {
    let keep = policy.max_age.min(EMPTY_SESSION_AGE);
    fs::metadata(session)
        .and_then(|meta| meta.modified())
        .is_ok_and(|modified| now.duration_since(modified).is_ok_and(|age| age > keep))
}

fn names<T: std::str::FromStr>(dir: &Path) -> Result<Vec<T>> {
    Ok(file_names(dir)?.iter().filter_map(|name| name.parse().ok()).collect())
}

fn file_names(dir: &Path) -> Result<Vec<String>> {
    let items = match fs::read_dir(dir) {
        Ok(items) => items,
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            return Ok(Vec::new());
        }
        Err(error) => return Err(error).at(dir),
    };
    let mut names = Vec::new();
    for item in items {
        if let Ok(name) = item.at(dir)?.file_name().into_string() {
            names.push(name);
        }
    }
    Ok(names)
}

fn remove(result: io::Result<()>, path: &Path) -> Result<()> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other.at(path),
    }
}
