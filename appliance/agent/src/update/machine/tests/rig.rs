//! A box that is nothing but what an update asks of it.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use nodi_protocol::UpdateId;
use nodi_protocol::fleet::Payload as _;
use nodi_protocol::fleet::event::What;
use nodi_protocol::fleet::update::{Bundle, Deadlines, Order, Report, State, Window};
use tokio::sync::watch;

use super::super::super::Config;
use super::super::super::files::Directory;
use super::super::{Heard, Machine, Setup};
use crate::clock::{Clock, Source};
use crate::events::Events;
use crate::seams::{Doing, Obstacle, Progress, Slot, System, Updater};
use crate::store::{EventBounds, Store};

/// Monday, 23 November 2026, 13:33:20 UTC.
pub(super) const TODAY: u64 = 1_795_440_800_000;
const STEP_MS: u64 = 20;

pub(super) fn order(number: u128) -> Order {
    Order {
        id: UpdateId::new(TODAY, number),
        issued_ms: TODAY,
        expires_ms: TODAY + 3_600_000,
        bundle: Bundle {
            version: "2".to_owned(),
            compatible: "nodi-x-l4t-r39.2".to_owned(),
            url: "https://fleet.example/bundle".to_owned(),
            token: Some("secret".to_owned()),
            bytes: 1_000,
            sha256: "0".repeat(64),
        },
        force: false,
        deadlines: Deadlines { download_s: 100, install_s: 200, reboot_s: 300, trial_s: 400 },
    }
}

pub(super) fn gate(boot_id: &str, slot: &str, passed: Option<bool>) -> serde_json::Value {
    serde_json::json!({
        "boot_id": boot_id, "slot": slot, "trial": slot == "B", "id": order(1).id, "passed": passed, "began_ms": 1, "at_ms": 2,
        "checks": [{"name": "stream", "passed": passed == Some(true), "message": "no segment"}],
    })
}

#[derive(Clone, Default)]
struct Time {
    wall: Arc<AtomicU64>,
    boot: Arc<AtomicU64>,
}

impl Source for Time {
    fn is_kept(&self) -> bool {
        true
    }

    fn wall_ms(&self) -> u64 {
        self.wall.load(Ordering::Relaxed)
    }

    fn since_boot_ms(&self) -> u64 {
        self.boot.load(Ordering::Relaxed)
    }
}

pub(super) enum Install {
    Works,
    Fails(String),
    /// So many steps.
    Takes(u64),
}

/// What the box does when it is asked, and what it was asked.
pub(super) struct Fake {
    pub calls: Vec<String>,
    pub system: System,
    pub rauc: Result<(), Obstacle>,
    pub armed: Result<(), Obstacle>,
    pub room: Result<(), Obstacle>,
    pub live: usize,
    pub comes_when_held: bool,
    pub windows: Vec<Window>,
    pub held: bool,
    /// `None`: it never ends.
    pub download: Option<Result<(), Obstacle>>,
    pub install: Install,
    pub reboot: Result<(), Obstacle>,
    /// Steps that the installation still takes.
    left: u64,
    progress: Option<Progress>,
}

impl Fake {
    /// What RAUC installs is installed.
    pub(super) fn finish(&mut self) {
        self.left = 0;
        self.system.busy = false;
        self.system.primary = Some("B".to_owned());
    }

    pub(super) fn fail(&mut self, reason: &str) {
        self.left = 0;
        self.system.busy = false;
        self.system.last_error = reason.to_owned();
    }

    pub(super) fn say(&self, percent: u8) {
        if let Some(progress) = &self.progress {
            progress.say(Some(percent), "");
        }
    }
}

pub(super) struct Box {
    fake: Mutex<Fake>,
    store: Mutex<Option<Store>>,
    directory: Directory,
    /// Looks at the disk that go on.
    looking: AtomicU64,
}

impl Box {
    fn fake(&self) -> MutexGuard<'_, Fake> {
        self.fake.lock().unwrap()
    }

    /// The state is on disk before what it names begins.
    async fn call(&self, name: &str, state: State) {
        self.fake().calls.push(name.to_owned());
        let store = self.store.lock().unwrap().clone().unwrap();
        self.looking.fetch_add(1, Ordering::Relaxed);
        let record = store.update().await;
        self.looking.fetch_sub(1, Ordering::Relaxed);
        let record = record.unwrap().unwrap();
        assert_eq!(record.report.state, state, "{name}");
        if matches!(name, "install" | "reboot") && state != State::Trial {
            let trial = self.directory.trial().expect("trial.json is there before RAUC can switch");
            assert_eq!((trial.slot.as_str(), trial.from_slot.as_str(), trial.trial_s), ("B", "A", 400));
        }
    }
}

