//! The chat service: viewers of a channel talk with each other over WebSockets (`docs/chat-protocol.md`).
//!
//! A connection's task reads, a room's task decides and orders, and writes to everybody by itself. What is kept is in one
//! SQLite file. Not here: accounts (the fleet server signs tokens that are checked here) and pages.

pub mod bus;
pub mod clock;
pub mod config;
pub mod connection;
pub mod counts;
pub mod facts;
pub mod frame;
mod keys;
pub mod limits;
pub mod metrics;
pub mod moderation;
pub mod room;
pub mod serve;
pub mod service;
pub mod store;
pub mod text;

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use nodi_daemon::shutdown::Shutdown;
use nodi_daemon::watch::follow;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use config::Config;
use service::Service;

/// Why the service cannot start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("cannot listen on {address}: {source}")]
    Listen { address: SocketAddr, source: io::Error },
    #[error("TLS: {0}")]
    Tls(#[from] serve::tls::Error),
    #[error("fleet_url: {0}")]
    Fleet(reqwest::Error),
    #[error("{}: {source}", path.display())]
    Directory { path: PathBuf, source: io::Error },
    #[error("{}: {source}", path.display())]
    Store { path: PathBuf, source: store::OpenError },
}

/// A running service. Ends when the [`Shutdown`] that it was started with is asked for.
#[derive(Debug)]
pub struct Chat {
    pub address: SocketAddr,
    service: Arc<Service>,
    serving: JoinHandle<()>,
    following: Vec<JoinHandle<()>>,
}

impl Chat {
    /// Reads all files and binds the port, then serves. Needs a Tokio runtime and an installed rustls provider.
    ///
    /// # Errors
    /// Which file or socket is not usable.
    pub fn start(config: Config, shutdown: &Shutdown) -> Result<Self, Error> {
        let mut following = Vec::new();
        let tls = match &config.http.tls {
            None => None,
            Some(files) => {
                let (sender, receiver) = watch::channel(Arc::new(serve::tls::load(files)?));
                let paths = vec![files.certificate.clone(), files.private_key.clone()];
                let files = files.clone();
                let read = move || serve::tls::load(&files);
                following.push(tokio::spawn(follow("certificate", paths, read, sender)));
                Some(receiver)
            }
        };
        let (sender, keys) = watch::channel(Arc::default());
        let path = config.token_keys.clone();
        let read = move || keys::read(&path);
        match read() {
            Ok(verifier) => {
                sender.send_replace(Arc::new(verifier));
            }
            // The fleet server may start later; readers need none.
            Err(error) => log::warn!("nobody can speak until there are token keys: {error}"),
        }
        following.push(tokio::spawn(follow("token keys", vec![config.token_keys.clone()], read, sender)));

        let failed = |source| Error::Listen { address: config.http.listen, source };
        let listener = serve::bind(config.http.listen).map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let listener = tokio::net::TcpListener::from_std(listener).map_err(failed)?;

        std::fs::create_dir_all(&config.data_dir)
            .map_err(|source| Error::Directory { path: config.data_dir.clone(), source })?;
        let path = config.database();
        let store = store::Store::open(&config.store, &path, store::Clock::system())
            .map_err(|source| Error::Store { path, source })?;
        let fleet = config.fleet_url.as_deref().map(facts::Fleet::new).transpose().map_err(Error::Fleet)?;
        let metrics = metrics::Metrics::default();
        let service = Arc::new(Service {
            admission: serve::admission::Admission::new(&config.connections, metrics.evicted.clone()),
            metrics,
            rooms: room::registry::Registry::default(),
            bus: Box::new(bus::Local::default()),
            store,
            fleet,
            keys,
            config,
        });
        let serving = tokio::spawn(serve::run(Arc::clone(&service), listener, tls, shutdown.clone()));
        Ok(Self { address, service, serving, following })
    }

    /// Returns when everything has ended after a stop was asked for: connections first, then what they still brought is
    /// written to disk.
    pub async fn stopped(self) {
        if let Err(error) = self.serving.await {
            log::error!("serving failed: {error}");
        }
        for task in self.following {
            task.abort();
        }
        self.service.store.close().await;
    }
}

/// How long [`Chat::stopped`] takes at most, for a deadline after a signal.
#[must_use]
pub fn shutdown_deadline(config: &Config) -> Duration {
    Duration::from_secs(config.shutdown_s.max(1))
}
