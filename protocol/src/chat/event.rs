//! What happens in a room, in the one order that all clients see. Each event has an id; a client that comes back names
//! the last one that it has.

use serde::{Deserialize, Serialize};

use super::settings::Settings;
use super::{EventId, User};

/// One event of a channel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    pub id: EventId,
    /// Milliseconds since the Unix epoch.
    pub at_ms: u64,
    #[serde(flatten)]
    pub what: What,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "t", rename_all = "snake_case")]
pub enum What {
    /// Somebody said something.
    Message(Message),
    /// A message is taken away.
    Deleted {
        message: EventId,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        by: Option<User>,
    },
    /// All messages of somebody up to here are taken away.
    Purged {
        user: User,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        by: Option<User>,
    },
    /// All messages up to here are taken away.
    Cleared { by: User },
    /// Somebody may not speak; what they said is taken away.
    Restricted {
        user: User,
        /// Milliseconds since the Unix epoch; absent: until it is taken back.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        until_ms: Option<u64>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
        by: User,
    },
    /// Somebody may speak again, because somebody said so. (A time-out that ends by itself is no event.)
    Released { user: User, by: User },
    /// Somebody became a moderator, or is one no more.
    Role { user: User, by: User },
    /// How the chat works from here on.
    Settings { settings: Settings, by: User },
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    pub user: User,
    /// As it was said, normalised.
    pub text: String,
    /// What in the text is more than text, in order, without overlaps.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub marks: Vec<Mark>,
    /// `/me`: an action, not speech.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub me: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reply: Option<Reply>,
    /// The first message of the account in this channel.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub first: bool,
}

/// A stretch of the text, counted in UTF-16 code units as browsers count.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mark {
    pub from: u32,
    pub len: u32,
    #[serde(flatten)]
    pub what: Marked,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "snake_case")]
pub enum Marked {
    /// `:name:`
    Emote { name: String, url: String },
    /// `@name`, of somebody who is known here.
    Mention { user: String },
    /// An `https://` or `http://` link.
    Link { url: String },
}

/// What a message answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reply {
    pub id: EventId,
    pub user: User,
    /// The start of it.
    pub text: String,
}
