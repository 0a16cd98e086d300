//! One channel: which session owns it, what its renditions hold, and what players are shown.

mod claim;
mod session;
mod timeline;
mod upload;
mod view;

use std::collections::{BTreeSet, HashMap};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Duration;

use bytes::Bytes;
use hyper::header::HeaderValue;
use nodi_protocol::hls::{Media, Segment, render_multivariant};
use nodi_protocol::push::{ChannelState, PlaylistUpdate, State};
use nodi_protocol::revocation::Revocations;
use nodi_protocol::{ChannelId, Rendition, RenditionName, SessionId};
use tokio::sync::watch;

use crate::clock::Clock;
use crate::config::{Limits, Playlist};
use crate::push::error::Error;
use crate::rendered::Rendered;

pub use session::{Claimant, Cut, Session};
pub use timeline::{Object, PartAnswer, Timeline};
pub use upload::{Opened, Upload};
pub use view::{Phase, Position, Stand, View};

/// Initialisation sections of a rendition at a time: each change of the source's size makes one.
const MAX_INITS: usize = 64;
/// No segment of a session lies further ahead than this of what the channel has used: days of an outage fit,
/// and no box can use up the numbers (players count in doubles).
const MAX_JUMP: u64 = 1_000_000;
/// Largest number that players' doubles count exactly.
const MAX_MSN: u64 = (1 << 53) - 1;
/// A playlist keeps this many target durations whatever the window says: what the skip boundary needs (6.2.5.1).
const LEAST_TARGETS: u64 = 6;
/// A rendition that shows nothing holds the multivariant playlist back until another one has this many segments.
const PATIENCE_SEGMENTS: usize = 3;

/// What all channels share.
#[derive(Debug)]
pub struct Settings {
    pub playlist: Playlist,
    pub limits: Limits,
    pub clock: Clock,
}

#[derive(Debug)]
pub struct Channel {
    id: ChannelId,
    settings: Arc<Settings>,
    /// Bytes of all segments, including those that only a response still holds.
    held: Arc<AtomicU64>,
    open_uploads: Arc<AtomicUsize>,
    state: Mutex<Inner>,
    lanes: RwLock<HashMap<String, Arc<Lane>>>,
    front: RwLock<Option<Arc<Rendered>>>,
    thumbnail: RwLock<Option<Bytes>>,
}

/// A rendition: its segments, and the playlist that is shown of them.
#[derive(Debug)]
pub struct Lane {
    pub name: RenditionName,
    timeline: RwLock<Timeline>,
    view: watch::Sender<Arc<View>>,
    /// First number that the playlist may show; never goes back. Written under the channel's lock.
    window_start: AtomicU64,
    video: AtomicBool,
}

#[derive(Debug, Default)]
struct Inner {
    session: Option<Session>,
    next_msn: u64,
    target_duration_s: u32,
    part_target_ns: u64,
    /// Numbers of the segments that start a discontinuity, on all renditions.
    discontinuities: BTreeSet<u64>,
    /// How many of them were forgotten.
    discontinuities_before: u64,
    /// EXT-X-ENDLIST, since when.
    ended_at: Option<Duration>,
    /// Lanes that the current session has not, since when.
    gone: HashMap<String, Duration>,
}

/// What [`Channel::tick`] found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tick {
    Keep,
    /// Nothing of it can be played any more.
    Drop,
}

impl Lane {
    fn new(name: RenditionName, window_start: u64, settings: &Settings) -> Self {
        let media = Media {
            rendition: name.clone(),
            target_duration_s: 1,
            part_target_ns: 0,
            discontinuities_before: 0,
            segments: Vec::new(),
            hint: None,
            reports: Vec::new(),
            ended: false,
        };
        let view = View::new(media, Phase::Empty, settings.playlist.part_hold_back_percent);
        Self {
            name,
            timeline: RwLock::default(),
            view: watch::channel(Arc::new(view)).0,
            window_start: AtomicU64::new(window_start),
            video: AtomicBool::new(true),
        }
    }

