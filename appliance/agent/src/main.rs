//! The `nodi-agent` process.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use clap::Parser;
use nodi_agent::{Config, Host};
use nodi_daemon::{config, process, shutdown};

#[derive(Parser)]
#[command(version, about = "Makes this box part of the fleet: reports how it is and does what it is told")]
struct Arguments {
    /// Configuration file.
    #[arg(long, default_value = "/etc/nodi/agent.toml")]
    config: PathBuf,
    /// Only says whether the configuration is usable.
    #[arg(long)]
    check: bool,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match process::begin("nodi-agent", config::load(&arguments.config), |config: &Config| config.log_level) {
        Ok(_) if arguments.check => ExitCode::SUCCESS,
        Ok(config) => process::end(run(config)),
        Err(code) => code,
    }
}

// One thread: a box's cores are for video, and everything here waits most of the time.
#[tokio::main(flavor = "current_thread")]
async fn run(config: Config) -> anyhow::Result<()> {
    // A second installation only says that there is one already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let shutdown = shutdown::on_signals(Duration::from_secs(config.shutdown_s)).context("signals")?;
    let host = Host::new(config.clone());
    nodi_agent::run(config, host, shutdown).await?;
    Ok(())
}
