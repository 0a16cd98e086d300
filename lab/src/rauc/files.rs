//! What a simulated box remembers, and what a test has decided for it.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};

/// `control.json`: what shall go wrong. A field that is absent is as a good box has it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Control {
    /// What the box's own configuration of RAUC says.
    pub compatible: String,
    pub release: Release,
    /// Whether `armed` succeeds.
    pub armed: bool,
    /// How long an installation takes, in milliseconds.
    pub install_ms: u64,
    /// At this percentage it fails, with `install_error`.
    pub install_fails_at: Option<u8>,
    pub install_error: String,
    /// At this percentage RAUC's process dies. A new one is there at once.
    pub rauc_dies_at: Option<u8>,
    /// At this percentage the installation stands still for ever.
    pub install_hangs_at: Option<u8>,
    /// Of a slot that has not been marked good.
    pub boot: Boot,
    pub gate: Gate,
    /// How long the health gate takes, in milliseconds.
    pub gate_ms: u64,
    /// What the gate's failed check says.
    pub gate_message: String,
    /// Whether a slot that passed is marked good.
    pub mark_good: bool,
    pub reboot: Reboot,
}

impl Default for Control {
    fn default() -> Self {
        Self {
            compatible: "nodi-qemux86-64".to_owned(),
            release: Release::Old,
            armed: true,
            install_ms: 200,
            install_fails_at: None,
            install_error: "Failed updating slot rootfs.1: failed to write".to_owned(),
            rauc_dies_at: None,
            install_hangs_at: None,
            boot: Boot::Up,
            gate: Gate::Passes,
            gate_ms: 100,
            gate_message: "no segment of 720p within 20 s".to_owned(),
            mark_good: true,
            reboot: Reboot::Works,
        }
    }
}

/// Of RAUC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Release {
    #[serde(rename = "1.8")]
    Old,
    #[serde(rename = "1.15")]
    New,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Boot {
    Up,
    Never,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Gate {
    Passes,
    Fails,
    /// Until its unit's time is over, and the system reboots.
    Hangs,
    /// It is never started.
    Missing,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reboot {
    Works,
    /// The host says no.
    Refused,
    /// The host says yes, and nothing happens.
    Ignored,
}

/// `state.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    /// Boots so far.
    pub boots: u64,
    /// Runs now.
    pub booted: String,
    /// Boots next, if it can.
    pub primary: String,
    /// `A` and `B`.
    pub slots: BTreeMap<String, SlotState>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SlotState {
    /// Empty: nothing that boots is in it.
    pub version: String,
    /// Not to be booted.
    pub bad: bool,
    /// Marked good since it was made primary: attempts are not counted.
    pub proven: bool,
    /// That the boot loader makes yet.
    pub attempts: u32,
    pub installed: u32,
}

/// Of the boot loader, for a slot that is not proven.
pub(super) const ATTEMPTS: u32 = 3;

impl State {
    fn fresh(version: &str) -> Self {
        let slot = |version: &str, bad| SlotState {
            version: version.to_owned(),
            bad,
            proven: !bad,
            attempts: ATTEMPTS,
            installed: 0,
        };
        Self {
            boots: 0,
            booted: "A".to_owned(),
            primary: "A".to_owned(),
            slots: [("A".to_owned(), slot(version, false)), ("B".to_owned(), slot("", true))].into(),
        }
    }

    /// The slot that does not run.
    #[must_use]
    pub fn other(&self) -> &'static str {
        if self.booted == "A" { "B" } else { "A" }
    }

    pub(super) fn slot(&mut self, name: &str) -> &mut SlotState {
        self.slots.entry(name.to_owned()).or_default()
    }
}

/// `gate.json`, as docs/interfaces.md section 13 has it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct GateReport {
    pub boot_id: String,
    pub slot: String,
    pub trial: bool,
    pub id: Option<String>,
    pub passed: Option<bool>,
    pub checks: Vec<Check>,
    pub began_ms: u64,
    pub at_ms: u64,
    pub failures: u32,
    /// The newest trial of an earlier boot.
    pub last_trial: Option<serde_json::Value>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Check {
    pub name: String,
    pub passed: bool,
    pub message: String,
}

/// Of `trial.json`.
#[derive(Debug, Deserialize)]
pub(super) struct Trial {
    pub id: String,
    pub slot: String,
}

/// The directory of one box.
#[derive(Debug, Clone)]
pub(super) struct Files(pub PathBuf);

impl Files {
    pub(super) fn at(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// Makes what is missing.
    pub(super) fn prepare(&self, version: &str) -> io::Result<()> {
        std::fs::create_dir_all(self.at("update"))?;
        if !self.at("state.json").exists() {
            self.write("state.json", &State::fresh(version))?;
            std::fs::write(self.at("version"), format!("{version}\n"))?;
            std::fs::write(self.at("boot_id"), format!("{}\n", self.boot_name(0)))?;
        }
        Ok(())
    }

    /// Another one for each boot of each box.
    pub(super) fn boot_name(&self, boots: u64) -> String {
        let name = self.0.file_name().unwrap_or_default().to_string_lossy();
        format!("{name}-boot-{boots}")
    }

    pub(super) fn control(&self) -> Control {
        match std::fs::read(self.at("control.json")) {
            Ok(text) => serde_json::from_slice(&text).unwrap_or_else(|error| {
                log::error!("control.json: {error}");
                Control::default()
            }),
            Err(_) => Control::default(),
        }
    }

    pub(super) fn state(&self) -> io::Result<State> {
        let _lock = self.lock()?;
        self.read_state()
    }

    fn read_state(&self) -> io::Result<State> {
        serde_json::from_slice(&std::fs::read(self.at("state.json"))?).map_err(io::Error::other)
    }

    /// Reads, changes and writes it; several processes do.
    pub(super) fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> io::Result<T> {
        let _lock = self.lock()?;
        let mut state = self.read_state()?;
        let out = change(&mut state);
        self.write("state.json", &state)?;
        Ok(out)
    }

    fn lock(&self) -> io::Result<File> {
        let file = OpenOptions::new().create(true).append(true).open(self.at("lock"))?;
        flock(&file, FlockOperation::LockExclusive)?;
        Ok(file)
    }

    pub(super) fn write(&self, name: &str, value: &impl Serialize) -> io::Result<()> {
        replace(&self.at(name), &serde_json::to_vec(value).map_err(io::Error::other)?)
    }

    pub(super) fn trial(&self) -> Option<Trial> {
        serde_json::from_slice(&std::fs::read(self.at("update/trial.json")).ok()?).ok()
    }

    pub(super) fn gate(&self) -> Option<GateReport> {
        serde_json::from_slice(&std::fs::read(self.at("update/gate.json")).ok()?).ok()
    }

    /// A line for the test to read.
    pub(super) fn note(&self, line: &str) {
        log::info!(device:% = self.0.display(); "{line}");
        let written = OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.at("journal"))
            .and_then(|mut file| file.write_all(format!("{line}\n").as_bytes()));
        if let Err(error) = written {
            log::error!("journal: {error}");
        }
    }
}

/// Whole or not at all. No sync: a power cut is simulated, and the machine's own disk keeps its mind.
pub(super) fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(format!(".{}", std::process::id()));
    std::fs::write(&temporary, bytes)?;
    std::fs::rename(&temporary, path)
}