impl Updater for Box {
    fn system(&self) -> Doing<'_, Result<System, Obstacle>> {
        let fake = self.fake();
        let system = fake.rauc.clone().map(|()| {
            if fake.system.busy {
                System { booted: None, other: None, primary: None, ..fake.system.clone() }
            } else {
                fake.system.clone()
            }
        });
        drop(fake);
        // As a box whose RAUC is busy with somebody else's bundle still knows its slots before the update began.
        std::boxed::Box::pin(std::future::ready(system))
    }

    fn armed(&self) -> Doing<'_, Result<(), Obstacle>> {
        std::boxed::Box::pin(std::future::ready(self.fake().armed.clone()))
    }

    fn room(&self, _bundle: &Bundle, _file: PathBuf) -> Result<(), Obstacle> {
        self.fake().room.clone()
    }

    fn live(&self) -> Doing<'_, usize> {
        std::boxed::Box::pin(std::future::ready(self.fake().live))
    }

    fn windows(&self) -> Vec<Window> {
        self.fake().windows.clone()
    }

    fn hold(&self, hold: bool) -> Doing<'_, Result<(), Obstacle>> {
        let mut fake = self.fake();
        fake.held = hold;
        if hold {
            fake.calls.push("hold".to_owned());
            fake.live += usize::from(fake.comes_when_held);
        }
        std::boxed::Box::pin(std::future::ready(Ok(())))
    }

    fn download(
        &self,
        _bundle: Bundle,
        file: PathBuf,
        progress: Progress,
    ) -> Doing<'_, Result<(), Obstacle>> {
        std::boxed::Box::pin(async move {
            self.call("download", State::Downloading).await;
            let ended = {
                let mut fake = self.fake();
                fake.progress = Some(progress);
                fake.download.clone()
            };
            match ended {
                Some(ended) => {
                    std::fs::create_dir_all(file.parent().unwrap()).unwrap();
                    std::fs::write(file, "bundle").unwrap();
                    ended
                }
                None => std::future::pending().await,
            }
        })
    }

    fn install(
        &self,
        bundle: Option<(Bundle, PathBuf)>,
        _progress: Progress,
    ) -> Doing<'_, Result<(), Obstacle>> {
        std::boxed::Box::pin(async move {
            if let Some((_, file)) = bundle {
                self.call("install", State::Installing).await;
                assert!(file.exists());
                let mut fake = self.fake();
                assert_eq!(fake.system.primary.as_deref(), Some("A"), "or nobody could tell that it is done");
                fake.system.last_error.clear();
                match &fake.install {
                    Install::Works => fake.finish(),
                    Install::Fails(reason) => {
                        let reason = reason.clone();
                        fake.fail(&reason);
                    }
                    Install::Takes(steps) => {
                        fake.left = *steps;
                        fake.system.busy = true;
                    }
                }
            }
            while self.fake().system.busy {
                tokio::task::yield_now().await;
            }
            let error = self.fake().system.last_error.clone();
            if error.is_empty() { Ok(()) } else { Err(Obstacle::lasting(error)) }
        })
    }

    fn activate(&self, slot: Slot) -> Doing<'_, Result<(), Obstacle>> {
        let mut fake = self.fake();
        fake.calls.push(format!("activate {}", slot.bootname));
        fake.system.primary = Some(slot.bootname);
        std::boxed::Box::pin(std::future::ready(Ok(())))
    }

    fn reject(&self, slot: Slot) -> Doing<'_, Result<(), Obstacle>> {
        self.fake().calls.push(format!("reject {}", slot.bootname));
        std::boxed::Box::pin(std::future::ready(Ok(())))
    }

    fn reboot(&self) -> Doing<'_, Result<(), Obstacle>> {
        std::boxed::Box::pin(async {
            let state = if self.fake().calls.last().is_some_and(|call| call.starts_with("reject")) {
                State::Trial
            } else {
                State::Rebooting
            };
            self.call("reboot", state).await;
            self.fake().reboot.clone()
        })
    }
}

/// The box over several processes and boots.
pub(super) struct Rig {
    root: tempfile::TempDir,
    time: Time,
    pub clock: Clock,
    pub boot_id: String,
    boots: u32,
    pub version: String,
    pub config: Config,
    around: Arc<Box>,
    heard: watch::Sender<Heard>,
    report: watch::Sender<Option<Report>>,
    said: Vec<Report>,
}

