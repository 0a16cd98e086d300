//! `[update]` of `agent.toml`.

use std::path::PathBuf;

use serde::Deserialize;

use crate::host::CommandLine;

/// How the box's software is replaced.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Whether this box takes updates from the fleet.
    pub enabled: bool,
    /// Bundle, `trial.json` and `gate.json`.
    pub directory: PathBuf,
    /// Where the agent says whether it is connected, for the health gate.
    pub link_file: PathBuf,
    /// The version of the image, one line. Missing: what `os-release` says of the image, or this build's own version.
    pub version_file: PathBuf,
    /// What bundles for this box say as `compatible`, where RAUC is not to be asked.
    pub compatible: Option<String>,
    /// Address of the D-Bus that RAUC is on; the system's without one.
    pub bus: Option<String>,
    /// RAUC's name on it.
    pub service: String,
    /// Succeeds where a slot that does not come up is left by itself, and the one that runs is good; otherwise its last line on
    /// standard error says why not, and 4 that this may change. Empty: that is taken for granted.
    pub armed: CommandLine,
    /// Bytes that stay free beside the bundle: for the spool, and for what the agent itself has to remember.
    pub margin_bytes: u64,
    /// A larger bundle is a mistake, in bytes.
    pub max_bundle_bytes: u64,
    /// Seconds for RAUC to answer, such as after a restart of the bus, before there is none.
    pub rauc_wait_s: u64,
    /// How often an installation that a restart cut short is begun.
    pub install_attempts: u32,
    /// How often the boot loader tries a new slot: only for saying so.
    pub boot_attempts: u32,
    /// Seconds beyond the health gate's own for marking the slot good. Without an answer by then the agent goes back to
    /// the old slot.
    pub trial_grace_s: u64,
    /// Milliseconds between two looks at what is waited for.
    pub look_ms: u64,
    /// Milliseconds between two reports in which only numbers moved.
    pub report_ms: u64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            enabled: true,
            directory: "/var/lib/nodi/update".into(),
            link_file: "/run/nodi/agent/link.json".into(),
            version_file: "/etc/nodi/version".into(),
            compatible: None,
            bus: None,
            service: "de.pengutronix.rauc".to_owned(),
            armed: CommandLine::new(["nodi-bootslot", "armed"]),
            // More than telemetry leaves free, so that it is not given up for a download.
            margin_bytes: 320 << 20,
            max_bundle_bytes: 16 << 30,
            rauc_wait_s: 60,
            install_attempts: 3,
            boot_attempts: 3,
            trial_grace_s: 120,
            look_ms: 1_000,
            report_ms: 2_000,
        }
    }
}
