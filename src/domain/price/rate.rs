//! What a model charges for its units, and the sum for a call. Integers only.

use crate::domain::observation::usage::{Amount, NanoDollars, Tokens};

/// Yocto-dollars (10⁻²⁴ dollars) for a unit. The published prices are dollars for a million tokens: picodollars for a token have six
/// decimals of those, which most prices fit into; some have eighteen, and nothing is rounded before the end.
type YoctoDollars = u128;

/// Decimals that a price in dollars for a million units may have.
const DECIMALS: usize = 18;
/// Yocto-dollars in a nano-dollar.
const YOCTO_PER_NANO: YoctoDollars = 1_000_000_000_000_000;

/// What is counted and charged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// Input that was neither read from a cache nor written to one.
    Input,
    /// Input read from a cache.
    CacheRead,
    /// Input written to a cache, for whatever time.
    CacheWrite,
    /// Input written to a cache that keeps it for five minutes.
    CacheWrite5m,
    /// Input written to a cache that keeps it for an hour.
    CacheWrite1h,
    /// Input of sound.
    AudioInput,
    /// Output.
    Output,
    /// Output that the model thought and did not say.
    Reasoning,
    /// Output of sound.
    AudioOutput,
    /// The call itself.
    Request,
}

impl Unit {
    /// Each unit with the letter that it has in the embedded table.
    const LETTERS: [(char, Self); 10] = [
        ('i', Self::Input),
        ('r', Self::CacheRead),
        ('w', Self::CacheWrite),
        ('f', Self::CacheWrite5m),
        ('h', Self::CacheWrite1h),
        ('a', Self::AudioInput),
        ('o', Self::Output),
        ('t', Self::Reasoning),
        ('u', Self::AudioOutput),
        ('q', Self::Request),
    ];

    fn of_letter(letter: char) -> Option<Self> {
        let found = Self::LETTERS.iter().find(|(known, _)| *known == letter);
        found.map(|(_, unit)| *unit)
    }

    /// The unit whose price counts where this one has none of its own.
    fn parent(self) -> Option<Self> {
        match self {
            Self::CacheWrite5m | Self::CacheWrite1h => Some(Self::CacheWrite),
            Self::CacheRead | Self::CacheWrite | Self::AudioInput => Some(Self::Input),
            Self::Reasoning | Self::AudioOutput => Some(Self::Output),
            Self::Input | Self::Output | Self::Request => None,
        }
    }
}

/// The unit of each bucket, in the order of [`Tokens::NAMES`]: the first five are input.
const UNITS: [Unit; Tokens::BUCKETS] = [
    Unit::Input,
    Unit::CacheRead,
    Unit::CacheWrite5m,
    Unit::CacheWrite1h,
    Unit::AudioInput,
    Unit::Output,
    Unit::Reasoning,
    Unit::AudioOutput,
];
const INPUTS: usize = 5;

/// The price of one unit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Rate {
    base: YoctoDollars,
    /// The price of each unit of calls with more input tokens than the number, in ascending order.
    tiers: Box<[(u64, YoctoDollars)]>,
}

impl Rate {
    /// The price in a call with `all_input` input tokens, and the threshold of its tier.
    fn at(&self, all_input: u64) -> (YoctoDollars, Option<u64>) {
        let mut tiers = self.tiers.iter().rev();
        match tiers.find(|(above, _)| all_input > *above) {
            Some((above, price)) => (*price, Some(*above)),
            None => (self.base, None),
        }
    }

    /// Reads `0.3>200000:0.6`: dollars for a million, with the tiers after it.
    fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split('>');
        let base = yocto_dollars(parts.next()?)?;
        let tier = |part: &str| {
            let (above, price) = part.split_once(':')?;
            Some((above.parse().ok()?, yocto_dollars(price)?))
        };
        let tiers: Box<[(u64, YoctoDollars)]> = parts.map(tier).collect::<Option<_>>()?;
        tiers
            .is_sorted_by(|one, next| one.0 < next.0)
            .then_some(Self { base, tiers })
    }
}

