//! The listener for boxes: TLS with a client certificate of the fleet, HTTP/1.1 and HTTP/2.

use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use hyper::Request;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use nodi_daemon::shutdown::Shutdown;
use rustls::ServerConfig;
use tokio::net::TcpStream;
use tokio::sync::{Semaphore, watch};
use tokio_rustls::TlsAcceptor;
use tokio_util::task::TaskTracker;
use tower::ServiceExt as _;

use super::{accept, drive, within_handshake_time};
use crate::push::Peer;
use crate::push::auth::Trust;
use crate::tls::peer_name;

/// A dead box is noticed after this plus [`PING_TIMEOUT`], so that its connection does not hold a slot.
const PING_INTERVAL: Duration = Duration::from_secs(10);
const PING_TIMEOUT: Duration = Duration::from_secs(10);
/// Between two requests of an HTTP/1.1 connection.
const IDLE_TIMEOUT: Duration = Duration::from_secs(60);
/// What a box may have under way: at 100 ms there and back a stream gets 160 Mbit/s.
const STREAM_WINDOW: u32 = 2 << 20;
const CONNECTION_WINDOW: u32 = 8 << 20;
/// Uploads and updates of one connection at a time.
const MAX_STREAMS: u32 = 128;

/// A revoked box gets so long to hear why its uploads were refused.
const PARTING: Duration = Duration::from_secs(1);

/// Serves until the process stops and its connections are done.
pub async fn serve(
    listener: TcpListener,
    config: watch::Receiver<Arc<ServerConfig>>,
    trust: watch::Receiver<Arc<Trust>>,
    router: Router,
    max_connections: usize,
    shutdown: Shutdown,
) {
    let tasks = TaskTracker::new();
    let slots = Arc::new(Semaphore::new(max_connections));
    accept(listener, &shutdown, |stream, address| {
        let Ok(slot) = Arc::clone(&slots).try_acquire_owned() else {
            log::warn!("push connection from {address} closed: there are {max_connections} already");
            return;
        };
        let acceptor = TlsAcceptor::from(Arc::clone(&config.borrow()));
        let (router, trust, shutdown) = (router.clone(), trust.clone(), shutdown.clone());
        tasks.spawn(async move {
            let _slot = slot;
            match within_handshake_time(acceptor.accept(stream)).await {
                Ok(stream) => connection(stream, router, trust, shutdown).await,
                Err(error) => log::info!("push connection from {address} refused: {error}"),
            }
        });
    })
    .await;
    tasks.close();
    tasks.wait().await;
}

async fn connection(
    stream: tokio_rustls::server::TlsStream<TcpStream>,
    router: Router,
    trust: watch::Receiver<Arc<Trust>>,
    shutdown: Shutdown,
) {
    let peer = Peer::named(&peer_name(stream.get_ref().1).unwrap_or_else(|| "?".to_owned()));
    let revoked = parting(peer.clone(), trust);
    let service = service_fn(move |request: Request<Incoming>| {
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(peer.clone());
        router.clone().oneshot(request)
    });
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(IDLE_TIMEOUT);
    builder
        .http2()
        .timer(TokioTimer::new())
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_concurrent_streams(MAX_STREAMS)
        .keep_alive_interval(PING_INTERVAL)
        .keep_alive_timeout(PING_TIMEOUT);
    let served = async {
        if let Err(error) = drive!(builder.serve_connection(TokioIo::new(stream), service), shutdown) {
            log::debug!("push connection: {error}");
        }
    };
    tokio::select! {
        () = served => {}
        () = revoked => {}
    }
}

/// Until the box was revoked and had its time. A box that comes after it was revoked is told so at each request.
async fn parting(peer: Peer, mut trust: watch::Receiver<Arc<Trust>>) {
    let Some(id) = peer.box_id else { return std::future::pending().await };
    let revoked = |trust: &Arc<Trust>| trust.revocations.revoked_boxes.contains(&id);
    if trust.wait_for(revoked).await.is_err() {
        // The process stops, and ends its connections in its own way.
        return std::future::pending().await;
    }
    tokio::time::sleep(PARTING).await;
    log::warn!(peer = &*peer.name; "push connection cut: the box was revoked");
}
