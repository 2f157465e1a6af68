//! Chance that can be repeated.

/// A source of numbers that look random. SplitMix64, by Steele, Lea and Flood.
#[derive(Debug)]
pub(crate) struct Chance(u64);

impl Chance {
    /// The same numbers for the same seed.
    pub(crate) fn of(seed: u64) -> Self {
        Self(seed)
    }

    /// The seed of the environment, else a new one.
    pub(crate) fn seed() -> u64 {
        match std::env::var("BARISTA_TEST_SEED") {
            Ok(text) => text.parse().expect("BARISTA_TEST_SEED is a number"),
            Err(_) => uuid::Uuid::new_v4().as_u64_pair().0,
        }
    }

    /// A number below `below`.
    pub(crate) fn below(&mut self, below: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % below
    }
}
