//! How the chat of a channel works.

use serde::{Deserialize, Serialize};

/// All settings of a channel's chat.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Settings {
    /// Slow mode: seconds between two messages of one account, 0 (off) to 3,600. Not for moderators.
    pub slow_s: u32,
    /// Followers only: seconds that an account has to have followed the channel. `None`: off. Up to 90 days.
    pub followers_s: Option<u32>,
    pub subscribers_only: bool,
    /// Messages may hold nothing but emotes.
    pub emotes_only: bool,
    /// No message may be said twice in a short time.
    pub unique: bool,
    /// Nobody but moderators may speak.
    pub off: bool,
    /// Holds what new accounts say while a burst of them comes in.
    pub raid_shield: bool,
    /// Links of others than moderators are held back.
    pub links: Links,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            slow_s: 0,
            followers_s: None,
            subscribers_only: false,
            emotes_only: false,
            unique: false,
            off: false,
            raid_shield: true,
            links: Links::Allow,
        }
    }
}

/// What becomes of links.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Links {
    #[default]
    Allow,
    Hold,
    Refuse,
}

/// Changes of settings; what is absent stays.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Patch {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub slow_s: Option<u32>,
    /// `null` turns it off.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    pub followers_s: Option<Option<u32>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subscribers_only: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub emotes_only: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unique: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub off: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub raid_shield: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub links: Option<Links>,
}

/// Tells a `null` from what is absent.
fn present<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Option<Option<u32>>, D::Error> {
    Option::<u32>::deserialize(from).map(Some)
}
