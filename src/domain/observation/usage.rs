//! Tokens and what they cost.

use std::fmt;

/// Tokens in buckets that do not overlap, so that they can be added and priced. Zero stands for none and for not said.
///
/// An input total that includes the cache has to be taken apart first, and an output total that includes reasoning, too.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Tokens {
    /// Text that was read and neither came from the cache nor went into it.
    pub input: u64,
    /// Read from the cache.
    pub cache_read: u64,
    /// Written to a cache that is kept for five minutes, or for a time that nobody said.
    pub cache_write_5m: u64,
    /// Written to a cache that is kept for an hour.
    pub cache_write_1h: u64,
    /// Audio that was read.
    pub audio_input: u64,
    /// Text that was written, without reasoning.
    pub output: u64,
    /// Reasoning.
    pub reasoning: u64,
    /// Audio that was written.
    pub audio_output: u64,
}

impl Tokens {
    /// How many buckets there are.
    pub const BUCKETS: usize = 8;
    /// The names of the buckets, as in the API.
    pub const NAMES: [&'static str; Self::BUCKETS] = [
        "input",
        "cache_read",
        "cache_write_5m",
        "cache_write_1h",
        "audio_input",
        "output",
        "reasoning",
        "audio_output",
    ];

    /// The buckets in the order of [`Tokens::NAMES`].
    #[must_use]
    pub fn buckets(&self) -> [u64; Self::BUCKETS] {
        [
            self.input,
            self.cache_read,
            self.cache_write_5m,
            self.cache_write_1h,
            self.audio_input,
            self.output,
            self.reasoning,
            self.audio_output,
        ]
    }

    /// The tokens with these buckets, in the order of [`Tokens::NAMES`].
    #[must_use]
    pub fn from_buckets(buckets: [u64; Self::BUCKETS]) -> Self {
        let [
            input,
            cache_read,
            cache_write_5m,
            cache_write_1h,
            audio_input,
            output,
            reasoning,
            audio_output,
        ] = buckets;
        Self {
            input,
            cache_read,
            cache_write_5m,
            cache_write_1h,
            audio_input,
            output,
            reasoning,
            audio_output,
        }
    }

    /// All that was read: from the prompt, and from or into the cache.
    #[must_use]
    pub fn total_input(&self) -> u64 {
        self.buckets()[..5]
            .iter()
            .copied()
            .fold(0, u64::saturating_add)
    }

    /// All that was written, reasoning included.
    #[must_use]
    pub fn total_output(&self) -> u64 {
        self.buckets()[5..]
            .iter()
            .copied()
            .fold(0, u64::saturating_add)
    }

    /// All tokens.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.total_input().saturating_add(self.total_output())
    }
}

/// Money: billionths of a US dollar. Sums stop at the ends of its range.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct NanoDollars(pub i64);

impl NanoDollars {
    /// One dollar.
    pub const DOLLAR: Self = Self(1_000_000_000);
}

impl fmt::Display for NanoDollars {
    /// Dollars with nine digits behind the point.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.0 < 0 { "-" } else { "" };
        let nanos = self.0.unsigned_abs();
        write!(
            f,
            "{sign}{}.{:09}",
            nanos / 1_000_000_000,
            nanos % 1_000_000_000
        )
    }
}

/// What something cost, and what of that, where it is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Amount {
    /// Everything.
    pub total: NanoDollars,
    /// For what was read; `None` where only the total is known.
    pub input: Option<NanoDollars>,
    /// For what was written; `None` where only the total is known.
    pub output: Option<NanoDollars>,
}

/// A cost that a table of prices gave.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Computed {
    /// The version of the table, in an order that grows as text does, such as a date.
    pub table: String,
    /// The rule in it: which model's price, and which tier.
    pub rule: String,
    /// The cost.
    pub amount: Amount,
}

/// What something cost, and how that is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cost<'a> {
    /// Nobody knows.
    Unknown,
    /// Whoever reported it said so.
    Provided(Amount),
    /// From tokens and a table of prices.
    Computed(&'a Computed),
}

impl Cost<'_> {
    /// The total; `None` where it is unknown.
    #[must_use]
    pub fn total(&self) -> Option<NanoDollars> {
        match self {
            Self::Unknown => None,
            Self::Provided(amount) => Some(amount.total),
            Self::Computed(computed) => Some(computed.amount.total),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn totals_add_the_buckets_once() {
        let tokens = Tokens::from_buckets([1, 2, 4, 8, 16, 32, 64, 128]);
        assert_eq!(tokens.buckets(), [1, 2, 4, 8, 16, 32, 64, 128]);
        assert_eq!((tokens.total_input(), tokens.total_output()), (31, 224));
        assert_eq!(tokens.total(), 255);
    }

    #[test]
    fn money_is_printed_to_the_last_digit() {
        assert_eq!(NanoDollars(43_400_000).to_string(), "0.043400000");
        assert_eq!(NanoDollars(-1).to_string(), "-0.000000001");
        assert_eq!(NanoDollars(12_000_000_001).to_string(), "12.000000001");
    }
}
