//! The process as a whole: sockets, the accept loop, the files that are reloaded, and how it stops.

use std::collections::BTreeSet;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use nodi_daemon::settings::Settings;
use nodi_daemon::shutdown::Shutdown;
use nodi_daemon::watch::PERIOD;
use nodi_daemon::watchdog::Watchdog;
use socket2::{Domain, Protocol, SockRef, Socket, TcpKeepalive, Type};
use tokio::net::{TcpListener, TcpStream, UnixListener};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use crate::admission::{Admission, Verdict};
use crate::config::{Config, Limits};
use crate::credentials;
use crate::keys::{KeyFiles, Keyring};
use crate::mailbox::Order;
use crate::metrics::Metrics;
use crate::probe::Probe;
use crate::publisher;
use crate::registry::Registry;
use crate::session_ids::SessionIds;
use crate::settings::Application;
use crate::shared::{InForce, Shared};
use crate::status;
use crate::throttle::Throttle;
use crate::tls::{self, Certificate};

/// Connections that wait for accept: encoders of a whole event may reconnect at once.
const BACKLOG: i32 = 1024;
/// Without descriptors or memory, accept fails at once; trying again at once would only burn the processor.
const ACCEPT_RETRY: Duration = Duration::from_millis(100);
/// A peer that does not acknowledge what we sent for this long is gone.
const USER_TIMEOUT: Duration = Duration::from_secs(10);
/// A silent peer is probed from here on, so that the kernel notices a dead one also where nothing is sent.
const KEEPALIVE_AFTER: Duration = Duration::from_secs(5);
const KEEPALIVE_EVERY: Duration = Duration::from_secs(2);
/// Descriptors of one connection: its own, and the worker's.
const DESCRIPTORS_PER_CONNECTION: usize = 2;
/// Descriptors of everything else: listeners, files, the runtime.
const OTHER_DESCRIPTORS: usize = 64;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("cannot listen on {address}: {source}")]
    Listen { address: String, source: io::Error },
    #[error("RTMPS: {0}")]
    Tls(#[from] tls::Error),
    #[error(transparent)]
    Credentials(#[from] credentials::Error),
    #[error("a task ended unexpectedly: {0}")]
    Task(String),
}

/// A server whose sockets are bound.
pub struct Ingest {
    config: Config,
    rtmp: TcpListener,
    rtmps: Option<(TcpListener, TlsAcceptor)>,
    status: UnixListener,
    metrics: Option<TcpListener>,
    credentials: credentials::Store,
    files: Files,
    settings: Settings,
    keyring: Keyring,
}

/// What is read again when it changes.
struct Files {
    keys: KeyFiles,
    certificate: Option<Certificate>,
}

impl Ingest {
    /// Reads every file and binds every socket; nothing is accepted before [`run`](Self::run).
    ///
    /// # Errors
    /// When an address is taken, or a file that must be good is not.
    pub fn bind(config: Config) -> Result<Self, Error> {
        Self::bind_with(config, Settings::none())
    }

    /// [`bind`](Self::bind), with settings that go on to be followed; `config` is what they gave so far.
    ///
    /// # Errors
    /// As with [`bind`](Self::bind).
    pub fn bind_with(config: Config, settings: Settings) -> Result<Self, Error> {
        let certificate = config.rtmps.as_ref().map(Certificate::load).transpose()?;
        let mut keys = KeyFiles::new(&config.keys);
        let keyring = keys.refresh().unwrap_or_default();
        let credentials = credentials::Store::open(&config.sessions.credentials)?;
        let rtmps = match (&config.rtmps, &certificate) {
            (Some(rtmps), Some(certificate)) => {
                Some((listen(rtmps.listen)?, TlsAcceptor::from(certificate.server_config()?)))
            }
            _ => None,
        };
        let socket = &config.status.socket;
        let status = status::listen(socket)
            .map_err(|source| Error::Listen { address: socket.display().to_string(), source })?;
        let metrics = config.status.metrics_listen.map(listen).transpose()?;
        Ok(Self {
            rtmp: listen(config.rtmp.listen)?,
            rtmps,
            status,
            metrics,
            credentials,
            files: Files { keys, certificate },
            settings,
            keyring,
            config,
        })
    }

    /// Where RTMP is served; the port that was bound when 0 was asked for.
    #[must_use]
    pub fn rtmp_address(&self) -> Option<SocketAddr> {
        self.rtmp.local_addr().ok()
    }

    #[must_use]
    pub fn rtmps_address(&self) -> Option<SocketAddr> {
        self.rtmps.as_ref().and_then(|(listener, _)| listener.local_addr().ok())
    }

    #[must_use]
    pub fn metrics_address(&self) -> Option<SocketAddr> {
        self.metrics.as_ref().and_then(|listener| listener.local_addr().ok())
    }

    /// Serves until `shutdown`: then no connection is taken any more, publishers are told, workers get what is
    /// left, and it returns when the last one is gone.
    ///
    /// # Errors
    /// When a part of the server ends by itself.
    pub async fn run(self, shutdown: Shutdown) -> Result<(), Error> {
        let Self { config, rtmp, rtmps, status, metrics, credentials, files, settings, keyring } = self;
        check_descriptors(&config.limits);
        let admission = Admission::new(config.limits.connections, config.limits.connections_per_address);
        let registry = Arc::new(Registry::default());
        let counters = Arc::new(Metrics::new(Arc::clone(&admission), Arc::clone(&registry)));
        let (publish_keyring, keyring) = watch::channel(Arc::new(keyring));
        let (publish_in_force, in_force) =
            watch::channel(InForce { limits: Arc::new(config.limits.clone()), drain: config.drain });
        let (publish_state, settings_state) = watch::channel(settings.state().clone());
        let socket_path = config.status.socket.clone();
        let shared = Arc::new(Shared {
            throttle: Mutex::new(Throttle::new(config.throttle.clone())),
            ids: Mutex::new(SessionIds::open(config.sessions.newest.as_deref(), SystemTime::now())),
            config,
            in_force,
            keyring,
            credentials,
            registry: Arc::clone(&registry),
            metrics: Arc::clone(&counters),
            shutdown: shutdown.clone(),
        });

        let mut services = JoinSet::new();
        let state =
            status::Status { registry: Arc::clone(&registry), metrics: counters, settings: settings_state };
        let router = status::router(state.clone());
        services.spawn(serve_http(status, router, shutdown.clone()));
        if let Some(listener) = metrics {
            let router = status::metrics_router(state.clone()).with_state(state);
            services.spawn(serve_http(listener, router, shutdown.clone()));
        }
        services.spawn(follow_files(files, publish_keyring, Arc::clone(&registry), shutdown.clone()));
        let application = Application {
            shared: Arc::clone(&shared),
            admission: Arc::clone(&admission),
            in_force: publish_in_force,
            state: publish_state,
            waiting: BTreeSet::new(),
        };
        services.spawn(follow_settings(settings, application, shutdown.clone()));

        let mut publishers = JoinSet::new();
        let watchdog = Watchdog::of_unit();
        let probe = rtmp.local_addr().ok().map(|address| Probe::new(&watchdog, address));
        if let Some(probe) = &probe {
            services.spawn(Arc::clone(probe).run(shutdown.clone()));
        }
        services.spawn(async move {
            watchdog.run().await;
            "the watchdog"
        });
        nodi_daemon::systemd::ready();
        let result = loop {
            tokio::select! {
                // Turned in this order: a flood of connections must not keep the rest from its turn.
                biased;
                () = shutdown.wait() => break Ok(()),
                Some(ended) = services.join_next() => {
                    if !shutdown.is_asked() {
                        let what = ended.map_or_else(|error| error.to_string(), str::to_owned);
                        break Err(Error::Task(what));
                    }
                }
                Some(ended) = publishers.join_next() => {
                    if let Err(error) = ended {
                        log::error!(error:%; "a connection's task panicked");
                    }
                }
                (stream, peer, tls) = accept(&rtmp, rtmps.as_ref()) => {
                    if probe.as_ref().is_some_and(|probe| probe.takes(peer)) {
                        continue;
                    }
                    let (permit, over) = match admission.admit(peer.ip().into()) {
                        Verdict::Admitted(permit) => (permit, None),
                        Verdict::Guest(permit, full) => (permit, Some(full)),
                        Verdict::Closed(full) => {
                            shared.metrics.refused(crate::ending::Ending::from(full).label());
                            continue;
                        }
                    };
                    let shared = Arc::clone(&shared);
                    publishers.spawn(async move {
                        let _permit = permit;
                        prepare(&stream);
                        publisher::serve(shared, stream, peer, tls, over).await;
                    });
                }
            }
        };
        drop((rtmp, rtmps));
        // Also when a service died: publishers are told either way.
        registry.end_all(&Order::Shutdown);
        drain(publishers, Duration::from_secs(shared.config.shutdown_s)).await;
        services.shutdown().await;
        if let Err(error) = std::fs::remove_file(&socket_path) {
            log::debug!(error:%; "the status socket is gone already");
        }
        result
    }
}

fn listen(address: SocketAddr) -> Result<TcpListener, Error> {
    let bound = || {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
        if address.is_ipv6() {
            socket.set_only_v6(false)?;
        }
        socket.set_reuse_address(true)?;
        socket.set_nonblocking(true)?;
        socket.bind(&address.into())?;
        socket.listen(BACKLOG)?;
        TcpListener::from_std(socket.into())
    };
    bound().map_err(|source| Error::Listen { address: address.to_string(), source })
}

/// The next connection on either port. Cancelling it loses none.
async fn accept(
    rtmp: &TcpListener,
    rtmps: Option<&(TcpListener, TlsAcceptor)>,
) -> (TcpStream, SocketAddr, Option<TlsAcceptor>) {
    loop {
        let accepted = tokio::select! {
            accepted = rtmp.accept() => accepted.map(|(stream, peer)| (stream, peer, None)),
            (accepted, acceptor) = accept_tls(rtmps) => {
                accepted.map(|(stream, peer)| (stream, peer, Some(acceptor)))
            }
        };
        match accepted {
            Ok((stream, peer, tls)) => {
                let peer = SocketAddr::new(peer.ip().to_canonical(), peer.port());
                return (stream, peer, tls);
            }
            // The peer was gone before it was accepted.
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
            Err(error) => {
                log::error!(error:%; "cannot accept connections");
                tokio::time::sleep(ACCEPT_RETRY).await;
            }
        }
    }
}

async fn accept_tls(
    rtmps: Option<&(TcpListener, TlsAcceptor)>,
) -> (io::Result<(TcpStream, SocketAddr)>, TlsAcceptor) {
    match rtmps {
        Some((listener, acceptor)) => (listener.accept().await, acceptor.clone()),
        None => std::future::pending().await,
    }
}

/// A socket option that cannot be set costs speed of detection, not the connection.
fn prepare(stream: &TcpStream) {
    let socket = SockRef::from(stream);
    let keepalive =
        TcpKeepalive::new().with_time(KEEPALIVE_AFTER).with_interval(KEEPALIVE_EVERY).with_retries(2);
    let set = socket
        .set_tcp_nodelay(true)
        .and_then(|()| socket.set_tcp_keepalive(&keepalive))
        .and_then(|()| socket.set_tcp_user_timeout(Some(USER_TIMEOUT)));
    if let Err(error) = set {
        log::debug!(error:%; "cannot set a socket option");
    }
}

async fn serve_http<L>(listener: L, router: axum::Router, shutdown: Shutdown) -> &'static str
where
    L: axum::serve::Listener,
    L::Addr: std::fmt::Debug,
{
    let served = axum::serve(listener, router).with_graceful_shutdown(async move { shutdown.wait().await });
    if let Err(error) = served.await {
        log::error!(error:%; "the status socket failed");
    }
    "the status socket"
}

async fn follow_files(
    mut files: Files,
    publish: watch::Sender<Arc<Keyring>>,
    registry: Arc<Registry>,
    shutdown: Shutdown,
) -> &'static str {
    const NAME: &str = "the reloading of files";
    loop {
        tokio::select! {
            () = tokio::time::sleep(PERIOD) => {}
            () = shutdown.wait() => return NAME,
        }
        let looked = tokio::task::spawn_blocking(move || {
            let keyring = files.keys.refresh();
            if let Some(certificate) = &mut files.certificate {
                certificate.refresh();
            }
            (files, keyring)
        });
        let Ok((same_files, keyring)) = looked.await else { return NAME };
        files = same_files;
        if let Some(keyring) = keyring {
            let keyring = Arc::new(keyring);
            publish.send_replace(Arc::clone(&keyring));
            registry.end_objectionable(&keyring);
        }
    }
}