    /// The newest version of its playlist.
    pub fn view(&self) -> Arc<View> {
        Arc::clone(&self.view.borrow())
    }

    /// Follows the versions of its playlist.
    pub fn follow(&self) -> watch::Receiver<Arc<View>> {
        self.view.subscribe()
    }

    pub fn timeline(&self) -> RwLockReadGuard<'_, Timeline> {
        self.timeline.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn timeline_mut(&self) -> RwLockWriteGuard<'_, Timeline> {
        self.timeline.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Of its segments, parts and initialisation sections.
    pub fn content_type(&self) -> HeaderValue {
        let video = self.video.load(Ordering::Relaxed);
        HeaderValue::from_static(if video { "video/mp4" } else { "audio/mp4" })
    }

    fn window_start(&self) -> u64 {
        self.window_start.load(Ordering::Relaxed)
    }
}

impl Channel {
    #[must_use]
    pub fn new(id: ChannelId, settings: Arc<Settings>) -> Self {
        Self {
            id,
            settings,
            held: Arc::default(),
            open_uploads: Arc::default(),
            state: Mutex::default(),
            lanes: RwLock::default(),
            front: RwLock::default(),
            thumbnail: RwLock::default(),
        }
    }

    #[must_use]
    pub fn id(&self) -> &ChannelId {
        &self.id
    }

    /// Bytes of segments in memory.
    #[must_use]
    pub fn held_bytes(&self) -> u64 {
        self.held.load(Ordering::Relaxed)
    }

    /// Also those that the current session has not: their playlists say so themselves.
    #[must_use]
    pub fn lane(&self, name: &str) -> Option<Arc<Lane>> {
        self.lanes.read().unwrap_or_else(PoisonError::into_inner).get(name).cloned()
    }

