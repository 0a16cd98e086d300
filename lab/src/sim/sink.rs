//! Takes everything that boxes say and throws it away: what a broker costs when nobody does anything with it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use nodi_mqtt::{Always, Attempt, Event};
use nodi_protocol::fleet::topic::Topic;

use super::enrol::Identity;

/// As many as the fleet server lets the broker send ahead.
const RECEIVE_MAXIMUM: u16 = 1_000;

pub(super) async fn run(identity: Identity, taken: Arc<AtomicU64>) {
    let mut options = nodi_mqtt::Options::new(identity.id.to_string());
    options.subscriptions = Topic::server_subscriptions().to_vec();
    options.receive_maximum = RECEIVE_MAXIMUM;
    options.events = usize::from(RECEIVE_MAXIMUM);
    let attempt = Attempt::new(identity.host, identity.port, identity.tls);
    // The link stays open as long as there is a handle.
    let (_link, mut events, driver) = nodi_mqtt::open(options, Always(attempt));
    let take = async {
        while let Some(event) = events.recv().await {
            match event {
                Event::Message(_) => {
                    taken.fetch_add(1, Ordering::Relaxed);
                }
                Event::Connected { .. } => log::debug!("the subscriber is connected"),
                Event::Disconnected(why) => log::warn!("the subscriber: {why}"),
                Event::Refused { what, reason } => log::error!("the subscriber: {what}: {reason}"),
            }
        }
    };
    tokio::join!(driver.run(), take);
}
