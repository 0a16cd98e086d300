//! The `nodi-uplink` process.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use clap::Parser;
use nodi_daemon::settings::{self, Settings};
use nodi_daemon::{process, shutdown, systemd};
use nodi_uplink::{Config, Uplink};

#[derive(Parser)]
#[command(version, about = "Takes what is in the spool to origins, buckets and directories")]
struct Arguments {
    /// Configuration file.
    #[arg(long, default_value = "/etc/nodi/uplink.toml")]
    config: PathBuf,
    /// Settings laid over it (TOML), looked at twice a second; the file may be missing.
    #[arg(long, value_name = "PATH")]
    settings: Option<PathBuf>,
    /// Checks both files and ends: nothing is said of good ones, one line of bad ones.
    #[arg(long)]
    check: bool,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if arguments.check {
        let checked = settings::check::<Config>(&arguments.config, arguments.settings.as_deref());
        return ExitCode::from(settings::report_check(checked));
    }
    let opened = Settings::open(&arguments.config, arguments.settings.as_deref());
    match process::begin("nodi-uplink", opened, |(_, config): &(Settings, Config)| config.log_level) {
        Ok((settings, config)) => process::end(run(config, settings)),
        Err(code) => code,
    }
}

#[tokio::main]
async fn run(config: Config, settings: Settings) -> anyhow::Result<()> {
    settings.complain();
    // A second installation only says that there is one already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let shutdown = shutdown::on_signals(Duration::from_secs(config.shutdown_s)).context("signals")?;
    let uplink = Uplink::open_with(config, settings, shutdown).await?;
    systemd::ready();
    if let Some(address) = uplink.metrics_address() {
        log::info!(address:%; "metrics");
    }
    uplink.run().await?;
    Ok(())
}
