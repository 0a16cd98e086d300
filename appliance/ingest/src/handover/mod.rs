//! The hand-over of one session to its worker: an FLV byte stream over a Unix socket (docs/interfaces.md
//! section 1). A worker that goes away is replaced, and the new one gets the stream from its last key
//! frame on; one that does not read costs bounded memory and whole groups of pictures.

pub mod gop;
pub mod queue;

use std::future::Future;
use std::io;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use nodi_flv::tag::{self, Header, Oversized};
use nodi_flv::{SessionFacts, Tag};
use serde::Serialize;
use socket2::{Domain, SockAddr, Socket, Type};
use tokio::io::{AsyncWrite as _, AsyncWriteExt as _};
use tokio::net::UnixStream;
use tokio::time::{Instant, Sleep};

use crate::config;
use crate::health::Warning;
use gop::{Class, Gop};
use queue::Queue;

/// Wait before the first attempt to replace a worker; doubles up to the longest.
const FIRST_RETRY: Duration = Duration::from_millis(100);
const LONGEST_RETRY: Duration = Duration::from_secs(2);
/// A worker that stayed this long holds: what comes after is another trouble. systemd closes a connection
/// that exceeds `MaxConnections=` at once, and a worker that cannot take the stream ends within this time.
const HOLDS_AFTER: Duration = Duration::from_secs(5);
/// How long a worker gets to read what is left when the session ends.
const DRAIN: Duration = Duration::from_secs(2);
/// For how long a dropped group or a lost worker is worth a warning.
const RECENT: Duration = Duration::from_secs(60);

/// No worker held the stream for as long as the configuration allows; the text is for the streamer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("this server has no free transcoder now; try again later or use another server")]
pub struct NoWorker;

/// How the hand-over stands.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Status {
    pub connected: bool,
    /// Number of the current or latest worker.
    pub worker: u32,
    /// Workers that went away.
    pub lost: u64,
    pub queued_bytes: usize,
    /// Bytes of the current group of pictures that are kept.
    pub gop_bytes: usize,
    pub dropped_groups: u64,
    pub dropped_bytes: u64,
}

/// One session's side of the socket.
pub struct Handover {
    config: config::Worker,
    socket: PathBuf,
    facts: SessionFacts,
    gop: Gop,
    queue: Queue,
    link: Link,
    /// How many workers were reached.
    workers: u32,
    lost: u64,
    lost_at: Option<Instant>,
    retry: Duration,
    /// Since when there is no worker that holds.
    without: Option<Instant>,
    dropped_groups: u64,
    dropped_at: Option<Instant>,
}

enum Link {
    /// Nothing was published yet that a worker could do something with.
    Idle,
    Connected {
        stream: UnixStream,
        since: Instant,
    },
    Waiting(Pin<Box<Sleep>>),
}

impl Handover {
    /// Keeps what workers need; [`begin`](Self::begin) asks for the first one.
    #[must_use]
    pub fn new(config: &config::Worker, socket: PathBuf, facts: SessionFacts) -> Self {
        Self {
            link: Link::Idle,
            gop: Gop::new(config.gop_bytes),
            queue: Queue::new(config.queue_bytes),
            config: config.clone(),
            socket,
            facts,
            workers: 0,
            lost: 0,
            lost_at: None,
            retry: FIRST_RETRY,
            without: None,
            dropped_groups: 0,
            dropped_at: None,
        }
    }

    #[must_use]
    pub fn is_begun(&self) -> bool {
        !matches!(self.link, Link::Idle)
    }

    /// Asks for the first worker.
    pub fn begin(&mut self, encoder: &str) {
        encoder.clone_into(&mut self.facts.encoder);
        self.without = Some(Instant::now());
        self.connect();
    }

