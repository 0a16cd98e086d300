//! The connection itself, and the loop that takes what comes on it.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use nodi_mqtt::{Attempt, Backoff, BoxError, Event, Message, Options, Prepare};
use nodi_protocol::fleet::Payload as _;
use nodi_protocol::fleet::presence::Presence;
use nodi_protocol::fleet::topic::Topic;
use nodi_protocol::revocation;
use nodi_protocol::{BoxId, SessionId};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior, interval};

use super::batch::Batch;
use super::{incoming, outgoing};
use crate::boxes::Change;
use crate::ca::{Authority, FLEET_NAME, Identity};
use crate::error::Error;
use crate::state::App;
use crate::tasks::Tasks;

/// How long what boxes say may wait for the database: one transaction for hundreds of messages.
const FLUSH: Duration = Duration::from_millis(200);
/// Messages that are taken before the database is asked to take them.
const FLUSH_AT: usize = 2_000;
/// After a connection the broker sends all it retained. A session that was not among it after so long is over.
const RETAINED: Duration = Duration::from_secs(10);
/// For the link's own certificate. Its key is in this process only and is made anew with each start.
const IDENTITY_VALIDITY: Duration = Duration::from_secs(10 * 365 * 24 * 3_600);
/// The broker is to notice a server that is gone, but no box waits for that.
const KEEP_ALIVE: Duration = Duration::from_secs(20);
/// What boxes say while the server is restarted waits at the broker for so long.
const SESSION_EXPIRY: Duration = Duration::from_secs(3_600);
/// For the goodbye.
const CLOSE: Duration = Duration::from_secs(2);

/// TLS to the broker with this certificate, trusting the fleet's authority and no other.
///
/// # Errors
/// When the certificate is not usable.
pub(super) fn tls(authority: &Authority, identity: &Identity) -> Result<Arc<ClientConfig>, Error> {
    let unusable =
        |error: &dyn std::fmt::Display| Error::Internal(format!("certificate for the broker: {error}"));
    let mut roots = RootCertStore::empty();
    let ca =
        CertificateDer::from_pem_slice(authority.certificate_pem().as_bytes()).map_err(|e| unusable(&e))?;
    roots.add(ca).map_err(|e| unusable(&e))?;
    let certificate =
        CertificateDer::from_pem_slice(identity.certificate.pem.as_bytes()).map_err(|e| unusable(&e))?;
    let key = PrivateKeyDer::from_pem_slice(identity.key_pem.as_bytes()).map_err(|e| unusable(&e))?;
    let config = ClientConfig::builder()
        .with_root_certificates(roots)
        .with_client_auth_cert(vec![certificate], key)
        .map_err(|e| unusable(&e))?;
    Ok(Arc::new(config))
}

/// What each attempt is made with.
struct Server {
    app: App,
    tls: Option<Arc<ClientConfig>>,
}

impl Prepare for Server {
    async fn prepare(&mut self) -> Result<Attempt, BoxError> {
        let tls = match &self.tls {
            Some(tls) => Arc::clone(tls),
            None => {
                let authority = &self.app.enrolment.authority;
                let identity = authority.issue_client(FLEET_NAME, IDENTITY_VALIDITY, self.app.now_ms())?;
                let made = tls(authority, &identity)?;
                self.tls = Some(Arc::clone(&made));
                made
            }
        };
        let broker = &self.app.config.broker;
        let now_ms = u64::try_from(self.app.now_ms()).unwrap_or(0);
        let said = |online| Presence {
            online,
            boot_id: String::new(),
            connection: now_ms,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            at_ms: now_ms,
            hardware: None,
        };
        let topic = Topic::ServerPresence.to_string();
        Ok(Attempt {
            will: Some(Message::retained(topic.clone(), said(false).to_json()?)),
            birth: Some(Message::retained(topic, said(true).to_json()?)),
            ..Attempt::new(broker.host.clone(), broker.port, tls)
        })
    }
}

