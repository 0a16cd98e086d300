//! Notices that encoding falls behind real time, and says what to give up. Pure: time and lag are
//! told to it.
//!
//! A rung that was given up stays given up until the session's next set of tracks: one that comes and goes makes every
//! player switch each time. The frame rate, which players need not know about, is tried again after a quiet time,
//! and after a longer one each time that was too early.

use std::time::Duration;

/// From the arrival of a frame to its encoded pictures: above this the encoders do not keep up.
/// Decoding, reordering of B-frames and the frame that fixes the rate take up to 200 ms.
pub const BEHIND: Duration = Duration::from_millis(450);

/// Below this they do again.
const CAUGHT_UP: Duration = Duration::from_millis(250);

/// Frames that wait longer than this before the encoders are dropped: what bounds latency.
pub const DROP_ABOVE: Duration = Duration::from_millis(500);

/// Being behind for as long as this costs the frame rate; shorter, it is another program's burst.
const PATIENCE: Duration = Duration::from_secs(3);

/// Being behind for as long as this at half the rate costs the rung: a browser that starts is not worth a rung.
const RUNG_PATIENCE: Duration = Duration::from_secs(8);

/// After this time without being behind the full rate is tried again; twice as long after each failed try.
const RETRY: Duration = Duration::from_secs(20);
const LONGEST_RETRY: Duration = Duration::from_secs(640);

/// After a step, and at the start, the queues are given this long to empty.
const SETTLE: Duration = Duration::from_secs(4);

/// What to do about overload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Encode every second frame only of rung number `0`.
    HalveRate(usize),
    /// Encode every frame of rung number `0` again.
    FullRate(usize),
    /// Stop encoding rung number `0`.
    GiveUp(usize),
}

/// Follows one set of rungs.
#[derive(Debug)]
pub struct Monitor {
    rungs: usize,
    top: usize,
    halved: bool,
    /// The rung runs at half rate by calibration: more was never possible.
    planned: bool,
    behind_since: Option<Duration>,
    in_time_since: Duration,
    retry: Duration,
    quiet_until: Duration,
    last_drop: Option<Duration>,
}

impl Monitor {
    /// `rungs` encoded rungs, the top one first, of which the top one may run at half rate already.
    #[must_use]
    pub fn new(now: Duration, rungs: usize, halved: bool) -> Self {
        Self {
            rungs,
            top: 0,
            halved,
            planned: halved,
            behind_since: None,
            in_time_since: now,
            retry: RETRY,
            quiet_until: now + SETTLE,
            last_drop: None,
        }
    }

    /// A frame was dropped before the encoders.
    pub fn dropped(&mut self, now: Duration) {
        self.last_drop = Some(now);
        self.behind(now);
    }

    fn behind(&mut self, now: Duration) {
        self.behind_since.get_or_insert(now);
        self.in_time_since = now;
    }

    /// An encoded frame of rung number `rung` came out `lag` after its picture had arrived.
    pub fn encoded(&mut self, now: Duration, rung: usize, lag: Duration) -> Option<Step> {
        if lag > BEHIND {
            self.behind(now);
        } else if rung == self.top && lag < CAUGHT_UP && self.last_drop.is_none_or(|at| now > at + SETTLE / 4)
        {
            // Smaller rungs are in time more easily: they say nothing about the top one.
            self.behind_since = None;
        }
        if now < self.quiet_until {
            return None;
        }
        let Some(since) = self.behind_since else {
            let retry = self.halved && !self.planned && now > self.in_time_since + self.retry;
            return retry.then(|| {
                self.halved = false;
                self.retry = (self.retry * 2).min(LONGEST_RETRY);
                self.quiet_until = now + SETTLE;
                Step::FullRate(self.top)
            });
        };
        let step = if !self.halved && now >= since + PATIENCE {
            self.halved = true;
            Step::HalveRate(self.top)
        } else if self.halved && now >= since + RUNG_PATIENCE && self.top + 1 < self.rungs {
            let gone = self.top;
            self.top += 1;
            (self.halved, self.planned, self.retry) = (false, false, RETRY);
            Step::GiveUp(gone)
        } else {
            // The last rung at half rate is the least that can be sent; frames are dropped from here on.
            return None;
        };
        self.quiet_until = now + SETTLE;
        self.behind_since = None;
        self.in_time_since = now;
        Some(step)
    }

