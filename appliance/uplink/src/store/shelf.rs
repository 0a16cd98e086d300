//! One channel in one store: its sessions one after the other, each segment in order, each playlist after its
//! objects.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt as _;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use nodi_daemon::shutdown::Shutdown;
use nodi_protocol::hls::{Finished, Segment, render_multivariant, uri};
use nodi_protocol::{ChannelId, Rendition, RenditionName};
use tokio::sync::mpsc;

use super::list::List;
use super::remote::{self, End};
use super::{Content, Error, Kind, Store};
use crate::journal::{Acknowledged, Journal, Slide, now_ms};
use crate::metrics::{ChannelMetrics, Metrics};
use crate::model::{Feed, Session};

/// How long a channel's playlists stay open for the publisher's return, as at an origin.
const RECONNECT: Duration = Duration::from_secs(60);

/// One channel in one store.
pub(crate) struct Shelf {
    store: Arc<Store>,
    channel: ChannelId,
    journal: Journal,
    metrics: Metrics,
    shutdown: Shutdown,
    lists: BTreeMap<RenditionName, List>,
    target_duration_s: u32,
    multivariant: String,
    ended: bool,
}

/// How far a rendition of the session at hand has come.
struct Lane {
    feed: Arc<Feed>,
    next_seq: u64,
    inits: BTreeSet<u32>,
    busy: bool,
}

/// One segment's objects are in the store, or lost.
struct Stored {
    rendition: RenditionName,
    seq: u64,
    init: u32,
    result: Result<(), Error>,
}

impl Shelf {
    /// # Errors
    /// When the journal cannot be read.
    pub(crate) async fn open(
        store: Arc<Store>,
        channel: ChannelId,
        journal: Journal,
        metrics: Metrics,
        shutdown: Shutdown,
    ) -> Result<Self, crate::journal::Error> {
        let listings = journal.listings(store.name(), &channel).await?;
        let lists = listings
            .into_iter()
            .map(|listing| {
                let list = List {
                    rendition: listing.rendition.clone(),
                    discontinuities: listing.discontinuities,
                    segments: listing.segments.into(),
                };
                (listing.rendition, list)
            })
            .collect();
        let (target_duration_s, multivariant) = (0, String::new());
        Ok(Self {
            store,
            channel,
            journal,
            metrics,
            shutdown,
            lists,
            target_duration_s,
            multivariant,
            ended: false,
        })
    }

    /// Takes the channel's sessions, oldest first, until the queue closes or the process stops.
    pub(crate) async fn run(mut self, mut sessions: mpsc::Receiver<Arc<Session>>) {
        loop {
            let next = if self.ended || self.lists.is_empty() {
                tokio::select! {
                    session = sessions.recv() => session,
                    () = self.shutdown.wait() => None,
                }
            } else {
                tokio::select! {
                    session = sessions.recv() => session,
                    () = self.shutdown.wait() => None,
                    () = tokio::time::sleep(RECONNECT) => {
                        self.ended = true;
                        self.write_all().await;
                        continue;
                    }
                }
            };
            let Some(session) = next else { return };
            if let Err(error) = self.session(&session).await {
                if self.shutdown.is_asked() {
                    return;
                }
                log::error!(target_name:% = self.store.name(), session:% = session.id; "store: {error}");
            }
            self.metrics.forget_channel(self.store.name(), &self.channel);
        }
    }

    fn key(&self, object: &str) -> String {
        format!("{}/{object}", self.channel)
    }

