//! The connection to the fleet's broker: revocations count here as soon as the broker has them.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use nodi_mqtt::{Attempt, Backoff, BoxError, Event, Options, Prepare, Received};
use nodi_protocol::fleet::topic::Topic;
use nodi_protocol::revocation::{self, Revocations};
use prometheus_client::metrics::gauge::Gauge;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};

use crate::bulletin::Bulletin;
use crate::config;
use crate::tls::{certificates, common_name};

/// Origins are few: the broker has no crowd of them to fear, and a revocation waits for the connection.
const BACKOFF: Backoff = Backoff { min: Duration::from_millis(200), max: Duration::from_secs(5) };
/// The document is retained and comes anew with each connection: nothing is lost with the session.
const SESSION_EXPIRY: Duration = Duration::from_secs(60);
/// Between attempts to write a document that could not be written.
const WRITE_AGAIN: Duration = Duration::from_secs(10);
/// A failure to connect that goes on is logged once in so many attempts: about every five minutes.
const LOG_EVERY: u32 = 60;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Tls(#[from] crate::tls::Error),
    #[error("{}: its subject has no common name", .0.display())]
    NoName(PathBuf),
}

/// Follows the revocations until it is dropped.
pub(crate) struct Link {
    bulletin: Arc<Bulletin>,
    connected: Gauge,
    options: Options,
    files: Files,
}

impl Link {
    /// # Errors
    /// Which file is not usable.
    pub(crate) fn new(
        config: config::Fleet,
        bulletin: Arc<Bulletin>,
        connected: Gauge,
    ) -> Result<Self, Error> {
        let files = Files(config);
        files.load()?;
        let mut options = Options::new(files.name()?);
        options.subscriptions = vec![Topic::Revocations.to_string()];
        options.backoff = BACKOFF;
        options.session_expiry = SESSION_EXPIRY;
        options.max_payload = revocation::MAX_LEN;
        Ok(Self { bulletin, connected, options, files })
    }

    pub(crate) async fn run(self) {
        let Self { bulletin, connected, options, files } = self;
        let (_link, mut events, driver) = nodi_mqtt::open(options, files);
        let following = async {
            let mut failures = 0_u32;
            let mut write_again = tokio::time::interval(WRITE_AGAIN);
            loop {
                tokio::select! {
                    event = events.recv() => match event {
                        None => return,
                        Some(Event::Connected { .. }) => {
                            log::info!("connected to the fleet's broker");
                            failures = 0;
                            connected.set(1);
                        }
                        Some(Event::Disconnected(why)) => {
                            connected.set(0);
                            if failures.is_multiple_of(LOG_EVERY) {
                                log::warn!("no connection to the fleet's broker: {why}");
                            }
                            failures = failures.saturating_add(1);
                        }
                        Some(Event::Message(message)) => take(&bulletin, message).await,
                        Some(Event::Refused { what, reason }) => {
                            log::error!("the broker refuses {what}: {reason}");
                        }
                    },
                    _ = write_again.tick() => {
                        let bulletin = Arc::clone(&bulletin);
                        blocking(move || bulletin.write()).await;
                    }
                }
            }
        };
        tokio::select! {
            () = following => {}
            _ = driver.run() => {}
        }
    }
}

async fn take(bulletin: &Arc<Bulletin>, message: Received) {
    let document = match Revocations::from_json(&message.payload) {
        Ok(document) => document,
        Err(error) => {
            log::error!(topic = message.topic; "{error}");
            return;
        }
    };
    let version = document.version;
    let bulletin = Arc::clone(bulletin);
    blocking(move || {
        if bulletin.take(document)? {
            log::info!(version; "revocations: the fleet has new ones");
        } else {
            log::debug!(version; "revocations: as known, or older");
        }
        Ok(())
    })
    .await;
}

/// Work on files, away from the threads that serve boxes.
async fn blocking(work: impl FnOnce() -> Result<(), crate::bulletin::Error> + Send + 'static) {
    match tokio::task::spawn_blocking(work).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => log::error!("revocations count until the next restart only: {error}"),
        Err(error) => log::error!("revocations: {error}"),
    }
}

/// Reads certificate and key anew for each attempt.
struct Files(config::Fleet);

impl Files {
    fn load(&self) -> Result<ClientConfig, crate::tls::Error> {
        let Self(config) = self;
        let mut roots = RootCertStore::empty();
        for certificate in certificates(&config.ca)? {
            roots
                .add(certificate)
                .map_err(|source| crate::tls::Error::Authority { path: config.ca.clone(), source })?;
        }
        let key = PrivateKeyDer::from_pem_file(&config.private_key)
            .map_err(|source| crate::tls::Error::Pem { path: config.private_key.clone(), source })?;
        ClientConfig::builder()
            .with_root_certificates(roots)
            .with_client_auth_cert(certificates(&config.certificate)?, key)
            .map_err(|source| crate::tls::Error::Certificate {
                certificate: config.certificate.clone(),
                private_key: config.private_key.clone(),
                source,
            })
    }

    /// The broker calls the client by it, whatever it calls itself.
    fn name(&self) -> Result<String, Error> {
        let path: &Path = &self.0.certificate;
        let chain = certificates(path)?;
        chain
            .first()
            .and_then(|leaf: &CertificateDer<'_>| common_name(leaf))
            .ok_or(Error::NoName(path.to_owned()))
    }
}

impl Prepare for Files {
    async fn prepare(&mut self) -> Result<Attempt, BoxError> {
        let tls = Arc::new(self.load()?);
        Ok(Attempt::new(self.0.host.clone(), self.0.port, tls))
    }
}
