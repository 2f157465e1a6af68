//! What many samples come to.

use std::time::Duration;

/// How long each of many operations took.
#[derive(Debug, Clone, Default)]
pub(crate) struct Latencies {
    sorted_ms: Vec<f64>,
}

impl Latencies {
    /// Takes the samples, in any order.
    pub(crate) fn new(samples: impl IntoIterator<Item = Duration>) -> Self {
        Self::from_ms(samples.into_iter().map(|sample| sample.as_secs_f64() * 1e3))
    }

    /// Takes samples in milliseconds, in any order.
    pub(crate) fn from_ms(samples: impl IntoIterator<Item = f64>) -> Self {
        let mut sorted_ms: Vec<f64> = samples.into_iter().collect();
        sorted_ms.sort_by(f64::total_cmp);
        Self { sorted_ms }
    }

    /// The time, in milliseconds, that half of the operations did not exceed. `None` without samples.
    pub(crate) fn p50(&self) -> Option<f64> {
        quantile(&self.sorted_ms, 0.50)
    }

    /// The time, in milliseconds, that 99 of 100 operations did not exceed. `None` without samples.
    pub(crate) fn p99(&self) -> Option<f64> {
        quantile(&self.sorted_ms, 0.99)
    }
}

/// The `q`-quantile, for `q` from 0 to 1, of ascending values: a value between two samples lies on the straight line between them, so
/// that the extremes are the smallest and the largest sample, and 0.5 is the usual median.
fn quantile(sorted: &[f64], q: f64) -> Option<f64> {
    let last = sorted.len().checked_sub(1)?;
    let place = q.clamp(0.0, 1.0) * last as f64;
    let below = place.floor();
    let (low, high) = (sorted[below as usize], sorted[place.ceil() as usize]);
    Some(low + (high - low) * (place - below))
}

/// The middle of some values, and how far they lie apart.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Summary {
    /// The median.
    pub(crate) median: f64,
    /// The smallest value.
    pub(crate) least: f64,
    /// The largest value.
    pub(crate) most: f64,
}

impl Summary {
    /// Sums `values` up. `None` without values.
    pub(crate) fn of(values: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut values: Vec<f64> = values.into_iter().collect();
        values.sort_by(f64::total_cmp);
        Some(Self {
            median: quantile(&values, 0.5)?,
            least: *values.first()?,
            most: *values.last()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(samples: impl IntoIterator<Item = u64>) -> Latencies {
        Latencies::new(samples.into_iter().map(Duration::from_millis))
    }

    #[test]
    fn no_samples_have_no_percentile() {
        assert_eq!(of([]).p50(), None);
        assert_eq!(of([]).p99(), None);
        assert_eq!(Summary::of([]), None);
    }

    #[test]
    fn one_sample_is_every_percentile() {
        assert_eq!(of([7]).p50(), Some(7.0));
        assert_eq!(of([7]).p99(), Some(7.0));
    }

    #[test]
    fn the_order_of_the_samples_does_not_matter() {
        assert_eq!(of([5, 1, 3, 2, 4]).p50(), Some(3.0));
        assert_eq!(of([4, 1, 3, 2]).p50(), Some(2.5));
    }

    #[test]
    fn a_percentile_between_two_samples_lies_on_the_line_between_them() {
        // 0 to 100 in steps of one: the place of each percentile is its own number.
        assert_eq!(of(0..=100).p50(), Some(50.0));
        assert_eq!(of(0..=100).p99(), Some(99.0));
        // Eleven samples: 0.99 of the way is at 9.9, a tenth before the largest.
        let p99 = of((0..=10).map(|n| n * 10)).p99().expect("samples");
        assert!((p99 - 99.0).abs() < 1e-9, "{p99}");
    }

    #[test]
    fn the_extremes_are_samples() {
        let values = [1.0, 2.0, 10.0];
        assert_eq!(quantile(&values, 0.0), Some(1.0));
        assert_eq!(quantile(&values, 1.0), Some(10.0));
        assert_eq!(quantile(&values, 2.0), Some(10.0));
    }

    #[test]
    fn a_summary_has_the_middle_and_the_range() {
        let summary = Summary::of([3.0, 1.0, 8.0]).expect("values");
        assert_eq!(
            summary,
            Summary {
                median: 3.0,
                least: 1.0,
                most: 8.0
            }
        );
    }
}
