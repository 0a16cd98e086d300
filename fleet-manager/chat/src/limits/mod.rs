//! How much one may say: a token bucket for each account, each address and each channel, and exactly when there is
//! room again.
//!
//! A bucket is one number: the time at which it will be full again (the generic cell rate algorithm of ITU-T I.371,
//! which is a token bucket without the tokens). Empty entries of a table are full buckets, so what has refilled is
//! forgotten, and a table is bounded by [`Table::CAPACITY`]: who does not fit into it shares one bucket with all others
//! who do not, which slows down a flood of made-up accounts and costs nobody who was there before.

mod address;
mod table;

use nodi_daemon::config::Validate;
use serde::Deserialize;

pub use address::{AddressHash, AddressKey, NotAHash};
pub use table::Table;

/// So many in so long: the bucket holds `burst` and fills up in `per_s`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rate {
    pub burst: u32,
    /// In seconds.
    pub per_s: u32,
}

/// The limits on talking, `[moderation.limits]` of the configuration.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Messages of one account in one channel. Default 20 in 30 s, as Twitch has it.
    pub account: Rate,
    /// Messages and actions of one moderator, streamer or operator in one channel. Default 100 in 30 s, as Twitch has it.
    pub moderator: Rate,
    /// Whatever one account tries, also what is refused: bounds the work that somebody can cause who is let say
    /// nothing. Default 60 in 30 s.
    pub attempts: Rate,
    /// Messages from one address in one channel, moderators' aside. A household or a small office. Default 100 in 30 s.
    pub address: Rate,
    /// Messages in one channel, moderators' aside. More than that nobody can read, and in a room of 10,000 each costs
    /// 10,000 deliveries. Default 2,500 in 10 s.
    pub channel: Rate,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            account: Rate { burst: 20, per_s: 30 },
            moderator: Rate { burst: 100, per_s: 30 },
            attempts: Rate { burst: 60, per_s: 30 },
            address: Rate { burst: 100, per_s: 30 },
            channel: Rate { burst: 2_500, per_s: 10 },
        }
    }
}

impl Validate for Config {
    fn validate(&self) -> Result<(), (&'static str, String)> {
        let rates = [
            ("moderation.limits.account", self.account),
            ("moderation.limits.moderator", self.moderator),
            ("moderation.limits.attempts", self.attempts),
            ("moderation.limits.address", self.address),
            ("moderation.limits.channel", self.channel),
        ];
        for (key, rate) in rates {
            if !(1..=1_000_000).contains(&rate.burst) || !(1..=3_600).contains(&rate.per_s) {
                return Err((key, "burst has to be 1 to 1,000,000 and per_s 1 to 3,600".to_owned()));
            }
        }
        Ok(())
    }
}

impl Rate {
    /// Between two when it goes on for ever, in microseconds: milliseconds would make 7 in 1 s into 7.04.
    fn interval_us(self) -> u64 {
        (u64::from(self.per_s) * 1_000_000 / u64::from(self.burst.max(1))).max(1)
    }

    /// How far ahead of the present a bucket may be, in microseconds.
    fn ahead_us(self) -> u64 {
        self.interval_us() * u64::from(self.burst.max(1).saturating_sub(1))
    }
}

/// One token bucket. A new one is full.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Bucket {
    /// When it is full again, in microseconds since the Unix epoch.
    full_us: u64,
}

impl Bucket {
    /// How long until one more fits, in milliseconds, rounded up: after exactly this long it does. 0: it fits now.
    #[must_use]
    pub fn wait_ms(&self, rate: Rate, now_ms: u64) -> u64 {
        let now_us = now_ms.saturating_mul(1_000);
        self.full_us.saturating_sub(rate.ahead_us()).saturating_sub(now_us).div_ceil(1_000)
    }

    /// Takes one out, whether or not it fits.
    pub fn take(&mut self, rate: Rate, now_ms: u64) {
        self.full_us = self.full_us.max(now_ms.saturating_mul(1_000)) + rate.interval_us();
    }

    /// Takes one out if it fits.
    ///
    /// # Errors
    /// How long until it would, in milliseconds.
    pub fn try_take(&mut self, rate: Rate, now_ms: u64) -> Result<(), u64> {
        match self.wait_ms(rate, now_ms) {
            0 => {
                self.take(rate, now_ms);
                Ok(())
            }
            wait => Err(wait),
        }
    }

    /// Whether it is as good as a new one.
    #[must_use]
    pub fn is_full(&self, now_ms: u64) -> bool {
        self.full_us <= now_ms.saturating_mul(1_000)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NOW: u64 = 1_800_000_000_000;
    const TWENTY: Rate = Rate { burst: 20, per_s: 30 };

    #[test]
    fn twenty_at_once_and_then_one_each_second_and_a_half() {
        let mut bucket = Bucket::default();
        for _ in 0..20 {
            assert_eq!(bucket.try_take(TWENTY, NOW), Ok(()));
        }
        assert_eq!(bucket.try_take(TWENTY, NOW), Err(1_500));
        assert_eq!(bucket.try_take(TWENTY, NOW + 1_499), Err(1));
        assert_eq!(bucket.try_take(TWENTY, NOW + 1_500), Ok(()));
        assert!(!bucket.is_full(NOW + 31_499));
        assert!(bucket.is_full(NOW + 31_500));
    }

    #[test]
    fn a_rate_of_one_is_an_interval() {
        let rate = Rate { burst: 1, per_s: 10 };
        let mut bucket = Bucket::default();
        assert_eq!(bucket.try_take(rate, NOW), Ok(()));
        assert_eq!(bucket.try_take(rate, NOW), Err(10_000));
        assert_eq!(bucket.try_take(rate, NOW + 10_000), Ok(()));
    }

    proptest! {
        /// Whatever comes when, there are never more than `burst` plus what refilled; and who waits exactly as long as
        /// told may speak, and not a millisecond earlier.
        #[test]
        fn never_more_than_the_rate(burst in 1u32..50, per_s in 1u32..100, steps in prop::collection::vec(0u64..3_000, 1..200)) {
            let rate = Rate { burst, per_s };
            let (mut bucket, mut now, mut taken) = (Bucket::default(), NOW, 0u64);
            for step in steps {
                now += step;
                match bucket.try_take(rate, now) {
                    Ok(()) => taken += 1,
                    Err(wait) => {
                        prop_assert!(wait > 0);
                        let mut later = bucket;
                        prop_assert!(later.try_take(rate, now + wait - 1).is_err());
                        prop_assert!(later.try_take(rate, now + wait).is_ok());
                    }
                }
                let refilled = (now - NOW) * 1_000 / rate.interval_us();
                prop_assert!(taken <= u64::from(burst) + refilled);
            }
        }
    }

    #[test]
    fn a_rate_of_nothing_is_refused() {
        assert!(Config::default().validate().is_ok());
        let none = Config { address: Rate { burst: 0, per_s: 1 }, ..Config::default() };
        assert_eq!(none.validate().unwrap_err().0, "moderation.limits.address");
    }
}
