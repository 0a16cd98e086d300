//! What is kept of a channel, as rules and transport see it.

use nodi_protocol::ChannelId;
use nodi_protocol::chat::action::Then;
use nodi_protocol::chat::event::{Event, Message};
use nodi_protocol::chat::rooms::ChannelFacts;
use nodi_protocol::chat::server::LogEntry;
use nodi_protocol::chat::settings::Settings;
use nodi_protocol::chat::{EventId, User};

use crate::limits::AddressHash;
use crate::moderation::{Delivery, Inside};

/// One thing to write down.
#[derive(Debug, Clone)]
pub enum Op {
    /// What came back from the bus. The store takes from it what lasts: messages, restrictions, settings, roles, terms,
    /// what is held, and what was taken away.
    Delivered {
        channel: ChannelId,
        delivery: Box<Delivery>,
    },
    Log {
        channel: ChannelId,
        entry: Box<LogEntry>,
    },
    Facts(Box<ChannelFacts>),
    /// A time-out is over.
    Ended {
        channel: ChannelId,
        account: String,
    },
}

/// What is known of a channel when its room opens.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Loaded {
    /// The last ones that are still to be seen, oldest first.
    pub events: Vec<Event>,
    /// The greatest id that anything of this channel ever had: the bus goes on from there.
    pub last: Option<EventId>,
    /// What was said lately with which nonce.
    pub nonces: Vec<Nonce>,
    /// `None`: never changed.
    pub settings: Option<Settings>,
    pub moderators: Vec<User>,
    pub restrictions: Vec<Restricted>,
    pub terms: Vec<(String, Then)>,
    pub held: Vec<Waiting>,
    /// Oldest first.
    pub log: Vec<LogEntry>,
    /// Who was here last, the last one last.
    pub people: Vec<Person>,
    /// Accounts that have spoken here, besides `people`.
    pub known: Vec<String>,
    /// The last answer of the fleet server.
    pub facts: Option<ChannelFacts>,
    /// See [`crate::moderation::Note::Raid`].
    pub raid_until_ms: u64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Nonce {
    pub account: String,
    pub nonce: String,
    pub id: EventId,
    pub at_ms: u64,
}

/// Somebody who may not speak.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Restricted {
    pub user: User,
    /// `None`: a ban.
    pub until_ms: Option<u64>,
    pub reason: Option<String>,
    pub by: User,
    pub at_ms: u64,
    /// Where the account was when it was banned.
    pub addresses: Vec<AddressHash>,
}

/// A message that waits for a moderator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waiting {
    pub id: EventId,
    pub at_ms: u64,
    pub message: Message,
    pub why: String,
    pub inside: Inside,
}

/// Somebody who is or was here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Person {
    /// With the role of the last token.
    pub user: User,
    /// Of the first message; `None`: never spoke.
    pub first_ms: Option<u64>,
    /// Last message, or when they were last seen.
    pub last_ms: u64,
    pub messages: u64,
    pub timeouts: u64,
    pub bans: u64,
    pub created_s: Option<u64>,
    pub followed_s: Option<u64>,
    /// Where they were lately, and when, the last one last.
    pub addresses: Vec<(AddressHash, u64)>,
}
