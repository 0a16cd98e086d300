//! The last events of a room, as they were sent: for who joins, and for who comes back. What was taken away later is not
//! shown to either.

use std::collections::VecDeque;

use bytes::{BufMut as _, Bytes, BytesMut};
use nodi_protocol::chat::EventId;
use nodi_protocol::chat::event::{Event, What};

use crate::frame;
use crate::moderation::takes_away;

/// How much is kept.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    pub events: usize,
    pub bytes: usize,
    /// Of one answer to a client that comes back.
    pub resume_bytes: usize,
}

/// What an event costs in memory besides its text, roughly: the texts in it once more, and the structure.
const OVERHEAD: usize = 400;

#[derive(Debug)]
pub struct Ring {
    limits: Limits,
    entries: VecDeque<Entry>,
    bytes: usize,
    /// Everything after this one is here; `None`: everything that there ever was.
    complete_after: Option<EventId>,
    /// What everybody gets who joins without a history, until the next event.
    joined: Option<Bytes>,
}

#[derive(Debug)]
struct Entry {
    event: Event,
    json: Bytes,
    gone: bool,
}

impl Entry {
    fn cost(&self) -> usize {
        self.json.len() * 2 + OVERHEAD
    }

    fn is_message(&self) -> bool {
        matches!(self.event.what, What::Message(_))
    }
}

/// What a client that comes back lacks.
#[derive(Debug, PartialEq, Eq)]
pub enum Missed {
    /// All of it: a `history` frame.
    Frame(Bytes),
    /// Some of it was before what is here.
    Unknown,
}

impl Ring {
    /// `events` are the last ones that are still to be seen, `last` the greatest id that was ever given.
    #[must_use]
    pub fn new(limits: Limits, events: Vec<Event>, last: Option<EventId>) -> Self {
        let mut ring =
            Self { limits, entries: VecDeque::new(), bytes: 0, complete_after: last, joined: None };
        for event in events {
            let json = json(&event);
            ring.push(event, json);
        }
        ring.complete_after = ring.complete_after.max(last);
        ring
    }

    /// `json` is the event as clients get it.
    pub fn push(&mut self, event: Event, json: Bytes) {
        self.joined = None;
        if !matches!(event.what, What::Message(_)) {
            for entry in self.entries.iter_mut().filter(|entry| takes_away(&event, &entry.event)) {
                entry.gone = true;
            }
        }
        let entry = Entry { event, json, gone: false };
        self.bytes += entry.cost();
        self.entries.push_back(entry);
        while self.entries.len() > self.limits.events || self.bytes > self.limits.bytes {
            let Some(oldest) = self.entries.pop_front() else { break };
            self.bytes -= oldest.cost();
            self.complete_after = self.complete_after.max(Some(oldest.event.id));
        }
    }

    /// Forgets what an account said.
    pub fn erase(&mut self, account: &str) {
        self.joined = None;
        let is_theirs =
            |event: &Event| matches!(&event.what, What::Message(message) if message.user.id == account);
        self.entries.retain(|entry| !is_theirs(&entry.event));
        self.bytes = self.entries.iter().map(Entry::cost).sum();
    }

    /// The last `count` messages, as a `history` frame.
    pub fn history(&mut self, count: usize, gap: bool) -> Bytes {
        let is_usual = count == nodi_protocol::chat::HISTORY && !gap;
        if is_usual && let Some(frame) = &self.joined {
            return frame.clone();
        }
        let mut bytes = 0;
        let mut chosen: Vec<&[u8]> = self
            .entries
            .iter()
            .rev()
            .filter(|entry| entry.is_message() && !entry.gone)
            .take(count)
            .map(|entry| &entry.json[..])
            .take_while(|json| {
                bytes += json.len() + 1;
                bytes <= self.limits.resume_bytes
            })
            .collect();
        chosen.reverse();
        let frame = history(&chosen, gap);
        if is_usual {
            self.joined = Some(frame.clone());
        }
        frame
    }

    /// What came after `after`, unless that is more than one answer holds or not all of it is here. `older` is what the
    /// store has after it.
    #[must_use]
    pub fn after(&self, after: EventId, older: Option<&[Event]>) -> Missed {
        if older.is_none() && self.complete_after.is_some_and(|from| after < from) {
            return Missed::Unknown;
        }
        let older = older.unwrap_or_default();
        let start = older.last().map_or(after, |event| event.id.max(after));
        let older: Vec<Bytes> = older
            .iter()
            .filter(|event| {
                !self.entries.iter().any(|entry| {
                    takes_away(&entry.event, event) || (entry.gone && entry.event.id == event.id)
                })
            })
            .map(json)
            .collect();
        let first = self.entries.partition_point(|entry| entry.event.id <= start);
        let chosen: Vec<&[u8]> = older
            .iter()
            .map(|json| &json[..])
            .chain(self.entries.range(first..).filter(|entry| !entry.gone).map(|entry| &entry.json[..]))
            .collect();
        if chosen.iter().map(|json| json.len() + 1).sum::<usize>() > self.limits.resume_bytes {
            return Missed::Unknown;
        }
        Missed::Frame(history(&chosen, false))
    }
}

/// An event as clients get it.
#[must_use]
pub fn json(event: &Event) -> Bytes {
    // The types have no map with other keys than texts and no failing implementation: it cannot fail.
    serde_json::to_vec(event).unwrap_or_default().into()
}

