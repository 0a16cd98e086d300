//! Turns what the spool's follower reports into [`Session`]s.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use nodi_daemon::watchdog::Beat;
use nodi_protocol::SessionId;
use nodi_spool::layout::{RenditionKey, SessionKey};
use nodi_spool::{Entry, Event, Follower, janitor};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::sync::mpsc;

use crate::credentials::Credentials;
use crate::model::Session;
use crate::self_test;

/// Events that one look takes, so that a long index from before the start does not keep live ones waiting.
const BATCH: usize = 512;

/// Sessions of the spool that are not released yet, for everyone who asks by name.
#[derive(Debug, Clone, Default)]
pub(crate) struct Catalogue(Arc<Mutex<HashMap<SessionId, Known>>>);

#[derive(Debug, Clone)]
enum Known {
    Running(Arc<Session>),
    /// Every target is done with it.
    Done,
}

impl Catalogue {
    fn with<T>(&self, use_it: impl FnOnce(&mut HashMap<SessionId, Known>) -> T) -> T {
        use_it(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn running(&self, id: SessionId) -> Option<Arc<Session>> {
        self.with(|all| match all.get(&id) {
            Some(Known::Running(session)) => Some(session.clone()),
            _ => None,
        })
    }

    fn contains(&self, id: SessionId) -> bool {
        self.with(|all| all.contains_key(&id))
    }

    fn remove(&self, id: SessionId) -> Option<Arc<Session>> {
        self.with(|all| match all.remove(&id) {
            Some(Known::Running(session)) => Some(session),
            _ => None,
        })
    }

    #[must_use]
    pub(crate) fn ids(&self) -> Vec<SessionId> {
        self.with(|all| all.keys().copied().collect())
    }

    /// Sessions that some target still wants something of.
    #[must_use]
    pub(crate) fn all_running(&self) -> Vec<Arc<Session>> {
        self.with(|all| {
            let running = |known: &Known| match known {
                Known::Running(session) => Some(session.clone()),
                Known::Done => None,
            };
            all.values().filter_map(running).collect()
        })
    }

    /// All targets are done with the session.
    pub(crate) fn done(&self, id: SessionId) {
        self.with(|all| {
            if let Some(known) = all.get_mut(&id) {
                *known = Known::Done;
            }
        });
    }
}

/// What the janitor asks: which segments are safe elsewhere, and which sessions are over.
pub(crate) struct Facts {
    pub catalogue: Catalogue,
    pub credentials: Credentials,
}

impl janitor::Facts for Facts {
    fn pushed(&self, rendition: &RenditionKey, seq: u64) -> bool {
        if self_test::is_channel(&rendition.channel) {
            return true;
        }
        self.catalogue.with(|all| match all.get(&rendition.session) {
            Some(Known::Running(session)) => session.is_settled(&rendition.rendition, seq),
            Some(Known::Done) => true,
            None => false,
        })
    }

    fn over(&self, session: &SessionKey) -> bool {
        match self.catalogue.running(session.session) {
            Some(running) => running.over().is_some(),
            None => !self.credentials.exists(session.session),
        }
    }
}

/// Follows the spool and keeps the catalogue.
pub(crate) struct Watcher {
    follower: AsyncFd<Follower>,
    root: PathBuf,
    catalogue: Catalogue,
    /// Sessions that appeared before everything was read once: their targets start on the whole picture.
    early: Option<Vec<Arc<Session>>>,
    started: mpsc::Sender<Arc<Session>>,
    released: mpsc::Receiver<SessionKey>,
}

/// Why the spool is not followed any more.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("spool: {0}")]
    Spool(#[from] nodi_spool::Error),
    #[error("spool: {0}")]
    Io(#[from] std::io::Error),
}

impl Watcher {
    /// New sessions go to `started`; those in `released` are not followed any more.
    ///
    /// # Errors
    /// When the spool cannot be watched.
    pub(crate) fn new(
        root: PathBuf,
        catalogue: Catalogue,
        started: mpsc::Sender<Arc<Session>>,
        released: mpsc::Receiver<SessionKey>,
    ) -> Result<Self, Error> {
        let follower = Follower::open(&root, |_| 0)?;
        #[allow(unsafe_code, reason = "tokio cannot check that a type keeps its descriptor open")]
        // SAFETY: a `Follower` owns one inotify descriptor, opened with it and closed when it is dropped, and
        // answers with it always; `get_mut` is only used to read and to release.
        let follower = unsafe { AsyncFd::register_with_interest(follower, Interest::READABLE) }
            .map_err(std::io::Error::from)?;
        Ok(Self { follower, root, catalogue, early: Some(Vec::new()), started, released })
    }

    /// Runs until everyone who wants new sessions is gone.
    ///
    /// # Errors
    /// When the spool cannot be read any more.
    pub(crate) async fn run(mut self, beat: Beat) -> Result<(), Error> {
        loop {
            beat.beat();
            // What is due without a notification: everything at the start, long indexes later.
            let events = self.follower.get_mut().read(BATCH)?;
            if !events.is_empty() {
                if !self.take(events).await {
                    return Ok(());
                }
                tokio::task::yield_now().await;
                continue;
            }
            for session in self.early.take().into_iter().flatten() {
                if self.started.send(session).await.is_err() {
                    return Ok(());
                }
            }
            let events = tokio::select! {
                guard = self.follower.readable_mut() => {
                    let mut guard = guard?;
                    let events = guard.get_inner_mut().read(BATCH)?;
                    if events.is_empty() {
                        guard.clear_ready();
                    }
                    events
                }
                Some(key) = self.released.recv() => {
                    self.follower.get_mut().release(&key);
                    Vec::new()
                }
                () = beat.turn() => Vec::new(),
                () = self.started.closed() => return Ok(()),
            };
            if !self.take(events).await {
                return Ok(());
            }
        }
    }

    /// `false` when nobody wants new sessions any more.
    async fn take(&mut self, events: Vec<Event>) -> bool {
        // Lines of one index that come together wake its readers once.
        let mut lines: Option<(RenditionKey, Vec<Entry>)> = None;
        for event in events {
            if let Event::Entry { key, entry, .. } = event {
                match &mut lines {
                    Some((of, entries)) if *of == key => entries.push(entry),
                    _ => {
                        if !self.apply(lines.replace((key, vec![entry]))).await {
                            return false;
                        }
                    }
                }
                continue;
            }
            if !self.apply(lines.take()).await || !self.other(event).await {
                return false;
            }
        }
        self.apply(lines).await
    }

    async fn apply(&mut self, lines: Option<(RenditionKey, Vec<Entry>)>) -> bool {
        let Some((key, entries)) = lines else { return true };
        let wanted = self.session(&key.session()).await;
        if let Ok(Some(session)) = &wanted {
            session.apply(&key.rendition, entries);
        }
        wanted.is_ok()
    }

    async fn other(&mut self, event: Event) -> bool {
        match event {
            Event::Session(facts) => {
                let key = SessionKey { channel: facts.channel.clone(), session: facts.session };
                let wanted = self.session(&key).await;
                if let Ok(Some(session)) = &wanted {
                    session.set_facts(*facts);
                }
                wanted.is_ok()
            }
            Event::Thumbnail(key) => {
                if let Some(session) = self.catalogue.running(key.session) {
                    session.thumbnail_changed();
                }
                true
            }
            Event::BadLine { key, error, .. } => {
                log::warn!(session:% = key.session, rendition:% = key.rendition; "index: {error}; skipped");
                true
            }
            Event::SessionRemoved(key) => {
                if let Some(session) = self.catalogue.remove(key.session) {
                    session.close("removed");
                }
                true
            }
            Event::Status(_) | Event::Entry { .. } => true,
        }
    }

    /// The session of that name if its targets want more; `Err` when nobody does any more.
    async fn session(&mut self, key: &SessionKey) -> Result<Option<Arc<Session>>, ()> {
        if self.catalogue.contains(key.session) {
            return Ok(self.catalogue.running(key.session));
        }
        if self_test::is_channel(&key.channel) {
            self.follower.get_mut().release(key);
            return Ok(None);
        }
        let directory = key.dir(&self.root);
        let session = Arc::new(Session::new(key.channel.clone(), key.session, directory));
        self.catalogue.with(|all| all.insert(key.session, Known::Running(session.clone())));
        match &mut self.early {
            Some(early) => early.push(session.clone()),
            None => self.started.send(session.clone()).await.map_err(|_| ())?,
        }
        Ok(Some(session))
    }
}
