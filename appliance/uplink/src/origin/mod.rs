//! Sessions on their way to Nodi origins (`docs/interfaces.md` 5).
//!
//! One [`Pusher`] per session and origin. It claims the session, learns what the origin holds, and runs the lanes
//! until something fails; then it starts over from the claim. Nothing about the origin is remembered over a
//! failure: what the origin says it holds decides, so that a cut connection, a restarted origin and a restarted
//! uplink are one case.

mod backfill;
mod body;
mod governor;
mod lane;
mod plan;
mod playlist;
mod push;
mod timeline;

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use nodi_daemon::shutdown::Shutdown;
use nodi_protocol::push::{Claim, Claimed};
use nodi_protocol::stream_key::StreamKey;
use nodi_protocol::{Rendition, RenditionName};
use nodi_spool::SpoolSession;
use reqwest::Url;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval};

pub(crate) use timeline::Timeline;

use crate::backoff::Backoff;
use crate::config::{self, Live};
use crate::http::{Factory, Patience, Trust};
use crate::ingest::{Ingest, SUPERSEDED};
use crate::journal::{Journal, Record};
use crate::metrics::{ChannelMetrics, Metrics, TargetMetrics};
use crate::model::Session;
use crate::pace::Pace;
use governor::Governor;
use lane::{Lane, Shared};
use plan::{Holdings, Numbering};
use push::{Error, Push, Remedy};

/// Between two updates of the gauges.
const MEASURE_EVERY: Duration = Duration::from_secs(1);
/// A failure that goes on is logged this often.
const LOG_EVERY: Duration = Duration::from_secs(30);
/// A connection that lasted so long was a good one: the next failure is a new one.
const GOOD_AFTER: Duration = Duration::from_secs(5);
/// Pause after an answer that will not change by itself, such as 422 to a claim.
const REFUSED_PAUSE: Duration = Duration::from_secs(5);

/// One configured origin, shared by all sessions.
#[derive(Debug)]
pub(crate) struct Origin {
    name: String,
    url: Url,
    config: config::Origin,
    backfill: Arc<Pace>,
}

impl Origin {
    /// # Errors
    /// When the address is none, which the configuration has checked.
    pub(crate) fn new(config: config::Origin) -> Result<Self, crate::Error> {
        let url = Url::parse(&config.url)
            .map_err(|error| crate::Error::Target { name: config.name.clone(), reason: error.to_string() })?;
        let backfill = Arc::new(Pace::new(config.backfill_bytes_per_s));
        Ok(Self { name: config.name.clone(), url, config, backfill })
    }

    #[must_use]
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    fn factory(&self) -> Factory {
        let trust = Trust {
            ca: self.config.ca.clone(),
            identity: self.config.cert.clone().zip(self.config.key.clone()),
        };
        let patience = Patience {
            connect: Duration::from_millis(self.config.connect_timeout_ms),
            stall: Duration::from_millis(self.config.stall_timeout_ms),
        };
        Factory::new(trust, patience)
    }
}

/// One session on its way to one origin.
pub(crate) struct Pusher {
    pub origin: Arc<Origin>,
    /// Its place in the configuration.
    pub number: usize,
    pub session: Arc<Session>,
    pub key: StreamKey,
    pub timeline: Arc<Timeline>,
    pub record: Option<Record>,
    /// The origin's window as it said with the last claim, in seconds.
    pub window_s: Option<u64>,
    pub journal: Journal,
    pub ingest: Ingest,
    pub metrics: Metrics,
    pub live: Live,
    pub shutdown: Shutdown,
}

/// How a stretch of pushing went well.
enum Outcome {
    /// The session ended and the origin knows.
    Over,
    /// The process stops.
    Drained,
}

