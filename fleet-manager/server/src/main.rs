//! The `nodi-fleet` process and its maintenance commands.

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use clap::{Parser, Subcommand};
use nodi_daemon::{config, exit, logging, shutdown, systemd};
use nodi_fleet::clock::Clock;
use nodi_fleet::config::Config;
use nodi_fleet::maintenance::{self, Level};
use nodi_fleet::server::Server;

/// Longest password file: a longer one is some other file.
const MAX_PASSWORD_FILE: u64 = 4_096;

#[derive(Parser)]
#[command(version, about = "The fleet server: API, dashboard, and the boxes' counterpart")]
struct Arguments {
    /// Configuration file.
    #[arg(long, global = true, default_value = "/etc/nodi/fleet.toml")]
    config: PathBuf,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
enum Command {
    /// Serve (the default).
    Serve,
    /// Make the database, the certificate authority, the signing key and the first administrator.
    Init {
        /// The first administrator's name.
        #[arg(long, default_value = "admin")]
        admin: String,
        /// File with the first administrator's password; `-`: standard input.
        #[arg(long, default_value = "-")]
        password_file: PathBuf,
    },
    /// Say whether database, keys and certificates are sound.
    Check,
    /// Copy the database, also while the server runs. Keys and certificates are files beside it and not in the copy.
    Backup {
        /// The copy; it must not exist.
        path: PathBuf,
    },
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    // Database, keys and backups are nobody else's business.
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o077));
    let config: Config = match config::load(&arguments.config) {
        Ok(config) => config,
        Err(error) => {
            logging::init("nodi-fleet", log::LevelFilter::Info);
            log::error!("{error}");
            return ExitCode::from(exit::CONFIG);
        }
    };
    logging::init("nodi-fleet", config.log_level);
    // A second installation only says that there is one already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let result = match arguments.command.unwrap_or(Command::Serve) {
        Command::Serve => serve(config),
        Command::Init { admin, password_file } => init(config, admin, &password_file),
        Command::Check => return check(&config),
        Command::Backup { path } => maintenance::backup(&config, &Clock::System, &path)
            .map(|()| say(&format!("{}: written and verified", path.display())))
            .map_err(anyhow::Error::from),
    };
    match result {
        Ok(()) => ExitCode::from(exit::OK),
        Err(error) => {
            log::error!("{error:#}");
            ExitCode::from(exit::FAILURE)
        }
    }
}

#[tokio::main]
async fn serve(config: Config) -> anyhow::Result<()> {
    let shutdown = shutdown::on_signals(Duration::from_secs(config.shutdown_s)).context("signals")?;
    let server = Server::start(config, Clock::System, shutdown).await?;
    for (what, address) in [("http", server.http), ("https", server.https), ("metrics", server.metrics)] {
        if let Some(address) = address {
            log::info!(address:%; "listening: {what}");
        }
    }
    systemd::ready();
    server.run().await.map_err(anyhow::Error::msg)
}

#[tokio::main]
async fn init(config: Config, admin: String, password_file: &Path) -> anyhow::Result<()> {
    let password = read_password(password_file)
        .with_context(|| format!("password from {}", password_file.display()))?;
    let done = maintenance::init(config, Clock::System, admin.clone(), password).await?;
    say(&format!("database               {}", done.database.display()));
    say(&format!("certificate authority  {}", done.authority.display()));
    say(&format!("public stream keys     {}", done.public_keys.display()));
    say(&format!("administrator          {admin}"));
    Ok(())
}

/// The first line: editors end a file with a newline that is no part of the password.
fn read_password(path: &Path) -> anyhow::Result<String> {
    let mut text = String::new();
    if path == Path::new("-") {
        std::io::stdin().take(MAX_PASSWORD_FILE).read_to_string(&mut text)?;
    } else {
        std::fs::File::open(path)?.take(MAX_PASSWORD_FILE).read_to_string(&mut text)?;
    }
    Ok(text.lines().next().unwrap_or_default().to_owned())
}

fn check(config: &Config) -> ExitCode {
    let findings = maintenance::check(config, &Clock::System);
    let mut failed = false;
    for finding in findings {
        let word = match finding.level {
            Level::Ok => "ok      ",
            Level::Warning => "warning ",
            Level::Error => "error   ",
        };
        failed |= finding.level == Level::Error;
        say(&format!("{word} {}", finding.text));
    }
    ExitCode::from(if failed { exit::FAILURE } else { exit::OK })
}

#[allow(clippy::print_stdout, reason = "what somebody typed a command for is its output")]
fn say(line: &str) {
    println!("{line}");
}
