//! Seeded numbers: the same seed gives the same corpus on every machine and in every round.

/// SplitMix64: small, fast, and every seed is a good one.
pub struct Random {
    state: u64,
}

impl Random {
    /// Streams of different `seed` or `lane` are unrelated.
    pub fn new(seed: u64, lane: u64) -> Self {
        let mut mixer = Self { state: seed };
        let first = mixer.next();
        Self {
            state: first ^ lane.wrapping_mul(0xd134_2543_de82_ef95),
        }
    }

    pub fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = self.state;
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        word ^ (word >> 31)
    }

    /// A number below `limit`; 0 for a limit of 0.
    pub fn below(&mut self, limit: usize) -> usize {
        ((u128::from(self.next()) * limit as u128) >> 64) as usize
    }

    /// True in `percent` of 100 calls.
    pub fn chance(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }
}

#[cfg(test)]
mod tests {
    use super::Random;

    #[test]
    fn equal_seeds_give_equal_numbers_and_lanes_differ() {
        let draw = |seed, lane| {
            let mut random = Random::new(seed, lane);
            [random.next(), random.next()]
        };
        assert_eq!(draw(1, 2), draw(1, 2));
        assert_ne!(draw(1, 2), draw(1, 3));
        assert_ne!(draw(1, 2), draw(2, 2));
    }

    #[test]
    fn numbers_stay_below_their_limit() {
        let mut random = Random::new(7, 0);
        assert!((0..1000).all(|_| random.below(13) < 13));
        assert_eq!(random.below(0), 0);
    }
}
