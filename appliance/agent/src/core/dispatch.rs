//! What comes over the link, to whom it concerns. Does nothing itself that could take long.

use nodi_daemon::watchdog::Beat;
use nodi_mqtt::{Event, Received, Why};
use nodi_protocol::fleet::Payload;
use nodi_protocol::fleet::desired::Desired;
use nodi_protocol::fleet::event::Ack;
use nodi_protocol::fleet::topic::{BoxTopic, Topic};
use nodi_protocol::revocation::Revocations;
use nodi_protocol::{BoxId, CommandId};
use tokio::sync::{Notify, mpsc, watch};

use crate::update::Heard;

/// A desired state as it came.
#[derive(Debug, Clone)]
pub(crate) enum Wanted {
    Readable(Desired),
    Unreadable { version: u64, epoch: String, reason: String },
}

/// For the commands' task.
#[derive(Debug)]
pub(crate) enum Order {
    Connected,
    Command { id: CommandId, payload: Vec<u8> },
}

pub(crate) struct Dispatch {
    pub box_id: BoxId,
    pub desired: watch::Sender<Option<Wanted>>,
    pub revocations: watch::Sender<Option<Revocations>>,
    pub acks: watch::Sender<Option<Ack>>,
    pub orders: mpsc::Sender<Order>,
    pub updates: watch::Sender<Heard>,
    pub beat: Beat,
}

impl Dispatch {
    /// Runs until the link ends. `doubt` is notified when the clock may be the reason that there is no connection.
    pub(crate) async fn run(self, mut events: mpsc::Receiver<Event>, doubt: &Notify) {
        let mut failures = 0_u32;
        loop {
            let event = tokio::select! {
                event = events.recv() => event,
                () = self.beat.turn() => continue,
            };
            let Some(event) = event else { return };
            match event {
                Event::Connected { session_present } => {
                    failures = 0;
                    log::info!(session_present; "connected to the broker");
                    self.updates.send_modify(Heard::connected);
                    self.order(Order::Connected).await;
                }
                Event::Disconnected(why) => {
                    failures += 1;
                    // The first, and then ever more rarely: an outage of a day is not a day of log.
                    if failures.is_power_of_two() {
                        log::warn!(failures; "no connection to the broker: {why}");
                    }
                    if matches!(why, Why::Tls(_) | Why::Lost(_) | Why::Refused(_)) {
                        doubt.notify_one();
                    }
                }
                Event::Refused { what, reason } => log::error!(what; "the broker refuses: {reason}"),
                Event::Message(message) => self.message(message).await,
            }
        }
    }

    async fn message(&self, message: Received) {
        let Received { topic, payload, .. } = message;
        match topic.parse() {
            Ok(Topic::Box(id, below)) if id == self.box_id => match below {
                BoxTopic::Desired if payload.is_empty() => {}
                BoxTopic::Desired => {
                    let wanted = match Desired::from_json(&payload) {
                        Ok(desired) => Wanted::Readable(desired),
                        Err(error) => unreadable(&payload, error.to_string()),
                    };
                    self.desired.send_replace(Some(wanted));
                }
                BoxTopic::EventAck => match Ack::from_json(&payload) {
                    Ok(ack) => {
                        self.acks.send_replace(Some(ack));
                    }
                    Err(error) => log::error!("{error}"),
                },
                BoxTopic::Update => self.updates.send_modify(|heard| heard.message(payload.to_vec())),
                BoxTopic::Command(id) => self.order(Order::Command { id, payload: payload.to_vec() }).await,
                _ => log::debug!(topic; "not for a box to read"),
            },
            Ok(Topic::Revocations) => match Revocations::from_json(&payload) {
                Ok(document) => {
                    self.revocations.send_replace(Some(document));
                }
                // The last good one stays in force.
                Err(error) => log::error!("{error}"),
            },
            _ => log::debug!(topic; "message on a topic that this build does not know"),
        }
    }

    async fn order(&self, order: Order) {
        // An error means that the process stops.
        let _ = self.orders.send(order).await;
    }
}

/// As much of it as there is.
fn unreadable(payload: &[u8], reason: String) -> Wanted {
    #[derive(serde::Deserialize)]
    struct Head {
        #[serde(default)]
        version: u64,
        #[serde(default)]
        epoch: String,
    }
    let head = serde_json::from_slice(payload).unwrap_or(Head { version: 0, epoch: String::new() });
    Wanted::Unreadable { version: head.version, epoch: head.epoch, reason }
}