    /// Uploads one session until it is over and all of it is there.
    async fn session(&mut self, session: &Arc<Session>) -> Result<(), Error> {
        let record = match self.journal.record(self.store.name(), session.id).await {
            Ok(record) => record,
            Err(error) => {
                log::error!("{error}");
                None
            }
        };
        if record.as_ref().is_some_and(|record| record.over) {
            session.settle_all(self.store.name());
            return Ok(());
        }
        let mut changed = session.subscribe();
        while session.facts().is_none() && session.over().is_none() {
            tokio::select! {
                _ = changed.changed() => {}
                () = self.shutdown.wait() => return Ok(()),
            }
        }
        let (base_msn, inits) = match record {
            Some(record) => (record.base_msn, record.inits),
            None => (self.begin(session).await?, Vec::new()),
        };
        self.ended = false;
        let gauges = self.metrics.channel(self.store.name(), &self.channel);
        let mut inits_of: HashMap<RenditionName, BTreeSet<u32>> = HashMap::new();
        for (rendition, init) in inits {
            inits_of.entry(rendition).or_default().insert(init);
        }

        let mut lanes: BTreeMap<RenditionName, Lane> = BTreeMap::new();
        let mut uploads: FuturesUnordered<BoxFuture<'static, Stored>> = FuturesUnordered::new();
        let mut thumbnails = 0;
        loop {
            changed.mark_unchanged();
            let over = session.over().is_some();
            for feed in session.feeds() {
                if !lanes.contains_key(&feed.name) {
                    let next_seq = self.resume(&feed, session, base_msn);
                    let inits = inits_of.remove(&feed.name).unwrap_or_default();
                    lanes.insert(feed.name.clone(), Lane { feed, next_seq, inits, busy: false });
                }
            }
            let mut wake: Vec<_> = lanes.values().map(|lane| lane.feed.subscribe()).collect();
            wake.iter_mut().for_each(tokio::sync::watch::Receiver::mark_unchanged);
            while uploads.len() < self.store.shelf.concurrency
                && let Some(upload) = self.next_upload(session, &mut lanes, base_msn)
            {
                uploads.push(upload);
            }
            measure(&gauges, &lanes);
            if uploads.is_empty() && over {
                break;
            }
            if session.thumbnails() != thumbnails {
                thumbnails = session.thumbnails();
                self.thumbnail(session).await;
            }
            let any = futures_util::future::select_all(
                wake.iter_mut().map(|wake| Box::pin(wake.changed())).chain([Box::pin(changed.changed())]),
            );
            tokio::select! {
                Some(stored) = uploads.next(), if !uploads.is_empty() => {
                    self.stored(session, &mut lanes, base_msn, stored).await?;
                }
                _ = any => {}
                () = self.shutdown.wait() => {
                    // What is under way is short: it is finished rather than sent twice.
                    while let Some(stored) = uploads.next().await {
                        self.stored(session, &mut lanes, base_msn, stored).await?;
                    }
                    return Ok(());
                }
            }
        }
        if let Err(error) = self.journal.finish(self.store.name(), &self.channel, session.id).await {
            log::error!("{error}");
        }
        session.settle_all(self.store.name());
        log::info!(target_name:% = self.store.name(), session:% = session.id, channel:% = self.channel;
            "session over: all of it is in the store");
        Ok(())
    }

    /// Where a new session begins: after everything that this box or another one listed.
    async fn begin(&mut self, session: &Session) -> Result<u64, Error> {
        let facts = session.facts();
        let renditions = facts.iter().flat_map(|facts| &facts.renditions).map(|rendition| &rendition.name);
        let names: BTreeSet<RenditionName> = renditions.chain(self.lists.keys()).cloned().collect();
        let ours = self.lists.values().filter_map(List::next_msn).max().unwrap_or(0);
        let mut theirs: BTreeMap<RenditionName, End> = BTreeMap::new();
        for name in names {
            let key = self.key(&uri::playlist(&name));
            let text = self.store.persist(&key, &self.shutdown, || self.store.get(&key)).await?;
            if let Some(text) = text {
                theirs.insert(name, remote::parse(&String::from_utf8_lossy(&text)));
            }
        }
        let remote = theirs.values().map(|end| end.next_msn).max().unwrap_or(0);
        if remote > ours {
            // Another box went on meanwhile: its segments are not ours to list.
            self.lists = theirs
                .into_iter()
                .map(|(name, end)| (name.clone(), List::new(name, end.discontinuities)))
                .collect();
        }
        let base_msn = ours.max(remote);
        if let Err(error) = self.journal.start(self.store.name(), &self.channel, session.id, base_msn).await {
            log::error!("{error}");
        }
        Ok(base_msn)
    }

    /// The first segment of the session that is not in the list yet.
    fn resume(&self, feed: &Feed, session: &Session, base_msn: u64) -> u64 {
        let listed = self
            .lists
            .get(&feed.name)
            .and_then(|list| list.segments.iter().rev().find(|segment| segment.session == session.id))
            .map_or(0, |last| (last.msn + 1).saturating_sub(base_msn));
        // What the spool no longer had when the index was read.
        let first = feed.read(|index| index.segments.first_key_value().map_or(0, |(seq, _)| *seq));
        listed.max(first)
    }

