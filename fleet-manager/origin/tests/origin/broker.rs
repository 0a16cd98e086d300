//! A real Mosquitto on a free port, with certificates of the fleet.

use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use nodi_mqtt::{Always, Attempt, Link, Message, Options};
use nodi_protocol::fleet::topic::Topic;
use rcgen::ExtendedKeyUsagePurpose::ClientAuth;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::support::Ca;

const DEADLINE: Duration = Duration::from_secs(20);

pub struct Broker {
    dir: tempfile::TempDir,
    pub port: u16,
    child: Option<Child>,
}

impl Broker {
    pub fn start(ca: &Ca) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (certificate, key) = ca.server();
        let (origin, origin_key) = ca.issue("origin-1", ClientAuth);
        for (name, text) in [
            ("ca.pem", &ca.pem),
            ("broker.pem", &certificate),
            ("broker.key", &key),
            ("origin.pem", &origin),
            ("origin.key", &origin_key),
        ] {
            std::fs::write(dir.path().join(name), text).unwrap();
        }
        let mut broker = Self { dir, port: 0, child: None };
        broker.run();
        broker
    }

    /// On the port that it had, if it had one.
    pub fn run(&mut self) {
        let deadline = Instant::now() + DEADLINE;
        loop {
            if self.port == 0 || self.child.is_some() {
                self.stop();
                let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
                self.port = free.local_addr().unwrap().port();
            }
            let path = |name: &str| self.dir.path().join(name).display().to_string();
            let text = format!(
                "listener {} 127.0.0.1\nuser root\npersistence false\nlog_dest none\ncafile {}\ncertfile {}\n\
                 keyfile {}\nrequire_certificate true\nuse_identity_as_username true\n",
                self.port,
                path("ca.pem"),
                path("broker.pem"),
                path("broker.key"),
            );
            std::fs::write(self.dir.path().join("broker.conf"), text).unwrap();
            let child = Command::new("mosquitto")
                .args(["-c", &path("broker.conf")])
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .unwrap();
            let child = self.child.insert(child);
            loop {
                if TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).is_ok() {
                    return;
                }
                assert!(Instant::now() < deadline, "the broker does not start");
                if child.try_wait().unwrap().is_some() {
                    // Somebody else took the port meanwhile: another one.
                    break;
                }
                std::thread::sleep(Duration::from_millis(20));
            }
        }
    }

    pub fn stop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// The origin's configuration for it.
    pub fn section(&self) -> String {
        let at = |name: &str| self.dir.path().join(name).display().to_string();
        format!(
            "[fleet]\nhost = 'localhost'\nport = {}\nca = '{}'\ncertificate = '{}'\nprivate_key = '{}'\n",
            self.port,
            at("ca.pem"),
            at("origin.pem"),
            at("origin.key"),
        )
    }

    /// A client with a certificate of its own.
    pub async fn publisher(&self, ca: &Ca) -> Publisher {
        let (certificate, key) = ca.issue("fleet-server", ClientAuth);
        let mut roots = rustls::RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(ca.pem.as_bytes()).unwrap()).unwrap();
        let chain = vec![CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap()];
        let tls = rustls::ClientConfig::builder()
            .with_root_certificates(roots)
            .with_client_auth_cert(chain, PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap())
            .unwrap();
        let attempt = Attempt::new("localhost", self.port, Arc::new(tls));
        let (link, mut events, driver) = nodi_mqtt::open(Options::new("fleet-server"), Always(attempt));
        let driving = tokio::spawn(async move {
            let _ = driver.run().await;
        });
        let mut connection = link.connection();
        let reading = tokio::spawn(async move { while events.recv().await.is_some() {} });
        tokio::time::timeout(DEADLINE, connection.wait_for(Option::is_some))
            .await
            .expect("connects")
            .unwrap();
        Publisher { link, tasks: [driving, reading] }
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        self.stop();
    }
}

pub struct Publisher {
    link: Link,
    tasks: [tokio::task::JoinHandle<()>; 2],
}

impl Publisher {
    pub async fn revoke(&self, document: &str) {
        let message = Message::retained(Topic::Revocations.to_string(), document.to_owned());
        self.link.publish(message).await.unwrap();
    }
}

impl Drop for Publisher {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}