    /// The multivariant playlist, once there is something to start with.
    #[must_use]
    pub fn multivariant(&self) -> Option<Arc<Rendered>> {
        self.front.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    #[must_use]
    pub fn thumbnail(&self) -> Option<Bytes> {
        self.thumbnail.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    #[must_use]
    pub fn standing(&self) -> ChannelState {
        let state = self.lock();
        ChannelState { session: state.session.as_ref().map(|session| session.id), next_msn: state.next_msn }
    }

    /// What a player may say about it, and when its session started.
    #[must_use]
    pub fn status(&self) -> (State, Option<u64>) {
        let now = self.settings.clock.now();
        let state = self.lock();
        let Some(session) = &state.session else {
            return (State::Offline, None);
        };
        let silent = now.saturating_sub(session.last_push) >= self.settings.playlist.stalled_after();
        let kind = if state.ended_at.is_some() {
            State::Ended
        } else if session.ended_at.is_some() || silent {
            State::Reconnecting
        } else if self.multivariant().is_some() {
            State::Live
        } else {
            State::Starting
        };
        (kind, Some(session.id.unix_ms()))
    }

    /// # Errors
    /// When `session` does not own the channel (409) or never claimed it (404).
    pub fn put_thumbnail(&self, session: SessionId, jpeg: Bytes) -> Result<(), Error> {
        let mut state = self.lock();
        self.touch(&mut state, session)?;
        *self.thumbnail.write().unwrap_or_else(PoisonError::into_inner) = Some(jpeg);
        Ok(())
    }

    /// # Errors
    /// When the session or the rendition is not there, or the number names other bytes already.
    pub fn put_init(
        &self,
        session: SessionId,
        rendition: &RenditionName,
        init: u32,
        bytes: Bytes,
    ) -> Result<(), Error> {
        let mut state = self.lock();
        self.touch(&mut state, session)?;
        let lane = self.claimed_lane(&state, rendition)?;
        {
            let mut timeline = lane.timeline_mut();
            if let Some(known) = timeline.inits.get(&(session, init)) {
                return if *known == bytes { Ok(()) } else { Err(Error::InitChanged(init)) };
            }
            if timeline.inits.len() >= MAX_INITS {
                timeline.evict_inits(None);
            }
            if timeline.inits.len() >= MAX_INITS {
                return Err(Error::TooManyInits(MAX_INITS));
            }
            timeline.inits.insert((session, init), bytes);
        }
        self.publish(&mut state, &lane);
        Ok(())
    }

    /// Returns the wall-clock time, in milliseconds since the Unix epoch, up to which the playlist shows media now.
    ///
    /// # Errors
    /// When the session or the rendition is not there, or the update cannot be.
    pub fn put_playlist(
        &self,
        session: SessionId,
        rendition: &RenditionName,
        update: PlaylistUpdate,
    ) -> Result<Option<u64>, Error> {
        let mut state = self.lock();
        self.touch(&mut state, session)?;
        let lane = self.claimed_lane(&state, rendition)?;
        self.check_update(&state, session, &update)?;
        {
            let mut timeline = lane.timeline_mut();
            for segment in update.segments {
                let msn = segment.msn;
                state.next_msn = state.next_msn.max(msn + 1);
                if msn < self.oldest_kept(&lane, &state) {
                    continue;
                }
                if segment.discontinuity && msn >= lane.window_start() {
                    state.discontinuities.insert(msn);
                }
                let object = timeline.segments.entry(msn).or_insert_with(|| Object::new(session));
                if let (Some(blob), Some(finished)) = (&object.blob, segment.finished) {
                    blob.set_end(finished.len);
                }
                object.described = Some(segment);
            }
        }
        self.publish(&mut state, &lane);
        let view = lane.view();
        Ok(view
            .media
            .segments
            .last()
            .map(|last| last.program_date_time_ms.saturating_add(last.duration_ns() / 1_000_000)))
    }

    /// The publisher is gone; the playlist waits for its return.
    ///
    /// # Errors
    /// When `session` does not own the channel (409) or never claimed it (404).
    pub fn end(&self, session: SessionId) -> Result<(), Error> {
        let now = self.settings.clock.now();
        let mut state = self.lock();
        self.touch(&mut state, session)?;
        if let Some(session) = &mut state.session {
            session.ended_at.get_or_insert(now);
        }
        self.publish_all(&mut state);
        Ok(())
    }

    /// Cuts the session off if its key, its box or its channel may not push any more; why, if that is new.
    pub fn revoke(&self, revocations: &Revocations) -> Option<Cut> {
        let now = self.settings.clock.now();
        let mut state = self.lock();
        let session = state.session.as_mut()?;
        let cut = Cut::of(revocations, &self.id, &session.by)?;
        // Only a suspension takes more away than what was cut already.
        if session.cut == Some(cut) || (session.cut.is_some() && cut != Cut::Suspended) {
            return None;
        }
        session.cut = Some(cut);
        session.cancel.cancel();
        session.ended_at.get_or_insert(now);
        if cut == Cut::Suspended {
            let id = session.id;
            state.ended_at.get_or_insert(now);
            for lane in self.all_lanes() {
                lane.timeline_mut().close(id);
            }
        }
        self.publish_all(&mut state);
        Some(cut)
    }

    /// Looks at the deadlines.
    pub fn tick(&self, now: Duration) -> Tick {
        let playlist = &self.settings.playlist;
        let mut state = self.lock();
        if let Some(ended_at) = state.ended_at {
            let suspended = state.session.as_ref().is_some_and(|session| session.cut == Some(Cut::Suspended));
            // Players that have its playlist still get to the end of it, nobody begins it anew.
            let kept = if suspended { playlist.linger() } else { playlist.ended_retention() };
            if now.saturating_sub(ended_at) >= kept {
                return Tick::Drop;
            }
        } else if let Some(session) = &state.session {
            let silent_since = session.ended_at.unwrap_or(session.last_push);
            if now.saturating_sub(silent_since) >= playlist.reconnect_window() {
                let id = session.id;
                state.ended_at = Some(now);
                for lane in self.all_lanes() {
                    lane.timeline_mut().close(id);
                }
                self.publish_all(&mut state);
            }
        } else {
            return Tick::Drop;
        }
        let expired: Vec<String> = state
            .gone
            .iter()
            .filter(|(_, since)| now.saturating_sub(**since) >= playlist.window())
            .map(|(name, _)| name.clone())
            .collect();
        for name in expired {
            state.gone.remove(&name);
            self.lanes.write().unwrap_or_else(PoisonError::into_inner).remove(&name);
        }
        Tick::Keep
    }

    /// Tells everyone who waits that the channel is over.
    pub fn dissolve(&self) {
        let mut state = self.lock();
        if let Some(session) = state.session.take() {
            session.cancel.cancel();
        }
        self.publish_all(&mut state);
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn all_lanes(&self) -> Vec<Arc<Lane>> {
        self.lanes.read().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }

    /// Every push passes here: the session must own the channel, and it lives.
    fn touch(&self, state: &mut Inner, session: SessionId) -> Result<(), Error> {
        let now = self.settings.clock.now();
        let Some(current) = &mut state.session else {
            return Err(Error::NoSession(session));
        };
        if session < current.id {
            return Err(Error::Superseded(current.id));
        }
        if session != current.id {
            return Err(Error::NoSession(session));
        }
        if let Some(cut) = current.cut {
            return Err(cut.into());
        }
        current.last_push = now;
        // A box that returns after the window opens the playlist again; one that backfills after its end does not.
        if current.ended_at.is_none() && state.ended_at.take().is_some() {
            self.publish_all(state);
        }
        Ok(())
    }

    fn claimed_lane(&self, state: &Inner, rendition: &RenditionName) -> Result<Arc<Lane>, Error> {
        state
            .session
            .as_ref()
            .filter(|session| session.has(rendition.as_str()))
            .and_then(|_| self.lane(rendition.as_str()))
            .ok_or_else(|| Error::NoRendition(rendition.clone()))
    }

    /// Objects older than this are not kept: players that read an older playlist had time to fetch them.
    fn oldest_kept(&self, lane: &Lane, state: &Inner) -> u64 {
        let linger = self.settings.playlist.linger_s.div_ceil(u64::from(state.target_duration_s.max(1)));
        lane.window_start().saturating_sub(linger)
    }

    fn publish_all(&self, state: &mut Inner) {
        for lane in self.all_lanes() {
            self.publish(state, &lane);
        }
        self.publish_multivariant(state);
    }

    /// Makes what the lane can show now its view, and forgets what has left the window.
    fn publish(&self, state: &mut Inner, lane: &Lane) {
        let shown = self.slide_window(state, lane);
        let claimed = state.session.as_ref().is_some_and(|session| session.has(lane.name.as_str()));
        let ended = state.ended_at.is_some();
        let phase = if !claimed {
            Phase::Gone
        } else if !shown.iter().any(|segment| segment.finished.is_some() && !segment.gap) {
            Phase::Empty
        } else if ended {
            Phase::Ended
        } else {
            Phase::Live
        };
        let hint = state.session.as_ref().filter(|session| session.ended_at.is_none() && !ended);
        // The next number is known to be the current session's only if it continues the last segment.
        let hint = hint.filter(|session| {
            shown.last().is_some_and(|last| last.session == session.id || last.msn + 1 == session.base_msn)
        });
        let first_msn = shown.first().map_or(0, |first| first.msn);
        let media = Media {
            rendition: lane.name.clone(),
            target_duration_s: state.target_duration_s,
            part_target_ns: state.part_target_ns,
            discontinuities_before: state.discontinuities_before
                + u64::try_from(state.discontinuities.range(..first_msn).count()).unwrap_or(0),
            segments: shown,
            hint: hint.map(|session| session.id),
            reports: self.reports(state, lane),
            ended,
        };
        let before = lane.view().phase;
        lane.view.send_replace(Arc::new(View::new(
            media,
            phase,
            self.settings.playlist.part_hold_back_percent,
        )));
        if before != phase || self.multivariant().is_none() {
            self.publish_multivariant(state);
        }
    }

    fn reports(&self, state: &Inner, lane: &Lane) -> Vec<nodi_protocol::hls::media::Report> {
        let renditions = state.session.iter().flat_map(|session| &session.renditions);
        renditions
            .filter(|rendition| rendition.name != lane.name)
            .filter_map(|rendition| self.lane(rendition.name.as_str()))
            .filter_map(|other| other.view().media.report())
            .collect()
    }

    /// What the lane shows, after the oldest segments beyond the window are given up.
    fn slide_window(&self, state: &mut Inner, lane: &Lane) -> Vec<Segment> {
        let mut timeline = lane.timeline_mut();
        let mut shown = timeline.shown(&state.discontinuities, state.target_duration_s);
        shown.retain(|segment| segment.msn >= lane.window_start());

        let least_ns = u64::from(state.target_duration_s) * LEAST_TARGETS * 1_000_000_000;
        let window_ns = (self.settings.playlist.window_s * 1_000_000_000).max(least_ns);
        let mut total_ns = shown.iter().fold(0_u64, |sum, segment| sum.saturating_add(segment.duration_ns()));
        let surplus = shown.len().saturating_sub(self.settings.limits.segments);
        let drop = shown
            .iter()
            .enumerate()
            .take_while(|(index, segment)| {
                let rest_ns = total_ns.saturating_sub(segment.duration_ns());
                let goes = rest_ns >= window_ns || *index < surplus;
                total_ns = rest_ns;
                goes
            })
            .count();
        shown.drain(..drop);
        if let Some(first) = shown.first() {
            lane.window_start.fetch_max(first.msn, Ordering::Relaxed);
        }
        timeline.evict_before(self.oldest_kept(lane, state));
        while timeline.segments.len() > self.settings.limits.segments.saturating_mul(2) {
            timeline.segments.pop_first();
        }
        timeline.evict_inits(state.session.as_ref().map(|session| session.id));
        drop_old_discontinuities(state, self.all_lanes().iter().map(|lane| lane.window_start()).min());
        shown
    }

    fn publish_multivariant(&self, state: &Inner) {
        let listed = self.listed(state);
        let text = (!listed.is_empty()).then(|| Arc::new(Rendered::new(render_multivariant(&listed))));
        *self.front.write().unwrap_or_else(PoisonError::into_inner) = text;
    }

    /// Renditions that a player can start with. Before the first playlist nothing is listed until all are there,
    /// since a player that starts without the audio would never learn of it.
    fn listed(&self, state: &Inner) -> Vec<Rendition> {
        let Some(session) = &state.session else {
            return Vec::new();
        };
        let mut most_segments = 0;
        let mut listed = Vec::new();
        for rendition in &session.renditions {
            let Some(lane) = self.lane(rendition.name.as_str()) else { continue };
            let view = lane.view();
            if matches!(view.phase, Phase::Live | Phase::Ended) {
                most_segments = most_segments.max(view.media.segments.len());
                listed.push(rendition.clone());
            }
        }
        let all = listed.len() == session.renditions.len();
        let playing = self.multivariant().is_some();
        if all || playing || most_segments >= PATIENCE_SEGMENTS { listed } else { Vec::new() }
    }
}

fn drop_old_discontinuities(state: &mut Inner, oldest: Option<u64>) {
    let kept = state.discontinuities.split_off(&oldest.unwrap_or(0));
    let forgotten = std::mem::replace(&mut state.discontinuities, kept);
    state.discontinuities_before += u64::try_from(forgotten.len()).unwrap_or(0);
}