    /// Whether the encoders are behind right now.
    #[must_use]
    pub fn is_behind(&self) -> bool {
        self.behind_since.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    /// Feeds one frame every 33 ms from `from` to `to` seconds, and collects the steps.
    fn feed(monitor: &mut Monitor, from: u32, to: u32, lag: Duration) -> Vec<Step> {
        (from * 1000..to * 1000)
            .step_by(33)
            .filter_map(|ms| monitor.encoded(ms * MS, monitor.top, lag))
            .collect()
    }

    #[test]
    fn in_time_nothing_happens() {
        let mut monitor = Monitor::new(Duration::ZERO, 3, false);
        assert!(feed(&mut monitor, 0, 3600, 120 * MS).is_empty());
    }

    #[test]
    fn a_burst_is_forgiven() {
        let mut monitor = Monitor::new(Duration::ZERO, 3, false);
        feed(&mut monitor, 0, 10, 120 * MS);
        assert!(feed(&mut monitor, 10, 12, 900 * MS).is_empty());
        assert!(feed(&mut monitor, 12, 60, 120 * MS).is_empty());
    }

    #[test]
    fn overload_takes_the_rate_then_the_rung_and_leaves_the_last_one() {
        let mut monitor = Monitor::new(Duration::ZERO, 2, false);
        let steps = feed(&mut monitor, 0, 120, 800 * MS);
        assert_eq!(steps, [Step::HalveRate(0), Step::GiveUp(0), Step::HalveRate(1)]);
    }

    #[test]
    fn a_step_that_helps_is_the_last() {
        let mut monitor = Monitor::new(Duration::ZERO, 3, true);
        assert_eq!(feed(&mut monitor, 0, 9, 800 * MS), [Step::GiveUp(0)]);
        assert!(feed(&mut monitor, 9, 12, 400 * MS).is_empty());
        assert!(feed(&mut monitor, 12, 100, 100 * MS).is_empty());
    }

    #[test]
    fn the_full_rate_is_tried_again_less_and_less_often() {
        let mut monitor = Monitor::new(Duration::ZERO, 3, false);
        assert_eq!(feed(&mut monitor, 0, 5, 800 * MS), [Step::HalveRate(0)]);
        assert_eq!(feed(&mut monitor, 5, 30, 100 * MS), [Step::FullRate(0)]);
        assert_eq!(feed(&mut monitor, 30, 35, 800 * MS), [Step::HalveRate(0)]);
        assert!(feed(&mut monitor, 35, 70, 100 * MS).is_empty());
        assert_eq!(feed(&mut monitor, 70, 90, 100 * MS), [Step::FullRate(0)]);
        assert!(feed(&mut monitor, 90, 1000, 100 * MS).is_empty());
    }

    #[test]
    fn a_smaller_rung_in_time_does_not_hide_the_top_one() {
        let mut monitor = Monitor::new(Duration::ZERO, 2, false);
        let steps: Vec<Step> = (0..6_000)
            .step_by(33)
            .flat_map(|ms| [(0, 800), (1, 50)].map(|(rung, lag)| monitor.encoded(ms * MS, rung, lag * MS)))
            .flatten()
            .collect();
        assert_eq!(steps, [Step::HalveRate(0)]);
    }

    #[test]
    fn dropping_all_the_time_is_overload_even_if_what_is_encoded_is_in_time() {
        let mut monitor = Monitor::new(Duration::ZERO, 3, false);
        let mut steps = Vec::new();
        for ms in (0..20_000).step_by(33) {
            if ms % 10 == 0 {
                monitor.dropped(ms * MS);
            }
            steps.extend(monitor.encoded(ms * MS, 0, 200 * MS));
        }
        assert_eq!(steps.first(), Some(&Step::HalveRate(0)));
    }
}
