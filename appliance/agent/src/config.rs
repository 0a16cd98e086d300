//! Configuration of the agent: one TOML file.

use std::path::PathBuf;

use nodi_daemon::config::{Validate, in_range};
use serde::Deserialize;

use crate::host::CommandLine;
use crate::{actions, sessions, settings, telemetry, update};

/// All of `agent.toml`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// What is logged until the fleet says otherwise; `RUST_LOG` wins over it.
    pub log_level: log::LevelFilter,
    /// Where to find the fleet, and the code to claim this box with.
    pub provisioning: PathBuf,
    /// Identity and memory of the agent.
    pub state: PathBuf,
    /// Written while a person has to let this box in, for a console to show: the pairing code.
    pub pairing_file: PathBuf,
    /// Where the kernel says which boot this is.
    pub boot_id: PathBuf,
    /// After a signal: seconds for saying goodbye before the process ends anyway.
    pub shutdown_s: u64,
    pub clock: Clock,
    pub broker: Broker,
    pub outbox: Outbox,
    pub commands: Commands,
    pub settings: settings::Config,
    pub telemetry: telemetry::Config,
    pub sessions: sessions::Config,
    pub actions: actions::Config,
    pub update: update::Config,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            log_level: log::LevelFilter::Info,
            provisioning: "/etc/nodi/provisioning.json".into(),
            state: "/var/lib/nodi/agent".into(),
            pairing_file: "/run/nodi/pairing-code".into(),
            boot_id: "/proc/sys/kernel/random/boot_id".into(),
            shutdown_s: 8,
            clock: Clock::default(),
            broker: Broker::default(),
            outbox: Outbox::default(),
            commands: Commands::default(),
            settings: settings::Config::default(),
            telemetry: telemetry::Config::default(),
            sessions: sessions::Config::default(),
            actions: actions::Config::default(),
            update: update::Config::default(),
        }
    }
}

/// The time that the box goes by.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Clock {
    /// Seconds between two questions to the fleet server.
    pub every_s: u64,
    /// Added to the system's clock, in seconds: a laboratory's way to a box whose clock is wrong.
    pub skew_s: i64,
    /// Sets the system's clock (`nodi-agent --set-clock`) by what is then in `file`. Empty: it stays as it is.
    pub set: CommandLine,
    pub file: PathBuf,
}

impl Default for Clock {
    fn default() -> Self {
        Self {
            // A crystal that nobody corrects drifts a second in this time.
            every_s: 6 * 3600,
            skew_s: 0,
            set: CommandLine::default(),
            file: "/run/nodi/agent/time.json".into(),
        }
    }
}

/// The connection to the broker.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Broker {
    /// The broker notices after 1.5 times as many seconds that the box is gone; the fleet shows that within 15.
    pub keep_alive_s: u64,
    /// Bounds of the pause between two attempts to connect, in milliseconds.
    pub backoff_min_ms: u64,
    pub backoff_max_ms: u64,
    /// Seconds after which a broker that acknowledges nothing is given up.
    pub ack_timeout_s: u64,
    /// Seconds that the broker keeps session and queued messages of a box that is away.
    pub session_expiry_s: u64,
}

impl Default for Broker {
    fn default() -> Self {
        Self {
            keep_alive_s: 8,
            backoff_min_ms: 500,
            backoff_max_ms: 30_000,
            ack_timeout_s: 20,
            session_expiry_s: 86_400,
        }
    }
}

/// What waits on the disk for a broker that is away.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Outbox {
    /// Most bytes of telemetry.
    pub max_bytes: u64,
    /// Most measurements.
    pub max_count: u64,
    /// Older measurements go, in seconds: the fleet keeps its own at full rate no longer than that.
    pub max_age_s: u64,
    /// Telemetry is not kept when the file system has less free space than this, in bytes. Events and commands are.
    pub min_free_bytes: u64,
    /// Most events. They are small and few: this is months.
    pub max_events: u64,
}

impl Default for Outbox {
    fn default() -> Self {
        // A measurement is about 2 KB, six a minute: two hours are 720, and twelve of them fit.
        Self {
            max_bytes: 16 << 20,
            max_count: 10_000,
            max_age_s: 7 * 86_400,
            min_free_bytes: 256 << 20,
            max_events: 100_000,
        }
    }
}

/// Commands from the fleet.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Commands {
    /// At the same time; others wait.
    pub running: usize,
    /// That wait; more are refused.
    pub waiting: usize,
    /// Days for which a command's id is remembered, so that it does not run again.
    pub remember_days: u64,
    /// Most ids that are remembered.
    pub remember: u64,
}

impl Default for Commands {
    fn default() -> Self {
        Self { running: 4, waiting: 64, remember_days: 30, remember: 10_000 }
    }
}

impl Validate for Config {
    fn validate(&self) -> Result<(), (&'static str, String)> {
        in_range("clock.every_s", self.clock.every_s, 10..=604_800)?;
        in_range("broker.keep_alive_s", self.broker.keep_alive_s, 1..=3_600)?;
        in_range("broker.backoff_max_ms", self.broker.backoff_max_ms, 1..=3_600_000)?;
        in_range("broker.backoff_min_ms", self.broker.backoff_min_ms, 1..=self.broker.backoff_max_ms)?;
        in_range("broker.ack_timeout_s", self.broker.ack_timeout_s, 1..=600)?;
        in_range("outbox.max_count", self.outbox.max_count, 1..=10_000_000)?;
        in_range("outbox.max_events", self.outbox.max_events, 100..=10_000_000)?;
        in_range("commands.running", self.commands.running, 1..=64)?;
        in_range("commands.waiting", self.commands.waiting, 1..=10_000)?;
        in_range("commands.remember_days", self.commands.remember_days, 1..=3_650)?;
        in_range("commands.remember", self.commands.remember, 100..=10_000_000)?;
        in_range("update.rauc_wait_s", self.update.rauc_wait_s, 1..=3_600)?;
        in_range("update.install_attempts", self.update.install_attempts, 1..=100)?;
        in_range("update.look_ms", self.update.look_ms, 10..=60_000)?;
        in_range("update.report_ms", self.update.report_ms, 0..=600_000)?;
        in_range("shutdown_s", self.shutdown_s, 1..=600)
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
        assert_eq!(config.state, PathBuf::from("/var/lib/nodi/agent"));
        assert_eq!(config.broker.keep_alive_s, 8);
    }

    #[test]
    fn bad_values_are_named() {
        for (text, key) in [
            ("stat = \"/x\"", "stat"),
            ("broker = { keep_alive_s = 0 }", "broker.keep_alive_s"),
            ("broker = { backoff_min_ms = 9, backoff_max_ms = 3 }", "broker.backoff_min_ms"),
            ("commands = { running = 0 }", "commands.running"),
            ("outbox = { max_events = 1 }", "outbox.max_events"),
            ("update = { look_ms = 1 }", "update.look_ms"),
            ("update = { slots = 3 }", "slots"),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.contains(key), "{text}: {error}");
        }
    }
}
