//! What the spool holds of a session, in memory: one writer (the spool's follower), many readers (the targets),
//! and a wake-up for everyone who waits for more. Nothing here knows about targets.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use nodi_protocol::hls::{Finished, Part};
use nodi_protocol::{ChannelId, RenditionName, SessionId};
use nodi_spool::{EndReason, Entry, SpoolSession, layout};
use tokio::sync::watch;

/// Segments whose parts are kept. Older ones are only ever sent whole, and a day of parts would be 100 MB.
const SEGMENTS_WITH_PARTS: usize = 128;

/// One segment as the index tells of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Segment {
    pub init: u32,
    pub discontinuity: bool,
    pub start_ns: u64,
    pub wall_ms: u64,
    pub parts: Vec<Part>,
    /// Bytes that can be read, also once the parts are forgotten.
    pub available: u64,
    /// What the parts add up to, also once they are forgotten.
    pub duration_ns: u64,
    pub finished: Option<Finished>,
}

impl Segment {
    /// Complete and without content: there is nothing of this rendition for that time.
    #[must_use]
    pub(crate) fn is_void(&self) -> bool {
        self.finished.is_some_and(|finished| finished.len == 0)
    }

    /// Media time of the first frame after byte `offset`.
    #[must_use]
    pub(crate) fn time_at(&self, offset: u64) -> u64 {
        if offset >= self.available {
            return self.end_ns();
        }
        let before = self.parts.iter().take_while(|part| part.offset + part.len <= offset);
        self.start_ns + before.map(|part| part.duration_ns).sum::<u64>()
    }

    #[must_use]
    pub(crate) fn end_ns(&self) -> u64 {
        self.start_ns + self.duration_ns
    }
}

/// One rendition as its index tells of it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Index {
    pub inits: BTreeSet<u32>,
    pub segments: BTreeMap<u64, Segment>,
    /// Why nothing follows.
    pub ended: Option<EndReason>,
    /// The session is over: what is open now stays as it is.
    pub closed: bool,
}

impl Index {
    /// Takes one line. Lines that contradict what came before are skipped with a reason: the writer is another
    /// process, and one bad line must not stop a channel.
    fn apply(&mut self, entry: &Entry) -> Result<(), &'static str> {
        match *entry {
            Entry::Init { init, .. } => {
                self.inits.insert(init);
                self.ended = None;
            }
            Entry::Open { seq, init, discontinuity, start_ns, wall_ms } => {
                if self.segments.last_key_value().is_some_and(|(last, _)| *last >= seq) {
                    return Err("opens a segment that is not after the last one");
                }
                let segment = Segment {
                    init,
                    discontinuity,
                    start_ns,
                    wall_ms,
                    parts: Vec::new(),
                    available: 0,
                    duration_ns: 0,
                    finished: None,
                };
                self.segments.insert(seq, segment);
                self.forget_parts();
            }
            Entry::Part { seq, offset, len, duration_ns, independent, .. } => {
                let segment = self.segments.get_mut(&seq).ok_or("a part of a segment that is not open")?;
                if segment.finished.is_some() {
                    return Err("a part of a finished segment");
                }
                if offset != segment.available {
                    return Err("a part that does not follow the one before");
                }
                segment.available = offset.checked_add(len).ok_or("a part that ends beyond 64 bits")?;
                segment.duration_ns = segment.duration_ns.saturating_add(duration_ns);
                segment.parts.push(Part { duration_ns, independent, offset, len });
            }
            Entry::Segment { seq, len, duration_ns } => {
                let segment = self.segments.get_mut(&seq).ok_or("the end of a segment that is not open")?;
                if len < segment.available {
                    return Err("the end of a segment that is shorter than its parts");
                }
                segment.available = len;
                segment.duration_ns = duration_ns;
                segment.finished = Some(Finished { duration_ns, len });
            }
            Entry::End { reason } => self.ended = Some(reason),
        }
        Ok(())
    }

    fn forget_parts(&mut self) {
        if let Some((_, old)) = self.segments.iter_mut().rev().nth(SEGMENTS_WITH_PARTS) {
            old.parts = Vec::new();
        }
    }

    /// Nothing follows: what the last worker left open is all there is of it.
    fn close(&mut self) {
        self.closed = true;
        for segment in self.segments.values_mut().filter(|segment| segment.finished.is_none()) {
            segment.finished = Some(Finished { duration_ns: segment.duration_ns, len: segment.available });
        }
    }

    /// The newest segment that has at least one part.
    #[must_use]
    pub(crate) fn newest(&self) -> Option<(u64, &Segment)> {
        self.segments
            .iter()
            .rev()
            .find(|(_, segment)| segment.available > 0)
            .map(|(seq, segment)| (*seq, segment))
    }

    /// Media time up to which there is something.
    #[must_use]
    pub(crate) fn end_ns(&self) -> u64 {
        self.newest().map_or(0, |(_, segment)| segment.end_ns())
    }
}

