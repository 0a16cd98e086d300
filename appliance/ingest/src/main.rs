//! The RTMP server of a box: parses its command line, loads its configuration, and runs.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use clap::Parser;
use nodi_daemon::{config, exit, logging, shutdown};
use nodi_ingest::{Config, Ingest};

/// Receives RTMP and RTMPS, checks stream keys, and hands each stream to a transcoding worker.
#[derive(Debug, Parser)]
#[command(name = "nodi-ingest", version)]
struct Arguments {
    /// Configuration file (TOML).
    #[arg(long, value_name = "PATH", default_value = "/etc/nodi/ingest.toml")]
    config: PathBuf,
}

/// More than the drain takes by itself; a hung process is ended by it.
const AFTER_DRAIN: Duration = Duration::from_secs(2);

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let config: Config = match config::load(&arguments.config) {
        Ok(config) => config,
        Err(error) => {
            logging::init("nodi-ingest", log::LevelFilter::Info);
            log::error!("{error}");
            return ExitCode::from(exit::CONFIG);
        }
    };
    logging::init("nodi-ingest", config.log_level);
    match run(config) {
        Ok(()) => ExitCode::from(exit::OK),
        Err(error) => {
            log::error!("{error:#}");
            ExitCode::from(exit::FAILURE)
        }
    }
}

fn run(config: Config) -> anyhow::Result<()> {
    // One thread: the work is the kernel's, and what is left of it for 300 streams does not fill a core.
    // Wake-ups across threads would cost more than they gain.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("no runtime")?;
    runtime.block_on(async {
        let deadline = Duration::from_secs(config.shutdown_s) + AFTER_DRAIN;
        let shutdown = shutdown::on_signals(deadline).context("cannot listen for signals")?;
        let ingest = Ingest::bind(config)?;
        log::info!(
            rtmp:? = ingest.rtmp_address(), rtmps:? = ingest.rtmps_address(), metrics:? = ingest.metrics_address();
            "listening"
        );
        ingest.run(shutdown).await?;
        log::info!("stopped");
        Ok(())
    })
}
