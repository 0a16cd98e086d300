//! The revocation document: the lowest key version that each channel still accepts, the channels that
//! are suspended, and the boxes that are no longer ours.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::{BoxId, ChannelId};

/// The schema that this build writes and reads.
pub const SCHEMA: u32 = 1;
/// Longest document that is read, in bytes: about 25,000 channels with revoked keys. The broker lets messages of this
/// size through, since the document is the one message that grows with the fleet.
pub const MAX_LEN: usize = 1 << 20;

/// A channel that is not named accepts every version. Retained on `nodi/v1/fleet/revocations`, and
/// kept as a file by every box and origin.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Revocations {
    pub schema: u32,
    /// Rises with every change, and is at least the time of the change in milliseconds since the Unix epoch: a fleet
    /// server that was restored from a backup goes on above what it had sent. 0: written by hand.
    #[serde(default)]
    pub version: u64,
    /// Keys of a lower version than this are refused.
    pub min_versions: BTreeMap<ChannelId, u32>,
    /// Nobody may publish to these, whatever the key.
    #[serde(default)]
    pub suspended: BTreeSet<ChannelId>,
    /// Nothing is taken from these, whatever their certificate.
    #[serde(default)]
    pub revoked_boxes: BTreeSet<BoxId>,
}

/// Why a document is not usable.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("revocation document: {0}")]
    Json(#[from] serde_json::Error),
    #[error("revocation document has schema {0}, this build reads {SCHEMA}")]
    Schema(u32),
    #[error("revocation document of {0} bytes, more than {MAX_LEN}")]
    TooLong(usize),
}

impl Default for Revocations {
    fn default() -> Self {
        Self {
            schema: SCHEMA,
            version: 0,
            min_versions: BTreeMap::new(),
            suspended: BTreeSet::new(),
            revoked_boxes: BTreeSet::new(),
        }
    }
}

impl Revocations {
    /// Parses the JSON document.
    ///
    /// # Errors
    /// When it is not valid JSON of this schema, or too long.
    pub fn from_json(bytes: &[u8]) -> Result<Self, Error> {
        if bytes.len() > MAX_LEN {
            return Err(Error::TooLong(bytes.len()));
        }
        let document: Self = serde_json::from_slice(bytes)?;
        if document.schema == SCHEMA { Ok(document) } else { Err(Error::Schema(document.schema)) }
    }

    /// The lowest version that `channel` accepts.
    #[must_use]
    pub fn min_version(&self, channel: &ChannelId) -> u32 {
        self.min_versions.get(channel).copied().unwrap_or(0)
    }

    /// The version of a change made at `now_ms` to a document of version `current`.
    #[must_use]
    pub fn next_version(current: u64, now_ms: u64) -> u64 {
        current.saturating_add(1).max(now_ms)
    }

    /// Whether this document, as it came from the broker, takes the place of `held`: an old one that arrives late
    /// never does.
    #[must_use]
    pub fn replaces(&self, held: &Self) -> bool {
        self.version > held.version || (self.version == 0 && held.version == 0 && self != held)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(version: u64, suspended: &[&str]) -> Revocations {
        let suspended = suspended.iter().map(|channel| channel.parse().unwrap()).collect();
        Revocations { version, suspended, ..Revocations::default() }
    }

    #[test]
    fn an_older_document_replaces_nothing() {
        assert!(of(2, &[]).replaces(&of(1, &["nodi"])));
        assert!(!of(1, &[]).replaces(&of(2, &["nodi"])));
        assert!(!of(2, &[]).replaces(&of(2, &["nodi"])));
        assert!(of(1, &[]).replaces(&of(0, &["nodi"])));
        assert!(of(0, &[]).replaces(&of(0, &["nodi"])), "without versions the last one counts");
        assert!(!of(0, &[]).replaces(&of(1, &["nodi"])));
    }

    #[test]
    fn versions_rise_also_over_a_restored_backup() {
        assert_eq!(Revocations::next_version(0, 1_763_826_000_000), 1_763_826_000_000);
        assert_eq!(Revocations::next_version(1_763_826_000_000, 1_763_826_000_000), 1_763_826_000_001);
        assert_eq!(
            Revocations::next_version(1_763_826_000_009, 5),
            1_763_826_000_010,
            "a clock that went back"
        );
    }

    #[test]
    fn a_document_without_a_version_is_read() {
        let document = Revocations::from_json(br#"{"schema":1,"min_versions":{"nodi":2}}"#).unwrap();
        assert_eq!((document.version, document.min_version(&"nodi".parse().unwrap())), (0, 2));
        assert!(matches!(Revocations::from_json(&vec![b' '; MAX_LEN + 1]), Err(Error::TooLong(_))));
    }
}
