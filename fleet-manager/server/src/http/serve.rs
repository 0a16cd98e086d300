//! The listeners: plain HTTP for loopback and trusted proxies, HTTPS for everybody. A client that is slow or silent
//! holds a connection for a bounded time, and connections are bounded.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use nodi_daemon::shutdown::Shutdown;
use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio_rustls::TlsAcceptor;
use tokio_util::task::TaskTracker;
use tower::ServiceExt as _;

use super::client::Peer;
use crate::config;

/// Head of an HTTP/1.1 request: cookies and paths are far below it.
const MAX_HEAD: usize = 16 << 10;
/// Requests of one HTTP/2 connection at a time: a browser page has a handful.
const MAX_STREAMS: u32 = 64;
/// A dead HTTP/2 client is noticed after this plus [`PING_TIMEOUT`].
const PING_INTERVAL: Duration = Duration::from_secs(20);
const PING_TIMEOUT: Duration = Duration::from_secs(10);
/// Between attempts to accept while the process is out of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// After the stop: live streams end by themselves, and what is being answered gets so long.
const DRAIN: Duration = Duration::from_secs(5);

/// What all listeners share.
#[derive(Clone)]
pub struct Limits {
    slots: Arc<Semaphore>,
    header_timeout: Duration,
}

impl Limits {
    #[must_use]
    pub fn new(config: &config::Http) -> Self {
        Self::of(config.max_connections, config)
    }

    /// Another listener, with places of its own.
    #[must_use]
    pub fn of(max_connections: usize, config: &config::Http) -> Self {
        Self {
            slots: Arc::new(Semaphore::new(max_connections.min(Semaphore::MAX_PERMITS))),
            header_timeout: Duration::from_secs(config.header_timeout_s),
        }
    }
}

/// Serves until the process stops and its connections are done. `tls` is `None` for plain HTTP.
pub async fn serve(
    listener: TcpListener,
    tls: Option<watch::Receiver<Arc<ServerConfig>>>,
    router: Router,
    limits: Limits,
    shutdown: Shutdown,
) {
    let tasks = TaskTracker::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = shutdown.wait() => break,
        };
        let (stream, address) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                log::warn!("cannot accept a connection: {error}");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let Ok(slot) = Arc::clone(&limits.slots).try_acquire_owned() else {
            log::warn!("connection from {address} closed: there are too many already");
            continue;
        };
        // An answer is written whole: nothing is gained by waiting for more.
        let _ = stream.set_nodelay(true);
        let acceptor = tls.as_ref().map(|config| TlsAcceptor::from(Arc::clone(&config.borrow())));
        let (router, shutdown, timeout) = (router.clone(), shutdown.clone(), limits.header_timeout);
        tasks.spawn(async move {
            let _slot = slot;
            if let Err(error) = connection(stream, address, acceptor, router, timeout, &shutdown).await {
                log::debug!("connection from {address}: {error}");
            }
        });
    }
    tasks.close();
    if tokio::time::timeout(DRAIN, tasks.wait()).await.is_err() {
        log::warn!("{} connections were cut off", tasks.len());
    }
}

type Failure = Box<dyn std::error::Error + Send + Sync>;

async fn connection(
    stream: TcpStream,
    address: SocketAddr,
    acceptor: Option<TlsAcceptor>,
    router: Router,
    timeout: Duration,
    shutdown: &Shutdown,
) -> Result<(), Failure> {
    let Some(acceptor) = acceptor else {
        return http_1(stream, Peer { address, tls: false }, router, timeout, shutdown).await;
    };
    let peer = Peer { address, tls: true };
    let handshake = tokio::time::timeout(timeout, acceptor.accept(stream)).await;
    let stream = handshake.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
    if stream.get_ref().1.alpn_protocol() == Some(b"h2") {
        http_2(stream, peer, router, shutdown).await
    } else {
        http_1(stream, peer, router, timeout, shutdown).await
    }
}

/// Drives a connection; when the process stops it finishes what it is answering and closes.
macro_rules! drive {
    ($connection:expr, $shutdown:expr) => {{
        let mut connection = std::pin::pin!($connection);
        tokio::select! {
            result = connection.as_mut() => result?,
            () = $shutdown.wait() => {
                connection.as_mut().graceful_shutdown();
                connection.await?;
            }
        }
        Ok(())
    }};
}

async fn http_1(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    peer: Peer,
    router: Router,
    timeout: Duration,
    shutdown: &Shutdown,
) -> Result<(), Failure> {
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(timeout).max_buf_size(MAX_HEAD);
    drive!(builder.serve_connection(TokioIo::new(stream), service(peer, router)), shutdown)
}

async fn http_2(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    peer: Peer,
    router: Router,
    shutdown: &Shutdown,
) -> Result<(), Failure> {
    let mut builder = http2::Builder::new(TokioExecutor::new());
    builder
        .timer(TokioTimer::new())
        .max_concurrent_streams(MAX_STREAMS)
        .max_header_list_size(u32::try_from(MAX_HEAD).unwrap_or(u32::MAX))
        .keep_alive_interval(PING_INTERVAL)
        .keep_alive_timeout(PING_TIMEOUT);
    drive!(builder.serve_connection(TokioIo::new(stream), service(peer, router)), shutdown)
}

fn service(
    peer: Peer,
    router: Router,
) -> impl hyper::service::Service<
    Request<Incoming>,
    Response = axum::response::Response,
    Error = std::convert::Infallible,
    Future = impl Future<Output = Result<axum::response::Response, std::convert::Infallible>> + Send,
> {
    service_fn(move |request: Request<Incoming>| {
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(peer);
        router.clone().oneshot(request)
    })
}
