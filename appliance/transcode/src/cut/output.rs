//! One rendition's side of the spool: samples in, boxes and index lines out.

use std::io::IoSlice;

use bytes::Bytes;
use nodi_protocol::{Rendition, RenditionName};
use nodi_spool::SessionWriter;
use nodi_spool::writer::Open;

use super::Error;
use super::grid::{NS, scale, scale_up};
use super::spans::Span;
use crate::cmaf::{self, Chunk, Kind, Sample, SampleEntry};

/// Times are in ticks of the track, since the session's start.
#[derive(Debug)]
pub(super) struct Output {
    rendition: Rendition,
    kind: Kind,
    timescale: u32,
    /// Where the timeline's zero is since the session's start.
    base: u64,
    chunks: u32,
    open: Option<OpenSegment>,
    samples: Vec<Sample>,
    /// End of the newest segment.
    pub(super) end_ns: u64,
}

#[derive(Debug)]
struct OpenSegment {
    start: u64,
    parts: u32,
    wall_ns: u64,
}

/// One sample of a part.
#[derive(Debug)]
pub(super) struct Piece {
    pub(super) duration: u32,
    pub(super) sync: bool,
    pub(super) data: Bytes,
}

impl Output {
    /// Writes the initialisation section. `base_ns` is the media time at which this timeline goes on.
    pub(super) fn new(
        writer: &mut SessionWriter,
        rendition: Rendition,
        entry: &SampleEntry,
        timescale: u32,
        base_ns: u64,
    ) -> Result<Self, Error> {
        let kind = match entry {
            SampleEntry::Avc(_) => Kind::Video,
            SampleEntry::Aac(_) => Kind::Audio,
        };
        let section =
            cmaf::section(entry, timescale).map_err(|error| codec_error(&rendition.name, &error))?;
        writer.init(&rendition, &section)?;
        Ok(Self {
            rendition,
            kind,
            timescale,
            base: scale_up(base_ns, u64::from(timescale), NS),
            chunks: 0,
            open: None,
            samples: Vec::new(),
            end_ns: base_ns,
        })
    }

    pub(super) fn name(&self) -> &RenditionName {
        &self.rendition.name
    }

    pub(super) fn rendition(&self) -> &Rendition {
        &self.rendition
    }

    fn ns(&self, ticks: u64) -> u64 {
        scale(self.base + ticks, NS, u64::from(self.timescale))
    }

    /// Opens the segment of `span` at `start` ticks of this timeline; `late_ns` is how far that is behind the span's
    /// own start.
    pub(super) fn open(
        &mut self,
        writer: &mut SessionWriter,
        span: &Span,
        start: u64,
        late_ns: i64,
    ) -> Result<(), Error> {
        let wall_ns = span.wall_ns.saturating_add_signed(late_ns);
        let open = Open {
            seq: span.seq,
            discontinuity: span.discontinuity,
            start_ns: self.ns(start),
            wall_ms: wall_ns / 1_000_000,
        };
        writer.open_segment(&self.rendition.name, open)?;
        self.open = Some(OpenSegment { start, parts: 0, wall_ns });
        Ok(())
    }

    /// Writes one part that starts at `start` ticks, and empties `pieces`.
    pub(super) fn part(
        &mut self,
        writer: &mut SessionWriter,
        start: u64,
        pieces: &mut Vec<Piece>,
        reference_time: bool,
    ) -> Result<(), Error> {
        let Some(open) = self.open.as_mut().filter(|_| !pieces.is_empty()) else {
            return Ok(());
        };
        self.samples.clear();
        for piece in pieces.iter() {
            let size = u32::try_from(piece.data.len()).unwrap_or(u32::MAX);
            let Piece { duration, sync, .. } = *piece;
            self.samples.push(Sample { size, duration, sync, composition_offset: 0 });
        }
        self.chunks = self.chunks.wrapping_add(1);
        let into_segment = scale(start - open.start, NS, u64::from(self.timescale));
        let header = cmaf::header(&Chunk {
            kind: self.kind,
            number: self.chunks,
            start: self.base + start,
            samples: &self.samples,
            starts_segment: open.parts == 0,
            wall_ns: reference_time.then(|| open.wall_ns + into_segment),
        })
        .map_err(|error| codec_error(&self.rendition.name, &error))?;
        open.parts += 1;

        let end = start + pieces.iter().map(|piece| u64::from(piece.duration)).sum::<u64>();
        let duration_ns = self.ns(end) - self.ns(start);
        let independent = pieces.first().is_some_and(|piece| piece.sync);
        let mut slices = Vec::with_capacity(pieces.len() + 1);
        slices.push(IoSlice::new(&header));
        slices.extend(pieces.iter().map(|piece| IoSlice::new(&piece.data)));
        writer.part(&self.rendition.name, &mut slices, duration_ns, independent)?;
        pieces.clear();
        self.end_ns = self.end_ns.max(self.ns(end));
        Ok(())
    }

    /// Completes the open segment at `end` ticks; one without parts lasts no time.
    pub(super) fn close(&mut self, writer: &mut SessionWriter, end: u64) -> Result<(), Error> {
        let Some(open) = self.open.take() else {
            return Ok(());
        };
        let duration_ns = if open.parts == 0 { 0 } else { self.ns(end) - self.ns(open.start) };
        writer.close_segment(&self.rendition.name, duration_ns)?;
        self.end_ns = self.end_ns.max(self.ns(end));
        Ok(())
    }
}

pub(super) fn codec_error(rendition: &RenditionName, error: &cmaf::Error) -> Error {
    Error::Codec { rendition: rendition.clone(), reason: error.to_string() }
}
