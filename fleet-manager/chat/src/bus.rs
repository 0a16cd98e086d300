//! The bus: what a room accepted goes there, and counts once it comes back. The bus puts everything of a channel in one
//! order and gives the ids, so that every node that has the room open sees the same.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use nodi_protocol::ChannelId;
use nodi_protocol::chat::EventId;
use tokio::sync::mpsc;

use crate::clock;
use crate::moderation::{Delivery, Publish};

/// What may be on its way back to one room: some seconds of more than any room can show.
const IN_FLIGHT: usize = 4_096;

/// More is on its way than the bus holds; nothing of it was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("too much is on its way already")]
pub struct Busy;

/// Carries what rooms accept to every node that has them open.
pub trait Bus: Send + Sync {
    /// Everything of the channel from here on, in its order. `last` is the greatest id that this node knows of the channel:
    /// all that comes has a greater one.
    fn subscribe(&self, channel: &ChannelId, last: Option<EventId>) -> mpsc::Receiver<Delivery>;

    /// Never blocks.
    ///
    /// # Errors
    /// [`Busy`]: it was not taken.
    fn publish(&self, channel: &ChannelId, publish: Publish) -> Result<(), Busy>;
}

/// The bus of a chat service that is one process.
#[derive(Debug, Default)]
pub struct Local {
    topics: Mutex<HashMap<ChannelId, Topic>>,
}

#[derive(Debug)]
struct Topic {
    to: mpsc::Sender<Delivery>,
    last: Option<EventId>,
}

impl Bus for Local {
    fn subscribe(&self, channel: &ChannelId, last: Option<EventId>) -> mpsc::Receiver<Delivery> {
        let (to, deliveries) = mpsc::channel(IN_FLIGHT);
        let mut topics = self.lock();
        // Rooms that were closed.
        topics.retain(|_, topic| !topic.to.is_closed());
        topics.insert(channel.clone(), Topic { to, last });
        deliveries
    }

    fn publish(&self, channel: &ChannelId, publish: Publish) -> Result<(), Busy> {
        let mut topics = self.lock();
        let topic = topics.get_mut(channel).ok_or(Busy)?;
        let at_ms = clock::unix_ms();
        let id = next_id(topic.last, at_ms, random());
        topic.to.try_send(publish.delivered_as(id, at_ms)).map_err(|_| Busy)?;
        topic.last = Some(id);
        Ok(())
    }
}

impl Local {
    fn lock(&self) -> MutexGuard<'_, HashMap<ChannelId, Topic>> {
        self.topics.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The id after `last` at `now_ms`: of this time, or the next one if the clock was set back or stands still.
fn next_id(last: Option<EventId>, now_ms: u64, random: u128) -> EventId {
    match last {
        Some(last) if now_ms <= last.unix_ms() => last.next(),
        _ => EventId::new(now_ms, random),
    }
}

fn random() -> u128 {
    let mut bytes = [0; 16];
    // Without it, ids of different channels may be alike; in one channel they are told apart by their time.
    if let Err(error) = getrandom::fill(&mut bytes) {
        log::warn!("no random numbers: {error}");
    }
    u128::from_ne_bytes(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::moderation::{Item, Note};

    fn note(n: u32) -> Publish {
        let item = Item::Note(Note::Raid { until_ms: 0, newcomers: n });
        Publish { item, inside: crate::moderation::Inside::default() }
    }

    #[test]
    fn ids_grow_whatever_the_clock_does() {
        let first = next_id(None, 1_000, 5);
        let second = next_id(Some(first), 1_000, 0);
        let back = next_id(Some(second), 10, 7);
        let later = next_id(Some(back), 1_001, 1);
        assert!(first < second && second < back && back < later);
        assert_eq!((back.unix_ms(), later.unix_ms()), (1_000, 1_001));
    }

    #[test]
    fn everything_comes_back_in_order_above_what_was_known() {
        let bus = Local::default();
        let channel: ChannelId = "demo".parse().unwrap();
        assert_eq!(bus.publish(&channel, note(0)), Err(Busy), "nobody has it open");
        let last = EventId::new(clock::unix_ms() + 60_000, 9);
        let mut deliveries = bus.subscribe(&channel, Some(last));
        for n in 0..100 {
            bus.publish(&channel, note(n)).unwrap();
        }
        let mut before = last;
        for n in 0..100 {
            let delivery = deliveries.try_recv().unwrap();
            assert!(delivery.id > before);
            assert_eq!(delivery.item, note(n).item);
            before = delivery.id;
        }
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let bus = Local::default();
        let channel: ChannelId = "demo".parse().unwrap();
        let deliveries = bus.subscribe(&channel, None);
        for n in 0..IN_FLIGHT {
            bus.publish(&channel, note(u32::try_from(n).unwrap())).unwrap();
        }
        assert_eq!(bus.publish(&channel, note(0)), Err(Busy));
        drop(deliveries);
        assert_eq!(bus.publish(&channel, note(0)), Err(Busy));
    }
}
