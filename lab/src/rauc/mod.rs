//! A stand-in for what lies under an updating box: RAUC on D-Bus, the two slots, the boot loader, and the health gate.
//! Agents are the real ones. `nodi-fake-rauc` is the command line of this module; other crates' tests start that.
//!
//! # One directory per box
//!
//! Everything about a box is in a directory `BOX`, which is made when it is first used ([`Rig::new`], or
//! `nodi-fake-rauc init BOX --version 1.0.0`):
//!
//! | file | |
//! |---|---|
//! | `control.json` | [`Control`]: what shall go wrong. Written by the test, by [`Rig::control`] or any rename; read anew at each step; missing: all goes well |
//! | `state.json` | [`State`]: slots, primary slot, number of boots. Written by this module alone |
//! | `boot_id`, `version` | what the agent reads: which boot this is, and the version of the slot that runs |
//! | `update/` | the agent's update directory: bundle, `trial.json`, `gate.json` |
//! | `link.json` | the agent's word on its connection |
//! | `reboot` | is there: somebody asked for a reboot |
//! | `journal` | a line for each thing that happened: `install 2.0.0 into B`, `installed B`, `boot B`, `gate of B passed`, … |
//!
//! The agent of the box needs the lines of [`Rig::agent_toml`] (`nodi-fake-rauc config BOX --bus ADDRESS --service NAME`) in
//! its configuration: `boot_id = "BOX/boot_id"` at the top, `[update]`, and `reboot = […]` in `[actions]`.
//!
//! # Three parts that run
//!
//! 1. **The bus.** [`Bus::start`] runs a private `dbus-daemon`; `nodi-fake-rauc serve --own-bus PATH` does so by itself.
//! 2. **RAUC and the gate.** [`serve`] answers for any number of boxes in one process on one bus, each under its own name
//!    (`de.pengutronix.rauc.b1` and so on, or `de.pengutronix.rauc` where there is one), and is their health gate:
//!    `nodi-fake-rauc serve --bus unix:path=PATH BOX=NAME BOX=NAME …`. Twenty boxes are one such process.
//! 3. **Power.** Who runs the agent ([`Rig::run_agent`], or `nodi-fake-rauc box BOX -- nodi-agent --config …`) kills it with
//!    SIGKILL when `BOX/reboot` appears, lets the boot loader choose a slot ([`Rig::boot`], `nodi-fake-rauc boot BOX`), and
//!    starts it again. A power cut is the same without the request: kill the agent, `boot`, start it.
//!
//! A bundle is any file that has the lines of a manifest in it, `compatible=…` and `version=…` below `[update]`, as real
//! signed verity bundles do; anything else has no valid signature.
//!
//! # What it does as the real ones do
//!
//! Names, signatures and errors of RAUC 1.8, and of 1.15 with `Control::release`: `busy` while it installs, `LastError` emptied at
//! the beginning of an installation, slot status with `boot-status`, `state` and `bundle.version`, the target marked bad
//! before it is written and made primary at the very end. A slot that was made primary has three attempts until it is marked
//! good, and is `good` for RAUC meanwhile, as on a Jetson. The gate fails: it marks the slot bad, makes the other one primary
//! and reboots. A reboot in the middle of an installation leaves a slot that cannot boot.

mod boot;
mod bundle;
mod bus;
mod files;
mod rig;
mod service;

pub use bus::Bus;
pub use files::{Boot, Control, Gate, Reboot, Release, SlotState, State};
pub use rig::{Agent, Rig, Unarmed};
pub use service::{Served, serve};
