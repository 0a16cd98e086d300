//! Times by the million in a few kilobytes: a histogram whose buckets are 3 % wide.

/// Buckets per doubling.
const FINE: u32 = 32;
const FINE_BITS: u32 = FINE.trailing_zeros();
/// Up to 2^40 µs, which is 12 days.
const BUCKETS: usize = (FINE * (40 - FINE_BITS + 1)) as usize;

/// How often which time was seen.
#[derive(Clone)]
pub(super) struct Histogram {
    counts: Vec<u64>,
    total: u64,
    max_us: u64,
}

impl Histogram {
    pub(super) fn new() -> Self {
        Self { counts: vec![0; BUCKETS], total: 0, max_us: 0 }
    }

    pub(super) fn add(&mut self, us: u64) {
        if let Some(count) = self.counts.get_mut(bucket(us).min(BUCKETS - 1)) {
            *count += 1;
        }
        self.total += 1;
        self.max_us = self.max_us.max(us);
    }

    pub(super) fn total(&self) -> u64 {
        self.total
    }

    pub(super) fn max_us(&self) -> u64 {
        self.max_us
    }

    /// The time, in microseconds, that `share` (0 to 1) of all did not exceed.
    #[allow(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a rank within a count: rounding by one in 2^53 is nothing"
    )]
    pub(super) fn quantile_us(&self, share: f64) -> u64 {
        let rank = ((self.total as f64 * share).ceil() as u64).max(1);
        let mut seen = 0;
        for (index, count) in self.counts.iter().enumerate() {
            seen += count;
            if seen >= rank {
                return upper(index).min(self.max_us);
            }
        }
        self.max_us
    }
}

fn bucket(us: u64) -> usize {
    let Some(shift) = us.checked_ilog2().and_then(|bits| bits.checked_sub(FINE_BITS)) else {
        return usize::try_from(us).unwrap_or(BUCKETS);
    };
    // The leading bit is told by `shift`; the next ones are the place within the doubling.
    let fine = (us >> shift) - u64::from(FINE);
    usize::try_from(u64::from((shift + 1) * FINE) + fine).unwrap_or(BUCKETS)
}

/// The greatest time of a bucket.
fn upper(index: usize) -> u64 {
    let index = index as u64;
    let (doubling, fine) = (index / u64::from(FINE), index % u64::from(FINE));
    match doubling.checked_sub(1) {
        None => fine,
        Some(shift) => ((u64::from(FINE) + fine + 1) << shift) - 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_time_lies_in_its_bucket_and_buckets_are_narrow() {
        for us in (0..2_000).chain([65_535, 65_536, 1_000_003, 1 << 39]) {
            let at = bucket(us);
            assert!(upper(at) >= us && (at == 0 || upper(at - 1) < us), "{us}");
            assert!(upper(at) - us <= us / 32 + 1, "{us}");
        }
    }

    #[test]
    fn quantiles_are_of_what_was_added() {
        let mut histogram = Histogram::new();
        assert_eq!(histogram.quantile_us(0.5), 0);
        (1..=1_000).for_each(|us| histogram.add(us));
        assert_eq!((histogram.total(), histogram.max_us()), (1_000, 1_000));
        assert!((500..=516).contains(&histogram.quantile_us(0.5)));
        assert!((990..=1_000).contains(&histogram.quantile_us(0.99)));
        assert_eq!(histogram.quantile_us(1.0), 1_000);
    }
}
