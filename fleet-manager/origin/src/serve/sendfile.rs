//! A plain connection that sends segment bytes from the file that they are in, without a copy.
//!
//! The HTTP implementation above only knows bytes. Those of a segment are a mapping of its file, so that their
//! address tells where in the file they are: whoever answers a request notes the slice here, and a write that
//! starts at a noted address becomes `sendfile`. Any other write is an ordinary one.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use rustix::net::{SendAncillaryBuffer, SendFlags};
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::TcpStream;

use crate::blob::Slice;

/// Slices that may be noted and not written yet: more than one only if a client pipelines requests.
const MAX_NOTED: usize = 8;

/// A reader that takes longer for a part or a segment is cut off: what it reads stays in memory, whatever the
/// window says.
const SLOWEST: Duration = Duration::from_secs(60);

/// Slices that the connection is about to write, oldest first, each with when it was noted.
#[derive(Debug, Clone, Default)]
pub(super) struct Notes(Arc<Mutex<VecDeque<(Slice, Instant)>>>);

impl Notes {
    /// The slice's bytes will be written, in the order of these calls.
    pub(super) fn add(&self, slice: Slice) {
        let mut notes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if notes.len() < MAX_NOTED {
            notes.push_back((slice, Instant::now()));
        }
    }

    fn is_empty(&self) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).is_empty()
    }

    /// The part of a noted slice that `bytes` are, and whether it is the slice's last one.
    fn find(&self, bytes: &[u8]) -> Option<Found> {
        let mut notes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let index =
            notes.iter().position(|(slice, _)| slice.as_ref().as_ptr_range().contains(&bytes.as_ptr()))?;
        // Older ones are written already.
        notes.drain(..index);
        let (noted, since) = notes.front()?;
        let offset = (bytes.as_ptr().addr()).checked_sub(noted.as_ref().as_ptr().addr())? as u64;
        let slice = noted.range(offset, bytes.len() as u64)?;
        Some(Found { is_last: offset + slice.len() == noted.len(), slice, since: *since })
    }

    fn finish_first(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
    }
}

struct Found {
    slice: Slice,
    is_last: bool,
    since: Instant,
}

/// A TCP connection that knows what is noted for it.
#[derive(Debug)]
pub(super) struct Plain {
    stream: TcpStream,
    notes: Notes,
}

impl Plain {
    pub(super) fn new(stream: TcpStream) -> (Self, Notes) {
        let notes = Notes::default();
        (Self { stream, notes: notes.clone() }, notes)
    }

    fn poll_sendfile(&self, context: &mut Context<'_>, found: &Found) -> Poll<io::Result<usize>> {
        if found.since.elapsed() > SLOWEST {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        let (file, offset) = found.slice.file();
        let count = usize::try_from(found.slice.len()).unwrap_or(usize::MAX);
        let sent = ready!(self.poll_send(context, || {
            let mut offset = offset;
            Ok(rustix::fs::sendfile(&self.stream, file, Some(&mut offset), count)?)
        }))?;
        if found.is_last && sent == count {
            self.notes.finish_first();
        }
        Poll::Ready(Ok(sent))
    }

    /// Sends what comes before a slice and tells the kernel that more follows, so that a response's head does
    /// not become a packet of its own.
    fn poll_send_more(&self, context: &mut Context<'_>, head: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        self.poll_send(context, || {
            let flags = SendFlags::MORE | SendFlags::NOSIGNAL;
            Ok(rustix::net::sendmsg(&self.stream, head, &mut SendAncillaryBuffer::default(), flags)?)
        })
    }

    fn poll_send(
        &self,
        context: &mut Context<'_>,
        mut send: impl FnMut() -> io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        loop {
            ready!(self.stream.poll_write_ready(context))?;
            match self.stream.try_io(Interest::WRITABLE, &mut send) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                result => return Poll::Ready(result),
            }
        }
    }
}

impl AsyncRead for Plain {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Plain {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(context, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffers: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if self.notes.is_empty() {
            return Pin::new(&mut self.stream).poll_write_vectored(context, buffers);
        }
        let mut head = 0;
        for buffer in buffers {
            match self.notes.find(buffer) {
                Some(found) if head == 0 => return self.poll_sendfile(context, &found),
                Some(_) => return self.poll_send_more(context, buffers.get(..head).unwrap_or_default()),
                None => head += 1,
            }
        }
        Pin::new(&mut self.stream).poll_write_vectored(context, buffers)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