impl Rig {
    pub(super) fn new() -> Self {
        let rig = Self::untold();
        rig.clock.learn(TODAY);
        rig
    }

    /// Nobody has told it the time.
    pub(super) fn untold() -> Self {
        let root = tempfile::tempdir().unwrap();
        let time = Time::default();
        time.wall.store(TODAY, Ordering::Relaxed);
        time.boot.store(100_000, Ordering::Relaxed);
        let slot = |bootname: &str| Slot {
            name: format!("rootfs.{bootname}"),
            bootname: bootname.to_owned(),
            good: true,
        };
        let fake = Fake {
            calls: Vec::new(),
            system: System {
                compatible: "nodi-x-l4t-r39.2".to_owned(),
                busy: false,
                last_error: String::new(),
                booted: Some(slot("A")),
                other: Some(slot("B")),
                primary: Some("A".to_owned()),
            },
            rauc: Ok(()),
            armed: Ok(()),
            room: Ok(()),
            live: 0,
            comes_when_held: false,
            windows: Vec::new(),
            held: false,
            download: Some(Ok(())),
            install: Install::Works,
            reboot: Ok(()),
            left: 0,
            progress: None,
        };
        let config = Config {
            directory: root.path().join("update"),
            look_ms: STEP_MS,
            report_ms: 0,
            ..Config::default()
        };
        let around = Box {
            fake: Mutex::new(fake),
            store: Mutex::new(None),
            directory: Directory::new(&config.directory),
            looking: AtomicU64::new(0),
        };
        Self {
            root,
            clock: Clock::new(time.clone(), 0),
            time,
            boot_id: "boot-1".to_owned(),
            boots: 1,
            version: "1".to_owned(),
            config,
            around: Arc::new(around),
            heard: watch::Sender::new(Heard::default()),
            report: watch::Sender::new(None),
            said: Vec::new(),
        }
    }

