//! What a link is told before it starts, and what it asks before each attempt.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

/// Bytes that a packet may have beside its payload: header, topic and properties.
pub(crate) const PACKET_OVERHEAD: usize = 1 << 10;

/// Of one link, for all its connections. The defaults are those of a box.
#[derive(Debug, Clone)]
pub struct Options {
    /// The broker may replace it with the certificate's common name.
    pub client_id: String,
    /// Filters, all with QoS 1.
    pub subscriptions: Vec<String>,
    /// A broker closes a connection on which nothing came for 1.5 times as long, and then sends the last will: 8 s
    /// shows a lost box after 12 s at the latest. The link closes one on which no answer to a ping came for as long.
    pub keep_alive: Duration,
    /// How long the broker keeps session and queued messages after a disconnection.
    pub session_expiry: Duration,
    /// For name, TCP, TLS and CONNACK together.
    pub connect_timeout: Duration,
    /// A connection on which a publish or a subscription is not acknowledged for so long is closed: the broker is stuck.
    pub ack_timeout: Duration,
    pub backoff: Backoff,
    /// Largest payload that is sent or taken, in bytes.
    pub max_payload: usize,
    /// Publishes that may wait for their acknowledgement at the same time.
    pub in_flight: u16,
    /// Messages that the broker may send before the owner took the first of them.
    pub receive_maximum: u16,
    /// Events that wait for the owner.
    pub events: usize,
}

impl Options {
    #[must_use]
    pub fn new(client_id: impl Into<String>) -> Self {
        Self {
            client_id: client_id.into(),
            subscriptions: Vec::new(),
            keep_alive: Duration::from_secs(8),
            session_expiry: Duration::from_secs(24 * 3600),
            connect_timeout: Duration::from_secs(10),
            ack_timeout: Duration::from_secs(20),
            backoff: Backoff::default(),
            max_payload: 64 << 10,
            in_flight: 16,
            receive_maximum: 16,
            events: 8,
        }
    }
}

/// Pauses between attempts: exponential, and drawn at random so that a thousand boxes do not come back in one moment.
#[derive(Debug, Clone, Copy)]
pub struct Backoff {
    pub min: Duration,
    pub max: Duration,
}

impl Default for Backoff {
    fn default() -> Self {
        Self { min: Duration::from_millis(500), max: Duration::from_secs(30) }
    }
}

impl Backoff {
    /// The pause before attempt `failures` + 1: between a tenth of the bound and the bound.
    pub(crate) fn pause(self, failures: u32) -> Duration {
        let bound = self.min.saturating_mul(1 << failures.min(16)).min(self.max);
        let floor = bound / 10;
        // Without random numbers all pauses are the longest ones, which is safe.
        let share = getrandom::u32().map_or(1.0, |random| f64::from(random) / f64::from(u32::MAX));
        floor + (bound - floor).mul_f64(share)
    }
}

/// What to publish, with QoS 1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    pub topic: String,
    pub payload: Bytes,
    pub retain: bool,
}

impl Message {
    #[must_use]
    pub fn new(topic: impl Into<String>, payload: impl Into<Bytes>) -> Self {
        Self { topic: topic.into(), payload: payload.into(), retain: false }
    }

    /// The broker keeps it as the topic's state; an empty payload clears that.
    #[must_use]
    pub fn retained(topic: impl Into<String>, payload: impl Into<Bytes>) -> Self {
        Self { topic: topic.into(), payload: payload.into(), retain: true }
    }
}

/// One attempt to connect.
#[derive(Debug, Clone)]
pub struct Attempt {
    /// The name that the broker's certificate has to have.
    pub host: String,
    pub port: u16,
    /// With the client's certificate, and a clock to judge the broker's by. Links may share one. `None`: no TLS,
    /// for a broker on the loopback interface.
    pub tls: Option<Arc<rustls::ClientConfig>>,
    /// What the broker publishes when the connection ends without a goodbye.
    pub will: Option<Message>,
    /// What is published first on the connection.
    pub birth: Option<Message>,
}

impl Attempt {
    #[must_use]
    pub fn new(host: impl Into<String>, port: u16, tls: Arc<rustls::ClientConfig>) -> Self {
        Self { host: host.into(), port, tls: Some(tls), will: None, birth: None }
    }
}

/// An error of the owner's.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Asked before each attempt, so that a renewed certificate is used, and so that will and birth can
/// name the connection that they belong to.
pub trait Prepare: Send + 'static {
    /// An error counts as a failed attempt.
    fn prepare(&mut self) -> impl Future<Output = Result<Attempt, BoxError>> + Send;
}

/// The same for every attempt.
#[derive(Debug, Clone)]
pub struct Always(pub Attempt);

impl Prepare for Always {
    async fn prepare(&mut self) -> Result<Attempt, BoxError> {
        Ok(self.0.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_up_to_their_bound_and_never_vanish() {
        let backoff = Backoff { min: Duration::from_millis(100), max: Duration::from_secs(3) };
        for failures in [0, 1, 3, 10, 40, u32::MAX] {
            let bound = Duration::from_millis(100).saturating_mul(1 << failures.min(16)).min(backoff.max);
            for _ in 0..50 {
                let pause = backoff.pause(failures);
                assert!(pause <= bound && pause >= bound / 10, "{failures}: {pause:?}");
            }
        }
    }
}
