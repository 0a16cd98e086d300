//! The `nodi-agent` process.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use clap::Parser;
use nodi_agent::clock::set_system;
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
    /// Only sets the system's clock, by what the agent of this boot has written there.
    #[arg(long, value_name = "FILE")]
    set_clock: Option<PathBuf>,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match process::begin("nodi-agent", config::load(&arguments.config), |config: &Config| config.log_level) {
        Ok(_) if arguments.check => ExitCode::SUCCESS,
        Ok(config) => process::end(match &arguments.set_clock {
            Some(file) => set_clock(file),
            None => run(config),
        }),
        Err(code) => code,
    }
}

fn set_clock(file: &Path) -> anyhow::Result<()> {
    let text = std::fs::read(file).with_context(|| file.display().to_string())?;
    let told = serde_json::from_slice(&text).with_context(|| file.display().to_string())?;
    set_system(told).context("the system's clock")
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
