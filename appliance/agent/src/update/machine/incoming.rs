//! What the fleet says: an order, another one, or that there is none any more.

use nodi_protocol::UpdateId;
use nodi_protocol::fleet::Payload as _;
use nodi_protocol::fleet::update::{Order, Report, State};
use serde::Deserialize;
use tokio::sync::watch;

use super::{Facts, Machine, Record};
use crate::store::Error;

/// After a connection was made: a retained order has come by then. Without one it was withdrawn while this box was away.
const ABSENT_MS: u64 = 15_000;
/// A process that finds an order waits so long for a connection before it goes on, since the order may have been withdrawn.
const ALONE_MS: u64 = 10_000;
const DIGEST_DIGITS: usize = 64;

/// What came over the link, for a task that has not always time to listen: of orders only the newest counts.
#[derive(Debug, Clone, Default)]
pub(crate) struct Heard {
    /// Made to the broker so far.
    pub connections: u64,
    /// On how many of them something came, counted by what came.
    pub came: u64,
    /// Of `came`, on this connection.
    pub came_now: bool,
    /// As it came; empty: withdrawn.
    pub payload: Vec<u8>,
}

impl Heard {
    pub(crate) fn connected(&mut self) {
        self.connections += 1;
        self.came_now = false;
    }

    pub(crate) fn message(&mut self, payload: Vec<u8>) {
        self.came += 1;
        self.came_now = true;
        self.payload = payload;
    }
}

/// How far it was listened.
pub(super) struct Ears {
    heard: watch::Receiver<Heard>,
    connections: u64,
    came: u64,
    /// When an order that did not come is none, in milliseconds since boot.
    absent_at: Option<u64>,
    /// Until then nothing begins that could be withdrawn, in milliseconds since boot.
    alone_until: u64,
}

impl Ears {
    pub(super) fn new(heard: watch::Receiver<Heard>, now: u64) -> Self {
        Self { heard, connections: 0, came: 0, absent_at: None, alone_until: now.saturating_add(ALONE_MS) }
    }

    pub(super) async fn changed(&mut self) {
        if self.heard.changed().await.is_err() {
            // The link is gone: the process stops.
            std::future::pending::<()>().await;
        }
    }

    /// Whether what is on disk may have been withdrawn without this process having heard of it.
    pub(super) fn is_unsure(&self, now: u64) -> bool {
        now < self.alone_until || self.absent_at.is_some_and(|at| now < at)
    }
}

impl Machine {
    /// Takes what came since.
    pub(super) async fn hear(&mut self) -> Result<(), Error> {
        let now = self.setup.clock.since_boot_ms();
        let heard = self.ears.heard.borrow_and_update().clone();
        if heard.connections != self.ears.connections {
            self.ears.connections = heard.connections;
            self.ears.absent_at = Some(now.saturating_add(ABSENT_MS));
            self.ears.alone_until = 0;
        }
        if heard.came_now {
            self.ears.absent_at = None;
        }
        if heard.came != self.ears.came {
            // Looked at again when the database fails.
            if heard.payload.is_empty() {
                self.withdrawn().await?;
            } else {
                self.came(&heard.payload).await?;
            }
            self.ears.came = heard.came;
        }
        if self.ears.absent_at.is_some_and(|at| at <= now) {
            self.withdrawn().await?;
            self.ears.absent_at = None;
        }
        Ok(())
    }

    async fn withdrawn(&mut self) -> Result<(), Error> {
        self.pending = None;
        match self.current.as_ref().map(|record| record.report.state) {
            Some(State::Waiting | State::Downloading) => {
                self.finish(State::Withdrawn, "withdrawn by the fleet").await?;
            }
            Some(state) if !state.is_final() => {
                log::warn!(state:?; "the update was withdrawn; it has begun, and goes on");
            }
            _ => {}
        }
        Ok(())
    }

