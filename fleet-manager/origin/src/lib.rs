//! The low-latency HLS origin: boxes push to it, CDN edges and players pull from it.
//!
//! What is live is in memory and nothing else is kept. One channel lives on one origin, plus perhaps one
//! stand-by that gets the same pushes; origins know nothing of each other. Not here: transcoding, recording,
//! and who may watch.

pub mod blob;
mod bulletin;
pub mod channel;
pub mod clock;
pub mod config;
mod fleet;
pub mod live;
pub mod metrics;
pub mod push;
pub mod registry;
pub mod rendered;
pub mod serve;
pub mod tls;

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use nodi_daemon::shutdown::Shutdown;
use nodi_daemon::watch::{follow, follow_or_when};
use nodi_daemon::watchdog::{Expected, Watchdog};
use nodi_protocol::stream_key::{KeyFileError, Verifier};
use rustls::ServerConfig;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

use bulletin::Bulletin;
use channel::Settings;
use clock::Clock;
use config::{Config, Keys};
use live::Live;
use metrics::Metrics;
use push::auth::{Authority, Trust};
use registry::Registry;
use serve::public::{Public, Sockets};

/// Why the origin cannot start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{what}: cannot listen on {address}: {source}")]
    Listen { what: &'static str, address: SocketAddr, source: io::Error },
    #[error("TLS: {0}")]
    Tls(#[from] tls::Error),
    #[error("{}: {source}", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("{}: {source}", path.display())]
    Keys { path: PathBuf, source: KeyFileError },
    #[error(transparent)]
    Bulletin(#[from] bulletin::Error),
    #[error("fleet: {0}")]
    Fleet(#[from] fleet::Error),
    #[error("cannot start a thread: {0}")]
    Thread(io::Error),
}

/// A running origin. Its tasks end when the [`Shutdown`] that it was started with is asked for.
#[derive(Debug)]
pub struct Origin {
    pub push: SocketAddr,
    pub public: SocketAddr,
    pub public_tls: Option<SocketAddr>,
    pub metrics: Option<SocketAddr>,
    tasks: JoinSet<()>,
    threads: Vec<JoinHandle<()>>,
}

impl Origin {
    /// Reads all files and binds all sockets, then serves. Needs a Tokio runtime and an installed rustls provider.
    ///
    /// # Errors
    /// Which file or socket is not usable.
    pub fn start(config: Config, clock: Clock, shutdown: &Shutdown) -> Result<Self, Error> {
        let settings = Arc::new(Settings {
            playlist: config.playlist.clone(),
            limits: config.limits.clone(),
            clock: clock.clone(),
        });
        let metrics = Arc::new(Metrics::default());
        let registry = Arc::new(Registry::new(Arc::clone(&settings)));
        let watchdog = Watchdog::of_unit();
        let mut tasks = JoinSet::new();

        let push_tls = follow_tls(
            "push certificate",
            tls::Files {
                certificate: config.push.certificate,
                private_key: config.push.private_key,
                client_ca: Some(config.push.client_ca),
            },
            shutdown,
            &mut tasks,
        )?;
        let bulletin = Arc::new(Bulletin::new(config.keys.revocations.clone()));
        let trust = follow_trust(config.keys, &bulletin, shutdown, &mut tasks)?;
        if let Some(fleet) = config.fleet {
            let link = fleet::Link::new(fleet, Arc::clone(&bulletin), metrics.fleet_connected.clone())?;
            spawn(&mut tasks, shutdown, link.run());
        }
        let (push_listener, push) = bind("push", config.push.listen)?;

        let live = Live::new(
            Arc::clone(&registry),
            Arc::clone(&settings),
            Arc::clone(&metrics),
            config.public.web_root.clone(),
            shutdown.clone(),
        );
        let public = Arc::new(Public {
            live,
            metrics: Arc::clone(&metrics),
            slots: Arc::new(Semaphore::new(config.public.max_connections.min(Semaphore::MAX_PERMITS))),
            idle_timeout: Duration::from_secs(config.public.idle_timeout_s.max(1)),
            shutdown: shutdown.clone(),
            watchdog: watchdog.clone(),
        });
        let public_side = start_public(&config.public, &public, shutdown, &mut tasks)?;

        let metrics_address = match config.metrics.listen {
            None => None,
            Some(address) => {
                let (listener, address) = bind("metrics", address)?;
                let router = metrics::router(Arc::clone(&metrics), Arc::clone(&registry));
                let listener = tokio::net::TcpListener::from_std(listener)
                    .map_err(|source| Error::Listen { what: "metrics", address, source })?;
                spawn(&mut tasks, shutdown, async move {
                    if let Err(error) = axum::serve(listener, router).await {
                        log::error!("metrics: {error}");
                    }
                });
                Some(address)
            }
        };

        let authority = Authority::new(trust);
        let peers = authority.follow();
        let mut trusts = authority.follow();
        let (revoking, seen) = (Arc::clone(&registry), Arc::clone(&metrics));
        spawn(&mut tasks, shutdown, async move {
            while trusts.changed().await.is_ok() {
                let trust = Arc::clone(&trusts.borrow_and_update());
                seen.revocations_version.set(i64::try_from(trust.revocations.version).unwrap_or(i64::MAX));
                revoking.revoke(&trust.revocations);
            }
        });
        let sweeping = Arc::clone(&registry);
        spawn(&mut tasks, shutdown, async move {
            loop {
                let now = clock.now();
                sweeping.tick(now);
                clock.tick(now).await;
            }
        });
        let max_connections = settings.limits.push_connections.min(Semaphore::MAX_PERMITS);
        let router = push::router(Arc::new(push::Context { registry, authority, settings, metrics }));
        tasks.spawn(serve::push::serve(
            push_listener,
            push_tls,
            peers,
            router,
            max_connections,
            shutdown.clone(),
        ));

        let boxes = watchdog.part("the port of boxes").answering(push, Expected::Answer);
        spawn(&mut tasks, shutdown, boxes);
        let viewers = watchdog.part("the port of viewers").answering(public_side.address, Expected::Ok);
        spawn(&mut tasks, shutdown, viewers);
        spawn(&mut tasks, shutdown, watchdog.run());
        Ok(Self {
            push,
            public: public_side.address,
            public_tls: public_side.tls_address,
            metrics: metrics_address,
            tasks,
            threads: public_side.threads,
        })
    }

    /// Returns when everything has ended after a stop was asked for.
    pub async fn stopped(mut self) {
        while let Some(ended) = self.tasks.join_next().await {
            if let Err(error) = ended {
                log::error!("a task of the origin failed: {error}");
            }
        }
        let joined = tokio::task::spawn_blocking(move || {
            self.threads.into_iter().filter_map(|thread| thread.join().err()).count()
        });
        if !matches!(joined.await, Ok(0)) {
            log::error!("a public thread of the origin failed");
        }
    }
}

/// The public listeners, running.
struct PublicSide {
    threads: Vec<JoinHandle<()>>,
    address: SocketAddr,
    tls_address: Option<SocketAddr>,
}

fn start_public(
    config: &config::Public,
    public: &Arc<Public>,
    shutdown: &Shutdown,
    tasks: &mut JoinSet<()>,
) -> Result<PublicSide, Error> {
    let count = match config.threads {
        0 => std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
        count => count,
    };
    let tls = match &config.tls {
        None => None,
        Some(tls) => {
            let files = tls::Files {
                certificate: tls.certificate.clone(),
                private_key: tls.private_key.clone(),
                client_ca: None,
            };
            Some((tls.listen, follow_tls("public certificate", files, shutdown, tasks)?))
        }
    };
    // The first socket decides the port if it is left open, the others share it.
    let (mut address, mut tls_address) = (config.listen, tls.as_ref().map(|(address, _)| *address));
    let mut sockets = Vec::with_capacity(count);
    for _ in 0..count {
        let (plain, bound) = bind("public", address)?;
        address = bound;
        let tls = match (&tls, tls_address) {
            (Some((_, config)), Some(wanted)) => {
                let (listener, bound) = bind("public TLS", wanted)?;
                tls_address = Some(bound);
                Some((listener, config.clone()))
            }
            _ => None,
        };
        sockets.push(Sockets { plain, tls });
    }
    let threads = sockets
        .into_iter()
        .enumerate()
        .map(|(index, sockets)| serve::public::spawn(index, Arc::clone(public), sockets))
        .collect::<io::Result<Vec<_>>>()
        .map_err(Error::Thread)?;
    Ok(PublicSide { threads, address, tls_address })
}

fn bind(what: &'static str, address: SocketAddr) -> Result<(std::net::TcpListener, SocketAddr), Error> {
    let failed = |source| Error::Listen { what, address, source };
    let listener = serve::bind(address).map_err(failed)?;
    let bound = listener.local_addr().map_err(failed)?;
    Ok((listener, bound))
}

/// A task that ends when the process stops.
fn spawn(tasks: &mut JoinSet<()>, shutdown: &Shutdown, task: impl Future<Output = ()> + Send + 'static) {
    let shutdown = shutdown.clone();
    tasks.spawn(async move {
        tokio::select! {
            () = task => {}
            () = shutdown.wait() => {}
        }
    });
}

fn follow_tls(
    what: &'static str,
    files: tls::Files,
    shutdown: &Shutdown,
    tasks: &mut JoinSet<()>,
) -> Result<watch::Receiver<Arc<ServerConfig>>, Error> {
    let (sender, receiver) = watch::channel(Arc::new(files.load()?));
    let paths = files.paths();
    spawn(tasks, shutdown, follow(what, paths, move || files.load(), sender));
    Ok(receiver)
}

fn follow_trust(
    keys: Keys,
    bulletin: &Arc<Bulletin>,
    shutdown: &Shutdown,
    tasks: &mut JoinSet<()>,
) -> Result<watch::Receiver<Arc<Trust>>, Error> {
    let mut paths = vec![keys.public.clone()];
    paths.extend(keys.revocations.clone());
    let (changed, bulletin) = (bulletin.changed(), Arc::clone(bulletin));
    let read = move || read_trust(&keys.public, &bulletin);
    let (sender, receiver) = watch::channel(Arc::new(read()?));
    spawn(tasks, shutdown, follow_or_when("stream keys", paths, changed, read, sender));
    Ok(receiver)
}

fn read_trust(keys: &Path, bulletin: &Bulletin) -> Result<Trust, Error> {
    let path = keys.to_owned();
    let text = std::fs::read_to_string(&path).map_err(|source| Error::Read { path: path.clone(), source })?;
    let verifier = Verifier::parse(&text).map_err(|source| Error::Keys { path, source })?;
    Ok(Trust { verifier, revocations: bulletin.read()? })
}
