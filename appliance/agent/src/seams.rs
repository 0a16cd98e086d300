//! Where the agent's core (identity, link, outbox, commands' state) meets what it does on the box
//! (settings, telemetry, sessions, actions). The core knows no process of the box, and the other side knows no broker.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;

use nodi_protocol::fleet::command::{Command, Process};
use nodi_protocol::fleet::desired::{Desired, Reported};
use nodi_protocol::fleet::presence::Hardware;
use nodi_protocol::fleet::session::Session;
use nodi_protocol::fleet::telemetry::Telemetry;
use nodi_protocol::fleet::update::{Bundle, Window};
use nodi_protocol::revocation::Revocations;
use nodi_protocol::{BoxId, SessionId};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::clock::Clock;
use crate::events::Events;
use crate::fleet::Fleet;
use crate::identity;

/// A future behind a trait object.
pub type Doing<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// What the core gives to the other side once the box is enrolled.
#[derive(Clone)]
pub struct Context {
    pub box_id: BoxId,
    /// Of the kernel, as the configuration says where to read it.
    pub boot_id: String,
    /// Corrected by what the fleet server says; every time that leaves the box is of this clock.
    pub clock: Clock,
    /// Where to say what must not be lost.
    pub events: Events,
    /// HTTPS to the fleet server, for uploads.
    pub fleet: Fleet,
    /// Key, certificate and authority of this box, as files, for processes that push with them.
    pub identity: identity::Files,
    /// An update is under way that takes no new session: as if [`Updater::hold`] had been called.
    pub held: bool,
}

/// Puts the other side together. The process's own is [`crate::Host`].
pub trait Assemble {
    /// What kind of box this is; asked once, before it is enrolled.
    fn hardware(&self) -> impl Future<Output = Hardware>;

    /// Of the software on the box.
    fn version(&self) -> String {
        env!("CARGO_PKG_VERSION").to_owned()
    }

    /// # Errors
    /// When the box cannot be what it is configured to be; the agent then ends.
    fn parts(self, context: &Context) -> impl Future<Output = Result<Parts, BoxError>>;
}

/// Any error.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// What the other side gives to the core.
pub struct Parts {
    pub actions: Arc<dyn Actions>,
    pub settings: Arc<dyn Settings>,
    pub telemetry: Box<dyn Measure>,
    /// All live sessions; `None` until the first look. Each new value is compared with what the fleet was
    /// told, and the difference is sent.
    pub sessions: watch::Receiver<Option<Sessions>>,
    pub updater: Arc<dyn Updater>,
    /// Everything that runs in the background for these. One that ends or panics ends the agent, so that
    /// it is started anew.
    pub tasks: JoinSet<()>,
}

pub type Sessions = BTreeMap<SessionId, Arc<Session>>;

/// What the commands do. The core has made sure that `run` is called at most once per command, ever.
pub trait Actions: Send + Sync {
    /// Does what `command` says. The future is dropped when the command's time is over, and when the agent stops.
    ///
    /// For [`is_judged_later`] it does not return after it has asked the host: the next process finds out what came of it.
    fn run(&self, command: Command, progress: Progress) -> Doing<'_, Outcome>;
}

/// Whether the process that runs the action does not live to see its end: a reboot, and a restart of the agent.
#[must_use]
pub fn is_judged_later(action: &nodi_protocol::fleet::command::Action) -> bool {
    use nodi_protocol::fleet::command::Action;
    matches!(action, Action::Reboot | Action::RestartProcess { process: Process::Agent })
}

/// How an action ended.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome {
    pub succeeded: bool,
    /// For people: what was done, or exactly why not.
    pub message: String,
    /// For programs: what was measured.
    pub result: Option<serde_json::Value>,
}

impl Outcome {
    #[must_use]
    pub fn succeeded(message: impl Into<String>) -> Self {
        Self { succeeded: true, message: message.into(), result: None }
    }

    #[must_use]
    pub fn failed(message: impl Into<String>) -> Self {
        Self { succeeded: false, message: message.into(), result: None }
    }

    #[must_use]
    pub fn with_result(mut self, result: serde_json::Value) -> Self {
        self.result = Some(result);
        self
    }
}

/// Where an action says how far it is. Only the newest is kept, so it may be said as often as one likes.
#[derive(Debug, Clone)]
pub struct Progress {
    said: watch::Sender<Said>,
}

/// What was said last.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Said {
    /// 0 to 100 where it can be told.
    pub percent: Option<u8>,
    pub message: String,
}

