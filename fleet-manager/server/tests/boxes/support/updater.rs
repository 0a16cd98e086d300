//! What a box does with its orders, as the test wishes.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use nodi_mqtt::{Link, Message};
use nodi_protocol::fleet::Payload as _;
use nodi_protocol::fleet::topic::BoxTopic;
use nodi_protocol::fleet::update::{Order, Report, State};
use tokio::task::JoinHandle;

use super::robot::{Robot, VERSION, presence};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    Confirms,
    RollsBack,
    /// Says this and nothing more.
    StopsAt(State),
    SaysNothing,
}

pub(crate) fn report(order: &Order, state: State, message: &str) -> Report {
    Report {
        id: order.id,
        state,
        progress: None,
        message: message.to_owned(),
        from: VERSION.to_owned(),
        to: order.bundle.version.clone(),
        slot: Some("A".to_owned()),
        deadline_ms: None,
        boot_id: "boot-1".to_owned(),
        at_ms: 1,
    }
}

/// Does what its outcome says with each order that comes.
pub(crate) struct Updater {
    outcome: Arc<Mutex<Outcome>>,
    /// Versions that it was ordered to take, in order.
    pub(crate) orders: Arc<Mutex<Vec<Order>>>,
    task: JoinHandle<()>,
}

impl Updater {
    pub(crate) fn start(robot: &Robot, outcome: Outcome) -> Self {
        let outcome = Arc::new(Mutex::new(outcome));
        let orders = Arc::new(Mutex::new(Vec::<Order>::new()));
        let (link, newest) = (robot.link.clone(), robot.newest.clone());
        let topics =
            [BoxTopic::Update, BoxTopic::UpdateStatus, BoxTopic::Presence].map(|topic| robot.topic(topic));
        let (wanted, seen) = (outcome.clone(), orders.clone());
        let task = tokio::spawn(async move {
            let [update, status, here] = topics;
            loop {
                tokio::time::sleep(Duration::from_millis(20)).await;
                let order =
                    newest.lock().unwrap().get(&update).and_then(|bytes| Order::from_json(bytes).ok());
                let Some(order) = order else { continue };
                if seen.lock().unwrap().iter().any(|known| known.id == order.id) {
                    continue;
                }
                seen.lock().unwrap().push(order.clone());
                let outcome = *wanted.lock().unwrap();
                for state in states(outcome) {
                    let report = report(&order, state, "as the test wishes").to_json().unwrap();
                    publish(&link, &status, report).await;
                }
                if outcome == Outcome::Confirms {
                    let mut presence = presence(true, u64::MAX >> 2);
                    presence.version = order.bundle.version;
                    publish(&link, &here, presence.to_json().unwrap()).await;
                }
            }
        });
        Self { outcome, orders, task }
    }

    pub(crate) fn set(&self, outcome: Outcome) {
        *self.outcome.lock().unwrap() = outcome;
    }

    pub(crate) fn count(&self) -> usize {
        self.orders.lock().unwrap().len()
    }
}

impl Drop for Updater {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn states(outcome: Outcome) -> Vec<State> {
    let all = [State::Downloading, State::Installing, State::Rebooting, State::Trial];
    match outcome {
        Outcome::Confirms => all.into_iter().chain([State::Confirmed]).collect(),
        Outcome::RollsBack => all.into_iter().chain([State::RolledBack]).collect(),
        Outcome::StopsAt(last) => all.into_iter().take_while(|state| *state < last).chain([last]).collect(),
        Outcome::SaysNothing => Vec::new(),
    }
}

async fn publish(link: &Link, topic: &str, payload: Vec<u8>) {
    // A broker or a line that is away comes back.
    while link.publish(Message::retained(topic.to_owned(), payload.clone())).await.is_err() {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
