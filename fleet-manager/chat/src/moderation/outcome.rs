//! What the rules hand to whoever carries them out: what goes to the bus, what is answered, what is written down.

use nodi_protocol::chat::action::Then;
use nodi_protocol::chat::event::{Event, Message, What};
use nodi_protocol::chat::server::Frame;
use nodi_protocol::chat::{EventId, Role, User};
use serde::{Deserialize, Serialize};

use crate::limits::AddressHash;
use crate::store::Op;

/// What follows from something that somebody did, from the time that has passed, or from what came from the bus.
#[derive(Debug, Default)]
pub struct Outcome {
    /// Goes to the bus, in this order. It changes nothing here until it comes back: [`super::Room::delivered`].
    pub publish: Vec<Publish>,
    /// Goes to whoever asked.
    pub answer: Option<Frame>,
    /// The asker's `say` was taken, and gets `said` when the message with its account and nonce comes back from the
    /// bus ([`Delivery::said`]). True also when it is a repetition of one that is still on its way.
    pub awaits: bool,
    /// Go to every moderator in the room, in this order.
    pub moderators: Vec<Frame>,
    /// What the connections of this account may do has changed: each gets `you` ([`super::Room::you`]).
    pub changed: Option<String>,
    /// Go to [`crate::store::Store::submit`], in this order.
    pub ops: Vec<Op>,
}

/// Something on its way to the bus. It has no id yet: the bus puts all that comes in one order and gives the ids.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Publish {
    pub item: Item,
    #[serde(default)]
    pub inside: Inside,
}

/// The same on its way back, to every node that has the room open.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delivery {
    /// Greater than that of every earlier delivery of the channel.
    pub id: EventId,
    /// Milliseconds since the Unix epoch, by the node that published it.
    pub at_ms: u64,
    pub item: Item,
    #[serde(default)]
    pub inside: Inside,
}

/// What travels over the bus.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Item {
    /// For everybody in the room.
    Event(What),
    /// For the nodes alone; no client sees it as it is.
    Note(Note),
}

/// What nodes tell each other about a room besides its events.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "note", rename_all = "snake_case")]
pub enum Note {
    /// A message waits for a moderator; the delivery's id names it.
    Held {
        message: Message,
        why: String,
    },
    /// Nobody waits for it any more: decided on, or (without `by`) waited too long.
    Reviewed {
        held: EventId,
        allowed: bool,
        by: Option<User>,
    },
    /// A term is blocked, or handled otherwise than before.
    Term {
        term: String,
        then: Then,
        by: User,
    },
    TermGone {
        term: String,
        by: User,
    },
    /// The raid shield holds what newcomers say until then, in milliseconds since the Unix epoch.
    Raid {
        until_ms: u64,
        newcomers: u32,
    },
    /// An account's messages are erased for good, by its owner.
    Erased {
        account: String,
    },
}

/// What goes with an item and is for the nodes alone.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Inside {
    /// Of the `say` that a message, or a held one, came with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nonce: Option<String>,
    /// Where its author is; for a ban: where the account was last seen.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub addresses: Vec<AddressHash>,
    /// The message waited as this one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub held: Option<EventId>,
    /// Its author's role by the token, whatever they were appointed to here.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub role: Option<Role>,
    /// When its author's account was made, and since when it follows, in seconds since the Unix epoch.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub created_s: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub followed_s: Option<u64>,
}

impl Publish {
    pub(crate) fn event(what: What) -> Self {
        Self { item: Item::Event(what), inside: Inside::default() }
    }

    pub(crate) fn note(note: Note) -> Self {
        Self { item: Item::Note(note), inside: Inside::default() }
    }

    /// With the id and the time that the bus gives.
    #[must_use]
    pub fn delivered_as(self, id: EventId, at_ms: u64) -> Delivery {
        Delivery { id, at_ms, item: self.item, inside: self.inside }
    }
}

impl Delivery {
    /// What everybody in the room gets; `None` for what is between nodes.
    #[must_use]
    pub fn event(&self) -> Option<Event> {
        match &self.item {
            Item::Event(what) => Some(Event { id: self.id, at_ms: self.at_ms, what: what.clone() }),
            Item::Note(_) => None,
        }
    }

    /// Whether somebody decided something, such as to ban: what is not merely said.
    #[must_use]
    pub fn is_decision(&self) -> bool {
        !matches!(self.item, Item::Event(What::Message(_)) | Item::Note(Note::Held { .. }))
    }

    /// Account and nonce of the `say` that this is the message of: whoever waits for it gets `said` with `self.id`.
    #[must_use]
    pub fn said(&self) -> Option<(&str, &str)> {
        match (&self.item, &self.inside.nonce) {
            (Item::Event(What::Message(message)), Some(nonce)) => Some((&message.user.id, nonce)),
            _ => None,
        }
    }
}

/// Whether `event` takes `earlier` away: then nobody who comes later gets to see that one.
#[must_use]
pub fn takes_away(event: &Event, earlier: &Event) -> bool {
    let What::Message(message) = &earlier.what else { return false };
    if earlier.id >= event.id {
        return false;
    }
    match &event.what {
        What::Deleted { message, .. } => *message == earlier.id,
        What::Purged { user, .. } | What::Restricted { user, .. } => user.id == message.user.id,
        What::Cleared { .. } => true,
        What::Message(_) | What::Released { .. } | What::Role { .. } | What::Settings { .. } => false,
    }
}
