//! The live sessions of the box: what ingest, the transcode workers and the uplink know of each, joined; and an event
//! for each start and each end.

mod ingest;
mod join;
mod memory;
mod uplink;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use nodi_protocol::fleet::session::Session;
use nodi_spool::{WorkerStatus, layout};
use serde::Deserialize;
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior};

use crate::clock::Clock;
use crate::events::Events;
use crate::local::Local;
use crate::seams::Sessions;
use ingest::{Ended, Entry};
use memory::Memory;

/// Where sessions are found.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Root of the spool.
    pub spool: PathBuf,
    /// Milliseconds between two looks. What a person would notice (a start, an end, a warning) is told after each.
    pub every_ms: u64,
    /// Seconds between two reports of numbers that only moved.
    pub report_s: u64,
}

impl Default for Config {
    fn default() -> Self {
        Self { spool: layout::DEFAULT_ROOT.into(), every_ms: 2_000, report_s: 5 }
    }
}

/// Largest `status.json` that is read, in bytes: eight rungs and every warning are below 16 KiB.
const LARGEST_STATUS: u64 = 256 << 10;
/// A worker that wrote no status for so long is hung or gone: what it said is not how it is.
const STATUS_AGE_MS: u64 = 15_000;
/// The file below the agent's state directory.
const MEMORY: &str = "sessions.json";

/// Totals of one look, for telemetry.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Observed {
    pub sessions: u32,
    /// `None`: the uplink does not answer.
    pub uplink: Option<Sending>,
    /// Workers that went away under a session that is live now.
    pub workers_lost: u64,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Sending {
    /// Since the uplink started.
    pub sent_bytes: u64,
    pub lag_ms: u64,
    pub backlog: u64,
}

/// Looks again and again.
pub struct Observer {
    config: Config,
    ingest: Local,
    uplink: Local,
    clock: Clock,
    events: Events,
    memory: Memory,
    /// `None` until the first look.
    sessions: watch::Sender<Option<Sessions>>,
    observed: watch::Sender<Observed>,
}

impl std::fmt::Debug for Observer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Observer").field("config", &self.config).finish_non_exhaustive()
    }
}

impl Observer {
    #[must_use]
    pub fn new(config: &crate::Config, ingest: Local, uplink: Local, clock: Clock, events: Events) -> Self {
        Self {
            memory: Memory::open(&config.state.join(MEMORY)),
            config: config.sessions.clone(),
            ingest,
            uplink,
            clock,
            events,
            sessions: watch::Sender::default(),
            observed: watch::Sender::default(),
        }
    }

    #[must_use]
    pub fn sessions(&self) -> watch::Receiver<Option<Sessions>> {
        self.sessions.subscribe()
    }

    #[must_use]
    pub fn observed(&self) -> watch::Receiver<Observed> {
        self.observed.subscribe()
    }

    pub async fn run(mut self) {
        let mut tick = tokio::time::interval(Duration::from_millis(self.config.every_ms.max(100)));
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut told_at: Option<Instant> = None;
        let mut was_away = false;
        loop {
            tick.tick().await;
            let looked = self.look().await;
            match looked {
                Ok((live, ended)) => {
                    was_away = false;
                    let now = self.tell(&live, &ended).await;
                    let due = told_at.is_none_or(|at| at.elapsed().as_secs() >= self.config.report_s);
                    if self.publish(now, due) {
                        told_at = Some(Instant::now());
                    }
                }
                Err(error) => {
                    if !was_away {
                        log::warn!(error:%; "no news of sessions");
                    }
                    was_away = true;
                    // Without ingest nobody publishes; what became of them is known when it is back. Before the first
                    // answer it may only be late.
                    if self.sessions.borrow().is_some() {
                        self.publish(Sessions::new(), true);
                    }
                    self.observed.send_modify(|observed| observed.sessions = 0);
                }
            }
        }
    }

