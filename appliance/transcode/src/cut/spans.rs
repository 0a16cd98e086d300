//! Decides where segments start: one list of spans that all renditions follow.
//!
//! The candidates are the positions from the nominal length on. Each is decided once all rungs have delivered it, or
//! one of them is so far ahead that the others will not be waited for: it is a boundary when at least half of the
//! rungs that delivered it have a key frame there. So one rung that misses its key frame or has it elsewhere changes
//! nothing for the others, and an encoder restart that moves all key frames moves the boundaries with them. When the
//! source itself is the top rung, its key frames alone decide.

use std::collections::{BTreeMap, VecDeque};

use nodi_protocol::RenditionName;

/// A segment's place on the grid, the same for all renditions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) seq: u64,
    /// First frame.
    pub(super) start: u64,
    /// The frame after the last one, once it is known.
    pub(super) end: Option<u64>,
    /// Does not continue the one before.
    pub(super) discontinuity: bool,
    /// Wall clock of `start`, in nanoseconds since the Unix epoch.
    pub(super) wall_ns: u64,
}

/// In frames.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// No boundary before this length.
    pub(super) min: u64,
    /// A segment without a boundary is closed at this length.
    pub(super) max: u64,
    /// How far a rung may be ahead before a boundary is decided without the others. It delays only what comes after
    /// the boundary, and there the first part is not complete before this many frames anyway.
    pub(super) wait: u64,
    /// The same before the first segment: encoders take their time to start.
    pub(super) first_wait: u64,
}

/// What one rung delivered that is not decided yet.
#[derive(Debug, Default)]
struct Votes {
    /// The frame after the newest one.
    progress: Option<u64>,
    /// Key frames at or after the candidate.
    keys: VecDeque<u64>,
}

/// Something to do after a decision.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Decision {
    /// A segment starts; the one before ends here.
    Cut { at: u64 },
    /// No key frame for too long: the segment ends here and none starts.
    Starve { at: u64 },
}

#[derive(Debug)]
pub(super) struct Decider {
    limits: Limits,
    leader: Option<RenditionName>,
    rungs: BTreeMap<RenditionName, Votes>,
    /// Start of the open segment.
    open: Option<u64>,
    /// Everything before is decided; `None` before the first frame.
    next: Option<u64>,
}

impl Decider {
    pub(super) fn new(
        limits: Limits,
        leader: Option<RenditionName>,
        rungs: impl IntoIterator<Item = RenditionName>,
    ) -> Self {
        let rungs = rungs.into_iter().map(|name| (name, Votes::default())).collect();
        Self { limits, leader, rungs, open: None, next: None }
    }

    /// Frames before this index are decided.
    pub(super) fn decided(&self) -> u64 {
        self.next.unwrap_or(0)
    }

    /// The next position where a segment may start, if one is open.
    pub(super) fn nominal_end(&self) -> Option<u64> {
        self.open.map(|start| start + self.limits.min)
    }

    /// The frame after the newest one of the fastest rung.
    pub(super) fn progress(&self) -> Option<u64> {
        self.rungs.values().filter_map(|votes| votes.progress).max()
    }

    pub(super) fn has_rungs(&self) -> bool {
        !self.rungs.is_empty()
    }

    pub(super) fn remove(&mut self, rung: &RenditionName) {
        self.rungs.remove(rung);
        if self.leader.as_ref() == Some(rung) {
            self.leader = None;
        }
    }

    /// Takes note of a frame. `false`: a key frame where no segment can start.
    pub(super) fn deliver(&mut self, rung: &RenditionName, index: u64, end: u64, keyframe: bool) -> bool {
        let first_candidate = self.next;
        let Some(votes) = self.rungs.get_mut(rung) else {
            return true;
        };
        votes.progress = Some(end.max(index + 1));
        if !keyframe {
            return true;
        }
        // A late rung's key frame at a boundary that is decided already is in its place; the source may have more.
        let expected = first_candidate.is_none_or(|next| index >= next)
            || self.open == Some(index)
            || self.leader.is_some();
        votes.keys.push_back(index);
        expected
    }

    /// The next decision that can be made. `closing`: nothing more will be delivered.
    pub(super) fn decide(&mut self, closing: bool) -> Option<Decision> {
        loop {
            let next = match self.next {
                Some(next) => next,
                None => self.first_candidate()?,
            };
            self.next = Some(next);
            for votes in self.rungs.values_mut() {
                while votes.keys.front().is_some_and(|key| *key < next) {
                    votes.keys.pop_front();
                }
            }
            let cut = self.vote(next, closing)?;
            if cut {
                self.open = Some(next);
                self.next = Some(next + self.limits.min);
                return Some(Decision::Cut { at: next });
            }
            self.next = Some(next + 1);
            if let Some(start) = self.open
                && next + 1 >= start + self.limits.max
            {
                self.open = None;
                return Some(Decision::Starve { at: next + 1 });
            }
        }
    }

    /// A boundary that is not voted on: sound alone drives the timeline.
    pub(super) fn force(&mut self, at: u64) -> Decision {
        self.open = Some(at);
        self.next = Some(at + self.limits.min);
        Decision::Cut { at }
    }

