//! What a client sends: one JSON object in one text frame.

use serde::{Deserialize, Serialize};

use super::EventId;
use super::action::Action;
use crate::ChannelId;

/// One frame of a client. The first one is `join`, and it comes within the time that the service gives a new connection.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "t", rename_all = "snake_case", deny_unknown_fields)]
pub enum Frame {
    /// Enters the one room of this connection.
    Join {
        channel: ChannelId,
        /// Without one the connection reads only.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        token: Option<String>,
        /// The last event that the client has: it gets what came after it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        after: Option<EventId>,
        /// How many of the last messages it wants when it has none, 0 to [`super::HISTORY`]. Default: all of these.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        history: Option<u16>,
    },
    /// A new token in place of the last one; null signs out and reads on.
    Auth { token: Option<String> },
    /// Says something, or, when the text starts with `/`, gives a chat command.
    Say {
        /// Comes back in the answer. Up to 64 characters. A second `say` of the same account with the same nonce within some
        /// minutes is the same message: it is answered again, not said again.
        nonce: String,
        text: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reply_to: Option<EventId>,
    },
    /// What a button does.
    Do { nonce: String, action: Action },
}
