//! The owner's handle: publish, wait for the acknowledgement, reconnect, say goodbye.

use std::sync::Arc;
use std::time::Duration;

use rumqttc::{PublishNotice, PublishNoticeError, PublishResult};
use tokio::sync::{Notify, mpsc, oneshot, watch};

use crate::{Message, Reason};

/// Why a message was not sent, or is not known to have been.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotSent {
    #[error("no connection to the broker")]
    NotConnected,
    /// The broker may have it or not.
    #[error("the connection ended before the broker acknowledged")]
    ConnectionLost,
    /// Saying it again will not help.
    #[error("the broker refuses it: {0}")]
    Refused(Reason),
    #[error("{len} bytes are more than the {max} of a payload")]
    TooLarge { len: usize, max: usize },
    /// It has wildcards, is empty or has a NUL in it.
    #[error("{0:?} is not a topic to publish on")]
    BadTopic(String),
    #[error("the link is closed")]
    Closed,
}

impl NotSent {
    /// Whether the same message can be accepted after the next connection.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::NotConnected | Self::ConnectionLost)
    }
}

pub(crate) enum Request {
    Publish { message: Message, reply: oneshot::Sender<Result<PublishNotice, NotSent>> },
    Reconnect,
    Close { last: Vec<Message>, reply: oneshot::Sender<()> },
}

/// What handles and driver share.
#[derive(Debug)]
pub(crate) struct Shared {
    /// A publish was not acknowledged in time.
    pub overdue: Notify,
    pub ack_timeout: Duration,
    pub max_payload: usize,
}

/// A clonable handle to one link.
#[derive(Debug, Clone)]
pub struct Link {
    pub(crate) requests: mpsc::Sender<Request>,
    pub(crate) connection: watch::Receiver<Option<u64>>,
    pub(crate) shared: Arc<Shared>,
}

impl Link {
    /// Publishes and waits until the broker has acknowledged.
    ///
    /// # Errors
    /// When it has not, or has said no.
    pub async fn publish(&self, message: Message) -> Result<(), NotSent> {
        self.send(message).await?.acknowledged().await
    }

    /// Hands `message` over and returns what tells of its acknowledgement, so that several can be under way. Waits
    /// while too many are. Messages of one caller keep their order.
    ///
    /// # Errors
    /// When it cannot be sent at all.
    pub async fn send(&self, message: Message) -> Result<Acknowledgement, NotSent> {
        let max = self.shared.max_payload;
        if message.payload.len() > max {
            return Err(NotSent::TooLarge { len: message.payload.len(), max });
        }
        if self.connection.borrow().is_none() {
            return Err(NotSent::NotConnected);
        }
        let (reply, notice) = oneshot::channel();
        self.requests.send(Request::Publish { message, reply }).await.map_err(|_| NotSent::Closed)?;
        Ok(Acknowledgement { notice, shared: self.shared.clone() })
    }

    /// The number of the connection that there is now, counted by this link from 1; `None` while there is none.
    #[must_use]
    pub fn connection(&self) -> watch::Receiver<Option<u64>> {
        self.connection.clone()
    }

    #[must_use]
    pub fn is_connected(&self) -> bool {
        self.connection.borrow().is_some()
    }

    /// Says goodbye, so that no will is published, and connects again at once: with a new certificate, for example.
    pub async fn reconnect(&self) {
        // A driver that is gone needs no new connection.
        let _ = self.requests.send(Request::Reconnect).await;
    }

    /// Publishes `last`, waits for their acknowledgement, says goodbye, and ends the driver; gives up after
    /// `within`. A driver that is dropped then says no goodbye, and the broker publishes the will.
    pub async fn close(&self, last: Vec<Message>, within: Duration) {
        let (reply, done) = oneshot::channel();
        let _ = tokio::time::timeout(within, async {
            if self.requests.send(Request::Close { last, reply }).await.is_ok() {
                // An error means that the driver has ended already.
                let _ = done.await;
            }
        })
        .await;
    }
}

/// Whether the broker has a message.
#[derive(Debug)]
#[must_use = "a message may not have arrived"]
pub struct Acknowledgement {
    notice: oneshot::Receiver<Result<PublishNotice, NotSent>>,
    shared: Arc<Shared>,
}

impl Acknowledgement {
    /// # Errors
    /// When it has not, or has said no.
    pub async fn acknowledged(self) -> Result<(), NotSent> {
        let outcome = async {
            let notice = self.notice.await.map_err(|_| NotSent::ConnectionLost)??;
            outcome_of(notice).await
        };
        match tokio::time::timeout(self.shared.ack_timeout, outcome).await {
            Ok(outcome) => outcome,
            Err(_) => {
                self.shared.overdue.notify_one();
                Err(NotSent::ConnectionLost)
            }
        }
    }
}

pub(crate) async fn outcome_of(notice: PublishNotice) -> Result<(), NotSent> {
    match notice.wait_async().await {
        Ok(PublishResult::Qos1(puback)) => Reason::of_puback(puback.reason).map_err(NotSent::Refused),
        // Nothing here is published with another quality of service.
        Ok(other) => Err(NotSent::Refused(Reason::Other(format!("{other:?}")))),
        Err(PublishNoticeError::V5PubAck(reason)) => Reason::of_puback(reason).map_err(NotSent::Refused),
        Err(PublishNoticeError::RetainNotSupported) => {
            Err(NotSent::Refused(Reason::Other("RetainNotSupported".to_owned())))
        }
        Err(_) => Err(NotSent::ConnectionLost),
    }
}
