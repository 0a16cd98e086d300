//! The time that this box goes by: the system's, or what the fleet server said when the two disagree.
//!
//! A box without a battery wakes up in 1970, one with a dead battery anywhere. The fleet server's time is kept
//! relative to the time since boot, which nobody sets: when the system's clock is put right later, by whatever
//! amount, the two agree again and the system's is used.
//!
//! Where no time server does that, the agent does ([`Clock::to_set`], [`set_system`]): video and the uplink go by the
//! system's clock.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustls::pki_types::UnixTime;
use rustls::time_provider::TimeProvider;
use serde::{Deserialize, Serialize};

use crate::timekeeping;

/// The system's clock is taken as right up to this difference from the fleet server's.
pub const TOLERANCE_MS: u64 = 60_000;
/// What a crystal drifts at most, as a share of the time that passes: 200 ppm.
const DRIFT: u64 = 5_000;

/// Where raw time comes from.
pub trait Source: Send + Sync {
    /// The system's wall clock, in milliseconds since the Unix epoch.
    fn wall_ms(&self) -> u64;
    /// Time since boot with sleep in it, in milliseconds. Never set, never goes back.
    fn since_boot_ms(&self) -> u64;
    /// Whether a time server keeps the wall clock.
    fn is_kept(&self) -> bool;
}

/// The kernel's clocks.
#[derive(Debug, Clone, Copy, Default)]
pub struct Kernel {
    /// Added to the wall clock, in milliseconds: a laboratory's way to a box whose clock is wrong.
    pub skew_ms: i64,
}

impl Source for Kernel {
    fn wall_ms(&self) -> u64 {
        milliseconds(rustix::time::ClockId::Realtime).saturating_add_signed(self.skew_ms)
    }

    fn since_boot_ms(&self) -> u64 {
        milliseconds(rustix::time::ClockId::Boottime)
    }

    fn is_kept(&self) -> bool {
        timekeeping::kernel().is_some_and(|kept| kept.synchronised)
    }
}

/// Sets the system's clock by what the agent knew in this boot. Needs the right to do that.
///
/// # Errors
/// The kernel does not allow it, or the time is before this software was built.
pub fn set_system(told: Anchor) -> io::Result<()> {
    let true_ms = at(told, Kernel::default().since_boot_ms());
    let time = Duration::from_millis(true_ms);
    let seconds = rustix::time::Secs::try_from(time.as_secs());
    let (true, Ok(seconds)) = (true_ms >= built_ms(), seconds) else {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, format!("{true_ms} ms cannot be the time")));
    };
    let time = rustix::time::Timespec { tv_sec: seconds, tv_nsec: time.subsec_nanos().into() };
    Ok(rustix::time::clock_settime(rustix::time::ClockId::Realtime, time)?)
}

fn milliseconds(clock: rustix::time::ClockId) -> u64 {
    let time = rustix::time::clock_gettime(clock);
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    let nanoseconds = u64::try_from(time.tv_nsec).unwrap_or(0);
    seconds.saturating_mul(1000).saturating_add(nanoseconds / 1_000_000)
}

/// The true time at one moment since boot, as the fleet server told it. Good for this boot only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Anchor {
    pub true_ms: u64,
    pub since_boot_ms: u64,
}

/// A clonable handle; all clones are one clock.
#[derive(Clone)]
pub struct Clock(Arc<Inner>);

struct Inner {
    source: Box<dyn Source>,
    told: Mutex<Option<Anchor>>,
    /// It is not earlier than this: what the last run knew, or when the software was built.
    floor: Anchor,
}

impl std::fmt::Debug for Clock {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Clock").field("now_ms", &self.now_ms()).finish()
    }
}

/// When the software was built, in milliseconds since the Unix epoch.
#[must_use]
pub fn built_ms() -> u64 {
    env!("NODI_BUILT_S").parse::<u64>().unwrap_or(0).saturating_mul(1000)
}

