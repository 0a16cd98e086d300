//! `nodi-transcode`: FLV on standard input, a ladder in the spool.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, Subcommand};
use nodi_daemon::settings::{self, Settings};
use nodi_daemon::watchdog::{Beat, Watchdog};
use nodi_daemon::{exit, process, shutdown, systemd};
use nodi_transcode::backend::{self, Detected};
use nodi_transcode::capacity::{Capacity, calibrate};
use nodi_transcode::config::Config;
use nodi_transcode::elements::{self, Table};
use nodi_transcode::selftest;
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
    /// Settings laid over it (TOML), as they are when the session starts; the file may be missing.
    #[arg(long, value_name = "PATH")]
    settings: Option<PathBuf>,
    /// Checks both files and ends: nothing is said of good ones, one line of bad ones.
    #[arg(long)]
    check: bool,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Clone, Copy, Subcommand)]
enum Command {
    /// Compares this machine's Jetson elements with what NVIDIA documents, and prints each difference. Fails when
    /// something is missing that the hardware back end cannot do without.
    CheckElements,
    /// Sends a synthetic stream through decoder, encoders and segmenter, with the lowest priority and a spool of its own,
    /// and prints what came of it as JSON. Fails when that is not what it has to be.
    SelfTest,
    /// Prints as JSON how many sessions of the whole ladder this machine carries.
    Capacity,
    /// Measures what ladder this machine's processor carries and remembers it, so that no session has to.
    Calibrate,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if arguments.check
        && let Some(path) = &arguments.config
    {
        let checked = settings::check::<Config>(path, arguments.settings.as_deref());
        return ExitCode::from(settings::report_check(checked));
    }
    let loaded = match &arguments.config {
        Some(path) => Settings::open(path, arguments.settings.as_deref()).map_err(|error| error.to_string()),
        None if matches!(arguments.command, Some(Command::CheckElements)) => {
            Ok((Settings::none(), Config::default()))
        }
        None => Err("--config PATH is missing".to_owned()),
    };
    let begun = process::begin("nodi-transcode", loaded, |(_, config): &(Settings, Config)| config.log_level);
    let (settings, config) = match begun {
        Ok(begun) => begun,
        Err(code) => return code,
    };
    settings.complain();
    ExitCode::from(match arguments.command {
        Some(Command::CheckElements) => check_elements(),
        Some(Command::Calibrate) => calibrate(&config),
        Some(Command::SelfTest) => self_test(&config),
        Some(Command::Capacity) => capacity(&config),
        None => work(&config),
    })
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

/// The worker itself needs no runtime; signals are waited for, and the worker is watched, on a thread of their own.
fn stop_on_signals(stop: &Stop) -> std::io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let asked = {
        let _entered = runtime.enter();
        shutdown::on_signals(DRAIN)?
    };
    let stop = stop.clone();
    std::thread::Builder::new().name("signals".to_owned()).spawn(move || {
        runtime.block_on(async {
            let watchdog = Watchdog::of_unit();
            let stopping = async {
                asked.wait().await;
                stop.ask();
            };
            // Stays for the second signal and the deadline.
            tokio::join!(stopping, watch(&stop, watchdog.part("the session")), watchdog.clone().run());
        });
    })?;
    Ok(())
}

/// Beats while the worker comes back to its input.
async fn watch(stop: &Stop, beat: Beat) {
    let Some(every) = beat.every() else { return };
    let mut seen = stop.looks();
    loop {
        tokio::time::sleep(every).await;
        let looks = stop.looks();
        if looks != seen {
            seen = looks;
            beat.beat();
        }
    }
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

fn self_test(config: &Config) -> u8 {
    match selftest::run(config) {
        Ok(report) => {
            print_json(&report);
            if report.passed { exit::OK } else { exit::FAILURE }
        }
        Err(error) => {
            log::error!("{error}");
            match error {
                selftest::Error::Worker(error) => error.exit_code(),
                selftest::Error::Source(_) | selftest::Error::Spool(_) => exit::FAILURE,
            }
        }
    }
}

fn capacity(config: &Config) -> u8 {
    // It may have to measure first. Live sessions are the reason why anybody asks.
    selftest::yield_to_live();
    if let Err(error) = gstreamer::init() {
        log::error!(error:%; "GStreamer");
        return exit::FAILURE;
    }
    let carried = match backend::detect(config.backend) {
        Ok(Detected::Jetson(_)) => Capacity::of_hardware(config.hardware_pixels_per_s, &config.ladder),
        Ok(Detected::Software { .. }) => match calibrate::costs(&config.state) {
            Ok(costs) => {
                let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
                #[allow(clippy::cast_precision_loss, reason = "a count of cores")]
                Capacity::of_software(&costs, &config.ladder, cores as f64)
            }
            Err(error) => {
                log::error!("{error}");
                return exit::FAILURE;
            }
        },
        Err(error) => {
            log::error!("{error}");
            return worker::exit_code::NO_ENCODER;
        }
    };
    print_json(&carried);
    exit::OK
}

#[allow(clippy::print_stdout, reason = "commands whose answer is what they print")]
fn print_json(answer: &impl serde::Serialize) {
    match serde_json::to_string(answer) {
        Ok(text) => println!("{text}"),
        Err(error) => log::error!(error:%; "cannot write the answer"),
    }
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