/// One rendition: its index, and a wake-up.
#[derive(Debug)]
pub(crate) struct Feed {
    pub name: RenditionName,
    directory: PathBuf,
    index: Mutex<Index>,
    changed: watch::Sender<()>,
}

impl Feed {
    fn new(name: RenditionName, directory: PathBuf) -> Self {
        Self { name, directory, index: Mutex::default(), changed: watch::Sender::new(()) }
    }

    /// Looks at the index. Keep it short: the follower waits.
    pub(crate) fn read<T>(&self, look: impl FnOnce(&Index) -> T) -> T {
        look(&lock(&self.index))
    }

    /// Marked as changed whenever lines came in since it was last looked at.
    #[must_use]
    pub(crate) fn subscribe(&self) -> watch::Receiver<()> {
        self.changed.subscribe()
    }

    #[must_use]
    pub(crate) fn segment_path(&self, seq: u64) -> PathBuf {
        self.directory.join(layout::segment(seq))
    }

    #[must_use]
    pub(crate) fn init_path(&self, init: u32) -> PathBuf {
        self.directory.join(layout::init(init))
    }

    fn update(&self, change: impl FnOnce(&mut Index)) {
        change(&mut lock(&self.index));
        self.changed.send_replace(());
    }
}

/// What is known of a session besides its renditions.
#[derive(Debug, Clone, Default)]
struct State {
    facts: Option<SpoolSession>,
    feeds: BTreeMap<RenditionName, Arc<Feed>>,
    over: Option<String>,
    thumbnails: u64,
}

/// What one target wants no more of a session.
#[derive(Debug, Default)]
struct Settled {
    all: bool,
    renditions: HashMap<RenditionName, Through>,
}

#[derive(Debug, Default)]
struct Through {
    /// All before this one.
    before: u64,
    /// Single ones from there on.
    single: BTreeSet<u64>,
}

impl Through {
    fn has(&self, seq: u64) -> bool {
        seq < self.before || self.single.contains(&seq)
    }
}

/// How far a target is behind the spool, by what it settled. Counts whole segments: while it takes what it is
/// sent, the target's own gauges know better.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Standing {
    pub target: String,
    /// Finished segments that it lacks and still wants.
    pub backlog: u64,
    /// From the end of the newest segment that it settled to the end of the spool, of its worst rendition.
    pub behind_ns: u64,
}

/// One session in the spool.
#[derive(Debug)]
pub(crate) struct Session {
    pub channel: ChannelId,
    pub id: SessionId,
    directory: PathBuf,
    state: Mutex<State>,
    settled: Mutex<HashMap<String, Settled>>,
    changed: watch::Sender<()>,
}

impl Session {
    #[must_use]
    pub(crate) fn new(channel: ChannelId, id: SessionId, directory: PathBuf) -> Self {
        Self {
            channel,
            id,
            directory,
            state: Mutex::default(),
            settled: Mutex::default(),
            changed: watch::Sender::new(()),
        }
    }

    /// `session.json`, once it is there.
    #[must_use]
    pub(crate) fn facts(&self) -> Option<SpoolSession> {
        lock(&self.state).facts.clone()
    }

    /// Renditions that have an index, by name.
    #[must_use]
    pub(crate) fn feeds(&self) -> Vec<Arc<Feed>> {
        lock(&self.state).feeds.values().cloned().collect()
    }

    #[cfg(test)]
    pub(crate) fn feed(&self, name: &RenditionName) -> Option<Arc<Feed>> {
        lock(&self.state).feeds.get(name).cloned()
    }

    /// Why nothing follows any more; `None` while live.
    #[must_use]
    pub(crate) fn over(&self) -> Option<String> {
        lock(&self.state).over.clone()
    }

    /// How often the thumbnail was replaced.
    #[must_use]
    pub(crate) fn thumbnails(&self) -> u64 {
        lock(&self.state).thumbnails
    }

    #[must_use]
    pub(crate) fn thumbnail_path(&self) -> PathBuf {
        self.directory.join(layout::THUMBNAIL)
    }

    /// Marked as changed for everything but new lines in an index.
    #[must_use]
    pub(crate) fn subscribe(&self) -> watch::Receiver<()> {
        self.changed.subscribe()
    }

    pub(crate) fn set_facts(&self, facts: SpoolSession) {
        lock(&self.state).facts = Some(facts);
        self.changed.send_replace(());
    }

    pub(crate) fn thumbnail_changed(&self) {
        lock(&self.state).thumbnails += 1;
        self.changed.send_replace(());
    }