impl Clock {
    /// `not_before_ms`: a time that has passed for certain.
    #[must_use]
    pub fn new(source: impl Source + 'static, not_before_ms: u64) -> Self {
        let floor = Anchor { true_ms: not_before_ms, since_boot_ms: source.since_boot_ms() };
        Self(Arc::new(Inner { source: Box::new(source), told: Mutex::new(None), floor }))
    }

    /// Milliseconds since the Unix epoch.
    #[must_use]
    pub fn now_ms(&self) -> u64 {
        let wall = self.0.source.wall_ms();
        let since_boot = self.0.source.since_boot_ms();
        let best = match *self.told() {
            Some(told) if !agree(wall, told, since_boot) => at(told, since_boot),
            _ => wall,
        };
        best.max(at(self.0.floor, since_boot))
    }

    /// What the system's clock is ahead of this one, in milliseconds.
    #[must_use]
    pub fn system_error_ms(&self) -> i64 {
        self.0.source.wall_ms().cast_signed().saturating_sub(self.now_ms().cast_signed())
    }

    /// What the system's clock is to be set by: it is wrong, and no time server keeps it.
    #[must_use]
    pub fn to_set(&self) -> Option<Anchor> {
        let wrong = self.is_told() && self.system_error_ms().unsigned_abs() > TOLERANCE_MS;
        (wrong && !self.0.source.is_kept())
            .then(|| Anchor { true_ms: self.now_ms(), since_boot_ms: self.since_boot_ms() })
    }

    /// Takes what the fleet server says. Returns the anchor, to be kept for other processes of this boot.
    pub fn learn(&self, true_ms: u64) -> Anchor {
        let anchor = Anchor { true_ms, since_boot_ms: self.0.source.since_boot_ms() };
        *self.told() = Some(anchor);
        anchor
    }

    /// Takes what an earlier process of the same boot learned.
    pub fn recall(&self, anchor: Anchor) {
        self.told().get_or_insert(anchor);
    }

    /// Whether the fleet server has told the time in this boot. Until then this clock may be years behind.
    #[must_use]
    pub fn is_told(&self) -> bool {
        self.told().is_some()
    }

    /// Milliseconds since boot: for measuring how long things take.
    #[must_use]
    pub fn since_boot_ms(&self) -> u64 {
        self.0.source.since_boot_ms()
    }

    /// For rustls, which judges certificates by it.
    #[must_use]
    pub fn for_tls(&self) -> Arc<dyn TimeProvider> {
        Arc::new(ForTls(self.clone()))
    }

