//! A fleet of one box: an authority, a broker, the three requests of the fleet server that a box makes, and the box's
//! agent as a process that can be killed.

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command as Process, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use axum::routing::{get, post};
use nodi_mqtt::{Always, Attempt, Backoff, Event, Link, Message, Options};
use nodi_protocol::enrol::{Enrolled, Renewal, Renewed, Request, Time, Waiting};
use nodi_protocol::fleet::Payload;
use nodi_protocol::fleet::command::{Action, Command, Status};
use nodi_protocol::fleet::event::{Ack, Event as BoxEvent};
use nodi_protocol::fleet::presence::{Hardware, Presence};
use nodi_protocol::fleet::topic::{BoxTopic, Topic};
use nodi_protocol::{BoxId, CommandId, enrol};
use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, DnType, ExtendedKeyUsagePurpose,
    IsCa, Issuer, KeyPair, KeyUsagePurpose, PublicKeyData as _, date_time_ymd,
};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use sha2::{Digest as _, Sha256};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

/// What a test waits for comes at once; this only keeps it from hanging.
pub const DEADLINE: Duration = Duration::from_secs(40);

pub fn now_ms() -> u64 {
    u64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis()).unwrap()
}

/// Waits until `found` is.
pub async fn until<T>(what: &str, mut found: impl FnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(found) = found() {
            return found;
        }
        assert!(begun.elapsed() < DEADLINE, "never: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pub pem: String,
}

/// Valid for a year around today: a box that lives in another decade notices.
fn valid_today(params: &mut CertificateParams) {
    let year = 1970 + i32::try_from(now_ms() / 31_556_952_000).unwrap();
    params.not_before = date_time_ymd(year - 1, 6, 1);
    params.not_after = date_time_ymd(year + 1, 6, 1);
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, "test fleet");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        valid_today(&mut params);
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        Self { issuer: Issuer::new(params, key), pem }
    }

    fn params(name: &str, usage: ExtendedKeyUsagePurpose) -> CertificateParams {
        let mut params =
            CertificateParams::new(vec!["127.0.0.1".to_owned(), "localhost".to_owned()]).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.extended_key_usages = vec![usage];
        valid_today(&mut params);
        params
    }

    fn issue(&self, name: &str, usage: ExtendedKeyUsagePurpose) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        (Self::params(name, usage).signed_by(&key, &self.issuer).unwrap().pem(), key.serialize_pem())
    }

    /// As the fleet server does: nothing is taken from the request but its key.
    fn sign(&self, csr_pem: &str, life: Option<Duration>) -> (BoxId, String) {
        let request = CertificateSigningRequestParams::from_pem(csr_pem).unwrap();
        let digest = Sha256::digest(request.public_key.subject_public_key_info());
        let id = enrol::box_id(&digest.into());
        let mut params = Self::params(id.as_str(), ExtendedKeyUsagePurpose::ClientAuth);
        if let Some(life) = life {
            // As long before now as after: due for renewal a third of the rest from now.
            params.not_before = (SystemTime::now() - life).into();
            params.not_after = (SystemTime::now() + life).into();
        }
        (id, params.signed_by(&request.public_key, &self.issuer).unwrap().pem())
    }
}

/// The requests of the fleet server that a box makes.
pub struct Desk {
    authority: Authority,
    broker_port: u16,
    pub answers: Mutex<Answers>,
}

#[derive(Default)]
pub struct Answers {
    /// So many requests are told to wait first.
    pub waits: u32,
    /// Life of the certificates on either side of now.
    pub life: Option<Duration>,
    pub enrolments: u32,
    pub renewals: u32,
    pub claim_code: Option<String>,
    /// Of the last request to be let in.
    pub hardware: Option<Hardware>,
    /// What is at `/bundle`, for whoever has the token.
    pub bundle: Vec<u8>,
}

const PAIRING: &str = "ABCD-EFGH";

async fn time() -> axum::Json<Time> {
    axum::Json(Time { unix_ms: now_ms() })
}

