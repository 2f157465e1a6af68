//! Chance that can be repeated: a test that draws says its seed, and `BARISTA_TEST_SEED` gives it the same one again.

/// A source of numbers that look random. SplitMix64, by Steele, Lea and Flood.
#[derive(Debug)]
pub(crate) struct Seed(u64);

impl Seed {
    /// The seed of the environment, else a new one; either is said.
    pub(crate) fn new() -> Self {
        let given = std::env::var("BARISTA_TEST_SEED").ok();
        let seed = match given {
            Some(text) => text.parse().expect("BARISTA_TEST_SEED is a number"),
            None => uuid::Uuid::new_v4().as_u64_pair().0,
        };
        eprintln!("to repeat this: BARISTA_TEST_SEED={seed}");
        Self(seed)
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

/// Whether the tests may take minutes: `tests/run --long`.
pub(crate) fn is_long() -> bool {
    std::env::var_os("BARISTA_LONG").is_some()
}
