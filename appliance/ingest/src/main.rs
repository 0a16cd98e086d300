//! The RTMP server of a box: parses its command line, loads its configuration, and runs.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use clap::Parser;
use nodi_daemon::settings::{self, Settings};
use nodi_daemon::{process, shutdown};
use nodi_ingest::{Config, Ingest};

/// Receives RTMP and RTMPS, checks stream keys, and hands each stream to a transcoding worker.
#[derive(Debug, Parser)]
#[command(name = "nodi-ingest", version)]
struct Arguments {
    /// Configuration file (TOML).
    #[arg(long, value_name = "PATH", default_value = "/etc/nodi/ingest.toml")]
    config: PathBuf,
    /// Settings laid over it (TOML), looked at twice a second; the file may be missing.
    #[arg(long, value_name = "PATH")]
    settings: Option<PathBuf>,
    /// Checks both files and ends: nothing is said of good ones, one line of bad ones.
    #[arg(long)]
    check: bool,
}

/// More than the drain takes by itself; a hung process is ended by it.
const AFTER_DRAIN: Duration = Duration::from_secs(2);

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if arguments.check {
        let checked = settings::check::<Config>(&arguments.config, arguments.settings.as_deref());
        return ExitCode::from(settings::report_check(checked));
    }
    let opened = Settings::open(&arguments.config, arguments.settings.as_deref());
    match process::begin("nodi-ingest", opened, |(_, config): &(Settings, Config)| config.log_level) {
        Ok((settings, config)) => process::end(run(config, settings)),
        Err(code) => code,
    }
}

fn run(config: Config, settings: Settings) -> anyhow::Result<()> {
    settings.complain();
    // One thread: the work is the kernel's, and what is left of it for 300 streams does not fill a core.
    // Wake-ups across threads would cost more than they gain.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("no runtime")?;
    runtime.block_on(async {
        let deadline = Duration::from_secs(config.shutdown_s) + AFTER_DRAIN;
        let shutdown = shutdown::on_signals(deadline).context("cannot listen for signals")?;
        let ingest = Ingest::bind_with(config, settings)?;
        log::info!(
            rtmp:? = ingest.rtmp_address(), rtmps:? = ingest.rtmps_address(), metrics:? = ingest.metrics_address();
            "listening"
        );
        ingest.run(shutdown).await?;
        log::info!("stopped");
        Ok(())
    })
}
