//! Buckets by key, bounded.

use std::borrow::Borrow;
use std::collections::HashMap;
use std::hash::Hash;

use super::{Bucket, Rate};

/// One bucket for each key that took something lately.
#[derive(Debug)]
pub struct Table<K> {
    buckets: HashMap<K, Bucket>,
    capacity: usize,
    /// Of all who do not fit in.
    rest: Bucket,
    /// When full buckets were last looked for, in milliseconds since the Unix epoch.
    swept_ms: u64,
}

/// At most this often a full table is searched for buckets that have refilled, in milliseconds: the search looks at
/// every entry.
const SWEEP_MS: u64 = 1_000;

impl<K: Eq + Hash> Table<K> {
    /// Entries: 20,000 people who speak within half a minute are more than any room has; about 1 MiB.
    pub const CAPACITY: usize = 20_000;

    #[must_use]
    pub fn new(capacity: usize) -> Self {
        Self { buckets: HashMap::new(), capacity, rest: Bucket::default(), swept_ms: 0 }
    }

    /// As [`Bucket::wait_ms`].
    #[must_use]
    pub fn wait_ms<Q: Eq + Hash + ?Sized>(&self, key: &Q, rate: Rate, now_ms: u64) -> u64
    where
        K: Borrow<Q>,
    {
        match self.buckets.get(key) {
            Some(bucket) => bucket.wait_ms(rate, now_ms),
            None if self.buckets.len() < self.capacity => 0,
            None => self.rest.wait_ms(rate, now_ms),
        }
    }

    /// As [`Bucket::take`].
    pub fn take<Q: Eq + Hash + ToOwned<Owned = K> + ?Sized>(&mut self, key: &Q, rate: Rate, now_ms: u64)
    where
        K: Borrow<Q>,
    {
        if self.buckets.len() >= self.capacity && !self.buckets.contains_key(key) {
            self.sweep(now_ms);
        }
        if let Some(bucket) = self.buckets.get_mut(key) {
            bucket.take(rate, now_ms);
        } else if self.buckets.len() < self.capacity {
            let mut bucket = Bucket::default();
            bucket.take(rate, now_ms);
            self.buckets.insert(key.to_owned(), bucket);
        } else {
            self.rest.take(rate, now_ms);
        }
    }

    /// As [`Bucket::try_take`].
    ///
    /// # Errors
    /// How long until it would fit, in milliseconds.
    pub fn try_take<Q: Eq + Hash + ToOwned<Owned = K> + ?Sized>(
        &mut self,
        key: &Q,
        rate: Rate,
        now_ms: u64,
    ) -> Result<(), u64>
    where
        K: Borrow<Q>,
    {
        match self.wait_ms(key, rate, now_ms) {
            0 => {
                self.take(key, rate, now_ms);
                Ok(())
            }
            wait => Err(wait),
        }
    }

    /// Forgets buckets that have refilled. At most once in [`SWEEP_MS`].
    pub fn sweep(&mut self, now_ms: u64) {
        if now_ms.abs_diff(self.swept_ms) >= SWEEP_MS {
            self.swept_ms = now_ms;
            self.buckets.retain(|_, bucket| !bucket.is_full(now_ms));
        }
    }

    #[must_use]
    pub fn len(&self) -> usize {
        self.buckets.len()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.buckets.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_800_000_000_000;
    const RATE: Rate = Rate { burst: 2, per_s: 10 };

    #[test]
    fn each_key_has_its_own() {
        let mut table: Table<String> = Table::new(10);
        assert_eq!(table.try_take("a", RATE, NOW), Ok(()));
        assert_eq!(table.try_take("a", RATE, NOW), Ok(()));
        assert_eq!(table.try_take("a", RATE, NOW), Err(5_000));
        assert_eq!(table.try_take("b", RATE, NOW), Ok(()));
    }

    #[test]
    fn who_does_not_fit_shares_and_nobody_is_pushed_out() {
        let mut table: Table<String> = Table::new(2);
        table.take("a", RATE, NOW);
        table.take("b", RATE, NOW);
        for stranger in ["c", "d"] {
            assert_eq!(table.try_take(stranger, RATE, NOW), Ok(()));
        }
        assert_eq!(table.try_take("e", RATE, NOW), Err(5_000), "the strangers' bucket is empty");
        assert_eq!(table.try_take("a", RATE, NOW), Ok(()), "who was there has what is left of their own");
        assert_eq!(table.len(), 2);
        // Both have refilled ten seconds later and make room.
        assert_eq!(table.try_take("f", RATE, NOW + 10_000), Ok(()));
        assert_eq!(table.len(), 1);
    }

    #[test]
    fn what_has_refilled_is_forgotten() {
        let mut table: Table<String> = Table::new(10);
        table.take("a", RATE, NOW);
        table.sweep(NOW + 4_999);
        assert_eq!(table.len(), 1);
        table.sweep(NOW + 6_000);
        assert!(table.is_empty());
    }
}
