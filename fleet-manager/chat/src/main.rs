//! `nodi-chat --config PATH`

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use nodi_chat::config::Config;
use nodi_chat::{Chat, shutdown_deadline};
use nodi_daemon::watchdog::{Expected, Watchdog};
use nodi_daemon::{config, files, process, shutdown, systemd};

/// Chat for live channels: rooms over WebSockets.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    /// The configuration file, TOML.
    #[arg(long, default_value = "/etc/nodi/chat.toml")]
    config: PathBuf,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match process::begin("nodi-chat", config::load(&arguments.config), |config: &Config| config.log_level) {
        Ok(config) => process::end(run(config)),
        Err(code) => code,
    }
}

#[tokio::main]
async fn run(config: Config) -> anyhow::Result<()> {
    // An error means that a provider is installed already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    // Every connection is a file descriptor.
    files::raise_limit();
    let shutdown = shutdown::on_signals(shutdown_deadline(&config))?;
    let expected = if config.http.tls.is_some() { Expected::Answer } else { Expected::Ok };
    let chat = Chat::start(config, &shutdown)?;
    log::info!(address:% = chat.address; "serving");
    let watchdog = Watchdog::of_unit();
    let answering = watchdog.part("the port of clients").answering(chat.address, expected);
    systemd::ready();
    tokio::select! {
        () = chat.stopped() => {}
        () = answering => {}
        () = watchdog.run() => {}
    }
    log::info!("stopped");
    Ok(())
}