    pub(super) fn fake(&self) -> MutexGuard<'_, Fake> {
        self.around.fake()
    }

    pub(super) fn directory(&self) -> Directory {
        Directory::new(&self.config.directory)
    }

    fn store(&self) -> Store {
        Store::open(&self.root.path().join("agent.sqlite")).unwrap()
    }

    /// A process, with a connection to the broker.
    pub(super) async fn start(&mut self) -> Machine {
        let machine = self.restart_alone().await;
        self.connect();
        machine
    }

    /// Another process in the same boot; the broker has the newest order for it.
    pub(super) async fn restart(&mut self) -> Machine {
        let last = self.heard.borrow().payload.clone();
        let machine = self.start().await;
        if !last.is_empty() {
            self.send(last);
        }
        machine
    }

    pub(super) async fn restart_alone(&mut self) -> Machine {
        let store = self.store();
        *self.around.store.lock().unwrap() = Some(store.clone());
        let payload = self.heard.borrow().payload.clone();
        self.heard = watch::Sender::new(Heard { payload, ..Heard::default() });
        self.report = watch::Sender::new(None);
        let events = Events::new(store.clone(), self.clock.clone(), EventBounds { count: 1_000 });
        self.fake().held = super::super::is_held(&store).await.unwrap();
        Machine::open(Setup {
            store,
            clock: self.clock.clone(),
            events,
            boot_id: self.boot_id.clone(),
            version: self.version.clone(),
            updater: self.around.clone(),
            config: self.config.clone(),
            heard: self.heard.subscribe(),
            connected: watch::channel(Some(100_000)).1,
            report: self.report.clone(),
        })
        .await
        .unwrap()
    }

    /// What boots next, boots; and the clock is as it was.
    pub(super) async fn reboot(&mut self) -> Machine {
        self.boot();
        self.clock.learn(self.time.wall_ms());
        self.restart().await
    }

    /// With a clock that is a year ahead, and nobody to say so.
    pub(super) async fn wake_in_the_future(&mut self) -> Machine {
        self.boot();
        self.time.wall.fetch_add(365 * 86_400_000, Ordering::Relaxed);
        self.restart().await
    }

    fn boot(&mut self) {
        self.boots += 1;
        self.boot_id = format!("boot-{}", self.boots);
        {
            let mut fake = self.fake();
            if fake.system.primary != fake.system.booted.as_ref().map(|slot| slot.bootname.clone()) {
                let system = &mut fake.system;
                std::mem::swap(&mut system.booted, &mut system.other);
            }
            fake.left = 0;
            fake.system.busy = false;
            fake.system.last_error.clear();
        }
        let runs_b = self.fake().system.booted.as_ref().is_some_and(|slot| slot.bootname == "B");
        self.version = if runs_b { "2" } else { "1" }.to_owned();
        self.time.boot.store(5_000, Ordering::Relaxed);
        self.time.wall.fetch_add(30_000, Ordering::Relaxed);
        self.clock = Clock::new(self.time.clone(), 0);
    }

    pub(super) async fn cut_power(&mut self) -> Machine {
        self.reboot().await
    }

    /// The database is gone.
    pub(super) fn forget(&self) {
        *self.around.store.lock().unwrap() = None;
        for entry in std::fs::read_dir(self.root.path()).unwrap() {
            let entry = entry.unwrap();
            if entry.file_name().to_string_lossy().starts_with("agent.sqlite") {
                std::fs::remove_file(entry.path()).unwrap();
            }
        }
    }

    pub(super) fn connect(&self) {
        self.heard.send_modify(Heard::connected);
    }

    pub(super) fn send(&self, payload: Vec<u8>) {
        self.heard.send_modify(|heard| heard.message(payload));
    }

    pub(super) fn order(&self, order: &Order) {
        self.send(order.to_json().unwrap());
    }

    pub(super) fn withdraw(&self) {
        self.send(Vec::new());
    }

    pub(super) fn gate(&self, gate: &serde_json::Value) {
        std::fs::create_dir_all(&self.config.directory).unwrap();
        std::fs::write(self.config.directory.join("gate.json"), gate.to_string()).unwrap();
    }

    pub(super) fn pass(&self, ms: u64) {
        self.time.wall.fetch_add(ms, Ordering::Relaxed);
        self.time.boot.fetch_add(ms, Ordering::Relaxed);
    }

    /// One look of the machine, and a moment of time.
    pub(super) async fn step(&mut self, machine: &mut Machine) {
        machine.turn().await.unwrap();
        for _ in 0..4 {
            tokio::task::yield_now().await;
            while self.around.looking.load(Ordering::Relaxed) > 0 {
                tokio::task::yield_now().await;
            }
        }
        {
            let mut fake = self.fake();
            if fake.left > 0 {
                fake.left -= 1;
                if fake.left == 0 {
                    fake.finish();
                }
            }
        }
        self.pass(STEP_MS + 1);
        let said = self.report.borrow().clone();
        if let Some(said) = said
            && self.said.last() != Some(&said)
        {
            self.said.push(said);
        }
    }

    /// Until it waits for something.
    pub(super) async fn run(&mut self, machine: &mut Machine) {
        for _ in 0..60 {
            self.step(machine).await;
        }
    }

    pub(super) fn told(&self) -> Option<Report> {
        self.report.borrow().clone()
    }

    pub(super) fn report(&self) -> Report {
        self.told().expect("something was reported")
    }

    pub(super) fn reports(&self) -> &[Report] {
        &self.said
    }

    /// In the order in which they were told.
    pub(super) fn states(&self) -> Vec<State> {
        let mut states: Vec<State> = self.said.iter().map(|report| report.state).collect();
        states.dedup();
        states
    }

    /// The ends that the journal of events has: number of the order, and state.
    pub(super) async fn ends(&self) -> Vec<(u128, State)> {
        let store = self.around.store.lock().unwrap().clone().unwrap();
        let events = store.events_after(0, 1_000).await.unwrap().events;
        let end = |what| match what {
            What::UpdateEnded { update, state, .. } => {
                (1..20).find(|number| order(*number).id == update).map(|number| (number, state))
            }
            _ => None,
        };
        events.into_iter().filter_map(|event| end(event.what)).collect()
    }

    /// Nothing is left of an update that is over.
    pub(super) fn is_clean(&self) {
        let fake = self.fake();
        assert!(!fake.held);
        assert_eq!(fake.system.primary.as_ref(), fake.system.booted.as_ref().map(|slot| &slot.bootname));
        assert_eq!(self.directory().trial(), None);
        let left: Vec<_> = std::fs::read_dir(&self.config.directory)
            .into_iter()
            .flatten()
            .map(|entry| entry.unwrap().file_name())
            .filter(|name| name != "gate.json")
            .collect();
        assert!(left.is_empty(), "{left:?}");
    }
}
