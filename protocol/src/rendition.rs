//! One encoding of a channel: what a multivariant playlist has to say about it.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::id::{Error, check_name};

/// `1080p`, `720p`, `360p`, `audio`: stable over sessions, so that a player's choice survives them.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RenditionName(String);

impl RenditionName {
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for RenditionName {
    type Error = Error;

    fn try_from(text: String) -> Result<Self, Error> {
        check_name("rendition", &text)?;
        Ok(Self(text))
    }
}

impl FromStr for RenditionName {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        Self::try_from(text.to_owned())
    }
}

impl From<RenditionName> for String {
    fn from(name: RenditionName) -> Self {
        name.0
    }
}

impl fmt::Display for RenditionName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What one track file holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Track {
    Video {
        /// RFC 6381, such as `avc1.64001f`.
        codecs: String,
        width: u32,
        height: u32,
        /// Frames per second as a fraction, such as 30000/1001.
        frame_rate: (u32, u32),
    },
    Audio {
        /// RFC 6381, such as `mp4a.40.2`.
        codecs: String,
        channels: u32,
        /// In Hz.
        sample_rate: u32,
    },
}

/// One rendition of one session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rendition {
    pub name: RenditionName,
    #[serde(flatten)]
    pub track: Track,
    /// Peak rate of any segment, in bit/s, container included (RFC 8216bis 4.4.6.2, BANDWIDTH).
    pub bandwidth: u32,
    /// Mean rate, in bit/s, container included (AVERAGE-BANDWIDTH).
    pub average_bandwidth: u32,
}

impl Rendition {
    #[must_use]
    pub fn is_video(&self) -> bool {
        matches!(self.track, Track::Video { .. })
    }

    /// RFC 6381.
    #[must_use]
    pub fn codecs(&self) -> &str {
        match &self.track {
            Track::Video { codecs, .. } | Track::Audio { codecs, .. } => codecs,
        }
    }
}
