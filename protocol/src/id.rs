//! Names of channels and sessions, valid by construction: they become path segments, topics and
//! URLs without escaping.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Longest channel id or rendition name, in bytes: both become directory names and topic levels.
pub const MAX_NAME_LEN: usize = 32;

/// Why a text is not an identifier.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    #[error(
        "{what} {text:?} is not 1 to {MAX_NAME_LEN} characters of a-z, 0-9, '_' and '-', starting with a letter or digit"
    )]
    Name { what: &'static str, text: String },
    #[error("session id {0:?} is not a ULID")]
    Session(String),
}

/// Checks the alphabet that channel ids and rendition names share.
pub(crate) fn check_name(what: &'static str, text: &str) -> Result<(), Error> {
    let good = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let valid = text.len() <= MAX_NAME_LEN
        && text.bytes().next().is_some_and(good)
        && text.bytes().all(|byte| good(byte) || byte == b'_' || byte == b'-');
    if valid {
        Ok(())
    } else {
        // Cut on a character border so that a hostile name cannot fill the log.
        Err(Error::Name { what, text: text.chars().take(MAX_NAME_LEN).collect() })
    }
}

/// Identifies a channel for ever; its display name lives in the fleet server.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ChannelId(String);

impl ChannelId {
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for ChannelId {
    type Error = Error;

    fn try_from(text: String) -> Result<Self, Error> {
        check_name("channel id", &text)?;
        Ok(Self(text))
    }
}

impl FromStr for ChannelId {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        Self::try_from(text.to_owned())
    }
}

impl From<ChannelId> for String {
    fn from(id: ChannelId) -> Self {
        id.0
    }
}

impl fmt::Display for ChannelId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One publication of a channel, from publish to unpublish. ULIDs order by time: of two sessions of
/// a channel the greater one is the newer one, and it wins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct SessionId(ulid::Ulid);

impl SessionId {
    /// A session that starts `unix_ms` milliseconds after the Unix epoch, with 80 random bits.
    #[must_use]
    pub fn new(unix_ms: u64, random: u128) -> Self {
        Self(ulid::Ulid::from_parts(unix_ms, random))
    }

    /// When the session started, in milliseconds since the Unix epoch.
    #[must_use]
    pub fn unix_ms(self) -> u64 {
        self.0.timestamp_ms()
    }
}

impl FromStr for SessionId {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        ulid::Ulid::from_string(text)
            .ok()
            // One spelling only, since the text becomes a path: upper case as Display writes it.
            .filter(|ulid| ulid.to_string() == text)
            .map(Self)
            .ok_or_else(|| Error::Session(text.chars().take(MAX_NAME_LEN).collect()))
    }
}

impl TryFrom<String> for SessionId {
    type Error = Error;

    fn try_from(text: String) -> Result<Self, Error> {
        text.parse()
    }
}

impl From<SessionId> for String {
    fn from(id: SessionId) -> Self {
        id.to_string()
    }
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn channel_ids_are_safe_path_segments() {
        for good in ["a", "nodi", "room-1", "0_x", &"a".repeat(32)] {
            assert_eq!(good.parse::<ChannelId>().unwrap().as_str(), good);
        }
        for bad in ["", ".", "..", "-a", "_a", "a/b", "A", "a b", "ä", "a\0", &"a".repeat(33)] {
            assert!(bad.parse::<ChannelId>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn session_ids_order_by_time_and_have_one_spelling() {
        let older = SessionId::new(1_000, u128::MAX);
        let newer = SessionId::new(1_001, 0);
        assert!(older < newer);
        assert_eq!(newer.unix_ms(), 1_001);
        assert_eq!(newer.to_string().parse::<SessionId>().unwrap(), newer);
        assert!(newer.to_string().to_lowercase().parse::<SessionId>().is_err());
    }
}
