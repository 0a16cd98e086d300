//! Which sessions the fleet was told of, over restarts of the agent: each start and each end is an event once.

use std::collections::{BTreeMap, VecDeque};
use std::path::{Path, PathBuf};

use nodi_protocol::fleet::event::What;
use nodi_protocol::{ChannelId, SessionId};
use serde::{Deserialize, Serialize};

use super::ingest::{Ended, Entry};
use super::join;

/// Ended sessions that are remembered: twice what ingest remembers, so that none is told twice.
const REMEMBERED: usize = 512;
const MODE: u32 = 0o600;
/// What is said of a session that is gone and that ingest knows nothing of.
const VANISHED: &str = "ingest ended without saying why";

#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Memory {
    live: BTreeMap<SessionId, Known>,
    /// Oldest first.
    ended: VecDeque<SessionId>,
    #[serde(skip)]
    path: PathBuf,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Known {
    channel: ChannelId,
    seconds: u64,
    received_bytes: u64,
}

impl Memory {
    /// One that cannot be read is begun anew: then some events come twice.
    pub(super) fn open(path: &Path) -> Self {
        let memory = match std::fs::read(path) {
            Ok(bytes) => serde_json::from_slice(&bytes).unwrap_or_else(|error| {
                log::error!(error:%, path:% = path.display(); "the memory of sessions cannot be read");
                Self::default()
            }),
            Err(_) => Self::default(),
        };
        Self { path: path.to_owned(), ..memory }
    }

    /// What to tell of what is live now and what ended lately. `ended` is `None` when ingest could not be asked.
    pub(super) fn compare(&mut self, live: &[Entry], ended: &[Ended]) -> Vec<What> {
        let mut events = Vec::new();
        for entry in live {
            let known = Known {
                channel: entry.channel.clone(),
                seconds: whole(entry.live_s),
                received_bytes: entry.received_bytes,
            };
            if self.live.insert(entry.session, known).is_none() {
                events.push(started(entry.session, &entry.channel, &entry.encoder));
            }
        }
        for ended in ended {
            if self.ended.contains(&ended.session) {
                continue;
            }
            if self.live.remove(&ended.session).is_none() {
                // It came and went between two looks.
                events.push(started(ended.session, &ended.channel, &ended.encoder));
            }
            events.push(What::SessionEnded {
                session: ended.session,
                channel: ended.channel.clone(),
                reason: join::reason(ended),
                seconds: whole(ended.live_s),
                received_bytes: ended.received_bytes,
            });
            self.forget_later(ended.session);
        }
        let gone: Vec<_> =
            self.live.keys().filter(|id| live.iter().all(|entry| entry.session != **id)).copied().collect();
        for session in gone {
            if let Some(known) = self.live.remove(&session) {
                events.push(What::SessionEnded {
                    session,
                    channel: known.channel,
                    reason: VANISHED.to_owned(),
                    seconds: known.seconds,
                    received_bytes: known.received_bytes,
                });
                self.forget_later(session);
            }
        }
        events
    }

    pub(super) fn save(&self) {
        let written = serde_json::to_vec(self)
            .map_err(std::io::Error::other)
            .and_then(|bytes| crate::files::replace(&self.path, &bytes, MODE));
        if let Err(error) = written {
            log::error!(error:%, path:% = self.path.display(); "the memory of sessions is not kept");
        }
    }

    fn forget_later(&mut self, session: SessionId) {
        if self.ended.len() >= REMEMBERED {
            self.ended.pop_front();
        }
        self.ended.push_back(session);
    }
}

fn started(session: SessionId, channel: &ChannelId, encoder: &str) -> What {
    What::SessionStarted { session, channel: channel.clone(), encoder: join::shortened(encoder) }
}

#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "seconds of a session, at least 0"
)]
fn whole(seconds: f64) -> u64 {
    seconds.max(0.0) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(ms: u64) -> SessionId {
        SessionId::new(ms, 7)
    }

    fn live(ms: u64, seconds: f64) -> Entry {
        let value = serde_json::json!({"channel": "nodi", "session": id(ms), "peer": "p", "transport": "rtmp",
            "encoder": "obs", "live_s": seconds, "received_bytes": 1000});
        serde_json::from_value(value).unwrap()
    }

    fn ended(ms: u64) -> Ended {
        let value = serde_json::json!({"channel": "nodi", "session": id(ms), "encoder": "obs",
            "reason": "the publisher hung up", "live_s": 9.9, "received_bytes": 5000});
        serde_json::from_value(value).unwrap()
    }

    fn kinds(events: &[What]) -> Vec<String> {
        let kind = |what: &What| match what {
            What::SessionStarted { session, .. } => format!("+{}", session.unix_ms()),
            What::SessionEnded { session, reason, seconds, .. } => {
                format!("-{} {seconds} {}", session.unix_ms(), &reason[..6])
            }
            other => format!("{other:?}"),
        };
        events.iter().map(kind).collect()
    }

    #[test]
    fn each_start_and_end_is_told_once_also_after_a_restart() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("sessions.json");
        let mut memory = Memory::open(&path);
        assert_eq!(kinds(&memory.compare(&[live(1, 0.5)], &[])), ["+1"]);
        assert!(memory.compare(&[live(1, 2.0)], &[]).is_empty());
        memory.save();
        let mut memory = Memory::open(&path);
        assert!(memory.compare(&[live(1, 4.0)], &[]).is_empty());
        assert_eq!(
            kinds(&memory.compare(&[live(3, 1.0)], &[ended(1), ended(2)])),
            ["+3", "-1 9 the pu", "+2", "-2 9 the pu"]
        );
        memory.save();
        let mut memory = Memory::open(&path);
        assert!(memory.compare(&[live(3, 5.2)], &[ended(1), ended(2)]).is_empty());
        assert_eq!(kinds(&memory.compare(&[], &[ended(1), ended(2)])), ["-3 5 ingest"], "ingest was killed");
        assert!(memory.compare(&[], &[]).is_empty());
    }

    #[test]
    fn the_memory_is_bounded() {
        let mut memory = Memory::default();
        for ms in 0..2 * REMEMBERED as u64 {
            memory.compare(&[], &[ended(ms)]);
        }
        assert_eq!(memory.ended.len(), REMEMBERED);
    }
}
