//! What a call of a model costs: computed from tables of prices, in integers, and never guessed.
//!
//! The embedded table is generated from the Python package `genai-prices` (MIT; see `price/generate.py`), and its rules decide here as they do
//! there: a test computes the same calls with both, for every model. Tables of one's own lie above it.

mod expression;
mod own;
mod parse;
mod rate;
mod table;

use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use super::clock::Timestamp;
use super::observation::draft::Draft;
use super::observation::usage::{Computed, Tokens};
pub use own::{OwnPrice, OwnPriceError};
pub use parse::ParseError;
pub use rate::Unit;
pub use table::Table;
use table::{Place, Selected, When};

/// The embedded table. It is parsed when the first call is priced: a daemon without telemetry need not spend that.
static EMBEDDED: LazyLock<Arc<Table>> = LazyLock::new(|| {
    // A test reads the file that is embedded, so there is always a table.
    Arc::new(Table::parse(EMBEDDED_TEXT).unwrap_or_default())
});
const EMBEDDED_TEXT: &str = include_str!("price/genai-prices.txt");
/// How many pairs of model and provider are remembered. Real ones are few; when names are made up, all are forgotten and memory stays bounded.
const MAX_REMEMBERED: usize = 1_024;

/// Names of providers in conventions of telemetry, and in the embedded table where that would not find them.
const ALIASES: [(&str, &str); 8] = [
    ("x_ai", "x-ai"),
    ("gcp.gen_ai", "google"),
    ("azure.ai.inference", "azure"),
    ("az.ai.inference", "azure"),
    ("azure.ai.openai", "azure"),
    ("az.ai.openai", "azure"),
    ("azure-openai", "azure"),
    ("moonshot_ai", "moonshotai"),
];

/// A call of a model, as far as its price depends on it.
#[derive(Debug, Clone, Copy)]
pub struct Call<'a> {
    /// The model, as whoever reports the call names it.
    pub model: &'a str,
    /// The provider; `None` where the model alone tells. One that no table knows has no prices.
    pub provider: Option<&'a str>,
    /// When the call was made.
    pub time: Timestamp,
    /// What it used.
    pub tokens: Tokens,
    /// What else changes prices: `("service_tier", "flex")`, `("processing", "batch")`, `("speed", "fast")`.
    pub properties: &'a [(&'a str, &'a str)],
}

/// Why nobody can say what a call costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unknown {
    /// No table has the model, of that provider.
    Model,
    /// The model is not charged for in tokens or calls.
    Units,
    /// The numbers are larger than any real ones.
    Overflow,
}

/// All tables, the first that knows a model counts.
pub struct Prices {
    /// Tables of one's own. They lie above the embedded one.
    own: Vec<Arc<Table>>,
    /// The table and the place of what was looked up, by model and provider.
    remembered: Mutex<HashMap<Names, Option<Found>>>,
}

type Names = (Box<str>, Option<Box<str>>);
type Found = (Arc<Table>, Place);

impl Prices {
    /// The embedded prices, under `own` tables, of which the first counts most.
    #[must_use]
    pub fn new(own: Vec<Arc<Table>>) -> Self {
        Self {
            own,
            remembered: Mutex::new(HashMap::new()),
        }
    }

    /// What `call` costs, by which table, and by which of its prices, with what is special about that after blanks:
    /// `anthropic/claude-sonnet-4-5`, `google/gemini-2.5-pro from 2026-01-01 above 200000`, `openai/gpt-5 service_tier=flex`. There are few
    /// different ones.
    ///
    /// # Errors
    ///
    /// [`Unknown`]: the cost is not known, and must not be taken for zero.
    pub fn price(&self, call: &Call<'_>) -> Result<Computed, Unknown> {
        let (table, place) = self.find(call).ok_or(Unknown::Model)?;
        let (provider, model) = table.get(place).ok_or(Unknown::Model)?;
        let properties = if place.is_own { call.properties } else { &[] };
        let selected = model.at(call.time, properties).ok_or(Unknown::Units)?;
        if selected.rates.is_empty() {
            return Err(Unknown::Units);
        }
        let sum = selected.rates.sum(&call.tokens).ok_or(Unknown::Overflow)?;
        Ok(Computed {
            table: table.version().to_owned(),
            rule: rule(&provider.id, &model.id, &selected, sum.above),
            amount: sum.amount,
        })
    }

    /// What a report's tokens cost; `None` where it has none that count, or nobody knows. Of its two models the one that answered is looked
    /// up first.
    #[must_use]
    pub fn cost(&self, draft: &Draft, properties: &[(&str, &str)]) -> Option<Computed> {
        let tokens = draft.tokens.filter(|_| draft.counts)?;
        let labels = &draft.labels;
        let alias = ALIASES.iter().find(|(name, _)| *name == labels.provider);
        let provider = alias.map_or(labels.provider.as_str(), |(_, id)| id);
        let models = [&labels.model_responded, &labels.model_requested];
        let mut models = models.into_iter().filter(|model| !model.is_empty());
        models.find_map(|model| {
            let call = Call {
                model,
                provider: Some(provider).filter(|provider| !provider.is_empty()),
                time: draft.start_time,
                tokens,
                properties,
            };
            self.price(&call).ok()
        })
    }

    fn find(&self, call: &Call<'_>) -> Option<Found> {
        let names = (call.model.into(), call.provider.map(Into::into));
        let mut remembered = self
            .remembered
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(found) = remembered.get(&names) {
            return found.clone();
        }
        let mut tables = self.own.iter().chain(std::iter::once(&*EMBEDDED));
        let found = tables.find_map(|table| {
            let place = table.find(call.model, call.provider)?;
            Some((Arc::clone(table), place))
        });
        if remembered.len() >= MAX_REMEMBERED {
            remembered.clear();
        }
        remembered.insert(names, found.clone());
        found
    }
}

impl Default for Prices {
    fn default() -> Self {
        Self::new(Vec::new())
    }
}

/// Names the price that was used.
fn rule(provider: &str, model: &str, selected: &Selected<'_>, above: Option<u64>) -> String {
    let mut rule = format!("{provider}/{model}");
    match selected.when {
        When::Always => {}
        When::From(date) => rule.push_str(&format!(" from {date}")),
        When::Daily { .. } => rule.push_str(" at this time of day"),
    }
    for (property, value) in &selected.properties {
        rule.push_str(&format!(" {property}={value}"));
    }
    if let Some(above) = above {
        rule.push_str(&format!(" above {above}"));
    }
    rule
}

#[cfg(test)]
mod tests;
