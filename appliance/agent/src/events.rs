//! Where everything in the agent says what must not be lost.

use nodi_protocol::fleet::event::What;
use tokio::sync::watch;

use crate::clock::Clock;
use crate::store::{Error, EventBounds, Store};
use crate::update::Record;

/// A clonable handle to the event journal.
#[derive(Clone, Debug)]
pub struct Events {
    store: Store,
    clock: Clock,
    bounds: EventBounds,
    /// Number of the newest event.
    newest: watch::Sender<u64>,
}

impl Events {
    pub(crate) fn new(store: Store, clock: Clock, bounds: EventBounds) -> Self {
        Self { store, clock, bounds, newest: watch::Sender::new(0) }
    }

    /// Writes it down; it is on disk when this returns. A disk that fails is logged: whoever calls can do no better.
    pub async fn record(&self, what: What) {
        log::info!(event:? = what; "event");
        match self.store.record(self.clock.now_ms(), what, self.bounds).await {
            Ok(seq) => self.noticed(seq),
            Err(error) => log::error!("event is lost: {error}"),
        }
    }

    /// Writes down how an update ended, together with its last state.
    ///
    /// # Errors
    /// When the database fails: then neither is on disk.
    pub(crate) async fn update_ended(&self, record: Record) -> Result<(), Error> {
        let report = &record.report;
        let what = What::UpdateEnded {
            update: report.id,
            state: report.state,
            from: report.from.clone(),
            to: report.to.clone(),
            message: report.message.clone(),
        };
        log::info!(event:? = what; "event");
        let seq = self.store.end_update(record, what, self.bounds).await?;
        self.noticed(seq);
        Ok(())
    }

    /// Says what was given up, if anything was since this was last said.
    pub(crate) async fn record_drops(&self) {
        match self.store.record_drops(self.clock.now_ms(), self.bounds).await {
            Ok(true) => self.newest.send_modify(|_| ()),
            Ok(false) => {}
            Err(error) => log::error!("{error}"),
        }
    }

    /// Changes when there is something new to send.
    pub(crate) fn newest(&self) -> watch::Receiver<u64> {
        self.newest.subscribe()
    }

    fn noticed(&self, seq: u64) {
        self.newest.send_modify(|newest| *newest = (*newest).max(seq));
    }
}