impl Pusher {
    /// Pushes until the session is over here, or the process stops.
    pub(crate) async fn run(mut self) {
        let target = self.metrics.target(self.origin.name());
        let gauges = self.metrics.channel(self.origin.name(), &self.session.channel);
        let mut factory = self.origin.factory();
        let mut backoff = Backoff::live();
        let mut last_log: Option<Instant> = None;
        // While this runs the session may end; what is left to send is only worth the origin's window.
        let mut over_since: Option<Instant> = None;
        loop {
            let begun = Instant::now();
            let result = self.stretch(&mut factory, &target, &gauges, &mut last_log).await;
            gauges.connected.set(0);
            let error = match result {
                Ok(Outcome::Drained) => return,
                Ok(Outcome::Over) => {
                    log::info!(target_name:% = self.origin.name(), session:% = self.session.id,
                        channel:% = self.session.channel; "session over: the origin has what it wants of it");
                    break;
                }
                Err(error) => error,
            };
            target.retries.inc();
            if error.remedy() == Remedy::Stop {
                self.stop(&error).await;
                break;
            }
            if begun.elapsed() > GOOD_AFTER {
                backoff.reset();
            }
            if last_log.is_none_or(|last| last.elapsed() > LOG_EVERY) {
                last_log = Some(Instant::now());
                log::warn!(target_name:% = self.origin.name(), session:% = self.session.id,
                    channel:% = self.session.channel, attempt = backoff.attempts() + 1;
                    "origin is away, trying again: {error}");
            }
            if self.session.over().is_some() {
                let since = *over_since.get_or_insert_with(Instant::now);
                if since.elapsed() > self.window() {
                    log::warn!(target_name:% = self.origin.name(), session:% = self.session.id;
                        "session over and its window has passed: given up");
                    break;
                }
            }
            // A cut connection must not be found in the pool again.
            factory.reset();
            let pause = if error.remedy() == Remedy::Skip { REFUSED_PAUSE } else { backoff.next() };
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = self.shutdown.wait() => return,
            }
        }
        self.session.settle_all(self.origin.name());
        self.metrics.forget_channel(self.origin.name(), &self.session.channel);
        if let Err(error) =
            self.journal.finish(self.origin.name(), &self.session.channel, self.session.id).await
        {
            log::error!("{error}");
        }
    }

    /// The origin wants no more of this session: whoever publishes it has to know.
    async fn stop(&self, error: &Error) {
        let (level, reason) = match error {
            Error::Superseded { .. } => (log::Level::Info, SUPERSEDED.to_owned()),
            error => (log::Level::Error, error.to_string()),
        };
        log::log!(level, target_name:% = self.origin.name(), session:% = self.session.id,
            channel:% = self.session.channel; "pushing stops: {error}");
        if self.session.over().is_none()
            && let Err(error) = self.ingest.end(self.session.id, &reason).await
        {
            log::error!(session:% = self.session.id; "telling ingest to end the session: {}",
                crate::http::describe(&error));
        }
    }

    /// From a claim to the first failure.
    async fn stretch(
        &mut self,
        factory: &mut Factory,
        metrics: &TargetMetrics,
        gauges: &ChannelMetrics,
        failing: &mut Option<Instant>,
    ) -> Result<Outcome, Error> {
        let Some(facts) = self.facts().await else { return Ok(Outcome::Drained) };
        let client = factory.client().map_err(|error| Error::Unreachable(error.to_string()))?;
        let push = Push::new(
            client,
            self.origin.url.clone(),
            &self.key,
            self.session.channel.clone(),
            self.session.id,
        )?;
        let claimed = self.claim(&push, &facts).await?;
        if failing.take().is_some() {
            log::info!(target_name:% = self.origin.name(), session:% = self.session.id; "origin is back");
        }
        gauges.connected.set(1);
        self.window_s = claimed.window_s.or(self.window_s);
        let mut stretch = Stretch {
            shared: Arc::new(Shared {
                target: self.origin.name().to_owned(),
                session: self.session.clone(),
                push,
                governor: Arc::new(Governor::new(Duration::from_millis(self.live.yield_lag_ms))),
                journal: self.journal.clone(),
                metrics: metrics.clone(),
                live: self.live,
                window: self.window(),
                stall: Duration::from_millis(self.origin.config.stall_timeout_ms),
                backfill: self.origin.backfill.clone(),
                shutdown: self.shutdown.clone(),
            }),
            renditions: facts.renditions.clone(),
            claimed,
            record: self.record.clone().unwrap_or_default(),
            lanes: BTreeMap::new(),
            live: JoinSet::new(),
            others: JoinSet::new(),
            fill: JoinSet::new(),
            filling: watch::Sender::new(false),
            closing: watch::Sender::new(false),
        };
        stretch.run(gauges).await
    }

    /// The origin knows best how far back it reaches.
    fn window(&self) -> Duration {
        Duration::from_secs(self.window_s.unwrap_or(self.origin.config.window_s))
    }

    /// Waits for `session.json` with at least one rendition in it; `None` when the process stops first.
    async fn facts(&self) -> Option<SpoolSession> {
        let mut changed = self.session.subscribe();
        loop {
            if let Some(facts) = self.session.facts().filter(|facts| !facts.renditions.is_empty()) {
                return Some(facts);
            }
            tokio::select! {
                _ = changed.changed() => {}
                () = self.shutdown.wait() => return None,
            }
        }
    }

    async fn claim(&mut self, push: &Push, facts: &SpoolSession) -> Result<Claimed, Error> {
        let base_msn = match &self.record {
            Some(record) => record.base_msn,
            None => {
                let state = push.state().await?;
                if state.session == Some(self.session.id) {
                    // Begun by an uplink whose journal is lost: the origin's answer names the base.
                    let claimed = push.claim(&claim_of(facts, 0)).await?;
                    self.timeline.known(claimed.base_msn);
                    claimed.base_msn
                } else {
                    // An origin that was away while the others agreed may be further on than they are.
                    self.timeline.agree(self.number, state.next_msn).await.max(state.next_msn)
                }
            }
        };
        self.begin(base_msn).await;
        let claimed = match push.claim(&claim_of(facts, base_msn)).await {
            Err(error @ Error::Unavailable { .. }) => self.claim_again(push, facts, base_msn, error).await?,
            result => result?,
        };
        if self.record.as_ref().is_none_or(|record| record.base_msn != claimed.base_msn) {
            log::warn!(target_name:% = self.origin.name(), session:% = self.session.id,
                ours = base_msn, theirs = claimed.base_msn; "the origin has the session at another number");
            self.begin(claimed.base_msn).await;
        }
        Ok(claimed)
    }

    /// Another session may have used the number between the question and the claim; then it takes the next one.
    async fn claim_again(
        &mut self,
        push: &Push,
        facts: &SpoolSession,
        base_msn: u64,
        error: Error,
    ) -> Result<Claimed, Error> {
        let state = push.state().await?;
        if state.session == Some(self.session.id) || state.next_msn <= base_msn {
            return Err(error);
        }
        self.begin(state.next_msn).await;
        push.claim(&claim_of(facts, state.next_msn)).await
    }

    /// On disk before the origin hears of it.
    async fn begin(&mut self, base_msn: u64) {
        if self.record.as_ref().is_some_and(|record| record.base_msn == base_msn) {
            return;
        }
        let (session, channel) = (self.session.id, &self.session.channel);
        if let Err(error) = self.journal.start(self.origin.name(), channel, session, base_msn).await {
            log::error!("{error}");
        }
        self.record = Some(Record { base_msn, ..self.record.take().unwrap_or_default() });
    }
}