impl Progress {
    #[must_use]
    pub fn new() -> (Self, watch::Receiver<Said>) {
        let (said, heard) = watch::channel(Said::default());
        (Self { said }, heard)
    }

    pub fn say(&self, percent: Option<u8>, message: impl Into<String>) {
        let new = Said { percent: percent.map(|percent| percent.min(100)), message: message.into() };
        self.said.send_if_modified(|old| {
            let changed = *old != new;
            *old = new;
            changed
        });
    }
}

/// Desired state, and what became of it. Keeps the last good one on disk by itself.
pub trait Settings: Send + Sync {
    /// What is in force. Each change is sent; the core takes `telemetry_s` from it.
    fn reported(&self) -> watch::Receiver<Reported>;

    /// Takes a desired state, or refuses it; either way `reported` says so afterwards. One call at a time.
    fn apply(&self, desired: Desired) -> Doing<'_, ()>;

    /// A desired state came that this build cannot read, such as one with a setting that it does not know. `reported` says
    /// so afterwards, and what is in force stays.
    fn refuse(&self, version: u64, epoch: String, reason: String) -> Doing<'_, ()> {
        log::error!(version, epoch; "desired state is not readable: {reason}");
        Box::pin(std::future::ready(()))
    }

    /// Puts the document where the processes of the box read it. One call at a time.
    fn revoke(&self, revocations: Revocations) -> Doing<'_, ()>;
}

/// One measurement of everything.
pub trait Measure: Send {
    /// `at_ms`, `outbox` and `certificate_not_after_ms` are the core's to fill in. Called once per interval, so that
    /// rates are those since the call before.
    fn measure(&mut self) -> Doing<'_, Telemetry>;
}

/// What an update needs of the box. The core keeps its state; nothing here is called twice at the same time.
pub trait Updater: Send + Sync {
    /// What RAUC says of the slots.
    fn system(&self) -> Doing<'_, Result<System, Obstacle>>;

    /// Whether a slot that does not come up is left by itself.
    fn armed(&self) -> Doing<'_, Result<(), Obstacle>>;

    /// Whether there is room for what is missing of `bundle`.
    fn room(&self, bundle: &Bundle, file: PathBuf) -> Result<(), Obstacle>;

    /// How many sessions are live.
    fn live(&self) -> Doing<'_, usize>;

    /// When the fleet lets this box reboot by itself.
    fn windows(&self) -> Vec<Window>;

    /// Whether no new session is taken, whatever desired state says of it.
    fn hold(&self, hold: bool) -> Doing<'_, Result<(), Obstacle>>;

    /// Gets `bundle` to `file`, from where it stopped, and verifies it. Tries for as long as there is hope.
    fn download(&self, bundle: Bundle, file: PathBuf, progress: Progress) -> Doing<'_, Result<(), Obstacle>>;

    /// Has `bundle` installed from the file; without one: waits for the end of an installation that goes on.
    fn install(
        &self,
        bundle: Option<(Bundle, PathBuf)>,
        progress: Progress,
    ) -> Doing<'_, Result<(), Obstacle>>;

    /// Makes the slot the one that boots next.
    fn activate(&self, slot: Slot) -> Doing<'_, Result<(), Obstacle>>;

    /// Says that the slot is not to be booted.
    fn reject(&self, slot: Slot) -> Doing<'_, Result<(), Obstacle>>;

    /// Asks the host to reboot; it may take a while.
    fn reboot(&self) -> Doing<'_, Result<(), Obstacle>>;
}

/// Why a step of an update cannot be taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct Obstacle {
    pub reason: String,
    /// It may be gone later by itself.
    pub passes: bool,
}

impl Obstacle {
    #[must_use]
    pub fn passing(reason: impl Into<String>) -> Self {
        Self { reason: reason.into(), passes: true }
    }

    #[must_use]
    pub fn lasting(reason: impl Into<String>) -> Self {
        Self { reason: reason.into(), passes: false }
    }
}

/// What RAUC says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct System {
    /// What a bundle for this box says as `compatible`.
    pub compatible: String,
    /// It installs. Then nothing is known of the slots.
    pub busy: bool,
    /// Of the last installation; empty: there was none.
    pub last_error: String,
    pub booted: Option<Slot>,
    /// The one that an update is written to.
    pub other: Option<Slot>,
    /// Boot name of the slot that boots next.
    pub primary: Option<String>,
}

/// One of the two root file systems.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Slot {
    /// In RAUC's configuration, such as `rootfs.0`.
    pub name: String,
    /// For the boot loader, such as `A`.
    pub bootname: String,
    /// The boot loader may boot it.
    pub good: bool,
}
