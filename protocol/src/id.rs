//! Names of channels, sessions, boxes and commands, valid by construction: they become path segments, topics and
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
    #[error("{what} {text:?} is not a ULID")]
    Ulid { what: &'static str, text: String },
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

/// A name in the alphabet of [`check_name`].
macro_rules! name {
    ($(#[$doc:meta])* $name:ident, $what:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        #[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
        #[cfg_attr(feature = "openapi", schema(value_type = String, pattern = "^[a-z0-9][a-z0-9_-]{0,31}$"))]
        pub struct $name(String);

        impl $name {
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<String> for $name {
            type Error = Error;

            fn try_from(text: String) -> Result<Self, Error> {
                check_name($what, &text)?;
                Ok(Self(text))
            }
        }

        impl FromStr for $name {
            type Err = Error;

            fn from_str(text: &str) -> Result<Self, Error> {
                Self::try_from(text.to_owned())
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> Self {
                id.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

/// A ULID: ordered by time, 80 random bits.
macro_rules! ulid {
    ($(#[$doc:meta])* $name:ident, $what:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        #[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
        #[cfg_attr(feature = "openapi", schema(value_type = String, pattern = "^[0-7][0-9A-HJKMNP-TV-Z]{25}$"))]
        pub struct $name(ulid::Ulid);

        impl $name {
            /// Made `unix_ms` milliseconds after the Unix epoch; 80 bits of `random` are used.
            #[must_use]
            pub fn new(unix_ms: u64, random: u128) -> Self {
                Self(ulid::Ulid::from_parts(unix_ms, random))
            }

            /// When it was made, in milliseconds since the Unix epoch.
            #[must_use]
            pub fn unix_ms(self) -> u64 {
                self.0.timestamp_ms()
            }
        }

        impl FromStr for $name {
            type Err = Error;

            fn from_str(text: &str) -> Result<Self, Error> {
                ulid::Ulid::from_string(text)
                    .ok()
                    // One spelling only, since the text becomes a path: upper case as Display writes it.
                    .filter(|ulid| ulid.to_string() == text)
                    .map(Self)
                    .ok_or_else(|| Error::Ulid { what: $what, text: text.chars().take(MAX_NAME_LEN).collect() })
            }
        }

        impl TryFrom<String> for $name {
            type Error = Error;

            fn try_from(text: String) -> Result<Self, Error> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> Self {
                id.to_string()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

name! {
    /// Identifies a channel for ever; its display name lives in the fleet server.
    ChannelId, "channel id"
}

name! {
    /// Identifies a box for ever, and is the common name of its certificate. Made from its public key
    /// ([`crate::enrol::box_id`]), so that a box knows it before anybody else does.
    BoxId, "box id"
}

ulid! {
    /// One publication of a channel, from publish to unpublish. Of two sessions of a channel the
    /// greater one is the newer one, and it wins.
    SessionId, "session id"
}

ulid! {
    /// One command to one box. It runs at most once.
    CommandId, "command id"
}

ulid! {
    /// One update of one box's software. Of two orders the greater one counts.
    UpdateId, "update id"
}

ulid! {
    /// One rollout of a bundle over the fleet.
    RolloutId, "rollout id"
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
