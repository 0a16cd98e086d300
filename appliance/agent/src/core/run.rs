//! The life of the process: who am I, let me in, connect, work, goodbye.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use nodi_daemon::shutdown::Shutdown;
use nodi_daemon::systemd;
use nodi_daemon::watchdog::{Beat, Watchdog};
use nodi_mqtt::Link;
use nodi_protocol::BoxId;
use nodi_protocol::enrol::Enrolled;
use nodi_protocol::fleet::Payload as _;
use nodi_protocol::fleet::event::What;
use nodi_protocol::fleet::presence::{Hardware, Presence};
use nodi_protocol::fleet::topic::{BoxTopic, Topic};
use nodi_protocol::fleet::update::Report;
use tokio::sync::{Notify, mpsc, watch};
use tokio::task::JoinSet;

use super::broker::{self, Preparation};
use super::commands::Commands;
use super::dispatch::{Dispatch, Wanted};
use super::journal::Journal;
use super::measure::{Measurements, send_waiting};
use super::renewal::Renewal;
use super::{keep, link, live};
use crate::clock::{Clock, Kernel, built_ms};
use crate::config::Config;
use crate::events::Events;
use crate::fleet::{self, Fleet};
use crate::identity::{self, Identity, enrol, provisioning};
use crate::seams::{Assemble, BoxError, Context, Parts, Settings};
use crate::store::{self, EventBounds, Store, names};
use crate::time::{Keeper, Remembered};
use crate::update::{self, Heard, Machine};

/// Orders that wait for the commands' task.
const ORDERS: usize = 8;
/// Between two looks at whether everything still turns, where systemd does not say.
const PULSE: Duration = Duration::from_secs(10);
/// A store that does not answer for so long has a disk that does not.
const STUCK: Duration = Duration::from_secs(60);

