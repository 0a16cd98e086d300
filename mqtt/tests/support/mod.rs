//! A real Mosquitto with mutual TLS and its own authority, in a directory of its own.

use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use nodi_mqtt::{Attempt, Backoff, Driver, Event, Link, Options, Prepare};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose,
};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

/// Longest time for anything: a test that waits longer has failed.
pub(crate) const DEADLINE: Duration = Duration::from_secs(20);

pub(crate) struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, "test authority");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        Self { issuer: CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap() }
    }

    pub(crate) fn pem(&self) -> String {
        self.issuer.pem()
    }

    /// Certificate and key.
    pub(crate) fn issue(&self, name: &str, usage: ExtendedKeyUsagePurpose) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let mut params =
            CertificateParams::new(vec!["127.0.0.1".to_owned(), "localhost".to_owned()]).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.extended_key_usages = vec![usage];
        (params.signed_by(&key, &self.issuer).unwrap().pem(), key.serialize_pem())
    }

    /// For a client with this common name.
    pub(crate) fn client(&self, name: &str) -> Arc<rustls::ClientConfig> {
        let (certificate, key) = self.issue(name, ExtendedKeyUsagePurpose::ClientAuth);
        let mut roots = rustls::RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(self.pem().as_bytes()).unwrap()).unwrap();
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
}

pub(crate) struct Broker {
    pub(crate) authority: Authority,
    pub(crate) port: u16,
    directory: tempfile::TempDir,
    child: Option<Child>,
}

impl Broker {
    pub(crate) fn start() -> Self {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let directory = tempfile::tempdir().unwrap();
        let authority = Authority::new();
        let (certificate, key) = authority.issue("broker", ExtendedKeyUsagePurpose::ServerAuth);
        let path = |name: &str| directory.path().join(name);
        std::fs::write(path("ca.pem"), authority.pem()).unwrap();
        std::fs::write(path("broker.pem"), certificate).unwrap();
        std::fs::write(path("broker.key"), key).unwrap();
        // One box may only touch what is below its name; `watcher` may read everything.
        std::fs::write(path("acl"), "pattern readwrite boxes/%u/#\nuser watcher\ntopic readwrite #\n")
            .unwrap();
        std::fs::write(
            path("mosquitto.conf"),
            format!(
                "listener {port} 127.0.0.1\ncafile {dir}/ca.pem\ncertfile {dir}/broker.pem\nkeyfile {dir}/broker.key\n\
                 require_certificate true\nuse_identity_as_username true\nuse_username_as_clientid true\n\
                 allow_anonymous false\nacl_file {dir}/acl\npersistence true\npersistence_location {dir}/\n\
                 autosave_on_changes true\nautosave_interval 1\nmessage_size_limit 66560\n",
                dir = directory.path().display()
            ),
        )
        .unwrap();
        // Mosquitto gives up its rights when it is started as root.
        Command::new("chmod").args(["-R", "a+rwX"]).arg(directory.path()).status().unwrap();
        let mut broker = Self { authority, port, directory, child: None };
        broker.up();
        broker
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Starts it, or starts it again.
    pub(crate) fn up(&mut self) {
        let log = std::fs::File::create(self.path("log")).unwrap();
        let child = Command::new("mosquitto")
            .arg("-c")
            .arg(self.path("mosquitto.conf"))
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        self.child = Some(child);
        let begun = Instant::now();
        while std::net::TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            assert!(begun.elapsed() < DEADLINE, "{}", std::fs::read_to_string(self.path("log")).unwrap());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// SIGKILL.
    pub(crate) fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    /// SIGTERM, and until it has written everything.
    pub(crate) fn stop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let pid = child.id().to_string();
            assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
            child.wait().unwrap();
        }
    }

    /// It has lost every session and every retained message.
    pub(crate) fn forget(&self) {
        let _ = std::fs::remove_file(self.path("mosquitto.db"));
    }

    /// It holds every packet back, as a path does that swallows them.
    pub(crate) fn freeze(&self, frozen: bool) {
        let pid = self.child.as_ref().unwrap().id().to_string();
        let signal = if frozen { "-STOP" } else { "-CONT" };
        assert!(Command::new("kill").args([signal, &pid]).status().unwrap().success());
    }

    pub(crate) fn attempt(&self, name: &str) -> Attempt {
        Attempt::new("127.0.0.1", self.port, self.authority.client(name))
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A link whose driver runs.
pub(crate) struct Client {
    pub(crate) link: Link,
    pub(crate) events: mpsc::Receiver<Event>,
    pub(crate) driving: JoinHandle<()>,
}

impl Client {
    pub(crate) fn open(options: Options, prepare: impl Prepare) -> Self {
        let (link, events, driver): (_, _, Driver<_>) = nodi_mqtt::open(options, prepare);
        Self { link, events, driving: tokio::spawn(driver.run()) }
    }

    pub(crate) async fn next(&mut self) -> Event {
        tokio::time::timeout(DEADLINE, self.events.recv()).await.expect("an event in time").expect("a driver")
    }

    /// Skips what comes before the next connection.
    pub(crate) async fn connected(&mut self) -> bool {
        loop {
            if let Event::Connected { session_present } = self.next().await {
                // The number is set when birth and subscriptions are on their way.
                let mut number = self.link.connection();
                tokio::time::timeout(DEADLINE, number.wait_for(Option::is_some)).await.unwrap().unwrap();
                return session_present;
            }
        }
    }

    /// The next message on `topic`, as text.
    pub(crate) async fn message(&mut self, topic: &str) -> String {
        loop {
            if let Event::Message(message) = self.next().await
                && message.topic == topic
            {
                return String::from_utf8(message.payload.to_vec()).unwrap();
            }
        }
    }
}

/// Quick to come back.
pub(crate) fn options(name: &str, subscriptions: &[&str]) -> Options {
    Options {
        subscriptions: subscriptions.iter().map(|&filter| filter.to_owned()).collect(),
        keep_alive: Duration::from_secs(2),
        connect_timeout: Duration::from_secs(5),
        ack_timeout: Duration::from_secs(3),
        backoff: Backoff { min: Duration::from_millis(50), max: Duration::from_millis(200) },
        ..Options::new(name)
    }
}
