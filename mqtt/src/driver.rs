//! One connection after the other, for ever, with pauses that grow while nothing succeeds.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, mpsc, oneshot, watch};
use tokio::time::Instant;

use crate::connection::{self, Ended};
use crate::link::{Link, NotSent, Request, Shared};
use crate::options::{Options, Prepare};
use crate::{Event, Why};

/// A connection that lived so long was a good one: the next pause is the shortest again.
const SETTLED: Duration = Duration::from_secs(10);

/// A link that does nothing until its driver runs.
///
/// The driver ends after [`Link::close`], when every handle is gone, or when the events' receiver is.
pub fn open<P: Prepare>(options: Options, prepare: P) -> (Link, mpsc::Receiver<Event>, Driver<P>) {
    // As many may wait here as may be under way, so that the next is at hand when one is acknowledged.
    let (requests, asked) = mpsc::channel(usize::from(options.in_flight.max(1)));
    let (events, receiver) = mpsc::channel(options.events.max(1));
    let (number, connection) = watch::channel(None);
    let shared = Arc::new(Shared {
        overdue: Notify::new(),
        ack_timeout: options.ack_timeout,
        max_payload: options.max_payload,
    });
    let link = Link { requests, connection, shared: shared.clone() };
    (link, receiver, Driver { options, prepare, asked, events, number, shared })
}

/// Keeps the link alive while it runs.
#[must_use = "nothing happens on the link until it runs"]
pub struct Driver<P> {
    options: Options,
    prepare: P,
    asked: mpsc::Receiver<Request>,
    events: mpsc::Sender<Event>,
    number: watch::Sender<Option<u64>>,
    shared: Arc<Shared>,
}

impl<P: Prepare> Driver<P> {
    /// Connects, and connects again, until the link is closed.
    pub async fn run(mut self) {
        let mut failures = 0_u32;
        let mut connections = 0_u64;
        loop {
            let prepared = match refusing(&mut self.asked, self.prepare.prepare()).await {
                Ok(Ok(attempt)) => Ok(attempt),
                Ok(Err(error)) => Err(Why::Preparation(error)),
                Err(closed) => return closed.confirm(),
            };
            let begun = Instant::now();
            let mut was_connected = false;
            let why = match prepared {
                Err(why) => why,
                Ok(attempt) => {
                    let context = connection::Context {
                        options: &self.options,
                        asked: &mut self.asked,
                        events: &self.events,
                        number: &self.number,
                        next: connections + 1,
                        shared: &self.shared,
                    };
                    // In a box of its own: a task that waits for its pause does not carry it.
                    let ended = Box::pin(connection::run(attempt, context)).await;
                    was_connected = self.number.send_replace(None).is_some();
                    match ended {
                        Ended::Lost(why) => why,
                        Ended::Reconnect => Why::Asked,
                        Ended::Closed(closed) => return closed.confirm(),
                        Ended::OwnerGone => return,
                    }
                }
            };
            connections += u64::from(was_connected);
            if was_connected && begun.elapsed() >= SETTLED {
                failures = 0;
            }
            let pause =
                if matches!(why, Why::Asked) { Duration::ZERO } else { self.options.backoff.pause(failures) };
            failures = if matches!(why, Why::Asked) { 0 } else { failures.saturating_add(1) };
            match refusing(&mut self.asked, self.events.send(Event::Disconnected(why))).await {
                Ok(Ok(())) => {}
                Ok(Err(_)) => return,
                Err(closed) => return closed.confirm(),
            }
            if let Err(closed) = refusing(&mut self.asked, tokio::time::sleep(pause)).await {
                return closed.confirm();
            }
        }
    }
}

/// The owner wants the link to end, and may wait to hear that it has.
pub(crate) struct Closed(pub Option<oneshot::Sender<()>>);

impl Closed {
    pub(crate) fn confirm(self) {
        if let Some(reply) = self.0 {
            // Nobody waits any more: fine.
            let _ = reply.send(());
        }
    }
}

/// Does `work`, and meanwhile tells everyone who wants to publish that there is no connection.
pub(crate) async fn refusing<T>(
    asked: &mut mpsc::Receiver<Request>,
    work: impl Future<Output = T>,
) -> Result<T, Closed> {
    let mut work = std::pin::pin!(work);
    loop {
        tokio::select! {
            biased;
            done = &mut work => return Ok(done),
            request = asked.recv() => match request {
                Some(Request::Publish { reply, .. }) => {
                    let _ = reply.send(Err(NotSent::NotConnected));
                }
                // The next connection is a new one anyway.
                Some(Request::Reconnect) => {}
                Some(Request::Close { reply, .. }) => return Err(Closed(Some(reply))),
                None => return Err(Closed(None)),
            },
        }
    }
}
