//! All boxes as they are now, in memory: lists and pages read here, and the database only keeps what a restart needs.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use nodi_protocol::fleet::event::Event;
use nodi_protocol::fleet::session::Session;
use nodi_protocol::{BoxId, SessionId};
use tokio::sync::broadcast;

use super::record::Record;
use super::summary::BoxSummary;
use crate::live::{Audience, Hub, Kind};

/// Changes that may wait for a slow follower before it is told that it missed some.
const CHANGES: usize = 4_096;
/// A box's row is sent to browsers at most this often, in milliseconds.
const ROW_INTERVAL_MS: i64 = 1_000;
/// Rows sent per look only because a number moved. Four looks a second make 20 rows a second for the whole fleet: a
/// browser can draw that, and a small fleet still moves every second.
const NUMBERS_PER_LOOK: usize = 5;

/// Something that happened, for other areas of the server.
#[derive(Debug, Clone)]
pub enum Change {
    /// It came, went, or was changed by a person.
    Box(BoxId),
    Removed(BoxId),
    /// New, or with news.
    Session(BoxId, Arc<Session>),
    SessionEnded(BoxId, Arc<Session>),
    /// Each once, after it is in the database.
    Event(BoxId, Arc<Event>),
}

/// A clonable handle.
#[derive(Clone)]
pub struct Registry {
    inner: Arc<RwLock<Inner>>,
    changes: broadcast::Sender<Change>,
    /// Which database counts the versions of desired state.
    epoch: Arc<str>,
}

#[derive(Default)]
struct Inner {
    boxes: HashMap<BoxId, Slot>,
    /// Rows that somebody has to see soon.
    urgent: HashSet<BoxId>,
    /// Rows of which a number moved, the oldest first, each once.
    moved: VecDeque<BoxId>,
}

struct Slot {
    record: Arc<Record>,
    summary: Arc<BoxSummary>,
    /// As browsers were told, and when.
    shown: Arc<BoxSummary>,
    shown_ms: i64,
    waits: bool,
}

impl Registry {
    #[must_use]
    pub fn new(epoch: &str, records: Vec<Record>, now_ms: i64) -> Self {
        let registry =
            Self { inner: Arc::default(), changes: broadcast::channel(CHANGES).0, epoch: epoch.into() };
        let mut inner = registry.write();
        for record in records {
            let summary = Arc::new(BoxSummary::of(&record, epoch, now_ms));
            let slot = Slot {
                shown: Arc::clone(&summary),
                summary,
                record: Arc::new(record),
                shown_ms: 0,
                waits: false,
            };
            inner.boxes.insert(slot.record.id.clone(), slot);
        }
        drop(inner);
        registry
    }

    #[must_use]
    pub fn epoch(&self) -> &str {
        &self.epoch
    }

    #[must_use]
    pub fn get(&self, id: &BoxId) -> Option<Arc<Record>> {
        self.read().boxes.get(id).map(|slot| Arc::clone(&slot.record))
    }

    #[must_use]
    pub fn summary(&self, id: &BoxId) -> Option<Arc<BoxSummary>> {
        self.read().boxes.get(id).map(|slot| Arc::clone(&slot.summary))
    }

    /// Of all boxes, in no order.
    #[must_use]
    pub fn records(&self) -> Vec<Arc<Record>> {
        self.read().boxes.values().map(|slot| Arc::clone(&slot.record)).collect()
    }

    /// Of all boxes, in no order.
    #[must_use]
    pub fn summaries(&self) -> Vec<Arc<BoxSummary>> {
        self.read().boxes.values().map(|slot| Arc::clone(&slot.summary)).collect()
    }

