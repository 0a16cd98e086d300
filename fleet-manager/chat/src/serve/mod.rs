//! The one port: WebSockets, and a few small answers over HTTP.

pub mod admission;
mod client;
mod http;
mod messages;
pub mod tls;
mod upgrade;

use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use nodi_daemon::shutdown::Shutdown;
use rustls::ServerConfig;
use socket2::{Domain, Protocol, SockRef, Socket, Type};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;
use tokio_util::task::TaskTracker;

use crate::clock;
use crate::connection::link::{Limits, Link};
use crate::connection::wire::Wire;
use crate::connection::{self, Closed, Upgraded};
use crate::frame::code;
use crate::limits::AddressKey;
use crate::service::Service;
use admission::{Full, Seat, Unjoined};
use client::{Client, is_in};
use http::{Answer, Head, HeadError};

/// Connections that wait to be accepted: everybody who comes back in one moment after a restart.
const BACKLOG: i32 = 4_096;
/// A peer that takes nothing of what was sent to it for this long is gone (TCP_USER_TIMEOUT).
const STUCK: Duration = Duration::from_secs(30);
/// Between attempts to accept while the process is out of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// An answer of some kilobytes takes no longer to anybody who wants it.
const ANSWER: Duration = Duration::from_secs(10);
/// When there is no place: seconds after which to come again.
const RETRY_AFTER_S: u64 = 10;

