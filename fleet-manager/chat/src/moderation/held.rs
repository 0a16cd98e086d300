//! Messages that wait for a moderator.

use std::collections::BTreeMap;

use nodi_protocol::chat::EventId;
use nodi_protocol::chat::server::Held;

use super::Inside;
use crate::store::Waiting;

/// Messages that may wait in one channel: more than anybody reads through.
pub const MAX_HELD: usize = 200;
/// Of one account: so that one alone does not fill the list.
pub const MAX_HELD_EACH: usize = 3;

#[derive(Debug, Default)]
pub(super) struct Queue {
    all: BTreeMap<EventId, Entry>,
}

#[derive(Debug)]
struct Entry {
    waiting: Waiting,
    /// The decision is on its way to the bus.
    decided: bool,
}

impl Queue {
    pub(super) fn new(all: Vec<Waiting>) -> Self {
        let mut this = Self::default();
        all.into_iter().for_each(|waiting| this.put(waiting));
        this
    }

    pub(super) fn put(&mut self, waiting: Waiting) {
        self.all.insert(waiting.id, Entry { waiting, decided: false });
    }

    pub(super) fn is_full(&self) -> bool {
        self.all.len() >= MAX_HELD
    }

    pub(super) fn count_of(&self, account: &str) -> usize {
        self.all.values().filter(|entry| entry.waiting.message.user.id == account).count()
    }

    /// What nobody has decided on yet.
    pub(super) fn get(&self, id: EventId) -> Option<&Waiting> {
        self.all.get(&id).filter(|entry| !entry.decided).map(|entry| &entry.waiting)
    }

    pub(super) fn decide(&mut self, id: EventId) {
        if let Some(entry) = self.all.get_mut(&id) {
            entry.decided = true;
        }
    }

    pub(super) fn remove(&mut self, id: EventId) -> Option<Waiting> {
        self.all.remove(&id).map(|entry| entry.waiting)
    }

    pub(super) fn remove_of(&mut self, account: &str) -> Vec<Waiting> {
        let theirs: Vec<EventId> = self
            .all
            .values()
            .filter(|entry| entry.waiting.message.user.id == account)
            .map(|entry| entry.waiting.id)
            .collect();
        theirs.into_iter().filter_map(|id| self.remove(id)).collect()
    }

    /// Those that came before `then_ms` and are not decided on.
    pub(super) fn older(&self, then_ms: u64) -> Vec<EventId> {
        let old = |entry: &&Entry| !entry.decided && entry.waiting.at_ms <= then_ms;
        self.all.values().filter(old).map(|entry| entry.waiting.id).collect()
    }

    /// Oldest first.
    pub(super) fn list(&self) -> Vec<Held> {
        self.all.values().filter(|entry| !entry.decided).map(|entry| told(&entry.waiting)).collect()
    }
}

pub(super) fn told(waiting: &Waiting) -> Held {
    Held { id: waiting.id, at_ms: waiting.at_ms, message: waiting.message.clone(), why: waiting.why.clone() }
}

/// What a message goes to the bus with once it is let through.
pub(super) fn inside(waiting: &Waiting) -> Inside {
    Inside { held: Some(waiting.id), ..waiting.inside.clone() }
}