    /// Takes the next tag of the stream. Nothing is written before the next [`poll`](Self::poll), so
    /// that all tags of one read leave in one write.
    ///
    /// # Errors
    /// When the tag is larger than FLV can say.
    pub fn take(&mut self, tag: &Tag, class: Class) -> Result<(), Oversized> {
        if matches!(self.link, Link::Connected { .. }) {
            // Before the store takes it: headers that come again after a gap must not include this one.
            let audio_only = !self.gop.has_video();
            self.queue.push(tag, class, self.gop.headers(), audio_only)?;
            let groups = self.queue.dropped().groups;
            if groups != self.dropped_groups {
                self.dropped_groups = groups;
                self.dropped_at = Some(Instant::now());
                log::warn!(session:% = self.facts.session, queued_bytes = self.queue.bytes();
                    "the worker does not keep up: leaving out everything up to the next key frame");
            }
        }
        self.gop.take(tag, class);
        Ok(())
    }

    /// Connects, writes, notices a worker that is gone and replaces it. Never ready: there is always
    /// something left to wait for.
    pub fn poll(&mut self, cx: &mut Context<'_>) -> Poll<std::convert::Infallible> {
        loop {
            let lost = match &mut self.link {
                Link::Idle => return Poll::Pending,
                Link::Waiting(sleep) => {
                    ready!(sleep.as_mut().poll(cx));
                    self.connect();
                    continue;
                }
                Link::Connected { stream, .. } => match transfer(stream, &mut self.queue, cx) {
                    Poll::Ready(error) => error,
                    Poll::Pending => return Poll::Pending,
                },
            };
            self.lose(&lost);
        }
    }

    /// To be called about once a second.
    ///
    /// # Errors
    /// When there was no worker for too long.
    pub fn tick(&mut self) -> Result<(), NoWorker> {
        let now = Instant::now();
        if let Link::Connected { since, .. } = self.link
            && now - since >= HOLDS_AFTER
        {
            self.without = None;
            self.retry = FIRST_RETRY;
        }
        let give_up = Duration::from_secs(self.config.give_up_s);
        if self.without.is_some_and(|since| now - since >= give_up) { Err(NoWorker) } else { Ok(()) }
    }

    #[must_use]
    pub fn status(&self) -> Status {
        let dropped = self.queue.dropped();
        Status {
            connected: matches!(self.link, Link::Connected { .. }),
            worker: self.workers.saturating_sub(1),
            lost: self.lost,
            queued_bytes: self.queue.bytes(),
            gop_bytes: self.gop.bytes(),
            dropped_groups: dropped.groups,
            dropped_bytes: dropped.bytes,
        }
    }

    #[must_use]
    pub fn warnings(&self) -> Vec<Warning> {
        let now = Instant::now();
        let recent = |at: Option<Instant>| at.is_some_and(|at| now - at < RECENT);
        let mut warnings = Vec::new();
        if self.queue.is_dropping() || recent(self.dropped_at) {
            let text = "this server does not keep up: parts of the stream are left out".to_owned();
            warnings.push(Warning::new("worker_slow", text));
        }
        if matches!(self.link, Link::Waiting(_)) {
            let text = "this server's transcoder is being restarted".to_owned();
            warnings.push(Warning::new("worker_missing", text));
        } else if recent(self.lost_at) {
            let text = "this server's transcoder was restarted".to_owned();
            warnings.push(Warning::new("worker_restarted", text));
        }
        if self.gop.overflowed() {
            let text = format!(
                "more than {} MiB between two key frames: set the key-frame interval to 2 s",
                self.config.gop_bytes >> 20
            );
            warnings.push(Warning::new("gop_not_kept", text));
        }
        warnings
    }

    /// Lets the worker have what is left, then closes the socket: the end of the session for it.
    pub async fn finish(mut self) {
        if !matches!(self.link, Link::Connected { .. }) {
            return;
        }
        self.queue.hurry();
        let drained = tokio::time::timeout(
            DRAIN,
            std::future::poll_fn(|cx| {
                // A worker that is lost now is not replaced.
                if let Link::Connected { stream, .. } = &mut self.link
                    && transfer(stream, &mut self.queue, cx).is_pending()
                    && !self.queue.is_empty()
                {
                    return Poll::Pending;
                }
                Poll::Ready(())
            }),
        )
        .await;
        if drained.is_err() {
            log::warn!(session:% = self.facts.session, queued_bytes = self.queue.bytes();
                "the worker did not read the end of the session");
        }
        if let Link::Connected { stream, .. } = &mut self.link {
            // The worker may be gone already.
            let _ = stream.shutdown().await;
        }
    }

