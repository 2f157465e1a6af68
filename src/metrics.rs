//! Numbers that are counted all the time and read now and then, and the text format in which Prometheus reads them.
//!
//! Counting is an atomic addition: no lock, no allocation, and no look-up by label, since whoever counts holds the counter itself.

use std::fmt::{Display, Write as _};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Something that happened so many times.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Counts one more.
    pub fn increment(&self) {
        self.add(1);
    }

    /// Counts `count` more.
    pub fn add(&self, count: u64) {
        self.0.fetch_add(count, Ordering::Relaxed);
    }

    /// The count so far.
    #[must_use]
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// How often a value was how large. Values are whole numbers: microseconds, or a count.
#[derive(Debug)]
pub struct Histogram {
    scale: &'static Scale,
    /// One for each bound, and one for what is beyond the last.
    buckets: Box<[AtomicU64]>,
    sum: AtomicU64,
}

/// The buckets of a histogram, and what its whole numbers stand for.
#[derive(Debug, PartialEq, Eq)]
pub struct Scale {
    /// The largest value of each bucket, ascending.
    bounds: &'static [u64],
    /// How many make one of the unit that is shown.
    per_unit: u32,
}

/// Spans of what takes a moment: from 100 µs to a minute.
pub static MOMENTS: Scale = Scale {
    bounds: &[
        100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000,
        1_000_000, 2_500_000, 10_000_000, 60_000_000,
    ],
    per_unit: 1_000_000,
};
/// Spans that people take: from a second to a week.
pub static PATIENCE: Scale = Scale {
    bounds: &[
        1_000_000,
        5_000_000,
        15_000_000,
        60_000_000,
        300_000_000,
        900_000_000,
        3_600_000_000,
        14_400_000_000,
        86_400_000_000,
        604_800_000_000,
    ],
    per_unit: 1_000_000,
};
/// How many things at once.
pub static CROWDS: Scale = Scale {
    bounds: &[1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1_024],
    per_unit: 1,
};

impl Histogram {
    /// An empty histogram.
    #[must_use]
    pub fn new(scale: &'static Scale) -> Self {
        Self {
            scale,
            buckets: (0..=scale.bounds.len())
                .map(|_| AtomicU64::new(0))
                .collect(),
            sum: AtomicU64::new(0),
        }
    }

    /// Counts a whole number.
    pub fn observe(&self, value: u64) {
        let bucket = self.scale.bounds.partition_point(|bound| *bound < value);
        self.buckets[bucket].fetch_add(1, Ordering::Relaxed);
        self.sum.fetch_add(value, Ordering::Relaxed);
    }

    /// Counts a span.
    pub fn observe_span(&self, span: Duration) {
        self.observe(u64::try_from(span.as_micros()).unwrap_or(u64::MAX));
    }

    /// How many values were counted.
    #[must_use]
    pub fn count(&self) -> u64 {
        let buckets = self.buckets.iter();
        buckets.map(|bucket| bucket.load(Ordering::Relaxed)).sum()
    }
}

/// What kind of number a family holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// It only grows, until the daemon restarts. Its name ends with `_total`.
    Counter,
    /// It goes up and down.
    Gauge,
    /// It counts values by size.
    Histogram,
}

/// Labels with their values.
pub type Labels<'a> = &'a [(&'a str, &'a str)];

/// A page in Prometheus' text format, version 0.0.4: one family after the other, each with its samples together.
#[derive(Debug, Default)]
pub struct Page {
    text: String,
    name: &'static str,
}

