//! One table of prices: providers, their models, and what those cost when.

use std::borrow::Cow;

use jiff::civil::Date;

use super::expression::Expression;
use super::rate::Rates;
use crate::domain::clock::Timestamp;

/// The provider whose models count whatever provider a call names; for tables of one's own.
pub(super) const ANY_PROVIDER: &str = "*";
/// A provider by whose name a proxy calls itself; the real one stands before the model's name.
const PROXY: &str = "litellm";
const MICROS_PER_SECOND: i64 = 1_000_000;
const SECONDS_PER_DAY: i64 = 86_400;

/// When a price applies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum When {
    Always,
    /// From midnight UTC on.
    From(Date),
    /// Each day from `start` up to, but not including, `end`, in seconds after midnight UTC. `end` may be before `start`.
    Daily {
        start: i64,
        end: i64,
    },
}

impl When {
    fn includes(self, time: Timestamp) -> bool {
        let seconds = time.as_micros().div_euclid(MICROS_PER_SECOND);
        match self {
            Self::Always => true,
            Self::From(date) => seconds >= midnight(date),
            Self::Daily { start, end } => {
                let now = seconds.rem_euclid(SECONDS_PER_DAY);
                if end < start {
                    now >= start || now < end
                } else {
                    (start..end).contains(&now)
                }
            }
        }
    }
}

/// Seconds from the epoch to the beginning of `date` in UTC.
fn midnight(date: Date) -> i64 {
    date.duration_since(jiff::civil::date(1970, 1, 1)).as_secs()
}

/// A price, and when it applies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Period {
    pub(super) when: When,
    pub(super) rates: Rates,
}

/// Prices that replace others where the call has a property.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Variant {
    pub(super) property: Box<str>,
    pub(super) value: Box<str>,
    pub(super) period: Period,
}

/// A model and what it costs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Model {
    pub(super) id: Box<str>,
    pub(super) known_as: Expression,
    pub(super) periods: Vec<Period>,
    pub(super) variants: Vec<Variant>,
}

/// What of a model's prices counts for a call.
#[derive(Debug)]
pub(super) struct Selected<'a> {
    pub(super) rates: Cow<'a, Rates>,
    pub(super) when: When,
    /// The properties of the call that changed the prices.
    pub(super) properties: Vec<(&'a str, &'a str)>,
}

impl Model {
    /// The prices at `time` of a call with `properties`: the last period that includes the time, and the first where none does.
    pub(super) fn at(&self, time: Timestamp, properties: &[(&str, &str)]) -> Option<Selected<'_>> {
        let mut backwards = self.periods.iter().rev();
        let period = backwards
            .find(|period| period.when.includes(time))
            .or(self.periods.first())?;
        let mut selected = Selected {
            rates: Cow::Borrowed(&period.rates),
            when: period.when,
            properties: Vec::new(),
        };
        // The first variant that applies wins each unit, so it must come last.
        for variant in self.variants.iter().rev() {
            let pair = (&*variant.property, &*variant.value);
            if properties.contains(&pair) && variant.period.when.includes(time) {
                let rates = selected.rates.replaced_by(&variant.period.rates);
                selected.rates = Cow::Owned(rates);
                selected.properties.push(pair);
            }
        }
        Some(selected)
    }
}

/// A provider and its models.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Provider {
    pub(super) id: Box<str>,
    /// Whose models are tried where none of its own is meant.
    pub(super) fallbacks: Vec<Box<str>>,
    /// Which models mean this provider when a call names none.
    pub(super) by_model: Option<Expression>,
    /// Which names mean this provider, beside its id.
    pub(super) by_name: Option<Expression>,
    pub(super) models: Vec<Model>,
}

impl Provider {
    fn model(&self, name: &str) -> Option<usize> {
        self.models
            .iter()
            .position(|model| model.known_as.matches(name))
    }
}

/// A table of prices.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Table {
    pub(super) version: Box<str>,
    pub(super) providers: Vec<Provider>,
}

/// Where a model stands in a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    /// Whose model it is.
    pub(super) provider: usize,
    pub(super) model: usize,
    /// Whether it belongs to the provider of the call. If not, what changes prices for properties of the call is not for that one.
    pub(super) is_own: bool,
}

impl Table {
    /// The name and version of the table, as rows keep it.
    #[must_use]
    pub fn version(&self) -> &str {
        &self.version
    }

    /// How many models there are prices of.
    #[must_use]
    pub fn models(&self) -> usize {
        self.providers.iter().map(|one| one.models.len()).sum()
    }

    pub(super) fn get(&self, place: Place) -> Option<(&Provider, &Model)> {
        let provider = self.providers.get(place.provider)?;
        Some((provider, provider.models.get(place.model)?))
    }