    /// Before anything is decided the earliest frame of any rung is the first candidate.
    fn first_candidate(&self) -> Option<u64> {
        self.rungs.values().filter_map(|votes| votes.keys.front().copied()).min()
    }

    /// `None`: too early to say.
    fn vote(&self, at: u64, closing: bool) -> Option<bool> {
        let delivered = |votes: &Votes| votes.progress.is_some_and(|progress| progress > at);
        let has_key = |votes: &Votes| votes.keys.front() == Some(&at);
        let wait = if self.open.is_some() { self.limits.wait } else { self.limits.first_wait };
        let patience_over = closing || self.progress().is_some_and(|progress| progress > at + wait);
        if let Some(votes) = self.leader.as_ref().and_then(|leader| self.rungs.get(leader)) {
            if delivered(votes) {
                return Some(has_key(votes));
            }
            if !patience_over {
                return None;
            }
        }
        let (mut all, mut voted, mut keyed) = (0, 0, 0);
        for votes in self.rungs.values() {
            all += 1;
            voted += usize::from(delivered(votes));
            keyed += usize::from(has_key(votes));
        }
        if voted == 0 || (voted < all && !patience_over) {
            return None;
        }
        Some(keyed > 0 && keyed * 2 >= voted)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits { min: 10, max: 14, wait: 3, first_wait: 20 };

    fn name(text: &str) -> RenditionName {
        text.parse().unwrap()
    }

    fn decider(rungs: &[&str]) -> Decider {
        Decider::new(LIMITS, None, rungs.iter().map(|rung| name(rung)))
    }

    fn feed(decider: &mut Decider, rung: &str, frames: std::ops::Range<u64>, keys: &[u64]) -> Vec<Decision> {
        let mut decisions = Vec::new();
        for index in frames {
            decider.deliver(&name(rung), index, index + 1, keys.contains(&index));
            while let Some(decision) = decider.decide(false) {
                decisions.push(decision);
            }
        }
        decisions
    }

    #[test]
    fn all_agree() {
        let mut decider = decider(&["a", "b"]);
        assert_eq!(feed(&mut decider, "a", 0..12, &[0, 10]), []);
        assert_eq!(feed(&mut decider, "b", 0..1, &[0, 10]), [Decision::Cut { at: 0 }]);
        assert_eq!(decider.decided(), 10);
        assert_eq!(feed(&mut decider, "b", 1..11, &[0, 10]), [Decision::Cut { at: 10 }]);
    }

    #[test]
    fn a_rung_that_misses_or_is_early_is_overruled() {
        let mut decider = decider(&["a", "b", "c"]);
        feed(&mut decider, "a", 0..9, &[0]);
        feed(&mut decider, "b", 0..9, &[0]);
        assert_eq!(feed(&mut decider, "c", 0..9, &[0]), [Decision::Cut { at: 0 }]);
        assert!(!decider.deliver(&name("c"), 9, 10, true));
        feed(&mut decider, "a", 9..11, &[10]);
        feed(&mut decider, "b", 9..11, &[10]);
        assert_eq!(feed(&mut decider, "c", 10..11, &[]), [Decision::Cut { at: 10 }]);
    }

    #[test]
    fn key_frames_that_moved_move_the_boundary() {
        let mut decider = decider(&["a"]);
        assert_eq!(feed(&mut decider, "a", 0..12, &[0]), [Decision::Cut { at: 0 }]);
        assert_eq!(
            feed(&mut decider, "a", 12..30, &[12, 22]),
            [Decision::Cut { at: 12 }, Decision::Cut { at: 22 }]
        );
    }

    #[test]
    fn without_key_frames_the_segment_is_closed_and_the_next_key_frame_starts_anew() {
        let mut decider = decider(&["a"]);
        let decisions = feed(&mut decider, "a", 0..30, &[0, 20]);
        assert_eq!(
            decisions,
            [Decision::Cut { at: 0 }, Decision::Starve { at: 14 }, Decision::Cut { at: 20 }]
        );
    }

    #[test]
    fn nobody_waits_for_a_rung_that_lags() {
        let mut decider = decider(&["a", "b"]);
        feed(&mut decider, "b", 0..1, &[0]);
        assert_eq!(feed(&mut decider, "a", 0..13, &[0, 10]), [Decision::Cut { at: 0 }]);
        assert_eq!(feed(&mut decider, "a", 13..14, &[]), [Decision::Cut { at: 10 }]);
        assert!(decider.deliver(&name("b"), 10, 11, true));
    }

    #[test]
    fn the_source_decides_alone() {
        let mut decider = Decider::new(LIMITS, Some(name("a")), [name("a"), name("b")]);
        assert_eq!(
            feed(&mut decider, "a", 0..12, &[0, 11]),
            [Decision::Cut { at: 0 }, Decision::Cut { at: 11 }]
        );
        assert_eq!(feed(&mut decider, "b", 0..12, &[0, 10]), []);
    }

    #[test]
    fn what_comes_before_the_first_key_frame_is_not_waited_for() {
        let mut decider = decider(&["a"]);
        assert_eq!(
            feed(&mut decider, "a", 5..30, &[8, 18]),
            [Decision::Cut { at: 8 }, Decision::Cut { at: 18 }]
        );
    }
}
