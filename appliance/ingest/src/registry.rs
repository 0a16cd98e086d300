//! The live sessions: at most one per channel, and the newest one has it.

use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use nodi_protocol::{ChannelId, SessionId};
use serde::Serialize;

use crate::handover;
use crate::health::{Snapshot, Warning};
use crate::keys::Keyring;
use crate::mailbox::{Mailbox, Order};

/// What identifies a live session and never changes.
#[derive(Debug, Clone, Serialize)]
pub struct Identity {
    pub channel: ChannelId,
    pub session: SessionId,
    pub peer: SocketAddr,
    /// `rtmp` or `rtmps`.
    pub transport: &'static str,
    #[serde(skip)]
    pub key_version: u32,
    /// The health gate's: nobody who asks for sessions hears of it.
    #[serde(skip)]
    pub self_test: bool,
}

/// How a session stands; replaced about once a second.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// As the encoder named itself.
    pub encoder: String,
    /// Bytes received, with everything that RTMP adds.
    pub received_bytes: u64,
    #[serde(flatten)]
    pub health: Snapshot,
    /// Absent when sessions are received only.
    pub worker: Option<handover::Status>,
    pub warnings: Vec<Warning>,
}

#[derive(Debug)]
pub struct Live {
    pub identity: Identity,
    pub mailbox: Mailbox,
    report: Mutex<Option<Report>>,
}

/// One element of `GET /sessions`.
#[derive(Debug, Clone, Serialize)]
pub struct Entry {
    #[serde(flatten)]
    pub identity: Identity,
    #[serde(flatten)]
    pub report: Option<Report>,
}

/// Sessions that are remembered after their end: more than end within the minutes for which the agent may be away.
const REMEMBERED: usize = 256;

/// One element of `GET /ended`.
#[derive(Debug, Clone, Serialize)]
pub struct Ended {
    pub channel: ChannelId,
    pub session: SessionId,
    /// As the encoder named itself.
    pub encoder: String,
    /// For people.
    pub reason: String,
    /// For programs: [`Ending::label`](crate::ending::Ending::label).
    pub code: &'static str,
    pub live_s: f64,
    pub received_bytes: u64,
}

#[derive(Debug, Default)]
pub struct Registry {
    sessions: Mutex<HashMap<ChannelId, Arc<Live>>>,
    /// Oldest first.
    ended: Mutex<VecDeque<Ended>>,
}

/// A session's place; given back on drop.
#[derive(Debug)]
pub struct Registration {
    registry: Arc<Registry>,
    live: Arc<Live>,
}

impl Registry {
    /// Gives the channel to a new session. The one that had it, if any, is told to end.
    pub fn register(self: &Arc<Self>, identity: Identity) -> Registration {
        let live = Arc::new(Live { identity, mailbox: Mailbox::default(), report: Mutex::default() });
        let older = self.lock().insert(live.identity.channel.clone(), Arc::clone(&live));
        if let Some(older) = older {
            log::info!(channel:% = older.identity.channel, session:% = older.identity.session,
                by:% = live.identity.session; "session superseded");
            older.mailbox.post(Order::Superseded);
        }
        Registration { registry: Arc::clone(self), live }
    }

    /// Ends a session; `false` if there is none of this id.
    pub fn end(&self, session: SessionId, order: Order) -> bool {
        let sessions = self.lock();
        let live = sessions.values().find(|live| live.identity.session == session);
        if let Some(live) = live {
            live.mailbox.post(order);
        }
        live.is_some()
    }

    /// Ends every session.
    pub fn end_all(&self, order: &Order) {
        for live in self.lock().values() {
            live.mailbox.post(order.clone());
        }
    }

    /// Ends every session whose key is revoked or whose channel is suspended by now.
    pub fn end_objectionable(&self, keyring: &Keyring) {
        for live in self.lock().values() {
            if !live.identity.self_test
                && let Some(order) = keyring.objection(&live.identity.channel, live.identity.key_version)
            {
                live.mailbox.post(order);
            }
        }
    }

    /// Remembers how a session ended, for those who look now and then.
    pub fn note_end(&self, ended: Ended) {
        let mut all = self.ended.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() >= REMEMBERED {
            all.pop_front();
        }
        all.push_back(ended);
    }

    /// The sessions that ended last, oldest first.
    #[must_use]
    pub fn ended(&self) -> Vec<Ended> {
        self.ended.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }

    /// How all live sessions stand, by channel.
    #[must_use]
    pub fn entries(&self) -> Vec<Entry> {
        let mut entries: Vec<_> = self
            .lock()
            .values()
            .filter(|live| !live.identity.self_test)
            .map(|live| Entry {
                identity: live.identity.clone(),
                report: live.report.lock().unwrap_or_else(PoisonError::into_inner).clone(),
            })
            .collect();
        entries.sort_by(|one, other| one.identity.channel.cmp(&other.identity.channel));
        entries
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<ChannelId, Arc<Live>>> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Registration {
    #[must_use]
    pub fn identity(&self) -> &Identity {
        &self.live.identity
    }

    #[must_use]
    pub fn mailbox(&self) -> &Mailbox {
        &self.live.mailbox
    }

    pub fn report(&self, report: Report) {
        *self.live.report.lock().unwrap_or_else(PoisonError::into_inner) = Some(report);
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        let mut sessions = self.registry.lock();
        let channel = &self.live.identity.channel;
        // A newer session may have the channel by now.
        if sessions.get(channel).is_some_and(|live| Arc::ptr_eq(live, &self.live)) {
            sessions.remove(channel);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::task::{Context, Poll, Waker};

    use super::*;

    fn identity(channel: &str, ms: u64) -> Identity {
        Identity {
            channel: channel.parse().unwrap(),
            session: SessionId::new(ms, 0),
            peer: "192.0.2.1:1000".parse().unwrap(),
            transport: "rtmp",
            key_version: 1,
            self_test: false,
        }
    }

    fn order(registration: &Registration) -> Poll<Order> {
        registration.mailbox().poll(&mut Context::from_waker(Waker::noop()))
    }

    #[test]
    fn the_newest_session_has_the_channel() {
        let registry = Arc::new(Registry::default());
        let other = registry.register(identity("other", 1));
        let first = registry.register(identity("nodi", 1));
        let second = registry.register(identity("nodi", 2));
        assert_eq!(order(&first), Poll::Ready(Order::Superseded));
        assert_eq!((order(&second), order(&other)), (Poll::Pending, Poll::Pending));
        drop(first);
        let live: Vec<_> = registry.entries().into_iter().map(|entry| entry.identity.session).collect();
        assert_eq!(live, [SessionId::new(2, 0), SessionId::new(1, 0)]);
        assert!(registry.end(SessionId::new(2, 0), Order::Asked("bye".into())));
        assert_eq!(order(&second), Poll::Ready(Order::Asked("bye".into())));
        drop(second);
        assert!(!registry.end(SessionId::new(2, 0), Order::Shutdown));
    }
}
