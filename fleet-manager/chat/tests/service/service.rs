//! One `nodi-chat` with a token key of the test's own.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use nodi_protocol::chat::Role;
use nodi_protocol::chat::token::{Claims, Minter};
use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// For whatever has to happen at all.
pub(crate) const DEADLINE: Duration = Duration::from_secs(30);
const YEAR_S: u64 = 365 * 86_400;

pub(crate) struct Service {
    child: Child,
    directory: tempfile::TempDir,
    minter: Minter,
    pub(crate) address: SocketAddr,
}

impl Service {
    /// `http` is appended to `[http]`, `tables` to the configuration, `top` goes before both.
    pub(crate) async fn configured(top: &str, http: &str, tables: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let minter = Minter::from_seed(&[42; 32]);
        let keys = directory.path().join("chat-tokens.pub");
        std::fs::write(&keys, format!("{}\n", STANDARD.encode(minter.public_key().as_bytes()))).unwrap();
        let address = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let mut text = String::new();
        let data = directory.path().join("data");
        writeln!(text, "{top}\ndata_dir = {data:?}\ntoken_keys = {keys:?}").unwrap();
        writeln!(text, "[http]\nlisten = \"{address}\"\n{http}\n{tables}").unwrap();
        std::fs::write(directory.path().join("chat.toml"), text).unwrap();
        let child = launch(directory.path());
        let mut service = Self { child, directory, minter, address };
        service.is_up().await;
        service
    }

    pub(crate) async fn start(tables: &str) -> Self {
        Self::configured("", "", tables).await
    }

    async fn is_up(&mut self) {
        let started = Instant::now();
        while TcpStream::connect(self.address).await.is_err() {
            let ended = self.child.try_wait().unwrap();
            assert!(ended.is_none() && started.elapsed() < DEADLINE, "{ended:?}: {}", self.log());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// As a power cut would, as far as a process can.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    pub(crate) async fn start_again(&mut self) {
        self.child = launch(self.directory.path());
        self.is_up().await;
    }

    /// Asks it to stop; its exit code.
    pub(crate) async fn stop(&mut self) -> Option<i32> {
        let pid = Pid::from_child(&self.child);
        kill_process(pid, Signal::TERM).unwrap();
        let started = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code();
            }
            assert!(started.elapsed() < DEADLINE, "it does not stop: {}", self.log());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    pub(crate) fn database(&self) -> PathBuf {
        self.directory.path().join("data/chat.sqlite")
    }

    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.directory.path().join("log")).unwrap_or_default()
    }

    /// A token of somebody who has been here for a year, good for an hour.
    pub(crate) fn token(&self, channel: &str, name: &str, role: Role) -> String {
        self.mint(Some(channel), name, role, 3_600)
    }

    pub(crate) fn mint(&self, channel: Option<&str>, name: &str, role: Role, good_for_s: u64) -> String {
        let now_s = unix_ms() / 1_000;
        let claims = Claims {
            sub: format!("id-{}", name.to_lowercase()),
            name: name.to_owned(),
            color: None,
            badges: Vec::new(),
            channel: channel.map(|channel| channel.parse().unwrap()),
            role,
            followed_s: None,
            created_s: now_s - YEAR_S,
            exp: now_s + good_for_s,
        };
        self.minter.mint(&claims).unwrap()
    }

    /// Status and body.
    pub(crate) async fn request(&self, method: &str, path: &str, fields: &str) -> (u16, String) {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        let text = format!("{method} {path} HTTP/1.1\r\nHost: chat\r\n{fields}\r\n");
        stream.write_all(text.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        tokio::time::timeout(DEADLINE, stream.read_to_end(&mut answer)).await.unwrap().unwrap();
        let answer = String::from_utf8(answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
    }

    /// One line of `/metrics`.
    pub(crate) async fn metric(&self, name: &str) -> f64 {
        let (status, text) = self.request("GET", "/metrics", "").await;
        assert_eq!(status, 200);
        text.lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok())
            .unwrap_or_default()
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

fn launch(directory: &Path) -> Child {
    let log = std::fs::File::options().create(true).append(true).open(directory.join("log")).unwrap();
    Command::new(env!("CARGO_BIN_EXE_nodi-chat"))
        .arg("--config")
        .arg(directory.join("chat.toml"))
        .env_remove("JOURNAL_STREAM")
        .env_remove("RUST_LOG")
        .stdout(Stdio::null())
        .stderr(log)
        .spawn()
        .unwrap()
}

pub(crate) fn unix_ms() -> u64 {
    u64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis()).unwrap()
}

/// Until `is` says so.
pub(crate) async fn eventually<F: Future<Output = bool>>(what: &str, mut is: impl FnMut() -> F) {
    let started = Instant::now();
    while !is().await {
        assert!(started.elapsed() < DEADLINE, "never: {what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
