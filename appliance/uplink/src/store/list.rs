//! One rendition's media playlist in a store: what it lists, and what slides out of it.

use std::collections::{BTreeSet, VecDeque};

use nodi_protocol::hls::media::{Options, bridge};
use nodi_protocol::hls::{Media, Segment, render_media, uri};
use nodi_protocol::{RenditionName, SessionId};

use crate::config::Listing;

/// A media playlist of a store.
#[derive(Debug, Clone)]
pub(super) struct List {
    pub rendition: RenditionName,
    /// Discontinuities that left the window.
    pub discontinuities: u64,
    pub segments: VecDeque<Segment>,
}

/// What left a list.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Slid {
    /// Keys below the channel's.
    pub objects: Vec<String>,
}

impl List {
    #[must_use]
    pub(super) fn new(rendition: RenditionName, discontinuities: u64) -> Self {
        Self { rendition, discontinuities, segments: VecDeque::new() }
    }

    /// The first number that the list has not used.
    #[must_use]
    pub(super) fn next_msn(&self) -> Option<u64> {
        self.segments.back().map(|last| last.msn + 1)
    }

    /// Takes off what is more than `window_s` from the end; `None` if nothing is.
    pub(super) fn slide(&mut self, listing: Listing, window_s: u64) -> Option<Slid> {
        if listing == Listing::Event {
            return None;
        }
        let window_ns = window_s.saturating_mul(1_000_000_000);
        let mut total: u64 = self.segments.iter().map(Segment::duration_ns).sum();
        let mut gone = Vec::new();
        while let Some(first) = self.segments.front()
            && total - first.duration_ns() >= window_ns
            && let Some(first) = self.segments.pop_front()
        {
            total -= first.duration_ns();
            self.discontinuities += u64::from(first.discontinuity);
            gone.push(first);
        }
        if gone.is_empty() {
            return None;
        }
        let kept: BTreeSet<(SessionId, u32)> =
            self.segments.iter().map(|segment| (segment.session, segment.init)).collect();
        let media = gone
            .iter()
            .filter(|segment| !segment.gap)
            .map(|segment| uri::segment(segment.session, &self.rendition, segment.msn));
        let inits: BTreeSet<(SessionId, u32)> = gone
            .iter()
            .map(|segment| (segment.session, segment.init))
            .filter(|key| !kept.contains(key))
            .collect();
        let inits = inits.into_iter().map(|(session, init)| uri::init(session, &self.rendition, init));
        Some(Slid { objects: media.chain(inits).collect() })
    }

    #[must_use]
    pub(super) fn render(&self, target_duration_s: u32, ended: bool) -> String {
        let media = Media {
            rendition: self.rendition.clone(),
            target_duration_s,
            part_target_ns: 0,
            discontinuities_before: self.discontinuities,
            segments: bridge(self.segments.iter().cloned().collect(), target_duration_s),
            hint: None,
            reports: Vec::new(),
            ended,
        };
        render_media(&media, &Options::PLAIN)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nodi_protocol::hls::Finished;

    fn segment(msn: u64, session: u64, discontinuity: bool) -> Segment {
        Segment {
            msn,
            session: SessionId::new(session, 0),
            init: 0,
            discontinuity,
            program_date_time_ms: 1_700_000_000_000 + msn * 2_000,
            finished: Some(Finished { duration_ns: 2_000_000_000, len: 1 }),
            parts: Vec::new(),
            gap: false,
        }
    }

    #[test]
    fn a_window_slides_and_says_what_is_left_behind() {
        let name: RenditionName = "720p".parse().unwrap();
        let mut list = List::new(name, 0);
        list.segments.extend([segment(0, 1, true), segment(1, 1, false), segment(2, 1, false)]);
        assert_eq!(list.slide(Listing::Window, 6), None);
        list.segments.extend([segment(3, 2, true), segment(4, 2, false)]);
        let slid = list.slide(Listing::Window, 6).unwrap();
        let old = SessionId::new(1, 0);
        assert_eq!(slid.objects, [format!("{old}/720p/0.m4s"), format!("{old}/720p/1.m4s")]);
        assert_eq!((list.discontinuities, list.next_msn()), (1, Some(5)));
        list.segments.push_back(segment(5, 2, false));
        let slid = list.slide(Listing::Window, 6).unwrap();
        assert_eq!(slid.objects, [format!("{old}/720p/2.m4s"), format!("{old}/720p/init-0.mp4")]);

        let text = list.render(2, true);
        for line in ["#EXT-X-MEDIA-SEQUENCE:3", "#EXT-X-DISCONTINUITY-SEQUENCE:2", "#EXT-X-ENDLIST"] {
            assert!(text.contains(line), "{line} in {text}");
        }
        assert!(!text.contains("EXT-X-PART"));
    }

    #[test]
    fn an_event_keeps_everything() {
        let mut list = List::new("a".parse().unwrap(), 0);
        list.segments.extend((0..100).map(|msn| segment(msn, 1, false)));
        assert_eq!(list.slide(Listing::Event, 6), None);
    }
}