async fn enrolments(State(desk): State<Arc<Desk>>, body: axum::Json<Request>) -> axum::response::Response {
    let mut answers = desk.answers.lock().unwrap();
    answers.claim_code.clone_from(&body.claim_code);
    answers.hardware = Some(body.hardware.clone());
    let (box_id, certificate_pem) = desk.authority.sign(&body.csr_pem, answers.life);
    if answers.waits > 0 {
        answers.waits -= 1;
        let waiting = Waiting { box_id, code: PAIRING.to_owned(), retry_s: 1 };
        return (StatusCode::ACCEPTED, axum::Json(waiting)).into_response();
    }
    answers.enrolments += 1;
    let broker = enrol::Broker { host: "127.0.0.1".to_owned(), port: desk.broker_port };
    axum::Json(Enrolled { box_id, certificate_pem, ca_pem: desk.authority.pem.clone(), broker })
        .into_response()
}

async fn renewals(State(desk): State<Arc<Desk>>, body: axum::Json<Renewal>) -> axum::Json<Renewed> {
    let mut answers = desk.answers.lock().unwrap();
    answers.renewals += 1;
    let (_, certificate_pem) = desk.authority.sign(&body.csr_pem, None);
    let broker = enrol::Broker { host: "127.0.0.1".to_owned(), port: desk.broker_port };
    axum::Json(Renewed { certificate_pem, ca_pem: desk.authority.pem.clone(), broker })
}

/// In pieces, so that a test can cut it off anywhere.
async fn bundle(State(desk): State<Arc<Desk>>, headers: axum::http::HeaderMap) -> axum::response::Response {
    let text = |name: &str| headers.get(name).map(|value| value.to_str().unwrap().to_owned());
    if text("authorization").as_deref() != Some("Bearer secret") {
        return StatusCode::UNAUTHORIZED.into_response();
    }
    let whole = desk.answers.lock().unwrap().bundle.clone();
    let from = text("range").map(|range| {
        range.strip_prefix("bytes=").unwrap().strip_suffix('-').unwrap().parse::<usize>().unwrap()
    });
    let pieces: Vec<Vec<u8>> = whole[from.unwrap_or(0)..].chunks(64 << 10).map(<[u8]>::to_vec).collect();
    let body = tokio_stream::StreamExt::then(tokio_stream::iter(pieces), |piece| async {
        tokio::time::sleep(Duration::from_millis(20)).await;
        Ok::<_, std::io::Error>(piece)
    });
    let response = axum::response::Response::builder().header("etag", "\"one\"");
    let response = match from {
        Some(from) => response
            .status(206)
            .header("content-range", format!("bytes {from}-{}/{}", whole.len() - 1, whole.len())),
        None => response.header("content-length", whole.len()),
    };
    response.body(axum::body::Body::from_stream(body)).unwrap()
}

struct TlsListener {
    tcp: tokio::net::TcpListener,
    acceptor: TlsAcceptor,
}

impl axum::serve::Listener for TlsListener {
    type Io = tokio_rustls::server::TlsStream<TcpStream>;
    type Addr = std::net::SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        loop {
            let (stream, address) = self.tcp.accept().await.unwrap();
            // A client that does not like the certificate is no reason to stop.
            if let Ok(stream) = self.acceptor.accept(stream).await {
                return (stream, address);
            }
        }
    }

    fn local_addr(&self) -> std::io::Result<Self::Addr> {
        self.tcp.local_addr()
    }
}

fn client_config(authority: &str, certificate: &str, key: &str) -> Arc<rustls::ClientConfig> {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(authority.as_bytes()).unwrap()).unwrap();
    let chain = vec![CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap()];
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    Arc::new(
        rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_client_auth_cert(chain, key)
            .unwrap(),
    )
}

/// Everything around one box.
pub struct World {
    pub desk: Arc<Desk>,
    pub directory: tempfile::TempDir,
    port: u16,
    broker: Option<Child>,
    agent: Option<Child>,
    serving: JoinHandle<()>,
    pub fleet_url: String,
    /// Seconds that the box's clock is wrong by.
    pub skew_s: i64,
    /// More lines of `agent.toml`, top level first.
    pub extra: String,
}

