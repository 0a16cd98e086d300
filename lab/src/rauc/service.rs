//! RAUC's object on the bus, one connection per box, and the health gate beside it.
#![allow(clippy::needless_pass_by_value, reason = "arguments of methods come from the bus by value")]

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::sync::mpsc;
use tokio::task::JoinSet;
use zbus::connection::Builder;
use zbus::object_server::SignalEmitter;
use zbus::{Connection, OwnedVariant, Variant, interface};

use super::bundle;
use super::files::{ATTEMPTS, Check, Control, Files, Gate, GateReport, Release};
use crate::error::Error;

/// Where RAUC is on the bus.
const PATH: &str = "/";
/// Steps of an installation.
const STEPS: u8 = 20;
/// Between two looks at whether the box was started anew.
const LOOK: Duration = Duration::from_millis(25);
/// A gate that hangs is ended after so many times its time.
const HANGS: u32 = 3;

/// What runs in the background for the boxes; it ends with this.
#[derive(Debug)]
pub struct Served {
    tasks: JoinSet<()>,
}

impl Served {
    /// For ever, unless something goes wrong.
    pub async fn wait(mut self) {
        while self.tasks.join_next().await.is_some() {}
    }
}

/// Serves each box (its directory) under its name on the bus at `address`.
///
/// # Errors
/// When there is no bus, or a name is taken.
pub async fn serve(address: &str, boxes: &[(PathBuf, String)]) -> Result<Served, Error> {
    let mut tasks = JoinSet::new();
    for (directory, name) in boxes {
        let files = Files(directory.clone());
        files.prepare("1.0.0").map_err(crate::error::io(format!("{}", directory.display())))?;
        let rauc = Rauc { files: files.clone(), address: address.to_owned(), name: name.clone() };
        let life = rauc.start().await.map_err(|error| Error::Host(format!("{name}: {error}")))?;
        tasks.spawn(rauc.live(life));
        tasks.spawn(gates(files));
    }
    Ok(Served { tasks })
}

struct Rauc {
    files: Files,
    address: String,
    name: String,
}

/// From one start of RAUC's process to its death.
struct Life {
    connection: Connection,
    shown: Arc<Mutex<Shown>>,
    jobs: mpsc::Receiver<Job>,
}

/// An installation, and the boot in which it was asked for: none survives a power cut.
struct Job {
    bundle: PathBuf,
    boots: u64,
}

/// The properties.
#[derive(Debug, Default)]
struct Shown {
    installing: bool,
    /// Of the newest job.
    boots: u64,
    percent: i32,
    message: String,
    last_error: String,
}

fn lock(shown: &Mutex<Shown>) -> MutexGuard<'_, Shown> {
    // Whole after every statement that changes it.
    shown.lock().unwrap_or_else(PoisonError::into_inner)
}

/// How an installation ended.
enum End {
    Done,
    Failed(String),
    /// The process died in the middle.
    Died,
    /// The box was started anew in the middle: nothing knows of it.
    CutOff,
}

impl Rauc {
    async fn start(&self) -> zbus::Result<Life> {
        let shown = Arc::new(Mutex::new(Shown::default()));
        let (send, jobs) = mpsc::channel(1);
        let installer = Installer { files: self.files.clone(), shown: shown.clone(), jobs: send };
        let connection = Builder::address(self.address.as_str())
            .serve_at(PATH, installer)
            .name(self.name.as_str())
            .build()
            .await?;
        Ok(Life { connection, shown, jobs })
    }

    async fn live(self, mut life: Life) {
        loop {
            let Some(job) = life.jobs.recv().await else { return };
            let end = self.install(&life, &job).await;
            match end {
                End::Died => {
                    self.files.note("rauc died");
                    drop(life);
                    life = loop {
                        match self.start().await {
                            Ok(life) => break life,
                            Err(error) => {
                                // The name may still be the old connection's.
                                log::debug!("{error}");
                                tokio::time::sleep(LOOK).await;
                            }
                        }
                    };
                }
                End::Done => self.end(&life, &job, String::new()).await,
                End::CutOff => {
                    self.files.note("installation cut off");
                    self.end(&life, &job, String::new()).await;
                }
                End::Failed(reason) => {
                    self.files.note(&format!("installation failed: {reason}"));
                    self.end(&life, &job, reason).await;
                }
            }
        }
    }