async fn follow_settings(
    mut settings: Settings,
    mut application: Application,
    shutdown: Shutdown,
) -> &'static str {
    const NAME: &str = "the following of settings";
    loop {
        tokio::select! {
            () = tokio::time::sleep(PERIOD) => {}
            () = shutdown.wait() => return NAME,
        }
        let looked = tokio::task::spawn_blocking(move || {
            let change = settings.look::<Config>();
            (settings, change)
        });
        let Ok((same_settings, change)) = looked.await else { return NAME };
        settings = same_settings;
        application.apply(change, &settings);
    }
}

async fn drain(mut publishers: JoinSet<()>, deadline: Duration) {
    let drained = tokio::time::timeout(deadline, async {
        while let Some(ended) = publishers.join_next().await {
            if let Err(error) = ended {
                log::error!(error:%; "a connection's task panicked");
            }
        }
    });
    if drained.await.is_err() {
        log::warn!(connections = publishers.len(); "connections were cut at the deadline");
    }
}

/// Takes all the descriptors that the process may have, and says so if they are too few.
pub(crate) fn check_descriptors(limits: &Limits) {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

    let needed = limits.connections * DESCRIPTORS_PER_CONNECTION + OTHER_DESCRIPTORS;
    let limit = getrlimit(Resource::Nofile);
    let raised = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
    let have = if raised.is_ok() { limit.maximum } else { limit.current };
    if let Some(have) = have
        && have < needed as u64
    {
        log::warn!(have, needed; "limits.connections needs more file descriptors than this process may have");
    }
}
