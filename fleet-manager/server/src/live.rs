//! Live changes for the dashboard: server-sent events that a browser can resume by `Last-Event-ID`.
//!
//! The last changes are kept in a ring; whoever asks for one that is no longer there, or for one of an earlier
//! process, is told `reset` and fetches everything again. Telemetry of a single box is not kept: it goes to those who
//! look at that box just now.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use nodi_protocol::{BoxId, ChannelId};
use serde::Serialize;
use tokio::sync::{broadcast, watch};

/// Changes kept: at 20 a second, which 5,000 boxes with 1 % flapping do not reach, three minutes.
const KEEP: usize = 4_096;
/// Bytes of JSON kept.
const KEEP_BYTES: usize = 8 << 20;
/// Telemetry of one box that may wait for one slow browser; more than that it never sees.
const TELEMETRY: usize = 16;

/// The event's name in the stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A `BoxSummary`.
    Box,
    /// `{"id"}`.
    BoxRemoved,
    /// A `SessionView`.
    Session,
    /// `{"id", "channel", "box_id"}`.
    SessionEnded,
    /// A `CommandView`.
    Command,
    /// An `AlertView`.
    Alert,
    /// A `ChannelView`.
    Channel,
    /// `{"box_id"}`: the waiting list changed.
    Enrolment,
    /// An `UpdateView`.
    Updates,
    /// `{"id"}`: a rollout changed.
    Rollouts,
    /// `{}`: the list of bundles changed.
    Bundles,
}

impl Kind {
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Box => "box",
            Self::BoxRemoved => "box_removed",
            Self::Session => "session",
            Self::SessionEnded => "session_ended",
            Self::Command => "command",
            Self::Alert => "alert",
            Self::Channel => "channel",
            Self::Enrolment => "enrolment",
            Self::Updates => "updates",
            Self::Rollouts => "rollouts",
            Self::Bundles => "bundles",
        }
    }
}

/// Who gets to see a change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Audience {
    /// Viewers, operators and administrators.
    Staff,
    /// These, and whoever owns the channel.
    Channel(ChannelId),
}

#[derive(Debug, Clone)]
pub struct Change {
    pub seq: u64,
    pub kind: Kind,
    pub audience: Audience,
    pub json: Arc<str>,
}

/// A clonable handle.
#[derive(Clone)]
pub struct Hub {
    inner: Arc<Inner>,
}

struct Inner {
    /// Tells the events of this process from those of an earlier one.
    run: String,
    ring: Mutex<Ring>,
    /// Sequence number of the newest change.
    newest: watch::Sender<u64>,
    telemetry: Mutex<HashMap<BoxId, broadcast::Sender<Arc<str>>>>,
}

#[derive(Default)]
struct Ring {
    changes: VecDeque<Change>,
    bytes: usize,
    /// Of the newest change; 0 before the first.
    newest: u64,
}

/// What there is after some point.
#[derive(Debug)]
pub enum News {
    Changes(Vec<Change>),
    /// Some are gone: fetch everything again, then go on from here.
    Reset {
        from: u64,
    },
}

impl Hub {
    /// `run` names this process; no two may share one.
    #[must_use]
    pub fn new(run: String) -> Self {
        let inner =
            Inner { run, ring: Mutex::default(), newest: watch::channel(0).0, telemetry: Mutex::default() };
        Self { inner: Arc::new(inner) }
    }

    /// Tells everybody who may know. Call it from [`crate::db::Tx::then`] when the change is one of the database.
    pub fn send(&self, kind: Kind, audience: Audience, body: &impl Serialize) {
        let json: Arc<str> = match serde_json::to_string(body) {
            Ok(json) => json.into(),
            Err(error) => {
                log::error!(kind = kind.name(); "live change: {error}");
                return;
            }
        };
        let mut ring = self.ring();
        ring.newest += 1;
        let seq = ring.newest;
        ring.bytes += json.len();
        ring.changes.push_back(Change { seq, kind, audience, json });
        while ring.changes.len() > KEEP || ring.bytes > KEEP_BYTES {
            let Some(old) = ring.changes.pop_front() else { break };
            ring.bytes -= old.json.len();
        }
        // Under the lock, so that numbers only rise.
        self.inner.newest.send_replace(seq);
    }