fn claim_of(facts: &SpoolSession, base_msn: u64) -> Claim {
    Claim {
        base_msn,
        renditions: facts.renditions.clone(),
        target_duration_s: facts.target_duration_s,
        part_target_ns: facts.part_target_ns,
    }
}

/// The tasks between a claim and the first failure. Dropping it ends them all.
struct Stretch {
    shared: Arc<Shared>,
    claimed: Claimed,
    record: Record,
    renditions: Vec<Rendition>,
    lanes: BTreeMap<RenditionName, Arc<Lane>>,
    live: JoinSet<Result<(), Error>>,
    /// Playlists and the thumbnail.
    others: JoinSet<Result<(), Error>>,
    fill: JoinSet<Result<(), Error>>,
    /// Tells backfill that nothing new will be missed.
    filling: watch::Sender<bool>,
    /// Tells the playlists that nothing follows.
    closing: watch::Sender<bool>,
}

impl Stretch {
    /// Starts a lane for each claimed rendition that has an index and no lane yet.
    fn add_lanes(&mut self) {
        let base_msn = self.claimed.base_msn;
        let priorities = plan::priorities(&self.renditions);
        let claimed_names: HashSet<&RenditionName> = self.renditions.iter().map(|r| &r.name).collect();
        let before = self.lanes.len();
        for feed in self.shared.session.feeds() {
            if self.lanes.contains_key(&feed.name) || !claimed_names.contains(&feed.name) {
                continue;
            }
            let held = self.claimed.held.iter().find(|held| held.rendition == feed.name);
            let rows = self.record.segments.iter().filter(|row| row.rendition == feed.name);
            let journal: Vec<_> = rows.cloned().collect();
            let window_ns = u64::try_from(self.shared.window.as_nanos()).unwrap_or(u64::MAX);
            let (holdings, debut) = feed.read(|index| {
                let holdings = Holdings::new(held, base_msn, index, &journal);
                let first = plan::window_start(index, window_ns);
                // Only an origin that has nothing yet can be told where the session comes in.
                let debut = if first == 0 || holdings.segments.is_empty() { Some(first) } else { None };
                (holdings, debut)
            });
            let numbering = Numbering { session: self.shared.session.id, base_msn, debut };
            let priority = priorities.get(&feed.name).copied().unwrap_or(governor::BACKFILL - 1);
            let lane = Arc::new(Lane::new(self.shared.clone(), feed.clone(), priority, numbering, holdings));
            self.live.spawn(lane::live(lane.clone()));
            self.others.spawn(playlist::tell(lane.clone(), self.closing.subscribe()));
            self.lanes.insert(feed.name.clone(), lane);
        }
        if self.lanes.len() == before {
            return;
        }
        // With the new lanes in it. What the old one was sending goes on from the bytes that arrived.
        self.fill.abort_all();
        let lanes = self.lanes.values().cloned().collect();
        self.fill.spawn(backfill::fill(lanes, self.filling.subscribe()));
    }

