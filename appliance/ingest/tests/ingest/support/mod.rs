//! A real ingest on free ports, real encoders, and a worker that reads what ingest writes.

pub mod client;
pub mod encoder;
pub mod media;
pub mod process;
pub mod worker;

use std::io::{Read as _, Write as _};
use std::net::SocketAddr;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use nodi_daemon::shutdown::{Trigger, manual};
use nodi_ingest::config::Rtmps;
use nodi_ingest::{Config, Ingest};
use nodi_protocol::stream_key::{Grant, Minter, StreamKey};

/// Longer than anything that is waited for takes on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(40);

/// Waits until `condition` gives something.
pub fn eventually<T>(what: &str, mut condition: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(value) = condition() {
            return value;
        }
        assert!(Instant::now() < deadline, "not within {PATIENCE:?}: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// A running ingest and its files; stopped on drop.
pub struct Server {
    pub directory: tempfile::TempDir,
    pub rtmp: SocketAddr,
    pub rtmps: Option<SocketAddr>,
    pub metrics: Option<SocketAddr>,
    stop: Option<(Trigger, JoinHandle<()>)>,
}

impl Server {
    pub fn start() -> Self {
        Self::with(|_| {})
    }

    /// `adjust` changes the configuration that tests use otherwise.
    pub fn with(adjust: impl FnOnce(&mut Config)) -> Self {
        Self::in_directory(tempfile::tempdir().unwrap(), adjust)
    }

    /// In a directory that may hold files already.
    pub fn in_directory(directory: tempfile::TempDir, adjust: impl FnOnce(&mut Config)) -> Self {
        nodi_daemon::logging::init("ingest-test", log::LevelFilter::Info);
        let path = directory.path();
        if !path.join("keys.pub").exists() {
            std::fs::write(path.join("keys.pub"), minter().public_line()).unwrap();
        }
        let mut config = Config::default();
        config.rtmp.listen = "127.0.0.1:0".parse().unwrap();
        config.keys.public_keys = path.join("keys.pub");
        config.keys.revocations = path.join("revocations.json");
        config.keys.self_test_keys = path.join("self-test.pub");
        config.sessions.credentials = path.join("sessions");
        config.sessions.newest = Some(path.join("newest-session"));
        config.status.socket = path.join("ingest.sock");
        config.worker.socket = Some(path.join("worker.sock"));
        // All encoders of a test come from one address, and the wrong keys with them.
        config.throttle.first_delay_ms = 1;
        config.shutdown_s = 2;
        adjust(&mut config);

        let (trigger, shutdown) = manual();
        let (send, bound) = std::sync::mpsc::channel();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let ingest = Ingest::bind(config).unwrap();
                let bound =
                    (ingest.rtmp_address().unwrap(), ingest.rtmps_address(), ingest.metrics_address());
                send.send(bound).unwrap();
                ingest.run(shutdown).await.unwrap();
            });
        });
        let (rtmp, rtmps, metrics) = bound.recv_timeout(PATIENCE).unwrap();
        Self { directory, rtmp, rtmps, metrics, stop: Some((trigger, thread)) }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub fn url(&self, key: &StreamKey) -> String {
        format!("rtmp://{}/live/{}", self.rtmp, key.reveal())
    }

    /// `GET /sessions`.
    pub fn sessions(&self) -> Vec<serde_json::Value> {
        let (status, body) = self.http("GET", "/sessions");
        assert_eq!(status, 200);
        serde_json::from_str(&body).unwrap()
    }

    /// The one session of `channel`, once it is there and `accept` likes it.
    pub fn session(&self, channel: &str, accept: impl Fn(&serde_json::Value) -> bool) -> serde_json::Value {
        eventually(&format!("session of {channel}"), || {
            self.sessions().into_iter().find(|session| session["channel"] == channel && accept(session))
        })
    }

    pub fn metrics_text(&self) -> String {
        let (status, body) = self.http("GET", "/metrics");
        assert_eq!(status, 200);
        body
    }

    /// The value of a metric, given with its labels as it is written.
    pub fn metric(&self, name: &str) -> f64 {
        let text = self.metrics_text();
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.map_or(0.0, |value| value.parse().unwrap())
    }

    pub fn http(&self, method: &str, target: &str) -> (u16, String) {
        http(&self.path("ingest.sock"), method, target)
    }

    /// Asks it to stop and waits until it has.
    pub fn stop(&mut self) {
        if let Some((trigger, thread)) = self.stop.take() {
            trigger.stop();
            thread.join().unwrap();
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if std::thread::panicking() {
            if let Some((trigger, _)) = self.stop.take() {
                trigger.stop();
            }
        } else {
            self.stop();
        }
    }
}

/// One request over a Unix socket.
pub fn http(socket: &Path, method: &str, target: &str) -> (u16, String) {
    let mut stream = UnixStream::connect(socket).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    write!(stream, "{method} {target} HTTP/1.1\r\nhost: ingest\r\nconnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
}

/// The fleet's key in tests.
pub fn minter() -> Minter {
    Minter::from_seed(&[42; 32])
}

pub fn key(channel: &str) -> StreamKey {
    minter().mint(&grant(channel, 1, None))
}

pub fn grant(channel: &str, version: u32, expires_at: Option<u64>) -> Grant {
    Grant { channel: channel.parse().unwrap(), version, expires_at }
}

pub fn revoke(directory: &Path, channel: &str, min_version: u32) {
    write_revocations(directory, &serde_json::json!({"schema": 1, "min_versions": {channel: min_version}}));
}

pub fn write_revocations(directory: &Path, document: &serde_json::Value) {
    let text = document.to_string();
    let unfinished = directory.join("revocations.new");
    std::fs::write(&unfinished, text).unwrap();
    std::fs::rename(unfinished, directory.join("revocations.json")).unwrap();
}

/// A certificate for 127.0.0.1 and localhost in `directory`, and the configuration that names it.
pub fn certificate(directory: &Path) -> Rtmps {
    let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
    let made = rcgen::generate_simple_self_signed(names).unwrap();
    std::fs::write(directory.join("key.pem"), made.signing_key.serialize_pem()).unwrap();
    std::fs::write(directory.join("cert.pem"), made.cert.pem()).unwrap();
    Rtmps {
        listen: "127.0.0.1:0".parse().unwrap(),
        certificate: directory.join("cert.pem"),
        private_key: directory.join("key.pem"),
    }
}

/// Another fleet's key.
pub fn other_minter() -> Minter {
    Minter::from_seed(&[43; 32])
}
