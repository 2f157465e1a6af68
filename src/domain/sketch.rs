//! Distributions that can be added and taken apart again, for percentiles over any group.
//!
//! A value falls into one of the buckets whose width is at most 1/64 of the values in it, so the middle of a bucket is less than 0.8 % away
//! from each of them. The bounds are integers: the same value falls into the same bucket on every machine, and can be removed again.

use std::collections::BTreeMap;

/// The bits of a value that are kept behind its first one.
const BITS: u32 = 6;
/// Below this, each value has a bucket of its own.
const EXACT: u64 = 1 << (BITS + 1);

/// How many values fell into each bucket. In a difference of two sketches, counts may be negative.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Sketch {
    counts: BTreeMap<u16, i64>,
}

impl Sketch {
    /// The sketch with these buckets and counts, as [`Sketch::buckets`] gives them.
    #[must_use]
    pub fn from_buckets(buckets: impl IntoIterator<Item = (u16, i64)>) -> Self {
        let mut sketch = Self::default();
        for (bucket, count) in buckets {
            sketch.change(bucket, count);
        }
        sketch
    }

    /// The buckets that are not empty, in order, with their counts.
    pub fn buckets(&self) -> impl Iterator<Item = (u16, i64)> + '_ {
        self.counts.iter().map(|(bucket, count)| (*bucket, *count))
    }

    /// Adds one value.
    pub fn record(&mut self, value: u64) {
        self.change(bucket(value), 1);
    }

    /// Adds what is in `other`.
    pub fn add(&mut self, other: &Self) {
        for (bucket, count) in other.buckets() {
            self.change(bucket, count);
        }
    }

    /// Takes what is in `other` away.
    pub fn subtract(&mut self, other: &Self) {
        for (bucket, count) in other.buckets() {
            self.change(bucket, count.wrapping_neg());
        }
    }

    fn change(&mut self, bucket: u16, by: i64) {
        let count = self.counts.entry(bucket).or_insert(0);
        // Only bytes that are no sketch of ours come near the ends.
        *count = count.wrapping_add(by);
        if *count == 0 {
            self.counts.remove(&bucket);
        }
    }

    /// How many values it has.
    #[must_use]
    pub fn count(&self) -> u64 {
        let add = |sum: i64, count: &i64| sum.saturating_add(*count);
        u64::try_from(self.counts.values().fold(0, add)).unwrap_or(0)
    }

    /// The value at `per_mille` thousandths by the nearest rank, within 0.8 %; `None` where there is none.
    #[must_use]
    pub fn quantile(&self, per_mille: u16) -> Option<u64> {
        let share = u128::from(self.count()) * u128::from(per_mille.min(1_000));
        let rank = share.div_ceil(1_000).max(1);
        let mut seen = 0;
        for (bucket, count) in &self.counts {
            seen += u128::try_from(*count).unwrap_or(0);
            if seen >= rank {
                return Some(middle(*bucket));
            }
        }
        None
    }
}

/// A distribution that grows fast: one place for each bucket between the lowest and the highest.
#[derive(Debug, Clone, Default)]
pub struct Tally {
    first: usize,
    counts: Vec<i64>,
}

impl Tally {
    /// Adds a value, where there is one.
    pub fn record(&mut self, value: Option<u64>) {
        if let Some(value) = value {
            self.add(bucket(value), 1);
        }
    }

    /// Adds `count` values to a bucket.
    pub fn add(&mut self, bucket: u16, count: i64) {
        let bucket = usize::from(bucket);
        if self.counts.is_empty() {
            self.first = bucket;
        } else if bucket < self.first {
            let missing = self.first - bucket;
            self.counts.splice(0..0, std::iter::repeat_n(0, missing));
            self.first = bucket;
        }
        let place = bucket - self.first;
        if place >= self.counts.len() {
            self.counts.resize(place + 1, 0);
        }
        self.counts[place] += count;
    }

    /// Adds whole buckets.
    pub fn extend(&mut self, buckets: impl IntoIterator<Item = (u16, i64)>) {
        for (bucket, count) in buckets {
            self.add(bucket, count);
        }
    }

    /// The same as a sketch.
    #[must_use]
    pub fn sketch(&self) -> Sketch {
        let places = (self.first..).zip(&self.counts);
        Sketch::from_buckets(
            places.filter_map(|(bucket, count)| Some((u16::try_from(bucket).ok()?, *count))),
        )
    }
}

/// The bucket of `value`: its first bits, counted on through all powers of two.
fn bucket(value: u64) -> u16 {
    let shift = (u64::BITS - value.leading_zeros()).saturating_sub(BITS + 1);
    let bucket = (u64::from(shift) << BITS) + (value >> shift);
    u16::try_from(bucket).unwrap_or(u16::MAX)
}

/// The value in the middle of `bucket`.
fn middle(bucket: u16) -> u64 {
    let bucket = u64::from(bucket);
    if bucket < EXACT {
        return bucket;
    }
    let shift = (bucket >> BITS) - 1;
    let first = (bucket - (shift << BITS)) << shift;
    first + ((1 << shift) - 1) / 2
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of(values: &[u64]) -> Sketch {
        let mut sketch = Sketch::default();
        values.iter().for_each(|value| sketch.record(*value));
        sketch
    }

    proptest! {
        #[test]
        fn a_quantile_is_within_its_error_of_the_nearest_rank(
            mut values in prop::collection::vec(0_u64..3_600_000_000_000, 1..200),
            per_mille in 0_u16..=1_000,
        ) {
            let sketch = of(&values);
            values.sort_unstable();
            let rank = (values.len() * usize::from(per_mille)).div_ceil(1_000).max(1);
            let exact = values[rank - 1];
            let told = sketch.quantile(per_mille).expect("a value");
            prop_assert!(told.abs_diff(exact) * 1_000 <= exact * 8, "{told} for {exact}");
        }

        #[test]
        fn a_tally_is_the_sketch_of_the_same_values(values in prop::collection::vec(any::<u64>(), 0..50)) {
            let mut tally = Tally::default();
            values.iter().for_each(|value| tally.record(Some(*value)));
            tally.record(None);
            tally.extend(of(&values).buckets());
            let mut twice = of(&values);
            twice.add(&of(&values));
            prop_assert_eq!(tally.sketch(), twice);
        }

        #[test]
        fn what_was_added_can_be_taken_away(
            kept in prop::collection::vec(any::<u64>(), 0..50),
            removed in prop::collection::vec(any::<u64>(), 0..50),
        ) {
            let mut sketch = of(&kept);
            sketch.add(&of(&removed));
            prop_assert_eq!(sketch.count(), (kept.len() + removed.len()) as u64);
            sketch.subtract(&of(&removed));
            prop_assert_eq!(&sketch, &of(&kept));
            prop_assert_eq!(Sketch::from_buckets(sketch.buckets()), sketch);
        }
    }

    #[test]
    fn buckets_follow_each_other_without_a_gap() {
        for value in 1..100_000_u64 {
            let step = bucket(value) - bucket(value - 1);
            assert!(step <= 1, "{value}");
        }
        assert_eq!(bucket(u64::MAX), 57 * 64 + 127);
        assert_eq!(of(&[]).quantile(500), None);
    }
}