    async fn came(&mut self, payload: &[u8]) -> Result<(), Error> {
        let order = match Order::from_json(payload) {
            Ok(order) => order,
            Err(error) => return self.unreadable(payload, error.to_string()).await,
        };
        let Some(record) = &self.current else {
            self.pending = Some(order);
            return Ok(());
        };
        let (id, state) = (record.order.id, record.report.state);
        if order.id < id {
            log::warn!(update:% = order.id, newer:% = id; "an update that is older than the last one");
        } else if order.id == id && state == State::Withdrawn {
            // The broker had lost it, or the fleet wants it after all.
            self.pending = Some(order);
        } else if order.id == id {
            // Another token, or another place to get it from.
            if !state.is_final() && record.order != order {
                let record = Record { order, ..record.clone() };
                self.setup.store.put_update(record.clone()).await?;
                self.current = Some(record);
            }
        } else {
            let newer = order.id;
            self.pending = Some(order);
            if matches!(state, State::Waiting | State::Downloading) {
                self.finish(State::Withdrawn, format!("the order {newer} came instead")).await?;
            }
        }
        Ok(())
    }

    /// Says so, if it can be told of which update.
    async fn unreadable(&mut self, payload: &[u8], reason: String) -> Result<(), Error> {
        #[derive(Deserialize)]
        struct Head {
            id: UpdateId,
        }
        log::error!("{reason}");
        let Ok(Head { id }) = serde_json::from_slice(payload) else { return Ok(()) };
        let is_known = self.current.as_ref().is_some_and(|record| record.order.id >= id);
        let is_free = self.current.as_ref().is_none_or(|record| record.facts.settled);
        if !is_known && is_free {
            self.current = Some(self.record(nameless(id)));
            self.finish(State::Failed, reason).await?;
        }
        Ok(())
    }

    /// Begins what waits for it, if nothing is under way.
    pub(super) async fn next(&mut self) -> Result<bool, Error> {
        let Some(order) = self.pending.clone() else { return Ok(false) };
        let trial = self.directory.trial().filter(|trial| trial.id == order.id);
        self.downloaded = false;
        let before = self.current.take();
        self.current = Some(self.record(order.clone()));
        let entered = if let Some(trial) = trial {
            // The memory of it was lost. What boots next and what runs tell how far it is.
            let limit = u64::from(order.deadlines.install_s);
            self.enter(State::Installing, "found in the middle of it", limit, |facts| {
                facts.began.boot_id.clear();
                facts.from_slot = trial.from_slot;
                facts.slot = trial.slot;
                facts.installs = 1;
            })
            .await
        } else {
            match fault(&order, self.setup.config.max_bundle_bytes) {
                Some(reason) => self.finish(State::Failed, reason).await,
                None => {
                    let left = order.expires_ms.saturating_sub(self.setup.clock.now_ms()) / 1000;
                    self.enter(State::Waiting, "", left, |_| ()).await
                }
            }
        };
        match entered {
            Ok(_) => {
                self.pending = None;
                Ok(true)
            }
            Err(error) => {
                self.current = before;
                Err(error)
            }
        }
    }

    fn record(&self, order: Order) -> Record {
        let now = self.now();
        let report = Report {
            id: order.id,
            state: State::Waiting,
            progress: None,
            message: String::new(),
            from: self.setup.version.clone(),
            to: order.bundle.version.clone(),
            slot: self.slot.clone(),
            deadline_ms: None,
            boot_id: now.boot_id,
            at_ms: now.at_ms,
        };
        Record { order, report, facts: Facts::default() }
    }
}

/// What is wrong with an order, whatever the box is like.
fn fault(order: &Order, most: u64) -> Option<String> {
    let bundle = &order.bundle;
    let is_digest = bundle.sha256.len() == DIGEST_DIGITS
        && bundle.sha256.chars().all(|c| c.is_ascii_digit() || ('a'..='f').contains(&c));
    if !is_digest {
        return Some("the order's SHA-256 is none".to_owned());
    }
    if bundle.bytes == 0 || bundle.bytes > most {
        return Some(format!("a bundle of {} bytes is not between 1 and {most}", bundle.bytes));
    }
    None
}

/// For an order of which only the id can be read.
fn nameless(id: UpdateId) -> Order {
    Order {
        id,
        issued_ms: 0,
        expires_ms: 0,
        bundle: nodi_protocol::fleet::update::Bundle {
            version: String::new(),
            compatible: String::new(),
            url: String::new(),
            token: None,
            bytes: 0,
            sha256: String::new(),
        },
        force: false,
        deadlines: nodi_protocol::fleet::update::Deadlines::default(),
    }
}
