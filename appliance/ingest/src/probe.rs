//! Whether this process still lets encoders in: it connects to its own port now and then, and the accept loop says when it
//! sees that. A loop that turns but cannot accept, for want of descriptors or memory, is of no use to anybody.

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};

use nodi_daemon::shutdown::Shutdown;
use nodi_daemon::watchdog::{Beat, Watchdog, reachable};
use tokio::net::TcpSocket;
use tokio::sync::Notify;

/// One process's way to its own port.
#[derive(Debug)]
pub(crate) struct Probe {
    beat: Beat,
    address: SocketAddr,
    /// Where the connection comes from that is under way.
    own: Mutex<Option<(IpAddr, u16)>>,
    seen: Notify,
}

impl Probe {
    /// `listens` is where encoders connect to.
    pub(crate) fn new(watchdog: &Watchdog, listens: SocketAddr) -> Arc<Self> {
        let beat = watchdog.part("accepting encoders");
        Arc::new(Self { beat, address: reachable(listens), own: Mutex::default(), seen: Notify::new() })
    }

    /// Whether an accepted connection is the probe's own, which is over with that.
    pub(crate) fn takes(&self, peer: SocketAddr) -> bool {
        let mut own = self.own.lock().unwrap_or_else(PoisonError::into_inner);
        let is_own = *own == Some((peer.ip(), peer.port()));
        if is_own {
            *own = None;
            self.beat.beat();
            self.seen.notify_one();
        }
        is_own
    }

    /// Connects now and then until `shutdown`.
    pub(crate) async fn run(self: Arc<Self>, shutdown: Shutdown) -> &'static str {
        const NAME: &str = "the probe of the RTMP port";
        let Some(every) = self.beat.every() else {
            shutdown.wait().await;
            return NAME;
        };
        loop {
            let connecting = async {
                if let Err(error) = self.connect().await {
                    log::warn!(address:% = self.address, error:%; "cannot connect to the own port");
                }
            };
            tokio::select! {
                // One that is not accepted in all this time will not be.
                _ = tokio::time::timeout(every * 2, connecting) => {}
                () = shutdown.wait() => return NAME,
            }
            tokio::select! {
                () = tokio::time::sleep(every) => {}
                () = shutdown.wait() => return NAME,
            }
        }
    }

    /// Returns when the accept loop has seen it.
    async fn connect(&self) -> std::io::Result<()> {
        let socket = if self.address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
        // Bound first, so that its address is known before anybody can accept it.
        socket.bind(SocketAddr::new(self.address.ip(), 0))?;
        let from = socket.local_addr()?;
        *self.own.lock().unwrap_or_else(PoisonError::into_inner) = Some((from.ip(), from.port()));
        let _open = socket.connect(self.address).await?;
        self.seen.notified().await;
        Ok(())
    }
}