    async fn look(&self) -> Result<(Vec<Entry>, Vec<Ended>), crate::local::Error> {
        // In this order: a session that ends in between is seen at least once.
        let live = self.ingest.get("/sessions").await?;
        let ended = self.ingest.get("/ended").await?;
        Ok((live, ended))
    }

    /// Says what began and ended, and joins what is live.
    async fn tell(&mut self, live: &[Entry], ended: &[Ended]) -> Sessions {
        // One that ended after it was listed is not live any more.
        let live: Vec<_> = live
            .iter()
            .filter(|entry| ended.iter().all(|ended| ended.session != entry.session))
            .cloned()
            .collect();
        let events = self.memory.compare(&live, ended);
        if !events.is_empty() {
            for event in events {
                self.events.record(event).await;
            }
            self.memory.save();
        }
        let sent = match self.uplink.get::<uplink::Status>("/sessions").await {
            Ok(sent) => Some(sent),
            Err(error) => {
                log::debug!(error:%; "no news of the uplink");
                None
            }
        };
        self.observed.send_replace(Observed {
            sessions: u32::try_from(live.len()).unwrap_or(u32::MAX),
            uplink: sent.as_ref().map(|sent| Sending {
                sent_bytes: sent.sent_bytes,
                lag_ms: sent.lag_ms(),
                backlog: sent.backlog(),
            }),
            workers_lost: live.iter().filter_map(|entry| entry.worker).map(|worker| worker.lost).sum(),
        });
        let at_ms = self.clock.now_ms();
        let mut sessions = BTreeMap::new();
        for entry in &live {
            let worker = self.worker(entry).await;
            let uplink = sent.as_ref().and_then(|sent| sent.of(entry.session));
            let joined = join::session(entry, worker.as_ref(), uplink, at_ms);
            sessions.insert(entry.session, Arc::new(joined));
        }
        sessions
    }

    async fn worker(&self, entry: &Entry) -> Option<WorkerStatus> {
        let directory = layout::session_dir(&self.config.spool, &entry.channel, entry.session);
        let path = directory.join(layout::STATUS);
        let bytes = match tokio::fs::metadata(&path).await {
            Ok(found) if found.len() <= LARGEST_STATUS => tokio::fs::read(&path).await.ok()?,
            _ => return None,
        };
        let status: WorkerStatus = match serde_json::from_slice(&bytes) {
            Ok(status) => status,
            Err(error) => {
                log::warn!(session:% = entry.session, error:%; "status of the worker");
                return None;
            }
        };
        // Both by the system's clock, which the box's own may differ from.
        let now_ms = self.clock.now_ms().saturating_add_signed(self.clock.system_error_ms());
        (now_ms.saturating_sub(status.unix_ms) <= STATUS_AGE_MS).then_some(status)
    }

    /// Numbers that only moved wait until they are `due`.
    fn publish(&self, now: Sessions, due: bool) -> bool {
        self.sessions.send_if_modified(|before| {
            let worth_it = match before {
                Some(before) if due => *before != now,
                Some(before) => !looks_alike(before, &now),
                None => true,
            };
            if worth_it {
                *before = Some(now);
            }
            worth_it
        })
    }
}

/// Whether a person would see no difference but numbers that move all the time.
fn looks_alike(before: &Sessions, now: &Sessions) -> bool {
    before.len() == now.len()
        && before
            .iter()
            .zip(now)
            .all(|((one, before), (other, now))| one == other && noticeable(before) == noticeable(now))
}

fn noticeable(session: &Session) -> impl PartialEq + use<'_> {
    let codes: Vec<&str> = session.warnings.iter().map(|warning| warning.code.as_str()).collect();
    let ladder = session.ladder.as_ref().map(|ladder| {
        let rungs: Vec<_> = ladder.rungs.iter().map(|rung| (&rung.name, rung.state.as_str())).collect();
        (ladder.worker, ladder.overload.as_str(), rungs)
    });
    (codes, ladder, session.uplink.map(|uplink| uplink.connected), session.input.width)
}