    /// The model that a call means by its names. No model is guessed: a provider that is named and not known has none.
    pub(super) fn find(&self, model: &str, provider: Option<&str>) -> Option<Place> {
        let model = model.to_lowercase();
        if let Some(any) = self.by_id(ANY_PROVIDER)
            && let Some(place) = self.own(any, &model)
        {
            return Some(place);
        }
        let provider = provider.map(|name| name.trim().to_lowercase());
        let behind_proxy = match (provider.as_deref(), model.split_once('/')) {
            (Some(PROXY), Some((before, after))) => {
                self.by_name(before).map(|found| (found, after))
            }
            _ => None,
        };
        if let Some((found, model)) = behind_proxy {
            return self.in_provider(found, model);
        }
        let named = provider.as_deref().and_then(|name| self.by_name(name));
        let found = match (named, provider.as_deref()) {
            (Some(found), _) => found,
            (None, None | Some(PROXY)) => self.by_model(&model)?,
            (None, Some(_)) => return None,
        };
        self.in_provider(found, &model)
    }

    fn by_id(&self, id: &str) -> Option<usize> {
        self.providers.iter().position(|one| &*one.id == id)
    }

    fn by_name(&self, name: &str) -> Option<usize> {
        let means = |one: &Provider| one.by_name.as_ref().is_some_and(|by| by.matches(name));
        self.by_id(name)
            .or_else(|| self.providers.iter().position(means))
    }

    fn by_model(&self, model: &str) -> Option<usize> {
        let means = |one: &Provider| one.by_model.as_ref().is_some_and(|by| by.matches(model));
        self.providers.iter().position(means)
    }

    /// The model that `name` means to a provider: as it stands, or with a date such as `-20261231` written as `-2026-12-31`, as the
    /// providers themselves write it.
    fn in_provider(&self, provider: usize, name: &str) -> Option<Place> {
        self.own_or_fallback(provider, name).or_else(|| {
            let dashed = with_dashed_dates(name)?;
            self.own_or_fallback(provider, &dashed)
        })
    }

    fn own_or_fallback(&self, provider: usize, name: &str) -> Option<Place> {
        self.own(provider, name).or_else(|| {
            let fallbacks = self.providers.get(provider)?.fallbacks.iter();
            let places = fallbacks.filter_map(|id| self.own(self.by_id(id)?, name));
            let other = |place| Place {
                is_own: false,
                ..place
            };
            places.map(other).next()
        })
    }

    fn own(&self, provider: usize, name: &str) -> Option<Place> {
        Some(Place {
            provider,
            model: self.providers.get(provider)?.model(name)?,
            is_own: true,
        })
    }
}

/// `name` with each `-20YYMMDD` before a `-`, a `:` or the end written with dashes; `None` where there is none.
fn with_dashed_dates(name: &str) -> Option<String> {
    let mut dashed = String::with_capacity(name.len() + 2);
    let mut rest = name;
    let mut is_changed = false;
    while let Some(at) = rest.find('-') {
        let (before, after) = rest.split_at(at + 1);
        dashed.push_str(before);
        rest = after;
        if let Some((date, end)) = leading_date(after) {
            dashed.push_str(&date.to_string());
            rest = end;
            is_changed = true;
        }
    }
    dashed.push_str(rest);
    is_changed.then_some(dashed)
}

/// The date that `text` begins with, if it is one of this century, and what follows it.
fn leading_date(text: &str) -> Option<(Date, &str)> {
    let (digits, rest) = text.split_at_checked(8)?;
    let is_end = rest.is_empty() || rest.starts_with(['-', ':']);
    if !is_end || !digits.starts_with("20") || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let (year, month, day) = (&digits[..4], &digits[4..6], &digits[6..]);
    let date = Date::new(year.parse().ok()?, month.parse().ok()?, day.parse().ok()?);
    Some((date.ok()?, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_a_date_gets_dashes() {
        let cases = [
            ("gpt-5.2-20251211", Some("gpt-5.2-2025-12-11")),
            ("a-20251211-20240229:b", Some("a-2025-12-11-2024-02-29:b")),
            ("a-20251211x", None),
            ("a-20251301", None),
            ("a-20250229", None),
            ("a-19991231", None),
            ("a20251211", None),
            ("a-2025121é", None),
            ("-", None),
            ("", None),
        ];
        for (name, expected) in cases {
            assert_eq!(with_dashed_dates(name).as_deref(), expected, "{name}");
        }
    }

    #[test]
    fn a_period_of_the_day_may_go_over_midnight() {
        let at = |seconds: i64| Timestamp::from_micros(seconds * 1_000_000).expect("a time");
        let night = When::Daily {
            start: 80_000,
            end: 1_000,
        };
        for (seconds, expected) in [
            (79_999, false),
            (80_000, true),
            (86_400, true),
            (87_399, true),
            (87_400, false),
            (-1, true),
        ] {
            assert_eq!(night.includes(at(seconds)), expected, "{seconds}");
        }
        let from = When::From(jiff::civil::date(1970, 1, 2));
        assert!(!from.includes(at(86_399)));
        assert!(from.includes(at(86_400)));
    }
}
