//! Telemetry: measured in its rhythm and sent; what cannot be sent waits on the disk and goes later, newest first,
//! one at a time, so that it never stands in the way of what is measured now.

use std::path::PathBuf;
use std::time::Duration;

use nodi_daemon::watchdog::Beat;
use nodi_mqtt::{Link, Message, NotSent};
use nodi_protocol::BoxId;
use nodi_protocol::enrol::Enrolled;
use nodi_protocol::fleet::Payload;
use nodi_protocol::fleet::desired::Reported;
use nodi_protocol::fleet::telemetry::{Outbox, Telemetry};
use nodi_protocol::fleet::topic::{BoxTopic, Topic};
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

use super::keep::{connected, disconnected};
use crate::clock::Clock;
use crate::config;
use crate::identity::Validity;
use crate::seams::Measure;
use crate::store::{Bounds, Store};

/// Seconds between two measurements where the fleet says nothing else.
const EVERY_S: u32 = 10;

/// Measures and sends, and keeps what cannot be sent.
pub(crate) struct Measurements {
    pub link: Link,
    pub box_id: BoxId,
    pub store: Store,
    pub clock: Clock,
    pub measure: Box<dyn Measure>,
    pub reported: watch::Receiver<Reported>,
    pub enrolled: watch::Receiver<Enrolled>,
    pub outbox: config::Outbox,
    /// On the file system whose free space counts.
    pub state: PathBuf,
    pub beat: Beat,
}

impl Measurements {
    /// Runs for ever. `kept` is notified when there is something for [`send_waiting`].
    pub(crate) async fn run(mut self, kept: &Notify) {
        let mut next = Instant::now();
        loop {
            self.beat.beat();
            tokio::select! {
                () = tokio::time::sleep_until(next) => {}
                () = self.beat.turn() => continue,
                // Another rhythm counts at once.
                Ok(()) = self.reported.changed() => {}
            }
            let every = self.every();
            if Instant::now() >= next {
                self.once(kept).await;
                // After a stall the rhythm goes on; what was missed is not made up for.
                next = (next + every).max(Instant::now());
            } else {
                next = next.min(Instant::now() + every);
            }
        }
    }

    fn every(&mut self) -> Duration {
        let seconds = self.reported.borrow_and_update().settings.telemetry_s.unwrap_or(EVERY_S);
        Duration::from_secs(u64::from(seconds.clamp(1, 300)))
    }

    async fn once(&mut self, kept: &Notify) {
        let mut telemetry = self.measure.measure().await;
        // What follows may wait for a broker that is slow to acknowledge.
        self.beat.beat();
        self.complete(&mut telemetry).await;
        let payload = match telemetry.to_json() {
            Ok(payload) => payload,
            Err(error) => {
                log::error!("{error}");
                return;
            }
        };
        let topic = Topic::Box(self.box_id.clone(), BoxTopic::Telemetry).to_string();
        match self.link.publish(Message::new(topic, payload.clone())).await {
            Ok(()) => return,
            Err(error) if error.is_transient() => {}
            Err(NotSent::Closed) => {}
            Err(error) => {
                log::error!("telemetry not sent: {error}");
                return;
            }
        }
        let bounds = Bounds {
            bytes: self.outbox.max_bytes,
            count: self.outbox.max_count,
            age_ms: self.outbox.max_age_s.saturating_mul(1000),
        };
        let room = free_bytes(&self.state).is_none_or(|free| free >= self.outbox.min_free_bytes);
        if let Err(error) = self.store.keep(telemetry.at_ms, payload, bounds, room).await {
            log::error!("telemetry is lost: {error}");
        }
        kept.notify_one();
    }

    /// What the core knows itself.
    async fn complete(&mut self, telemetry: &mut Telemetry) {
        telemetry.at_ms = self.clock.now_ms();
        telemetry.outbox = match self.store.outbox().await {
            Ok((waiting, bytes, dropped)) => Some(Outbox { waiting, bytes, dropped }),
            Err(error) => {
                log::error!("{error}");
                None
            }
        };
        telemetry.certificate_not_after_ms =
            Validity::of(&self.enrolled.borrow().certificate_pem).ok().map(|validity| validity.not_after_ms);
    }
}

fn free_bytes(path: &std::path::Path) -> Option<u64> {
    let stat = rustix::fs::statvfs(path).ok()?;
    Some(stat.f_bavail.saturating_mul(stat.f_frsize))
}

/// Sends what waits, for ever.
pub(crate) async fn send_waiting(
    link: Link,
    box_id: BoxId,
    store: Store,
    clock: Clock,
    max_age_s: u64,
    kept: &Notify,
) {
    let topic = Topic::Box(box_id, BoxTopic::Telemetry).to_string();
    loop {
        let number = connected(&link).await;
        let waiting = match store.newest_telemetry(clock.now_ms(), max_age_s.saturating_mul(1000)).await {
            Ok(waiting) => waiting,
            Err(error) => {
                log::error!("{error}");
                None
            }
        };
        let Some(waiting) = waiting else {
            tokio::select! {
                () = kept.notified() => {}
                () = disconnected(&link, number) => {}
            }
            continue;
        };
        match link.publish(Message::new(topic.clone(), waiting.payload)).await {
            Err(NotSent::Closed) => return,
            Err(error) if error.is_transient() => disconnected(&link, number).await,
            sent => {
                if let Err(error) = sent {
                    log::error!("telemetry is given up: {error}");
                }
                if let Err(error) = store.telemetry_sent(waiting.number).await {
                    log::error!("{error}");
                    // It would go out again and again.
                    disconnected(&link, number).await;
                }
            }
        }
    }
}
