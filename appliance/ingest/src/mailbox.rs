//! How others tell a session to end. A slot and a waker: a session looks into it on every turn of its
//! loop, thousands of times for each time that something is in it.

use std::sync::{Mutex, PoisonError};
use std::task::{Context, Poll};

use futures_util::task::AtomicWaker;

/// Why somebody else ends a session. The texts are for the streamer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Order {
    /// A newer publisher has the channel, here or on another box.
    #[error("another encoder publishes to this channel now")]
    Superseded,
    #[error("{}", nodi_protocol::stream_key::Refusal::Revoked)]
    Revoked,
    #[error("{}", nodi_protocol::stream_key::Refusal::Suspended)]
    Suspended,
    #[error("{0}")]
    Asked(String),
    #[error("this server restarts; your encoder may reconnect")]
    Shutdown,
}

#[derive(Debug, Default)]
pub struct Mailbox {
    order: Mutex<Option<Order>>,
    waker: AtomicWaker,
}

impl Mailbox {
    /// The first order counts.
    pub fn post(&self, order: Order) {
        self.order.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(order);
        self.waker.wake();
    }

    /// For the one task that owns the session.
    pub fn poll(&self, cx: &mut Context<'_>) -> Poll<Order> {
        self.waker.register(cx.waker());
        match self.order.lock().unwrap_or_else(PoisonError::into_inner).take() {
            Some(order) => Poll::Ready(order),
            None => Poll::Pending,
        }
    }
}
