//! What a stranger can make this server do, bounded per address.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::config::Config;
use crate::enrolment::throttle::{Throttle, network};
use crate::error::Error;

/// After so many seconds somebody who found no place to follow may try again.
const FULL_S: u64 = 30;

pub(super) struct Limits {
    requests: Throttle,
    changes: Throttle,
    sign_ups: Throttle,
    followers: Arc<Semaphore>,
    following: Arc<Following>,
}

/// Followers of events by their address: entries of those that are there, so no more than there may be followers.
#[derive(Default)]
struct Following {
    by_address: Mutex<HashMap<IpAddr, u32>>,
}

impl Limits {
    pub(super) fn new(config: &Config) -> Self {
        let throttle = |burst: u32, amount: u32, seconds: f64| {
            Throttle::new(f64::from(burst), f64::from(amount) / seconds)
        };
        Self {
            requests: throttle(config.requests_burst, config.requests_per_s, 1.0),
            changes: throttle(config.changes_burst, config.changes_per_minute, 60.0),
            sign_ups: throttle(config.sign_ups_burst, config.sign_ups_per_hour, 3_600.0),
            followers: Arc::new(Semaphore::new(config.max_followers.min(Semaphore::MAX_PERMITS))),
            following: Arc::default(),
        }
    }

    /// Counts one request; `safe` where it changes nothing.
    pub(super) fn request(
        &self,
        config: &Config,
        address: IpAddr,
        now_ms: i64,
        safe: bool,
    ) -> Result<(), Error> {
        if config.uncounted.iter().any(|net| net.contains(&address)) {
            return Ok(());
        }
        let mut result = self.requests.take(address, now_ms);
        if !safe && result.is_ok() {
            result = self.changes.take(address, now_ms);
        }
        result.map_err(|wait_s| too_many("too many requests from this address", wait_s))
    }

    /// Whether there may be one more account from this address.
    pub(super) fn may_sign_up(&self, address: IpAddr, now_ms: i64) -> Result<(), Error> {
        self.sign_ups.check(address, now_ms).map_err(sign_ups)
    }

    /// Counts an account.
    pub(super) fn sign_up(&self, address: IpAddr, now_ms: i64) -> Result<(), Error> {
        self.sign_ups.take(address, now_ms).map_err(sign_ups)
    }

    /// A place for one that follows events.
    pub(super) fn follower(&self, config: &Config, address: IpAddr) -> Result<Place, Error> {
        let full = || Error::TooMany {
            reason: "too many follow this already; ask now and then instead".to_owned(),
            retry_after_s: FULL_S,
        };
        let permit = Arc::clone(&self.followers).try_acquire_owned().map_err(|_| full())?;
        let address = network(address);
        let mut by_address = self.following.by_address.lock().unwrap_or_else(PoisonError::into_inner);
        let count = by_address.entry(address).or_default();
        if *count >= config.followers_per_address {
            return Err(full());
        }
        *count += 1;
        Ok(Place { address, following: Arc::clone(&self.following), _permit: permit })
    }

    /// Places that are taken.
    #[cfg(test)]
    fn taken(&self) -> usize {
        self.following.by_address.lock().unwrap_or_else(PoisonError::into_inner).len()
    }
}

fn sign_ups(wait_s: u64) -> Error {
    too_many("too many accounts were made from this address", wait_s)
}

fn too_many(what: &str, retry_after_s: u64) -> Error {
    Error::TooMany { reason: format!("{what}; try again in {retry_after_s} s"), retry_after_s }
}

/// Given back when it is dropped.
pub(super) struct Place {
    address: IpAddr,
    following: Arc<Following>,
    _permit: OwnedSemaphorePermit,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut by_address = self.following.by_address.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = by_address.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                by_address.remove(&self.address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn followers_are_bounded_in_all_and_by_address_and_make_room_when_they_go() {
        let config = Config { max_followers: 3, followers_per_address: 2, ..Config::default() };
        let limits = Limits::new(&config);
        let (a, b) = ("192.0.2.1".parse().unwrap(), "192.0.2.2".parse().unwrap());
        let first = limits.follower(&config, a).unwrap();
        let _second = limits.follower(&config, a).unwrap();
        assert!(limits.follower(&config, a).is_err(), "two from one address");
        let third = limits.follower(&config, b).unwrap();
        drop(first);
        assert!(limits.follower(&config, a).is_ok());
        drop(third);
        assert_eq!(limits.taken(), 1);
    }

    #[test]
    fn changes_are_dearer_than_looking() {
        let config = Config { changes_burst: 2, changes_per_minute: 1, ..Config::default() };
        let limits = Limits::new(&config);
        let address = "192.0.2.1".parse().unwrap();
        assert!(limits.request(&config, address, 0, false).is_ok());
        assert!(limits.request(&config, address, 0, false).is_ok());
        let refused = limits.request(&config, address, 0, false);
        assert!(matches!(refused, Err(Error::TooMany { retry_after_s: 60, .. })), "{refused:?}");
        assert!(limits.request(&config, address, 0, true).is_ok());
        let loopback = "127.0.0.1".parse().unwrap();
        assert!((0..1_000).all(|_| limits.request(&config, loopback, 0, false).is_ok()));
    }
}
