//! A TCP proxy that can be cut, frozen and slowed down.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::watch;
use tokio::time::Instant;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Line {
    Up,
    /// Connections are reset, new ones too.
    Cut,
    /// Nothing passes and nobody is told.
    Frozen,
    /// Upstream at so many bytes per second, all connections together.
    Slow(u64),
}

pub struct Network {
    pub address: SocketAddr,
    line: watch::Sender<Line>,
}

impl Network {
    pub async fn to(origin: SocketAddr) -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        // Small, so that a slow line shows at the sender and not in a megabyte of buffers.
        socket.set_recv_buffer_size(16 << 10).unwrap();
        socket.bind(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
        let listener: TcpListener = socket.listen(64).unwrap();
        let address = listener.local_addr().unwrap();
        let line = watch::Sender::new(Line::Up);
        let state = line.subscribe();
        let busy_until = Arc::new(Mutex::new(Instant::now()));
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(carry(client, origin, state.clone(), busy_until.clone()));
            }
        });
        Self { address, line }
    }

    pub fn set(&self, line: Line) {
        self.line.send_replace(line);
    }
}

async fn carry(
    client: TcpStream,
    origin: SocketAddr,
    mut line: watch::Receiver<Line>,
    busy_until: Arc<Mutex<Instant>>,
) {
    if *line.borrow_and_update() == Line::Cut {
        return;
    }
    let Ok(server) = TcpStream::connect(origin).await else { return };
    let (mut client_read, mut client_write) = client.into_split();
    let (mut server_read, mut server_write) = server.into_split();
    let mut up_line = line.clone();
    let up = async move {
        let mut buffer = vec![0; 8 << 10];
        loop {
            thaw(&mut up_line).await;
            let Ok(len @ 1..) = client_read.read(&mut buffer).await else { return };
            let now = *up_line.borrow();
            if let Line::Slow(rate) = now {
                let time = Duration::from_micros(u64::try_from(len).unwrap() * 1_000_000 / rate);
                let until = {
                    let mut busy_until = busy_until.lock().unwrap();
                    *busy_until = (*busy_until).max(Instant::now()) + time;
                    *busy_until
                };
                tokio::time::sleep_until(until).await;
            }
            thaw(&mut up_line).await;
            if server_write.write_all(&buffer[..len]).await.is_err() {
                return;
            }
        }
    };
    let mut down_line = line.clone();
    let down = async move {
        let mut buffer = vec![0; 8 << 10];
        loop {
            thaw(&mut down_line).await;
            let Ok(len @ 1..) = server_read.read(&mut buffer).await else { return };
            thaw(&mut down_line).await;
            if client_write.write_all(&buffer[..len]).await.is_err() {
                return;
            }
        }
    };
    let cut = async move {
        drop(line.wait_for(|line| *line == Line::Cut).await);
    };
    tokio::select! { () = up => {}, () = down => {}, () = cut => {} }
}

async fn thaw(line: &mut watch::Receiver<Line>) {
    // An error means that the test is over.
    drop(line.wait_for(|line| *line != Line::Frozen).await);
}
