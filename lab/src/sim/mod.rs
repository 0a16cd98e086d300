//! As many simulated boxes as asked, each with a certificate and a connection of its own: the fleet's real contract over
//! real mutual TLS, for benches and for looking at a dashboard that has something to show.

mod device;
mod enrol;
mod random;
mod sink;
mod update;
mod vitals;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use nodi_protocol::BoxId;
use nodi_protocol::enrol::Provisioning;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde::Serialize;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;

use crate::error::Error;
use device::{Device, Order};
use random::Random;

/// Pause between two first connections: the broker's handshakes cost about a millisecond each.
const STAGGER: Duration = Duration::from_millis(2);
const STOP_DEADLINE: Duration = Duration::from_secs(20);
/// One flapping box in so many.
const FLAPPING_SHARE: usize = 100;

/// How the boxes behave.
#[derive(Debug, Clone, Copy)]
pub struct Behaviour {
    /// Between two measurements, unless the fleet says otherwise.
    pub telemetry: Duration,
    /// Share of boxes with a live session, 0 to 1.
    pub live: f32,
    /// Whether one box in a hundred loses its connection now and then.
    pub flapping: bool,
    /// Share of updates that do not come through their trial, 0 to 1.
    pub update_failures: f32,
}

impl Default for Behaviour {
    fn default() -> Self {
        Self { telemetry: Duration::from_secs(10), live: 0.05, flapping: true, update_failures: 0.0 }
    }
}

impl Behaviour {
    fn flaps(&self, index: usize) -> bool {
        self.flapping && index % FLAPPING_SHARE == FLAPPING_SHARE / 2
    }
}

/// Since the start.
#[derive(Debug, Default)]
struct Counters {
    online: AtomicI64,
    connections: AtomicU64,
    published: AtomicU64,
    bytes: AtomicU64,
    telemetry: AtomicU64,
    commands: AtomicU64,
    applied: AtomicU64,
    flaps: AtomicU64,
    refused: AtomicU64,
}

/// What the simulator says of itself.
#[derive(Debug, Clone, Serialize)]
pub struct Figures {
    pub boxes: usize,
    /// Boxes with a connection now.
    pub online: i64,
    /// Connections that were made.
    pub connections: u64,
    /// Messages that the broker has acknowledged, and their payload.
    pub published: u64,
    pub bytes: u64,
    pub telemetry: u64,
    /// Commands that ran to their end.
    pub commands: u64,
    /// Desired states that were taken.
    pub applied: u64,
    pub flaps: u64,
    /// What the broker refused: 0 in a fleet that is in order.
    pub refused: u64,
    /// Messages that the subscriber took that stands for a fleet server.
    pub taken: Option<u64>,
}

/// Running boxes. Dropping it cuts them all off at once.
pub struct Sim {
    devices: Vec<(BoxId, mpsc::Sender<Order>)>,
    tasks: JoinSet<()>,
    counters: Arc<Counters>,
    random: Random,
    /// The subscriber where there is no fleet server, and what it took.
    sink: Option<(Arc<AtomicU64>, JoinSet<()>)>,
}

impl Sim {
    /// Enrols `count` boxes and has them connect one after the other.
    ///
    /// # Errors
    /// When the fleet server refuses one of them.
    pub async fn enrol(
        provisioning: &Provisioning,
        count: usize,
        behaviour: Behaviour,
        seed: u64,
    ) -> Result<Self, Error> {
        crate::install_tls();
        raise_file_limit(count)?;
        let identities = enrol::with_fleet(provisioning, count).await?;
        Ok(Self::start(identities, behaviour, seed).await)
    }

    /// The same boxes at a broker that has no fleet server: certificates come straight from the authority in
    /// `authority`, and a subscriber with the fleet server's rights takes everything and throws it away.
    ///
    /// # Errors
    /// When there is no such authority.
    pub async fn alone(
        authority: &Path,
        broker_port: u16,
        count: usize,
        behaviour: Behaviour,
        seed: u64,
    ) -> Result<Self, Error> {
        crate::install_tls();
        raise_file_limit(count)?;
        let (identities, server) = enrol::with_authority(authority, ("localhost", broker_port), count)?;
        let taken = Arc::new(AtomicU64::new(0));
        let mut sink = JoinSet::new();
        sink.spawn(sink::run(server, Arc::clone(&taken)));
        let mut sim = Self::start(identities, behaviour, seed).await;
        sim.sink = Some((taken, sink));
        Ok(sim)
    }

