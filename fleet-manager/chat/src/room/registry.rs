//! The open rooms. A room opens when somebody wants to enter, and closes after nobody has been in it for a while.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use nodi_protocol::ChannelId;
use nodi_protocol::chat::rooms;
use tokio::sync::{mpsc, oneshot};
use tokio_util::task::TaskTracker;

use super::{Command, Handle, INBOX, Shown, actor};
use crate::service::Service;

/// Why a room is not opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error("too many rooms are open")]
    Full,
    #[error("the service stops")]
    Stopping,
}

#[derive(Debug, Default)]
pub struct Registry {
    open: Mutex<Open>,
    tasks: TaskTracker,
}

#[derive(Debug, Default)]
struct Open {
    rooms: HashMap<ChannelId, Handle>,
    stopping: bool,
}

impl Registry {
    /// The room of a channel, opened if need be.
    ///
    /// # Errors
    /// Why it cannot be opened.
    pub fn enter(&self, service: &Arc<Service>, channel: &ChannelId) -> Result<Handle, Refusal> {
        let mut open = self.lock();
        if open.stopping {
            return Err(Refusal::Stopping);
        }
        if let Some(handle) = open.rooms.get(channel)
            && !handle.inbox.is_closed()
        {
            return Ok(handle.clone());
        }
        if open.rooms.len() >= service.config.rooms.max {
            return Err(Refusal::Full);
        }
        let (inbox, commands) = mpsc::channel(INBOX);
        let shown = Arc::new(Shown::new(channel.clone()));
        let handle = Handle { inbox, shown };
        let back = handle.inbox.downgrade();
        self.tasks.spawn(actor::run(Arc::clone(service), Arc::clone(&handle.shown), commands, back));
        open.rooms.insert(channel.clone(), handle.clone());
        service.metrics.rooms.set(i64::try_from(open.rooms.len()).unwrap_or(i64::MAX));
        Ok(handle)
    }

    /// For the room's task: takes the room out if nobody is in it or about to be.
    pub(super) fn close_unused(&self, service: &Service, shown: &Arc<Shown>) -> bool {
        let mut open = self.lock();
        let is_unused = open
            .rooms
            .get(&shown.channel)
            .is_none_or(|handle| Arc::ptr_eq(&handle.shown, shown) && handle.inbox.strong_count() == 1);
        if is_unused {
            open.rooms.remove(&shown.channel);
            service.metrics.rooms.set(i64::try_from(open.rooms.len()).unwrap_or(i64::MAX));
        }
        is_unused
    }

    /// Every room with somebody in it.
    #[must_use]
    pub fn counts(&self) -> rooms::Rooms {
        let mut rooms: Vec<rooms::Room> = self
            .lock()
            .rooms
            .values()
            .map(|handle| {
                let counts = handle.shown.counts();
                rooms::Room {
                    channel: handle.shown.channel.clone(),
                    viewers: counts.viewers,
                    chatters: counts.chatters,
                }
            })
            .filter(|room| room.viewers > 0)
            .collect();
        rooms.sort_by(|one, other| one.channel.cmp(&other.channel));
        rooms::Rooms { rooms }
    }

    /// Tells every open room that an account's messages are erased, and waits until each has forgotten them.
    pub async fn erase(&self, account: &str) {
        let handles: Vec<Handle> = self.lock().rooms.values().cloned().collect();
        for handle in handles {
            let (done, forgotten) = oneshot::channel();
            if handle.send(Command::Erase { account: account.to_owned(), done }).await.is_ok() {
                // A room that ends meanwhile forgets everything.
                let _ = forgotten.await;
            }
        }
    }

    /// Closes every room with everybody in it; returns when all have ended.
    pub async fn stop(&self) {
        let handles: Vec<Handle> = {
            let mut open = self.lock();
            open.stopping = true;
            open.rooms.values().cloned().collect()
        };
        for handle in handles {
            // An error means that it ended by itself.
            let _ = handle.send(Command::Stop).await;
        }
        self.tasks.close();
        self.tasks.wait().await;
    }

    fn lock(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
