//! The gate's configuration: one TOML file, a default for every key. A box needs none.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use log::LevelFilter;
use nodi_daemon::config::Validate;
use nodi_spool::Backend;
use serde::{Deserialize, Deserializer};

use crate::stream::Clip;

/// `nodi-health --config PATH`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// `off`, `error`, `warn`, `info`, `debug` or `trace`. Default `info`.
    pub log_level: LevelFilter,
    /// What the agent wrote before it asked for the reboot. Default `/var/lib/nodi/update/trial.json`.
    pub trial: PathBuf,
    /// What the gate says. Default `/var/lib/nodi/update/gate.json`.
    pub gate: PathBuf,
    /// What the agent says about its connection. Default `/run/nodi/agent/link.json`.
    pub link: PathBuf,
    /// Which boot this is. Default `/proc/sys/kernel/random/boot_id`.
    pub boot_id: PathBuf,
    /// Where `rauc.slot=` may be. Default `/proc/cmdline`.
    pub kernel_command_line: PathBuf,
    /// Where ingest looks for the public half of the key of the synthetic stream. Default `/run/nodi/health/self-test.pub`.
    pub self_test_key: PathBuf,
    /// Ingest's RTMP port, on a loopback address. Default `127.0.0.1:1935`.
    pub rtmp: SocketAddr,
    /// Root of the spool. Default `/var/spool/nodi`.
    pub spool: PathBuf,
    /// Where the uplink answers `/healthz`. Default `unix:/run/nodi/uplink.sock`.
    pub uplink: Address,
    pub stream: Stream,
    pub commands: Commands,
    /// Length of the window in seconds when `trial.json` cannot be read. Default 300.
    pub trial_s: u64,
    /// No window is shorter than this, in seconds, whatever `trial.json` says. Default 30: a worker takes about ten for its first
    /// two segments, and longer on a machine that has just booted.
    pub shortest_trial_s: u64,
}

/// What is published, and what has to come of it.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Stream {
    /// `360p`, `1080p`, or `auto`: 360p, and then 1080p where the worker has an encoder in hardware, so that every rung is tried
    /// there and a slow machine is not asked for what it cannot do. Default `auto`.
    pub clip: Clip,
    /// `jetson` or `software`: the encoders that the worker has to use. Default: whichever it finds.
    pub backend: Option<Backend>,
    /// Finished segments that every rendition has to have. Default 2.
    pub segments: u32,
    /// A rendition that got nothing for so many seconds has stopped. Default 10: a slow machine's worker pauses for a few.
    pub stall_s: u64,
}

/// Command lines, run without a shell. 0 is success; otherwise the last line on standard error is the reason.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Commands {
    /// Prints RAUC's status as JSON: which slot runs if the kernel's command line does not say it, and whether the other one
    /// may be booted. Default `rauc status --output-format=json`.
    pub status: Vec<String>,
    /// Default `rauc status mark-bad booted`.
    pub mark_bad: Vec<String>,
    /// Default `rauc status mark-active other`.
    pub mark_other: Vec<String>,
    /// Default `systemctl reboot`.
    pub reboot: Vec<String>,
    /// Seconds that each may take. Default 60: RAUC answers at once, unless its own start is slow.
    pub deadline_s: u64,
}

/// Where a process of the box listens: `unix:/path`, or an address and port on the loopback interface.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Address {
    Unix(PathBuf),
    Tcp(SocketAddr),
}

impl Default for Config {
    fn default() -> Self {
        Self {
            log_level: LevelFilter::Info,
            trial: "/var/lib/nodi/update/trial.json".into(),
            gate: "/var/lib/nodi/update/gate.json".into(),
            link: "/run/nodi/agent/link.json".into(),
            boot_id: "/proc/sys/kernel/random/boot_id".into(),
            kernel_command_line: "/proc/cmdline".into(),
            self_test_key: "/run/nodi/health/self-test.pub".into(),
            rtmp: SocketAddr::from((Ipv4Addr::LOCALHOST, 1935)),
            spool: nodi_spool::layout::DEFAULT_ROOT.into(),
            uplink: Address::Unix("/run/nodi/uplink.sock".into()),
            stream: Stream::default(),
            commands: Commands::default(),
            trial_s: 300,
            shortest_trial_s: 30,
        }
    }
}

