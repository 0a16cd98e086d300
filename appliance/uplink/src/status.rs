//! What the box's agent asks: how the sessions stand at their targets (docs/interfaces.md section 4).

use nodi_protocol::{ChannelId, SessionId};
use serde::Serialize;

use crate::metrics::Metrics;
use crate::watch::Catalogue;

/// Body of `GET /sessions`.
#[derive(Debug, Serialize)]
pub(crate) struct Status {
    /// Media bytes handed to all targets since the process started.
    sent_bytes: u64,
    sessions: Vec<Session>,
}

#[derive(Debug, Serialize)]
struct Session {
    channel: ChannelId,
    session: SessionId,
    /// The session is over and what is left of it is being sent.
    over: bool,
    targets: Vec<Target>,
}

#[derive(Debug, Serialize)]
struct Target {
    name: String,
    /// It takes what it is sent.
    connected: bool,
    lag_ms: u64,
    /// Segments that it lacks and still wants.
    backlog: u64,
}

/// How everything stands now. `targets` are the names of all that is configured.
pub(crate) fn status(catalogue: &Catalogue, metrics: &Metrics, targets: &[String]) -> Status {
    let mut sessions: Vec<_> = catalogue
        .all_running()
        .iter()
        .map(|session| {
            let target = |standing: crate::model::Standing| {
                let measured = metrics.standing(&standing.target, &session.channel);
                let behind_ms = standing.behind_ns / 1_000_000;
                // The gauges of a target that is away stand still; the spool does not.
                let (lag_ms, connected) = match measured {
                    Some((lag, true)) => (u64::try_from(lag.as_millis()).unwrap_or(u64::MAX), true),
                    _ => (behind_ms, false),
                };
                Target { name: standing.target, connected, lag_ms, backlog: standing.backlog }
            };
            let mut targets: Vec<_> = session.standings().into_iter().map(target).collect();
            targets.sort_by(|one, other| one.name.cmp(&other.name));
            Session {
                channel: session.channel.clone(),
                session: session.id,
                over: session.over().is_some(),
                targets,
            }
        })
        .collect();
    sessions.sort_by_key(|session| session.session);
    Status { sent_bytes: metrics.sent_bytes(targets), sessions }
}
