//! What a wrong key costs the address it came from: first a growing delay before the answer, then no
//! look at its keys for a while. A signature cannot be guessed; this keeps a mistyped
//! encoder's endless retries, and anyone who tries, from costing more than a few packets.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use crate::admission::Origin;
use crate::config;

#[derive(Debug)]
pub struct Throttle {
    config: config::Throttle,
    by_origin: HashMap<Origin, Failures>,
}

#[derive(Debug, Clone, Copy)]
struct Failures {
    count: u32,
    last: Instant,
}

/// The address has to wait; the text is for the streamer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("too many wrong stream keys from your address; try again in {} s", .wait.as_secs().max(1))]
pub struct Refused {
    pub wait: Duration,
}

impl Throttle {
    #[must_use]
    pub fn new(config: config::Throttle) -> Self {
        Self { config, by_origin: HashMap::new() }
    }

    /// What is remembered stays, and is judged by the new rules.
    pub fn set_config(&mut self, config: config::Throttle) {
        self.config = config;
    }

    /// Whether keys from `origin` are looked at now.
    ///
    /// # Errors
    /// When there were too many wrong ones.
    pub fn check(&mut self, origin: Origin, now: Instant) -> Result<(), Refused> {
        let Some(failures) = self.by_origin.get(&origin).copied() else { return Ok(()) };
        let quiet = now.saturating_duration_since(failures.last);
        if quiet >= Duration::from_secs(self.config.forget_after_s) {
            self.by_origin.remove(&origin);
            return Ok(());
        }
        if failures.count < self.config.refuse_after {
            return Ok(());
        }
        let refuse_for = Duration::from_secs(self.config.refuse_for_s);
        if let Some(wait) = refuse_for.checked_sub(quiet).filter(|wait| !wait.is_zero()) {
            return Err(Refused { wait });
        }
        // It waited: it starts over, but at the longest delay, until it was quiet for `forget_after_s`.
        if let Some(failures) = self.by_origin.get_mut(&origin) {
            failures.count = self.config.refuse_after / 2;
        }
        Ok(())
    }

    /// Notes a wrong key and says how long its answer has to wait.
    pub fn failed(&mut self, origin: Origin, now: Instant) -> Duration {
        if !self.by_origin.contains_key(&origin) {
            self.make_room(now);
        }
        let failures = self.by_origin.entry(origin).or_insert(Failures { count: 0, last: now });
        failures.count = failures.count.saturating_add(1);
        failures.last = now;
        let doublings = failures.count.saturating_sub(1).min(32);
        let delay = self.config.first_delay_ms.saturating_mul(1 << doublings);
        Duration::from_millis(delay.min(self.config.longest_delay_ms))
    }

    /// Addresses that are remembered now.
    #[must_use]
    pub fn len(&self) -> usize {
        self.by_origin.len()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.by_origin.is_empty()
    }

    fn make_room(&mut self, now: Instant) {
        if self.by_origin.len() < self.config.addresses {
            return;
        }
        let forget_after = Duration::from_secs(self.config.forget_after_s);
        self.by_origin.retain(|_, failures| now.saturating_duration_since(failures.last) < forget_after);
        if self.by_origin.len() >= self.config.addresses
            && let Some(quietest) =
                self.by_origin.iter().min_by_key(|(_, failures)| failures.last).map(|(origin, _)| *origin)
        {
            self.by_origin.remove(&quietest);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};

    use super::*;

    fn origin(last: u8) -> Origin {
        IpAddr::V4(Ipv4Addr::new(192, 0, 2, last)).into()
    }

    fn throttle() -> Throttle {
        Throttle::new(config::Throttle {
            first_delay_ms: 100,
            longest_delay_ms: 500,
            refuse_after: 5,
            refuse_for_s: 60,
            forget_after_s: 300,
            addresses: 3,
        })
    }

    #[test]
    fn delays_grow_then_the_address_is_refused_for_a_while() {
        let mut throttle = throttle();
        let start = Instant::now();
        let delays: Vec<_> = (0..5)
            .map(|_| {
                assert_eq!(throttle.check(origin(1), start), Ok(()));
                throttle.failed(origin(1), start).as_millis()
            })
            .collect();
        assert_eq!(delays, [100, 200, 400, 500, 500]);
        let at = |seconds| start + Duration::from_secs(seconds);
        assert_eq!(throttle.check(origin(1), at(10)), Err(Refused { wait: Duration::from_secs(50) }));
        assert_eq!(throttle.check(origin(2), at(10)), Ok(()), "others are not held back");
        assert_eq!(throttle.check(origin(1), at(60)), Ok(()));
        assert!(throttle.failed(origin(1), at(60)) >= Duration::from_millis(400), "still remembered");
        assert_eq!(throttle.check(origin(1), at(400)), Ok(()));
        assert_eq!(throttle.failed(origin(1), at(400)).as_millis(), 100, "forgotten by now");
    }

    #[test]
    fn memory_is_bounded_and_the_quietest_goes_first() {
        let mut throttle = throttle();
        let start = Instant::now();
        for last in 1..=10 {
            throttle.failed(origin(last), start + Duration::from_secs(u64::from(last)));
        }
        assert_eq!(throttle.len(), 3);
        assert!(throttle.by_origin.contains_key(&origin(10)) && !throttle.by_origin.contains_key(&origin(7)));
    }
}
