//! What the host does for the agent.

use std::path::PathBuf;

use serde::Deserialize;

use crate::host::CommandLine;

/// Command lines, each a list of words that is run without a shell; exit status 0 is success.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    pub restart_ingest: CommandLine,
    pub restart_uplink: CommandLine,
    pub restart_agent: CommandLine,
    pub reboot: CommandLine,
    /// Makes the box known to a person in front of it; the number of seconds is added as the last word. Empty: this box
    /// has no lamp or screen for it.
    pub identify: CommandLine,
    /// Prints the journal; `--since=@S` and `--until=@S` are added.
    pub journal: CommandLine,
    /// Log files to collect instead of the journal, where there is none.
    pub log_files: Vec<PathBuf>,
    /// The self-test. Empty: the configured `nodi-transcode`, with `self-test` as the last word.
    pub self_test: CommandLine,
}

impl Default for Config {
    fn default() -> Self {
        let restart = |unit| CommandLine::new(["systemctl", "restart", unit]);
        Self {
            restart_ingest: restart("nodi-ingest.service"),
            restart_uplink: restart("nodi-uplink.service"),
            restart_agent: restart("nodi-agent.service"),
            reboot: CommandLine::new(["systemctl", "reboot"]),
            identify: CommandLine::new(["nodi-identify"]),
            journal: CommandLine::new(["journalctl", "--no-pager", "--quiet", "--output=short-iso-precise"]),
            log_files: Vec::new(),
            self_test: CommandLine::default(),
        }
    }
}