/// The prices of a model, at one time.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Rates(Box<[(Unit, Rate)]>);

/// What a call costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Sum {
    /// The cost, each number of it rounded half to even.
    pub(super) amount: Amount,
    /// The highest tier that was reached: its threshold in input tokens.
    pub(super) above: Option<u64>,
}

impl Rates {
    /// Reads `i3 o15 r0.3`: letters of units and their prices, separated by blanks. `None` where anything is not well-formed.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let rate = |word: &str| {
            let letter = word.chars().next()?;
            let price = Rate::parse(&word[letter.len_utf8()..])?;
            Some((Unit::of_letter(letter)?, price))
        };
        text.split_ascii_whitespace()
            .map(rate)
            .collect::<Option<_>>()
            .map(Self)
    }

    /// Takes `prices` in dollars for a million units. `None` where one is no price.
    pub(super) fn of(prices: &[(Unit, &str)]) -> Option<Self> {
        let rate = |(unit, price): &(Unit, &str)| Some((*unit, Rate::parse(price)?));
        prices.iter().map(rate).collect::<Option<_>>().map(Self)
    }

    /// Whether nothing is charged for, by this table's units: the price is for hours or pages, which nobody has counted.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// These prices with those of `other` in the place of the ones that both have.
    pub(super) fn replaced_by(&self, other: &Self) -> Self {
        let kept = |(unit, _): &&(Unit, Rate)| other.rate(*unit).is_none();
        let all = other.0.iter().chain(self.0.iter().filter(kept));
        Self(all.cloned().collect())
    }

    fn rate(&self, unit: Unit) -> Option<&Rate> {
        let found = self.0.iter().find(|(priced, _)| *priced == unit);
        found.map(|(_, rate)| rate)
    }

    /// The price that counts for `unit`: its own, or that of the nearest unit which includes it.
    fn nearest(&self, unit: Unit) -> Option<&Rate> {
        let mut units = std::iter::successors(Some(unit), |unit| unit.parent());
        units.find_map(|unit| self.rate(unit))
    }

    /// What a call with these tokens costs; `None` where that is more than any number holds. A unit without a price costs nothing: the
    /// embeddings that a model returns, say, are not charged for.
    pub(super) fn sum(&self, tokens: &Tokens) -> Option<Sum> {
        let all_input = tokens.total_input();
        let (mut input, mut output) = (0, 0);
        let mut reached = None;
        for (index, (unit, count)) in UNITS.into_iter().zip(tokens.buckets()).enumerate() {
            if let Some(rate) = self.nearest(unit).filter(|_| count > 0) {
                let (price, above) = rate.at(all_input);
                let side = if index < INPUTS {
                    &mut input
                } else {
                    &mut output
                };
                *side = price
                    .checked_mul(count.into())
                    .and_then(|cost| cost.checked_add(*side))?;
                reached = reached.max(above);
            }
        }
        let request = self
            .rate(Unit::Request)
            .map_or(0, |rate| rate.at(all_input).0);
        let total = request.checked_add(input)?.checked_add(output)?;
        Some(Sum {
            amount: Amount {
                total: nano_dollars(total)?,
                input: Some(nano_dollars(input)?),
                output: Some(nano_dollars(output)?),
            },
            above: reached,
        })
    }
}

fn nano_dollars(yocto: YoctoDollars) -> Option<NanoDollars> {
    let rounded = half_to_even(yocto, YOCTO_PER_NANO);
    i64::try_from(rounded).ok().map(NanoDollars)
}

