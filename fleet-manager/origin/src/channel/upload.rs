//! A segment's bytes come in.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use nodi_protocol::{RenditionName, SessionId};
use tokio_util::sync::CancellationToken;

use super::{Channel, Lane, Object};
use crate::blob::{AppendError, Blob};
use crate::push::error::Error;

/// What a PUT of a segment starts with.
#[derive(Debug)]
pub enum Opened {
    Upload(Upload),
    /// The segment has left the window: its bytes are read and forgotten.
    TooOld,
}

/// The one writer of a segment.
#[derive(Debug)]
pub struct Upload {
    channel: Arc<Channel>,
    lane: Arc<Lane>,
    session: SessionId,
    msn: u64,
    blob: Arc<Blob>,
    writer: u64,
    /// Bytes of the body that are held already.
    skip: u64,
    /// Completes when the session may not push any more.
    pub cancelled: CancellationToken,
    _slot: Slot,
}

/// Counts open uploads of a channel.
#[derive(Debug)]
struct Slot(Arc<AtomicUsize>);

impl Drop for Slot {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Channel {
    /// # Errors
    /// When the session or the rendition is not there, the offset lies beyond what is held, or too many are open.
    pub fn open_upload(
        self: &Arc<Self>,
        session: SessionId,
        rendition: &RenditionName,
        msn: u64,
        offset: u64,
    ) -> Result<Opened, Error> {
        let mut state = self.lock();
        self.touch(&mut state, session)?;
        let lane = self.claimed_lane(&state, rendition)?;
        self.check_msn(&state, msn)?;
        if msn < self.oldest_kept(&lane, &state) {
            return Ok(Opened::TooOld);
        }
        let slot = self.take_slot()?;
        let cancelled = state.session.as_ref().map(|session| session.cancel.clone()).unwrap_or_default();
        let blob = {
            let mut timeline = lane.timeline_mut();
            if timeline.segments.len() >= self.settings.limits.segments.saturating_mul(2)
                && !timeline.segments.contains_key(&msn)
            {
                return Err(Error::TooManySegments(self.settings.limits.segments));
            }
            let known = timeline.segments.get(&msn).and_then(|object| object.blob.clone());
            let held = known.as_ref().map_or(0, |blob| blob.len());
            if offset > held {
                return Err(Error::Offset { held });
            }
            match known {
                Some(blob) => blob,
                None => {
                    let capacity = self.settings.limits.segment_bytes;
                    let blob = Arc::new(
                        Blob::new(capacity, Arc::clone(&self.held))
                            .map_err(|error| Error::NoMemory(error.to_string()))?,
                    );
                    let object = timeline.segments.entry(msn).or_insert_with(|| Object::new(session));
                    if let Some(finished) = object.described.as_ref().and_then(|segment| segment.finished) {
                        blob.set_end(finished.len);
                    }
                    object.blob = Some(Arc::clone(&blob));
                    blob
                }
            }
        };
        state.next_msn = state.next_msn.max(msn + 1);
        let skip = blob.len().saturating_sub(offset);
        let writer = blob.take_over();
        drop(state);
        let channel = Arc::clone(self);
        Ok(Opened::Upload(Upload { channel, lane, session, msn, blob, writer, skip, cancelled, _slot: slot }))
    }

    fn take_slot(&self) -> Result<Slot, Error> {
        let most = self.settings.limits.open_uploads;
        let slot = Slot(Arc::clone(&self.open_uploads));
        if self.open_uploads.fetch_add(1, Ordering::Relaxed) < most {
            Ok(slot)
        } else {
            Err(Error::TooManyUploads(most))
        }
    }

    /// Gives up the oldest segments of all renditions until `more` bytes fit.
    fn make_room(&self, more: u64) -> Result<(), Error> {
        let most = self.settings.limits.channel_bytes;
        if self.held_bytes().saturating_add(more) <= most {
            return Ok(());
        }
        let mut state = self.lock();
        let newest = state.next_msn;
        while self.held_bytes().saturating_add(more) > most {
            let lanes = self.all_lanes();
            let oldest =
                lanes.iter().filter_map(|lane| lane.timeline().segments.keys().next().copied()).min();
            // What players are about to fetch is not given up: the box sends more than the channel may hold.
            let Some(oldest) = oldest.filter(|oldest| oldest.saturating_add(3) < newest) else {
                return Err(Error::ChannelFull(most));
            };
            for lane in lanes {
                lane.window_start.fetch_max(oldest + 1, Ordering::Relaxed);
                lane.timeline_mut().evict_before(oldest + 1);
            }
        }
        self.publish_all(&mut state);
        Ok(())
    }

    /// Shows what became whole when the bytes of segment `msn` grew.
    fn grown(&self, lane: &Lane, msn: u64, before: u64, after: u64) {
        let crossed = {
            let timeline = lane.timeline();
            timeline.segments.get(&msn).and_then(|object| object.described.as_ref()).is_some_and(|segment| {
                let ends = segment.parts.iter().map(|part| part.offset.saturating_add(part.len));
                let whole = segment.finished.map(|finished| finished.len);
                ends.chain(whole).any(|end| before < end && end <= after)
            })
        };
        if crossed {
            let mut state = self.lock();
            self.publish(&mut state, lane);
        }
    }
}

impl Upload {
    /// Takes the next bytes of the body.
    ///
    /// # Errors
    /// When they do not fit, or the session or a newer upload of the segment took over.
    pub fn take(&mut self, bytes: &[u8]) -> Result<(), Error> {
        let skipped = usize::try_from(self.skip).unwrap_or(usize::MAX).min(bytes.len());
        self.skip -= skipped as u64;
        let Some(bytes) = bytes.get(skipped..).filter(|bytes| !bytes.is_empty()) else {
            return Ok(());
        };
        self.channel.touch(&mut self.channel.lock(), self.session)?;
        self.channel.make_room(bytes.len() as u64)?;
        let (before, after) = self.blob.append(self.writer, bytes).map_err(|error| match error {
            AppendError::Full(most) => Error::TooLarge(most),
            AppendError::TakenOver => Error::TakenOver { held: self.blob.len() },
            AppendError::Io(error) => Error::NoMemory(error.to_string()),
        })?;
        self.channel.grown(&self.lane, self.msn, before, after);
        Ok(())
    }

    /// Why the session may not push any more.
    pub fn refusal(&self) -> Error {
        match self.channel.touch(&mut self.channel.lock(), self.session) {
            Err(error) => error,
            Ok(()) => Error::TakenOver { held: self.blob.len() },
        }
    }

    #[must_use]
    pub fn held(&self) -> u64 {
        self.blob.len()
    }
}
