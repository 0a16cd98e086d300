//! What moderators do; a chat command is turned into the same.

use serde::{Deserialize, Serialize};

use super::EventId;
use super::settings::Patch;

/// Who is meant: the id of an account, or `@name`.
pub type Target = String;

/// What somebody does in a channel. Each variant says who may. Those without members have braces, since serde would let
/// members that are not known pass without them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "snake_case", deny_unknown_fields)]
pub enum Action {
    /// Takes one message away. Moderators, and its author.
    Delete { id: EventId },
    /// Takes away all messages of somebody. Moderators.
    Purge { user: Target },
    /// Nobody's messages are shown any more. Moderators.
    Clear {},
    /// Silences somebody for 1 s to 14 days. Moderators.
    Timeout {
        user: Target,
        seconds: u64,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
    },
    /// Silences somebody until it is taken back. Moderators.
    Ban {
        user: Target,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
    },
    /// Ends a time-out or a ban. Moderators.
    Release { user: Target },
    /// Changes how the chat works. Moderators.
    Set { settings: Patch },
    /// Makes somebody a moderator. The streamer.
    Appoint { user: Target },
    /// Takes that back. The streamer; a moderator of themselves.
    Dismiss { user: Target },
    /// Lists the moderators. Moderators.
    Moderators {},
    /// Blocks a term, also in look-alike letters and spaced out. Moderators.
    BlockTerm {
        term: String,
        /// What happens to a message with it.
        #[serde(default)]
        then: Then,
    },
    /// Moderators.
    UnblockTerm { term: String },
    /// Lists the blocked terms. Moderators.
    Terms {},
    /// Decides on a message that is held. Moderators.
    Review { id: EventId, allow: bool },
    /// Lists what is held. Moderators.
    Held {},
    /// The moderation log, newest first. Moderators.
    Log {
        /// Entries older than this one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        before: Option<EventId>,
    },
    /// What is known of somebody: restrictions, messages, how often they were silenced. Moderators.
    Who { user: Target },
    /// Lists who is timed out or banned. Moderators.
    Restricted {},
}

/// What happens to a message with a blocked term.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Then {
    /// A moderator decides.
    #[default]
    Hold,
    Refuse,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_action_does_not_have_is_refused() {
        for good in [r#"{"do":"clear"}"#, r#"{"do":"terms"}"#, r#"{"do":"purge","user":"@ada"}"#] {
            assert!(serde_json::from_str::<Action>(good).is_ok(), "{good}");
        }
        for bad in [
            r#"{"do":"clear","foo":1}"#,
            r#"{"do":"terms","foo":1}"#,
            r#"{"do":"purge","user":"@ada","foo":1}"#,
        ] {
            assert!(serde_json::from_str::<Action>(bad).is_err(), "{bad}");
        }
    }
}
