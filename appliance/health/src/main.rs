//! The health gate of a box: parses its command line, loads its configuration, judges, and maps the verdict to an exit
//! code.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::Context as _;
use clap::{Parser, Subcommand};
use nodi_daemon::{config, exit, logging, settings, shutdown};
use nodi_health::{Config, Gate};

/// Judges whether the slot that runs may be called good.
///
/// Exit codes: 0 it may (outside of a trial always, and when there is no other slot to go back to), 1 it may not, and the other
/// slot is the next one.
#[derive(Debug, Parser)]
#[command(name = "nodi-health", version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Runs in every boot, before boot-complete.target.
    Gate {
        /// Configuration file (TOML); it may be missing.
        #[arg(long, value_name = "PATH", default_value = "/etc/nodi/health.toml")]
        config: PathBuf,
        /// Checks the file and ends: nothing is said of a good one, one line of a bad one.
        #[arg(long)]
        check: bool,
    },
}

/// It has nothing to drain: a command that is under way is the longest thing.
const STOP: Duration = Duration::from_secs(5);

fn main() -> ExitCode {
    let Command::Gate { config: path, check } = Arguments::parse().command;
    let loaded = load(&path);
    if check {
        return ExitCode::from(settings::report_check(loaded));
    }
    // In a trial an unusable configuration is a failed one; outside of it nothing depends on it.
    let (config, unusable) = match loaded {
        Ok(config) => (config, None),
        Err(error) => (Config::default(), Some(error.to_string())),
    };
    logging::init("nodi-health", config.log_level);
    if let Some(error) = &unusable {
        log::error!("{error}");
    }
    match run(config, unusable) {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            log::error!("{error:#}");
            ExitCode::from(exit::FAILURE)
        }
    }
}

fn load(path: &Path) -> Result<Config, config::Error> {
    match config::load(path) {
        Err(config::Error::Read { source, .. }) if source.kind() == ErrorKind::NotFound => {
            Ok(Config::default())
        }
        loaded => loaded,
    }
}

fn run(config: Config, unusable: Option<String>) -> anyhow::Result<u8> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("no runtime")?;
    runtime.block_on(async {
        let shutdown = shutdown::on_signals(STOP).context("cannot listen for signals")?;
        let gate = Gate { config, unusable, now_ms, shutdown };
        Ok(gate.run().await.exit_code())
    })
}

fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
