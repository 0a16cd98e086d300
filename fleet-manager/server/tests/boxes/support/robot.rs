//! A scripted box: its identity, and its connection to the broker.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use nodi_mqtt::{Attempt, Backoff, BoxError, Event, Link, Message, Options, Prepare, Received};
use nodi_protocol::fleet::Payload;
use nodi_protocol::fleet::presence::Presence;
use nodi_protocol::fleet::topic::{BoxTopic, Topic};
use nodi_protocol::{BoxId, CommandId, SessionId};
use rcgen::{CertificateParams, KeyPair};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};
use serde_json::{Value, json};
use tokio::sync::watch;

use super::wait;

/// Of the software of all robots.
pub(crate) const VERSION: &str = "1.2.3";

/// Key and certificate.
#[derive(Clone)]
pub(crate) struct Identity {
    pub(crate) key: Arc<KeyPair>,
    pub(crate) certificate_pem: String,
    pub(crate) ca_pem: String,
    pub(crate) box_id: String,
}

impl Identity {
    pub(crate) fn new() -> Self {
        Self {
            key: Arc::new(KeyPair::generate().unwrap()),
            certificate_pem: String::new(),
            ca_pem: String::new(),
            box_id: String::new(),
        }
    }

    pub(crate) fn csr(&self) -> String {
        CertificateParams::default().serialize_request(&*self.key).unwrap().pem().unwrap()
    }

    /// Body of an enrolment.
    pub(crate) fn request(&self, claim_code: Option<&str>) -> Value {
        json!({
            "csr_pem": self.csr(),
            "claim_code": claim_code,
            "version": "1.2.3",
            "hardware": { "model": "Test box", "architecture": "x86_64", "compatible": super::BOARD },
        })
    }

    /// What the answer to an enrolment brings.
    pub(crate) fn take(&mut self, answer: &Value) {
        self.certificate_pem = answer["certificate_pem"].as_str().unwrap().to_owned();
        self.ca_pem = answer["ca_pem"].as_str().unwrap().to_owned();
        if let Some(id) = answer["box_id"].as_str() {
            self.box_id = id.to_owned();
        }
    }

    pub(crate) fn id(&self) -> BoxId {
        self.box_id.parse().unwrap()
    }

    pub(crate) fn tls(&self) -> Arc<ClientConfig> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(self.ca_pem.as_bytes()).unwrap()).unwrap();
        let certificate = CertificateDer::from_pem_slice(self.certificate_pem.as_bytes()).unwrap();
        let key = PrivateKeyDer::from_pem_slice(self.key.serialize_pem().as_bytes()).unwrap();
        let builder = ClientConfig::builder().with_root_certificates(roots);
        Arc::new(builder.with_client_auth_cert(vec![certificate], key).unwrap())
    }
}

/// Connections of all boxes of this test: each box sees its own rise.
static CONNECTION: AtomicU64 = AtomicU64::new(1);

struct Connecting {
    id: BoxId,
    tls: Arc<ClientConfig>,
    port: u16,
}

impl Prepare for Connecting {
    async fn prepare(&mut self) -> Result<Attempt, BoxError> {
        let connection = CONNECTION.fetch_add(1, Ordering::Relaxed);
        let topic = Topic::Box(self.id.clone(), BoxTopic::Presence).to_string();
        Ok(Attempt {
            will: Some(Message::retained(topic.clone(), presence(false, connection).to_json()?)),
            birth: Some(Message::retained(topic, presence(true, connection).to_json()?)),
            ..Attempt::new("localhost", self.port, self.tls.clone())
        })
    }
}

pub(crate) fn presence(online: bool, connection: u64) -> Presence {
    Presence {
        online,
        boot_id: "boot-1".into(),
        connection,
        version: VERSION.into(),
        at_ms: 1,
        hardware: None,
    }
}

/// A connected box.
pub(crate) struct Robot {
    pub(crate) identity: Identity,
    pub(crate) link: Link,
    /// Everything that came, in order.
    pub(crate) inbox: Arc<Mutex<Vec<Received>>>,
    /// What the topic held last.
    pub(crate) newest: Arc<Mutex<BTreeMap<String, Vec<u8>>>>,
    /// Connections so far.
    pub(crate) connections: watch::Receiver<u64>,
    /// Why the last connection ended or was not made.
    pub(crate) ended: Arc<Mutex<Option<String>>>,
    driving: tokio::task::JoinHandle<()>,
    taking: tokio::task::JoinHandle<()>,
}

