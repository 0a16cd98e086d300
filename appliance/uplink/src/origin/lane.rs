//! One rendition on its way to one origin: the segment that grows now, and what the origin holds.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt as _;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use nodi_daemon::shutdown::Shutdown;
use reqwest::Body;
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval};

use super::body::{self, Control, State};
use super::governor::Governor;
use super::plan::{self, Holdings, Numbering, Upload};
use super::push::{Error, Push, Remedy};
use crate::config::Live;
use crate::journal::{Acknowledged, Journal};
use crate::metrics::TargetMetrics;
use crate::model::{Feed, Session};
use crate::pace::Pace;

/// Between two looks at uploads that do not move.
pub(super) const LOOK_EVERY: Duration = Duration::from_millis(500);
/// Until the answer to a complete upload is overdue.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);

/// What all lanes of one session to one origin share.
pub(super) struct Shared {
    pub target: String,
    pub session: Arc<Session>,
    pub push: Push,
    pub governor: Arc<Governor>,
    pub journal: Journal,
    pub metrics: TargetMetrics,
    pub live: Live,
    pub window: Duration,
    /// Until a connection that takes no byte is given up.
    pub stall: Duration,
    pub backfill: Arc<Pace>,
    pub shutdown: Shutdown,
}

/// One rendition of a [`Shared`] session.
pub(super) struct Lane {
    pub shared: Arc<Shared>,
    pub feed: Arc<Feed>,
    pub priority: u32,
    pub numbering: Numbering,
    holdings: Mutex<Holdings>,
    changed: watch::Sender<()>,
    /// The first segment that live has not started on.
    live_at: AtomicU64,
    started: AtomicBool,
    /// Media time that live has handed over, in nanoseconds.
    sent_ns: AtomicU64,
    /// One upload of an initialisation section at a time, so that none is sent twice.
    init: tokio::sync::Mutex<()>,
}

/// Unanswered uploads of a rendition's live segments. The connection takes bytes long before the origin has them:
/// this is what bounds them. One that is answered while the next one is sent is the normal case.
const UNANSWERED: usize = 2;

/// An unanswered upload.
pub(super) struct Put {
    pub control: Control,
    /// How far it had come when it last moved, or had no reason to.
    moved: (u64, Instant),
}

/// A segment and what the origin said to it.
pub(super) type Answer = (u64, Result<(), Error>);

impl Put {
    fn new(control: Control) -> Self {
        let moved = (control.progress().sent, Instant::now());
        Self { control, moved }
    }

    /// Whether the connection takes nothing although there is something to take, or does not answer.
    fn is_stuck(&mut self, available: u64, stall: Duration) -> bool {
        let now = Instant::now();
        let progress = self.control.progress();
        let running = progress.state == State::Running;
        if (running && (progress.yielding || progress.sent >= available)) || progress.sent != self.moved.0 {
            self.moved = (progress.sent, now);
        }
        now.duration_since(self.moved.1) > if running { stall } else { ANSWER_WITHIN }
    }
}

impl Lane {
    #[must_use]
    pub(super) fn new(
        shared: Arc<Shared>,
        feed: Arc<Feed>,
        priority: u32,
        numbering: Numbering,
        holdings: Holdings,
    ) -> Self {
        Self {
            shared,
            feed,
            priority,
            numbering,
            holdings: Mutex::new(holdings),
            changed: watch::Sender::new(()),
            live_at: AtomicU64::new(0),
            started: AtomicBool::new(false),
            sent_ns: AtomicU64::new(0),
            init: tokio::sync::Mutex::default(),
        }
    }

