//! Rooms: one task each, which alone knows and changes what is in it. What comes in, from connections and from the bus, it
//! takes one after the other; that is the order that everybody sees.

mod actor;
mod members;
pub mod registry;
pub mod ring;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use nodi_protocol::ChannelId;
use nodi_protocol::chat::EventId;
use nodi_protocol::chat::action::Action;
use nodi_protocol::chat::rooms::ChannelFacts;
use nodi_protocol::chat::server::Refused;
use nodi_protocol::chat::token::Claims;
use tokio::sync::mpsc;

use crate::connection::link::Link;
use crate::counts::Counts;
use crate::limits::AddressKey;
use crate::store::Since;

/// What may wait for a room: connections wait for their turn behind it.
const INBOX: usize = 1_024;

/// Who a connection says that it is.
#[derive(Debug)]
pub enum Identity {
    /// Reads only.
    Nobody,
    Account(Box<Claims>),
    /// Its token is not good: it reads on, and hears why.
    Refused(Box<Refused>),
}

/// A connection that wants to enter.
#[derive(Debug)]
pub struct Join {
    pub link: Arc<Link>,
    pub address: AddressKey,
    pub identity: Identity,
    pub after: Option<EventId>,
    /// How many of the last messages, when there is no `after`.
    pub history: usize,
}

/// What a room is asked.
#[derive(Debug)]
pub enum Command {
    Join(Join),
    /// A join, with what the store has of what it missed; `None`: too much, or nothing that can be relied on.
    Resume(Join, Option<Since>),
    Auth {
        link: Arc<Link>,
        address: AddressKey,
        identity: Identity,
    },
    Say {
        link: Arc<Link>,
        nonce: String,
        text: String,
        reply_to: Option<EventId>,
    },
    Do {
        link: Arc<Link>,
        nonce: String,
        action: Box<Action>,
    },
    Leave(Arc<Link>),
    /// What the fleet server answered; `None`: there is no such channel.
    Facts(Option<ChannelFacts>),
    /// An account's messages are erased for good.
    Erase {
        account: String,
        done: tokio::sync::oneshot::Sender<()>,
    },
    Stop,
}

/// The way into a room.
#[derive(Debug, Clone)]
pub struct Handle {
    inbox: mpsc::Sender<Command>,
    shown: Arc<Shown>,
}

/// What is told of a room outside.
#[derive(Debug)]
pub struct Shown {
    pub channel: ChannelId,
    viewers: AtomicU64,
    chatters: AtomicU64,
}

impl Shown {
    fn new(channel: ChannelId) -> Self {
        Self { channel, viewers: AtomicU64::new(0), chatters: AtomicU64::new(0) }
    }

    #[must_use]
    pub fn counts(&self) -> Counts {
        Counts {
            viewers: self.viewers.load(Ordering::Relaxed),
            chatters: self.chatters.load(Ordering::Relaxed),
        }
    }

    fn set(&self, counts: Counts) {
        self.viewers.store(counts.viewers, Ordering::Relaxed);
        self.chatters.store(counts.chatters, Ordering::Relaxed);
    }
}

/// The room has ended, because the process does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ended;

impl Handle {
    /// Waits while more is before the room than it holds.
    ///
    /// # Errors
    /// [`Ended`]
    pub async fn send(&self, command: Command) -> Result<(), Ended> {
        self.inbox.send(command).await.map_err(|_| Ended)
    }

    #[must_use]
    pub fn channel(&self) -> &ChannelId {
        &self.shown.channel
    }
}