/// Why the agent ended.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{path}: {source}")]
    File { path: PathBuf, source: std::io::Error },
    #[error(transparent)]
    Store(#[from] store::Error),
    #[error(transparent)]
    Identity(#[from] identity::Error),
    #[error(transparent)]
    Fleet(#[from] fleet::Error),
    #[error("box: {0}")]
    Parts(BoxError),
    #[error("a task ended: {0}")]
    Task(String),
    #[error("the disk does not answer")]
    Stuck,
}

/// What is there before the box is anybody.
struct Ground {
    config: Config,
    boot_id: String,
    store: Store,
    clock: Clock,
    events: Events,
    fleet: Fleet,
    identity: Arc<Identity>,
    doubt: Arc<Notify>,
    lost_ms: u64,
    shutdown: Shutdown,
    watchdog: Watchdog,
}

/// Runs until `shutdown`.
///
/// # Errors
/// When something that the agent stands on fails; systemd then starts it anew.
pub async fn run(config: Config, host: impl Assemble, shutdown: Shutdown) -> Result<(), Error> {
    let ground = Ground::lay(config, shutdown).await?;
    systemd::ready();
    let mut tasks = JoinSet::new();
    ground.keep_time(&mut tasks);
    let outcome = tokio::select! {
        outcome = ground.work(host, &mut tasks) => outcome,
        outcome = ground.pulse(ground.watchdog.part("the store")) => outcome,
        () = ground.watchdog.clone().run() => Ok(()),
    };
    tasks.shutdown().await;
    outcome
}

impl Ground {
    async fn lay(config: Config, shutdown: Shutdown) -> Result<Self, Error> {
        std::fs::create_dir_all(&config.state)
            .map_err(|source| Error::File { path: config.state.clone(), source })?;
        let boot_id = std::fs::read_to_string(&config.boot_id)
            .map_err(|source| Error::File { path: config.boot_id.clone(), source })?
            .trim()
            .to_owned();
        let (store, lost) = Store::open_noting(&config.state.join("agent.sqlite"))?;
        let clock = clock(&config, &store, &boot_id).await?;
        if lost {
            store.set_value(names::LOST_MS, clock.now_ms()).await?;
        }
        let lost_ms = store.value(names::LOST_MS).await?.unwrap_or(0);
        let bounds = EventBounds { count: config.outbox.max_events };
        let events = Events::new(store.clone(), clock.clone(), bounds);
        let provisioning = provisioning(&config.provisioning)
            .map_err(|source| Error::File { path: config.provisioning.clone(), source })?;
        let fleet = Fleet::new(&provisioning, &clock)?;
        let identity = Arc::new(Identity::open(&config.state.join("identity"))?);
        log::info!(box_id:% = identity.box_id, fleet = provisioning.fleet_url, version = env!("CARGO_PKG_VERSION");
            "agent of {}", identity.box_id);
        let doubt = Arc::new(Notify::new());
        let watchdog = Watchdog::of_unit();
        Ok(Self {
            config,
            boot_id,
            store,
            clock,
            events,
            fleet,
            identity,
            doubt,
            lost_ms,
            shutdown,
            watchdog,
        })
    }

    fn keep_time(&self, tasks: &mut JoinSet<()>) {
        let keeper = Keeper {
            fleet: self.fleet.clone(),
            clock: self.clock.clone(),
            store: self.store.clone(),
            events: self.events.clone(),
            boot_id: self.boot_id.clone(),
            config: self.config.clock.clone(),
        };
        let (doubt, shutdown) = (self.doubt.clone(), self.shutdown.clone());
        tasks.spawn(async move { keeper.run(&doubt, &shutdown).await });
    }

    /// Looks whether the store answers.
    async fn pulse(&self, beat: Beat) -> Result<(), Error> {
        let mut tick = tokio::time::interval(beat.every().unwrap_or(PULSE));
        loop {
            tick.tick().await;
            match tokio::time::timeout(STUCK, self.store.acknowledged()).await {
                Ok(Ok(_)) => beat.beat(),
                // A disk that is full or broken is in the log; starting anew does not mend it, and live video does not
                // need it.
                Ok(Err(error)) => {
                    log::error!("{error}");
                    beat.beat();
                }
                Err(_) => return Err(Error::Stuck),
            }
        }
    }

    async fn work(&self, host: impl Assemble, tasks: &mut JoinSet<()>) -> Result<(), Error> {
        let version = host.version();
        self.note_boot(&version).await?;
        let hardware = host.hardware().await;
        let Some(enrolled) = self.enrolled(&hardware).await? else { return Ok(()) };
        let context = Context {
            box_id: self.identity.box_id.clone(),
            boot_id: self.boot_id.clone(),
            clock: self.clock.clone(),
            events: self.events.clone(),
            fleet: self.fleet.clone(),
            identity: self.identity.files.clone(),
            held: update::is_held(&self.store).await?,
        };
        let parts = host.parts(&context).await.map_err(Error::Parts)?;
        let (enrolled, _) = watch::channel(enrolled);
        let (presence, _) = watch::channel(None);
        let preparation = Preparation {
            identity: self.identity.clone(),
            enrolled: enrolled.subscribe(),
            store: self.store.clone(),
            clock: self.clock.clone(),
            boot_id: self.boot_id.clone(),
            version: version.clone(),
            hardware,
            presence: presence.clone(),
            tls: None,
        };
        let options = broker::options(&self.identity.box_id, &self.config.broker);
        let (link, arrivals, driver) = nodi_mqtt::open(options, preparation);
        let mut driving = JoinSet::new();
        driving.spawn(driver.run());
        let mut host_tasks = self.start(parts, version, &link, arrivals, &enrolled, tasks).await?;
        let outcome = tokio::select! {
            // Some tasks end with it.
            biased;
            () = self.shutdown.wait() => Ok(()),
            ended = tasks.join_next() => Err(Error::Task(told(ended))),
            ended = driving.join_next() => Err(Error::Task(told(ended))),
            Some(ended) = host_tasks.join_next() => Err(Error::Task(told(Some(ended)))),
        };
        if outcome.is_ok() {
            self.goodbye(&link, &presence).await;
        }
        outcome
    }

    async fn note_boot(&self, version: &str) -> Result<(), Error> {
        let known: Option<String> = self.store.value(names::BOOTED).await?;
        if known.as_ref() != Some(&self.boot_id) {
            let version = version.to_owned();
            self.events.record(What::Booted { boot_id: self.boot_id.clone(), version }).await;
            self.store.set_value(names::BOOTED, self.boot_id.clone()).await?;
        }
        Ok(())
    }

    async fn enrolled(&self, hardware: &Hardware) -> Result<Option<Enrolled>, Error> {
        if let Some(enrolled) = self.identity.enrolled()? {
            return Ok(Some(enrolled));
        }
        systemd::status("waiting to be let into the fleet");
        let enrolled = enrol(
            &self.identity,
            &self.fleet,
            &self.clock,
            hardware,
            &self.config.provisioning,
            &self.config.pairing_file,
            &self.shutdown,
        )
        .await;
        Ok(enrolled)
    }

    /// Starts everything that lives on the link; returns the other side's own tasks.
    async fn start(
        &self,
        parts: Parts,
        version: String,
        link: &Link,
        arrivals: mpsc::Receiver<nodi_mqtt::Event>,
        enrolled: &watch::Sender<Enrolled>,
        tasks: &mut JoinSet<()>,
    ) -> Result<JoinSet<()>, Error> {
        systemd::status("running");
        let box_id = self.identity.box_id.clone();
        let (desired, wanted) = watch::channel(None);
        let (revocations, document) = watch::channel(None);
        let (acks, acknowledged) = watch::channel(None);
        let (orders, order) = mpsc::channel(ORDERS);
        let (updates, heard) = watch::channel(Heard::default());
        let beat = self.watchdog.part("what comes from the broker");
        let dispatch = Dispatch { box_id: box_id.clone(), desired, revocations, acks, orders, updates, beat };
        let doubt = self.doubt.clone();
        tasks.spawn(async move { dispatch.run(arrivals, &doubt).await });

        let Parts { actions, settings, telemetry, sessions, updater, tasks: host_tasks } = parts;
        let reported = settings.reported();
        tasks.spawn(keep::keep(
            link.clone(),
            Topic::Box(box_id.clone(), BoxTopic::Reported).to_string(),
            reported.clone(),
            |reported| reported.to_json().map(Some),
        ));
        tasks.spawn(apply(settings, wanted, document));
        tasks.spawn(live::show(link.clone(), box_id.clone(), self.store.clone(), sessions));

        let (connected, was_connected) = watch::channel(None);
        let (report, reported_update) = watch::channel(None);
        tasks.spawn(link::note(
            link.clone(),
            self.clock.clone(),
            self.config.update.link_file.clone(),
            connected,
        ));
        tasks.spawn(keep::keep(
            link.clone(),
            Topic::Box(box_id.clone(), BoxTopic::UpdateStatus).to_string(),
            reported_update,
            |report: &Option<Report>| report.as_ref().map(Report::to_json).transpose(),
        ));
        let machine = Machine::open(update::Setup {
            store: self.store.clone(),
            clock: self.clock.clone(),
            events: self.events.clone(),
            boot_id: self.boot_id.clone(),
            version,
            updater,
            config: self.config.update.clone(),
            heard,
            connected: was_connected,
            report,
        });
        tasks.spawn(machine.await?.run());

        let commands = Commands {
            box_id: box_id.clone(),
            boot_id: self.boot_id.clone(),
            store: self.store.clone(),
            clock: self.clock.clone(),
            link: link.clone(),
            actions,
            config: self.config.commands,
            lost_ms: self.lost_ms,
            beat: self.watchdog.part("commands"),
        };
        tasks.spawn(commands.run(order));

        let journal = Journal {
            link: link.clone(),
            box_id: box_id.clone(),
            store: self.store.clone(),
            events: self.events.clone(),
            journal: self.store.journal(fresh_id()).await?,
            acks: acknowledged,
        };
        tasks.spawn(journal.run());

        let kept = Arc::new(Notify::new());
        let measurements = Measurements {
            link: link.clone(),
            box_id: box_id.clone(),
            store: self.store.clone(),
            clock: self.clock.clone(),
            measure: telemetry,
            reported,
            enrolled: enrolled.subscribe(),
            outbox: self.config.outbox,
            state: self.config.state.clone(),
            beat: self.watchdog.part("telemetry"),
        };
        let notify = kept.clone();
        tasks.spawn(async move { measurements.run(&notify).await });
        let (waiting_link, store, clock) = (link.clone(), self.store.clone(), self.clock.clone());
        let max_age_s = self.config.outbox.max_age_s;
        tasks.spawn(async move { send_waiting(waiting_link, box_id, store, clock, max_age_s, &kept).await });

        let renewal = Renewal {
            identity: self.identity.clone(),
            fleet: self.fleet.clone(),
            clock: self.clock.clone(),
            events: self.events.clone(),
            enrolled: enrolled.clone(),
            link: link.clone(),
        };
        tasks.spawn(renewal.run());
        Ok(host_tasks)
    }

    async fn goodbye(&self, link: &Link, presence: &watch::Sender<Option<Presence>>) {
        systemd::stopping();
        let presence = presence.borrow().clone();
        let last = presence
            .map(|presence| broker::offline(&presence, self.clock.now_ms()))
            .and_then(|offline| broker::message(&self.identity.box_id, &offline).ok());
        // Half of the time that the process has, so that it ends by itself.
        let within = Duration::from_secs(self.config.shutdown_s) / 2;
        link.close(last.into_iter().collect(), within).await;
    }
}

/// Desired state and revocations, one after the other, the newest of each.
async fn apply(
    settings: Arc<dyn Settings>,
    mut wanted: watch::Receiver<Option<Wanted>>,
    mut document: watch::Receiver<Option<nodi_protocol::revocation::Revocations>>,
) {
    loop {
        tokio::select! {
            // Revocations first: they are what somebody waits for.
            biased;
            changed = document.changed() => {
                if changed.is_err() {
                    return;
                }
                let document = document.borrow_and_update().clone();
                if let Some(document) = document {
                    settings.revoke(document).await;
                }
            }
            changed = wanted.changed() => {
                if changed.is_err() {
                    return;
                }
                let wanted = wanted.borrow_and_update().clone();
                match wanted {
                    Some(Wanted::Readable(desired)) => settings.apply(desired).await,
                    Some(Wanted::Unreadable { version, epoch, reason }) => {
                        settings.refuse(version, epoch, reason).await;
                    }
                    None => {}
                }
            }
        }
    }
}

async fn clock(config: &Config, store: &Store, boot_id: &str) -> Result<Clock, Error> {
    let remembered: Option<Remembered> = store.value(names::TIME).await?;
    let known_ms = remembered.as_ref().map_or(0, |remembered| remembered.anchor.true_ms);
    let source = Kernel { skew_ms: config.clock.skew_s.saturating_mul(1000) };
    let clock = Clock::new(source, built_ms().max(known_ms));
    if let Some(remembered) = remembered.filter(|remembered| remembered.boot_id == boot_id) {
        clock.recall(remembered.anchor);
    }
    Ok(clock)
}

/// For the event journal.
fn fresh_id() -> String {
    let mut random = [0_u8; 16];
    // Without random numbers the time has to do; a journal is started once in a box's life.
    if getrandom::fill(&mut random).is_err() {
        random = u128::from(Clock::new(Kernel::default(), 0).now_ms()).to_be_bytes();
    }
    random.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn told(ended: Option<Result<(), tokio::task::JoinError>>) -> String {
    match ended {
        Some(Err(error)) => error.to_string(),
        Some(Ok(())) => "it had nothing left to do".to_owned(),
        None => "there was none".to_owned(),
    }
}

/// Whose agent this is, if it has a key already.
///
/// # Errors
/// When the key cannot be read.
pub fn box_id(config: &Config) -> Result<Option<BoxId>, Error> {
    let directory = config.state.join("identity");
    if directory.join("key.pem").exists() {
        return Ok(Some(Identity::open(&directory)?.box_id));
    }
    Ok(None)
}
