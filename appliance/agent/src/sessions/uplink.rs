//! What the uplink says of its sessions (docs/interfaces.md section 4).

use nodi_protocol::SessionId;
use nodi_protocol::fleet::session::UplinkOf;
use serde::Deserialize;

/// Body of `GET /sessions`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
pub(super) struct Status {
    pub sent_bytes: u64,
    pub sessions: Vec<Sent>,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
pub(super) struct Sent {
    pub session: SessionId,
    #[serde(default)]
    pub over: bool,
    pub targets: Vec<Target>,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(super) struct Target {
    pub connected: bool,
    pub lag_ms: u64,
    pub backlog: u64,
}

impl Status {
    /// The worst target of a session; `None` while it has none.
    #[must_use]
    pub(super) fn of(&self, session: SessionId) -> Option<UplinkOf> {
        let targets = &self.sessions.iter().find(|sent| sent.session == session)?.targets;
        let first = targets.first()?;
        let start = UplinkOf { connected: first.connected, lag_ms: 0, backlog: 0 };
        Some(targets.iter().fold(start, |worst, target| UplinkOf {
            connected: worst.connected && target.connected,
            lag_ms: worst.lag_ms.max(target.lag_ms),
            backlog: worst.backlog.max(target.backlog),
        }))
    }

    /// Of the worst live session.
    #[must_use]
    pub(super) fn lag_ms(&self) -> u64 {
        let live = self.sessions.iter().filter(|sent| !sent.over);
        live.flat_map(|sent| &sent.targets).map(|target| target.lag_ms).max().unwrap_or(0)
    }

    /// Segments that still have to go out, of all sessions to all targets.
    #[must_use]
    pub(super) fn backlog(&self) -> u64 {
        self.sessions.iter().flat_map(|sent| &sent.targets).map(|target| target.backlog).sum()
    }
}
