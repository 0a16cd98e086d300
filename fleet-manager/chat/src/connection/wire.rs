//! What tungstenite reads from and writes to. It writes nothing but whole frames (pongs, the answer to a close), and they
//! go the way of everything else: through the [`Link`], so that none is cut into another.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;

use super::link::{Link, Pushed};
use crate::clock;

/// One connection's bytes.
#[derive(Debug)]
pub struct Wire {
    link: Arc<Link>,
    /// `None`: the link's own socket, plain.
    tls: Option<Box<TlsStream<TcpStream>>>,
    /// Something was encrypted and is perhaps not written yet.
    unflushed: bool,
}

impl Wire {
    #[must_use]
    pub fn new(link: Arc<Link>, tls: Option<Box<TlsStream<TcpStream>>>) -> Self {
        Self { link, tls, unflushed: false }
    }

    #[must_use]
    pub fn link(&self) -> &Arc<Link> {
        &self.link
    }

    /// Writes what waits. Ready when nothing does.
    pub(super) fn poll_outbox(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Some(tls) = &mut self.tls else { return self.link.poll_flush_socket(context) };
        let unflushed = &mut self.unflushed;
        let emptied = self.link.poll_flush(context, |context, slices| {
            let written = ready!(Pin::new(&mut **tls).poll_write_vectored(context, slices))?;
            *unflushed = true;
            Poll::Ready(Ok(written))
        })?;
        if self.unflushed {
            ready!(Pin::new(&mut **tls).poll_flush(context))?;
            self.unflushed = false;
        }
        emptied.map(Ok)
    }

    /// Tells the client that nothing more comes.
    pub(super) fn poll_end(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match (&mut self.tls, self.link.socket()) {
            (Some(tls), _) => Pin::new(&mut **tls).poll_shutdown(context),
            (None, Some(socket)) => {
                Poll::Ready(socket2::SockRef::from(socket).shutdown(std::net::Shutdown::Write))
            }
            (None, None) => Poll::Ready(Ok(())),
        }
    }
}

impl AsyncRead for Wire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if let Some(tls) = &mut self.tls {
            return Pin::new(&mut **tls).poll_read(context, buffer);
        }
        let Some(socket) = self.link.socket() else { return Poll::Ready(Ok(())) };
        loop {
            ready!(socket.poll_read_ready(context))?;
            match socket.try_read(buffer.initialize_unfilled()) {
                Ok(len) => {
                    buffer.advance(len);
                    return Poll::Ready(Ok(()));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }
}

impl AsyncWrite for Wire {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        // After the end of a connection nothing more goes out; that is no error for who reads on.
        let (Pushed::Sent | Pushed::Waits | Pushed::Gone) =
            self.link.push(&Bytes::copy_from_slice(bytes), clock::ticks());
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Wire::poll_end(&mut self, context)
    }
}
