//! `nodi-fake-rauc`: a stand-in for RAUC, boot loader and health gate of boxes whose agents are real. See `nodi_lab::rauc`.
#![allow(clippy::print_stdout, reason = "a command line: what it prints is its result")]

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use clap::{Parser, Subcommand};
use nodi_daemon::{exit, logging};
use nodi_lab::process::Spec;
use nodi_lab::rauc::{Bus, Control, Rig, Unarmed, serve};

#[derive(Parser)]
#[command(version, about = "What lies under an updating box, simulated")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Makes a box
    Init {
        directory: PathBuf,
        /// Of the software in its first slot
        #[arg(long, default_value = "1.0.0")]
        version: String,
    },
    /// Prints what the agent of a box needs in its configuration
    Config {
        directory: PathBuf,
        #[arg(long)]
        bus: String,
        #[arg(long, default_value = "de.pengutronix.rauc")]
        service: String,
    },
    /// Writes down what shall go wrong, as JSON
    Control { directory: PathBuf, control: String },
    /// Is RAUC and the health gate of boxes until it is killed; says `ready` when it is
    Serve {
        /// D-Bus address
        #[arg(long, conflicts_with = "own_bus", required_unless_present = "own_bus")]
        bus: Option<String>,
        /// Runs a bus of its own at this socket
        #[arg(long)]
        own_bus: Option<PathBuf>,
        /// DIRECTORY or DIRECTORY=NAME
        #[arg(required = true)]
        boxes: Vec<String>,
    },
    /// Starts the box anew: the boot loader chooses a slot
    Boot { directory: PathBuf },
    /// What `systemctl reboot` is on the box
    Reboot { directory: PathBuf },
    /// Whether an update may be written
    Armed { directory: PathBuf },
    /// Runs a box's agent, with the box's power
    Box {
        directory: PathBuf,
        #[arg(last = true, required = true)]
        command: Vec<String>,
    },
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    logging::init("nodi-fake-rauc", log::LevelFilter::Info);
    match run(cli.command) {
        Ok(()) => ExitCode::from(exit::OK),
        Err(error) => {
            // Alone on its line: whoever asks takes the last one for the reason.
            eprintln!("{error:#}");
            ExitCode::from(error.downcast_ref().map_or(exit::FAILURE, Unarmed::exit_code))
        }
    }
}

#[tokio::main(flavor = "current_thread")]
async fn run(command: Command) -> anyhow::Result<()> {
    match command {
        Command::Init { directory, version } => {
            Rig::new(directory, &version)?;
        }
        Command::Config { directory, bus, service } => {
            println!("{}", Rig::new(directory, "1.0.0")?.agent_toml(&bus, &service)?);
        }
        Command::Control { directory, control } => {
            let control: Control = serde_json::from_str(&control).context("control")?;
            Rig::new(directory, "1.0.0")?.control(&control)?;
        }
        Command::Serve { bus, own_bus, boxes } => serve_boxes(bus, own_bus, boxes).await?,
        Command::Boot { directory } => Rig::new(directory, "1.0.0")?.boot()?,
        Command::Reboot { directory } => Rig::new(directory, "1.0.0")?.ask_to_reboot()?,
        Command::Armed { directory } => Rig::new(directory, "1.0.0")?.armed()?,
        Command::Box { directory, command } => {
            let Some((program, arguments)) = command.split_first() else { bail!("there is no command") };
            let rig = Rig::new(&directory, "1.0.0")?;
            let _agent = rig.run_agent(Spec::new("agent", program, &directory).args(arguments))?;
            tokio::signal::ctrl_c().await?;
        }
    }
    Ok(())
}

async fn serve_boxes(
    bus: Option<String>,
    own_bus: Option<PathBuf>,
    boxes: Vec<String>,
) -> anyhow::Result<()> {
    let own = match own_bus {
        Some(socket) => Some(Bus::listen(socket).await?),
        None => None,
    };
    let Some(address) = own.as_ref().map(Bus::address).or(bus) else { bail!("there is no bus") };
    let boxes: Vec<(PathBuf, String)> = boxes
        .into_iter()
        .map(|one| match one.split_once('=') {
            Some((directory, name)) => (directory.into(), name.to_owned()),
            None => (one.into(), "de.pengutronix.rauc".to_owned()),
        })
        .collect();
    let served = serve(&address, &boxes).await?;
    println!("ready");
    served.wait().await;
    Ok(())
}
