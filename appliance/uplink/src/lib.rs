//! `nodi-uplink`: takes what the transcode workers leave in the spool to where viewers get it from: Nodi origins,
//! S3-compatible buckets, local directories. It reads the spool, makes outbound connections, and listens on nothing
//! but a local address for its metrics.

mod admin;
mod backoff;
pub mod config;
mod credentials;
mod http;
mod ingest;
mod journal;
mod metrics;
mod model;
mod movement;
mod origin;
mod pace;
mod self_test;
mod settings;
mod status;
mod store;
mod supervisor;
mod sweep;
mod watch;

use std::net::SocketAddr;
use std::sync::Arc;

use nodi_daemon::settings::Settings;
use nodi_daemon::shutdown::Shutdown;
use nodi_daemon::watchdog::Watchdog;
use tokio::sync::{mpsc, watch as watched};

pub use config::Config;

use credentials::Credentials;
use ingest::Ingest;
use journal::Journal;
use metrics::Metrics;
use origin::Origin;
use store::Store;
use supervisor::Supervisor;
use watch::{Catalogue, Facts, Watcher};

/// New sessions that may wait for the supervisor: more than a box can transcode.
const QUEUE: usize = 64;

/// Why the uplink does not run.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("target {name:?}: {reason}")]
    Target { name: String, reason: String },
    #[error(transparent)]
    Journal(#[from] journal::Error),
    #[error(transparent)]
    Spool(#[from] watch::Error),
    #[error("ingest's socket: {0}")]
    Ingest(reqwest::Error),
    #[error("status listener: {0}")]
    Listen(std::io::Error),
}

/// A prepared uplink: everything is open and nothing runs yet.
pub struct Uplink {
    config: Arc<Config>,
    admin: admin::Bound,
    journal: Journal,
    metrics: Metrics,
    supervisor: Supervisor,
    watcher: Watcher,
    started: mpsc::Receiver<Arc<model::Session>>,
    released: mpsc::Sender<nodi_spool::layout::SessionKey>,
    settings: Settings,
    shutdown: Shutdown,
}

impl Uplink {
    /// Opens the journal, the spool and the status listener.
    ///
    /// # Errors
    /// When one of them cannot be opened, or a target is unusable.
    pub async fn open(config: Config, shutdown: Shutdown) -> Result<Self, Error> {
        Self::open_with(config, Settings::none(), shutdown).await
    }

    /// [`open`](Self::open), with settings that go on to be followed; `config` is what they gave so far.
    ///
    /// # Errors
    /// As with [`open`](Self::open).
    pub async fn open_with(config: Config, settings: Settings, shutdown: Shutdown) -> Result<Self, Error> {
        let config = Arc::new(config);
        let metrics = Metrics::default();
        let mut stores = Vec::new();
        for bucket in &config.bucket {
            stores.push(Arc::new(Store::bucket(bucket, metrics.target(&bucket.name))?));
        }
        for directory in &config.directory {
            stores.push(Arc::new(Store::directory(directory, metrics.target(&directory.name))));
        }
        let mut origins = Vec::new();
        for origin in &config.origin {
            origins.push(Arc::new(Origin::new(origin.clone())?));
        }
        let journal = Journal::open(&config.journal)?;
        let catalogue = Catalogue::default();
        let (start, started) = mpsc::channel(QUEUE);
        let (released, release) = mpsc::channel(QUEUE);
        let watcher = Watcher::new(config.spool.clone(), catalogue.clone(), start, release)?;
        let admin = admin::bind(&config.listen).await.map_err(Error::Listen)?;
        let supervisor = Supervisor {
            config: config.clone(),
            origins,
            stores,
            journal: journal.clone(),
            credentials: Credentials::new(&config.sessions),
            ingest: Ingest::new(&config.ingest_socket).map_err(Error::Ingest)?,
            metrics: metrics.clone(),
            catalogue,
            shutdown: shutdown.clone(),
        };
        Ok(Self {
            config,
            admin,
            journal,
            metrics,
            supervisor,
            watcher,
            started,
            released,
            settings,
            shutdown,
        })
    }

    /// Where metrics are served, if on TCP.
    #[must_use]
    pub fn metrics_address(&self) -> Option<SocketAddr> {
        match &self.admin {
            admin::Bound::Tcp(listener) => listener.local_addr().ok(),
            admin::Bound::Unix(_) => None,
        }
    }

    /// Runs until stopping is asked for and what is under way is drained.
    ///
    /// # Errors
    /// When the spool or the status listener fails.
    pub async fn run(self) -> Result<(), Error> {
        let Self {
            config,
            admin,
            journal,
            metrics,
            supervisor,
            watcher,
            started,
            released,
            settings,
            shutdown,
        } = self;
        let facts =
            Facts { catalogue: supervisor.catalogue.clone(), credentials: supervisor.credentials.clone() };
        let (publish_state, settings_state) = watched::channel(settings.state().clone());
        let settings = settings::follow(settings, publish_state, shutdown.clone());
        let shown = admin::Shown {
            metrics: metrics.clone(),
            journal,
            catalogue: supervisor.catalogue.clone(),
            targets: config.target_names(),
            settings: settings_state,
        };
        let watchdog = Watchdog::of_unit();
        let (following, starting) =
            (watchdog.part("following the spool"), watchdog.part("starting sessions"));
        let moving = movement::watch(
            watchdog.part("sending"),
            supervisor.catalogue.clone(),
            metrics.clone(),
            config.target_names(),
        );
        let janitor = sweep::run(config, facts, metrics.janitor.clone(), shutdown.clone());
        let admin = admin::serve(admin, shown, shutdown);
        let working = async {
            tokio::try_join!(
                async { watcher.run(following).await.map_err(Error::Spool) },
                supervisor.run(started, released, starting),
                async { admin.await.map_err(Error::Listen) },
                async {
                    tokio::join!(janitor, settings);
                    Ok(())
                },
            )
        };
        tokio::select! {
            worked = working => worked.map(|_| ()),
            () = moving => Ok(()),
            () = watchdog.run() => Ok(()),
        }
    }
}