    async fn end(&self, life: &Life, job: &Job, error: String) {
        let result = i32::from(!error.is_empty());
        {
            let mut shown = lock(&life.shown);
            if shown.boots != job.boots {
                return;
            }
            shown.last_error = error;
            shown.installing = false;
        }
        self.changed(life).await;
        if let Ok(object) = life.connection.object_server().interface::<_, Installer>(PATH).await {
            let _ = Installer::completed(object.signal_emitter(), result).await;
        }
    }

    /// As the real one does, at each change.
    async fn changed(&self, life: &Life) {
        let Ok(object) = life.connection.object_server().interface::<_, Installer>(PATH).await else {
            return;
        };
        let emitter = object.signal_emitter();
        let installer = object.get().await;
        let _ = installer.operation_changed(emitter).await;
        let _ = installer.progress_changed(emitter).await;
        let _ = installer.last_error_changed(emitter).await;
    }

    async fn install(&self, life: &Life, job: &Job) -> End {
        self.changed(life).await;
        let control = self.files.control();
        let manifest = match bundle::manifest(&job.bundle) {
            Ok(Some(manifest)) => manifest,
            Ok(None) => return End::Failed("signature verification failed: Verify error".to_owned()),
            Err(error) => return End::Failed(format!("Failed to open bundle file: {error}")),
        };
        if manifest.compatible != control.compatible {
            return End::Failed(format!(
                "Compatible mismatch: Expected '{}' but bundle manifest has '{}'",
                control.compatible, manifest.compatible
            ));
        }
        let boots = job.boots;
        let target = self.files.change(|state| {
            let other = state.other();
            (state.boots == boots).then(|| {
                let slot = state.slot(other);
                slot.bad = true;
                slot.version.clear();
                other
            })
        });
        let Ok(Some(slot)) = target else { return End::CutOff };
        self.files.note(&format!("install {} into {slot}", manifest.version));
        for step in 0..STEPS {
            let percent = step * (100 / STEPS);
            {
                let mut shown = lock(&life.shown);
                shown.percent = percent.into();
                shown.message = format!("Copying image to rootfs.{}", i32::from(slot == "B"));
            }
            self.changed(life).await;
            let control = self.files.control();
            let reached = |at: Option<u8>| at.is_some_and(|at| percent >= at);
            if reached(control.rauc_dies_at) {
                return End::Died;
            }
            if reached(control.install_fails_at) {
                return End::Failed(control.install_error);
            }
            while reached(self.files.control().install_hangs_at) {
                if self.is_cut_off(boots) {
                    return End::CutOff;
                }
                tokio::time::sleep(LOOK).await;
            }
            tokio::time::sleep(Duration::from_millis(control.install_ms / u64::from(STEPS))).await;
            if self.is_cut_off(boots) {
                return End::CutOff;
            }
        }
        let done = self.files.change(|state| {
            if state.boots != boots {
                return false;
            }
            let target = state.slot(slot);
            target.version.clone_from(&manifest.version);
            target.bad = false;
            target.proven = false;
            target.attempts = ATTEMPTS;
            target.installed += 1;
            slot.clone_into(&mut state.primary);
            true
        });
        match done {
            Ok(true) => {
                self.files.note(&format!("installed {slot}"));
                End::Done
            }
            _ => End::CutOff,
        }
    }

    fn is_cut_off(&self, boots: u64) -> bool {
        self.files.state().is_ok_and(|state| state.boots != boots)
    }
}

/// The object.
struct Installer {
    files: Files,
    shown: Arc<Mutex<Shown>>,
    jobs: mpsc::Sender<Job>,
}