impl World {
    pub async fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let authority = Authority::new();
        let path = |name: &str| directory.path().join(name);
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let (certificate, key) = authority.issue("broker", ExtendedKeyUsagePurpose::ServerAuth);
        std::fs::create_dir(path("broker")).unwrap();
        std::fs::write(path("broker/ca.pem"), &authority.pem).unwrap();
        std::fs::write(path("broker/broker.pem"), &certificate).unwrap();
        std::fs::write(path("broker/broker.key"), &key).unwrap();
        std::fs::write(
            path("broker/acl"),
            "pattern readwrite nodi/v1/boxes/%u/#\npattern read nodi/v1/fleet/#\nuser fleet\ntopic readwrite #\n",
        )
        .unwrap();
        std::fs::write(
            path("broker/mosquitto.conf"),
            format!(
                "listener {port} 127.0.0.1\ncafile {dir}/ca.pem\ncertfile {dir}/broker.pem\nkeyfile {dir}/broker.key\n\
                 require_certificate true\nuse_identity_as_username true\nuse_username_as_clientid true\n\
                 allow_anonymous false\nacl_file {dir}/acl\npersistence true\npersistence_location {dir}/\n\
                 autosave_on_changes true\nautosave_interval 1\n",
                dir = path("broker").display()
            ),
        )
        .unwrap();
        // Mosquitto gives up its rights when it is started as root.
        Process::new("chmod").arg("a+rx").arg(directory.path()).status().unwrap();
        Process::new("chmod").args(["-R", "a+rwX"]).arg(path("broker")).status().unwrap();

        let (certificate, key) = authority.issue("fleet server", ExtendedKeyUsagePurpose::ServerAuth);
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(
                vec![CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap()],
                PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap(),
            )
            .unwrap();
        let tcp = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let fleet_url = format!("https://{}", tcp.local_addr().unwrap());
        let provisioning = serde_json::json!({
            "fleet_url": fleet_url, "ca_pem": authority.pem, "claim_code": "CLAIM-1",
        });
        std::fs::write(path("provisioning.json"), provisioning.to_string()).unwrap();
        std::fs::write(path("boot_id"), "boot-1\n").unwrap();

        let desk = Arc::new(Desk { authority, broker_port: port, answers: Mutex::default() });
        let router = Router::new()
            .route("/api/v1/time", get(time))
            .route("/api/v1/enrolments", post(enrolments))
            .route("/bundle", get(bundle))
            .route("/api/v1/boxes/{id}/certificate", post(renewals))
            .with_state(desk.clone());
        let listener = TlsListener { tcp, acceptor: TlsAcceptor::from(Arc::new(config)) };
        let serving = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        let mut world = Self {
            desk,
            directory,
            port,
            broker: None,
            agent: None,
            serving,
            fleet_url,
            skew_s: 0,
            extra: String::new(),
        };
        world.broker_up().await;
        world
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub async fn broker_up(&mut self) {
        let log = std::fs::File::create(self.path("broker.log")).unwrap();
        let child = Process::new("mosquitto")
            .arg("-c")
            .arg(self.path("broker/mosquitto.conf"))
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        self.broker = Some(child);
        let port = self.port;
        until("broker listens", || std::net::TcpStream::connect(("127.0.0.1", port)).ok()).await;
    }

    /// An orderly end: what it has acknowledged is on its disk.
    pub fn broker_down(&mut self) {
        if let Some(mut child) = self.broker.take() {
            signal("TERM", &child);
            child.wait().unwrap();
        }
    }

