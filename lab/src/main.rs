//! `nodi-lab`: runs the platform on this machine, mints stream keys and chat tokens, judges streams.
#![allow(clippy::print_stdout, reason = "a command line: what it prints is its result")]

mod cli;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use log::LevelFilter;
use nodi_daemon::{exit, logging};
use nodi_lab::chat::tokens::{self, Tokens};
use nodi_lab::check;
use nodi_lab::control;
use nodi_lab::host::{self, Request};
use nodi_lab::keys::Keys;
use nodi_protocol::ChannelId;
use nodi_protocol::chat::Role;

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
    /// Mints a chat token
    ChatToken(ChatToken),
    /// Kills, stops, freezes, thaws or restarts a process of a running lab
    Fault(Fault),
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
struct ChatToken {
    /// Good in this channel's chat only
    #[arg(long)]
    channel: ChannelId,
    /// The directory of the lab whose chat shall accept the token
    #[arg(long)]
    dir: PathBuf,
    /// Who speaks; the same name is the same person
    #[arg(long)]
    name: String,
    /// `viewer`, `subscriber`, `moderator`, `streamer` or `staff`
    #[arg(long, default_value = "viewer", value_parser = role)]
    role: Role,
    /// Shown beside the name, such as `bot`; once for each
    #[arg(long)]
    badge: Vec<String>,
    /// `#rrggbb`
    #[arg(long)]
    color: Option<String>,
    /// Seconds until it expires; a week otherwise
    #[arg(long)]
    expires_in: Option<u64>,
}

fn role(text: &str) -> Result<Role, serde_json::Error> {
    serde_json::from_value(serde_json::Value::from(text))
}

#[derive(Args)]
struct Fault {
    /// The lab's socket: `control` of what `up --json` prints
    #[arg(long)]
    socket: PathBuf,
    /// Such as `kill chat` or `restart origin-2`
    #[arg(required = true, num_args = 2)]
    order: Vec<String>,
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
        Command::ChatToken(args) => chat_token(args),
        Command::Fault(args) => fault(&args),
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

fn chat_token(args: ChatToken) -> anyhow::Result<ExitCode> {
    let mut claims = tokens::claims(&args.channel, &args.name, args.role);
    claims.badges = args.badge;
    claims.color = args.color;
    if let Some(seconds) = args.expires_in {
        claims.exp = tokens::now().as_secs().saturating_add(seconds);
    }
    println!("{}", Tokens::of_lab(&args.dir)?.mint(&claims)?);
    Ok(ExitCode::SUCCESS)
}

fn fault(args: &Fault) -> anyhow::Result<ExitCode> {
    let order: control::Order = args.order.join(" ").parse().map_err(anyhow::Error::msg)?;
    control::ask(&args.socket, &order)?;
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