    /// Takes lines of `rendition`'s index, in their order, and wakes the readers once.
    pub(crate) fn apply(&self, rendition: &RenditionName, entries: Vec<Entry>) {
        let (feed, is_new) = {
            let mut state = lock(&self.state);
            let is_new = !state.feeds.contains_key(rendition);
            let feed = state
                .feeds
                .entry(rendition.clone())
                .or_insert_with(|| {
                    let directory = self.directory.join(rendition.as_str());
                    Arc::new(Feed::new(rendition.clone(), directory))
                })
                .clone();
            (feed, is_new)
        };
        let mut ended = false;
        feed.update(|index| {
            for entry in entries {
                ended |= matches!(entry, Entry::End { .. });
                if let Err(reason) = index.apply(&entry) {
                    log::warn!(session:% = self.id, rendition:%; "index: {reason}; the line is skipped");
                }
            }
        });
        if ended {
            self.close_if_all_ended();
        }
        if is_new || ended {
            self.changed.send_replace(());
        }
    }

    /// A session whose renditions all ended because the publisher stopped, or the disk is full, is over. Tracks
    /// that the source lost, or rungs that were given up, may come back as long as ingest has the session.
    fn close_if_all_ended(&self) {
        let reasons: Option<Vec<EndReason>> =
            self.feeds().iter().map(|feed| feed.read(|index| index.ended)).collect();
        let last = |reason: &&EndReason| matches!(reason, EndReason::Eof | EndReason::NoSpace);
        if let Some(reason) = reasons.iter().flatten().find(last) {
            self.close(&reason.to_string());
        }
    }

    /// Nothing follows. The first reason stays.
    pub(crate) fn close(&self, reason: &str) {
        let feeds = {
            let mut state = lock(&self.state);
            if state.over.is_some() {
                return;
            }
            state.over = Some(reason.to_owned());
            state.feeds.clone()
        };
        for feed in feeds.values() {
            feed.update(Index::close);
        }
        self.changed.send_replace(());
    }

    /// `target` has something to do with this session: what it lacks is not to be dropped lightly.
    pub(crate) fn expect(&self, target: &str) {
        lock(&self.settled).entry(target.to_owned()).or_default();
    }

    /// `target` wants nothing more of the session.
    pub(crate) fn settle_all(&self, target: &str) {
        let settled = Settled { all: true, renditions: HashMap::new() };
        lock(&self.settled).insert(target.to_owned(), settled);
    }

    /// `target` has segment `seq`, or does not want it.
    pub(crate) fn settle(&self, target: &str, rendition: &RenditionName, seq: u64) {
        if let Some(target) = lock(&self.settled).get_mut(target) {
            target.renditions.entry(rendition.clone()).or_default().single.insert(seq);
        }
    }

    /// The same for all segments before `seq`.
    pub(crate) fn settle_before(&self, target: &str, rendition: &RenditionName, seq: u64) {
        if let Some(target) = lock(&self.settled).get_mut(target) {
            let through = target.renditions.entry(rendition.clone()).or_default();
            through.before = through.before.max(seq);
            through.single = through.single.split_off(&through.before);
        }
    }

    /// Whether no target wants anything more of the session.
    #[must_use]
    pub(crate) fn is_done(&self) -> bool {
        lock(&self.settled).values().all(|target| target.all)
    }

    /// The targets that are not done with the session.
    #[must_use]
    pub(crate) fn standings(&self) -> Vec<Standing> {
        let feeds = self.feeds();
        let settled = lock(&self.settled);
        let standing = |(target, settled): (&String, &Settled)| {
            let mut standing = Standing { target: target.clone(), backlog: 0, behind_ns: 0 };
            for feed in &feeds {
                let through = settled.renditions.get(&feed.name);
                let has = |seq: u64| through.is_some_and(|through| through.has(seq));
                feed.read(|index| {
                    let wanted = |(seq, segment): &(&u64, &Segment)| {
                        segment.finished.is_some() && !segment.is_void() && !has(**seq)
                    };
                    standing.backlog += index.segments.iter().filter(wanted).count() as u64;
                    let newest = index.segments.iter().rev().find(|(seq, _)| has(**seq));
                    let oldest = || index.segments.values().next().map(|segment| segment.start_ns);
                    let reached = newest.map(|(_, segment)| segment.end_ns()).or_else(oldest).unwrap_or(0);
                    standing.behind_ns = standing.behind_ns.max(index.end_ns().saturating_sub(reached));
                });
            }
            standing
        };
        settled.iter().filter(|(_, settled)| !settled.all).map(standing).collect()
    }

