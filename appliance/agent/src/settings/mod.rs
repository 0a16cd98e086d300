//! Desired state, and what becomes of it: files that the processes of the box lay over their configuration, checked
//! by the processes themselves before they are put in place, and confirmed by them afterwards. What is refused leaves
//! the last good state in force.

mod check;
mod config;
mod render;
mod waiting;

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use nodi_protocol::SessionId;
use nodi_protocol::fleet::desired::{Desired, LogLevel, Rejected, Reported, Settings};
use nodi_protocol::revocation::Revocations;
use serde::{Deserialize, Serialize};
use tokio::sync::{Mutex, watch};

pub use config::{Config, IdentityPaths, Ingest, Transcode, Uplink};

use crate::clock::Clock;
use crate::files::{replace, replace_if_other};
use crate::host::CommandLine;
use crate::local::Local;
use crate::seams::{self, Doing, Sessions};
use render::Identity;
use waiting::Waiting;

/// Everybody on the box may read settings and public documents.
const MODE: u32 = 0o644;
/// The file below the agent's state directory.
const MEMORY: &str = "desired.json";
/// For the command that restarts the uplink: it drains first.
const RESTART: Duration = Duration::from_secs(60);

/// Why desired state is not in force.
#[derive(Debug, thiserror::Error)]
enum Refusal {
    #[error(transparent)]
    Unusable(#[from] render::Unusable),
    #[error(transparent)]
    Checked(#[from] check::Error),
    #[error("cannot write {path}: {source}")]
    Write { path: PathBuf, source: io::Error },
    /// The process looked at the file and does not take it.
    #[error("{process}: {reason}")]
    NotTaken { process: &'static str, reason: String },
    #[error("{process} does not follow its settings: {seconds} s after they changed it still has others")]
    NotFollowed { process: &'static str, seconds: u64 },
    #[error("origins: the uplink could not be restarted: {0}")]
    Restart(crate::host::Error),
}

/// Why there is no place for settings.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{path}: {source}")]
    File { path: PathBuf, source: io::Error },
    #[error("client of a local socket: {0}")]
    Client(#[from] reqwest::Error),
}

/// What the agent remembers of desired state. On disk before anything is done.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
struct Memory {
    /// The last good one.
    applied: Option<Desired>,
    rejected: Option<Rejected>,
    /// Epoch of what was rejected.
    rejected_epoch: Option<String>,
}

/// Desired state of this box.
pub struct Applier {
    config: Config,
    identity: Identity,
    restart_uplink: CommandLine,
    /// Of the agent itself, while the fleet says nothing.
    log_level: log::LevelFilter,
    memory_path: PathBuf,
    ingest: Local,
    uplink: Local,
    clock: Clock,
    sessions: watch::Receiver<Option<Sessions>>,
    reported: watch::Sender<Reported>,
    waiting: Waiting,
    memory: Mutex<Memory>,
    /// No new session is taken, whatever desired state says of it.
    held: AtomicBool,
}

impl std::fmt::Debug for Applier {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Applier").field("directory", &self.config.directory).finish_non_exhaustive()
    }
}

/// What an [`Applier`] is made of.
pub struct Setup<'a> {
    pub config: &'a crate::Config,
    pub identity: &'a crate::identity::Files,
    pub clock: Clock,
    pub ingest: Local,
    pub uplink: Local,
    pub sessions: watch::Receiver<Option<Sessions>>,
    /// As if [`Applier::hold`] had been called.
    pub held: bool,
}

/// Why sessions are not held back, or not let in again.
#[derive(Debug, thiserror::Error)]
#[error("new sessions: {0}")]
pub(crate) struct NotHeld(Refusal);

impl Applier {
    /// Puts what was in force last back in its place, so that a crash in the middle of a change leaves the state before
    /// it. Nothing is asked of the processes: they may start after the agent.
    ///
    /// # Errors
    /// When the files cannot be read or written.
    pub fn open(setup: Setup<'_>) -> Result<Arc<Self>, Error> {
        let Setup { config, identity, clock, ingest, uplink, sessions, held } = setup;
        let identity = match &config.settings.identity {
            Some(paths) => {
                Identity { ca: paths.ca.clone(), cert: paths.cert.clone(), key: paths.key.clone() }
            }
            None => Identity {
                ca: absolute(&identity.ca),
                cert: absolute(&identity.certificate),
                key: absolute(&identity.key),
            },
        };
        let memory_path = config.state.join(MEMORY);
        let file_error = |path: &Path| {
            let path = path.to_owned();
            move |source| Error::File { path, source }
        };
        std::fs::create_dir_all(&config.settings.directory)
            .map_err(file_error(&config.settings.directory))?;
        let memory = match std::fs::read(&memory_path) {
            Ok(bytes) => serde_json::from_slice(&bytes).unwrap_or_else(|error| {
                // The fleet says it again with the next connection.
                log::error!(error:%, path:% = memory_path.display(); "what was in force cannot be read");
                Memory::default()
            }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Memory::default(),
            Err(source) => return Err(Error::File { path: memory_path, source }),
        };
        let applier = Self {
            restart_uplink: config.actions.restart_uplink.clone(),
            log_level: config.log_level,
            config: config.settings.clone(),
            identity,
            memory_path,
            ingest,
            uplink,
            sessions,
            reported: watch::Sender::new(report(&memory, &[], clock.now_ms())),
            waiting: Waiting::default(),
            clock,
            memory: Mutex::new(Memory::default()),
            held: AtomicBool::new(held),
        };
        // A hold that an earlier process left is undone although the fleet never said anything.
        let left = memory.applied.is_none() && (held || applier.config.file("ingest").exists());
        let in_force = memory.applied.as_ref().map(|applied| applied.settings.clone());
        if let Some(settings) = in_force.or_else(|| left.then(Settings::default)) {
            match applier.files(&settings) {
                Ok(files) => {
                    for (path, text) in applier.places(&files) {
                        replace_if_other(&path, text.as_bytes(), MODE).map_err(file_error(&path))?;
                    }
                }
                Err(error) => log::error!(error:%; "what was in force is none of this version's any more"),
            }
            applier.set_log_level(&settings);
        }
        let applier = Self { memory: Mutex::new(memory), ..applier };
        Ok(Arc::new(applier))
    }

    /// Watches the sessions that still run with older settings.
    pub async fn follow_sessions(self: Arc<Self>) {
        let mut sessions = self.sessions.clone();
        while sessions.changed().await.is_ok() {
            let live = live(sessions.borrow_and_update().as_ref());
            if self.waiting.prune(&live) {
                let memory = self.memory.lock().await;
                self.say(&memory);
            }
        }
    }

    async fn take(&self, desired: Desired) {
        let mut memory = self.memory.lock().await;
        if is_stale(&memory, &desired) {
            log::debug!(version = desired.version; "desired state is not newer than what was seen");
            return;
        }
        if memory.applied.as_ref() == Some(&desired) {
            // Said again after a reconnect. Files that somebody changed meanwhile are put right.
            if let Ok(files) = self.files(&desired.settings) {
                for (path, text) in self.places(&files) {
                    if let Err(error) = replace_if_other(&path, text.as_bytes(), MODE) {
                        log::error!(path:% = path.display(), error:%; "cannot write settings");
                    }
                }
            }
            return self.say(&memory);
        }
        let version = desired.version;
        log::info!(version; "new desired state");
        let before = memory.applied.as_ref().map(|applied| applied.settings.clone()).unwrap_or_default();
        match self.put_in_force(&before, &desired.settings).await {
            Ok(changed) => {
                log::info!(version; "desired state is in force");
                self.set_log_level(&desired.settings);
                self.waiting.add(&changed, &live(self.sessions.borrow().as_ref()));
                *memory = Memory { applied: Some(desired), rejected: None, rejected_epoch: None };
            }
            Err(refusal) => {
                log::error!(version, reason:% = refusal; "desired state is refused; the one before stays in force");
                memory.rejected = Some(Rejected { version, reason: refusal.to_string() });
                memory.rejected_epoch = Some(desired.epoch);
            }
        }
        self.remember(&memory);
        self.say(&memory);
    }

    /// Which settings wait for the next session, of those that changed.
    async fn put_in_force(&self, before: &Settings, wanted: &Settings) -> Result<Vec<&'static str>, Refusal> {
        let new = self.files(wanted)?;
        // What was in force once was usable; if it is not any more, there is nothing to go back to.
        let old = self.files(before).or_else(|_| self.files(&Settings::default()))?;
        check::all(&self.config, &new).await?;
        if let Err(refusal) = self.replace_and_confirm(&new, &old).await {
            log::warn!("going back to the settings before");
            if let Err(error) = self.replace_and_confirm(&old, &new).await {
                log::error!(error:%; "the settings before are not confirmed either");
            }
            return Err(refusal);
        }
        let mut waiting = Vec::new();
        if before.ladder != wanted.ladder {
            waiting.push("ladder");
        }
        if before.part_ms != wanted.part_ms {
            waiting.push("part_ms");
        }
        Ok(waiting)
    }

    /// Takes no new session while `hold` is on, whatever desired state says of it; live ones go on. Ingest has confirmed it
    /// when this returns, unless it is not there: then it begins with it.
    pub(crate) async fn hold(&self, hold: bool) -> Result<(), NotHeld> {
        let memory = self.memory.lock().await;
        self.held.store(hold, Ordering::Relaxed);
        let settings = memory.applied.as_ref().map(|applied| applied.settings.clone()).unwrap_or_default();
        let put = async {
            let files = self.files(&settings)?;
            let path = self.config.file("ingest");
            replace_if_other(&path, files.ingest.as_bytes(), MODE)
                .map_err(|source| Refusal::Write { path, source })?;
            // One that is away reads the file when it comes, and takes nobody before.
            match self.ingest.get::<State>("/settings").await {
                Err(crate::local::Error::Away { .. }) => Ok(()),
                _ => self.confirm("ingest", &self.ingest, &files.ingest, false).await,
            }
        };
        put.await.map_err(NotHeld)
    }

    fn files(&self, settings: &Settings) -> Result<render::Files, render::Unusable> {
        if self.held.load(Ordering::Relaxed) {
            let settings = Settings { drain: Some(true), ..settings.clone() };
            return render::files(&settings, &self.identity);
        }
        render::files(settings, &self.identity)
    }

    async fn replace_and_confirm(&self, new: &render::Files, old: &render::Files) -> Result<(), Refusal> {
        for (path, text) in self.places(new) {
            replace_if_other(&path, text.as_bytes(), MODE)
                .map_err(|source| Refusal::Write { path: path.clone(), source })?;
        }
        self.confirm("ingest", &self.ingest, &new.ingest, false).await?;
        let restart = without_log_level(&new.uplink) != without_log_level(&old.uplink);
        if restart {
            log::info!("the origins changed: restarting the uplink");
            let ended = self.restart_uplink.run(RESTART).await.map_err(Refusal::Restart)?;
            ended.expect_success().map_err(Refusal::Restart)?;
        }
        self.confirm("uplink", &self.uplink, &new.uplink, restart).await
    }

    /// Waits until the process says that it goes by `text`. One that is away takes it when it comes, unless it was
    /// `restarted` for it.
    async fn confirm(
        &self,
        process: &'static str,
        local: &Local,
        text: &str,
        restarted: bool,
    ) -> Result<(), Refusal> {
        /// Between two questions.
        const PAUSE: Duration = Duration::from_millis(100);
        /// Of a process that was not restarted: what an exchange of its binary takes.
        const AWAY: Duration = Duration::from_secs(3);
        let sha256 = nodi_daemon::settings::sha256(text.as_bytes());
        let limit = Duration::from_secs(self.config.confirm_s);
        let started = tokio::time::Instant::now();
        let mut answered = false;
        let mut last = String::new();
        while started.elapsed() < limit {
            match local.get::<State>("/settings").await {
                Ok(State { sha256: Some(seen), error }) if seen == sha256 => {
                    return match error {
                        None => Ok(()),
                        Some(reason) => Err(Refusal::NotTaken { process, reason }),
                    };
                }
                Ok(_) => answered = true,
                Err(error) => last = error.to_string(),
            }
            if !answered && !restarted && started.elapsed() > AWAY {
                log::warn!(process, reason:% = last; "not there to confirm its settings: it takes them when it starts");
                return Ok(());
            }
            tokio::time::sleep(PAUSE).await;
        }
        if answered {
            Err(Refusal::NotFollowed { process, seconds: limit.as_secs() })
        } else {
            Err(Refusal::NotTaken {
                process,
                reason: format!("does not come back after its restart: {last}"),
            })
        }
    }

    fn places<'a>(&self, files: &'a render::Files) -> Vec<(PathBuf, &'a str)> {
        let mut places = vec![
            (self.config.file("ingest"), files.ingest.as_str()),
            (self.config.file("transcode"), files.transcode.as_str()),
            (self.config.file("uplink"), files.uplink.as_str()),
        ];
        if let Some(keys) = &files.stream_keys {
            places.push((self.config.stream_keys.clone(), keys));
        }
        places
    }

    fn set_log_level(&self, settings: &Settings) {
        nodi_daemon::logging::set_level(settings.log_level.map_or(self.log_level, |level| match level {
            LogLevel::Off => log::LevelFilter::Off,
            LogLevel::Error => log::LevelFilter::Error,
            LogLevel::Warn => log::LevelFilter::Warn,
            LogLevel::Info => log::LevelFilter::Info,
            LogLevel::Debug => log::LevelFilter::Debug,
            LogLevel::Trace => log::LevelFilter::Trace,
        }));
    }

    fn remember(&self, memory: &Memory) {
        let written = serde_json::to_vec(memory)
            .map_err(io::Error::other)
            .and_then(|bytes| replace(&self.memory_path, &bytes, MODE));
        if let Err(error) = written {
            log::error!(error:%, path:% = self.memory_path.display(); "what is in force will be forgotten");
        }
    }

    fn say(&self, memory: &Memory) {
        self.reported.send_replace(report(memory, &self.waiting.names(), self.clock.now_ms()));
    }

    fn write_revocations(&self, revocations: &Revocations) {
        let path = &self.config.revocations;
        let held = std::fs::read(path).ok().and_then(|bytes| Revocations::from_json(&bytes).ok());
        if held.is_some_and(|held| !revocations.replaces(&held)) {
            return;
        }
        let written = serde_json::to_vec(revocations)
            .map_err(io::Error::other)
            .and_then(|bytes| replace(path, &bytes, MODE));
        match written {
            Ok(()) => log::info!(version = revocations.version, suspended = revocations.suspended.len(),
                channels = revocations.min_versions.len(); "new revocations"),
            Err(error) => log::error!(error:%, path:% = path.display(); "cannot write the revocations"),
        }
    }
}

impl seams::Settings for Applier {
    fn reported(&self) -> watch::Receiver<Reported> {
        self.reported.subscribe()
    }

