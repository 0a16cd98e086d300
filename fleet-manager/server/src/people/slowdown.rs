//! Slow-down of failed log-ins, per name and per address. In memory: a restart forgives, and takes longer than a guess.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Failures of a name before it has to wait: people mistype.
const FREE_NAME: u32 = 5;
/// Failures of an address before it has to wait: an office shares one.
const FREE_ADDRESS: u32 = 20;
/// Longest wait of a name, in ms. Short, because a stranger can make it happen to anybody; an attacker who gets one guess
/// a minute still gets nowhere.
const LONGEST_NAME_MS: i64 = 60_000;
/// Longest wait of an address, in ms.
const LONGEST_ADDRESS_MS: i64 = 15 * 60_000;
/// Failures are forgotten after so long without another, in ms.
const FORGET_MS: i64 = 30 * 60_000;
/// Names and addresses remembered. With more at a time the oldest are forgotten, which an attacker with that many
/// addresses does not need.
const KEEP: usize = 20_000;

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Key {
    Name(String),
    Address(IpAddr),
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    failures: u32,
    last_ms: i64,
    until_ms: i64,
}

#[derive(Debug, Default)]
pub(crate) struct SlowDown {
    entries: Mutex<HashMap<Key, Entry>>,
}

impl SlowDown {
    /// Before an attempt, which counts as failed until [`SlowDown::succeeded`]: many at once are not free either.
    ///
    /// # Errors
    /// The seconds to wait.
    pub(crate) fn begin(&self, name: &str, address: IpAddr, now_ms: i64) -> Result<(), u64> {
        let mut entries = self.entries();
        let keys = keys(name, address);
        let until = keys.iter().filter_map(|key| entries.get(key)).map(|entry| entry.until_ms).max();
        if let Some(wait) = until.map(|until| until - now_ms).filter(|wait| *wait > 0) {
            return Err(u64::try_from(wait).unwrap_or(0).div_ceil(1_000));
        }
        if entries.len() + keys.len() > KEEP {
            make_room(&mut entries, now_ms);
        }
        for key in keys {
            let (free, longest) = match key {
                Key::Name(_) => (FREE_NAME, LONGEST_NAME_MS),
                Key::Address(_) => (FREE_ADDRESS, LONGEST_ADDRESS_MS),
            };
            let entry = entries.entry(key).or_insert(Entry { failures: 0, last_ms: now_ms, until_ms: 0 });
            if now_ms - entry.last_ms > FORGET_MS {
                entry.failures = 0;
            }
            entry.failures = entry.failures.saturating_add(1);
            entry.last_ms = now_ms;
            if let Some(over) = entry.failures.checked_sub(free) {
                entry.until_ms = now_ms + (1_000_i64 << over.min(20)).min(longest);
            }
        }
        Ok(())
    }

    /// The attempt that began last was a good one.
    pub(crate) fn succeeded(&self, name: &str, address: IpAddr) {
        let mut entries = self.entries();
        for key in keys(name, address) {
            match key {
                Key::Name(_) => {
                    entries.remove(&key);
                }
                // Not forgotten altogether: whoever has an account could guess at others for ever.
                Key::Address(_) => {
                    if let Some(entry) = entries.get_mut(&key) {
                        entry.failures = entry.failures.saturating_sub(1);
                        entry.until_ms = 0;
                    }
                }
            }
        }
    }

    fn entries(&self) -> MutexGuard<'_, HashMap<Key, Entry>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn keys(name: &str, address: IpAddr) -> [Key; 2] {
    // Longer than any name that exists; what is behind that does not tell names apart.
    let name = name.chars().take(64).collect::<String>().to_ascii_lowercase();
    [Key::Name(name), Key::Address(network(address))]
}

/// One customer has a whole /64 of IPv6.
fn network(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
    }
}

fn make_room(entries: &mut HashMap<Key, Entry>, now_ms: i64) {
    entries.retain(|_, entry| now_ms - entry.last_ms <= FORGET_MS);
    if entries.len() + 2 > KEEP {
        let mut ages: Vec<i64> = entries.values().map(|entry| entry.last_ms).collect();
        // A tenth at a time, so that this is rare.
        let (_, oldest, _) = ages.select_nth_unstable(KEEP / 10);
        let oldest = *oldest;
        entries.retain(|_, entry| entry.last_ms > oldest);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOME: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));

    #[test]
    fn a_name_waits_longer_with_each_failure() {
        let slow = SlowDown::default();
        let mut now = 0;
        for _ in 0..FREE_NAME {
            assert_eq!(slow.begin("anna", HOME, now), Ok(()));
        }
        let mut waits = Vec::new();
        for _ in 0..9 {
            match slow.begin("ANNA", HOME, now) {
                Ok(()) => {}
                Err(wait) => {
                    waits.push(wait);
                    now += i64::try_from(wait).unwrap() * 1_000;
                    assert_eq!(slow.begin("anna", HOME, now), Ok(()));
                }
            }
        }
        assert_eq!(waits[..4], [1, 2, 4, 8]);
        assert_eq!(waits.last(), Some(&60), "{waits:?}");
    }

    #[test]
    fn success_forgives_the_name() {
        let slow = SlowDown::default();
        for round in 0..10 {
            for _ in 0..FREE_NAME - 1 {
                assert_eq!(slow.begin("anna", IpAddr::V4([10, 0, 0, round].into()), 0), Ok(()));
            }
            slow.succeeded("anna", HOME);
        }
    }

    #[test]
    fn an_address_waits_whatever_the_names() {
        let slow = SlowDown::default();
        let address = |n: u16| IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 1, n, n, n, n));
        let waited = (0..60).find(|n| slow.begin(&format!("n{n}"), address(*n), 0).is_err());
        assert_eq!(waited, Some(20), "one /64 is one address");
    }

    #[test]
    fn failures_are_forgotten_and_memory_is_bounded() {
        let slow = SlowDown::default();
        for _ in 0..FREE_NAME {
            slow.begin("anna", HOME, 0).unwrap();
        }
        assert!(slow.begin("anna", HOME, 0).is_err());
        assert_eq!(slow.begin("anna", HOME, FORGET_MS + 1), Ok(()));
        assert_eq!(slow.begin("anna", HOME, FORGET_MS + 1), Ok(()), "counts from one again");
        for n in 0..50_000_u32 {
            let _ = slow.begin(&format!("n{n}"), IpAddr::V4(n.into()), i64::from(n));
        }
        assert!(slow.entries().len() <= KEEP);
    }
}