    /// Whether every target that wants the session is done with this segment of it.
    #[must_use]
    pub(crate) fn is_settled(&self, rendition: &RenditionName, seq: u64) -> bool {
        let settled = lock(&self.settled);
        !settled.is_empty()
            && settled.values().all(|target| {
                target.all || target.renditions.get(rendition).is_some_and(|through| through.has(seq))
            })
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Every critical section leaves the data whole, so a panic elsewhere does not spoil it.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) const MS: u64 = 1_000_000;

    pub(crate) fn session() -> Session {
        Session::new("nodi".parse().unwrap(), SessionId::new(1, 1), "/nowhere".into())
    }

    pub(crate) fn open(seq: u64) -> Entry {
        let start_ms = seq * 2_000;
        Entry::Open {
            seq,
            init: 0,
            discontinuity: false,
            start_ns: start_ms * MS,
            wall_ms: 1_000_000 + start_ms,
        }
    }

    pub(crate) fn part(seq: u64, part: u32) -> Entry {
        Entry::Part {
            seq,
            part,
            offset: u64::from(part) * 100,
            len: 100,
            duration_ns: 500 * MS,
            independent: part == 0,
        }
    }

    /// A finished segment of 2 s in 4 parts of 100 bytes.
    pub(crate) fn whole(seq: u64) -> Vec<Entry> {
        let mut entries = vec![open(seq)];
        entries.extend((0..4).map(|n| part(seq, n)));
        entries.push(Entry::Segment { seq, len: 400, duration_ns: 2_000 * MS });
        entries
    }

    #[test]
    fn an_index_becomes_segments() {
        let session = session();
        let name: RenditionName = "720p".parse().unwrap();
        session.apply(&name, whole(0));
        session.apply(&name, vec![open(1), part(1, 0)]);
        let feed = session.feed(&name).unwrap();
        feed.read(|index| {
            assert_eq!(index.newest().unwrap().0, 1);
            assert_eq!(index.end_ns(), 2_500 * MS);
            let first = &index.segments[&0];
            assert_eq!(first.finished, Some(Finished { duration_ns: 2_000 * MS, len: 400 }));
            assert_eq!(
                (first.time_at(0), first.time_at(250), first.time_at(400)),
                (0, 1_000 * MS, 2_000 * MS)
            );
        });
    }

    #[test]
    fn lines_that_contradict_are_skipped() {
        let session = session();
        let name: RenditionName = "720p".parse().unwrap();
        session.apply(&name, vec![part(3, 0), open(3), part(3, 1), part(3, 0), open(2), part(3, 1)]);
        let feed = session.feed(&name).unwrap();
        feed.read(|index| assert_eq!(index.segments[&3].available, 200));
    }

    #[test]
    fn a_session_is_over_when_all_renditions_ended_and_closes_what_is_open() {
        let session = session();
        let (a, b): (RenditionName, RenditionName) = ("a".parse().unwrap(), "b".parse().unwrap());
        session.apply(&a, vec![open(0), part(0, 0)]);
        session.apply(&b, vec![open(0), part(0, 0)]);
        session.apply(&b, vec![Entry::End { reason: EndReason::Overload }]);
        assert_eq!(session.over(), None);
        session.apply(&a, vec![Entry::End { reason: EndReason::Gone }]);
        assert_eq!(session.over(), None, "both may come back");
        session.apply(&a, vec![Entry::End { reason: EndReason::Eof }]);
        assert_eq!(session.over().as_deref(), Some("eof"));
        let finished = session.feed(&a).unwrap().read(|index| index.segments[&0].finished);
        assert_eq!(finished, Some(Finished { duration_ns: 500 * MS, len: 100 }));
    }

    #[test]
    fn parts_of_old_segments_are_forgotten() {
        let session = session();
        let name: RenditionName = "a".parse().unwrap();
        let count = SEGMENTS_WITH_PARTS as u64 + 10;
        (0..count).for_each(|seq| session.apply(&name, whole(seq)));
        session.feed(&name).unwrap().read(|index| {
            let with_parts = index.segments.values().filter(|segment| !segment.parts.is_empty()).count();
            assert_eq!(with_parts, SEGMENTS_WITH_PARTS);
        });
    }

    #[test]
    fn a_segment_is_settled_when_all_targets_are_done_with_it() {
        let session = session();
        let name: RenditionName = "a".parse().unwrap();
        assert!(!session.is_settled(&name, 0), "nobody has it");
        session.expect("x");
        session.expect("y");
        session.settle("x", &name, 3);
        session.settle_before("y", &name, 5);
        assert!(session.is_settled(&name, 3) && !session.is_settled(&name, 2));
        session.settle_all("x");
        assert!(session.is_settled(&name, 2) && !session.is_settled(&name, 5));
    }
}