    /// SIGKILL.
    pub fn broker_killed(&mut self) {
        if let Some(mut child) = self.broker.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    pub fn broker_forgets(&self) {
        let _ = std::fs::remove_file(self.path("broker/mosquitto.db"));
    }

    pub fn boot(&self, id: &str) {
        std::fs::write(self.path("boot_id"), format!("{id}\n")).unwrap();
    }

    /// A program for the agent to start: `body` in a shell, `$1` and so on are its words.
    pub fn script(&self, name: &str, body: &str) -> PathBuf {
        use std::os::unix::fs::PermissionsExt as _;
        let path = self.path(name);
        std::fs::write(&path, format!("#!/bin/sh\n{body}\n")).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        path
    }

    pub fn agent_up(&mut self) {
        let dir = self.directory.path().display();
        let config = format!(
            "provisioning = \"{dir}/provisioning.json\"\nstate = \"{dir}/state\"\npairing_file = \"{dir}/pairing\"\n\
             boot_id = \"{dir}/boot_id\"\nlog_level = \"debug\"\n{extra}\n\
             [clock]\nskew_s = {skew}\n[broker]\nbackoff_min_ms = 50\nbackoff_max_ms = 200\n\
             [settings]\ndirectory = \"{dir}/settings\"\nstream_keys = \"{dir}/stream-keys.pub\"\n\
             revocations = \"{dir}/revocations.json\"\n\
             [actions]\nidentify = [\"{dir}/identify\"]\nreboot = [\"{dir}/reboot\"]\n\
             restart_agent = [\"{dir}/restart_agent\"]\n",
            extra = self.extra,
            skew = self.skew_s,
        );
        std::fs::write(self.path("agent.toml"), config).unwrap();
        let log = std::fs::OpenOptions::new().create(true).append(true).open(self.path("agent.log")).unwrap();
        let child = Process::new(env!("CARGO_BIN_EXE_nodi-agent"))
            .arg("--config")
            .arg(self.path("agent.toml"))
            .env_remove("NOTIFY_SOCKET")
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        self.agent = Some(child);
    }

    /// SIGKILL.
    pub fn agent_killed(&mut self) {
        if let Some(mut child) = self.agent.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    /// SIGTERM. Whether it ended well.
    pub fn agent_stopped(&mut self) -> bool {
        let mut child = self.agent.take().unwrap();
        signal("TERM", &child);
        child.wait().unwrap().success()
    }

    pub fn agent_pid(&self) -> u32 {
        self.agent.as_ref().unwrap().id()
    }

    pub fn agent_log(&self) -> String {
        std::fs::read_to_string(self.path("agent.log")).unwrap()
    }

    /// The fleet server's place at the broker.
    pub fn fleet(&self) -> Fleet {
        let (certificate, key) = self.desk.authority.issue("fleet", ExtendedKeyUsagePurpose::ClientAuth);
        let tls = client_config(&self.desk.authority.pem, &certificate, &key);
        let options = Options {
            subscriptions: Topic::server_subscriptions().to_vec(),
            backoff: Backoff { min: Duration::from_millis(50), max: Duration::from_millis(200) },
            events: 512,
            ..Options::new("fleet")
        };
        let attempt = Attempt::new("127.0.0.1", self.port, tls);
        let (link, events, driver) = nodi_mqtt::open(options, Always(attempt));
        Fleet {
            link,
            events,
            _driving: tokio::spawn(driver.run()),
            seen: BTreeMap::new(),
            events_seen: Vec::new(),
            statuses: Vec::new(),
            telemetry: Vec::new(),
        }
    }
}

fn signal(name: &str, child: &Child) {
    assert!(
        Process::new("kill").arg(format!("-{name}")).arg(child.id().to_string()).status().unwrap().success()
    );
}

impl Drop for World {
    fn drop(&mut self) {
        self.agent_killed();
        self.broker_killed();
        self.serving.abort();
        if std::thread::panicking() && std::env::var_os("KEEP_LOGS").is_some() {
            eprintln!("{}", self.agent_log());
        }
    }
}

/// What the fleet server would see, and what it would say.
pub struct Fleet {
    pub link: Link,
    events: mpsc::Receiver<Event>,
    _driving: JoinHandle<()>,
    /// The newest of each topic; an emptied one is `None`.
    pub seen: BTreeMap<String, Option<Vec<u8>>>,
    pub events_seen: Vec<BoxEvent>,
    pub statuses: Vec<Status>,
    /// Times of measurements, as they came.
    pub telemetry: Vec<u64>,
}

impl Fleet {
    /// Takes what comes until `done`.
    pub async fn until<T>(&mut self, what: &str, mut done: impl FnMut(&Self) -> Option<T>) -> T {
        let waiting = async {
            loop {
                if let Some(done) = done(self) {
                    return done;
                }
                let Some(event) = self.events.recv().await else { panic!("the link ended") };
                self.take(event);
            }
        };
        match tokio::time::timeout(DEADLINE, waiting).await {
            Ok(done) => done,
            Err(_) => panic!("never: {what}; topics {:?}", self.seen.keys().collect::<Vec<_>>()),
        }
    }

    fn take(&mut self, event: Event) {
        let Event::Message(message) = event else { return };
        let Ok(Topic::Box(_, below)) = message.topic.parse() else { panic!("{}", message.topic) };
        if !message.payload.is_empty() {
            match below {
                BoxTopic::Event => self.events_seen.push(BoxEvent::from_json(&message.payload).unwrap()),
                BoxTopic::CommandStatus(_) => {
                    self.statuses.push(Status::from_json(&message.payload).unwrap())
                }
                BoxTopic::Telemetry => {
                    let telemetry =
                        nodi_protocol::fleet::telemetry::Telemetry::from_json(&message.payload).unwrap();
                    self.telemetry.push(telemetry.at_ms);
                }
                _ => {}
            }
        }
        let payload = (!message.payload.is_empty()).then(|| message.payload.to_vec());
        self.seen.insert(message.topic, payload);
    }

    pub fn last<P: Payload>(&self, id: &BoxId, below: BoxTopic) -> Option<P> {
        let payload = self.seen.get(&Topic::Box(id.clone(), below).to_string())?.as_ref()?;
        Some(P::from_json(payload).unwrap())
    }

    pub async fn presence(&mut self, wanted: impl Fn(&Presence) -> bool) -> (BoxId, Presence) {
        self.until("presence", |fleet| {
            fleet.seen.iter().find_map(|(topic, payload)| {
                let Ok(Topic::Box(id, BoxTopic::Presence)) = topic.parse() else { return None };
                let presence = Presence::from_json(payload.as_ref()?).unwrap();
                wanted(&presence).then_some((id, presence))
            })
        })
        .await
    }

    pub async fn publish(&self, message: Message) {
        let publishing = async {
            while let Err(error) = self.link.publish(message.clone()).await {
                assert!(error.is_transient(), "{error}");
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(DEADLINE, publishing).await.expect("published in time");
    }

    pub async fn order(&self, id: &BoxId, command: &Command) {
        let topic = Topic::Box(id.clone(), BoxTopic::Command(command.id)).to_string();
        self.publish(Message::retained(topic, command.to_json().unwrap())).await;
    }

    pub async fn clear(&self, id: &BoxId, command: CommandId) {
        let topic = Topic::Box(id.clone(), BoxTopic::Command(command)).to_string();
        self.publish(Message::retained(topic, Vec::new())).await;
    }

    pub async fn acknowledge(&self, id: &BoxId, journal: &str, through: u64) {
        let topic = Topic::Box(id.clone(), BoxTopic::EventAck).to_string();
        let ack = Ack { journal: journal.to_owned(), through };
        self.publish(Message::new(topic, ack.to_json().unwrap())).await;
    }

    /// The status that `command` ends with.
    pub async fn end(&mut self, id: &BoxId, command: CommandId) -> Status {
        self.until("final status", |fleet| {
            fleet
                .last::<Status>(id, BoxTopic::CommandStatus(command))
                .filter(|status| status.state.is_final())
        })
        .await
    }

    /// Waits until the status is emptied.
    pub async fn emptied(&mut self, id: &BoxId, command: CommandId) {
        let topic = Topic::Box(id.clone(), BoxTopic::CommandStatus(command)).to_string();
        self.until("status emptied", |fleet| {
            fleet.seen.get(&topic).is_some_and(Option::is_none).then_some(())
        })
        .await;
    }
}

pub fn command(action: Action) -> Command {
    use std::sync::atomic::{AtomicU64, Ordering};
    static NEXT: AtomicU64 = AtomicU64::new(1);
    let now_ms = now_ms();
    Command {
        id: CommandId::new(now_ms, u128::from(NEXT.fetch_add(1, Ordering::Relaxed))),
        issued_ms: now_ms,
        expires_ms: now_ms + 120_000,
        timeout_s: 60,
        action,
    }
}

pub fn lines(path: &Path) -> Vec<String> {
    std::fs::read_to_string(path).unwrap_or_default().lines().map(str::to_owned).collect()
}
