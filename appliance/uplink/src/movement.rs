//! Whether the queue moves: a target that is there, and that something waits for, has to be sent something now and then.
//! One that is away is not the uplink's fault, and starting the uplink anew brings it no nearer.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use nodi_daemon::watchdog::Beat;
use tokio::time::Instant;

use crate::metrics::Metrics;
use crate::watch::Catalogue;

/// A target gives up a connection that acknowledges nothing after seconds, and is away then. That it is there, lacks
/// something and gets nothing for so long is a mistake of ours.
const STUCK: Duration = Duration::from_secs(120);

/// How a target stands at one look.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Look {
    target: String,
    /// Media bytes since the process started.
    sent_bytes: u64,
    /// It takes what it is sent, and lacks finished segments.
    waits: bool,
}

/// What each target was sent at the last look at which that mattered.
#[derive(Debug, Default)]
struct Movement {
    since: HashMap<String, (u64, Instant)>,
}

impl Movement {
    /// The targets that got nothing for too long.
    fn stuck(&mut self, looks: Vec<Look>, now: Instant) -> Vec<String> {
        let mut stuck = Vec::new();
        for look in looks {
            let (sent_bytes, since) = self.since.entry(look.target.clone()).or_insert((look.sent_bytes, now));
            if !look.waits || *sent_bytes != look.sent_bytes {
                (*sent_bytes, *since) = (look.sent_bytes, now);
            } else if now.saturating_duration_since(*since) > STUCK {
                stuck.push(look.target);
            }
        }
        stuck
    }
}

/// Beats while everything moves that can.
pub(crate) async fn watch(beat: Beat, catalogue: Catalogue, metrics: Metrics, targets: Vec<String>) {
    let Some(every) = beat.every() else { return std::future::pending().await };
    let mut movement = Movement::default();
    loop {
        tokio::time::sleep(every).await;
        let stuck = movement.stuck(look(&catalogue, &metrics, &targets), Instant::now());
        if stuck.is_empty() {
            beat.beat();
        }
        for target in stuck {
            log::error!(target_name:% = target; "nothing was sent for {} s although something waits", STUCK.as_secs());
        }
    }
}

fn look(catalogue: &Catalogue, metrics: &Metrics, targets: &[String]) -> Vec<Look> {
    let mut waiting = BTreeSet::new();
    for session in catalogue.all_running() {
        for standing in session.standings() {
            let is_connected =
                metrics.standing(&standing.target, &session.channel).is_some_and(|(_, connected)| connected);
            if is_connected && standing.backlog > 0 {
                waiting.insert(standing.target);
            }
        }
    }
    let look = |target: &String| Look {
        target: target.clone(),
        sent_bytes: metrics.sent_bytes(std::slice::from_ref(target)),
        waits: waiting.contains(target),
    };
    targets.iter().map(look).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(sent_bytes: u64, waits: bool) -> Vec<Look> {
        vec![Look { target: "origin".to_owned(), sent_bytes, waits }]
    }

    #[test]
    fn only_a_target_that_is_there_and_gets_nothing_is_stuck() {
        let mut movement = Movement::default();
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        assert!(movement.stuck(one(0, false), at(0)).is_empty());
        // Nothing waits, or the target is away.
        assert!(movement.stuck(one(0, false), at(1_000)).is_empty());
        // Something waits: the time runs from here, and again from each byte.
        assert!(movement.stuck(one(0, true), at(1_001)).is_empty());
        assert!(movement.stuck(one(5, true), at(1_100)).is_empty());
        assert!(movement.stuck(one(5, true), at(1_220)).is_empty());
        assert_eq!(movement.stuck(one(5, true), at(1_221)), ["origin"]);
        // It was away meanwhile.
        assert!(movement.stuck(one(5, false), at(1_222)).is_empty());
        assert!(movement.stuck(one(5, true), at(1_300)).is_empty());
        assert_eq!(movement.stuck(one(5, true), at(1_343)), ["origin"]);
        assert!(movement.stuck(one(6, true), at(1_344)).is_empty());
    }
}
