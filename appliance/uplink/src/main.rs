//! The `nodi-uplink` process.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use clap::Parser;
use nodi_daemon::{config, exit, logging, shutdown, systemd};
use nodi_uplink::{Config, Uplink};

#[derive(Parser)]
#[command(version, about = "Takes what is in the spool to origins, buckets and directories")]
struct Arguments {
    /// Configuration file.
    #[arg(long, default_value = "/etc/nodi/uplink.toml")]
    config: PathBuf,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let config: Config = match config::load(&arguments.config) {
        Ok(config) => config,
        Err(error) => {
            logging::init("nodi-uplink", log::LevelFilter::Info);
            log::error!("{error}");
            return ExitCode::from(exit::CONFIG);
        }
    };
    logging::init("nodi-uplink", config.log_level);
    match run(config) {
        Ok(()) => ExitCode::from(exit::OK),
        Err(error) => {
            log::error!("{error:#}");
            ExitCode::from(exit::FAILURE)
        }
    }
}

#[tokio::main]
async fn run(config: Config) -> anyhow::Result<()> {
    // A second installation only says that there is one already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let shutdown = shutdown::on_signals(Duration::from_secs(config.shutdown_s)).context("signals")?;
    let uplink = Uplink::open(config, shutdown).await?;
    systemd::ready();
    if let Some(address) = uplink.metrics_address() {
        log::info!(address:%; "metrics");
    }
    uplink.run().await?;
    Ok(())
}