    async fn run(&mut self, gauges: &ChannelMetrics) -> Result<Outcome, Error> {
        let mut changed = self.shared.session.subscribe();
        let mut measure = interval(MEASURE_EVERY);
        measure.set_missed_tick_behavior(MissedTickBehavior::Delay);
        self.others.spawn(thumbnail(self.shared.clone(), self.closing.subscribe()));
        loop {
            changed.mark_unchanged();
            self.follow_session().await?;
            // In this order: the last bytes, what was missed, what to say about it.
            let stopping = self.shared.session.over().is_some() || self.shared.shutdown.is_asked();
            if stopping && self.live.is_empty() {
                self.filling.send_replace(true);
                if self.fill.is_empty() {
                    self.closing.send_replace(true);
                    if self.others.is_empty() {
                        break;
                    }
                }
            }
            tokio::select! {
                Some(result) = self.live.join_next() => finished(result)?,
                Some(result) = self.fill.join_next() => finished(result)?,
                Some(result) = self.others.join_next() => finished(result)?,
                _ = changed.changed() => {}
                _ = measure.tick() => self.measure(gauges),
            }
        }
        match self.shared.session.over() {
            Some(reason) if !self.shared.shutdown.is_asked() => {
                self.shared.push.end(&reason).await?;
                Ok(Outcome::Over)
            }
            _ => {
                self.shared.journal.flush().await;
                Ok(Outcome::Drained)
            }
        }
    }

    /// New renditions get a claim and a lane.
    async fn follow_session(&mut self) -> Result<(), Error> {
        let Some(facts) = self.shared.session.facts() else { return Ok(()) };
        if facts.renditions != self.renditions && self.shared.session.over().is_none() {
            self.renditions.clone_from(&facts.renditions);
            self.claimed = self.shared.push.claim(&claim_of(&facts, self.claimed.base_msn)).await?;
        }
        self.add_lanes();
        Ok(())
    }

    fn measure(&self, gauges: &ChannelMetrics) {
        let lag = self.lanes.values().map(|lane| lane.lag()).max().unwrap_or_default();
        gauges.lag.set(lag.as_secs_f64());
        let backlog: usize = self
            .lanes
            .values()
            .map(|lane| {
                let Some(live_at) = lane.live_at() else { return 0 };
                let first = lane.window_start();
                lane.feed.read(|index| {
                    lane.with_holdings(|holdings| plan::missed(index, holdings, first, live_at).count())
                })
            })
            .sum();
        gauges.backlog.set(i64::try_from(backlog).unwrap_or(i64::MAX));
    }
}

fn finished(result: Result<Result<(), Error>, tokio::task::JoinError>) -> Result<(), Error> {
    match result {
        Ok(result) => result,
        Err(error) if error.is_cancelled() => Ok(()),
        // A bug: the claim starts everything over from what the origin holds.
        Err(error) => {
            log::error!("a push task failed: {error}");
            Err(Error::Strange(error.to_string()))
        }
    }
}

/// Keeps the origin's thumbnail up to date. It never matters enough to break anything else.
async fn thumbnail(shared: Arc<Shared>, mut closing: watch::Receiver<bool>) -> Result<(), Error> {
    let mut changed = shared.session.subscribe();
    let mut sent = 0;
    loop {
        changed.mark_unchanged();
        let version = shared.session.thumbnails();
        if version != sent {
            shared.governor.admit(governor::BACKFILL).await;
            if let Ok(bytes) = tokio::fs::read(shared.session.thumbnail_path()).await {
                match shared.push.thumbnail(bytes.into()).await {
                    Err(error) if error.remedy() == Remedy::Stop => return Err(error),
                    Err(error) => log::debug!(session:% = shared.session.id; "thumbnail: {error}"),
                    Ok(()) => {}
                }
            }
            sent = version;
        }
        if *closing.borrow_and_update() {
            return Ok(());
        }
        tokio::select! {
            _ = changed.changed() => {}
            _ = closing.changed() => {}
        }
    }
}
