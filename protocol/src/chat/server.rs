//! What the service sends: one JSON object in one text frame. Events ([`super::event`]) come as they are; everything here
//! has no place in their order.

use serde::{Deserialize, Serialize};

use super::action::Then;
use super::event::{Event, Message};
use super::settings::Settings;
use super::{EventId, User};
use crate::ChannelId;

/// One frame of the service that is not an event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "t", rename_all = "snake_case")]
pub enum Frame {
    /// Answers `join`. The events that the client lacks follow, then what happens.
    Welcome(Welcome),
    /// What the client lacks, oldest first.
    History {
        events: Vec<Event>,
        /// More was missed than is kept: what the client has before this is not connected with it.
        gap: bool,
    },
    /// Answers `auth`, and says when what the connection may do has changed.
    You { you: Option<You> },
    /// How many watch, and how many of these can speak. At least every 20 s, so silence for 45 s means a dead connection.
    Counts { viewers: u64, chatters: u64 },
    /// A `say` was taken: it is (or was) the event `id`.
    Said { nonce: String, id: EventId },
    /// A `do` or a command was done.
    Done {
        nonce: String,
        /// In words, for whoever did it.
        text: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        answer: Option<Answer>,
    },
    /// A `say`, `do` or `auth` was refused; the connection goes on.
    Refused(Refused),
    /// To moderators: a message waits for a decision.
    Held { held: Held },
    /// To moderators: the decision on a held message; or it waited too long, without `by`.
    Reviewed {
        id: EventId,
        allowed: bool,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        by: Option<User>,
    },
    /// To moderators: one more entry of the moderation log.
    Logged { entry: LogEntry },
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Welcome {
    pub channel: ChannelId,
    pub settings: Settings,
    pub you: Option<You>,
    pub viewers: u64,
    pub chatters: u64,
    /// By the service's clock, in milliseconds since the Unix epoch.
    pub now_ms: u64,
    /// Longest message, in grapheme clusters.
    pub max_graphemes: u32,
    pub emotes: Vec<Emote>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Emote {
    /// Without the colons.
    pub name: String,
    pub url: String,
}

/// What the connection is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct You {
    pub user: User,
    /// When the token expires, in milliseconds since the Unix epoch.
    pub expires_ms: u64,
    /// May not speak: until when, and why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restriction: Option<Restriction>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Restriction {
    /// Absent: until it is taken back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until_ms: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refused {
    /// Of what is refused; empty for `auth`.
    pub nonce: String,
    pub code: Code,
    /// In words.
    pub text: String,
    /// When it may be tried again, in milliseconds from now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_ms: Option<u64>,
}

/// Why something is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Code {
    /// The frame or a value in it is wrong.
    Invalid,
    /// There is nothing left of the text, or it is too long.
    Text,
    /// No token, or it has expired.
    Unauthenticated,
    /// Not with this role.
    Forbidden,
    /// Too many messages: by this account, from this address or in this channel.
    Rate,
    /// Slow mode.
    Slow,
    TimedOut,
    Banned,
    FollowersOnly,
    SubscribersOnly,
    EmotesOnly,
    /// Said before.
    Duplicate,
    /// The chat is off.
    Off,
    /// A blocked term.
    Blocked,
    /// Links are not allowed.
    Links,
    /// Not refused, but held: a moderator decides.
    Held,
    /// There is no such message, user or term.
    NotFound,
    /// A command that does not exist, or is written otherwise.
    Command,
    /// A list is full.
    Full,
    /// The service cannot now; try again.
    Unavailable,
}

/// What an action asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "snake_case")]
pub enum Answer {
    Moderators { users: Vec<User> },
    Terms { terms: Vec<Term> },
    Held { held: Vec<Held> },
    Log { entries: Vec<LogEntry>, more: bool },
    Restricted { restricted: Vec<RestrictedUser> },
    Who { who: Box<Who> },
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Term {
    pub term: String,
    pub then: Then,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Held {
    pub id: EventId,
    pub at_ms: u64,
    pub message: Message,
    /// Why, in words.
    pub why: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogEntry {
    pub id: EventId,
    pub at_ms: u64,
    /// Absent: the service itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<User>,
    /// Such as `timeout`, `ban`, `delete`, `slow`.
    pub action: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<User>,
    /// In words: how long, why, what was said.
    pub text: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RestrictedUser {
    pub user: User,
    #[serde(flatten)]
    pub restriction: Restriction,
    pub at_ms: u64,
    pub by: Option<User>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Who {
    pub user: User,
    pub restriction: Option<Restriction>,
    /// When the account was made, in seconds since the Unix epoch, if it is known here.
    pub created_s: Option<u64>,
    pub followed_s: Option<u64>,
    pub messages: u64,
    pub timeouts: u64,
    pub bans: u64,
    /// The last ones, newest first.
    pub said: Vec<Event>,
}
