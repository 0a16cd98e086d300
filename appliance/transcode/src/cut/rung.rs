//! One rung: puts its frames into the segments and parts that the spans and the part grid say.

use std::collections::VecDeque;

use nodi_protocol::RenditionName;
use nodi_spool::SessionWriter;

use super::grid::PartGrid;
use super::output::{Output, Piece};
use super::spans::Span;
use super::{Error, Event, Frame, RungStats};

/// A rung that misses its key frame at this many boundaries in a row is given up: its viewers see nothing but gaps.
pub(super) const MAX_MISSES_IN_A_ROW: u32 = 3;

/// Millennia at 240 frames a second; beyond, ticks would overflow.
const MAX_INDEX: u64 = 1 << 45;

#[derive(Debug)]
pub(super) struct Rung {
    pub(super) output: Output,
    pub(super) stats: RungStats,
    pub(super) misses: u32,
    ticks_per_frame: u32,
    queue: VecDeque<Frame>,
    /// The frame after the newest one that was delivered.
    delivered: Option<u64>,
    /// The segment to enter next.
    pub(super) next_seq: u64,
    current: Option<Current>,
    /// The frame that continues what is there.
    position: u64,
    /// Frames of the growing part, and where it starts and ends at the latest.
    part: Vec<Piece>,
    part_start: u64,
    part_end: u64,
}

#[derive(Debug, Clone, Copy)]
struct Current {
    span: Span,
    /// It has no key frame at its start and gets no frames.
    missed: bool,
}

/// What a rung sees of the session.
#[derive(Debug)]
pub(super) struct View<'a> {
    pub(super) writer: &'a mut SessionWriter,
    pub(super) events: &'a mut Vec<Event>,
    pub(super) spans: &'a VecDeque<Span>,
    /// The frame at which the timeline starts.
    pub(super) origin: u64,
    /// Frames before this one are decided.
    pub(super) decided: u64,
    /// Where the open segment ends if nothing unusual happens.
    pub(super) nominal_end: Option<u64>,
    pub(super) parts: &'a PartGrid,
    pub(super) reference_time: bool,
}

impl View<'_> {
    pub(super) fn span(&self, seq: u64) -> Option<Span> {
        let first = self.spans.front()?.seq;
        self.spans.get(usize::try_from(seq.checked_sub(first)?).ok()?).copied()
    }
}

impl Rung {
    pub(super) fn new(output: Output, stats: RungStats, ticks_per_frame: u32, next_seq: u64) -> Self {
        Self {
            output,
            stats,
            misses: 0,
            ticks_per_frame,
            queue: VecDeque::new(),
            delivered: None,
            next_seq,
            current: None,
            position: 0,
            part: Vec::new(),
            part_start: 0,
            part_end: 0,
        }
    }

    pub(super) fn name(&self) -> &RenditionName {
        self.output.name()
    }

    /// Takes a frame in.
    pub(super) fn deliver(&mut self, frame: Frame) -> Result<(), Error> {
        let last = self.delivered.unwrap_or(0);
        if frame.index < last || frame.index > MAX_INDEX {
            return Err(Error::Order { rung: self.name().clone(), index: frame.index, last });
        }
        self.stats.frames += 1;
        self.stats.bytes += frame.data.len() as u64;
        self.delivered = Some(frame.index + u64::from(frame.duration.max(1)));
        self.queue.push_back(frame);
        Ok(())
    }

    /// The frame after the newest one.
    pub(super) fn progress(&self) -> Option<u64> {
        self.delivered
    }

    fn ticks(&self, view: &View<'_>, frame: u64) -> u64 {
        (frame - view.origin) * u64::from(self.ticks_per_frame)
    }

    /// Writes everything that is decided.
    pub(super) fn advance(&mut self, view: &mut View<'_>) -> Result<(), Error> {
        loop {
            let Some(current) = &mut self.current else {
                if !self.enter(view)? {
                    return Ok(());
                }
                continue;
            };
            if current.span.end.is_none() {
                current.span.end = view.span(current.span.seq).and_then(|span| span.end);
            }
            let Current { span, missed } = *current;
            let next = self.queue.front().map(|frame| frame.index);
            if let Some(end) = span.end
                && (self.position >= end || next.is_some_and(|next| next >= end))
            {
                self.leave(view, end)?;
                continue;
            }
            if next.is_none_or(|next| next >= view.decided) {
                return Ok(());
            }
            let Some(frame) = self.queue.pop_front() else {
                return Ok(());
            };
            if missed {
                self.position = frame.index + u64::from(frame.duration.max(1));
            } else {
                self.add(view, &span, frame)?;
            }
        }
    }