impl Page {
    /// Begins a family. `help` is a sentence with the unit in it, without line breaks.
    pub fn family(&mut self, name: &'static str, kind: Kind, help: &str) -> &mut Self {
        self.name = name;
        let kind = match kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        };
        let _ = writeln!(self.text, "# HELP {name} {help}\n# TYPE {name} {kind}");
        self
    }

    /// Adds a sample of the family.
    pub fn sample(&mut self, labels: Labels<'_>, value: impl Display) -> &mut Self {
        self.line("", labels, None, value);
        self
    }

    /// Adds a histogram of the family.
    pub fn histogram(&mut self, labels: Labels<'_>, histogram: &Histogram) -> &mut Self {
        let Scale { bounds, per_unit } = histogram.scale;
        let unit = f64::from(*per_unit);
        // Read once, so that the count is that of the buckets although others count meanwhile.
        let counts = histogram
            .buckets
            .iter()
            .map(|bucket| bucket.load(Ordering::Relaxed));
        let mut total = 0;
        for (index, count) in counts.enumerate() {
            total += count;
            let bound = bounds.get(index).map_or_else(
                || "+Inf".to_owned(),
                |bound| (precise(*bound) / unit).to_string(),
            );
            self.line("_bucket", labels, Some(&bound), total);
        }
        let sum = precise(histogram.sum.load(Ordering::Relaxed)) / unit;
        self.line("_sum", labels, None, sum);
        self.line("_count", labels, None, total);
        self
    }

    fn line(&mut self, suffix: &str, labels: Labels<'_>, bound: Option<&str>, value: impl Display) {
        let _ = write!(self.text, "{}{suffix}", self.name);
        let bound = bound.map(|bound| ("le", bound));
        let mut separator = '{';
        for (name, value) in labels.iter().copied().chain(bound) {
            let value = value
                .replace('\\', r"\\")
                .replace('"', "\\\"")
                .replace('\n', "\\n");
            let _ = write!(self.text, "{separator}{name}=\"{value}\"");
            separator = ',';
        }
        let end = if separator == '{' { "" } else { "}" };
        let _ = writeln!(self.text, "{end} {value}");
    }

    /// The page.
    #[must_use]
    pub fn into_text(self) -> String {
        self.text
    }
}

/// A number as Prometheus has it. Beyond 2^53 its last digits are lost, which is its own precision.
#[expect(
    clippy::cast_precision_loss,
    reason = "the format's numbers are of this type"
)]
fn precise(number: u64) -> f64 {
    number as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_on_a_bound_belongs_below_it() {
        let histogram = Histogram::new(&CROWDS);
        for value in [1, 2, 3, 1_025] {
            histogram.observe(value);
        }
        let mut page = Page::default();
        page.family("x", Kind::Histogram, "X.")
            .histogram(&[("a", "b")], &histogram);
        let text = page.into_text();
        for line in [
            "# HELP x X.",
            "# TYPE x histogram",
            r#"x_bucket{a="b",le="1"} 1"#,
            r#"x_bucket{a="b",le="2"} 2"#,
            r#"x_bucket{a="b",le="4"} 3"#,
            r#"x_bucket{a="b",le="1024"} 3"#,
            r#"x_bucket{a="b",le="+Inf"} 4"#,
            r#"x_sum{a="b"} 1031"#,
            r#"x_count{a="b"} 4"#,
        ] {
            assert!(text.lines().any(|found| found == line), "{line}\n{text}");
        }
        assert_eq!(histogram.count(), 4);
    }

    #[test]
    fn spans_are_shown_in_seconds_and_labels_escaped() {
        let histogram = Histogram::new(&MOMENTS);
        histogram.observe_span(Duration::from_micros(250));
        let mut page = Page::default();
        page.family("s_seconds", Kind::Histogram, "S.")
            .histogram(&[], &histogram);
        page.family("c_total", Kind::Counter, "C.")
            .sample(&[("name", "a\"b\\c\nd")], 1);
        let text = page.into_text();
        assert!(
            text.contains("s_seconds_bucket{le=\"0.0001\"} 0\n"),
            "{text}"
        );
        assert!(
            text.contains("s_seconds_bucket{le=\"0.00025\"} 1\n"),
            "{text}"
        );
        assert!(text.contains("s_seconds_sum 0.00025\n"), "{text}");
        assert!(
            text.contains("c_total{name=\"a\\\"b\\\\c\\nd\"} 1\n"),
            "{text}"
        );
    }
}