    pub(super) fn with_holdings<T>(&self, look: impl FnOnce(&Holdings) -> T) -> T {
        look(&self.holdings.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Marked as changed when the holdings or the position of live changed.
    #[must_use]
    pub(super) fn subscribe(&self) -> watch::Receiver<()> {
        self.changed.subscribe()
    }

    /// `None` until live has decided where to begin.
    #[must_use]
    pub(super) fn live_at(&self) -> Option<u64> {
        self.started.load(Ordering::Acquire).then(|| self.live_at.load(Ordering::Acquire))
    }

    #[must_use]
    pub(super) fn window_start(&self) -> u64 {
        let window_ns = u64::try_from(self.shared.window.as_nanos()).unwrap_or(u64::MAX);
        self.feed.read(|index| plan::window_start(index, window_ns))
    }

    /// How far what live has handed over is behind the spool.
    #[must_use]
    pub(super) fn lag(&self) -> Duration {
        let end_ns = self.feed.read(|index| index.end_ns());
        Duration::from_nanos(end_ns.saturating_sub(self.sent_ns.load(Ordering::Relaxed)))
    }

    pub(super) fn set(&self, seq: u64, upload: Upload) {
        let first = self.window_start();
        let (session, target) = (&self.shared.session, &self.shared.target);
        if matches!(upload, Upload::Whole | Upload::Refused) {
            session.settle(target, &self.feed.name, seq);
        }
        // What has left the origin's window is not wanted any more.
        session.settle_before(target, &self.feed.name, first);
        {
            let mut holdings = self.holdings.lock().unwrap_or_else(PoisonError::into_inner);
            holdings.segments.insert(seq, upload);
            holdings.trim(first.min(seq));
        }
        self.changed.send_replace(());
    }

    fn move_to(&self, seq: u64) {
        self.live_at.store(seq, Ordering::Release);
        self.changed.send_replace(());
    }

    fn begun(&self) {
        if !self.started.swap(true, Ordering::AcqRel) {
            self.changed.send_replace(());
        }
    }

    /// Whether `error` only says that this rendition was given up meanwhile.
    pub(super) fn is_given_up(&self, error: &Error) -> bool {
        matches!(error, Error::Unknown(_))
            && self.shared.session.facts().is_some_and(|facts| {
                facts.renditions.iter().all(|rendition| rendition.name != self.feed.name)
            })
    }

    /// Sends section `init` unless the origin has it.
    ///
    /// # Errors
    /// When the origin cannot be reached or the session has to stop.
    async fn send_init(&self, init: u32) -> Result<(), Error> {
        let _one_at_a_time = self.init.lock().await;
        if self.with_holdings(|holdings| holdings.inits.contains(&init)) {
            return Ok(());
        }
        let shared = &self.shared;
        let path = self.feed.init_path(init);
        match tokio::fs::read(&path).await {
            Ok(bytes) => {
                let len = bytes.len();
                match shared.push.init(&self.feed.name, init, Bytes::from(bytes)).await {
                    Ok(()) => {
                        shared.metrics.bytes.inc_by(u64::try_from(len).unwrap_or(0));
                        shared.metrics.objects.inc();
                        shared.journal.init(&shared.target, shared.session.id, &self.feed.name, init).await;
                    }
                    Err(error) if error.remedy() == Remedy::Skip => {
                        shared.metrics.refused.inc();
                        log::error!(target_name:% = shared.target, session:% = shared.session.id,
                            rendition:% = self.feed.name, init; "initialisation section refused: {error}");
                    }
                    Err(error) => return Err(error),
                }
            }
            Err(error) => {
                shared.metrics.refused.inc();
                log::error!(session:% = shared.session.id; "{}: {error}", path.display());
            }
        }
        // Refused or lost ones count as settled too: asking again would change nothing.
        self.holdings.lock().unwrap_or_else(PoisonError::into_inner).inits.insert(init);
        Ok(())
    }

    /// Starts the upload of segment `seq` from what the origin holds of it.
    pub(super) async fn start(
        self: &Arc<Self>,
        seq: u64,
        priority: u32,
        pace: Option<Arc<Pace>>,
    ) -> Result<(Put, BoxFuture<'static, Answer>), Error> {
        let init = self.feed.read(|index| index.segments.get(&seq).map(|segment| segment.init));
        if let Some(init) = init {
            self.send_init(init).await?;
        }
        let offset = self.with_holdings(|holdings| holdings.offset(seq));
        let (stream, control) = body::growing(body::Source {
            feed: self.feed.clone(),
            seq,
            offset,
            priority,
            governor: self.shared.governor.clone(),
            pace,
            metrics: self.shared.metrics.clone(),
        });
        let lane = self.clone();
        let put = async move {
            let msn = lane.numbering.base_msn.saturating_add(seq);
            let body = Body::wrap_stream(stream);
            (seq, lane.shared.push.segment(&lane.feed.name, msn, offset, body).await)
        };
        Ok((Put::new(control), Box::pin(put)))
    }

    /// # Errors
    /// When the upload of `seq` does not move although the network would let it.
    pub(super) fn check(&self, seq: u64, put: &mut Put) -> Result<(), Error> {
        let available = self.feed.read(|index| index.segments.get(&seq).map_or(0, |s| s.available));
        if put.is_stuck(available, self.shared.stall) {
            return Err(Error::Unreachable(format!("segment {seq} does not move")));
        }
        Ok(())
    }

    /// Settles an answered upload. `Err`: the connection or the session is at fault.
    pub(super) async fn settle(
        &self,
        seq: u64,
        control: &Control,
        result: Result<(), Error>,
    ) -> Result<(), Error> {
        let shared = &self.shared;
        let progress = control.progress();
        match (result, progress.state) {
            (Ok(()), State::Complete | State::Cut) => {
                let whole = progress.state == State::Complete;
                self.set(seq, if whole { Upload::Whole } else { Upload::Partial(progress.sent) });
                if whole {
                    shared.metrics.objects.inc();
                }
                let row = Acknowledged { rendition: self.feed.name.clone(), seq, len: progress.sent, whole };
                shared.journal.segment(&shared.target, shared.session.id, row).await;
                Ok(())
            }
            (Ok(()), State::Running) => {
                Err(Error::Strange(format!("segment {seq} was answered before it was sent")))
            }
            (_, State::Lost) => {
                shared.metrics.refused.inc();
                self.set(seq, Upload::Refused);
                Ok(())
            }
            (Err(error), _) if error.remedy() == Remedy::Skip => {
                shared.metrics.refused.inc();
                log::error!(target_name:% = shared.target, session:% = shared.session.id,
                    rendition:% = self.feed.name, seq; "segment refused: {error}");
                self.set(seq, Upload::Refused);
                Ok(())
            }
            (Err(error), _) => Err(error),
        }
    }
}

/// Sends what is live until the session is over or the process stops.
///
/// # Errors
/// When the session has to be claimed again, or to be stopped.
pub(super) async fn live(lane: Arc<Lane>) -> Result<(), Error> {
    match (Sender { lane: lane.clone(), puts: BTreeMap::new(), current: None, from: 0 }).run().await {
        Err(error) if lane.is_given_up(&error) => Ok(()),
        result => result,
    }
}

struct Sender {
    lane: Arc<Lane>,
    /// Unanswered uploads.
    puts: BTreeMap<u64, Put>,
    /// The one that still has something to send.
    current: Option<u64>,
    from: u64,
}

impl Sender {
    async fn run(mut self) -> Result<(), Error> {
        let lane = self.lane.clone();
        let mut feed = lane.feed.subscribe();
        let mut answers: FuturesUnordered<BoxFuture<'static, Answer>> = FuturesUnordered::new();
        let mut look = interval(LOOK_EVERY);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            feed.mark_unchanged();
            let draining = lane.shared.shutdown.is_asked();
            self.follow_current(draining);
            if self.current.is_none() && self.puts.len() >= UNANSWERED && !draining {
                let lag_ns = u64::try_from(lane.lag().as_nanos()).unwrap_or(u64::MAX);
                lane.shared.governor.report(lane.priority, lag_ns);
            } else if self.current.is_none() {
                match self.next().filter(|_| !draining) {
                    Some(seq) => {
                        let answer = self.start(seq).await?;
                        answers.push(answer);
                    }
                    None if self.puts.is_empty() && (draining || lane.feed.read(|index| index.closed)) => {
                        lane.begun();
                        return Ok(());
                    }
                    None => {}
                }
            }
            lane.begun();
            let progress = self.current.and_then(|seq| self.puts.get(&seq)).map(|put| {
                let mut progress = put.control.progress.clone();
                async move { progress.changed().await.is_ok() }
            });
            tokio::select! {
                Some((seq, result)) = answers.next(), if !answers.is_empty() => {
                    if let Some(put) = self.puts.remove(&seq) {
                        lane.settle(seq, &put.control, result).await?;
                        if self.current == Some(seq) {
                            self.current = None;
                        }
                    }
                }
                _ = feed.changed() => {}
                Some(true) = maybe(progress) => {}
                _ = look.tick() => {
                    self.puts.iter_mut().try_for_each(|(seq, put)| lane.check(*seq, put))?;
                }
                () = lane.shared.shutdown.wait(), if !draining => {}
            }
        }
    }

    fn next(&self) -> Option<u64> {
        let max_lag_ns = self.lane.shared.live.max_lag_ms.saturating_mul(1_000_000);
        self.lane.feed.read(|index| {
            self.lane.with_holdings(|holdings| plan::next_live(index, holdings, self.from, max_lag_ns))
        })
    }

    async fn start(&mut self, seq: u64) -> Result<BoxFuture<'static, Answer>, Error> {
        let lane = self.lane.clone();
        let (put, answer) = lane.start(seq, lane.priority, None).await?;
        let skipped = self.lane.feed.read(|index| index.segments.range(self.from..seq).count());
        // The first choice after a claim may lie far behind the session's start: that is backfill's business.
        if self.from > 0 && skipped > 0 {
            self.skipped(u64::try_from(skipped).unwrap_or(0), seq);
        }
        self.puts.insert(seq, put);
        self.current = Some(seq);
        self.from = seq + 1;
        lane.set(seq, Upload::Sending);
        lane.move_to(self.from);
        Ok(answer)
    }