    /// The upload of the oldest finished segment that is not under way.
    fn next_upload(
        &self,
        session: &Session,
        lanes: &mut BTreeMap<RenditionName, Lane>,
        base_msn: u64,
    ) -> Option<BoxFuture<'static, Stored>> {
        let lane = lanes
            .values_mut()
            .filter(|lane| !lane.busy)
            .filter_map(|lane| {
                lane.skip_void();
                lane.feed
                    .read(|index| index.segments.get(&lane.next_seq).is_some_and(|s| s.finished.is_some()))
                    .then_some(lane)
            })
            .min_by_key(|lane| lane.next_seq)?;
        lane.busy = true;
        let (seq, feed) = (lane.next_seq, lane.feed.clone());
        let init = feed.read(|index| index.segments.get(&seq).map_or(0, |segment| segment.init));
        let mut objects = Vec::new();
        if !lane.inits.contains(&init) {
            objects.push((self.key(&uri::init(session.id, &feed.name, init)), feed.init_path(init)));
        }
        let msn = base_msn.saturating_add(seq);
        objects.push((self.key(&uri::segment(session.id, &feed.name, msn)), feed.segment_path(seq)));
        let (store, shutdown) = (self.store.clone(), self.shutdown.clone());
        Some(Box::pin(async move {
            let mut result = Ok(());
            for (key, path) in objects {
                result = store.put(&key, &Content::File(path), Kind::Media, &shutdown).await;
                if result.is_err() {
                    break;
                }
            }
            Stored { rendition: feed.name.clone(), seq, init, result }
        }))
    }

    /// Lists a segment whose objects are there.
    async fn stored(
        &mut self,
        session: &Session,
        lanes: &mut BTreeMap<RenditionName, Lane>,
        base_msn: u64,
        stored: Stored,
    ) -> Result<(), Error> {
        let Stored { rendition, seq, init, result } = stored;
        let Some(lane) = lanes.get_mut(&rendition) else { return Ok(()) };
        lane.busy = false;
        let gap = match result {
            Ok(()) => false,
            Err(error @ Error::Lost { .. }) => {
                self.store.metrics.refused.inc();
                log::error!(target_name:% = self.store.name(), session:% = session.id, rendition:%, seq;
                    "the spool has lost it: {error}");
                true
            }
            // The process stops: it goes on here next time.
            Err(error) => return Err(error),
        };
        lane.next_seq = seq + 1;
        if !gap && lane.inits.insert(init) {
            self.journal.init(self.store.name(), session.id, &rendition, init).await;
        }
        session.settle_before(self.store.name(), &rendition, seq + 1);
        let Some(segment) = lane.feed.read(|index| index.segments.get(&seq).cloned()) else { return Ok(()) };
        let more =
            lane.feed.read(|index| index.segments.get(&(seq + 1)).is_some_and(|s| s.finished.is_some()));
        let finished = segment.finished.unwrap_or(Finished { duration_ns: 0, len: 0 });
        let list = self.lists.entry(rendition.clone()).or_insert_with(|| List::new(rendition.clone(), 0));
        let follows_another = list.segments.back().map_or(base_msn > 0, |last| last.session != session.id);
        let entry = Segment {
            msn: base_msn.saturating_add(seq),
            session: session.id,
            init: segment.init,
            discontinuity: segment.discontinuity || follows_another,
            program_date_time_ms: segment.wall_ms,
            finished: Some(finished),
            parts: Vec::new(),
            gap,
        };
        list.segments.push_back(entry.clone());
        if let Err(error) = self.journal.list(self.store.name(), &self.channel, &rendition, &entry).await {
            log::error!("{error}");
        }
        let row = Acknowledged { rendition: rendition.clone(), seq, len: finished.len, whole: !gap };
        self.journal.segment(self.store.name(), session.id, row).await;
        self.slide(&rendition).await;
        // While a backlog is sent the playlist may lag behind its objects, never the other way round.
        if !more || seq % 8 == 0 {
            self.write(session, &rendition).await?;
        }
        Ok(())
    }

    async fn slide(&mut self, rendition: &RenditionName) {
        let shelf = &self.store.shelf;
        let Some(list) = self.lists.get_mut(rendition) else { return };
        let Some(slid) = list.slide(shelf.listing, shelf.window_s) else { return };
        let grace_ms = shelf.delete_after_s.map(|seconds| seconds.saturating_mul(1_000));
        let slide = Slide {
            rendition: rendition.clone(),
            first_msn: list.segments.front().map_or(u64::MAX >> 1, |first| first.msn),
            discontinuities: list.discontinuities,
            objects: slid.objects.iter().map(|object| format!("{}/{object}", self.channel)).collect(),
            due_ms: grace_ms.map(|grace| now_ms().saturating_add(grace)),
        };
        if let Err(error) = self.journal.slide(self.store.name(), &self.channel, slide).await {
            log::error!("{error}");
        }
    }

    /// Puts a media playlist, and the multivariant playlist once everything that it names is there.
    async fn write(&mut self, session: &Session, rendition: &RenditionName) -> Result<(), Error> {
        let facts = session.facts();
        if let Some(facts) = &facts {
            self.target_duration_s = self.target_duration_s.max(facts.target_duration_s);
        }
        self.write_list(rendition).await?;
        let renditions: Vec<Rendition> = facts.map(|facts| facts.renditions).unwrap_or_default();
        let complete = renditions
            .iter()
            .all(|rendition| self.lists.get(&rendition.name).is_some_and(|list| !list.segments.is_empty()));
        let text = render_multivariant(&renditions);
        if complete && !renditions.is_empty() && text != self.multivariant {
            let key = self.key(uri::MULTIVARIANT);
            let content = Content::Bytes(Bytes::from(text.clone()));
            self.store.put(&key, &content, Kind::Playlist, &self.shutdown).await?;
            self.multivariant = text;
        }
        Ok(())
    }

    async fn write_list(&self, rendition: &RenditionName) -> Result<(), Error> {
        let Some(list) = self.lists.get(rendition) else { return Ok(()) };
        let text = list.render(self.target_duration_s, self.ended);
        let key = self.key(&uri::playlist(rendition));
        self.store.put(&key, &Content::Bytes(Bytes::from(text)), Kind::Playlist, &self.shutdown).await
    }

    async fn write_all(&self) {
        for (rendition, list) in &self.lists {
            if list.segments.is_empty() {
                continue;
            }
            if let Err(error) = self.write_list(rendition).await {
                log::error!(target_name:% = self.store.name(), channel:% = self.channel; "playlist: {error}");
            }
        }
    }

    /// Once: the next one is a few seconds away.
    async fn thumbnail(&self, session: &Session) {
        let key = self.key(uri::THUMBNAIL);
        if let Err(error) =
            self.store.put_once(&key, &Content::File(session.thumbnail_path()), Kind::Thumbnail).await
        {
            log::debug!(target_name:% = self.store.name(), channel:% = self.channel; "thumbnail: {error}");
        }
    }
}

impl Lane {
    /// Numbers that the rendition has nothing for: it lost the track for a while, or a worker died early.
    fn skip_void(&mut self) {
        let next_seq = self.next_seq;
        self.next_seq = self.feed.read(|index| {
            let real = index.segments.range(next_seq..).find(|(_, segment)| !segment.is_void());
            real.map_or(next_seq, |(seq, _)| *seq)
        });
    }
}

fn measure(gauges: &ChannelMetrics, lanes: &BTreeMap<RenditionName, Lane>) {
    let (mut backlog, mut lag_ns) = (0_usize, 0_u64);
    for lane in lanes.values() {
        lane.feed.read(|index| {
            backlog += index.segments.range(lane.next_seq..).filter(|(_, s)| s.finished.is_some()).count();
            if let Some(next) = index.segments.get(&lane.next_seq) {
                lag_ns = lag_ns.max(index.end_ns().saturating_sub(next.start_ns));
            }
        });
    }
    gauges.backlog.set(i64::try_from(backlog).unwrap_or(i64::MAX));
    gauges.lag.set(Duration::from_nanos(lag_ns).as_secs_f64());
    gauges.connected.set(1);
}
