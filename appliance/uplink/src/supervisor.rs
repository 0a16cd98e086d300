//! Starts what each session needs: one pusher per origin, a place in each store's queue, and an eye on its
//! credential.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use nodi_daemon::shutdown::Shutdown;
use nodi_daemon::watchdog::Beat;
use nodi_protocol::ChannelId;
use nodi_spool::layout::SessionKey;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::config::Config;
use crate::credentials::Credentials;
use crate::ingest::Ingest;
use crate::journal::{Journal, Record};
use crate::metrics::Metrics;
use crate::model::Session;
use crate::origin::{Origin, Pusher, Timeline};
use crate::store::{Shelf, Store};
use crate::watch::Catalogue;

/// Sessions that may wait for a store's turn: one channel's restarts while the store is away.
const SHELF_QUEUE: usize = 256;
/// How long a worker may go on writing after ingest removed the credential: it drains its pipeline.
const LAST_LINES: Duration = Duration::from_secs(10);
/// How long the journal remembers sessions that the spool has not any more.
const JOURNAL_AGE: Duration = Duration::from_secs(7 * 24 * 3600);

/// What sessions share.
pub(crate) struct Supervisor {
    pub config: Arc<Config>,
    pub origins: Vec<Arc<Origin>>,
    pub stores: Vec<Arc<Store>>,
    pub journal: Journal,
    pub credentials: Credentials,
    pub ingest: Ingest,
    pub metrics: Metrics,
    pub catalogue: Catalogue,
    pub shutdown: Shutdown,
}

impl Supervisor {
    /// Runs until the process stops and everything is drained.
    pub(crate) async fn run(
        self,
        mut started: mpsc::Receiver<Arc<Session>>,
        released: mpsc::Sender<SessionKey>,
        beat: Beat,
    ) -> Result<(), crate::Error> {
        if let Err(error) = self.journal.prune(self.catalogue.ids(), JOURNAL_AGE).await {
            log::error!("{error}");
        }
        let shared = Arc::new(self);
        let mut tasks: JoinSet<()> = JoinSet::new();
        let mut shelves: HashMap<(String, ChannelId), mpsc::Sender<Arc<Session>>> = HashMap::new();
        for store in &shared.stores {
            tasks.spawn(store.clone().sweep(shared.journal.clone(), shared.shutdown.clone()));
        }
        loop {
            tokio::select! {
                session = started.recv() => match session {
                    Some(session) => {
                        for store in &shared.stores {
                            session.expect(store.name());
                            shared.shelve(store, &session, &mut shelves, &mut tasks).await;
                        }
                        tasks.spawn(follow(shared.clone(), session, released.clone()));
                    }
                    // The watcher ended, which is an error of its own unless the process stops.
                    None => break,
                },
                Some(result) = tasks.join_next() => check(result),
                () = beat.turn() => {}
                () = shared.shutdown.wait() => break,
            }
        }
        drop(started);
        shelves.clear();
        while let Some(result) = tasks.join_next().await {
            check(result);
        }
        shared.journal.flush().await;
        Ok(())
    }

    /// Puts the session into the queue of its channel in `store`.
    async fn shelve(
        &self,
        store: &Arc<Store>,
        session: &Arc<Session>,
        shelves: &mut HashMap<(String, ChannelId), mpsc::Sender<Arc<Session>>>,
        tasks: &mut JoinSet<()>,
    ) {
        let key = (store.name().to_owned(), session.channel.clone());
        if !shelves.contains_key(&key) {
            let shelf = Shelf::open(
                store.clone(),
                session.channel.clone(),
                self.journal.clone(),
                self.metrics.clone(),
                self.shutdown.clone(),
            );
            match shelf.await {
                Ok(shelf) => {
                    let (queue, sessions) = mpsc::channel(SHELF_QUEUE);
                    tasks.spawn(shelf.run(sessions));
                    shelves.insert(key.clone(), queue);
                }
                Err(error) => {
                    log::error!(target_name:% = store.name(), session:% = session.id; "{error}");
                    return;
                }
            }
        }
        if let Some(queue) = shelves.get(&key)
            && queue.try_send(session.clone()).is_err()
        {
            log::error!(target_name:% = store.name(), session:% = session.id;
                "{SHELF_QUEUE} sessions of the channel wait for the store already: this one is not sent");
            session.settle_all(store.name());
        }
    }

