//! Load for measuring chat servers: see [`nodi_lab::chat_load`].
#![allow(clippy::print_stdout, reason = "a command line: what it prints is its result")]

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand, ValueEnum};
use nodi_lab::chat::Tokens;
use nodi_lab::chat_load::{self, Dialect, Load, Options};
use nodi_protocol::ChannelId;

#[derive(Parser)]
#[command(
    version,
    about = "A room of thousands from one process, and the least that a server for it could cost"
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// A room's clients. Prints `{"ready":N}` when the first are in it; then answers each line on stdin (fill, start,
    /// mark, report, stop) with what was measured, and ends with stdin
    Room(Room),
    /// Writes whatever a client says to all clients, and prints `{"listening":"ADDRESS"}` first
    Floor {
        #[arg(long, default_value = "127.0.0.1:0")]
        listen: SocketAddr,
    },
    /// Makes the token key of a directory, with its public half for the chat service, if it is not there
    Keys {
        #[arg(long)]
        dir: PathBuf,
    },
}

#[derive(Args)]
struct Room {
    #[arg(long)]
    server: SocketAddr,
    #[arg(long)]
    speaks: Speaks,
    #[arg(long)]
    subscribers: usize,
    #[arg(long, default_value_t = 10)]
    publishers: usize,
    /// So many join at once, the others at `fill`
    #[arg(long, default_value_t = usize::MAX)]
    first: usize,
    /// Messages per second of all publishers together
    #[arg(long, default_value_t = 10)]
    rate: u32,
    /// Bytes of a message's text
    #[arg(long, default_value_t = 200)]
    bytes: usize,
    /// Of the chat
    #[arg(long, default_value = "load")]
    channel: ChannelId,
    /// The directory of the chat's token key
    #[arg(long)]
    keys: Option<PathBuf>,
}

#[derive(Clone, Copy, ValueEnum)]
enum Speaks {
    Chat,
    Plain,
    Nats,
}

fn main() -> ExitCode {
    let result = chat_load::raise_file_limit().and_then(|()| match Cli::parse().command {
        Command::Room(args) => room(args),
        Command::Floor { listen } => {
            chat_load::serve_floor(listen, |address| println!("{{\"listening\":\"{address}\"}}"))
        }
        Command::Keys { dir } => keys(&dir).map(drop),
    });
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("chat-load: {error}");
            ExitCode::FAILURE
        }
    }
}

fn keys(dir: &Path) -> std::io::Result<Tokens> {
    Tokens::create(dir).map_err(std::io::Error::other)
}

fn room(args: Room) -> std::io::Result<()> {
    let dialect = match args.speaks {
        Speaks::Chat => Dialect::Chat { channel: args.channel },
        Speaks::Plain => Dialect::Plain,
        Speaks::Nats => Dialect::Nats,
    };
    let tokens = args.keys.as_deref().map(keys).transpose()?;
    let mut load = Load::new(Options {
        server: args.server,
        dialect,
        subscribers: args.subscribers,
        publishers: args.publishers,
        rate: args.rate,
        text_bytes: args.bytes,
        tokens,
    })?;
    load.connect(args.first)?;
    load.obey(&mut std::io::stdout().lock())
}
