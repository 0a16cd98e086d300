//! What was said lately: for replies, for taking away, for `/who`, and for unique chat.

use std::collections::{HashMap, VecDeque};

use nodi_protocol::chat::EventId;
use nodi_protocol::chat::event::{Event, Message, What};

/// Messages that can be answered and taken away, about 600 bytes each. At 50 messages a second this is the last 20 s,
/// at the pace of a conversation the last hours.
pub const MAX_RECENT: usize = 1_000;
/// Messages of one person that `/who` shows.
const WHO: usize = 20;
/// Texts remembered for unique chat, 40 bytes each: more than a channel's bucket lets through in a minute is not
/// needed, and the oldest goes first.
const MAX_UNIQUE: usize = 20_000;

#[derive(Debug, Default)]
pub(super) struct Recent {
    /// By id, which is the order in which they came.
    messages: VecDeque<Event>,
}

impl Recent {
    pub(super) fn new(events: Vec<Event>) -> Self {
        let mut this = Self::default();
        events.into_iter().for_each(|event| this.push(event));
        this
    }

    pub(super) fn push(&mut self, event: Event) {
        let later = self.messages.back().is_none_or(|last| last.id < event.id);
        if later && matches!(event.what, What::Message(_)) {
            if self.messages.len() >= MAX_RECENT {
                self.messages.pop_front();
            }
            self.messages.push_back(event);
        }
    }

    fn at(&self, id: EventId) -> Option<usize> {
        self.messages.binary_search_by_key(&id, |event| event.id).ok()
    }

    pub(super) fn find(&self, id: EventId) -> Option<&Message> {
        self.messages.get(self.at(id)?).and_then(message)
    }

    pub(super) fn remove(&mut self, id: EventId) -> Option<Event> {
        self.messages.remove(self.at(id)?)
    }

    pub(super) fn remove_of(&mut self, account: &str) {
        self.messages.retain(|event| message(event).is_none_or(|message| message.user.id != account));
    }

    pub(super) fn clear(&mut self) {
        self.messages.clear();
    }

    /// The last ones of somebody, newest first.
    pub(super) fn of(&self, account: &str) -> Vec<Event> {
        let theirs = |event: &&Event| message(event).is_some_and(|message| message.user.id == account);
        self.messages.iter().rev().filter(theirs).take(WHO).cloned().collect()
    }
}

fn message(event: &Event) -> Option<&Message> {
    match &event.what {
        What::Message(message) => Some(message),
        _ => None,
    }
}

/// What may not be said again yet.
#[derive(Debug, Default)]
pub(super) struct Unique {
    said: HashMap<u64, u64>,
    order: VecDeque<(u64, u64)>,
}

impl Unique {
    /// When what looks like this was said last.
    pub(super) fn said_ms(&self, likeness: u64) -> Option<u64> {
        self.said.get(&likeness).copied()
    }

    pub(super) fn put(&mut self, likeness: u64, now_ms: u64) {
        self.said.insert(likeness, now_ms);
        self.order.push_back((likeness, now_ms));
        while self.order.len() > MAX_UNIQUE {
            self.drop_first();
        }
    }

    /// Forgets what was said before `then_ms`.
    pub(super) fn forget(&mut self, then_ms: u64) {
        while self.order.front().is_some_and(|(_, at)| *at < then_ms) {
            self.drop_first();
        }
    }

    fn drop_first(&mut self) {
        if let Some((likeness, at)) = self.order.pop_front() {
            // It may have been said again since.
            if self.said.get(&likeness) == Some(&at) {
                self.said.remove(&likeness);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use nodi_protocol::chat::User;

    use super::*;

    fn event(n: u64, account: &str) -> Event {
        let user = User {
            id: account.into(),
            name: account.into(),
            role: Default::default(),
            color: None,
            badges: Vec::new(),
        };
        let message =
            Message { user, text: n.to_string(), marks: Vec::new(), me: false, reply: None, first: false };
        Event { id: EventId::new(n, 0), at_ms: n, what: What::Message(message) }
    }

    #[test]
    fn the_last_ones_are_found_by_id() {
        let mut recent = Recent::new((0..MAX_RECENT as u64 + 10).map(|n| event(n, "a")).collect());
        assert!(recent.find(EventId::new(9, 0)).is_none());
        assert_eq!(recent.find(EventId::new(10, 0)).unwrap().text, "10");
        assert!(recent.remove(EventId::new(11, 0)).is_some());
        assert!(recent.remove(EventId::new(11, 0)).is_none());
        recent.push(event(5, "late"));
        assert!(recent.of("late").is_empty());
        recent.push(event(5_000, "b"));
        assert_eq!(recent.of("a").len(), WHO);
        assert_eq!(recent.of("b")[0].at_ms, 5_000);
        recent.remove_of("a");
        assert!(recent.of("a").is_empty());
    }

    #[test]
    fn what_was_said_is_forgotten_in_time() {
        let mut unique = Unique::default();
        unique.put(1, 10);
        unique.put(2, 20);
        unique.put(1, 30);
        unique.forget(25);
        assert_eq!((unique.said_ms(1), unique.said_ms(2)), (Some(30), None));
        for n in 0..2 * MAX_UNIQUE as u64 {
            unique.put(n, 40);
        }
        assert_eq!(unique.said.len(), MAX_UNIQUE);
        unique.forget(41);
        assert!(unique.said.is_empty() && unique.order.is_empty());
    }
}
