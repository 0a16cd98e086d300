//! The way to one client. Whoever has something for it, its room above all, writes straight to the socket; only what does
//! not fit into the kernel's buffer waits here until the connection's own task can write it. No task is woken for a
//! delivery that fits, and none ever waits for a reader that is behind.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker, ready};

use bytes::{Buf as _, Bytes};
use rustix::io::Errno;
use rustix::net::SendFlags;
use tokio::net::TcpStream;

use crate::frame::{self, code};

/// Frames handed to the kernel in one write when it takes some again.
const WRITE_AT_ONCE: usize = 32;

/// What may wait, and for how long.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    pub bytes: usize,
    pub age_ms: u64,
}

/// What became of frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pushed {
    Sent,
    Waits,
    /// The connection is over, or is from now on.
    Gone,
}

/// Why a connection ends, by what this side does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// With a close frame of this code, which is on its way.
    Closed(u16),
    /// The socket is broken.
    Broken,
}

/// See the module's description.
#[derive(Debug)]
pub struct Link {
    /// `None`: TLS, which only the connection's task can write.
    socket: Option<TcpStream>,
    limits: Limits,
    /// When the client last sent anything, in [`clock::ticks`](crate::clock::ticks).
    heard_ms: AtomicU64,
    /// Where the room keeps it; set and read by the room.
    slot: AtomicU32,
    outbox: Mutex<Outbox>,
}

#[derive(Debug, Default)]
struct Outbox {
    /// Whole frames, each with when it came, but for the first one: of that the rest.
    waiting: VecDeque<(Bytes, u64)>,
    bytes: usize,
    /// A part of the first one was written: without the rest the client would not understand what follows.
    torn: bool,
    /// Of the connection's task.
    waker: Option<Waker>,
    end: Option<End>,
}

impl Link {
    #[must_use]
    pub fn new(socket: Option<TcpStream>, limits: Limits, now_ms: u64) -> Arc<Self> {
        Arc::new(Self {
            socket,
            limits,
            heard_ms: AtomicU64::new(now_ms),
            slot: AtomicU32::new(u32::MAX),
            outbox: Mutex::default(),
        })
    }

    /// The socket, to read from.
    #[must_use]
    pub fn socket(&self) -> Option<&TcpStream> {
        self.socket.as_ref()
    }

    pub fn heard(&self, now_ms: u64) {
        self.heard_ms.store(now_ms, Ordering::Relaxed);
    }

    #[must_use]
    pub fn heard_ms(&self) -> u64 {
        self.heard_ms.load(Ordering::Relaxed)
    }

    pub(crate) fn set_slot(&self, slot: u32) {
        self.slot.store(slot, Ordering::Relaxed);
    }

    pub(crate) fn slot(&self) -> usize {
        usize::try_from(self.slot.load(Ordering::Relaxed)).unwrap_or(usize::MAX)
    }

    /// Sends whole frames, or keeps them until they can be sent. A client that is too far behind is closed instead.
    pub fn push(&self, frames: &Bytes, now_ms: u64) -> Pushed {
        let mut outbox = self.lock();
        if outbox.end.is_some() {
            return Pushed::Gone;
        }
        let mut written = 0;
        if outbox.waiting.is_empty()
            && let Some(socket) = &self.socket
        {
            match send_now(socket, frames) {
                Ok(len) if len == frames.len() => return Pushed::Sent,
                Ok(len) => written = len,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(_) => {
                    outbox.finish(End::Broken);
                    return Pushed::Gone;
                }
            }
        }
        outbox.torn |= written > 0;
        outbox.keep(frames.slice(written..), now_ms);
        let is_late = |(_, since): &(Bytes, u64)| now_ms.saturating_sub(*since) > self.limits.age_ms;
        if outbox.bytes > self.limits.bytes || outbox.waiting.front().is_some_and(is_late) {
            outbox.drop_waiting();
            self.close_with(&mut outbox, code::TOO_SLOW, "too far behind", now_ms);
            return Pushed::Gone;
        }
        outbox.wake();
        Pushed::Waits
    }

    /// Ends the connection after what waits. Without effect when it is ending already.
    pub fn close(&self, code: u16, reason: &str, now_ms: u64) {
        let mut outbox = self.lock();
        if outbox.end.is_none() {
            self.close_with(&mut outbox, code, reason, now_ms);
        }
    }

