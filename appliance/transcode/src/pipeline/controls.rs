//! What can be changed while a pipeline runs, and what its parts tell each other: which pictures a rung gets, where key
//! frames go, when a picture came in.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::describe::Plan;
use super::run::lock;
use crate::rate::FrameRate;

/// Pictures whose arrival is remembered: more than any decoder and encoder hold, at 60 fps 8 s.
const ARRIVALS: usize = 512;

/// No number yet.
const NONE: u64 = u64::MAX;

/// What can be changed while a pipeline runs, and what its parts tell each other.
#[derive(Debug)]
pub struct Controls {
    pub(super) rate: FrameRate,
    pub(super) frames_per_segment: u64,
    pub(super) live: bool,
    pub(super) first: AtomicU64,
    pub(super) rungs: Vec<RungControl>,
    pub(super) arrivals: Mutex<VecDeque<(u64, Instant)>>,
    pub(super) keys: Mutex<Keys>,
    pub(super) next_thumbnail: AtomicU64,
}

#[derive(Debug)]
pub(super) struct RungControl {
    pub(super) gone: AtomicBool,
    pub(super) halve: AtomicBool,
    /// From this number on every second picture only, until
    pub(super) half_from: AtomicU64,
    /// this one.
    pub(super) half_until: AtomicU64,
    /// The encoder is told to start anew before the next picture.
    pub(super) resync: AtomicBool,
}

/// Where key frames are put.
#[derive(Debug)]
pub(super) enum Keys {
    /// At every multiple of the segment's length.
    Grid,
    /// At these, which the passed-through source has.
    At(BTreeSet<u64>),
}

impl RungControl {
    /// Whether only every second picture is encoded at `index`.
    pub(super) fn is_half(&self, index: u64) -> bool {
        (self.half_from.load(Ordering::Acquire)..self.half_until.load(Ordering::Acquire)).contains(&index)
    }

    /// A segment starts: the rate that was asked for begins.
    pub(super) fn segment_starts(&self, index: u64) {
        match (self.halve.load(Ordering::Acquire), self.is_half(index)) {
            (true, false) => {
                self.half_until.store(NONE, Ordering::Release);
                self.half_from.store(index, Ordering::Release);
            }
            (false, true) => self.half_until.store(index, Ordering::Release),
            (true, true) | (false, false) => {}
        }
    }
}

impl Controls {
    pub(super) fn new(plan: &Plan, live: bool, follow_source: bool) -> Self {
        let rungs = plan.ladder.rungs.iter().map(|rung| RungControl {
            gone: AtomicBool::new(false),
            halve: AtomicBool::new(rung.half_rate),
            half_from: AtomicU64::new(if rung.half_rate { 0 } else { NONE }),
            half_until: AtomicU64::new(NONE),
            resync: AtomicBool::new(false),
        });
        Self {
            rate: plan.ladder.frame_rate,
            frames_per_segment: plan.ladder.frames_per_segment,
            live,
            first: AtomicU64::new(NONE),
            rungs: rungs.collect(),
            arrivals: Mutex::new(VecDeque::with_capacity(ARRIVALS)),
            keys: Mutex::new(if follow_source { Keys::At(BTreeSet::new()) } else { Keys::Grid }),
            next_thumbnail: AtomicU64::new(0),
        }
    }

    /// The grid's number of the first picture that was decoded; what comes out counts from it.
    #[must_use]
    pub fn first(&self) -> Option<u64> {
        Some(self.first.load(Ordering::Acquire)).filter(|first| *first != NONE)
    }

    /// Encodes `rung` no longer.
    pub fn give_up(&self, rung: usize) {
        if let Some(rung) = self.rungs.get(rung) {
            rung.gone.store(true, Ordering::Release);
        }
    }

    /// Encodes every second picture of `rung` only, or all again, from the next segment on.
    pub fn halve(&self, rung: usize, halve: bool) {
        if let Some(rung) = self.rungs.get(rung) {
            rung.halve.store(halve, Ordering::Release);
        }
    }

    /// Asks all encoders for a key frame, when their key frames no longer agree.
    pub fn resync(&self) {
        for rung in &self.rungs {
            rung.resync.store(true, Ordering::Release);
        }
    }

    /// The passed-through source starts a segment at picture `index`.
    pub fn force_key(&self, index: u64) {
        if let Keys::At(keys) = &mut *lock(&self.keys) {
            keys.insert(index);
        }
    }

    pub(super) fn arrived(&self, pts: u64, at: Instant) {
        let mut arrivals = lock(&self.arrivals);
        if arrivals.len() == ARRIVALS {
            arrivals.pop_front();
        }
        arrivals.push_back((pts, at));
    }

    /// Since the picture came in that is shown at `pts`. One that fills a pause came with the picture that ended the pause.
    pub(super) fn lag(&self, pts: u64) -> Duration {
        let half = self.rate.time_of(1) / 2;
        let arrivals = lock(&self.arrivals);
        let from = pts.saturating_sub(half);
        let found = arrivals.iter().filter(|(shown, _)| *shown >= from).min_by_key(|(shown, _)| *shown);
        found.or(arrivals.back()).map_or(Duration::ZERO, |(_, at)| at.elapsed())
    }

    /// Whether all encoders put a key frame at `index`.
    pub(super) fn is_key(&self, index: u64) -> bool {
        match &*lock(&self.keys) {
            Keys::Grid => {
                let first = self.first.load(Ordering::Acquire);
                index.checked_sub(first).is_some_and(|n| n.is_multiple_of(self.frames_per_segment))
            }
            Keys::At(keys) => keys.contains(&index),
        }
    }

    /// Forgets key frames before `index`.
    pub(super) fn keys_done(&self, index: u64) {
        if let Keys::At(keys) = &mut *lock(&self.keys) {
            *keys = keys.split_off(&index);
        }
    }
}
