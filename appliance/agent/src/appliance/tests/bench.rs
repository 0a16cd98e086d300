//! A box in a directory.

use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command as Program, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{HeaderMap, StatusCode, Uri};
use nodi_protocol::CommandId;
use nodi_protocol::enrol::Provisioning;
use nodi_protocol::fleet::command::{Action, Command};
use nodi_protocol::fleet::desired::{Desired, Reported};
use nodi_protocol::fleet::event::What;
use nodi_protocol::stream_key::{Grant, Minter};
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::Instant;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::Host;
use crate::clock::{Clock, Kernel};
use crate::events::Events;
use crate::fleet::Fleet;
use crate::identity::Identity;
use crate::seams::{Assemble as _, Context, Outcome, Parts, Progress};
use crate::store::{EventBounds, Store};

/// Longer than anything takes on a busy machine.
pub(super) const PATIENCE: Duration = Duration::from_secs(60);
/// Nobody listens there: the uplink tries in vain, which is no concern of these tests.
pub(super) const ORIGIN: &str = "https://127.0.0.1:9";

pub(super) async fn eventually(what: &str, mut condition: impl AsyncFnMut() -> bool) {
    let start = Instant::now();
    while !condition().await {
        assert!(start.elapsed() < PATIENCE, "waited in vain for {what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

pub(super) fn ladder(name: &str, height: u32) -> Value {
    json!([{"name": name, "height": height, "bitrate": 300_000}])
}

/// One upload.
#[derive(Debug)]
pub(super) struct Received {
    pub authorization: String,
    pub body: Vec<u8>,
}

type Uploads = Arc<Mutex<Vec<Received>>>;

/// Directories, running processes, and a server for uploads.
pub(super) struct Bench {
    directory: tempfile::TempDir,
    pub fleet_url: String,
    ca_pem: String,
    pub received: Uploads,
    minter: Minter,
}

/// Kills and forgets.
pub(super) struct Publisher(Child);

impl Drop for Publisher {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn program(name: &str) -> PathBuf {
    let me = std::env::current_exe().unwrap();
    // Tests lie in `deps`, one below the programs.
    let path = me.parent().and_then(Path::parent).unwrap().join(name);
    assert!(path.is_file(), "{} is not there: build it with cargo build -p {name}", path.display());
    path
}

impl Bench {
    pub(super) async fn start() -> Self {
        // A second installation only says that there is one already.
        let _ = rustls::crypto::ring::default_provider().install_default();
        nodi_daemon::logging::init("agent-test", log::LevelFilter::Info);
        let directory = tempfile::tempdir().unwrap();
        for name in ["etc", "run/sessions", "spool", "state"] {
            std::fs::create_dir_all(directory.path().join(name)).unwrap();
        }
        let received = Uploads::default();
        let (fleet_url, ca_pem) = serve(Arc::clone(&received)).await;
        let bench = Self { directory, fleet_url, ca_pem, received, minter: Minter::from_seed(&[3; 32]) };
        bench.write_files();
        bench.start_workers();
        for process in ["ingest", "uplink"] {
            bench.spawn(process);
            eventually(process, async || bench.try_get(process, "/settings").await.is_some()).await;
        }
        bench
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn write_files(&self) {
        let at = |name: &str| self.path(name).display().to_string();
        let write = |name: &str, text: String| std::fs::write(self.path(name), text).unwrap();
        write("state/stream-keys.pub", self.minter.public_line());
        write(
            "etc/ingest.toml",
            format!(
                "[rtmp]\nlisten = \"127.0.0.1:0\"\n[keys]\npublic_keys = {:?}\nrevocations = {:?}\n[sessions]\n\
                 credentials = {:?}\n[worker]\nsocket = {:?}\n[status]\nsocket = {:?}\n",
                at("state/stream-keys.pub"),
                at("state/revocations.json"),
                at("run/sessions"),
                at("run/transcode.sock"),
                at("run/ingest.sock"),
            ),
        );
        // Measured once for all tests.
        let calibration = program("nodi-transcode").parent().unwrap().join("calibration-of-tests");
        write(
            "etc/transcode.toml",
            format!(
                "spool = {:?}\nstate = {calibration:?}\nmin_free_bytes = 0\npreset = \"ultrafast\"\n\
                 ladder = [{{ name = \"180p\", height = 180, bitrate = 300000 }}]\n",
                at("spool")
            ),
        );
        write(
            "etc/uplink.toml",
            format!(
                "spool = {:?}\nsessions = {:?}\njournal = {:?}\ningest_socket = {:?}\nlisten = \"unix:{}\"\n",
                at("spool"),
                at("run/sessions"),
                at("state/uplink/journal.sqlite"),
                at("run/ingest.sock"),
                at("run/uplink.sock"),
            ),
        );
        // What systemd does: ends the process, starts it anew, and comes back when it runs.
        for process in ["ingest", "uplink"] {
            let command = self.words(process).map(|word| format!("'{word}'")).join(" ");
            self.script(
                &format!("restart-{process}"),
                &format!(
                    // One that nobody waits for stays as a zombie.
                    "old=$(cat {pid}); kill $old\n\
                     while grep -q '^State:.[^Z]' /proc/$old/status 2>/dev/null; do sleep 0.02; done\n\
                     {command} >/dev/null 2>>'{log}' & echo $! >{pid}",
                    pid = at(&format!("run/{process}.pid")),
                    log = at(&format!("run/{process}.log")),
                ),
            );
        }
        self.script("reboot", &format!("touch {}", at("rebooted")));
        self.script("identify", &format!("echo $1 >{}", at("identified")));
    }

    fn script(&self, name: &str, text: &str) {
        let path = self.path(name);
        std::fs::write(&path, format!("#!/bin/sh\n{text}\n")).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    }

    fn words(&self, process: &str) -> [String; 5] {
        let at = |name: String| self.path(&name).display().to_string();
        [
            program(&format!("nodi-{process}")).display().to_string(),
            "--config".to_owned(),
            at(format!("etc/{process}.toml")),
            "--settings".to_owned(),
            at(format!("state/settings/{process}.toml")),
        ]
    }

    pub(super) fn spawn(&self, process: &'static str) {
        let [program, arguments @ ..] = self.words(process);
        let log = std::fs::File::options()
            .create(true)
            .append(true)
            .open(self.path(&format!("run/{process}.log")))
            .unwrap();
        let mut child = Program::new(program)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .env_remove("RUST_LOG")
            .spawn()
            .unwrap();
        std::fs::write(self.path(&format!("run/{process}.pid")), child.id().to_string()).unwrap();
        // Whoever restarts it waits until it is gone, and a process that nobody waits for never is.
        std::thread::spawn(move || child.wait());
    }

    pub(super) fn pid(&self, process: &str) -> u32 {
        std::fs::read_to_string(self.path(&format!("run/{process}.pid"))).unwrap().trim().parse().unwrap()
    }

    pub(super) fn kill(&self, process: &str) {
        let pid = self.pid(process).to_string();
        let _ = Program::new("kill").args(["-KILL", &pid]).stderr(Stdio::null()).status();
    }

    /// What the socket unit does: one worker per connection.
    fn start_workers(&self) {
        let listener = UnixListener::bind(self.path("run/transcode.sock")).unwrap();
        let [program, arguments @ ..] = self.words("transcode");
        let log = self.path("run/transcode.log");
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let log = std::fs::File::options().create(true).append(true).open(&log);
                let (Ok(stream), Ok(log)) = (stream, log) else { return };
                let child = Program::new(&program)
                    .args(&arguments)
                    .stdin(OwnedFd::from(stream))
                    .stdout(Stdio::null())
                    .stderr(log)
                    .spawn();
                let Ok(mut child) = child else { return };
                std::thread::spawn(move || child.wait());
            }
        });
    }

    async fn try_get(&self, process: &str, path: &str) -> Option<Value> {
        let socket = self.path(&format!("run/{process}.sock"));
        let client = reqwest::Client::builder().unix_socket(socket).build().unwrap();
        client.get(format!("http://box{path}")).send().await.ok()?.json().await.ok()
    }

    pub(super) async fn get(&self, process: &str, path: &str) -> Value {
        self.try_get(process, path).await.unwrap_or_default()
    }

    /// ffmpeg that goes live for a minute.
    pub(super) fn publish(&self, channel: &str) -> Publisher {
        let grant = Grant { channel: channel.parse().unwrap(), version: 1, expires_at: None };
        let log = std::fs::read_to_string(self.path("run/ingest.log")).unwrap();
        let (_, rest) = log.rsplit_once("rtmp=Some(").expect("ingest says where it listens");
        let address = rest.split(')').next().unwrap();
        let url = format!("rtmp://{address}/live/{}", self.minter.mint(&grant).reveal());
        let child = Program::new("ffmpeg")
            .args([
                "-nostdin",
                "-loglevel",
                "error",
                "-re",
                "-f",
                "lavfi",
                "-i",
                "testsrc2=size=320x180:rate=25",
            ])
            .args([
                "-f",
                "lavfi",
                "-i",
                "sine=sample_rate=48000",
                "-t",
                "60",
                "-c:v",
                "libx264",
                "-preset",
                "ultrafast",
            ])
            .args(["-g", "50", "-bf", "0", "-pix_fmt", "yuv420p", "-c:a", "aac", "-f", "flv", &url])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        Publisher(child)
    }

    /// The agent's side of this box, as after a start of the agent.
    pub(super) async fn agent(&self) -> (Parts, Store) {
        let at = |name: &str| self.path(name).display().to_string();
        let process = |name: &str| {
            json!({
                "program": program(&format!("nodi-{name}")),
                "config": at(&format!("etc/{name}.toml")),
            })
        };
        let served = |name: &str| {
            let mut process = process(name);
            process["listen"] = json!(format!("unix:{}", at(&format!("run/{name}.sock"))));
            process
        };
        let config: crate::Config = serde_json::from_value(json!({
            "state": at("state/agent"),
            "settings": {
                "directory": at("state/settings"),
                "stream_keys": at("state/stream-keys.pub"),
                "revocations": at("state/revocations.json"),
                "ingest": served("ingest"),
                "transcode": process("transcode"),
                "uplink": served("uplink"),
            },
            "telemetry": { "disks": [at("")] },
            "sessions": { "spool": at("spool"), "every_ms": 200, "report_s": 1 },
            "actions": {
                "restart_ingest": [at("restart-ingest")],
                "restart_uplink": [at("restart-uplink")],
                "reboot": [at("reboot")],
                "identify": [at("identify")],
                "log_files": [at("log")],
            },
        }))
        .unwrap();
        std::fs::create_dir_all(&config.state).unwrap();
        let clock = Clock::new(Kernel::default(), 0);
        let store = Store::open(&config.state.join("agent.sqlite")).unwrap();
        let events = Events::new(store.clone(), clock.clone(), EventBounds { count: 1000 });
        let provisioning = Provisioning {
            fleet_url: self.fleet_url.clone(),
            ca_pem: Some(self.ca_pem.clone()),
            claim_code: None,
        };
        let fleet = Fleet::new(&provisioning, &clock).unwrap();
        let identity = Identity::open(&config.state.join("identity")).unwrap();
        let context = Context {
            box_id: identity.box_id.clone(),
            boot_id: "boot".to_owned(),
            clock,
            events,
            fleet,
            identity: identity.files.clone(),
            held: false,
        };
        (Host::new(config).parts(&context).await.unwrap(), store)
    }

    pub(super) async fn apply(&self, agent: &Parts, version: u64, epoch: &str, settings: &Value) -> Reported {
        let settings = serde_json::from_value(settings.clone()).unwrap();
        agent.settings.apply(Desired { version, epoch: epoch.to_owned(), settings }).await;
        agent.settings.reported().borrow().clone()
    }

    pub(super) async fn act(&self, agent: &Parts, action: Action) -> Outcome {
        let id = CommandId::new(1, 1);
        let command = Command { id, issued_ms: 0, expires_ms: u64::MAX, timeout_s: 600, action };
        agent.actions.run(command, Progress::new().0).await
    }

    pub(super) async fn events(&self, store: &Store) -> Vec<What> {
        store.events_after(0, 1000).await.unwrap().events.into_iter().map(|event| event.what).collect()
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        for process in ["ingest", "uplink"] {
            if std::thread::panicking() {
                for name in [process, "transcode"] {
                    let log = std::fs::read_to_string(self.path(&format!("run/{name}.log")));
                    eprintln!("--- {name}\n{}", log.unwrap_or_default());
                }
            }
            self.kill(process);
        }
    }
}

/// Takes uploads over TLS, with an authority of its own.
async fn serve(received: Uploads) -> (String, String) {
    let mut authority = rcgen::CertificateParams::default();
    authority.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let authority_key = rcgen::KeyPair::generate().unwrap();
    let authority_pem = authority.self_signed(&authority_key).unwrap().pem();
    let issuer = rcgen::Issuer::new(authority, authority_key);
    let key = rcgen::KeyPair::generate().unwrap();
    let certificate = rcgen::CertificateParams::new(vec!["localhost".to_owned()])
        .unwrap()
        .signed_by(&key, &issuer)
        .unwrap();
    let key = rustls::pki_types::PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    let config = rustls::ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], key)
        .unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let take = async |State(received): State<Uploads>, uri: Uri, headers: HeaderMap, body: Bytes| {
        if uri.path() == "/refused" {
            return (StatusCode::FORBIDDEN, "the token is used up");
        }
        let authorization = headers["authorization"].to_str().unwrap().to_owned();
        received.lock().unwrap().push(Received { authorization, body: body.to_vec() });
        (StatusCode::OK, "")
    };
    let app = Router::new().fallback(take).layer(DefaultBodyLimit::disable()).with_state(received);
    let acceptor = TlsAcceptor::from(Arc::new(config));
    tokio::spawn(async move { axum::serve(Tls { listener, acceptor }, app).await });
    (format!("https://localhost:{port}"), authority_pem)
}

struct Tls {
    listener: TcpListener,
    acceptor: TlsAcceptor,
}

impl axum::serve::Listener for Tls {
    type Io = TlsStream<TcpStream>;
    type Addr = std::net::SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        loop {
            let Ok((stream, peer)) = self.listener.accept().await else { continue };
            if let Ok(stream) = self.acceptor.accept(stream).await {
                return (stream, peer);
            }
        }
    }

    fn local_addr(&self) -> std::io::Result<Self::Addr> {
        self.listener.local_addr()
    }
}
