//! Reads the input as fast as it comes, so that the time of arrival is the publisher's and not the encoder's.

use std::io::Read;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use nodi_flv::tag;

/// Tags that wait: five seconds of 60 fps with audio. What is live and waits longer is dropped by the intake.
const QUEUED_TAGS: usize = 512;

/// Bytes that wait: five seconds at 50 Mbit/s.
const QUEUED_BYTES: usize = 32 << 20;

/// As much as a socket usually holds.
const READ_SIZE: usize = 64 * 1024;

const FULL_POLL: Duration = Duration::from_millis(5);

/// What comes in.
#[derive(Debug)]
pub(super) enum Item {
    Tag(Arrived),
    /// The end, and whether it was a clean one.
    End(Result<(), tag::Error>),
}

#[derive(Debug)]
pub(super) struct Arrived {
    pub(super) tag: nodi_flv::Tag,
    pub(super) at: Instant,
    pub(super) wall: SystemTime,
}

/// The queue's reading end.
#[derive(Debug)]
pub(super) struct Tags {
    receiver: Receiver<Item>,
    bytes: Arc<AtomicUsize>,
}

/// Nothing came in the given time, or nothing ever will.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Nothing {
    Yet,
    More,
}

impl Tags {
    pub(super) fn next(&self, wait: Duration) -> Result<Item, Nothing> {
        use std::sync::mpsc::RecvTimeoutError::{Disconnected, Timeout};
        let item = self.receiver.recv_timeout(wait).map_err(|error| match error {
            Timeout => Nothing::Yet,
            Disconnected => Nothing::More,
        })?;
        if let Item::Tag(arrived) = &item {
            self.bytes.fetch_sub(arrived.tag.data.len(), Ordering::AcqRel);
        }
        Ok(item)
    }
}

/// Starts reading. The thread ends with the input, or when nobody takes tags any longer; a worker that was asked to
/// stop leaves it behind in its last read.
pub(super) fn spawn(input: impl Read + Send + 'static) -> std::io::Result<Tags> {
    let (sender, receiver) = sync_channel(QUEUED_TAGS);
    let bytes = Arc::new(AtomicUsize::new(0));
    let queued = Arc::clone(&bytes);
    std::thread::Builder::new().name("reader".to_owned()).spawn(move || read(input, &sender, &queued))?;
    Ok(Tags { receiver, bytes })
}

fn read(mut input: impl Read, sender: &SyncSender<Item>, queued: &AtomicUsize) {
    let mut reader = nodi_flv::Reader::default();
    let mut buffer = vec![0; READ_SIZE];
    let end = loop {
        let read = match input.read(&mut buffer) {
            Ok(0) => break reader.finish(),
            Ok(read) => read,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
            Err(error) => {
                // A publisher that vanished: the same as an end.
                log::warn!(error:%; "reading the input");
                break reader.finish();
            }
        };
        let (at, wall) = (Instant::now(), SystemTime::now());
        let mut piece = Bytes::copy_from_slice(buffer.get(..read).unwrap_or_default());
        loop {
            match reader.read(&mut piece) {
                Ok(Some(tag)) => {
                    while queued.load(Ordering::Acquire) > QUEUED_BYTES {
                        std::thread::sleep(FULL_POLL);
                    }
                    queued.fetch_add(tag.data.len(), Ordering::AcqRel);
                    if sender.send(Item::Tag(Arrived { tag, at, wall })).is_err() {
                        return;
                    }
                }
                Ok(None) => break,
                Err(error) => {
                    let _ = sender.send(Item::End(Err(error)));
                    return;
                }
            }
        }
    };
    // Nobody is left to tell if this fails.
    let _ = sender.send(Item::End(end));
}
