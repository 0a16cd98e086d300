//! Chat: what crosses the WebSocket between `nodi-chat` and anybody's client, the token that lets an account speak, and
//! what the chat service tells the fleet server. `docs/chat-protocol.md` is the description for writers of clients.

pub mod action;
pub mod client;
pub mod event;
pub mod rooms;
pub mod server;
pub mod settings;
pub mod token;

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The WebSocket subprotocol (RFC 6455 section 1.9). Another version is another name.
pub const SUBPROTOCOL: &str = "nodi.chat.v1";

/// Longest message, in grapheme clusters (UAX 29).
pub const MAX_GRAPHEMES: usize = 500;
/// Longest message, in bytes of UTF-8: five hundred emoji of a family of four with skin tones would be 20 KiB, which
/// nobody reads.
pub const MAX_TEXT_BYTES: usize = 4_096;
/// Longest frame that a client may send, in bytes: a token and a message with everything escaped fit.
pub const MAX_CLIENT_FRAME: usize = 16 << 10;
/// Messages on join.
pub const HISTORY: usize = 100;
/// Shortest and longest time-out, in seconds: 14 days.
pub const TIMEOUT_S: std::ops::RangeInclusive<u64> = 1..=14 * 86_400;

/// Names one event of a channel (message, deletion, time-out…): a ULID. In a channel a later event has the greater id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct EventId(ulid::Ulid);

/// Why a text is not an event's id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a ULID of 26 upper-case characters")]
pub struct NotAnEventId;

impl EventId {
    /// `unix_ms` milliseconds after the Unix epoch; 80 bits of `random` are used.
    #[must_use]
    pub fn new(unix_ms: u64, random: u128) -> Self {
        Self(ulid::Ulid::from_parts(unix_ms, random))
    }

    /// The next greater id, in the same millisecond as long as there is one.
    #[must_use]
    pub fn next(self) -> Self {
        Self(ulid::Ulid(self.0.0.saturating_add(1)))
    }

    #[must_use]
    pub fn unix_ms(self) -> u64 {
        self.0.timestamp_ms()
    }
}

impl FromStr for EventId {
    type Err = NotAnEventId;

    fn from_str(text: &str) -> Result<Self, NotAnEventId> {
        ulid::Ulid::from_string(text)
            .ok()
            .filter(|ulid| ulid.to_string() == text)
            .map(Self)
            .ok_or(NotAnEventId)
    }
}

impl TryFrom<String> for EventId {
    type Error = NotAnEventId;

    fn try_from(text: String) -> Result<Self, NotAnEventId> {
        text.parse()
    }
}

impl From<EventId> for String {
    fn from(id: EventId) -> Self {
        id.to_string()
    }
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What somebody is in a channel. Each may do what those before it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    #[default]
    Viewer,
    /// Supports the channel; may speak when only subscribers may.
    Subscriber,
    /// Keeps order.
    Moderator,
    /// The channel is theirs.
    Streamer,
    /// Operators of the platform: may do in any channel what its streamer may.
    Staff,
}

/// Who said something, as everybody sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct User {
    /// Of the account. For ever, whatever its name becomes.
    pub id: String,
    pub name: String,
    #[serde(default)]
    pub role: Role,
    /// `#rrggbb`, as the account chose it; clients see to the contrast.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub color: Option<String>,
    /// Such as `streamer`, `moderator`, `staff`, `bot`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub badges: Vec<String>,
}