pub(super) fn start(app: &App, tasks: &mut Tasks) {
    let mut options = Options::new(FLEET_NAME);
    options.subscriptions = Topic::server_subscriptions().into();
    // What we retained ourselves, in an earlier life, to find what no longer holds.
    options.subscriptions.extend(outgoing::own_subscriptions());
    options.keep_alive = KEEP_ALIVE;
    options.session_expiry = SESSION_EXPIRY;
    options.backoff = Backoff { min: Duration::from_millis(200), max: Duration::from_secs(5) };
    options.max_payload = revocation::MAX_LEN;
    options.in_flight = 200;
    options.receive_maximum = 1_000;
    options.events = 1_000;
    let (link, events, driver) = nodi_mqtt::open(options, Server { app: app.clone(), tls: None });
    if app.link.link.set(link.clone()).is_err() {
        log::error!("the link to the broker was started twice");
        return;
    }
    tasks.spawn_draining("mqtt", driver.run());
    tasks.spawn_draining("mqtt incoming", receive(app.clone(), events));
    tasks.spawn_draining("mqtt outgoing", outgoing::run(app.clone(), link));
}

async fn receive(app: App, mut events: mpsc::Receiver<Event>) {
    let mut batch = Batch::default();
    let mut ticks = interval(FLUSH);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut after_connection = AfterConnection::default();
    loop {
        tokio::select! {
            event = events.recv() => match event {
                None => break,
                Some(event) => take(&app, event, &mut batch, &mut after_connection),
            },
            _ = ticks.tick() => {
                batch.flush(&app).await;
                after_connection.check(&app);
            }
            () = app.shutdown.wait() => break,
        }
        if batch.len() >= FLUSH_AT {
            batch.flush(&app).await;
        }
    }
    // What was taken is acknowledged to the broker: it must not be lost with us.
    batch.flush(&app).await;
    if let Some(link) = app.link.link.get() {
        let now_ms = u64::try_from(app.now_ms()).unwrap_or(0);
        let gone = Presence {
            online: false,
            boot_id: String::new(),
            connection: now_ms,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            at_ms: now_ms,
            hardware: None,
        };
        let last = gone.to_json().map(|json| Message::retained(Topic::ServerPresence.to_string(), json));
        let close = link.close(last.into_iter().collect(), CLOSE);
        tokio::pin!(close);
        // The driver waits for its events to be taken.
        loop {
            tokio::select! {
                () = &mut close => break,
                event = events.recv() => if event.is_none() { break },
            }
        }
    }
}

fn take(app: &App, event: Event, batch: &mut Batch, after_connection: &mut AfterConnection) {
    match event {
        Event::Connected { session_present } => {
            log::info!(session_present; "connected to the broker");
            app.link.metrics.connected.set(1);
            app.boxes.registry.hold(app.now_ms());
            app.link.listening.store(true, Ordering::Release);
            after_connection.begin();
            app.link.outgoing.everything();
        }
        Event::Disconnected(why) => {
            app.link.listening.store(false, Ordering::Release);
            if app.link.metrics.connected.set(0) == 1 {
                log::warn!("broker: {why}");
            } else {
                log::debug!("broker: {why}");
            }
            after_connection.end();
        }
        Event::Message(message) => {
            if let Some(session) = incoming::take(app, &message, batch) {
                after_connection.saw(session);
            }
        }
        Event::Refused { what, reason } => log::error!("the broker refuses {what}: {reason}"),
    }
}

/// Finds the sessions that ended while nobody listened.
#[derive(Default)]
struct AfterConnection {
    since: Option<Instant>,
    seen: HashSet<(BoxId, SessionId)>,
}

impl AfterConnection {
    fn begin(&mut self) {
        self.since = Some(Instant::now());
        self.seen.clear();
    }

    fn end(&mut self) {
        self.since = None;
        self.seen.clear();
    }

    fn saw(&mut self, session: (BoxId, SessionId)) {
        if self.since.is_some() {
            self.seen.insert(session);
        }
    }

    fn check(&mut self, app: &App) {
        if self.since.is_none_or(|since| since.elapsed() < RETAINED) {
            return;
        }
        let now_ms = app.now_ms();
        for (record, session) in app.boxes.registry.sessions() {
            let id = session.session;
            if !self.seen.contains(&(record.id.clone(), id)) {
                app.boxes.registry.update(&record.id, now_ms, |record| {
                    Arc::make_mut(&mut record.sessions).remove(&id);
                });
                app.boxes.registry.tell(Change::SessionEnded(record.id.clone(), session));
            }
        }
        self.end();
    }
}
