//! The `nodi-fleet` process and its maintenance commands.

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use clap::{Parser, Subcommand};
use nodi_daemon::watchdog::{Expected, Watchdog};
use nodi_daemon::{config, exit, process, shutdown, systemd};
use nodi_fleet::broker_config;
use nodi_fleet::ca::Authority;
use nodi_fleet::clock::Clock;
use nodi_fleet::config::Config;
use nodi_fleet::maintenance::{self, Level};
use nodi_fleet::server::Server;
use tokio::task::JoinSet;

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
    /// Write a complete configuration of Mosquitto, with a new certificate for it.
    BrokerConfig {
        /// Where to; made when missing.
        #[arg(long, alias = "dir")]
        directory: PathBuf,
        /// Address that it listens on. Default: every address, with the port of `broker.port`.
        #[arg(long)]
        listen: Option<std::net::SocketAddr>,
        /// A name or an address that clients reach it by; may be repeated. Default: what the configuration says.
        #[arg(long = "name")]
        names: Vec<String>,
        /// Who Mosquitto runs as. Default: who runs this.
        #[arg(long)]
        user: Option<String>,
        /// Where it keeps sessions and retained messages. Default: `data` in the directory.
        #[arg(long)]
        persistence: Option<PathBuf>,
        /// Connections at a time.
        #[arg(long, default_value_t = 20_000)]
        max_connections: u32,
    },
    /// Make a certificate of the fleet's authority.
    Issue {
        kind: IssueKind,
        /// What it is called: an origin's name at the broker, a file's comment otherwise.
        id: String,
        /// A name or an address that it is reached by; may be repeated.
        #[arg(long = "name", required = true)]
        names: Vec<String>,
        /// Where the certificate goes, PEM.
        #[arg(long)]
        certificate: PathBuf,
        /// Where its key goes, PEM.
        #[arg(long)]
        key: PathBuf,
        /// Days for which it is good.
        #[arg(long, default_value_t = 825)]
        days: u32,
    },
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum IssueKind {
    /// Serves with it.
    Server,
    /// Serves with it, and follows the revocations at the broker.
    Origin,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    // Database, keys and backups are nobody else's business.
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o077));
    let loaded = config::load(&arguments.config);
    let config = match process::begin("nodi-fleet", loaded, |config: &Config| config.log_level) {
        Ok(config) => config,
        Err(code) => return code,
    };
    // A second installation only says that there is one already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let result = match arguments.command.unwrap_or(Command::Serve) {
        Command::Serve => serve(config),
        Command::Init { admin, password_file } => init(config, &admin, &password_file),
        Command::Check => return check(&config),
        Command::Backup { path } => maintenance::backup(&config, &Clock::System, &path)
            .map(|()| say(&format!("{}: written and verified", path.display())))
            .map_err(anyhow::Error::from),
        Command::BrokerConfig { directory, listen, names, user, persistence, max_connections } => {
            broker_config(&config, directory, listen, names, user, persistence, max_connections)
        }
        Command::Issue { kind, id, names, certificate, key, days } => {
            issue(&config, kind, &id, &names, &certificate, &key, days)
        }
    };
    process::end(result)
}

#[tokio::main]
async fn serve(config: Config) -> anyhow::Result<()> {
    let shutdown = shutdown::on_signals(Duration::from_secs(config.shutdown_s)).context("signals")?;
    let server = Server::start(config, Clock::System, shutdown).await?;
    let listening =
        [("http", server.http), ("https", server.https), ("site", server.site), ("metrics", server.metrics)];
    for (what, address) in listening {
        if let Some(address) = address {
            log::info!(address:%; "listening: {what}");
        }
    }
    let watchdog = Watchdog::of_unit();
    let mut answering = JoinSet::new();
    // Plain HTTP says more than TLS does to somebody who does not speak it.
    let served = [
        ("http", server.http, Expected::Ok),
        ("https", server.https, Expected::Answer),
        ("site", server.site, Expected::Ok),
    ];
    for (name, address, expected) in served {
        if let Some(address) = address {
            answering.spawn(watchdog.part(name).answering(address, expected));
        }
    }
    systemd::ready();
    tokio::select! {
        ended = server.run() => ended.map_err(anyhow::Error::msg),
        Some(ended) = answering.join_next() => Err(anyhow::anyhow!("a part of the watchdog ended: {ended:?}")),
        () = watchdog.run() => Ok(()),
    }
}

#[tokio::main]
async fn init(config: Config, admin: &str, password_file: &Path) -> anyhow::Result<()> {
    let password =
        read_password(password_file).with_context(|| format!("password from {}", password_file.display()))?;
    let done = maintenance::init(config, Clock::System, admin.to_owned(), password).await?;
    say(&format!("database               {}", done.database.display()));
    say(&format!("certificate authority  {}", done.authority.display()));
    say(&format!("public stream keys     {}", done.public_keys.display()));
    say(&format!("public chat keys       {}", done.chat_keys.display()));
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

fn broker_config(
    config: &Config,
    directory: PathBuf,
    listen: Option<std::net::SocketAddr>,
    mut names: Vec<String>,
    user: Option<String>,
    persistence: Option<PathBuf>,
    max_connections: u32,
) -> anyhow::Result<()> {
    let broker = &config.broker;
    if names.is_empty() {
        names = vec![broker.host.clone()];
        names.extend(broker.box_host.clone());
        names.dedup();
    }
    // Mosquitto reads its files from wherever it was started.
    let absolute = |path: PathBuf| std::path::absolute(&path).with_context(|| path.display().to_string());
    let directory = absolute(directory)?;
    let settings = broker_config::Settings {
        persistence: persistence.map_or_else(|| Ok(directory.join("data")), absolute)?,
        directory,
        listen: listen.unwrap_or_else(|| (std::net::Ipv4Addr::UNSPECIFIED, broker.port).into()),
        names,
        user: user.or_else(broker_config::current_user).context("--user: who runs this has no name")?,
        max_connections,
    };
    let authority = Authority::load(&config.ca_dir())?;
    broker_config::write(&settings, &authority, Clock::System.unix_ms())?;
    say(&format!("mosquitto -c {}", settings.main().display()));
    if !broker.revocation_lists.contains(&settings.revocation_list()) {
        say("Put this into the configuration of nodi-fleet, so that revoked boxes are refused:");
        say("[broker]");
        say(&format!("revocation_lists = [{:?}]", settings.revocation_list().display().to_string()));
        say("reload = [\"systemctl\", \"reload\", \"mosquitto\"]");
    }
    Ok(())
}

fn issue(
    config: &Config,
    kind: IssueKind,
    id: &str,
    names: &[String],
    certificate: &Path,
    key: &Path,
    days: u32,
) -> anyhow::Result<()> {
    let authority = Authority::load(&config.ca_dir())?;
    let validity = Duration::from_secs(u64::from(days) * 24 * 3_600);
    let now_ms = Clock::System.unix_ms();
    let identity = match kind {
        IssueKind::Server => authority.issue_server(names, validity, now_ms)?,
        IssueKind::Origin => authority.issue_origin(id, names, validity, now_ms)?,
    };
    broker_config::write_identity(certificate, key, &identity)?;
    say(&format!("certificate  {}", certificate.display()));
    say(&format!("key          {}", key.display()));
    Ok(())
}

#[allow(clippy::print_stdout, reason = "what somebody typed a command for is its output")]
fn say(line: &str) {
    println!("{line}");
}