    /// The session's records at all origins that still want it.
    async fn records(&self, session: &Session) -> Vec<(usize, Arc<Origin>, Option<Record>)> {
        let mut wanted = Vec::new();
        for (number, origin) in self.origins.iter().enumerate() {
            match self.journal.record(origin.name(), session.id).await {
                Ok(Some(record)) if record.over => {}
                Ok(record) => wanted.push((number, origin.clone(), record)),
                Err(error) => {
                    log::error!("{error}");
                    wanted.push((number, origin.clone(), None));
                }
            }
        }
        wanted
    }
}

fn check(result: Result<(), tokio::task::JoinError>) {
    if let Err(error) = result {
        log::error!("a session's task failed: {error}");
    }
}

/// One session from its appearance until every target is done with it.
async fn follow(shared: Arc<Supervisor>, session: Arc<Session>, released: mpsc::Sender<SessionKey>) {
    shared.metrics.sessions.inc();
    let end = tokio::spawn(watch_end(shared.clone(), session.clone()));
    push(&shared, &session).await;
    // The stores go on until the session's last segment: they settle it themselves.
    let mut look = tokio::time::interval(Duration::from_secs(1));
    loop {
        if session.over().is_some() && session.is_done() {
            break;
        }
        tokio::select! {
            _ = look.tick() => {}
            () = shared.shutdown.wait() => break,
        }
    }
    end.abort();
    shared.metrics.sessions.dec();
    if !shared.shutdown.is_asked() {
        shared.catalogue.done(session.id);
        let key = SessionKey { channel: session.channel.clone(), session: session.id };
        // Fails only when the watcher is gone, and then nothing is followed anyway.
        let _ = released.send(key).await;
    }
}

/// Pushes the session to all origins that want it.
async fn push(shared: &Arc<Supervisor>, session: &Arc<Session>) {
    let wanted = shared.records(session).await;
    if wanted.is_empty() {
        return;
    }
    for (_, origin, _) in &wanted {
        session.expect(origin.name());
    }
    let give_up = |session: &Session| {
        wanted.iter().for_each(|(_, origin, _)| session.settle_all(origin.name()));
    };
    let limit = match session.over() {
        Some(_) => Duration::ZERO,
        None => Duration::from_secs(shared.config.credential_wait_s),
    };
    let key = tokio::select! {
        key = shared.credentials.wait(&session.channel, session.id, limit) => key,
        () = shared.shutdown.wait() => return,
    };
    let key = match key {
        Ok(key) => key,
        Err(error) => {
            shared.metrics.sessions_skipped.inc();
            log::warn!(session:% = session.id, channel:% = session.channel;
                "session is not pushed to origins: {error}");
            return give_up(session);
        }
    };
    log::info!(session:% = session.id, channel:% = session.channel; "session is being pushed");
    let recorded =
        wanted.iter().filter_map(|(_, _, record)| record.as_ref()).map(|record| record.base_msn).max();
    let timeline = Arc::new(Timeline::new(shared.origins.len(), recorded));
    let mut pushers = JoinSet::new();
    for (number, origin, record) in wanted {
        let pusher = Pusher {
            origin,
            number,
            session: session.clone(),
            key: key.clone(),
            timeline: timeline.clone(),
            record,
            window_s: None,
            journal: shared.journal.clone(),
            ingest: shared.ingest.clone(),
            metrics: shared.metrics.clone(),
            live: shared.config.live,
            shutdown: shared.shutdown.clone(),
        };
        pushers.spawn(pusher.run());
    }
    while let Some(result) = pushers.join_next().await {
        check(result);
    }
}

/// A session whose last worker died has no `end`: it is over when its credential is gone and nothing is written.
async fn watch_end(shared: Arc<Supervisor>, session: Arc<Session>) {
    // May never come for a session from before a reboot: then it is gone at once.
    let limit = Duration::from_secs(shared.config.credential_wait_s);
    let _ = shared.credentials.wait(&session.channel, session.id, limit).await;
    shared.credentials.gone(session.id).await;
    let mut seen = None;
    loop {
        let written: Vec<u64> =
            session.feeds().iter().map(|feed| feed.read(|index| index.end_ns())).collect();
        if session.over().is_some() {
            return;
        }
        if seen.as_ref() == Some(&written) {
            return session.close("gone");
        }
        seen = Some(written);
        tokio::time::sleep(LAST_LINES).await;
    }
}