    fn connect(&mut self) {
        match connect(&self.socket) {
            Ok(stream) => self.start(stream),
            Err(error) => self.lose(&error),
        }
    }

    fn start(&mut self, stream: UnixStream) {
        self.facts.worker = self.workers;
        self.workers = self.workers.saturating_add(1);
        let holds_key_frame = self.gop.holds_key_frame();
        // Every tag was small enough when it was taken, and the facts are.
        let restarted = opening(&self.facts)
            .and_then(|opening| self.queue.restart(opening, self.gop.replay(), holds_key_frame));
        if let Err(error) = restarted {
            log::error!(session:% = self.facts.session, error:%; "cannot replay the stream");
        }
        log::info!(session:% = self.facts.session, worker = self.facts.worker,
            replayed_bytes = self.gop.bytes(); "worker connected");
        self.gop.joined();
        self.link = Link::Connected { stream, since: Instant::now() };
    }

    fn lose(&mut self, error: &io::Error) {
        let now = Instant::now();
        if let Link::Connected { since, .. } = self.link {
            if now - since >= HOLDS_AFTER {
                self.without = None;
                self.retry = FIRST_RETRY;
            }
            self.lost += 1;
            self.lost_at = Some(now);
            log::warn!(session:% = self.facts.session, worker = self.facts.worker, error:%;
                "the worker is gone; starting another one");
        } else {
            log::debug!(session:% = self.facts.session, error:%; "no worker yet");
        }
        self.without.get_or_insert(now);
        self.queue.clear();
        self.link = Link::Waiting(Box::pin(tokio::time::sleep(self.retry)));
        self.retry = (self.retry * 2).min(LONGEST_RETRY);
    }
}

/// A Unix socket connects at once or not at all, so nothing is missed meanwhile.
fn connect(path: &Path) -> io::Result<UnixStream> {
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    socket.connect(&SockAddr::unix(path)?)?;
    UnixStream::from_std(socket.into())
}

/// What every worker gets first.
fn opening(facts: &SessionFacts) -> Result<Bytes, Oversized> {
    let mut bytes = BytesMut::new();
    tag::write_header(Header { audio: true, video: true }, &mut bytes);
    tag::write_tag(&facts.to_tag(), &mut bytes)?;
    Ok(bytes.freeze())
}

/// Writes what is due for as long as the socket takes it. Ready when the worker is gone.
fn transfer(stream: &mut UnixStream, queue: &mut Queue, cx: &mut Context<'_>) -> Poll<io::Error> {
    while queue.is_due() {
        let mut slices = [io::IoSlice::new(&[]); queue::SLICES];
        let count = queue.slices(&mut slices);
        let filled = slices.get(..count).unwrap_or_default();
        match Pin::new(&mut *stream).poll_write_vectored(cx, filled) {
            Poll::Ready(Ok(0)) => return Poll::Ready(io::ErrorKind::WriteZero.into()),
            Poll::Ready(Ok(written)) => queue.advance(written),
            Poll::Ready(Err(error)) => return Poll::Ready(error),
            Poll::Pending => break,
        }
    }
    // A worker has nothing to say; its side becomes readable when it closes.
    while let Poll::Ready(readable) = stream.poll_read_ready(cx) {
        let read = readable.and_then(|()| stream.try_read(&mut [0; 64]));
        match read {
            Ok(0) => return Poll::Ready(io::ErrorKind::UnexpectedEof.into()),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Poll::Ready(error),
        }
    }
    Poll::Pending
}