    /// Starts the next segment; `false` when there is nothing to do yet.
    fn enter(&mut self, view: &mut View<'_>) -> Result<bool, Error> {
        let Some(span) = view.span(self.next_seq) else {
            // Between segments: before the first one, or after one that was closed for want of key frames.
            while self.queue.front().is_some_and(|frame| frame.index < view.decided) {
                self.queue.pop_front();
            }
            return Ok(false);
        };
        while self.queue.front().is_some_and(|frame| frame.index < span.start) {
            self.queue.pop_front();
        }
        let Some(first) = self.queue.front() else {
            return Ok(false);
        };
        let in_span = span.end.is_none_or(|end| first.index < end);
        // A key frame that comes a few frames late starts at the boundary: what is missing was dropped before it.
        let first_end = first.index + u64::from(first.duration.max(1));
        let missed = !(in_span && first.keyframe && first_end <= span.start + view.parts.longest);
        self.output.open(view.writer, &span, self.ticks(view, span.start), 0)?;
        self.current = Some(Current { span, missed });
        self.position = span.start;
        self.next_seq = span.seq + 1;
        if missed {
            self.misses += 1;
            self.stats.missed_key_frames += 1;
            let rung = self.name().clone();
            log::warn!(rung:%, seq = span.seq; "no key frame where the segment starts: the segment is left out");
            view.events.push(Event::MissedKeyFrame { rung, seq: span.seq });
        } else {
            self.misses = 0;
        }
        Ok(true)
    }

    /// Ends the current segment at its boundary.
    fn leave(&mut self, view: &mut View<'_>, end: u64) -> Result<(), Error> {
        let missing = end.saturating_sub(self.position);
        if missing > 0 && self.current.is_some_and(|current| !current.missed) {
            self.missing(view, self.position, missing);
            self.extend(end.min(self.part_end));
        }
        self.flush(view)?;
        let ticks = self.ticks(view, end);
        self.output.close(view.writer, ticks)?;
        self.current = None;
        Ok(())
    }

    fn add(&mut self, view: &mut View<'_>, span: &Span, frame: Frame) -> Result<(), Error> {
        if frame.index > self.position {
            self.bridge(view, span, frame.index)?;
        }
        let mut end = frame.index + u64::from(frame.duration.max(1));
        // A frame that is shown longer than one must not reach over the boundary.
        for border in [span.end, view.nominal_end].into_iter().flatten() {
            if frame.index < border {
                end = end.min(border);
            }
        }
        if !self.part.is_empty() && end > self.part_end {
            self.flush(view)?;
        }
        if self.part.is_empty() {
            // A bridged frame must not make a part that is too long.
            self.position = self.position.max(end.saturating_sub(view.parts.longest));
        }
        let start = self.position;
        if self.part.is_empty() {
            self.part_start = start;
            self.part_end = span.start + view.parts.end_of_part(start - span.start, end - span.start);
        }
        let duration = self.duration(end - start);
        self.part.push(Piece { duration, sync: frame.keyframe, data: frame.data });
        self.position = end;
        // No waiting for a frame that cannot fit any more.
        if end + u64::from(frame.duration.max(1)) > self.part_end {
            self.flush(view)?;
        }
        Ok(())
    }

    /// Frames are missing before `index`: the one before is shown longer, or else this one sooner.
    fn bridge(&mut self, view: &mut View<'_>, span: &Span, index: u64) -> Result<(), Error> {
        self.missing(view, self.position, index - self.position);
        if !self.part.is_empty() {
            self.extend(index.min(self.part_end));
            if self.position >= self.part_end {
                self.flush(view)?;
            }
        }
        if self.part.is_empty() {
            // Whole parts that are missing stay missing.
            let part = span.start + view.parts.start_of_part(index - span.start);
            self.position = self.position.max(part);
        }
        Ok(())
    }

    fn missing(&mut self, view: &mut View<'_>, index: u64, frames: u64) {
        self.stats.missing_frames += frames;
        let rung = self.name().clone();
        log::debug!(rung:%, index, frames; "frames are missing");
        view.events.push(Event::FramesMissing { rung, index, frames });
    }

    /// Shows the newest frame of the growing part until `end`.
    fn extend(&mut self, end: u64) {
        let more = self.duration(end.saturating_sub(self.position));
        if let Some(last) = self.part.last_mut() {
            last.duration += more;
            self.position = self.position.max(end);
        }
    }

    fn duration(&self, frames: u64) -> u32 {
        u32::try_from(frames * u64::from(self.ticks_per_frame)).unwrap_or(u32::MAX)
    }

    fn flush(&mut self, view: &mut View<'_>) -> Result<(), Error> {
        if self.part.is_empty() {
            return Ok(());
        }
        let start = self.ticks(view, self.part_start);
        self.output.part(view.writer, start, &mut self.part, view.reference_time)?;
        Ok(())
    }

    /// Nothing follows: writes what is held back and closes what is open. All that was delivered is decided.
    pub(super) fn close(&mut self, view: &mut View<'_>) -> Result<(), Error> {
        self.advance(view)?;
        if self.current.is_some() {
            self.flush(view)?;
            let ticks = self.ticks(view, self.position);
            self.output.close(view.writer, ticks)?;
            self.current = None;
        }
        // What the others have and this rung never came to.
        while let Some(span) = view.span(self.next_seq) {
            self.next_seq = span.seq + 1;
            let ticks = self.ticks(view, span.start);
            self.output.open(view.writer, &span, ticks, 0)?;
            self.output.close(view.writer, ticks)?;
        }
        Ok(())
    }
}