fn history(events: &[&[u8]], gap: bool) -> Bytes {
    let mut json = BytesMut::with_capacity(64 + events.iter().map(|event| event.len() + 1).sum::<usize>());
    json.put_slice(br#"{"t":"history","events":["#);
    for (index, event) in events.iter().enumerate() {
        if index > 0 {
            json.put_u8(b',');
        }
        json.put_slice(event);
    }
    json.put_slice(if gap { br#"],"gap":true}"# } else { br#"],"gap":false}"# });
    frame::text(&json)
}

#[cfg(test)]
mod tests {
    use nodi_protocol::chat::User;
    use nodi_protocol::chat::event::Message;
    use nodi_protocol::chat::server::Frame;

    use super::*;

    const LIMITS: Limits = Limits { events: 50, bytes: 1 << 20, resume_bytes: 64 << 10 };

    fn id(n: u64) -> EventId {
        EventId::new(n, 0)
    }

    fn user(name: &str) -> User {
        User {
            id: name.to_owned(),
            name: name.to_owned(),
            role: nodi_protocol::chat::Role::Viewer,
            color: None,
            badges: Vec::new(),
        }
    }

    fn message(n: u64, by: &str) -> Event {
        let message = Message {
            user: user(by),
            text: format!("message {n}"),
            marks: Vec::new(),
            me: false,
            reply: None,
            first: false,
        };
        Event { id: id(n), at_ms: n, what: What::Message(message) }
    }

    fn push(ring: &mut Ring, event: Event) {
        let json = json(&event);
        ring.push(event, json);
    }

    /// Ids in a `history` frame, and whether there is a gap.
    fn read(frame: &Bytes) -> (Vec<u64>, bool) {
        let start = frame.iter().position(|byte| *byte == b'{').unwrap();
        match serde_json::from_slice(&frame[start..]).unwrap() {
            Frame::History { events, gap } => (events.iter().map(|event| event.id.unix_ms()).collect(), gap),
            other => panic!("{other:?}"),
        }
    }

    fn missed(ring: &Ring, after: u64, older: Option<&[Event]>) -> Option<Vec<u64>> {
        match ring.after(id(after), older) {
            Missed::Frame(frame) => {
                let (ids, gap) = read(&frame);
                assert!(!gap);
                Some(ids)
            }
            Missed::Unknown => None,
        }
    }

    #[test]
    fn who_joins_gets_the_last_messages_that_are_still_there() {
        let mut ring = Ring::new(LIMITS, vec![message(1, "ada"), message(2, "bob")], Some(id(2)));
        push(&mut ring, message(3, "ada"));
        assert_eq!(read(&ring.history(100, false)), (vec![1, 2, 3], false));
        push(&mut ring, Event { id: id(4), at_ms: 4, what: What::Deleted { message: id(1), by: None } });
        assert_eq!(read(&ring.history(100, false)), (vec![2, 3], false));
        push(&mut ring, message(5, "bob"));
        assert_eq!(read(&ring.history(2, false)), (vec![3, 5], false));
        assert_eq!(read(&ring.history(0, false)), (vec![], false));
        push(&mut ring, Event { id: id(6), at_ms: 6, what: What::Purged { user: user("bob"), by: None } });
        push(&mut ring, message(7, "bob"));
        assert_eq!(read(&ring.history(100, true)), (vec![3, 7], true));
        ring.erase("ada");
        assert_eq!(read(&ring.history(100, false)), (vec![7], false));
    }

    #[test]
    fn who_comes_back_gets_everything_after_what_they_have() {
        let mut ring = Ring::new(LIMITS, Vec::new(), None);
        for n in 1..=10 {
            push(&mut ring, message(n, "ada"));
        }
        push(&mut ring, Event { id: id(11), at_ms: 11, what: What::Deleted { message: id(9), by: None } });
        assert_eq!(missed(&ring, 7, None), Some(vec![8, 10, 11]));
        assert_eq!(missed(&ring, 11, None), Some(vec![]));
        assert_eq!(missed(&ring, 0, None).unwrap().len(), 10);
    }

    #[test]
    fn what_is_before_the_ring_comes_from_the_store_or_is_a_gap() {
        let mut ring = Ring::new(LIMITS, vec![message(4, "ada")], Some(id(5)));
        push(&mut ring, message(6, "bob"));
        assert_eq!(missed(&ring, 5, None), Some(vec![6]));
        assert_eq!(missed(&ring, 3, None), None, "a deletion may have been between");
        assert_eq!(missed(&ring, 3, Some(&[])), Some(vec![4, 6]), "the store knows of no other");
        let older = [message(4, "ada"), message(5, "ada")];
        assert_eq!(missed(&ring, 3, Some(&older)), Some(vec![4, 5, 6]));
        push(&mut ring, Event { id: id(7), at_ms: 7, what: What::Deleted { message: id(4), by: None } });
        assert_eq!(missed(&ring, 3, Some(&older)), Some(vec![5, 6, 7]));
    }

    #[test]
    fn it_is_bounded_and_says_so() {
        let mut ring = Ring::new(LIMITS, Vec::new(), None);
        for n in 1..=60 {
            push(&mut ring, message(n, "ada"));
        }
        assert_eq!(ring.entries.len(), LIMITS.events);
        assert_eq!(missed(&ring, 9, None), None);
        assert_eq!(missed(&ring, 10, None).unwrap().len(), 50);
        let mut small = Ring::new(Limits { bytes: 5_000, resume_bytes: 500, ..LIMITS }, Vec::new(), None);
        for n in 1..=60 {
            push(&mut small, message(n, "ada"));
        }
        assert!(small.bytes <= 5_000);
        assert_eq!(missed(&small, 57, None).unwrap().len(), 3);
        assert_eq!(missed(&small, 54, None), None, "more than one answer holds");
        assert!(small.history(100, false).len() <= 600);
    }
}
