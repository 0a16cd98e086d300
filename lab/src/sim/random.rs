//! Random numbers that a seed repeats: a simulated fleet behaves the same in each run.

/// SplitMix64 (Steele, Lea, Flood 2014): one word of state, and good enough for jitter.
#[derive(Debug, Clone)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub(crate) fn wide(&mut self) -> u128 {
        u128::from(self.next()) << 64 | u128::from(self.next())
    }

    /// 0 to 1.
    pub(crate) fn share(&mut self) -> f32 {
        // 24 bits are what an f32 holds exactly.
        #[allow(clippy::cast_precision_loss, reason = "24 bits fit")]
        let bits = (self.next() >> 40) as f32;
        bits / 16_777_216.0
    }

    pub(crate) fn between(&mut self, low: f32, high: f32) -> f32 {
        low + (high - low) * self.share()
    }

    pub(crate) fn chance(&mut self, probability: f32) -> bool {
        self.share() < probability
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_repeats_and_shares_are_spread() {
        let (mut one, mut two) = (Random::new(7), Random::new(7));
        assert_eq!(one.wide(), two.wide());
        let mean = (0..10_000).map(|_| one.share()).sum::<f32>() / 10_000.0;
        assert!((mean - 0.5).abs() < 0.02, "{mean}");
    }
}
