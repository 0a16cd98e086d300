//! The connection to the broker: what boxes say comes in, what they are told goes out.
//!
//! What goes out is state, not a queue: whatever changed is marked, and what is then sent is what is true at that
//! moment. A mark that is lost with the connection is no loss, since with each connection everything is sent anew.

mod batch;
mod cut;
mod events;
mod incoming;
mod outgoing;
mod session;

use std::path::PathBuf;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use nodi_mqtt::Link;
use nodi_protocol::enrol::Broker;
use nodi_protocol::{BoxId, CommandId};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use serde::Deserialize;

use crate::state::App;
use crate::tasks::Tasks;
use cut::Cuts;
use outgoing::{Key, Outgoing};

pub use cut::revocation_list;

/// This area's section of the configuration.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// The broker as this server reaches it; its certificate has to have this name.
    pub host: String,
    pub port: u16,
    /// The broker as boxes reach it, where that is another name or port.
    pub box_host: Option<String>,
    pub box_port: Option<u16>,
    /// Files that the broker reads its revocation list from; replaced whenever a box is revoked.
    pub revocation_lists: Vec<PathBuf>,
    /// Run without a shell after these were replaced, to make the broker read them, such as
    /// `["systemctl", "reload", "mosquitto"]`.
    pub reload: Vec<String>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            host: "localhost".to_owned(),
            port: 8883,
            box_host: None,
            box_port: None,
            revocation_lists: Vec::new(),
            reload: Vec::new(),
        }
    }
}

impl Config {
    /// # Errors
    /// The key and what is wrong with it.
    pub fn validate(&self) -> Result<(), (&'static str, String)> {
        for (key, host) in [("broker.host", Some(&self.host)), ("broker.box_host", self.box_host.as_ref())] {
            if let Some(host) = host
                && rustls::pki_types::ServerName::try_from(host.as_str()).is_err()
            {
                return Err((key, format!("{host:?} is not a DNS name or an IP address")));
            }
        }
        Ok(())
    }
}

/// What is counted.
#[derive(Default)]
struct Metrics {
    messages: Family<[(&'static str, &'static str); 1], Counter>,
    refused: Counter,
    connected: Gauge,
}

/// This area's part of [`App`].
pub struct State {
    broker: Broker,
    outgoing: Outgoing,
    cuts: Cuts,
    seen: batch::Seen,
    metrics: Metrics,
    /// Set when the link is opened.
    link: OnceLock<Link>,
    /// What boxes say can be heard: their silence counts.
    listening: AtomicBool,
}

impl State {
    #[must_use]
    pub fn new(config: &crate::Config, metrics: &crate::metrics::Metrics) -> Self {
        let broker = &config.broker;
        let state = Self {
            broker: Broker {
                host: broker.box_host.clone().unwrap_or_else(|| broker.host.clone()),
                port: broker.box_port.unwrap_or(broker.port),
            },
            outgoing: Outgoing::default(),
            cuts: Cuts::default(),
            seen: batch::Seen::default(),
            metrics: Metrics::default(),
            link: OnceLock::new(),
            listening: AtomicBool::new(false),
        };
        metrics.register(|registry| {
            let ours = &state.metrics;
            registry.register("nodi_fleet_mqtt_messages", "Messages from boxes", ours.messages.clone());
            registry.register(
                "nodi_fleet_mqtt_refused",
                "Messages that could not be read or were not for a box of ours",
                ours.refused.clone(),
            );
            registry.register(
                "nodi_fleet_mqtt_connected",
                "1 while there is a connection to the broker",
                ours.connected.clone(),
            );
        });
        state
    }

    /// Where boxes find the broker.
    #[must_use]
    pub fn broker_for_boxes(&self) -> Broker {
        self.broker.clone()
    }

    /// Whether the broker can be heard just now.
    #[must_use]
    pub fn is_connected(&self) -> bool {
        self.link.get().is_some_and(Link::is_connected)
    }

    /// Whether the silence of a box means something.
    #[must_use]
    pub(crate) fn is_listening(&self) -> bool {
        self.listening.load(Ordering::Acquire)
    }

    /// What a box shall be like has changed.
    pub fn desired_changed(&self, id: BoxId) {
        self.outgoing.mark(Key::Desired(id));
    }

    /// A command was given, or is over.
    pub fn command_changed(&self, box_id: BoxId, id: CommandId) {
        self.outgoing.mark(Key::Command(box_id, id));
    }

    /// A box has a new order, or its order is over.
    pub fn update_changed(&self, box_id: BoxId) {
        self.outgoing.mark(Key::Update(box_id));
    }

    /// What was last seen of a box has to be kept over a restart.
    pub(crate) fn seen_changed(&self, id: BoxId) {
        self.seen.mark(id);
    }

    /// A box was revoked: it has to go, and must not come back.
    pub(crate) fn cut(&self, id: BoxId) {
        self.outgoing.mark(Key::Desired(id.clone()));
        self.cuts.add(id);
    }

    /// A box was deleted: nothing of it stays at the broker.
    pub(crate) fn forget(&self, id: &BoxId) {
        self.outgoing.forget(id);
    }
}

/// Starts its background tasks.
pub fn start(app: &App, tasks: &mut Tasks) {
    session::start(app, tasks);
    tasks.spawn("revoked boxes", cut::run(app.clone()));
}
