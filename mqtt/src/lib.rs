//! One MQTT 5 connection as every Nodi process that has one keeps it: mutual TLS, a session that is kept,
//! subscriptions that are made again, and publishes whose acknowledgement can be awaited. Knows no topic.
//!
//! ```no_run
//! # async fn example(tls: std::sync::Arc<rustls::ClientConfig>) {
//! use nodi_mqtt::{Attempt, Event, Message, Options};
//!
//! let mut options = Options::new("box-1");
//! options.subscriptions = vec!["a/+".to_owned()];
//! let attempt = Attempt { will: Some(Message::retained("a/presence", "offline")), ..Attempt::new("broker", 8883, tls) };
//! let (link, mut events, driver) = nodi_mqtt::open(options, nodi_mqtt::Always(attempt));
//! let driving = tokio::spawn(driver.run());
//! while let Some(event) = events.recv().await {
//!     match event {
//!         Event::Connected { .. } => match link.publish(Message::new("a/b", "c")).await {
//!             Ok(()) => { /* the broker has it */ }
//!             Err(error) => { /* it may have it or not: say it again after the next Connected */ }
//!         },
//!         Event::Disconnected(why) => log::warn!("{why}"),
//!         Event::Message(message) => log::info!("{}", message.topic),
//!         Event::Refused { what, reason } => log::error!("{what}: {reason}"),
//!     }
//! }
//! # }
//! ```
//!
//! What the link promises
//! - A publish is `Ok` only after the broker's PUBACK with a reason code of success.
//! - Nothing is queued while there is no connection: a publish fails at once, and one that was under way fails with
//!   the connection. What has to go out is the owner's to keep, since it must survive the process anyway.
//! - Every subscription is made anew on every connection, whether or not the broker kept the session, so that
//!   retained messages always come again and a broker that lost its sessions is no special case.
//! - The owner may take as long as it likes with an event, and may await a publish meanwhile. What it does not take
//!   stays with the broker, which sends no more than `receive_maximum` messages that were not taken.

mod connection;
mod driver;
mod link;
mod options;
mod session;
mod why;

pub use driver::{Driver, open};
pub use link::{Acknowledgement, Link, NotSent};
pub use options::{Always, Attempt, Backoff, BoxError, Message, Options, Prepare};
pub use why::{Reason, Why};

/// What happens on the link, in order.
#[derive(Debug)]
pub enum Event {
    /// The broker accepted the connection; the subscriptions are on their way.
    Connected { session_present: bool },
    /// The connection ended, or an attempt to make one failed. The link goes on trying by itself.
    Disconnected(Why),
    /// To be taken as possibly repeated: QoS 1.
    Message(Received),
    /// The broker refuses a subscription (`what` is the filter) or the birth message (its topic). The
    /// connection stays.
    Refused { what: String, reason: Reason },
}

/// A message from the broker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Received {
    pub topic: String,
    pub payload: bytes::Bytes,
    /// It was retained by the broker, and sent because of a subscription.
    pub retained: bool,
}
