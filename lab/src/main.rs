//! `nodi-lab`: runs the platform on this machine, mints stream keys, judges streams.
#![allow(clippy::print_stdout, reason = "a command line: what it prints is its result")]

mod cli;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use log::LevelFilter;
use nodi_daemon::{exit, logging};
use nodi_lab::check;
use nodi_lab::host::{self, Request};
use nodi_lab::keys::Keys;
use nodi_protocol::ChannelId;

#[derive(Parser)]
#[command(version, about = "The Nodi platform on one machine")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Starts everything, prints the links, and stops everything on Ctrl-C
    Up(cli::up::Up),
    /// Mints a stream key
    Key(Key),
    /// Follows a live low-latency HLS stream and reports every violation (exit code 1 if there is one)
    Check(Check),
    /// Runs as many simulated boxes as asked, with a broker and a fleet server or against those that are there
    FleetSim(cli::fleet_sim::FleetSim),
    /// Asks a box's host for something, in the agent's place of `systemctl`
    Host(Host),
}

#[derive(Args)]
struct Key {
    #[arg(long)]
    channel: ChannelId,
    /// The directory of the lab that shall accept the key; made if it is not there
    #[arg(long)]
    dir: PathBuf,
    /// Keys below the revoked version are refused
    #[arg(long, default_value_t = 1)]
    key_version: u32,
    /// Seconds until it expires; never otherwise
    #[arg(long)]
    expires_in: Option<u64>,
}

#[derive(Args)]
struct Check {
    /// The multivariant playlist
    url: String,
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// Saves every playlist below this directory
    #[arg(long)]
    save: Option<PathBuf>,
    /// The report as JSON
    #[arg(long)]
    json: bool,
}

#[derive(Args)]
struct Host {
    /// The box's socket
    #[arg(long)]
    socket: PathBuf,
    /// `restart PROCESS`, `reboot` or `identify SECONDS`
    #[arg(required = true)]
    request: Vec<String>,
}

#[tokio::main]
async fn main() -> ExitCode {
    let cli = Cli::parse();
    logging::init("nodi-lab", LevelFilter::Warn);
    let result = match cli.command {
        Command::Up(args) => cli::up::run(args).await,
        Command::FleetSim(args) => cli::fleet_sim::run(args).await,
        Command::Key(args) => key(&args),
        Command::Check(args) => run_check(args).await,
        Command::Host(args) => ask_host(&args),
    };
    result.unwrap_or_else(|error| {
        eprintln!("nodi-lab: {error:#}");
        ExitCode::from(exit::FAILURE)
    })
}

fn key(args: &Key) -> anyhow::Result<ExitCode> {
    let keys = Keys::open(&args.dir.join("keys"))?;
    let lifetime = args.expires_in.map(Duration::from_secs);
    println!("{}", keys.mint_with(&args.channel, args.key_version, lifetime).reveal());
    Ok(ExitCode::SUCCESS)
}

fn ask_host(args: &Host) -> anyhow::Result<ExitCode> {
    let request: Request = args.request.join(" ").parse().map_err(anyhow::Error::msg)?;
    host::ask(&args.socket, &request)?;
    Ok(ExitCode::SUCCESS)
}

async fn run_check(args: Check) -> anyhow::Result<ExitCode> {
    let options = check::Options { save: args.save, ..check::Options::new(args.url) };
    let report = check::watch(options, Duration::from_secs(args.seconds)).await?;
    if args.json {
        println!("{}", serde_json::to_string_pretty(&report)?);
    } else {
        print!("{report}");
    }
    Ok(if report.findings.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(exit::FAILURE) })
}
