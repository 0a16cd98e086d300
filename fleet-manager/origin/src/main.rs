//! `nodi-origin --config PATH`

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use nodi_daemon::{config, files, process, shutdown, systemd};
use nodi_origin::Origin;
use nodi_origin::clock::Clock;
use nodi_origin::config::Config;

/// Waiting players are answered at once, and a download of a segment takes seconds.
const DRAIN: Duration = Duration::from_secs(10);

/// Low-latency HLS origin: boxes push to it, CDN edges and players pull from it.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    /// The configuration file, TOML.
    #[arg(long, default_value = "/etc/nodi/origin.toml")]
    config: PathBuf,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match process::begin("nodi-origin", config::load(&arguments.config), |config: &Config| config.log_level) {
        Ok(config) => process::end(run(config)),
        Err(code) => code,
    }
}

#[tokio::main]
async fn run(config: Config) -> anyhow::Result<()> {
    // An error means that a provider is installed already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    // Every segment is a file descriptor and every viewer another one.
    files::raise_limit();
    let shutdown = shutdown::on_signals(DRAIN)?;
    let origin = Origin::start(config, Clock::system(), &shutdown)?;
    let (push, public) = (origin.push, origin.public);
    log::info!(push:%, public:%; "serving");
    systemd::ready();
    origin.stopped().await;
    log::info!("stopped");
    Ok(())
}