impl Robot {
    pub(crate) fn connect(identity: Identity, port: u16) -> Self {
        let subscriptions = Topic::box_subscriptions(&identity.id()).to_vec();
        let client_id = identity.box_id.clone();
        Self::connect_as(identity, port, &client_id, subscriptions)
    }

    pub(crate) fn connect_as(
        identity: Identity,
        port: u16,
        client_id: &str,
        subscriptions: Vec<String>,
    ) -> Self {
        let mut options = Options::new(client_id);
        options.subscriptions = subscriptions;
        options.backoff = Backoff { min: Duration::from_millis(50), max: Duration::from_millis(300) };
        options.max_payload = 1 << 20;
        let connecting = Connecting { id: identity.id(), tls: identity.tls(), port };
        let (link, mut events, driver) = nodi_mqtt::open(options, connecting);
        let inbox = Arc::new(Mutex::new(Vec::new()));
        let newest = Arc::new(Mutex::new(BTreeMap::new()));
        let ended = Arc::new(Mutex::new(None));
        let (count, connections) = watch::channel(0);
        let (all, last, why) = (inbox.clone(), newest.clone(), ended.clone());
        let taking = tokio::spawn(async move {
            while let Some(event) = events.recv().await {
                match event {
                    Event::Message(message) => {
                        last.lock().unwrap().insert(message.topic.clone(), message.payload.to_vec());
                        all.lock().unwrap().push(message);
                    }
                    Event::Connected { .. } => count.send_modify(|count| *count += 1),
                    Event::Disconnected(reason) => *why.lock().unwrap() = Some(reason.to_string()),
                    Event::Refused { .. } => {}
                }
            }
        });
        let driving = tokio::spawn(driver.run());
        Self { identity, link, inbox, newest, connections, ended, driving, taking }
    }

    pub(crate) fn id(&self) -> &str {
        &self.identity.box_id
    }

    pub(crate) fn topic(&self, topic: BoxTopic) -> String {
        Topic::Box(self.identity.id(), topic).to_string()
    }

    /// Says something until the broker has it.
    pub(crate) async fn say(&self, topic: BoxTopic, retain: bool, payload: &impl Payload) {
        self.say_bytes(&self.topic(topic), retain, payload.to_json().unwrap()).await;
    }

    pub(crate) async fn say_bytes(&self, topic: &str, retain: bool, payload: Vec<u8>) {
        wait(&format!("the broker takes {topic}"), async || {
            let mut message = Message::new(topic, payload.clone());
            message.retain = retain;
            self.link.publish(message).await.ok()
        })
        .await;
    }

    /// What was retained or sent last on a topic.
    pub(crate) fn holds(&self, topic: &str) -> Option<Vec<u8>> {
        self.newest.lock().unwrap().get(topic).cloned()
    }

    /// Waits for a message that `accept` makes something of.
    pub(crate) async fn hears<T>(&self, topic: BoxTopic, accept: impl Fn(&[u8]) -> Option<T>) -> T {
        let topic = self.topic(topic);
        wait(&format!("a message on {topic}"), async || self.holds(&topic).and_then(|bytes| accept(&bytes)))
            .await
    }

    pub(crate) async fn hears_command(&self, id: CommandId) -> nodi_protocol::fleet::command::Command {
        self.hears(BoxTopic::Command(id), |bytes| Payload::from_json(bytes).ok()).await
    }

    /// Goes without a word: its last will says that it is gone.
    pub(crate) fn vanish(&self) {
        self.driving.abort();
        self.taking.abort();
    }
}

impl Drop for Robot {
    fn drop(&mut self) {
        self.vanish();
    }
}

pub(crate) fn command_id(view: &Value) -> CommandId {
    view["id"].as_str().unwrap().parse().unwrap()
}

pub(crate) fn session_id(n: u64) -> SessionId {
    SessionId::new(1_800_000_000_000 + n, u128::from(n))
}
