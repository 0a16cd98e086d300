//! One box from outside: its files, its boot loader, and its power.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use super::boot;
use super::files::{Control, Files, Reboot, State};
use crate::binaries::ours;
use crate::error::{Error, io};
use crate::process::{Process, Spec};

/// Between two looks at whether somebody asked for a reboot.
const LOOK: Duration = Duration::from_millis(20);

/// The directory of one box.
#[derive(Debug, Clone)]
pub struct Rig {
    files: Files,
}

/// Why no update may be written.
#[derive(Debug, thiserror::Error)]
pub enum Unarmed {
    #[error("A/B redundancy is not armed: RootfsRedundancyLevel is 0")]
    Off,
    #[error("slot {0} was not marked good since it came up")]
    Unconfirmed(String),
    #[error("{0}")]
    Unknown(String),
}

impl Unarmed {
    /// As `nodi-bootslot` ends.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Unknown(_) => 1,
            Self::Off => 3,
            Self::Unconfirmed(_) => 4,
        }
    }
}

impl Rig {
    /// A box that runs `version` in slot A, with nothing in slot B; or the one that is there.
    ///
    /// # Errors
    /// When the directory cannot be made.
    pub fn new(directory: impl Into<PathBuf>, version: &str) -> Result<Self, Error> {
        let files = Files(directory.into());
        files.prepare(version).map_err(io(format!("{}", files.0.display())))?;
        Ok(Self { files })
    }

    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.files.0
    }

    /// What shall go wrong from now on.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn control(&self, control: &Control) -> Result<(), Error> {
        self.files.write("control.json", control).map_err(io("control.json"))
    }

    /// # Errors
    /// When it cannot be read.
    pub fn state(&self) -> Result<State, Error> {
        self.files.state().map_err(io("state.json"))
    }

    /// What happened so far.
    #[must_use]
    pub fn journal(&self) -> Vec<String> {
        let text = std::fs::read_to_string(self.files.at("journal")).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    /// A reboot, or the end of a power cut: the boot loader chooses a slot. The agent must not run.
    ///
    /// # Errors
    /// When neither slot boots.
    pub fn boot(&self) -> Result<(), Error> {
        boot::boot(&self.files).map_err(io("the boot loader"))
    }

    /// Whether somebody asked for a reboot.
    #[must_use]
    pub fn is_asked_to_reboot(&self) -> bool {
        self.files.at("reboot").exists()
    }

    /// What `systemctl reboot` is on this box.
    ///
    /// # Errors
    /// When the host refuses.
    pub fn ask_to_reboot(&self) -> Result<(), Error> {
        match self.files.control().reboot {
            Reboot::Works => {
                self.files.note("reboot");
                std::fs::write(self.files.at("reboot"), "").map_err(io("reboot"))
            }
            Reboot::Refused => Err(Error::Host("the operation is not possible now".to_owned())),
            Reboot::Ignored => {
                self.files.note("reboot ignored");
                Ok(())
            }
        }
    }

    /// Whether an update may be written, as `nodi-bootslot armed` says it.
    ///
    /// # Errors
    /// Why not.
    pub fn armed(&self) -> Result<(), Unarmed> {
        let mut state = self.files.state().map_err(|error| Unarmed::Unknown(error.to_string()))?;
        let booted = state.booted.clone();
        if !self.files.control().armed {
            Err(Unarmed::Off)
        } else if state.slot(&booted).proven {
            Ok(())
        } else {
            Err(Unarmed::Unconfirmed(booted))
        }
    }

    /// Lines of `agent.toml` for the agent of this box: at the top, in `[actions]`, and the table `[update]`.
    ///
    /// # Errors
    /// When `nodi-fake-rauc` is not built.
    pub fn agent_toml(&self, bus: &str, service: &str) -> Result<AgentToml, Error> {
        let program = ours("nodi-fake-rauc")?;
        let at = |name: &str| self.files.at(name).display().to_string();
        let (program, here) = (program.display(), self.files.0.display());
        Ok(AgentToml {
            top: format!("boot_id = {:?}\n", at("boot_id")),
            actions: format!("reboot = [\"{program}\", \"reboot\", \"{here}\"]\n"),
            update: format!(
                "[update]\ndirectory = {:?}\nlink_file = {:?}\nversion_file = {:?}\nbus = {bus:?}\nservice = {service:?}\n\
                 armed = [\"{program}\", \"armed\", \"{here}\"]\nmargin_bytes = 1048576\nlook_ms = 100\nreport_ms = 100\n",
                at("update"),
                at("link.json"),
                at("version"),
            ),
        })
    }

    /// Runs the box's agent, or whatever else `spec` starts, with the box: again after each end, and through the boot
    /// loader when somebody asked for a reboot.
    ///
    /// # Errors
    /// When it does not start.
    pub fn run_agent(&self, spec: Spec) -> Result<Agent, Error> {
        let shared = Arc::new(Shared::default());
        let (rig, power) = (self.clone(), shared.clone());
        let (tell, told) = std::sync::mpsc::channel();
        let thread = std::thread::Builder::new()
            .name("power".to_owned())
            .spawn(move || rig.keep_running(spec, &power, &tell))
            .map_err(io("a thread"))?;
        match told.recv() {
            Ok(Ok(())) => Ok(Agent { shared, thread: Some(thread) }),
            Ok(Err(error)) => Err(error),
            Err(_) => Err(Error::Host("the agent's thread ended".to_owned())),
        }
    }

    fn keep_running(self, spec: Spec, power: &Shared, tell: &std::sync::mpsc::Sender<Result<(), Error>>) {
        // From this thread: a process ends with the thread that started it.
        let process = match Process::start(spec) {
            Ok(process) => process,
            Err(error) => {
                let _ = tell.send(Err(error));
                return;
            }
        };
        *power.process.lock().unwrap_or_else(PoisonError::into_inner) = Some(process.clone());
        let _ = tell.send(Ok(()));
        let mut process = process;
        while !power.stop.load(Ordering::Relaxed) {
            let cut = power.cut.swap(false, Ordering::Relaxed);
            if cut || self.is_asked_to_reboot() {
                process.kill();
                if let Err(error) = self.boot() {
                    log::error!("{}: {error}", self.files.0.display());
                    return;
                }
                power.boots.fetch_add(1, Ordering::Relaxed);
            }
            if process.ended().is_some()
                && !power.off.load(Ordering::Relaxed)
                && let Err(error) = process.restart()
            {
                log::error!("{error}");
            }
            std::thread::sleep(LOOK);
        }
        process.kill();
    }
}