    fn apply(&self, desired: Desired) -> Doing<'_, ()> {
        Box::pin(self.take(desired))
    }

    fn refuse(&self, version: u64, epoch: String, reason: String) -> Doing<'_, ()> {
        Box::pin(async move {
            let mut memory = self.memory.lock().await;
            log::error!(version, reason; "desired state cannot be read; the one before stays in force");
            memory.rejected = Some(Rejected { version, reason });
            memory.rejected_epoch = Some(epoch);
            self.remember(&memory);
            self.say(&memory);
        })
    }

    fn revoke(&self, revocations: Revocations) -> Doing<'_, ()> {
        Box::pin(async move { self.write_revocations(&revocations) })
    }
}

fn live(sessions: Option<&Sessions>) -> BTreeSet<SessionId> {
    sessions.into_iter().flatten().map(|(id, _)| *id).collect()
}

/// Body of `GET /settings`.
#[derive(Debug, Deserialize)]
struct State {
    sha256: Option<String>,
    error: Option<String>,
}

/// Versions count within an epoch. What was refused may be tried again: the software may be another one by now.
fn is_stale(memory: &Memory, desired: &Desired) -> bool {
    let applied = memory.applied.as_ref().filter(|applied| applied.epoch == desired.epoch);
    let rejected =
        memory.rejected.as_ref().filter(|_| memory.rejected_epoch.as_ref() == Some(&desired.epoch));
    applied.is_some_and(|applied| desired.version < applied.version)
        || rejected.is_some_and(|rejected| desired.version < rejected.version)
}

fn report(memory: &Memory, waiting: &[String], at_ms: u64) -> Reported {
    let applied = memory.applied.as_ref();
    // Versions of another epoch would be compared with the wrong ones.
    let epoch = memory.rejected_epoch.clone().filter(|_| applied.is_none());
    Reported {
        applied: applied.map_or(0, |applied| applied.version),
        epoch: epoch.or_else(|| applied.map(|applied| applied.epoch.clone())).unwrap_or_default(),
        settings: applied.map(|applied| applied.settings.clone()).unwrap_or_default(),
        rejected: memory.rejected.clone(),
        pending: waiting.to_vec(),
        at_ms,
    }
}

/// The level of the log is the one setting that the uplink follows while it runs.
fn without_log_level(text: &str) -> String {
    text.lines().filter(|line| !line.starts_with("log_level")).collect()
}

/// The uplink runs in another directory.
fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}
