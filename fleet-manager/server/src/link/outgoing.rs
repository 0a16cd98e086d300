//! What boxes are told.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use nodi_mqtt::{Acknowledgement, Link, Message, NotSent};
use nodi_protocol::fleet::Payload as _;
use nodi_protocol::fleet::desired::Desired;
use nodi_protocol::fleet::event::Ack;
use nodi_protocol::fleet::topic::{BoxTopic, Topic};
use nodi_protocol::{BoxId, CommandId};
use rusqlite::Connection;
use tokio::sync::Notify;

use crate::commands;
use crate::error::Error;
use crate::state::App;
use crate::updates;

/// Messages whose acknowledgement is awaited at the same time.
const IN_FLIGHT: usize = 200;
/// Commands and updates looked up in one read.
const AT_ONCE: usize = 500;

/// One thing to say. What exactly is looked up when it is said.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Key {
    Revocations,
    Command(BoxId, CommandId),
    Update(BoxId),
    Desired(BoxId),
    /// A retained topic of a box that is not ours.
    Clear(String),
}

/// What has to be said.
#[derive(Default)]
pub(super) struct Outgoing {
    waiting: Mutex<Waiting>,
    news: Notify,
}

#[derive(Default)]
struct Waiting {
    everything: bool,
    /// Bounded by what there is: boxes, open commands and updates, and topics at the broker.
    keys: BTreeSet<Key>,
    /// By box and journal: all events up to here are in the database.
    events: BTreeMap<(BoxId, String), u64>,
}

impl Outgoing {
    pub(super) fn mark(&self, key: Key) {
        self.waiting().keys.insert(key);
        self.news.notify_one();
    }

    pub(super) fn acknowledge(&self, id: BoxId, journal: String, through: u64) {
        self.waiting().events.insert((id, journal), through);
        self.news.notify_one();
    }

    /// After a connection was made.
    pub(super) fn everything(&self) {
        self.waiting().everything = true;
        self.news.notify_one();
    }

