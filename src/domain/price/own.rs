//! Prices of one's own: for a model that the embedded table does not know, or that is cheaper by contract.

use std::collections::BTreeMap;

use jiff::civil::Date;

use super::expression::Expression;
use super::rate::{Rates, Unit};
use super::table::{ANY_PROVIDER, Model, Period, Provider, Table, When};

/// The price of a model, from a date on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnPrice {
    /// The provider as calls name it; `None` for whatever provider.
    pub provider: Option<String>,
    /// The model as calls name it, in upper or lower case; with `*` at its end, every model that begins so.
    pub model: String,
    /// The first day, in UTC, on which the price applies; `None` for always. Of several, the latest that has come counts, and before the
    /// first of them that one.
    pub from: Option<Date>,
    /// Dollars for a million of each unit, in decimals: `0.075`. Units without a price have that of the one which includes them.
    pub dollars_per_million: Vec<(Unit, String)>,
}

/// Why something is no price.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OwnPriceError {
    /// A price names no model.
    #[error("price {index} names no model")]
    NoModel {
        /// Which of the prices, from 0.
        index: usize,
    },
    /// A price gives nothing, or something that is no amount.
    #[error(
        "price {index} must give dollars for a million of at least one unit, as decimals such as 0.075, with at most 18 of them"
    )]
    NoAmount {
        /// Which of the prices, from 0.
        index: usize,
    },
}

impl Table {
    /// A table of `prices`, which rows will name as `version`. Where the names of several fit a call, the first counts.
    ///
    /// # Errors
    ///
    /// [`OwnPriceError`] for the first that is no price.
    pub fn of(version: &str, prices: &[OwnPrice]) -> Result<Self, OwnPriceError> {
        let mut table = Self {
            version: version.into(),
            providers: Vec::new(),
        };
        let mut places: BTreeMap<(String, String), (usize, usize)> = BTreeMap::new();
        for (index, price) in prices.iter().enumerate() {
            let period = period(price).ok_or(OwnPriceError::NoAmount { index })?;
            let model = price.model.to_lowercase();
            if model.trim_end_matches('*').trim().is_empty() {
                return Err(OwnPriceError::NoModel { index });
            }
            let named = price.provider.as_deref().unwrap_or(ANY_PROVIDER);
            let provider = named.trim().to_lowercase();
            let place = (provider.clone(), model.clone());
            let (provider, model) = *places
                .entry(place)
                .or_insert_with(|| table.place(&provider, &model));
            table.providers[provider].models[model].periods.push(period);
        }
        for model in table.providers.iter_mut().flat_map(|one| &mut one.models) {
            model.periods.sort_by_key(|period| match period.when {
                When::From(date) => Some(date),
                When::Always | When::Daily { .. } => None,
            });
        }
        Ok(table)
    }

    /// Makes a place for `model` of `provider`, which has none.
    fn place(&mut self, provider: &str, model: &str) -> (usize, usize) {
        let found = self.providers.iter().position(|one| &*one.id == provider);
        let at = found.unwrap_or_else(|| {
            self.providers.push(Provider {
                id: provider.into(),
                fallbacks: Vec::new(),
                by_model: None,
                by_name: None,
                models: Vec::new(),
            });
            self.providers.len() - 1
        });
        let known_as = match model.strip_suffix('*') {
            Some(begin) => Expression::Begins(begin.into()),
            None => Expression::Equals(model.into()),
        };
        let models = &mut self.providers[at].models;
        models.push(Model {
            id: model.into(),
            known_as,
            periods: Vec::new(),
            variants: Vec::new(),
        });
        (at, models.len() - 1)
    }
}

fn period(price: &OwnPrice) -> Option<Period> {
    let prices = price.dollars_per_million.iter();
    let prices: Vec<(Unit, &str)> = prices
        .map(|(unit, amount)| (*unit, amount.as_str()))
        .collect();
    let rates = Rates::of(&prices).filter(|rates| !rates.is_empty())?;
    let when = price.from.map_or(When::Always, When::From);
    Some(Period { when, rates })
}