/// Errors under the names that `GError`s have on the bus.
#[derive(Debug, zbus::DBusError)]
#[zbus(prefix = "org.gtk.GDBus.UnmappedGError.Quark._g_2dio_2derror_2dquark")]
enum Fault {
    #[zbus(error)]
    ZBus(zbus::Error),
    Code30(String),
}

fn fault(error: impl std::fmt::Display) -> Fault {
    Fault::Code30(error.to_string())
}

type Dict = HashMap<String, OwnedVariant>;

fn text(value: impl Into<String>) -> OwnedVariant {
    owned(Variant::from(value.into()))
}

fn owned(value: Variant<'_>) -> OwnedVariant {
    // Fails for file descriptors alone.
    value.try_to_owned().unwrap_or_else(|_| OwnedVariant::from(0_u8))
}

impl Installer {
    fn idle(&self) -> Result<(), Fault> {
        if self.is_installing() {
            return Err(fault("already processing a different method"));
        }
        Ok(())
    }

    fn boots(&self) -> u64 {
        self.files.state().map_or(0, |state| state.boots)
    }

    /// In this boot.
    fn is_installing(&self) -> bool {
        let boots = self.boots();
        let shown = lock(&self.shown);
        shown.installing && shown.boots == boots
    }

    fn manifest(&self, bundle: &str) -> Result<bundle::Manifest, Fault> {
        self.idle()?;
        match bundle::manifest(std::path::Path::new(bundle)) {
            Ok(Some(manifest)) => Ok(manifest),
            _ => Err(fault("rauc info error")),
        }
    }

    fn slot_of(&self, identifier: &str) -> Result<&'static str, Fault> {
        let state = self.files.state().map_err(fault)?;
        Ok(match identifier {
            "booted" if state.booted == "A" => "A",
            "booted" => "B",
            "other" => state.other(),
            "rootfs.0" => "A",
            "rootfs.1" => "B",
            other => return Err(fault(format!("No slot with name {other} found"))),
        })
    }
}

fn slot_name(bootname: &str) -> &'static str {
    if bootname == "A" { "rootfs.0" } else { "rootfs.1" }
}

#[interface(name = "de.pengutronix.rauc.Installer")]
impl Installer {
    #[zbus(name = "Install")]
    async fn install_plain(&self, source: String) -> Result<(), Fault> {
        self.install_bundle(source, HashMap::new()).await
    }

    async fn install_bundle(&self, source: String, args: HashMap<String, OwnedVariant>) -> Result<(), Fault> {
        self.idle().map_err(|_| fault("Already processing a different method"))?;
        let known: &[&str] = match self.files.control().release {
            Release::Old => {
                &["ignore-compatible", "tls-cert", "tls-key", "tls-ca", "tls-no-verify", "http-headers"]
            }
            Release::New => &[
                "ignore-compatible",
                "ignore-version-limit",
                "transaction-id",
                "require-manifest-hash",
                "tls-cert",
                "tls-key",
                "tls-ca",
                "tls-no-verify",
                "http-headers",
            ],
        };
        if let Some(key) = args.keys().find(|key| !known.contains(&key.as_str())) {
            return Err(fault(format!("Unsupported key: {key}")));
        }
        let boots = self.boots();
        {
            let mut shown = lock(&self.shown);
            *shown = Shown { installing: true, boots, ..Shown::default() };
        }
        let job = Job { bundle: source.into(), boots };
        self.jobs.send(job).await.map_err(|_| fault("Failed to launch install thread"))
    }

    #[zbus(out_args("compatible", "version"))]
    fn info(&self, bundle: String) -> Result<(String, String), Fault> {
        let manifest = self.manifest(&bundle)?;
        Ok((manifest.compatible, manifest.version))
    }

