//! Sends the events: in order, from the first that the fleet server has not acknowledged, on each connection again,
//! and again when no acknowledgement comes: the broker's word says nothing about the server's disk.

use std::time::Duration;

use nodi_mqtt::{Link, Message, NotSent};
use nodi_protocol::BoxId;
use nodi_protocol::fleet::Payload;
use nodi_protocol::fleet::event::Ack;
use nodi_protocol::fleet::topic::{BoxTopic, Topic};
use tokio::sync::watch;
use tokio::time::Instant;

use super::keep::{connected, disconnected};
use crate::events::Events;
use crate::store::Store;

/// Events that are under way together.
const BATCH: u32 = 16;
/// Without an acknowledgement for so long everything is sent again; doubled up to the longest.
const PATIENCE: Duration = Duration::from_secs(30);
const LONGEST_PATIENCE: Duration = Duration::from_secs(600);

pub(crate) struct Journal {
    pub link: Link,
    pub box_id: BoxId,
    pub store: Store,
    pub events: Events,
    /// Of this agent's journal.
    pub journal: String,
    pub acks: watch::Receiver<Option<Ack>>,
}

impl Journal {
    /// Runs for ever.
    pub(crate) async fn run(mut self) {
        loop {
            let number = connected(&self.link).await;
            self.events.record_drops().await;
            let link = self.link.clone();
            tokio::select! {
                () = self.send() => return,
                () = disconnected(&link, number) => {}
            }
        }
    }

    /// Sends until the link is closed; to be dropped with the connection.
    async fn send(&mut self) {
        let mut newest = self.events.newest();
        let mut through = self.acknowledged().await;
        let mut sent = through;
        let mut patience = PATIENCE;
        let mut since = Instant::now();
        loop {
            newest.mark_unchanged();
            match self.batch(sent).await {
                Ok(Some(last)) => {
                    if sent == through {
                        since = Instant::now();
                    }
                    sent = last;
                    continue;
                }
                Ok(None) => {}
                Err(NotSent::Closed) => return,
                // The connection is gone, and this future in a moment.
                Err(_) => std::future::pending().await,
            }
            tokio::select! {
                // Both senders live as long as the process.
                Ok(()) = newest.changed() => {}
                Ok(()) = self.acks.changed() => {
                    let ack = self.acks.borrow_and_update().clone();
                    if let Some(ack) = ack.filter(|ack| ack.journal == self.journal && ack.through > through) {
                        // Never more than was sent: a server that mixes up boxes must not make us forget.
                        through = ack.through.min(sent);
                        if let Err(error) = self.store.acknowledge(through).await {
                            log::error!("{error}");
                        }
                        since = Instant::now();
                        patience = PATIENCE;
                    }
                }
                () = tokio::time::sleep_until(since + patience), if sent > through => {
                    sent = through;
                    since = Instant::now();
                    patience = (patience * 2).min(LONGEST_PATIENCE);
                }
            }
        }
    }

    async fn acknowledged(&self) -> u64 {
        match self.store.acknowledged().await {
            Ok(through) => through,
            Err(error) => {
                log::error!("{error}");
                0
            }
        }
    }

    /// Sends what comes after `after`. Returns the number of the last one, or `None` when there is nothing.
    async fn batch(&self, after: u64) -> Result<Option<u64>, NotSent> {
        let events = match self.store.events_after(after, BATCH).await {
            Ok(backlog) => backlog.events,
            Err(error) => {
                log::error!("{error}");
                return Ok(None);
            }
        };
        let topic = Topic::Box(self.box_id.clone(), BoxTopic::Event).to_string();
        let mut last = None;
        let mut under_way = Vec::with_capacity(events.len());
        for event in events {
            match event.to_json() {
                Ok(payload) => under_way.push(self.link.send(Message::new(topic.clone(), payload)).await?),
                Err(error) => log::error!(seq = event.seq; "{error}"),
            }
            last = Some(event.seq);
        }
        for acknowledgement in under_way {
            match acknowledgement.acknowledged().await {
                Err(error) if error.is_transient() || error == NotSent::Closed => return Err(error),
                Err(error) => log::error!("event not sent: {error}"),
                Ok(()) => {}
            }
        }
        Ok(last)
    }
}