    async fn start(identities: Vec<enrol::Identity>, behaviour: Behaviour, seed: u64) -> Self {
        let count = identities.len();
        let counters = Arc::new(Counters::default());
        let mut random = Random::new(seed);
        let mut devices = Vec::with_capacity(count);
        let mut tasks = JoinSet::new();
        for (index, identity) in identities.into_iter().enumerate() {
            let (order, orders) = mpsc::channel(1);
            devices.push((identity.id.clone(), order));
            let device = Device {
                identity,
                index,
                random: Random::new(random.next()),
                behaviour,
                counters: Arc::clone(&counters),
                orders,
            };
            tasks.spawn(device.run());
            tokio::time::sleep(STAGGER).await;
        }
        Self { devices, tasks, counters, random, sink: None }
    }

    /// The boxes, in the order of their serial numbers.
    pub fn boxes(&self) -> impl Iterator<Item = &BoxId> {
        self.devices.iter().map(|(id, _)| id)
    }

    #[must_use]
    pub fn figures(&self) -> Figures {
        let of = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let counters = &self.counters;
        Figures {
            boxes: self.devices.len(),
            online: counters.online.load(Ordering::Relaxed),
            connections: of(&counters.connections),
            published: of(&counters.published),
            bytes: of(&counters.bytes),
            telemetry: of(&counters.telemetry),
            commands: of(&counters.commands),
            applied: of(&counters.applied),
            flaps: of(&counters.flaps),
            refused: of(&counters.refused),
            taken: self.sink.as_ref().map(|(taken, _)| of(taken)),
        }
    }

    /// One of the boxes that do not flap.
    pub fn any(&mut self) -> Option<BoxId> {
        let steady: Vec<usize> =
            (0..self.devices.len()).filter(|index| index % FLAPPING_SHARE != FLAPPING_SHARE / 2).collect();
        let len = u64::try_from(steady.len()).ok().filter(|len| *len > 0)?;
        let place = usize::try_from(self.random.next() % len).ok()?;
        steady.get(place).and_then(|index| self.devices.get(*index)).map(|(id, _)| id.clone())
    }

    /// The box loses its power: it is silent, and nobody closes its connection. It does not come back.
    ///
    /// # Errors
    /// When there is no such box any more.
    pub async fn hang(&self, id: &BoxId) -> Result<(), Error> {
        let (done, hung) = oneshot::channel();
        self.order(id, Order::Hang(done)).await?;
        hung.await.map_err(|_| Error::NoSuchProcess(id.to_string()))
    }

    /// The box's connection is closed without a goodbye; it comes back after `pause`.
    ///
    /// # Errors
    /// When there is no such box any more.
    pub async fn cut(&self, id: &BoxId, pause: Duration) -> Result<(), Error> {
        self.order(id, Order::Cut(pause)).await
    }

    async fn order(&self, id: &BoxId, order: Order) -> Result<(), Error> {
        let none = || Error::NoSuchProcess(id.to_string());
        let (_, device) = self.devices.iter().find(|(known, _)| known == id).ok_or_else(none)?;
        device.send(order).await.map_err(|_| none())
    }

    /// Every box says goodbye.
    pub async fn stop(mut self) {
        for (_, device) in &self.devices {
            // One that hangs, or is away for the moment, does not listen and need not.
            let _ = device.try_send(Order::Stop);
        }
        self.devices.clear();
        let all = async { while self.tasks.join_next().await.is_some() {} };
        if tokio::time::timeout(STOP_DEADLINE, all).await.is_err() {
            log::debug!("boxes that did not say goodbye are cut off");
        }
    }
}

/// Sockets for `count` boxes and a margin; what we start inherits it.
///
/// # Errors
/// When the system allows fewer.
pub fn raise_file_limit(count: usize) -> Result<(), Error> {
    const MARGIN: u64 = 256;
    let needed = u64::try_from(count).unwrap_or(u64::MAX).saturating_add(MARGIN);
    let limit = getrlimit(Resource::Nofile);
    if limit.current.is_none_or(|current| current >= needed) {
        return Ok(());
    }
    let maximum = limit.maximum.unwrap_or(needed);
    setrlimit(Resource::Nofile, Rlimit { current: Some(maximum), maximum: limit.maximum })
        .map_err(|error| crate::error::io("raising the limit of open files")(error.into()))?;
    if maximum < needed {
        return Err(Error::OpenFiles { needed, limit: maximum });
    }
    Ok(())
}
