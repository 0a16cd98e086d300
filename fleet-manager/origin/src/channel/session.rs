//! The session that owns a channel, and what can take it away from its box.

use std::fmt;
use std::time::Duration;

use nodi_protocol::revocation::Revocations;
use nodi_protocol::{BoxId, ChannelId, Rendition, SessionId};
use tokio_util::sync::CancellationToken;

/// Who claims a channel.
#[derive(Debug, Clone)]
pub struct Claimant {
    /// Of the stream key.
    pub key_version: u32,
    /// From the certificate, if its name is one of a box.
    pub box_id: Option<BoxId>,
}

/// Why a session was cut off from outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cut {
    /// Its channel was suspended: what there is of it is taken from viewers too.
    Suspended,
    /// Its box was revoked; the publisher may come back through another one.
    Box,
    /// Its stream key was revoked.
    Key,
}

impl Cut {
    /// The gravest thing that the document says against a session.
    #[must_use]
    pub fn of(revocations: &Revocations, channel: &ChannelId, by: &Claimant) -> Option<Self> {
        if revocations.suspended.contains(channel) {
            Some(Self::Suspended)
        } else if by.box_id.as_ref().is_some_and(|id| revocations.revoked_boxes.contains(id)) {
            Some(Self::Box)
        } else {
            (by.key_version < revocations.min_version(channel)).then_some(Self::Key)
        }
    }
}

impl fmt::Display for Cut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Suspended => "its channel was suspended",
            Self::Box => "its box was revoked",
            Self::Key => "its stream key was revoked",
        })
    }
}

#[derive(Debug)]
pub struct Session {
    pub id: SessionId,
    pub base_msn: u64,
    pub renditions: Vec<Rendition>,
    /// For revocations.
    pub by: Claimant,
    /// When anything of it came last.
    pub last_push: Duration,
    pub ended_at: Option<Duration>,
    pub cut: Option<Cut>,
    /// Cuts its open uploads: a newer session took over, or it was cut off.
    pub cancel: CancellationToken,
}

impl Session {
    pub fn has(&self, rendition: &str) -> bool {
        self.renditions.iter().any(|known| known.name.as_str() == rendition)
    }
}