/// `number` divided by `divisor`, which is even, rounded to the nearest integer, and where two are as near to the even one.
fn half_to_even(number: u128, divisor: u128) -> u128 {
    let (quotient, rest) = (number / divisor, number % divisor);
    let rounds_up = match rest.cmp(&(divisor / 2)) {
        std::cmp::Ordering::Less => false,
        std::cmp::Ordering::Equal => quotient % 2 == 1,
        std::cmp::Ordering::Greater => true,
    };
    quotient + u128::from(rounds_up)
}

/// Yocto-dollars for a unit from dollars for a million units, such as `0.075`.
fn yocto_dollars(text: &str) -> Option<YoctoDollars> {
    let (whole, decimals) = text.split_once('.').unwrap_or((text, ""));
    let is_number = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || decimals.len() > DECIMALS || !is_number(whole) || !is_number(decimals) {
        return None;
    }
    format!("{whole}{decimals:0<DECIMALS$}").parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sum(rates: &str, tokens: Tokens) -> Option<i64> {
        let rates = Rates::parse(rates).expect("rates");
        rates.sum(&tokens).map(|sum| sum.amount.total.0)
    }

    #[test]
    fn halves_go_to_the_even_number() {
        // 0.0005 dollars for a million are half a nano-dollar for a token.
        let cases = [
            (0, 0),
            (1, 0),
            (2, 1),
            (3, 2),
            (4, 2),
            (5, 2),
            (6, 3),
            (7, 4),
        ];
        for (input, expected) in cases {
            let usage = Tokens {
                input,
                ..Tokens::default()
            };
            assert_eq!(sum("i0.0005", usage), Some(expected), "{input}");
        }
        let just_above = Tokens {
            input: 1,
            ..Tokens::default()
        };
        assert_eq!(sum("i0.000500000000000001", just_above), Some(1));
    }

    #[test]
    fn a_unit_without_a_price_has_that_of_the_one_which_includes_it() {
        let usage = Tokens {
            input: 1,
            cache_read: 10,
            cache_write_5m: 100,
            cache_write_1h: 1_000,
            audio_input: 10_000,
            output: 100_000,
            reasoning: 1_000_000,
            audio_output: 10_000_000,
        };
        assert_eq!(sum("i0.001", usage), Some(11_111));
        assert_eq!(sum("i0.001 w0.002", usage), Some(11_111 + 1_100));
        assert_eq!(sum("w0.002 h0.003", usage), Some(3_000 + 200));
        assert_eq!(sum("i0.001 r0 a0", usage), Some(1_101));
        assert_eq!(sum("o0.001 u0.002", usage), Some(1_100_000 + 20_000_000));
        assert_eq!(sum("q5000", usage), Some(5_000_000));
    }

    #[test]
    fn a_tier_counts_for_the_whole_call_and_only_above_its_threshold() {
        let at = |input| {
            let usage = Tokens {
                input,
                cache_read: 50,
                output: 1,
                ..Tokens::default()
            };
            sum("i1>100:2>1000:3 r0 o1>100:10", usage)
        };
        assert_eq!(at(50), Some(50_000 + 1_000));
        assert_eq!(at(51), Some(102_000 + 10_000));
        assert_eq!(at(950), Some(1_900_000 + 10_000));
        assert_eq!(at(951), Some(2_853_000 + 10_000));
    }

    #[test]
    fn what_no_number_holds_has_no_sum() {
        let usage = Tokens {
            input: u64::MAX,
            ..Tokens::default()
        };
        assert_eq!(sum("i1", usage), None);
    }

    #[test]
    fn what_is_no_price_is_refused() {
        let bad = [
            "i",
            "x1",
            "i1.",
            "i-1",
            "i.5",
            "i1e3",
            "i1>2",
            "i1>9:1>3:2",
            "i1>9:x",
            "i1.0000000000000000001",
            "i9999999999999999999999999999999999999999",
            "é",
        ];
        for text in bad {
            // A number may end with its point: nothing is lost by that.
            assert_eq!(Rates::parse(text).is_none(), text != "i1.", "{text}");
        }
    }
}
