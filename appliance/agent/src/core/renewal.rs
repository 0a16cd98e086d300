//! Keeps the certificate young.

use std::sync::Arc;
use std::time::Duration;

use nodi_mqtt::Link;
use nodi_protocol::enrol::Enrolled;
use nodi_protocol::fleet::event::What;
use sha2::{Digest as _, Sha256};
use tokio::sync::watch;

use crate::clock::Clock;
use crate::events::Events;
use crate::fleet::Fleet;
use crate::identity::{Identity, Schedule, Validity, renew};

/// Between two looks at the clock, which may be put right meanwhile.
const LOOK: Duration = Duration::from_secs(30);
/// After a failure, doubled up to the longest.
const RETRY_MS: u64 = 60_000;
const LONGEST_RETRY_MS: u64 = 3_600_000;
/// A box that cannot reach the broker for so long asks anew: the answer also says where the broker is, and
/// by whose authority.
const LOST_MS: u64 = 6 * 3_600_000;

pub(crate) struct Renewal {
    pub identity: Arc<Identity>,
    pub fleet: Fleet,
    pub clock: Clock,
    pub events: Events,
    pub enrolled: watch::Sender<Enrolled>,
    pub link: Link,
}

impl Renewal {
    /// Runs for ever.
    pub(crate) async fn run(self) {
        let mut connected_at = self.clock.since_boot_ms();
        let mut not_before = 0;
        let mut retry = RETRY_MS;
        let mut said = String::new();
        loop {
            let now = self.clock.since_boot_ms();
            if self.link.is_connected() {
                connected_at = now;
            }
            let lost = now.saturating_sub(connected_at) >= LOST_MS;
            if now >= not_before && (self.is_due() || lost) {
                let enrolled = self.enrolled.borrow().clone();
                match renew(&self.identity, &self.fleet, &enrolled).await {
                    Ok(next) => {
                        let not_after_ms =
                            Validity::of(&next.certificate_pem).map_or(0, |validity| validity.not_after_ms);
                        self.enrolled.send_replace(next);
                        self.events.record(What::CertificateRenewed { not_after_ms }).await;
                        // The broker looks at the certificate when a connection is made, and at no other time.
                        self.link.reconnect().await;
                        retry = RETRY_MS;
                        said.clear();
                        connected_at = now;
                        not_before = now + RETRY_MS;
                    }
                    Err(error) => {
                        let reason = error.to_string();
                        log::warn!("certificate: {reason}");
                        // The same reason is told once, and not every hour.
                        if said != reason {
                            self.events
                                .record(What::CertificateRenewalFailed { reason: reason.clone() })
                                .await;
                            said = reason;
                        }
                        not_before = self.clock.since_boot_ms() + retry;
                        retry = (retry * 2).min(LONGEST_RETRY_MS);
                    }
                }
            }
            tokio::time::sleep(LOOK.min(self.until_due())).await;
        }
    }

    fn schedule(&self) -> Option<Schedule> {
        let enrolled = self.enrolled.borrow();
        match Validity::of(&enrolled.certificate_pem) {
            Ok(validity) => Some(Schedule::of(validity, draw(&enrolled))),
            Err(error) => {
                log::error!("{error}");
                None
            }
        }
    }

    fn is_due(&self) -> bool {
        // One that cannot be read has to be replaced.
        self.schedule().is_none_or(|schedule| self.clock.now_ms() >= schedule.due_ms)
    }

    /// Short lives are for laboratories.
    fn until_due(&self) -> Duration {
        let due = self.schedule().map_or(0, |schedule| schedule.due_ms);
        Duration::from_millis(due.saturating_sub(self.clock.now_ms())).max(Duration::from_secs(1))
    }
}

/// 0 to 1, the same for one certificate whenever it is asked: a restart does not draw again.
fn draw(enrolled: &Enrolled) -> f64 {
    let digest = Sha256::digest(enrolled.certificate_pem.as_bytes());
    digest.iter().take(4).fold(0.0, |share, byte| (share + f64::from(*byte)) / 256.0)
}