/// # Errors
/// When the address is taken or not ours.
pub fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// Serves until the process stops, then ends what is open. Returns when every connection is over.
pub async fn run(
    service: Arc<Service>,
    listener: tokio::net::TcpListener,
    tls: Option<watch::Receiver<Arc<ServerConfig>>>,
    shutdown: Shutdown,
) {
    let tasks = TaskTracker::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = shutdown.wait() => break,
        };
        match accepted {
            Ok((stream, peer)) => {
                // Frames are written whole: nothing is gained by waiting for more.
                let _ = stream.set_nodelay(true);
                let socket = SockRef::from(&stream);
                let _ = socket.set_tcp_user_timeout(Some(STUCK));
                let _ = socket.set_send_buffer_size(service.config.connections.send_buffer);
                let tls = tls.as_ref().map(|config| TlsAcceptor::from(Arc::clone(&config.borrow())));
                let unjoined = service.admission.accept();
                let id = unjoined.id();
                let begun = begin(Arc::clone(&service), tasks.clone(), stream, peer.ip(), tls, unjoined);
                let task = tasks.spawn(begun).abort_handle();
                Unjoined::is_run_by(&service.admission, id, task);
            }
            Err(error) => {
                log::warn!("cannot accept a connection: {error}");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    drop(listener);
    service.admission.stop();
    service.rooms.stop().await;
    tasks.close();
    tasks.wait().await;
}

/// From the first byte to the answer. What becomes a WebSocket goes on in a task of its own, so that nothing of this one
/// stays in memory with it.
async fn begin(
    service: Arc<Service>,
    tasks: TaskTracker,
    stream: TcpStream,
    peer: IpAddr,
    tls: Option<TlsAcceptor>,
    unjoined: Unjoined,
) {
    let deadline = tokio::time::Instant::now() + service.config.connections.handshake();
    let limits = Limits {
        bytes: service.config.connections.outbox_bytes,
        age_ms: service.config.connections.outbox_age_s.saturating_mul(1_000),
    };
    let now_ms = clock::ticks();
    let (wire, upgrade) = match tls {
        None => {
            let mut stream = stream;
            let Some(upgrade) = exchange(&service, &mut stream, peer, deadline).await else { return };
            (Wire::new(Link::new(Some(stream), limits, now_ms), None), upgrade)
        }
        Some(acceptor) => {
            let accepted = tokio::time::timeout_at(deadline, acceptor.accept(stream)).await;
            let Ok(Ok(stream)) = accepted else { return };
            let mut stream = Box::new(stream);
            let Some(upgrade) = exchange(&service, &mut stream, peer, deadline).await else { return };
            (Wire::new(Link::new(None, limits, now_ms), Some(stream)), upgrade)
        }
    };
    let Upgrade { rest, address, seat } = upgrade;
    let upgraded = Upgraded { wire, rest, address, seat };
    tasks.spawn(connection::run(service, upgraded, unjoined));
}

/// A request that became a WebSocket.
struct Upgrade {
    rest: Vec<u8>,
    address: AddressKey,
    seat: Result<Seat, Closed>,
}

/// Reads a request and answers it. `None`: that was all.
async fn exchange(
    service: &Arc<Service>,
    stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
    peer: IpAddr,
    deadline: tokio::time::Instant,
) -> Option<Upgrade> {
    let read = tokio::time::timeout_at(deadline, http::read_head(stream)).await;
    let answer = match read {
        Err(_) => Answer::problem(408, "the request did not come in time"),
        Ok(Err(HeadError::Io(_) | HeadError::Ended)) => return None,
        Ok(Err(error @ HeadError::TooLong)) => Answer::problem(431, &error.to_string()),
        Ok(Err(error @ HeadError::Malformed)) => Answer::problem(400, &error.to_string()),
        Ok(Ok(head)) => {
            let client = Client::of(peer, &head, &service.config.http.trusted_proxies);
            if head.path == "/ws" {
                match websocket(service, &head, client) {
                    Ok((accepted, seat)) => {
                        let written = tokio::time::timeout_at(deadline, async {
                            stream.write_all(&accepted.0).await?;
                            stream.flush().await
                        });
                        return matches!(written.await, Ok(Ok(()))).then(|| Upgrade {
                            rest: head.rest,
                            address: AddressKey::of(client.address),
                            seat,
                        });
                    }
                    Err(answer) => answer,
                }
            } else if head.path == "/messages" {
                match messages::answer(service, &head, stream).await {
                    Some(answer) => answer,
                    None => return None,
                }
            } else {
                page(service, &head, client)
            }
        }
    };
    service.metrics.answered(answer.status);
    let written = async {
        answer.write(stream).await?;
        drain(stream).await
    };
    if let Ok(Err(error)) = tokio::time::timeout(ANSWER, written).await {
        log::trace!("an answer was not taken: {error}");
    }
    None
}

/// Reads what the client still sends, a little of it: without that the kernel may drop the answer.
async fn drain(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<()> {
    use tokio::io::AsyncReadExt as _;
    let mut bytes = [0; 1 << 10];
    for _ in 0..256 {
        if stream.read(&mut bytes).await? == 0 {
            break;
        }
    }
    Ok(())
}

fn websocket(
    service: &Arc<Service>,
    head: &Head,
    client: Client,
) -> Result<(upgrade::Accepted, Result<Seat, Closed>), Answer> {
    let accepted = upgrade::accept(head, &service.config.http.origins)?;
    if is_in(&service.config.http.banned, client.address) {
        return Ok((accepted, Err(Closed(code::BANNED, "this address may not chat here"))));
    }
    match service.admission.seat(AddressKey::of(client.address)) {
        Ok(seat) => Ok((accepted, Ok(seat))),
        Err(Full::Address) => {
            Ok((accepted, Err(Closed(code::TOO_MANY, "too many connections from this address"))))
        }
        Err(Full::All) => {
            Err(Answer::problem(503, "too many connections").with("retry-after", RETRY_AFTER_S.to_string()))
        }
    }
}

fn page(service: &Service, head: &Head, client: Client) -> Answer {
    let is_known = matches!(head.path.as_str(), "/healthz" | "/rooms" | "/metrics");
    let may_see = head.path != "/metrics"
        || (!client.is_doubtful && is_in(&service.config.http.metrics_from, client.address));
    if !is_known || !may_see {
        return Answer::problem(404, "there is nothing here");
    }
    if head.method != "GET" {
        return Answer::problem(405, "only GET").with("allow", "GET");
    }
    match head.path.as_str() {
        "/healthz" => Answer::new(200, "text/plain; charset=utf-8", "ok\n"),
        "/rooms" => Answer::json(&service.rooms.counts()),
        _ => {
            let metrics = &service.metrics;
            metrics.unjoined.set(i64::try_from(service.admission.unjoined()).unwrap_or(i64::MAX));
            metrics.store(&service.store.stats());
            let content_type = "application/openmetrics-text; version=1.0.0; charset=utf-8";
            Answer::new(200, content_type, metrics.text())
        }
    }
}