    #[must_use]
    pub fn len(&self) -> usize {
        self.read().boxes.len()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    #[must_use]
    pub fn contains(&self, id: &BoxId) -> bool {
        self.read().boxes.contains_key(id)
    }

    /// What happens from now on. A follower that is too slow is told that it missed some and looks at everything.
    #[must_use]
    pub fn changes(&self) -> broadcast::Receiver<Change> {
        self.changes.subscribe()
    }

    pub(crate) fn tell(&self, change: Change) {
        // Nobody may follow just now.
        let _ = self.changes.send(change);
    }

    /// A box that was not there before.
    pub(crate) fn insert(&self, record: Record, now_ms: i64) {
        let id = record.id.clone();
        let summary = Arc::new(BoxSummary::of(&record, &self.epoch, now_ms));
        let slot = Slot {
            shown: Arc::clone(&summary),
            summary,
            record: Arc::new(record),
            shown_ms: 0,
            waits: false,
        };
        let mut inner = self.write();
        inner.boxes.insert(id.clone(), slot);
        inner.urgent.insert(id.clone());
        drop(inner);
        self.tell(Change::Box(id));
    }

    pub(crate) fn remove(&self, id: &BoxId) -> Option<Arc<Record>> {
        let removed = self.write().boxes.remove(id)?;
        self.tell(Change::Removed(id.clone()));
        Some(removed.record)
    }

    /// Changes a box. `None`: there is no such box.
    pub(crate) fn update<T>(
        &self,
        id: &BoxId,
        now_ms: i64,
        change: impl FnOnce(&mut Record) -> T,
    ) -> Option<T> {
        let mut inner = self.write();
        let Inner { boxes, urgent, moved } = &mut *inner;
        let slot = boxes.get_mut(id)?;
        let before = (slot.summary.state, slot.summary.health);
        let result = change(Arc::make_mut(&mut slot.record));
        let summary = BoxSummary::of(&slot.record, &self.epoch, now_ms);
        if summary != *slot.summary {
            if summary.differs_in_substance(&slot.shown) {
                urgent.insert(id.clone());
            } else if !slot.waits {
                slot.waits = true;
                moved.push_back(id.clone());
            }
            slot.summary = Arc::new(summary);
        }
        let changed = before != (slot.summary.state, slot.summary.health);
        drop(inner);
        if changed {
            self.tell(Change::Box(id.clone()));
        }
        Some(result)
    }

    /// Silence up to now does not count: nothing could be heard.
    pub(crate) fn hold(&self, now_ms: i64) {
        for slot in self.write().boxes.values_mut() {
            if slot.record.presence.online {
                Arc::make_mut(&mut slot.record).presence.hold(now_ms);
            }
        }
    }

    /// Sends the rows that are due to browsers.
    pub(crate) fn show(&self, hub: &Hub, now_ms: i64) {
        let mut due = Vec::new();
        let mut inner = self.write();
        let Inner { boxes, urgent, moved } = &mut *inner;
        let mut row = |id: &BoxId| -> bool {
            let Some(slot) = boxes.get_mut(id) else { return true };
            if now_ms < slot.shown_ms + ROW_INTERVAL_MS && now_ms >= slot.shown_ms {
                return false;
            }
            slot.shown = Arc::clone(&slot.summary);
            slot.shown_ms = now_ms;
            slot.waits = false;
            due.push(Arc::clone(&slot.summary));
            true
        };
        urgent.retain(|id| !row(id));
        for _ in 0..NUMBERS_PER_LOOK.min(moved.len()) {
            let Some(id) = moved.pop_front() else { break };
            if !row(&id) {
                moved.push_back(id);
            }
        }
        drop(inner);
        for summary in due {
            hub.send(Kind::Box, Audience::Staff, &*summary);
        }
    }

    /// Sessions of all boxes.
    #[must_use]
    pub fn sessions(&self) -> Vec<(Arc<Record>, Arc<Session>)> {
        let inner = self.read();
        let with_sessions = inner.boxes.values().filter(|slot| !slot.record.sessions.is_empty());
        with_sessions
            .flat_map(|slot| {
                slot.record.sessions.values().map(|session| (Arc::clone(&slot.record), Arc::clone(session)))
            })
            .collect()
    }

    /// The box that has this session just now.
    #[must_use]
    pub fn session(&self, id: &SessionId) -> Option<(Arc<Record>, Arc<Session>)> {
        self.read().boxes.values().find_map(|slot| {
            slot.record.sessions.get(id).map(|session| (Arc::clone(&slot.record), Arc::clone(session)))
        })
    }

    /// Sets how many alerts of each box are active; a box that is not named has none.
    pub fn set_alerts(&self, active: &BTreeMap<BoxId, u32>, now_ms: i64) {
        let changed: Vec<(BoxId, u32)> = self
            .read()
            .boxes
            .values()
            .map(|slot| (&slot.record, active.get(&slot.record.id).copied().unwrap_or(0)))
            .filter(|(record, alerts)| record.alerts != *alerts)
            .map(|(record, alerts)| (record.id.clone(), alerts))
            .collect();
        for (id, alerts) in changed {
            self.update(&id, now_ms, |record| record.alerts = alerts);
        }
    }

    fn read(&self) -> RwLockReadGuard<'_, Inner> {
        self.inner.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Inner> {
        self.inner.write().unwrap_or_else(PoisonError::into_inner)
    }
}
