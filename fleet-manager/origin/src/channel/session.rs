//! The session that owns a channel.

use std::time::Duration;

use nodi_protocol::{Rendition, SessionId};
use tokio_util::sync::CancellationToken;

#[derive(Debug)]
pub struct Session {
    pub id: SessionId,
    pub base_msn: u64,
    pub renditions: Vec<Rendition>,
    /// Of the stream key that claimed it, for revocations.
    pub key_version: u32,
    /// When anything of it came last.
    pub last_push: Duration,
    pub ended_at: Option<Duration>,
    /// Cuts its open uploads: a newer session took over, or the key was revoked.
    pub cancel: CancellationToken,
}

impl Session {
    pub fn has(&self, rendition: &str) -> bool {
        self.renditions.iter().any(|known| known.name.as_str() == rendition)
    }
}
