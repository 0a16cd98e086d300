//! `nodi-transcode`: FLV on standard input, a ladder in the spool.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, Subcommand};
use nodi_daemon::{config, exit, logging, shutdown, systemd};
use nodi_transcode::capacity::calibrate;
use nodi_transcode::config::Config;
use nodi_transcode::elements::{self, Table};
use nodi_transcode::worker::{self, Stop};

/// What a worker may take to finish after SIGTERM: its encoders hold less than a second of media.
const DRAIN: Duration = Duration::from_secs(10);

/// Encodes one live session: reads FLV on standard input until it ends.
///
/// Exit codes: 0 finished, 1 failed (see the log), 10 bad input, 11 no usable encoder, 12 no space in the spool,
/// 13 the media pipeline failed again and again, 78 unusable configuration.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    /// Configuration file (TOML).
    #[arg(long, value_name = "PATH")]
    config: Option<PathBuf>,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Clone, Copy, Subcommand)]
enum Command {
    /// Compares this machine's Jetson elements with what NVIDIA documents, and prints each difference. Fails when
    /// something is missing that the hardware back end cannot do without.
    CheckElements,
    /// Measures what ladder this machine's processor carries and remembers it, so that no session has to.
    Calibrate,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let loaded = match &arguments.config {
        Some(path) => load(path),
        None if matches!(arguments.command, Some(Command::CheckElements)) => Ok(Config::default()),
        None => Err("--config PATH is missing".to_owned()),
    };
    let config = match loaded {
        Ok(config) => config,
        Err(error) => {
            logging::init("nodi-transcode", log::LevelFilter::Info);
            log::error!("{error}");
            return ExitCode::from(exit::CONFIG);
        }
    };
    logging::init("nodi-transcode", config.log_level);
    ExitCode::from(match arguments.command {
        Some(Command::CheckElements) => check_elements(),
        Some(Command::Calibrate) => calibrate(&config),
        None => work(&config),
    })
}

fn load(path: &Path) -> Result<Config, String> {
    config::load(path).map_err(|error| error.to_string())
}

fn work(config: &Config) -> u8 {
    let stop = Stop::default();
    if let Err(error) = stop_on_signals(&stop) {
        log::error!(error:%; "cannot listen for signals");
        return exit::FAILURE;
    }
    systemd::ready();
    match worker::run(config, std::io::stdin(), &stop) {
        Ok(()) => exit::OK,
        Err(error) => {
            log::error!("{error}");
            error.exit_code()
        }
    }
}

/// The worker itself needs no runtime; signals are waited for on a thread of their own.
fn stop_on_signals(stop: &Stop) -> std::io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let asked = {
        let _entered = runtime.enter();
        shutdown::on_signals(DRAIN)?
    };
    let stop = stop.clone();
    std::thread::Builder::new().name("signals".to_owned()).spawn(move || {
        runtime.block_on(async {
            asked.wait().await;
            stop.ask();
            // Stays for the second signal and the deadline.
            std::future::pending::<()>().await;
        });
    })?;
    Ok(())
}

#[allow(clippy::print_stdout, reason = "a command that a person runs to read what it prints")]
fn check_elements() -> u8 {
    if let Err(error) = gstreamer::init() {
        log::error!(error:%; "GStreamer");
        return exit::FAILURE;
    }
    let lines = elements::check(Table::get());
    for line in &lines {
        println!("{line}");
    }
    if lines.iter().any(elements::Line::is_fatal) { worker::exit_code::NO_ENCODER } else { exit::OK }
}

#[allow(clippy::print_stdout, reason = "a command that a person runs to read what it prints")]
fn calibrate(config: &Config) -> u8 {
    if let Err(error) = gstreamer::init() {
        log::error!(error:%; "GStreamer");
        return exit::FAILURE;
    }
    match calibrate::costs(&config.state) {
        Ok(costs) => {
            println!("nanoseconds of processor time per pixel: {costs:?}");
            exit::OK
        }
        Err(error) => {
            log::error!("{error}");
            exit::FAILURE
        }
    }
}