    /// Clears what is retained of a box whatever became of it. What else there is of it comes back with the next
    /// connection, and is cleared then.
    pub(super) fn forget(&self, id: &BoxId) {
        let topics = [
            BoxTopic::Desired,
            BoxTopic::Presence,
            BoxTopic::Reported,
            BoxTopic::Update,
            BoxTopic::UpdateStatus,
        ];
        for topic in topics {
            self.mark(Key::Clear(Topic::Box(id.clone(), topic).to_string()));
        }
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What this server retains for boxes, to see what an earlier life of it left there.
pub(super) fn own_subscriptions() -> [String; 3] {
    ["desired", "commands/+", "update"].map(|below| format!("nodi/v1/boxes/+/{below}"))
}

/// Says what has to be said, for ever.
pub(super) async fn run(app: App, link: Link) {
    let mut revoked = app.revoked.watch();
    loop {
        tokio::select! {
            () = app.link.outgoing.news.notified() => {}
            changed = revoked.changed() => {
                if changed.is_err() {
                    return;
                }
                app.link.outgoing.waiting().keys.insert(Key::Revocations);
            }
            () = app.shutdown.wait() => return,
        }
        let waiting = std::mem::take(&mut *app.link.outgoing.waiting());
        if !link.is_connected() {
            // Everything is said anew once there is a connection.
            continue;
        }
        if let Err(error) = say(&app, &link, waiting).await {
            log::error!("telling boxes: {error}");
            // Nothing gets lost for a read that failed: all of it again, with the next news or connection.
            app.link.outgoing.waiting().everything = true;
        }
    }
}

async fn say(app: &App, link: &Link, waiting: Waiting) -> Result<(), Error> {
    let mut keys = waiting.keys;
    if waiting.everything {
        keys.insert(Key::Revocations);
        let (open, updating) = app
            .db
            .read(|connection| Ok((commands::open_commands(connection)?, updates::open_boxes(connection)?)))
            .await?;
        keys.extend(updating.into_iter().map(Key::Update));
        keys.extend(open.into_iter().map(|(box_id, id)| Key::Command(box_id, id)));
        keys.extend(app.boxes.registry.records().iter().map(|record| Key::Desired(record.id.clone())));
    }
    let mut sender = Sender { link, under_way: FuturesUnordered::new() };
    for ((id, journal), through) in waiting.events {
        let topic = Topic::Box(id, BoxTopic::EventAck);
        if let Ok(json) = (Ack { journal, through }).to_json() {
            sender.send(Message::new(topic.to_string(), json)).await;
        }
    }
    let mut looked_up = Vec::new();
    for key in keys {
        match key {
            Key::Command(..) | Key::Update(_) => looked_up.push(key),
            Key::Revocations => {
                let document = app.revoked.now();
                let json = serde_json::to_vec(&*document)?;
                sender.send(Message::retained(Topic::Revocations.to_string(), json)).await;
            }
            Key::Desired(id) => {
                let message = desired(app, &id);
                sender.send(message).await;
            }
            Key::Clear(topic) => sender.send(Message::retained(topic, Vec::new())).await,
        }
    }
    for some in looked_up.chunks(AT_ONCE) {
        let some = some.to_vec();
        let messages = app
            .db
            .read(move |connection| {
                some.into_iter()
                    .filter_map(|key| outgoing(connection, key).transpose())
                    .collect::<Result<Vec<_>, Error>>()
            })
            .await?;
        for (topic, message) in messages {
            sender.send(Message::retained(topic.to_string(), message.into_bytes())).await;
        }
    }
    sender.finish().await;
    Ok(())
}

/// Topic and text of what is in the database; no text: there is nothing for the box any more.
fn outgoing(connection: &Connection, key: Key) -> Result<Option<(Topic, String)>, Error> {
    let (box_id, topic, message) = match key {
        Key::Command(box_id, id) => {
            let message = commands::outgoing(connection, &box_id, &id)?;
            (box_id, BoxTopic::Command(id), message)
        }
        Key::Update(box_id) => {
            let message = updates::outgoing(connection, &box_id)?;
            (box_id, BoxTopic::Update, message)
        }
        Key::Revocations | Key::Desired(_) | Key::Clear(_) => return Ok(None),
    };
    Ok(Some((Topic::Box(box_id, topic), message.unwrap_or_default())))
}

fn desired(app: &App, id: &BoxId) -> Message {
    let registry = &app.boxes.registry;
    let topic = Topic::Box(id.clone(), BoxTopic::Desired).to_string();
    let json = registry.get(id).filter(|record| record.revoked.is_none()).map(|record| {
        let desired = Desired {
            version: record.desired_version,
            epoch: registry.epoch().to_owned(),
            settings: (*record.desired).clone(),
        };
        desired.to_json()
    });
    match json {
        Some(Ok(json)) => Message::retained(topic, json),
        Some(Err(error)) => {
            log::error!(box_id:% = id; "settings: {error}");
            Message::retained(topic, Vec::new())
        }
        None => Message::retained(topic, Vec::new()),
    }
}

/// Many messages under way at the same time.
struct Sender<'a> {
    link: &'a Link,
    under_way: FuturesUnordered<Pending>,
}

type Pending = std::pin::Pin<Box<dyn Future<Output = (String, Result<(), NotSent>)> + Send>>;

impl Sender<'_> {
    async fn send(&mut self, message: Message) {
        while self.under_way.len() >= IN_FLIGHT {
            self.one().await;
        }
        let topic = message.topic.clone();
        match self.link.send(message).await {
            Ok(acknowledgement) => self.under_way.push(Box::pin(wait(topic, acknowledgement))),
            Err(error) => complain(&topic, &error),
        }
    }

    async fn one(&mut self) {
        if let Some((topic, Err(error))) = self.under_way.next().await {
            complain(&topic, &error);
        }
    }

    async fn finish(mut self) {
        while !self.under_way.is_empty() {
            self.one().await;
        }
    }
}

async fn wait(topic: String, acknowledgement: Acknowledgement) -> (String, Result<(), NotSent>) {
    (topic, acknowledgement.acknowledged().await)
}

fn complain(topic: &str, error: &NotSent) {
    // With the next connection everything is said again.
    if !error.is_transient() {
        log::error!(topic; "not sent: {error}");
    }
}
