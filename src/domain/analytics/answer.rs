//! From sums to answers.

use std::collections::BTreeMap;

use super::super::hourly::Totals;
use super::super::observation::ObservationKind;
use super::super::observation::usage::Tokens;
use super::super::sketch::Sketch;
use super::store::Sum;

/// The kinds that call a model.
pub const CALLS: [ObservationKind; 2] = [ObservationKind::Generation, ObservationKind::Embedding];

/// What a group adds up to. All sums stop at the ends of their range.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Figures {
    /// How many observations of any kind there are.
    pub observations: i64,
    /// How many of them failed.
    pub errors: i64,
    /// How many of them called a model.
    pub calls: i64,
    /// How many of these failed.
    pub failed_calls: i64,
    /// Tokens, in the order of [`Tokens::NAMES`].
    pub tokens: [i64; Tokens::BUCKETS],
    /// Billionths of a dollar, as far as cost is known.
    pub cost: i64,
    /// How many count and have tokens, but no known cost.
    pub unknown_costs: i64,
}

/// Which [`Figures::tokens`] went in.
const INPUT: std::ops::Range<usize> = 0..5;
/// Which were read from the cache.
const CACHE_READ: usize = 1;

impl Figures {
    /// Adds a sum.
    pub fn add(&mut self, kind: ObservationKind, failed: bool, totals: &Totals) {
        let count = totals.observations;
        let calls = if CALLS.contains(&kind) { count } else { 0 };
        let of_failed = |count: i64| if failed { count } else { 0 };
        self.merge(&Self {
            observations: count,
            errors: of_failed(count),
            calls,
            failed_calls: of_failed(calls),
            tokens: totals.tokens,
            cost: totals.cost,
            unknown_costs: totals.unknown_costs,
        });
    }

    /// Adds what another group adds up to.
    pub fn merge(&mut self, other: &Self) {
        for (sum, more) in [
            (&mut self.observations, other.observations),
            (&mut self.errors, other.errors),
            (&mut self.calls, other.calls),
            (&mut self.failed_calls, other.failed_calls),
            (&mut self.cost, other.cost),
            (&mut self.unknown_costs, other.unknown_costs),
        ] {
            *sum = sum.saturating_add(more);
        }
        for (sum, more) in self.tokens.iter_mut().zip(other.tokens) {
            *sum = sum.saturating_add(more);
        }
    }

    /// All that went in.
    #[must_use]
    pub fn input(&self) -> i64 {
        total(&self.tokens[INPUT])
    }

    /// All that came out.
    #[must_use]
    pub fn output(&self) -> i64 {
        total(&self.tokens[INPUT.end..])
    }

    /// All tokens.
    #[must_use]
    pub fn total_tokens(&self) -> i64 {
        self.input().saturating_add(self.output())
    }

    /// What a call costs on average, in billionths of a dollar; calls whose cost is unknown are left out. `None` where no call is left.
    #[must_use]
    pub fn cost_per_call(&self) -> Option<i64> {
        divided(self.cost, 1, self.calls.saturating_sub(self.unknown_costs))
    }

    /// What 1,000 output tokens cost on average, input and all, in billionths of a dollar. `None` where any cost is unknown, as the tokens without one
    /// cannot be told apart, and where there are no output tokens.
    #[must_use]
    pub fn cost_per_1000_output_tokens(&self) -> Option<i64> {
        if self.unknown_costs > 0 {
            return None;
        }
        divided(self.cost, 1_000, self.output())
    }

    /// The part of observations that failed, 0 to 1; `None` where there are none.
    #[must_use]
    pub fn error_rate(&self) -> Option<f64> {
        share(self.errors, self.observations)
    }

    /// The part of input tokens that came from the cache, 0 to 1; `None` where there are none.
    #[must_use]
    pub fn cache_hit_rate(&self) -> Option<f64> {
        share(self.tokens[CACHE_READ], self.input())
    }

    /// The order of groups: by cost, then by tokens, then by number.
    fn weight(&self) -> (i64, i64, i64) {
        (self.cost, self.total_tokens(), self.observations)
    }
}

fn total(numbers: &[i64]) -> i64 {
    numbers.iter().copied().fold(0, i64::saturating_add)
}

/// `sum * factor / count`, rounded half to even; `None` where there is nothing to divide by.
fn divided(sum: i64, factor: i64, count: i64) -> Option<i64> {
    if count <= 0 {
        return None;
    }
    let (sum, count) = (i128::from(sum) * i128::from(factor), i128::from(count));
    let (whole, rest) = (sum.div_euclid(count), sum.rem_euclid(count));
    let up = match (rest * 2).cmp(&count) {
        std::cmp::Ordering::Less => false,
        std::cmp::Ordering::Equal => whole % 2 != 0,
        std::cmp::Ordering::Greater => true,
    };
    i64::try_from(whole + i128::from(up)).ok()
}

#[expect(
    clippy::cast_precision_loss,
    reason = "a share is shown with few digits"
)]
fn share(part: i64, whole: i64) -> Option<f64> {
    (whole > 0).then(|| part as f64 / whole as f64)
}

/// The names of a group, in the order of what was grouped by.
pub type Names = Vec<String>;

/// A group with what it adds up to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// Its names.
    pub names: Names,
    /// What it adds up to.
    pub figures: Figures,
}