    fn told(&self) -> std::sync::MutexGuard<'_, Option<Anchor>> {
        // Copied in and out whole: a panic elsewhere leaves nothing half done.
        self.0.told.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn at(anchor: Anchor, since_boot_ms: u64) -> u64 {
    anchor.true_ms.saturating_add(since_boot_ms.saturating_sub(anchor.since_boot_ms))
}

fn agree(wall_ms: u64, told: Anchor, since_boot_ms: u64) -> bool {
    let passed = since_boot_ms.saturating_sub(told.since_boot_ms);
    wall_ms.abs_diff(at(told, since_boot_ms)) <= TOLERANCE_MS + passed / DRIFT
}

#[derive(Debug)]
struct ForTls(Clock);

impl TimeProvider for ForTls {
    fn current_time(&self) -> Option<UnixTime> {
        Some(UnixTime::since_unix_epoch(Duration::from_millis(self.0.now_ms())))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

    use super::*;

    const YEAR: u64 = 365 * 86_400_000;
    /// Some day in 2026.
    const TODAY: u64 = 1_790_000_000_000;

    #[derive(Clone, Default)]
    struct Fake {
        wall: Arc<AtomicU64>,
        boot: Arc<AtomicU64>,
        kept: Arc<AtomicBool>,
    }

    impl Fake {
        fn pass(&self, ms: u64) {
            self.wall.fetch_add(ms, Ordering::Relaxed);
            self.boot.fetch_add(ms, Ordering::Relaxed);
        }

        fn set(&self, wall: u64) {
            self.wall.store(wall, Ordering::Relaxed);
        }
    }

    impl Source for Fake {
        fn wall_ms(&self) -> u64 {
            self.wall.load(Ordering::Relaxed)
        }

        fn since_boot_ms(&self) -> u64 {
            self.boot.load(Ordering::Relaxed)
        }

        fn is_kept(&self) -> bool {
            self.kept.load(Ordering::Relaxed)
        }
    }

    #[test]
    fn a_box_in_1970_counts_from_when_its_software_was_built() {
        let fake = Fake::default();
        let clock = Clock::new(fake.clone(), TODAY);
        fake.pass(5_000);
        assert_eq!(clock.now_ms(), TODAY + 5_000);
        assert!(!clock.is_told());
    }

    #[test]
    fn what_the_fleet_says_wins_over_a_wrong_clock_in_both_directions() {
        for wrong in [0, TODAY - 3 * YEAR, TODAY + 14 * YEAR] {
            let fake = Fake::default();
            fake.set(wrong);
            let clock = Clock::new(fake.clone(), TODAY - YEAR);
            clock.learn(TODAY);
            fake.pass(7_000);
            assert_eq!(clock.now_ms(), TODAY + 7_000);
            // Time synchronisation puts it right; the correction must not be added on top.
            fake.set(TODAY + 7_100);
            assert_eq!(clock.now_ms(), TODAY + 7_100);
            // And wrong again.
            fake.set(TODAY + 2 * YEAR);
            assert_eq!(clock.now_ms(), TODAY + 7_000);
        }
    }

    #[test]
    fn a_small_difference_is_the_systems_to_know_also_after_weeks_of_drift() {
        let fake = Fake::default();
        fake.set(TODAY + 30_000);
        let clock = Clock::new(fake.clone(), 0);
        clock.learn(TODAY);
        assert_eq!(clock.now_ms(), TODAY + 30_000);
        fake.boot.fetch_add(28 * 86_400_000, Ordering::Relaxed);
        fake.set(TODAY + 28 * 86_400_000 + 150_000);
        assert_eq!(clock.now_ms(), TODAY + 28 * 86_400_000 + 150_000);
    }

    #[test]
    fn a_wrong_clock_that_nobody_keeps_is_to_be_set() {
        let fake = Fake::default();
        fake.set(TODAY - YEAR);
        let clock = Clock::new(fake.clone(), TODAY - YEAR);
        assert_eq!(clock.to_set(), None, "nobody has told the time");
        clock.learn(TODAY);
        fake.pass(9_000);
        assert_eq!(clock.to_set(), Some(Anchor { true_ms: TODAY + 9_000, since_boot_ms: 9_000 }));
        fake.kept.store(true, Ordering::Relaxed);
        assert_eq!(clock.to_set(), None, "two masters of one clock would quarrel");
        fake.kept.store(false, Ordering::Relaxed);
        fake.set(TODAY + 9_000 - TOLERANCE_MS / 2);
        assert_eq!(clock.to_set(), None, "that is near enough");
    }

    #[test]
    fn nobody_sets_the_clock_to_before_the_software() {
        let refused = set_system(Anchor { true_ms: 0, since_boot_ms: u64::MAX }).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::InvalidInput);
    }

    #[test]
    fn a_later_process_of_the_same_boot_recalls() {
        let fake = Fake::default();
        fake.pass(1_000);
        let anchor = Clock::new(fake.clone(), 0).learn(TODAY);
        fake.pass(60_000);
        let clock = Clock::new(fake, 0);
        clock.recall(anchor);
        assert_eq!(clock.now_ms(), TODAY + 60_000);
        assert!(clock.is_told());
    }
}
