//! Sockets: who is let in, with which protocol, and how connections end when the process stops.

pub mod public;
pub mod push;
mod sendfile;

use std::future::Future;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

use nodi_daemon::shutdown::Shutdown;
use socket2::{Domain, Protocol, SockRef, Socket, Type};
use tokio::net::TcpStream;

/// Connections that wait to be accepted: a crowd that arrives in one moment.
const BACKLOG: i32 = 4_096;
/// A client that needs longer for the TLS handshake is not worth a slot.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// A peer that takes nothing of what was sent to it for this long is gone (TCP_USER_TIMEOUT).
const STUCK_TIMEOUT: Duration = Duration::from_secs(30);
/// Between attempts to accept while the process is out of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// A listening socket that several threads can have one each of.
///
/// # Errors
/// When the address is taken or not ours.
pub fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// Accepts until the process stops; `open` makes a task of each connection.
async fn accept(listener: TcpListener, shutdown: &Shutdown, mut open: impl FnMut(TcpStream, SocketAddr)) {
    let listener = match tokio::net::TcpListener::from_std(listener) {
        Ok(listener) => listener,
        Err(error) => {
            log::error!("cannot listen: {error}");
            return;
        }
    };
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = shutdown.wait() => return,
        };
        match accepted {
            Ok((stream, peer)) => {
                // Parts are written whole: nothing is gained by waiting for more.
                let _ = stream.set_nodelay(true);
                let _ = SockRef::from(&stream).set_tcp_user_timeout(Some(STUCK_TIMEOUT));
                open(stream, peer);
            }
            Err(error) => {
                log::warn!("cannot accept a connection: {error}");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// Drives a connection; when the process stops it finishes what it is answering and closes.
macro_rules! drive {
    ($connection:expr, $shutdown:expr) => {{
        let mut connection = std::pin::pin!($connection);
        tokio::select! {
            result = connection.as_mut() => result,
            () = $shutdown.wait() => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        }
    }};
}
use drive;

async fn within_handshake_time<T>(handshake: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    tokio::time::timeout(HANDSHAKE_TIMEOUT, handshake)
        .await
        .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}
