//! One version of a rendition's playlist: what it shows, its texts, and whether it answers a request.

use std::sync::OnceLock;

use nodi_protocol::hls::media::Options;
use nodi_protocol::hls::{Media, render_media};

use crate::rendered::Rendered;

/// Immutable; a newer version replaces it.
#[derive(Debug)]
pub struct View {
    pub media: Media,
    pub phase: Phase,
    hold_back_percent: u32,
    full: OnceLock<Rendered>,
    delta: OnceLock<Rendered>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Nothing that a player could start with.
    Empty,
    Live,
    Ended,
    /// The current session has no such rendition, or the channel is over.
    Gone,
}

/// A blocking request's position (RFC 8216bis 6.2.5.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position {
    pub msn: u64,
    pub part: Option<u64>,
}

/// How a view stands to a position.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stand {
    /// The playlist has it, or something later.
    Has,
    NotYet,
    /// So far ahead that the player must be mistaken.
    TooFar,
}

impl View {
    #[must_use]
    pub fn new(mut media: Media, phase: Phase, hold_back_percent: u32) -> Self {
        media.withhold_short_part();
        Self { media, phase, hold_back_percent, full: OnceLock::new(), delta: OnceLock::new() }
    }

    /// The text, rendered when the first player asks for this version.
    pub fn text(&self, delta: bool) -> &Rendered {
        let options = Options::low_latency(self.hold_back_percent);
        if delta {
            self.delta.get_or_init(|| Rendered::new(render_media(&self.media, &options.delta())))
        } else {
            self.full.get_or_init(|| Rendered::new(render_media(&self.media, &options)))
        }
    }

    /// Media sequence number of the last segment, finished or not.
    #[must_use]
    pub fn newest(&self) -> Option<u64> {
        self.media.segments.last().map(|segment| segment.msn)
    }

    #[must_use]
    pub fn stand(&self, position: Position) -> Stand {
        let Some(last) = self.media.segments.last() else {
            return Stand::NotYet;
        };
        let parts = u64::try_from(last.parts.len()).unwrap_or(u64::MAX);
        if position.msn > last.msn.saturating_add(2) {
            return Stand::TooFar;
        }
        if position.msn < last.msn {
            return self.stand_within(position);
        }
        if position.msn > last.msn {
            return Stand::NotYet;
        }
        match (position.part, last.finished) {
            (None, Some(_)) => Stand::Has,
            (None, None) => Stand::NotYet,
            (Some(part), _) if part < parts || last.gap => Stand::Has,
            // Past the end of a finished segment means the next one's first part.
            (Some(_), Some(_)) => Stand::NotYet,
            (Some(part), None) if part >= parts.saturating_add(self.advance_part_limit()) => Stand::TooFar,
            (Some(_), None) => Stand::NotYet,
        }
    }

    /// Everything before the last segment is there, unless the last one is named as a part past the end of
    /// the one before it.
    fn stand_within(&self, position: Position) -> Stand {
        let Some(last) = self.media.segments.last() else {
            return Stand::NotYet;
        };
        let next_is_there = last.finished.is_some() || !last.parts.is_empty() || position.msn + 1 < last.msn;
        if next_is_there { Stand::Has } else { Stand::NotYet }
    }

    /// 6.2.5.2: three parts, or as many as make three seconds when parts are shorter than one.
    fn advance_part_limit(&self) -> u64 {
        const THREE_SECONDS: u64 = 3_000_000_000;
        match self.media.part_target_ns {
            0 => 3,
            target => THREE_SECONDS.div_ceil(target).max(3),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nodi_protocol::SessionId;
    use nodi_protocol::hls::{Finished, Part, Segment};

    fn view(last_finished: bool) -> View {
        let part = Part { duration_ns: 500_000_000, independent: true, offset: 0, len: 1 };
        let segment = |msn: u64, finished: bool| Segment {
            msn,
            session: SessionId::new(1, 1),
            init: 0,
            discontinuity: false,
            program_date_time_ms: 0,
            finished: finished.then_some(Finished { duration_ns: 1_000_000_000, len: 2 }),
            parts: vec![part; 2],
            gap: false,
        };
        let media = Media {
            rendition: "a".parse().unwrap(),
            target_duration_s: 1,
            part_target_ns: 500_000_000,
            discontinuities_before: 0,
            segments: vec![segment(4, true), segment(5, last_finished)],
            hint: None,
            reports: Vec::new(),
            ended: false,
        };
        View::new(media, Phase::Live, 300)
    }

    #[test]
    fn positions_stand_as_the_rfc_says() {
        let growing = view(false);
        let finished = view(true);
        let at = |msn, part| Position { msn, part };
        for (position, in_growing, in_finished) in [
            (at(1, None), Stand::Has, Stand::Has),
            (at(4, None), Stand::Has, Stand::Has),
            (at(4, Some(7)), Stand::Has, Stand::Has),
            (at(5, None), Stand::NotYet, Stand::Has),
            (at(5, Some(1)), Stand::Has, Stand::Has),
            (at(5, Some(2)), Stand::NotYet, Stand::NotYet),
            (at(5, Some(7)), Stand::NotYet, Stand::NotYet),
            (at(5, Some(8)), Stand::TooFar, Stand::NotYet),
            (at(6, Some(0)), Stand::NotYet, Stand::NotYet),
            (at(7, None), Stand::NotYet, Stand::NotYet),
            (at(8, None), Stand::TooFar, Stand::TooFar),
        ] {
            assert_eq!(growing.stand(position), in_growing, "{position:?} while growing");
            assert_eq!(finished.stand(position), in_finished, "{position:?} when finished");
        }
    }
}
