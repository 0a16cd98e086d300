//! The chat service as a process, with a token key of the test's own.

use std::fmt::Write as _;
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use nodi_protocol::ChannelId;
use nodi_protocol::chat::Role;
use nodi_protocol::chat::token::{Claims, Minter};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

const START: Duration = Duration::from_secs(20);
const HOUR_S: u64 = 3_600;
const YEAR_S: u64 = 365 * 24 * HOUR_S;
/// The page that may connect, for the browser.
pub(crate) const PAGE_HOST: &str = "127.0.0.1";

pub(crate) struct Service {
    child: Child,
    directory: tempfile::TempDir,
    minter: Minter,
    pub(crate) address: SocketAddr,
    /// Pages from `http://127.0.0.1:PORT` may connect.
    pub(crate) page_port: u16,
}

/// Whom a token is for; what is not said is a viewer of a year's standing.
pub(crate) struct Account<'a> {
    pub(crate) id: &'a str,
    pub(crate) name: &'a str,
    pub(crate) role: Role,
    pub(crate) followed: bool,
    /// Hours from now; negative: it has expired.
    pub(crate) good_for_h: i64,
}

impl Account<'_> {
    pub(crate) fn viewer<'a>(id: &'a str, name: &'a str) -> Account<'a> {
        Account { id, name, role: Role::Viewer, followed: false, good_for_h: 1 }
    }
}

impl Service {
    /// `tables` is appended to the configuration.
    pub(crate) fn start(tables: &str) -> Self {
        raise_file_limit();
        let directory = tempfile::tempdir().unwrap();
        let minter = Minter::from_seed(&[42; 32]);
        let keys = directory.path().join("chat-tokens.pub");
        std::fs::write(&keys, format!("{}\n", STANDARD.encode(minter.public_key().as_bytes()))).unwrap();
        let page_port = TcpListener::bind((PAGE_HOST, 0)).unwrap().local_addr().unwrap().port();
        let mut text = String::new();
        writeln!(text, "log_level = \"info\"\ndata_dir = {:?}\ntoken_keys = {keys:?}", directory.path())
            .unwrap();
        writeln!(
            text,
            "[http]\nlisten = \"127.0.0.1:0\"\norigins = [\"http://{PAGE_HOST}:{page_port}\"]\n{tables}"
        )
        .unwrap();
        let config = directory.path().join("chat.toml");
        std::fs::write(&config, text).unwrap();
        let log = std::fs::File::create(directory.path().join("log")).unwrap();
        let child = Command::new(env!("CARGO_BIN_EXE_nodi-chat"))
            .arg("--config")
            .arg(&config)
            .env_remove("JOURNAL_STREAM")
            .env_remove("RUST_LOG")
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        let nowhere = SocketAddr::from(([127, 0, 0, 1], 0));
        let mut service = Self { child, directory, minter, address: nowhere, page_port };
        let started = Instant::now();
        while service.address == nowhere {
            let ended = service.child.try_wait().unwrap();
            let log = service.log();
            assert!(ended.is_none() && started.elapsed() < START, "{ended:?}: {log}");
            match log.lines().find(|line| line.contains("serving")) {
                Some(line) => service.address = address_in(line),
                None => std::thread::sleep(Duration::from_millis(20)),
            }
        }
        service
    }

    pub(crate) fn url(&self) -> String {
        format!("ws://{}/ws", self.address)
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.path("log")).unwrap_or_default()
    }

    pub(crate) fn token(&self, channel: &str, account: &Account<'_>) -> String {
        mint(&self.minter, channel, account)
    }

    /// Still there, and it has not complained about itself.
    pub(crate) fn is_well(&mut self) {
        assert!(self.child.try_wait().unwrap().is_none(), "it has ended: {}", self.log());
        let log = self.log();
        assert!(!log.contains("panicked") && !log.contains("ERROR"), "{log}");
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub(crate) fn mint(minter: &Minter, channel: &str, account: &Account<'_>) -> String {
    let now_s = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    minter
        .mint(&Claims {
            sub: account.id.to_owned(),
            name: account.name.to_owned(),
            color: Some("#1e90ff".to_owned()),
            badges: Vec::new(),
            channel: Some(channel.parse::<ChannelId>().unwrap()),
            role: account.role,
            followed_s: account.followed.then_some(now_s - YEAR_S),
            created_s: now_s - YEAR_S,
            exp: now_s.checked_add_signed(account.good_for_h * 3_600).unwrap(),
        })
        .unwrap()
}

fn address_in(line: &str) -> SocketAddr {
    let host = "127.0.0.1:";
    let port: String =
        line[line.find(host).unwrap() + host.len()..].chars().take_while(char::is_ascii_digit).collect();
    format!("{host}{port}").parse().unwrap()
}

/// The service inherits it.
fn raise_file_limit() {
    let maximum = getrlimit(Resource::Nofile).maximum;
    setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }).unwrap();
}