    /// Tells those who look at this box. `body` is not made when nobody does.
    pub fn telemetry<B: Serialize>(&self, id: &BoxId, body: impl FnOnce() -> B) {
        let sender = self.telemetry_map().get(id).cloned();
        if let Some(sender) = sender
            && sender.receiver_count() > 0
            && let Ok(json) = serde_json::to_string(&body())
        {
            // No receiver any more is fine.
            let _ = sender.send(json.into());
        }
    }

    /// Telemetry of one box from now on.
    #[must_use]
    pub fn follow_box(&self, id: &BoxId) -> broadcast::Receiver<Arc<str>> {
        let mut map = self.telemetry_map();
        map.retain(|_, sender| sender.receiver_count() > 0);
        map.entry(id.clone()).or_insert_with(|| broadcast::channel(TELEMETRY).0).subscribe()
    }

    /// The `id` of a change in the stream.
    #[must_use]
    pub fn event_id(&self, seq: u64) -> String {
        format!("{}-{seq}", self.inner.run)
    }

    /// Where a stream begins: behind the event that the browser has seen last; `None` when that is not of this process
    /// or not an id at all.
    #[must_use]
    pub fn resume(&self, last_event_id: &str) -> Option<u64> {
        let (run, seq) = last_event_id.rsplit_once('-')?;
        let seq = seq.parse().ok()?;
        (run == self.inner.run && seq <= self.newest()).then_some(seq)
    }

    /// Number of the newest change.
    #[must_use]
    pub fn newest(&self) -> u64 {
        self.ring().newest
    }

    /// What came after `seen`.
    #[must_use]
    pub fn after(&self, seen: u64) -> News {
        let ring = self.ring();
        let held = ring.changes.len() as u64;
        let first = ring.newest + 1 - held;
        if seen + 1 < first {
            return News::Reset { from: ring.newest };
        }
        let skip = usize::try_from(seen + 1 - first).unwrap_or(usize::MAX);
        News::Changes(ring.changes.iter().skip(skip).cloned().collect())
    }

    /// Changes whenever there is news.
    #[must_use]
    pub fn watch(&self) -> watch::Receiver<u64> {
        self.inner.newest.subscribe()
    }

    fn ring(&self) -> MutexGuard<'_, Ring> {
        self.inner.ring.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn telemetry_map(&self) -> MutexGuard<'_, HashMap<BoxId, broadcast::Sender<Arc<str>>>> {
        self.inner.telemetry.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(news: News) -> Vec<u64> {
        match news {
            News::Changes(changes) => changes.iter().map(|change| change.seq).collect(),
            News::Reset { .. } => panic!("reset"),
        }
    }

    #[test]
    fn a_browser_goes_on_where_it_was() {
        let hub = Hub::new("r".into());
        assert!(numbers(hub.after(0)).is_empty());
        for n in 0..3 {
            hub.send(Kind::Box, Audience::Staff, &n);
        }
        let seen = hub.resume(&hub.event_id(1)).unwrap();
        assert_eq!(numbers(hub.after(seen)), [2, 3]);
        assert_eq!(hub.resume("other-1"), None);
        assert_eq!(hub.resume("r-4"), None, "not from the future");
        assert_eq!(hub.resume("nonsense"), None);
    }

    #[test]
    fn what_is_no_longer_held_is_a_reset() {
        let hub = Hub::new("r".into());
        for n in 0..=KEEP {
            hub.send(Kind::Box, Audience::Staff, &n);
        }
        assert!(matches!(hub.after(0), News::Reset { from } if from == KEEP as u64 + 1));
        assert_eq!(numbers(hub.after(1)).len(), KEEP);
    }

    #[test]
    fn the_ring_is_bounded_in_bytes() {
        let hub = Hub::new("r".into());
        let text = "x".repeat(1 << 20);
        for _ in 0..20 {
            hub.send(Kind::Box, Audience::Staff, &text);
        }
        assert!(hub.ring().bytes <= KEEP_BYTES);
        assert_eq!(numbers(hub.after(hub.newest() - 1)).len(), 1);
    }

    #[tokio::test]
    async fn telemetry_goes_to_who_looks_at_the_box() {
        let hub = Hub::new("r".into());
        let (a, b): (BoxId, BoxId) = ("box-a".parse().unwrap(), "box-b".parse().unwrap());
        let mut following = hub.follow_box(&a);
        hub.telemetry(&b, || -> u32 { panic!("nobody looks at it") });
        hub.telemetry(&a, || 7);
        assert_eq!(&*following.recv().await.unwrap(), "7");
    }
}
