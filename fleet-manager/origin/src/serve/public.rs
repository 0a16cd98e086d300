//! The listeners for viewers and CDN edges. Each thread has its own sockets and its own event loop, and a
//! connection stays on the thread that accepted it.

use std::convert::Infallible;
use std::io;
use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use nodi_daemon::shutdown::Shutdown;
use nodi_daemon::watchdog::Watchdog;
use prometheus_client::metrics::gauge::Gauge;
use rustls::ServerConfig;
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio_rustls::TlsAcceptor;
use tokio_util::task::TaskTracker;

use super::sendfile::{Notes, Plain};
use super::{accept, drive, within_handshake_time};
use crate::live::Live;
use crate::live::answer::{Answer, Body};
use crate::metrics::Metrics;

/// A request's head, and what is buffered of a response that is streamed.
const MAX_BUFFER: usize = 64 << 10;
/// Requests of one HTTP/2 connection at a time: a player has a handful, an edge shares connections.
const MAX_STREAMS: u32 = 128;

/// What every thread works with.
#[derive(Debug)]
pub struct Public {
    pub live: Live,
    pub metrics: Arc<Metrics>,
    pub slots: Arc<Semaphore>,
    pub idle_timeout: Duration,
    pub shutdown: Shutdown,
    pub watchdog: Watchdog,
}

/// The sockets of one thread.
#[derive(Debug)]
pub struct Sockets {
    pub plain: TcpListener,
    pub tls: Option<(TcpListener, watch::Receiver<Arc<ServerConfig>>)>,
}

/// Counts while it lives.
struct Open {
    gauge: Gauge,
    _slot: OwnedSemaphorePermit,
}

impl Drop for Open {
    fn drop(&mut self) {
        self.gauge.dec();
    }
}

/// Serves until the process stops and its connections are done.
pub async fn serve(public: Arc<Public>, sockets: Sockets) {
    let tasks = TaskTracker::new();
    let shutdown = public.shutdown.clone();
    let plain = accept(sockets.plain, &shutdown, |stream, _| {
        if let Some(open) = public.open() {
            tasks.spawn(plain(Arc::clone(&public), stream, open));
        }
    });
    let tls = async {
        let Some((listener, config)) = sockets.tls else { return };
        accept(listener, &shutdown, |stream, _| {
            if let Some(open) = public.open() {
                let acceptor = TlsAcceptor::from(Arc::clone(&config.borrow()));
                tasks.spawn(tls(Arc::clone(&public), acceptor, stream, open));
            }
        })
        .await;
    };
    tokio::join!(plain, tls);
    tasks.close();
    tasks.wait().await;
}

impl Public {
    fn open(&self) -> Option<Open> {
        match Arc::clone(&self.slots).try_acquire_owned() {
            Ok(slot) => {
                self.metrics.connections.inc();
                Some(Open { gauge: self.metrics.connections.clone(), _slot: slot })
            }
            Err(_) => {
                self.metrics.refused_connections.inc();
                None
            }
        }
    }
}

async fn plain(public: Arc<Public>, stream: TcpStream, _open: Open) {
    let (stream, notes) = Plain::new(stream);
    let live = &public.live;
    let service = service_fn(|request: Request<Incoming>| {
        let notes = &notes;
        async move {
            let answer = live.answer(request.method(), request.uri(), request.headers()).await;
            Ok::<_, Infallible>(response(answer, Some(notes)))
        }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(public.idle_timeout)
        .max_buf_size(MAX_BUFFER)
        .serve_connection(TokioIo::new(stream), service);
    if let Err(error) = drive!(connection, public.shutdown) {
        log::trace!("public connection: {error}");
    }
}

async fn tls(public: Arc<Public>, acceptor: TlsAcceptor, stream: TcpStream, _open: Open) {
    let stream = match within_handshake_time(acceptor.accept(stream)).await {
        Ok(stream) => stream,
        Err(error) => {
            log::trace!("public TLS handshake: {error}");
            return;
        }
    };
    let shared = Arc::clone(&public);
    let service = service_fn(move |request: Request<Incoming>| {
        let public = Arc::clone(&shared);
        async move {
            let answer = public.live.answer(request.method(), request.uri(), request.headers()).await;
            Ok::<_, Infallible>(response(answer, None))
        }
    });
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(public.idle_timeout)
        .max_buf_size(MAX_BUFFER);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(MAX_STREAMS)
        .keep_alive_interval(public.idle_timeout / 2)
        .keep_alive_timeout(public.idle_timeout / 2);
    if let Err(error) = drive!(builder.serve_connection(TokioIo::new(stream), service), public.shutdown) {
        log::trace!("public TLS connection: {error}");
    }
}

fn response(answer: Answer, notes: Option<&Notes>) -> Response<Body> {
    let body = match (answer.body, notes) {
        (Body::Slice(slice), Some(notes)) => {
            let bytes = slice.bytes();
            notes.add(slice);
            Body::Bytes(bytes)
        }
        (body, _) => body,
    };
    let mut response = Response::new(body);
    *response.status_mut() = answer.status;
    *response.headers_mut() = answer.headers;
    response
}

/// A thread with an event loop of its own that runs [`serve`].
///
/// # Errors
/// When the thread or its event loop cannot be made.
pub fn spawn(index: usize, public: Arc<Public>, sockets: Sockets) -> io::Result<std::thread::JoinHandle<()>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let beat = public.watchdog.part("a thread for viewers");
    std::thread::Builder::new().name(format!("public-{index}")).spawn(move || {
        runtime.block_on(async {
            tokio::select! {
                () = serve(public, sockets) => {}
                () = beat.turning() => {}
            }
        });
    })
}