    /// Notices that the running upload is complete, or leaves it behind when it is too late.
    fn follow_current(&mut self, draining: bool) {
        let Some((seq, put)) = self.current.and_then(|seq| Some((seq, self.puts.get_mut(&seq)?))) else {
            return;
        };
        let lane = &self.lane;
        let progress = *put.control.progress.borrow_and_update();
        let (lag_ns, sent_ns, newest) = lane.feed.read(|index| {
            let newest = index.newest().map_or(0, |(newest, _)| newest);
            index.segments.get(&seq).map_or((0, 0, newest), |segment| {
                (plan::lag_ns(index, segment, progress.sent), segment.time_at(progress.sent), newest)
            })
        });
        lane.sent_ns.store(sent_ns, Ordering::Relaxed);
        match progress.state {
            State::Running if draining => put.control.stop(),
            State::Running => {
                lane.shared.governor.report(lane.priority, lag_ns);
                let max_lag_ns = lane.shared.live.max_lag_ms.saturating_mul(1_000_000);
                if newest > seq && lag_ns > max_lag_ns {
                    put.control.stop();
                    lane.set(seq, Upload::Leaving);
                    self.skipped(1, newest);
                    self.current = None;
                    self.from = newest;
                }
            }
            State::Complete | State::Cut | State::Lost => self.current = None,
        }
    }

    fn skipped(&self, count: u64, to: u64) {
        let lane = &self.lane;
        lane.shared.metrics.skipped.inc_by(count);
        log::warn!(target_name:% = lane.shared.target, session:% = lane.shared.session.id,
            rendition:% = lane.feed.name, seq = to; "too far behind: live goes on {count} segments later");
    }
}

/// Waits for `future` if there is one, else for ever.
async fn maybe<F: Future>(future: Option<F>) -> Option<F::Output> {
    match future {
        Some(future) => Some(future.await),
        None => std::future::pending().await,
    }
}