    /// Nothing more is taken: the client is gone. What waits still goes out, if it can.
    pub(crate) fn broken_unless_closed(&self) {
        let mut outbox = self.lock();
        outbox.end.get_or_insert(End::Broken);
    }

    /// Whether something has waited for too long; then the connection is closed.
    pub(crate) fn check(&self, now_ms: u64) -> Pushed {
        let mut outbox = self.lock();
        if outbox.end.is_some() {
            return Pushed::Gone;
        }
        match outbox.waiting.front() {
            None => Pushed::Sent,
            Some((_, since)) if now_ms.saturating_sub(*since) > self.limits.age_ms => {
                outbox.drop_waiting();
                self.close_with(&mut outbox, code::TOO_SLOW, "too far behind", now_ms);
                Pushed::Gone
            }
            Some(_) => Pushed::Waits,
        }
    }

    #[must_use]
    pub fn end(&self) -> Option<End> {
        self.lock().end
    }

    /// For the connection's task: remembers whom to wake. Ready once the connection ends by what this side does.
    pub(crate) fn poll_end(&self, context: &Context<'_>) -> Poll<End> {
        let mut outbox = self.lock();
        outbox.remember(context);
        outbox.end.map_or(Poll::Pending, Poll::Ready)
    }

    /// For the connection's task: writes what waits with `write`, as far as that goes. Ready when nothing waits.
    pub(crate) fn poll_flush(
        &self,
        context: &mut Context<'_>,
        mut write: impl FnMut(&mut Context<'_>, &[IoSlice<'_>]) -> Poll<io::Result<usize>>,
    ) -> Poll<io::Result<()>> {
        let mut outbox = self.lock();
        outbox.remember(context);
        while !outbox.waiting.is_empty() {
            let mut slices = [IoSlice::new(&[]); WRITE_AT_ONCE];
            for (slice, (bytes, _)) in slices.iter_mut().zip(&outbox.waiting) {
                *slice = IoSlice::new(bytes);
            }
            let count = outbox.waiting.len().min(WRITE_AT_ONCE);
            match ready!(write(context, slices.get(..count).unwrap_or_default())) {
                Ok(0) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Ok(written) => outbox.written(written),
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
        Poll::Ready(Ok(()))
    }

    /// [`poll_flush`](Self::poll_flush) to the socket itself.
    pub(crate) fn poll_flush_socket(&self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Some(socket) = &self.socket else { return Poll::Ready(Ok(())) };
        self.poll_flush(context, |context, slices| {
            loop {
                ready!(socket.poll_write_ready(context))?;
                match socket.try_write_vectored(slices) {
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                    result => return Poll::Ready(result),
                }
            }
        })
    }

    fn close_with(&self, outbox: &mut Outbox, code: u16, reason: &str, now_ms: u64) {
        let close = frame::close(code, reason);
        let mut written = 0;
        if outbox.waiting.is_empty()
            && let Some(socket) = &self.socket
        {
            written = send_now(socket, &close).unwrap_or(0);
        }
        if written < close.len() {
            outbox.keep(close.slice(written..), now_ms);
        }
        outbox.finish(End::Closed(code));
    }

    fn lock(&self) -> MutexGuard<'_, Outbox> {
        self.outbox.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Tokio is asked only when the kernel takes nothing: its notes about a socket are memory that is far away, and a large
/// room touches that of thousands for each event. It has to know then, so that it waits.
fn send_now(socket: &TcpStream, bytes: &[u8]) -> io::Result<usize> {
    match rustix::net::send(socket, bytes, SendFlags::DONTWAIT | SendFlags::NOSIGNAL) {
        Err(Errno::AGAIN | Errno::INTR) => socket.try_write(bytes),
        sent => Ok(sent?),
    }
}

impl Outbox {
    fn keep(&mut self, bytes: Bytes, now_ms: u64) {
        self.bytes += bytes.len();
        self.waiting.push_back((bytes, now_ms));
    }

    fn written(&mut self, mut count: usize) {
        self.bytes = self.bytes.saturating_sub(count);
        while count > 0
            && let Some((front, _)) = self.waiting.front_mut()
        {
            if count < front.len() {
                front.advance(count);
                self.torn = true;
                return;
            }
            count -= front.len();
            self.waiting.pop_front();
            self.torn = false;
        }
        if self.waiting.is_empty() {
            // A client that was behind once does not keep the memory.
            self.waiting = VecDeque::new();
        }
    }

    /// All but the rest of what was begun.
    fn drop_waiting(&mut self) {
        self.waiting.truncate(usize::from(self.torn));
        self.bytes = self.waiting.iter().map(|(bytes, _)| bytes.len()).sum();
    }

    fn finish(&mut self, end: End) {
        self.end = Some(end);
        if end == End::Broken {
            self.waiting = VecDeque::new();
            self.bytes = 0;
        }
        self.wake();
    }

    fn wake(&self) {
        if let Some(waker) = &self.waker {
            waker.wake_by_ref();
        }
    }

    fn remember(&mut self, context: &Context<'_>) {
        match &mut self.waker {
            Some(waker) => waker.clone_from(context.waker()),
            None => self.waker = Some(context.waker().clone()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::io::AsyncReadExt as _;
    use tokio::net::TcpListener;

    use super::*;

    const LIMITS: Limits = Limits { bytes: 1 << 20, age_ms: 1_000 };

    async fn pair() -> (Arc<Link>, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (server, _) = listener.accept().await.unwrap();
        socket2::SockRef::from(&server).set_send_buffer_size(8 << 10).unwrap();
        (Link::new(Some(server), LIMITS, 0), client)
    }

    async fn flush(link: &Link) {
        std::future::poll_fn(|context| link.poll_flush_socket(context)).await.unwrap();
    }

    async fn read(client: &mut TcpStream, len: usize) -> Vec<u8> {
        let mut bytes = vec![0; len];
        tokio::time::timeout(Duration::from_secs(10), client.read_exact(&mut bytes)).await.unwrap().unwrap();
        bytes
    }

    #[tokio::test]
    async fn what_fits_is_written_at_once_and_the_rest_follows_in_order() {
        let (link, mut client) = pair().await;
        assert_eq!(link.push(&Bytes::from_static(b"first"), 0), Pushed::Sent);
        assert_eq!(read(&mut client, 5).await, b"first");
        let mut sent = Vec::new();
        let mut pushed = Pushed::Sent;
        for n in 0..40_u8 {
            let frame = Bytes::from(vec![n; 20_000]);
            sent.extend_from_slice(&frame);
            pushed = link.push(&frame, 1);
        }
        assert_eq!(pushed, Pushed::Waits);
        let expected = sent.len();
        let (received, ()) = tokio::join!(read(&mut client, expected), flush(&link));
        assert!(received == sent);
        assert_eq!(link.push(&Bytes::from_static(b"direct again"), 2), Pushed::Sent);
        assert_eq!(read(&mut client, 12).await, b"direct again");
    }

    #[tokio::test]
    async fn a_reader_too_far_behind_gets_the_rest_of_a_frame_and_the_reason() {
        let (link, mut client) = pair().await;
        let frame = Bytes::from(vec![7; 300_000]);
        let mut pushes = 0;
        while link.push(&frame, 0) != Pushed::Gone {
            pushes += 1;
            assert!(pushes < 100, "nothing bounds it");
        }
        assert_eq!(link.end(), Some(End::Closed(code::TOO_SLOW)));
        assert_eq!(link.push(&frame, 0), Pushed::Gone);
        let mut received = Vec::new();
        tokio::join!(
            async {
                flush(&link).await;
                link.socket().unwrap().shutdown_for_test();
            },
            async { client.read_to_end(&mut received).await.unwrap() }
        );
        let close = frame::close(code::TOO_SLOW, "too far behind");
        let body = received.strip_suffix(&close[..]).unwrap();
        assert_eq!(body.len() % frame.len(), 0, "frames are whole");
        assert!(body.iter().all(|byte| *byte == 7));
    }

    #[tokio::test]
    async fn what_waits_too_long_ends_the_connection() {
        let (link, _client) = pair().await;
        let frame = Bytes::from(vec![7; 100_000]);
        while link.push(&frame, 10) == Pushed::Sent {}
        assert_eq!(link.check(1_000), Pushed::Waits);
        assert_eq!(link.check(1_011), Pushed::Gone);
        assert_eq!(link.end(), Some(End::Closed(code::TOO_SLOW)));
    }

    trait ShutdownForTest {
        fn shutdown_for_test(&self);
    }

    impl ShutdownForTest for TcpStream {
        fn shutdown_for_test(&self) {
            socket2::SockRef::from(self).shutdown(std::net::Shutdown::Write).unwrap();
        }
    }
}
