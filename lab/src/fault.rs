//! A network that can be broken: a TCP proxy between two processes.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

use crate::error::{Error, io};
use crate::network::Side;

/// What the network does now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    Pass,
    /// Nothing arrives and nobody is told: a cut cable. What was under way arrives once it is mended.
    BlackHole,
    /// Every connection, old and new, is reset.
    Reset,
    /// At most so many bytes a second in each direction of each connection.
    Throttle(u32),
}

/// Small enough that a throttle is smooth and a cut takes effect at once.
const BUFFER: usize = 16 * 1024;

/// Listens on loopback and passes every connection on to `target`. Ends when it is dropped.
#[derive(Debug)]
pub struct Proxy {
    port: u16,
    mode: watch::Sender<Mode>,
    task: JoinHandle<()>,
}

impl Proxy {
    /// # Errors
    /// When no port can be bound.
    pub fn start(target: u16) -> Result<Self, Error> {
        Self::between((Side::default(), crate::ports::free()?), (Side::default(), target))
    }

    /// From a port in one network to a port in another.
    ///
    /// # Errors
    /// When the port cannot be bound.
    pub(crate) fn between((from, port): (Side, u16), to: (Side, u16)) -> Result<Self, Error> {
        let listener = from
            .listen(port)
            .and_then(TcpListener::from_std)
            .map_err(io(format!("listening on port {port}")))?;
        let (mode, watched) = watch::channel(Mode::Pass);
        let target = (to.0, SocketAddr::from((Ipv4Addr::LOCALHOST, to.1)));
        let task = tokio::spawn(serve(listener, target, watched));
        Ok(Self { port, mode, task })
    }

    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Takes effect on open connections, too.
    pub fn set(&self, mode: Mode) {
        log::info!("network on port {}: {mode:?}", self.port);
        self.mode.send_replace(mode);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

type Target = (Side, SocketAddr);

async fn serve(listener: TcpListener, target: Target, mode: watch::Receiver<Mode>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((client, _)) => {
                    connections.spawn(connection(client, target.clone(), mode.clone()));
                }
                Err(error) => log::warn!("fault proxy: {error}"),
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn connection(mut client: TcpStream, (side, target): Target, mut mode: watch::Receiver<Mode>) {
    // A connection attempt over a cut cable gets no further than the kernel's handshake with us.
    if mode.wait_for(|mode| *mode != Mode::BlackHole).await.is_err() {
        return;
    }
    let connect = async { side.socket()?.connect(target).await };
    let mut server = match connect.await {
        Ok(server) if *mode.borrow() != Mode::Reset => server,
        _ => return reset(&client),
    };
    for stream in [&client, &server] {
        // The processes set this on their side; without it here the proxy would add its own delay.
        let _ = stream.set_nodelay(true);
    }
    let broken = {
        let (client_read, client_write) = client.split();
        let (server_read, server_write) = server.split();
        let up = pump(client_read, server_write, mode.clone());
        let down = pump(server_read, client_write, mode.clone());
        tokio::select! {
            _ = async { tokio::join!(up, down) } => false,
            _ = mode.wait_for(|mode| *mode == Mode::Reset) => true,
        }
    };
    if broken {
        reset(&client);
        reset(&server);
    }
}

/// Copies until the end of the stream or an error, as fast as the mode lets it.
async fn pump(mut from: ReadHalf<'_>, mut to: WriteHalf<'_>, mut mode: watch::Receiver<Mode>) {
    let mut buffer = vec![0; BUFFER];
    loop {
        let read = from.read(&mut buffer).await.unwrap_or(0);
        if mode.wait_for(|mode| *mode != Mode::BlackHole).await.is_err() {
            return;
        }
        let Some(bytes) = buffer.get(..read).filter(|bytes| !bytes.is_empty()) else {
            // An orderly end stays orderly, and is one direction's alone.
            let _ = to.shutdown().await;
            return;
        };
        if to.write_all(bytes).await.is_err() {
            return;
        }
        let rate = match *mode.borrow() {
            Mode::Throttle(rate) => rate.max(1),
            _ => continue,
        };
        tokio::time::sleep(Duration::from_secs_f64(bytes.len() as f64 / f64::from(rate))).await;
    }
}

/// Closing this stream sends RST.
fn reset(stream: &TcpStream) {
    let _ = socket2::SockRef::from(stream).set_linger(Some(Duration::ZERO));
}
