//! The revocation document: the lowest key version that each channel still accepts, the channels that
//! are suspended, and the boxes that are no longer ours.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::{BoxId, ChannelId};

/// The schema that this build writes and reads.
pub const SCHEMA: u32 = 1;

/// A channel that is not named accepts every version. Retained on `nodi/v1/fleet/revocations`, and
/// kept as a file by every box and origin.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Revocations {
    pub schema: u32,
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
}

impl Default for Revocations {
    fn default() -> Self {
        Self {
            schema: SCHEMA,
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
    /// When it is not valid JSON of this schema.
    pub fn from_json(bytes: &[u8]) -> Result<Self, Error> {
        let document: Self = serde_json::from_slice(bytes)?;
        if document.schema == SCHEMA { Ok(document) } else { Err(Error::Schema(document.schema)) }
    }

    /// The lowest version that `channel` accepts.
    #[must_use]
    pub fn min_version(&self, channel: &ChannelId) -> u32 {
        self.min_versions.get(channel).copied().unwrap_or(0)
    }
}