    #[zbus(out_args("info"))]
    fn inspect_bundle(&self, source: String, args: HashMap<String, OwnedVariant>) -> Result<Dict, Fault> {
        let _ = args;
        if self.files.control().release == Release::Old {
            let unknown = zbus::fdo::Error::UnknownMethod("No such method “InspectBundle”".to_owned());
            return Err(Fault::ZBus(unknown.into()));
        }
        let manifest = self.manifest(&source)?;
        let update: HashMap<&str, Variant<'_>> = [
            ("compatible", Variant::from(manifest.compatible)),
            ("version", Variant::from(manifest.version)),
        ]
        .into();
        Ok([("update".to_owned(), owned(Variant::from(update)))].into())
    }

    #[zbus(out_args("slot_name", "message"))]
    fn mark(&self, state: String, slot_identifier: String) -> Result<(String, String), Fault> {
        self.idle()?;
        let slot = self.slot_of(&slot_identifier)?;
        let name = slot_name(slot);
        let message = match state.as_str() {
            "good" => format!("marked slot {name} as good"),
            "bad" => format!("marked slot {name} as bad"),
            "active" => format!("activated slot {name}"),
            other => return Err(fault(format!("unknown subcommand {other}"))),
        };
        self.files
            .change(|all| match state.as_str() {
                "good" => {
                    let slot = all.slot(slot);
                    slot.proven = true;
                    slot.bad = false;
                    slot.attempts = ATTEMPTS;
                }
                "bad" => all.slot(slot).bad = true,
                _ => {
                    slot.clone_into(&mut all.primary);
                    let slot = all.slot(slot);
                    slot.bad = false;
                    slot.attempts = ATTEMPTS;
                }
            })
            .map_err(fault)?;
        self.files.note(&message);
        Ok((name.to_owned(), message))
    }

    #[zbus(out_args("slot_status_array"))]
    fn get_slot_status(&self) -> Result<Vec<(String, Dict)>, Fault> {
        self.idle()?;
        let state = self.files.state().map_err(fault)?;
        let control = self.files.control();
        let one = |(bootname, slot): (&String, &super::SlotState)| {
            let booted = *bootname == state.booted;
            let mut about: Dict = [
                ("class", "rootfs"),
                (
                    "device",
                    if bootname == "A" {
                        "/dev/disk/by-partlabel/APP"
                    } else {
                        "/dev/disk/by-partlabel/APP_b"
                    },
                ),
                ("type", "ext4"),
                ("bootname", bootname.as_str()),
                ("state", if booted { "booted" } else { "inactive" }),
                ("boot-status", if slot.bad { "bad" } else { "good" }),
            ]
            .map(|(key, value)| (key.to_owned(), text(value)))
            .into();
            if slot.installed > 0 {
                about.insert("bundle.compatible".to_owned(), text(control.compatible.clone()));
                about.insert("bundle.version".to_owned(), text(slot.version.clone()));
                about.insert(
                    "status".to_owned(),
                    text(if slot.version.is_empty() { "pending" } else { "ok" }),
                );
                about.insert("installed.count".to_owned(), OwnedVariant::from(slot.installed));
            }
            (slot_name(bootname).to_owned(), about)
        };
        Ok(state.slots.iter().map(one).collect())
    }

    #[zbus(out_args("primary"))]
    fn get_primary(&self) -> Result<String, Fault> {
        self.idle()?;
        Ok(slot_name(&self.files.state().map_err(fault)?.primary).to_owned())
    }

    #[zbus(property)]
    fn operation(&self) -> String {
        if self.is_installing() { "installing" } else { "idle" }.to_owned()
    }

    #[zbus(property)]
    fn last_error(&self) -> String {
        let boots = self.boots();
        let shown = lock(&self.shown);
        // A RAUC that was started with this boot knows of none.
        if shown.boots == boots { shown.last_error.clone() } else { String::new() }
    }

    #[zbus(property)]
    fn progress(&self) -> (i32, String, i32) {
        let shown = lock(&self.shown);
        (shown.percent, shown.message.clone(), 3)
    }

    #[zbus(property)]
    fn compatible(&self) -> String {
        self.files.control().compatible
    }

    #[zbus(property)]
    fn variant(&self) -> String {
        String::new()
    }

    #[zbus(property)]
    fn boot_slot(&self) -> String {
        self.files.state().map(|state| state.booted).unwrap_or_default()
    }

    #[zbus(signal)]
    async fn completed(emitter: &SignalEmitter<'_>, result: i32) -> zbus::Result<()>;
}

