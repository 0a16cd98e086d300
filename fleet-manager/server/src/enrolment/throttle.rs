//! So many requests per address and no more.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Mutex, PoisonError};

/// Addresses that are remembered; with more of them all start anew, which costs an attacker with that many nothing and
/// everybody else nothing either.
const KEEP: usize = 20_000;

/// A bucket per address: `burst` at once, then `per_s` a second.
#[derive(Debug)]
pub(crate) struct Throttle {
    burst: f64,
    per_s: f64,
    buckets: Mutex<HashMap<IpAddr, Bucket>>,
}

#[derive(Debug, Clone, Copy)]
struct Bucket {
    left: f64,
    at_ms: i64,
}

impl Throttle {
    pub(crate) fn new(burst: f64, per_s: f64) -> Self {
        Self { burst, per_s, buckets: Mutex::default() }
    }

    /// Takes one.
    ///
    /// # Errors
    /// The seconds to wait.
    pub(crate) fn take(&self, address: IpAddr, now_ms: i64) -> Result<(), u64> {
        self.look(address, now_ms, 1.0)
    }

    /// Whether there is one left, without taking it.
    ///
    /// # Errors
    /// The seconds to wait.
    pub(crate) fn check(&self, address: IpAddr, now_ms: i64) -> Result<(), u64> {
        self.look(address, now_ms, 0.0)
    }

    #[allow(
        clippy::cast_precision_loss,
        reason = "milliseconds since the last request, bounded by the bucket"
    )]
    fn look(&self, address: IpAddr, now_ms: i64, cost: f64) -> Result<(), u64> {
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        if buckets.len() >= KEEP {
            buckets.clear();
        }
        let bucket = buckets.entry(network(address)).or_insert(Bucket { left: self.burst, at_ms: now_ms });
        let gone_s = now_ms.saturating_sub(bucket.at_ms).max(0) as f64 / 1_000.0;
        bucket.left = (bucket.left + gone_s * self.per_s).min(self.burst);
        bucket.at_ms = now_ms;
        if bucket.left >= 1.0 {
            bucket.left -= cost;
            return Ok(());
        }
        let wait_s = ((1.0 - bucket.left) / self.per_s).ceil().clamp(1.0, 3_600.0);
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped")]
        let wait_s = wait_s as u64;
        Err(wait_s)
    }
}

/// One customer has a whole /64 of IPv6.
pub(crate) fn network(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_gets_its_burst_and_then_its_rate() {
        let throttle = Throttle::new(3.0, 0.5);
        let (a, b) = ("192.0.2.1".parse().unwrap(), "192.0.2.2".parse().unwrap());
        assert_eq!((0..5).filter(|_| throttle.take(a, 0).is_ok()).count(), 3);
        assert_eq!(throttle.take(a, 0), Err(2));
        assert!(throttle.check(a, 0).is_err());
        assert!(throttle.take(b, 0).is_ok());
        assert!(throttle.take(a, 2_000).is_ok());
        assert!(throttle.take(a, 2_000).is_err());
    }

    #[test]
    fn a_network_of_ipv6_is_one_address() {
        let throttle = Throttle::new(1.0, 0.1);
        assert!(throttle.take("2001:db8::1".parse().unwrap(), 0).is_ok());
        assert!(throttle.take("2001:db8::2".parse().unwrap(), 0).is_err());
    }
}
