//! What each connection to the broker starts with: the certificate in use, a new number, last will and birth.

use std::sync::Arc;
use std::time::Duration;

use nodi_mqtt::{Attempt, Backoff, BoxError, Message, Options, Prepare};
use nodi_protocol::BoxId;
use nodi_protocol::enrol::Enrolled;
use nodi_protocol::fleet::Payload;
use nodi_protocol::fleet::presence::{Hardware, Presence};
use nodi_protocol::fleet::topic::{BoxTopic, Topic};
use nodi_protocol::revocation;
use tokio::sync::watch;

use crate::clock::Clock;
use crate::config;
use crate::identity::Identity;
use crate::store::Store;
use crate::tls;

/// Prepares connections of one box.
pub(crate) struct Preparation {
    pub identity: Arc<Identity>,
    pub enrolled: watch::Receiver<Enrolled>,
    pub store: Store,
    pub clock: Clock,
    pub boot_id: String,
    /// Of the software on the box.
    pub version: String,
    pub hardware: Hardware,
    /// What the newest connection said, to be taken back when the process stops.
    pub presence: watch::Sender<Option<Presence>>,
    /// Made from the certificate in use.
    pub tls: Option<Arc<rustls::ClientConfig>>,
}

impl Preparation {
    fn client_config(
        &mut self,
        enrolled: &Enrolled,
        changed: bool,
    ) -> Result<Arc<rustls::ClientConfig>, BoxError> {
        if let Some(config) = &self.tls
            && !changed
        {
            return Ok(config.clone());
        }
        let roots = tls::roots(Some(&enrolled.ca_pem))?;
        let chain_and_key = self.identity.chain_and_key(enrolled)?;
        let config = Arc::new(tls::client(roots, Some(chain_and_key), &self.clock)?);
        self.tls = Some(config.clone());
        Ok(config)
    }
}

impl Prepare for Preparation {
    async fn prepare(&mut self) -> Result<Attempt, BoxError> {
        let changed = self.enrolled.has_changed().unwrap_or(false);
        let enrolled = self.enrolled.borrow_and_update().clone();
        let tls = self.client_config(&enrolled, changed)?;
        let now_ms = self.clock.now_ms();
        let presence = Presence {
            online: true,
            boot_id: self.boot_id.clone(),
            // On disk before it is used: it must never come twice.
            connection: self.store.next_connection(now_ms).await?,
            version: self.version.clone(),
            at_ms: now_ms,
            hardware: Some(self.hardware.clone()),
        };
        self.presence.send_replace(Some(presence.clone()));
        Ok(Attempt {
            will: Some(message(&self.identity.box_id, &offline(&presence, now_ms))?),
            birth: Some(message(&self.identity.box_id, &presence)?),
            ..Attempt::new(enrolled.broker.host, enrolled.broker.port, tls)
        })
    }
}

/// The same presence, gone.
pub(crate) fn offline(presence: &Presence, at_ms: u64) -> Presence {
    Presence { online: false, at_ms, hardware: None, ..presence.clone() }
}

pub(crate) fn message(box_id: &BoxId, presence: &Presence) -> Result<Message, nodi_protocol::fleet::Error> {
    let topic = Topic::Box(box_id.clone(), BoxTopic::Presence);
    Ok(Message::retained(topic.to_string(), presence.to_json()?))
}

/// The link's options for this box.
pub(crate) fn options(box_id: &BoxId, broker: &config::Broker) -> Options {
    Options {
        subscriptions: Topic::box_subscriptions(box_id).to_vec(),
        keep_alive: Duration::from_secs(broker.keep_alive_s),
        session_expiry: Duration::from_secs(broker.session_expiry_s),
        ack_timeout: Duration::from_secs(broker.ack_timeout_s),
        backoff: Backoff {
            min: Duration::from_millis(broker.backoff_min_ms),
            max: Duration::from_millis(broker.backoff_max_ms),
        },
        // The longest document that comes; what a box says itself stays below the contract's limit.
        max_payload: revocation::MAX_LEN,
        ..Options::new(box_id.as_str())
    }
}
