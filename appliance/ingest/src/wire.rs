//! One connection's bytes: the socket, plain or under TLS, and the RTMP that goes over it.

use std::cell::RefCell;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf as _, BytesMut};
use nodi_rtmp::{Connection, Event};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::Instant;
use tokio_rustls::server::TlsStream;
use tokio_util::io::poll_read_buf;

use crate::ending::Ending;

/// Most that one read takes: more than any frame below 15 Mbit/s, so that a wake-up is one read.
const READ: usize = 64 << 10;
/// How long a peer gets to read why it was let go. Encoders that are busy sending look at their input between frames.
const LINGER: Duration = Duration::from_secs(3);
/// What such a peer may still send meanwhile. Closing with unread bytes would reset the connection, and
/// the reset can overtake the reason.
const LINGER_BYTES: usize = 32 << 20;

/// A piece of a chunk's header; more is left only by a handshake, or while an answer is owed.
const SMALL_LEFTOVER: usize = 256;

thread_local! {
    /// All connections of a thread read into the same buffer: what a read brings is taken apart before the
    /// next connection has its turn, so that an idle connection holds no buffer at all.
    static SCRATCH: RefCell<BytesMut> = RefCell::new(BytesMut::with_capacity(2 * READ));
}

pub(crate) enum Transport {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl Transport {
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Plain(_) => "rtmp",
            Self::Tls(_) => "rtmps",
        }
    }
}

impl AsyncRead for Transport {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_read(cx, buf),
            Self::Tls(stream) => Pin::new(stream.as_mut()).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Transport {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write(cx, buf),
            Self::Tls(stream) => Pin::new(stream.as_mut()).poll_write(cx, buf),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Self::Tls(stream) => Pin::new(stream.as_mut()).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Tls(stream) => Pin::new(stream.as_mut()).poll_shutdown(cx),
        }
    }
}

pub(crate) struct Wire {
    pub(crate) peer: SocketAddr,
    pub(crate) rtmp: Connection,
    transport: Transport,
    /// Bytes that were read and belong to something that is not complete.
    leftover: BytesMut,
    /// The leftover is worth a look without reading more: an answer was owed, and was given.
    resume: bool,
    /// TLS holds bytes back until it is flushed.
    flush: bool,
    pub(crate) received: u64,
    pub(crate) last_read: Instant,
}

impl Wire {
    pub(crate) fn new(transport: Transport, peer: SocketAddr, rtmp: Connection) -> Self {
        Self {
            peer,
            rtmp,
            transport,
            leftover: BytesMut::new(),
            resume: false,
            flush: false,
            received: 0,
            last_read: Instant::now(),
        }
    }

    pub(crate) fn transport_name(&self) -> &'static str {
        self.transport.name()
    }

    /// To be called after the answer to `connect` or `publish`.
    pub(crate) fn resume(&mut self) {
        self.resume = true;
    }

    /// Reads once and hands every event to `take`; 0: there was nothing to read. Also sends what is due.
    pub(crate) fn poll_receive(
        &mut self,
        cx: &mut Context<'_>,
        mut take: impl FnMut(&mut Connection, Event) -> Result<(), Ending>,
    ) -> Poll<Result<usize, Ending>> {
        // What waits for the peer to read must not keep us from reading.
        if let Poll::Ready(Err(error)) = self.poll_send(cx) {
            return Poll::Ready(Err(Ending::Broken(error)));
        }
        let result = SCRATCH.with_borrow_mut(|scratch| {
            scratch.clear();
            scratch.extend_from_slice(&self.leftover);
            let read = if std::mem::take(&mut self.resume) {
                0
            } else {
                scratch.reserve(READ);
                match ready!(poll_read_buf(Pin::new(&mut self.transport), cx, scratch)) {
                    Ok(0) => return Poll::Ready(Err(Ending::Disconnected)),
                    Ok(read) => read,
                    // rustls reports a TCP end without a TLS end this way; publishers do that.
                    Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                        return Poll::Ready(Err(Ending::Disconnected));
                    }
                    Err(error) => return Poll::Ready(Err(Ending::Broken(error))),
                }
            };
            let mut events = || -> Result<(), Ending> {
                while let Some(event) = self.rtmp.receive(scratch)? {
                    take(&mut self.rtmp, event)?;
                }
                Ok(())
            };
            let taken = events();
            self.keep(scratch);
            Poll::Ready(taken.map(|()| read))
        });
        if let Poll::Ready(Ok(read)) = &result
            && *read > 0
        {
            self.received += *read as u64;
            self.last_read = Instant::now();
        }
        if let Poll::Ready(Err(error)) = self.poll_send(cx) {
            return Poll::Ready(Err(Ending::Broken(error)));
        }
        result
    }

    fn keep(&mut self, rest: &[u8]) {
        self.leftover.clear();
        if rest.is_empty() && self.leftover.capacity() > SMALL_LEFTOVER {
            self.leftover = BytesMut::new();
        }
        self.leftover.extend_from_slice(rest);
    }

    /// Ends the connection so that the peer can read what was said last.
    pub(crate) async fn close(mut self) {
        let goodbye = async {
            self.send().await?;
            self.transport.shutdown().await?;
            let mut left = LINGER_BYTES;
            while left > 0 {
                let read = std::future::poll_fn(|cx| {
                    SCRATCH.with_borrow_mut(|scratch| {
                        scratch.clear();
                        scratch.reserve(READ);
                        poll_read_buf(Pin::new(&mut self.transport), cx, scratch)
                    })
                })
                .await?;
                if read == 0 {
                    break;
                }
                left = left.saturating_sub(read);
            }
            io::Result::Ok(())
        };
        // However it ends, it ends here.
        let _ = tokio::time::timeout(LINGER, goodbye).await;
    }

    /// Sends what is due.
    pub(crate) async fn send(&mut self) -> io::Result<()> {
        std::future::poll_fn(|cx| self.poll_send(cx)).await
    }

    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.rtmp.output().is_empty() {
            match ready!(Pin::new(&mut self.transport).poll_write(cx, self.rtmp.output())) {
                Ok(0) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Ok(written) => {
                    self.rtmp.output().advance(written);
                    self.flush = true;
                }
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
        if self.flush {
            ready!(Pin::new(&mut self.transport).poll_flush(cx))?;
            self.flush = false;
        }
        Poll::Ready(Ok(()))
    }
}