/// The health gate of one box, in every boot.
async fn gates(files: Files) {
    let mut seen = None;
    loop {
        if let Ok(state) = files.state()
            && seen != Some(state.boots)
        {
            seen = Some(state.boots);
            if let Err(error) = gate(&files, state.boots, &state.booted).await {
                log::error!("gate of {}: {error}", files.0.display());
            }
        }
        tokio::time::sleep(LOOK).await;
    }
}

async fn gate(files: &Files, boots: u64, slot: &str) -> std::io::Result<()> {
    let control = files.control();
    let boot_id = files.boot_name(boots);
    let before = files.gate();
    if before.as_ref().is_some_and(|gate| gate.boot_id == boot_id && gate.passed.is_some()) {
        return Ok(());
    }
    let trial = files.trial();
    let id = trial.as_ref().map(|trial| trial.id.clone());
    let last_trial = before
        .and_then(|before| if before.trial { serde_json::to_value(&before).ok() } else { before.last_trial });
    let report = |trial: bool, passed: Option<bool>, stream: bool, message: &str| {
        let now = now_ms();
        let check = |name: &str, passed, message: &str| Check {
            name: name.to_owned(),
            passed,
            message: message.to_owned(),
        };
        let checks =
            if trial { vec![check("agent", true, ""), check("stream", stream, message)] } else { Vec::new() };
        GateReport {
            boot_id: boot_id.clone(),
            slot: slot.to_owned(),
            trial,
            id: id.clone().filter(|_| trial),
            passed,
            checks,
            began_ms: now,
            at_ms: now,
            failures: 0,
            last_trial: last_trial.clone(),
        }
    };
    if trial.as_ref().is_none_or(|trial| trial.slot != slot) {
        files.write("update/gate.json", &report(false, Some(true), true, ""))?;
        return mark_good(files, &control, boots, slot);
    }
    if control.gate == Gate::Missing {
        return Ok(());
    }
    files.write("update/gate.json", &report(true, None, false, "no answer yet"))?;
    tokio::time::sleep(Duration::from_millis(control.gate_ms)).await;
    // A power cut in the middle of it.
    if files.state()?.boots != boots {
        return Ok(());
    }
    match control.gate {
        Gate::Passes => {
            files.write("update/gate.json", &report(true, Some(true), true, ""))?;
            files.note(&format!("gate of {slot} passed"));
            mark_good(files, &control, boots, slot)
        }
        Gate::Fails => {
            files.write("update/gate.json", &report(true, Some(false), false, &control.gate_message))?;
            files.note(&format!("gate of {slot} failed"));
            files.change(|state| {
                if state.boots == boots {
                    state.primary = state.other().to_owned();
                    state.slot(slot).bad = true;
                }
            })?;
            std::fs::write(files.at("reboot"), "")
        }
        Gate::Hangs | Gate::Missing => {
            tokio::time::sleep(Duration::from_millis(control.gate_ms) * HANGS).await;
            if files.state()?.boots == boots {
                files.note(&format!("gate of {slot} hung"));
                std::fs::write(files.at("reboot"), "")?;
            }
            Ok(())
        }
    }
}

/// The boot loader counts no attempts of it any more.
fn mark_good(files: &Files, control: &Control, boots: u64, slot: &str) -> std::io::Result<()> {
    if !control.mark_good {
        return Ok(());
    }
    files.change(|state| {
        if state.boots == boots {
            let slot = state.slot(slot);
            slot.proven = true;
            slot.bad = false;
            slot.attempts = ATTEMPTS;
        }
    })
}

fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
