//! Sums by the hour, from which most questions about usage and cost are answered.

use super::observation::usage::{NanoDollars, Tokens};
use super::observation::{Facts, Level, ObservationKind};
use super::sketch::Sketch;

/// Microseconds in an hour.
pub const HOUR_MICROS: i64 = 3_600_000_000;

/// The group that an observation is added to.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HourlyKey {
    /// Hours since the epoch, by the start of the observation.
    pub hour: i64,
    /// What kind of work it is.
    pub kind: ObservationKind,
    /// Whether it failed: its level is ERROR.
    pub failed: bool,
    /// The model that answered, or else the one that was asked for; empty where unknown.
    pub model: String,
    /// Who serves the model.
    pub provider: String,
    /// The agent at work.
    pub agent: String,
    /// The project.
    pub project: String,
}

impl HourlyKey {
    /// The group of an observation.
    #[must_use]
    pub fn of(facts: &Facts) -> Self {
        Self {
            hour: hour(facts),
            kind: facts.kind,
            failed: failed(facts),
            model: facts.labels.model().to_owned(),
            provider: facts.labels.provider.clone(),
            agent: facts.labels.agent.clone(),
            project: facts.labels.project.clone(),
        }
    }
}

/// The hour in which an observation began.
#[must_use]
pub fn hour(facts: &Facts) -> i64 {
    facts.times.start.as_micros().div_euclid(HOUR_MICROS)
}

/// Whether an observation failed.
#[must_use]
pub fn failed(facts: &Facts) -> bool {
    facts.level == Level::Error
}

/// What the observations of a group add up to. In a difference of two sums, parts may be negative.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Totals {
    /// How many there are, whether they count or not.
    pub observations: i64,
    /// Tokens of those that count, in the order of [`Tokens::NAMES`].
    pub tokens: [i64; Tokens::BUCKETS],
    /// Billionths of a dollar of those that count, as far as their cost is known.
    pub cost: i64,
    /// How many count and have tokens, but no known cost.
    pub unknown_costs: i64,
    /// How long those took that have ended, in microseconds.
    pub latency: Sketch,
    /// How long the first token took, in microseconds.
    pub first_token: Sketch,
}

impl Totals {
    /// What one observation adds.
    #[must_use]
    pub fn of(facts: &Facts) -> Self {
        let mut totals = Self {
            observations: 1,
            unknown_costs: i64::from(facts.lacks_cost()),
            ..Self::default()
        };
        if facts.counts {
            let tokens = facts.usage.as_ref().map(|usage| usage.tokens.buckets());
            for (total, tokens) in totals.tokens.iter_mut().zip(tokens.unwrap_or_default()) {
                *total = i64::try_from(tokens).unwrap_or(i64::MAX);
            }
            totals.cost = facts.cost().total().map_or(0, |NanoDollars(nanos)| nanos);
        }
        if let Some(latency) = facts.times.latency_micros() {
            totals.latency.record(latency);
        }
        if let Some(first) = facts.times.first_token_micros() {
            totals.first_token.record(first);
        }
        totals
    }

    /// Adds `other`. Sums wrap at the ends of their range, so that what was added can always be taken away.
    pub fn add(&mut self, other: &Self) {
        self.combine(other, i64::wrapping_add);
        self.latency.add(&other.latency);
        self.first_token.add(&other.first_token);
    }

    /// Takes `other` away.
    pub fn subtract(&mut self, other: &Self) {
        self.combine(other, i64::wrapping_sub);
        self.latency.subtract(&other.latency);
        self.first_token.subtract(&other.first_token);
    }

    fn combine(&mut self, other: &Self, with: fn(i64, i64) -> i64) {
        self.observations = with(self.observations, other.observations);
        for (total, tokens) in self.tokens.iter_mut().zip(other.tokens) {
            *total = with(*total, tokens);
        }
        self.cost = with(self.cost, other.cost);
        self.unknown_costs = with(self.unknown_costs, other.unknown_costs);
    }

    /// Whether nothing is left.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// One group with its sums.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hourly {
    /// Which group.
    pub key: HourlyKey,
    /// What it adds up to.
    pub totals: Totals,
}