/// Pieces of `agent.toml`.
#[derive(Debug, Clone)]
pub struct AgentToml {
    /// Keys before the first table.
    pub top: String,
    /// Keys of the table `[actions]`.
    pub actions: String,
    /// The table `[update]`.
    pub update: String,
}

impl std::fmt::Display for AgentToml {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}\n[actions]\n{}\n{}", self.top, self.actions, self.update)
    }
}

#[derive(Debug, Default)]
struct Shared {
    stop: AtomicBool,
    cut: AtomicBool,
    off: AtomicBool,
    boots: AtomicU64,
    process: Mutex<Option<Process>>,
}

/// The agent of a box, with the box's power. It ends with this.
#[derive(Debug)]
pub struct Agent {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

impl Agent {
    /// The power is gone for a moment.
    pub fn cut_power(&self) {
        self.shared.cut.store(true, Ordering::Relaxed);
    }

    /// SIGKILL to the agent alone; it is started again.
    pub fn kill(&self) {
        if let Some(process) = &mut *self.process() {
            process.kill();
        }
    }

    /// Leaves the box off: silent, until [`Self::switch_on`].
    pub fn switch_off(&self) {
        self.shared.off.store(true, Ordering::Relaxed);
        self.kill();
    }

    pub fn switch_on(&self) {
        self.shared.off.store(false, Ordering::Relaxed);
    }

    /// Reboots and power cuts so far.
    #[must_use]
    pub fn boots(&self) -> u64 {
        self.shared.boots.load(Ordering::Relaxed)
    }

    fn process(&self) -> std::sync::MutexGuard<'_, Option<Process>> {
        self.shared.process.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