impl Default for Stream {
    fn default() -> Self {
        Self { clip: Clip::Auto, backend: None, segments: 2, stall_s: 10 }
    }
}

impl Default for Commands {
    fn default() -> Self {
        let words = |text: &str| text.split(' ').map(str::to_owned).collect();
        Self {
            status: words("rauc status --output-format=json"),
            mark_bad: words("rauc status mark-bad booted"),
            mark_other: words("rauc status mark-active other"),
            reboot: words("systemctl reboot"),
            deadline_s: 60,
        }
    }
}

impl Commands {
    #[must_use]
    pub fn deadline(&self) -> Duration {
        Duration::from_secs(self.deadline_s)
    }
}

impl Validate for Config {
    fn validate(&self) -> Result<(), (&'static str, String)> {
        if !self.rtmp.ip().is_loopback() {
            // Ingest takes the key from nowhere else.
            return Err(("rtmp", format!("{} is not a loopback address", self.rtmp)));
        }
        let positive = [
            ("stream.segments", u64::from(self.stream.segments)),
            ("stream.stall_s", self.stream.stall_s),
            ("commands.deadline_s", self.commands.deadline_s),
            ("trial_s", self.trial_s),
            ("shortest_trial_s", self.shortest_trial_s),
        ];
        if let Some((key, _)) = positive.iter().find(|(_, value)| *value == 0) {
            return Err((key, "must be at least 1".to_owned()));
        }
        let commands = &self.commands;
        let lines = [
            ("commands.status", &commands.status),
            ("commands.mark_bad", &commands.mark_bad),
            ("commands.mark_other", &commands.mark_other),
            ("commands.reboot", &commands.reboot),
        ];
        match lines.iter().find(|(_, line)| line.is_empty()) {
            Some((key, _)) => Err((key, "names no program".to_owned())),
            None => Ok(()),
        }
    }
}

impl<'de> Deserialize<'de> for Address {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        match text.strip_prefix("unix:") {
            Some(path) => Ok(Self::Unix(path.into())),
            None => text
                .parse()
                .map(Self::Tcp)
                .map_err(|_| serde::de::Error::custom("neither ADDRESS:PORT nor unix:/PATH")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Config, String> {
        let config: Config = toml::from_str(text).map_err(|error| error.to_string())?;
        config.validate().map_err(|(key, reason)| format!("{key}: {reason}"))?;
        Ok(config)
    }

    #[test]
    fn an_empty_file_is_a_box() {
        let config = parse("").unwrap();
        assert_eq!(config.commands.mark_other, ["rauc", "status", "mark-active", "other"]);
        let config =
            parse("uplink = \"127.0.0.1:9472\"\n[stream]\nclip = \"1080p\"\nbackend = \"jetson\"").unwrap();
        assert_eq!(config.uplink, Address::Tcp("127.0.0.1:9472".parse().unwrap()));
        assert_eq!((config.stream.clip, config.stream.backend), (Clip::Full, Some(Backend::Jetson)));
    }

    #[test]
    fn a_board_with_an_encoder_wants_it_used() {
        let board = include_str!("../../../systemd/jetson-encoder/etc/nodi/health.toml");
        assert_eq!(parse(board).unwrap().stream.backend, Some(Backend::Jetson));
    }

    #[test]
    fn bad_values_are_named() {
        for (text, key) in [
            ("rtmp = \"192.0.2.1:1935\"", "rtmp"),
            ("trail = \"/x\"", "trail"),
            ("uplink = \"nowhere\"", "uplink"),
            ("[commands]\nreboot = []", "commands.reboot"),
            ("[stream]\nsegments = 0", "stream.segments"),
            ("[stream]\nclip = \"4k\"", "clip"),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.contains(key), "{text}: {error}");
        }
    }
}