/// One bucket of usage over time.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Bucket {
    /// What all of it adds up to.
    pub total: Figures,
    /// The groups that have something in it: their places in [`Usage::groups`], with what they add up to here.
    pub groups: BTreeMap<usize, Figures>,
    /// What the groups that are not listed add up to.
    pub others: Figures,
}

/// Usage over time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Usage {
    /// What everything adds up to.
    pub total: Figures,
    /// The groups, the most expensive first.
    pub groups: Vec<Group>,
    /// How many groups are not listed.
    pub other_groups: usize,
    /// What these add up to.
    pub others: Figures,
    /// Every bucket, those without anything among them.
    pub buckets: Vec<Bucket>,
}

/// Makes usage over time from sums over `buckets` buckets, with at most `most_groups` groups listed.
#[must_use]
pub fn usage(sums: &[Sum], buckets: usize, most_groups: usize) -> Usage {
    let mut total = Figures::default();
    let mut by_names: BTreeMap<&Names, Figures> = BTreeMap::new();
    for sum in sums {
        total.add(sum.kind, sum.failed, &sum.totals);
        let figures = by_names.entry(&sum.names).or_default();
        figures.add(sum.kind, sum.failed, &sum.totals);
    }
    let mut ranked: Vec<(&Names, Figures)> = by_names.into_iter().collect();
    ranked.sort_by_key(|(_, figures)| std::cmp::Reverse(figures.weight()));
    let rest = ranked.split_off(most_groups.min(ranked.len()));
    let mut others = Figures::default();
    rest.iter().for_each(|(_, figures)| others.merge(figures));
    let places: BTreeMap<&Names, usize> = (0..)
        .zip(&ranked)
        .map(|(place, (names, _))| (*names, place))
        .collect();
    let mut cells = vec![Bucket::default(); buckets];
    for sum in sums {
        let Some(bucket) = cells.get_mut(sum.bucket) else {
            continue;
        };
        bucket.total.add(sum.kind, sum.failed, &sum.totals);
        let figures = match places.get(&sum.names) {
            Some(place) => bucket.groups.entry(*place).or_default(),
            None => &mut bucket.others,
        };
        figures.add(sum.kind, sum.failed, &sum.totals);
    }
    Usage {
        total,
        other_groups: rest.len(),
        others,
        buckets: cells,
        groups: ranked
            .into_iter()
            .map(|(names, figures)| Group {
                names: names.clone(),
                figures,
            })
            .collect(),
    }
}

/// A group with how long its observations took.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Compared {
    /// Its names.
    pub names: Names,
    /// What it adds up to.
    pub figures: Figures,
    /// How long they took, in microseconds.
    pub latency: Sketch,
    /// How long the first token took, in microseconds.
    pub first_token: Sketch,
}

/// Groups beside each other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Comparison {
    /// All of them together; without names.
    pub total: Compared,
    /// The groups, the most expensive first.
    pub groups: Vec<Compared>,
    /// How many groups are not listed.
    pub other_groups: usize,
}

/// Compares the groups of `sums`, of which at most `most_groups` are listed.
#[must_use]
pub fn comparison(sums: Vec<Sum>, most_groups: usize) -> Comparison {
    let mut total = Compared::default();
    let mut groups: BTreeMap<Names, Compared> = BTreeMap::new();
    for sum in sums {
        let group = groups.entry(sum.names).or_default();
        for compared in [&mut total, group] {
            compared.figures.add(sum.kind, sum.failed, &sum.totals);
            compared.latency.add(&sum.totals.latency);
            compared.first_token.add(&sum.totals.first_token);
        }
    }
    let mut groups: Vec<Compared> = groups
        .into_iter()
        .map(|(names, compared)| Compared { names, ..compared })
        .collect();
    groups.sort_by_key(|compared| std::cmp::Reverse(compared.figures.weight()));
    let other_groups = groups.len().saturating_sub(most_groups);
    groups.truncate(most_groups);
    Comparison {
        total,
        groups,
        other_groups,
    }
}

/// How often the observations of one kind and group failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failures {
    /// The group's names.
    pub names: Names,
    /// The kind.
    pub kind: ObservationKind,
    /// How many there are, and how many failed.
    pub figures: Figures,
}

/// Returns how often each kind and group failed, those with most errors first; those without any are left out.
#[must_use]
pub fn failures(sums: &[Sum]) -> Vec<Failures> {
    let mut groups: BTreeMap<(&Names, ObservationKind), Figures> = BTreeMap::new();
    for sum in sums {
        let figures = groups.entry((&sum.names, sum.kind)).or_default();
        figures.add(sum.kind, sum.failed, &sum.totals);
    }
    let mut failures: Vec<Failures> = groups
        .into_iter()
        .filter(|(_, figures)| figures.errors > 0)
        .map(|((names, kind), figures)| Failures {
            names: names.clone(),
            kind,
            figures,
        })
        .collect();
    failures.sort_by_key(|failures| std::cmp::Reverse(failures.figures.errors));
    failures
}

/// Returns the groups whose cost is not known for all calls, those with most such calls first.
#[must_use]
pub fn unknown(sums: &[Sum]) -> Vec<Group> {
    let mut groups = usage(sums, 0, usize::MAX).groups;
    groups.retain(|group| group.figures.unknown_costs > 0);
    groups.sort_by_key(|group| std::cmp::Reverse(group.figures.unknown_costs));
    groups
}

#[cfg(test)]
mod tests;
