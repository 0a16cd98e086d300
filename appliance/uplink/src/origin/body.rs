//! The body of a segment's PUT: leaves as the spool grows and ends when the segment does, or earlier, on the
//! border of a part, when the sender wants to go on elsewhere.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::Stream;
use futures_util::stream::unfold;
use tokio::sync::watch;

use super::governor::Governor;
use super::plan;
use crate::metrics::TargetMetrics;
use crate::model::{Feed, Index};
use crate::pace::Pace;

/// Largest piece handed to the connection: small enough that a more important lane gets its turn soon.
const PIECE: u64 = 64 << 10;

/// How far a body has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Progress {
    /// Bytes of the segment that the connection has taken, those of earlier uploads included.
    pub sent: u64,
    /// Waits for its turn, not for the network.
    pub yielding: bool,
    pub state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum State {
    #[default]
    Running,
    /// The whole segment was handed over.
    Complete,
    /// Stopped as asked.
    Cut,
    /// The spool does not have the bytes.
    Lost,
}

/// The sender's side of a running body.
#[derive(Debug)]
pub(super) struct Control {
    pub progress: watch::Receiver<Progress>,
    stop: watch::Sender<bool>,
}

impl Control {
    /// Asks the body to end at the next border of a part.
    pub(super) fn stop(&self) {
        self.stop.send_replace(true);
    }

    #[must_use]
    pub(super) fn progress(&self) -> Progress {
        *self.progress.borrow()
    }
}

/// What to send and how.
pub(super) struct Source {
    pub feed: Arc<Feed>,
    pub seq: u64,
    pub offset: u64,
    pub priority: u32,
    pub governor: Arc<Governor>,
    pub pace: Option<Arc<Pace>>,
    pub metrics: TargetMetrics,
}

struct Reader {
    source: Source,
    file: Option<Arc<File>>,
    progress: watch::Sender<Progress>,
    stop: watch::Receiver<bool>,
    changed: watch::Receiver<()>,
}

/// What the index says of the bytes at an offset.
enum Next {
    /// Up to here there are bytes; the border of a part.
    Piece(u64),
    Wait,
    Complete,
    Lost,
}

/// A body and the handle to steer it.
pub(super) fn growing(source: Source) -> (impl Stream<Item = io::Result<Bytes>> + Send + 'static, Control) {
    let (progress, seen) = watch::channel(Progress { sent: source.offset, ..Progress::default() });
    let (stop, stopped) = watch::channel(false);
    let changed = source.feed.subscribe();
    let reader = Reader { source, file: None, progress, stop: stopped, changed };
    let stream = unfold(reader, |mut reader| async move {
        match reader.next().await {
            Ok(Some(bytes)) => Some((Ok(bytes), reader)),
            Ok(None) => None,
            Err(error) => {
                let seq = reader.source.seq;
                log::error!(rendition:% = reader.source.feed.name, seq; "reading the spool: {error}");
                reader.set(State::Lost);
                Some((Err(error), reader))
            }
        }
    });
    (stream, Control { progress: seen, stop })
}

impl Reader {
    fn set(&self, state: State) {
        self.progress.send_modify(|progress| progress.state = state);
    }

    fn sent(&self) -> u64 {
        self.progress.borrow().sent
    }

    async fn next(&mut self) -> io::Result<Option<Bytes>> {
        loop {
            match self.progress.borrow().state {
                State::Running => {}
                State::Complete | State::Cut => return Ok(None),
                State::Lost => return Ok(None),
            }
            let sent = self.sent();
            let (next, at_border) = self.source.feed.read(|index| look(index, self.source.seq, sent));
            if at_border && *self.stop.borrow_and_update() && !matches!(next, Next::Complete) {
                self.set(State::Cut);
                return Ok(None);
            }
            match next {
                Next::Piece(end) => return self.piece(sent, end).await.map(Some),
                Next::Complete => {
                    self.set(State::Complete);
                    return Ok(None);
                }
                Next::Lost => return Err(io::Error::new(io::ErrorKind::NotFound, "no longer in the spool")),
                Next::Wait => {
                    tokio::select! {
                        _ = self.changed.changed() => {}
                        _ = self.stop.changed() => {}
                    }
                }
            }
        }
    }

    async fn piece(&mut self, sent: u64, end: u64) -> io::Result<Bytes> {
        let len = (end - sent).min(PIECE);
        if !self.source.governor.may_send(self.source.priority) || self.source.pace.is_some() {
            self.progress.send_modify(|progress| progress.yielding = true);
            self.source.governor.admit(self.source.priority).await;
            if let Some(pace) = &self.source.pace {
                pace.take(len).await;
            }
            self.progress.send_modify(|progress| progress.yielding = false);
        }
        let bytes = self.load(sent, len).await?;
        self.source.metrics.bytes.inc_by(len);
        self.progress.send_modify(|progress| progress.sent = sent + len);
        let lag = self.source.feed.read(|index| {
            index.segments.get(&self.source.seq).map_or(0, |segment| {
                if segment.available > sent + len { plan::lag_ns(index, segment, sent + len) } else { 0 }
            })
        });
        self.source.governor.report(self.source.priority, lag);
        Ok(bytes)
    }

