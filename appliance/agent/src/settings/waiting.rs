//! Which settings are in force only for sessions that begin from now on, while older ones still run.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use nodi_protocol::SessionId;

/// Setting → the sessions that run without it.
#[derive(Debug, Default)]
pub(super) struct Waiting(Mutex<BTreeMap<&'static str, BTreeSet<SessionId>>>);

impl Waiting {
    /// `settings` changed while these sessions were live.
    pub(super) fn add(&self, settings: &[&'static str], live: &BTreeSet<SessionId>) {
        if !live.is_empty() {
            self.lock().extend(settings.iter().map(|setting| (*setting, live.clone())));
        }
    }

    /// Forgets sessions that are not live; whether a setting waits no more.
    pub(super) fn prune(&self, live: &BTreeSet<SessionId>) -> bool {
        let mut waiting = self.lock();
        let before = waiting.len();
        waiting.retain(|_, sessions| {
            sessions.retain(|session| live.contains(session));
            !sessions.is_empty()
        });
        waiting.len() < before
    }

    pub(super) fn names(&self) -> Vec<String> {
        self.lock().keys().map(|name| (*name).to_owned()).collect()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<&'static str, BTreeSet<SessionId>>> {
        // Changed whole: a panic elsewhere leaves nothing half done.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_setting_waits_until_the_last_older_session_is_over() {
        let waiting = Waiting::default();
        let id = |ms| SessionId::new(ms, 0);
        waiting.add(&["ladder"], &BTreeSet::new());
        assert!(waiting.names().is_empty(), "nobody is live");
        waiting.add(&["ladder", "part_ms"], &[id(1), id(2)].into());
        assert!(!waiting.prune(&[id(2), id(3)].into()));
        assert_eq!(waiting.names(), ["ladder", "part_ms"]);
        assert!(waiting.prune(&[id(3)].into()));
        assert!(waiting.names().is_empty());
    }
}