    async fn load(&mut self, offset: u64, len: u64) -> io::Result<Bytes> {
        let file = self.file.clone();
        let path = self.source.feed.segment_path(self.source.seq);
        let read = move || -> io::Result<(Arc<File>, Bytes)> {
            let file = match file {
                Some(file) => file,
                None => Arc::new(File::open(path)?),
            };
            let len = usize::try_from(len).map_err(io::Error::other)?;
            let mut bytes = vec![0; len];
            file.read_exact_at(&mut bytes, offset)?;
            Ok((file, bytes.into()))
        };
        // Old segments come from a disk that may be slow.
        let (file, bytes) = tokio::task::spawn_blocking(read).await.map_err(io::Error::other)??;
        self.file = Some(file);
        Ok(bytes)
    }
}

/// What comes after byte `sent` of segment `seq`, and whether a part ends exactly there.
fn look(index: &Index, seq: u64, sent: u64) -> (Next, bool) {
    let Some(segment) = index.segments.get(&seq) else { return (Next::Lost, true) };
    let at_border = sent == segment.available || segment.parts.iter().any(|part| part.offset == sent);
    if sent >= segment.available {
        return (if segment.finished.is_some() { Next::Complete } else { Next::Wait }, at_border);
    }
    // Up to the end of this part, so that a cut is never further away than one part. Without parts the
    // segment is an old one, and everything is a border.
    let end = segment.parts.iter().map(|part| part.offset + part.len).find(|end| *end > sent);
    (Next::Piece(end.unwrap_or(segment.available)), at_border || segment.parts.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Session;
    use crate::model::tests::{open, part, whole};
    use futures_util::StreamExt as _;
    use nodi_protocol::{RenditionName, SessionId};
    use nodi_spool::Entry;
    use std::io::Write as _;
    use std::path::Path;
    use std::time::Duration;

    fn spool(directory: &Path) -> (Session, RenditionName, File) {
        let session = Session::new("nodi".parse().unwrap(), SessionId::new(1, 1), directory.to_owned());
        let name: RenditionName = "720p".parse().unwrap();
        std::fs::create_dir_all(directory.join("720p")).unwrap();
        let file = File::create(directory.join("720p/0.m4s")).unwrap();
        session.apply(&name, vec![open(0)]);
        (session, name, file)
    }

    fn source(session: &Session, name: &RenditionName, offset: u64) -> Source {
        Source {
            feed: session.feed(name).unwrap(),
            seq: 0,
            offset,
            priority: 0,
            governor: Arc::new(Governor::new(Duration::from_secs(1))),
            pace: None,
            metrics: TargetMetrics::default(),
        }
    }

    #[tokio::test]
    async fn bytes_leave_part_by_part_and_the_body_ends_with_the_segment() {
        let directory = tempfile::tempdir().unwrap();
        let (session, name, mut file) = spool(directory.path());
        let (stream, control) = growing(source(&session, &name, 0));
        let mut stream = Box::pin(stream);
        for number in 0..4_u8 {
            assert!(futures_util::poll!(stream.next()).is_pending(), "nothing new");
            file.write_all(&[number; 100]).unwrap();
            session.apply(&name, vec![part(0, u32::from(number))]);
            assert_eq!(stream.next().await.unwrap().unwrap(), vec![number; 100]);
        }
        session.apply(&name, vec![Entry::Segment { seq: 0, len: 400, duration_ns: 2_000_000_000 }]);
        assert!(stream.next().await.is_none());
        assert_eq!(control.progress(), Progress { sent: 400, yielding: false, state: State::Complete });
    }

    #[tokio::test]
    async fn it_continues_at_an_offset_and_is_cut_on_a_border() {
        let directory = tempfile::tempdir().unwrap();
        let (session, name, mut file) = spool(directory.path());
        file.write_all(&[7; 400]).unwrap();
        session.apply(&name, (0..3).map(|n| part(0, n)).collect());
        let (stream, control) = growing(source(&session, &name, 150));
        let mut stream = Box::pin(stream);
        control.stop();
        assert_eq!(stream.next().await.unwrap().unwrap().len(), 50, "up to the border");
        assert!(stream.next().await.is_none());
        assert_eq!(control.progress(), Progress { sent: 200, yielding: false, state: State::Cut });
    }

    #[tokio::test]
    async fn a_file_that_is_gone_is_an_error() {
        let directory = tempfile::tempdir().unwrap();
        let (session, name, _file) = spool(directory.path());
        session.apply(&name, whole(0).split_off(1));
        std::fs::remove_file(directory.path().join("720p/0.m4s")).unwrap();
        let (stream, control) = growing(source(&session, &name, 0));
        assert!(Box::pin(stream).next().await.unwrap().is_err());
        assert_eq!(control.progress().state, State::Lost);
    }
}
