//! Looks facts up among attributes.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::money;
use super::record::{Attributes, Origin};
use super::table::{self, FirstToken};
use crate::domain::clock::Timestamp;
use crate::domain::observation::Labels;
use crate::domain::observation::draft::{Draft, MAX_ATTRIBUTES};
use crate::domain::observation::usage::{Amount, NanoDollars};
use crate::domain::price::Prices;
use crate::domain::trace::TraceFacts;

/// The longest raw attribute that is kept, in bytes.
const MAX_VALUE: usize = 16 * 1024;
/// What raw attributes of the SDK itself begin with: the same for every program, and of use to nobody.
const SDK: &str = "telemetry.sdk.";

/// A value as text: that of a text, a number or a truth value. Empty for none.
fn text(value: &Value) -> Cow<'_, str> {
    match value {
        Value::String(text) => Cow::Borrowed(text),
        Value::Number(_) | Value::Bool(_) => Cow::Owned(value.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => Cow::Borrowed(""),
    }
}

/// The first of `names` that says something, as text; empty for none.
pub(super) fn first<'a>(attributes: &'a Attributes, names: &[&str]) -> Cow<'a, str> {
    let mut found = names
        .iter()
        .filter_map(|name| attributes.get(*name))
        .map(text);
    found
        .find(|text| !text.trim().is_empty())
        .unwrap_or_default()
}

/// The same, among what was said about one thing and then about the whole program.
fn first_of_all(attributes: &Attributes, origin: &Origin, names: &[&str]) -> String {
    let own = first(attributes, names);
    let said = if own.is_empty() {
        first(&origin.resource, names)
    } else {
        own
    };
    said.into_owned()
}

/// The JSON object in the attribute `name`, which is one or the text of one.
pub(super) fn object(attributes: &Attributes, name: &str) -> Option<Attributes> {
    match attributes.get(name)? {
        Value::Object(object) => Some(object.clone()),
        Value::String(text) => serde_json::from_str(text).ok(),
        _ => None,
    }
}

/// A point in time from nanoseconds since the epoch; held at the ends of what can be stored.
pub(super) fn time(nanos: u64) -> Timestamp {
    let micros = i64::try_from(nanos / 1_000).unwrap_or(i64::MAX);
    Timestamp::from_micros(micros).unwrap_or(Timestamp::MAX)
}

/// The names of an observation.
pub(super) fn labels(name: &str, attributes: &Attributes, origin: &Origin) -> Labels {
    let get = |names| first(attributes, names).into_owned();
    let mut agent = get(table::AGENT);
    if agent.is_empty() {
        let service = first(&origin.resource, &["service.name"]);
        if !service.starts_with(table::NAMELESS_SERVICE) {
            agent = service.into_owned();
        }
    }
    Labels {
        name: name.to_owned(),
        model_requested: get(table::MODEL_REQUESTED),
        model_responded: get(table::MODEL_RESPONDED),
        provider: get(table::PROVIDER),
        agent,
        project: first_of_all(attributes, origin, table::PROJECT),
        session: first_of_all(attributes, origin, table::SESSION),
        user: first_of_all(attributes, origin, table::USER),
        prompt_name: get(table::PROMPT_NAME),
        prompt_version: get(table::PROMPT_VERSION),
    }
}

/// What attributes say about the whole trace.
pub(super) fn trace(attributes: &Attributes, origin: &Origin, labels: &Labels) -> TraceFacts {
    let content =
        |names| Some(first(attributes, names).into_owned()).filter(|text| !text.is_empty());
    TraceFacts {
        name: first(attributes, table::TRACE_NAME).into_owned(),
        user: labels.user.clone(),
        session: labels.session.clone(),
        release: first_of_all(attributes, origin, table::RELEASE),
        environment: first_of_all(attributes, origin, table::ENVIRONMENT),
        tags: tags(attributes),
        metadata: metadata(attributes),
        input: content(table::TRACE_INPUT),
        output: content(table::TRACE_OUTPUT),
    }
}

fn tags(attributes: &Attributes) -> BTreeSet<String> {
    let lists = table::TRACE_TAGS
        .iter()
        .filter_map(|name| attributes.get(*name));
    let lists = lists.filter_map(|list| match list {
        Value::String(text) => serde_json::from_str(text).ok(),
        Value::Array(list) => Some(list.clone()),
        _ => None,
    });
    let tags = lists.flatten().map(|tag: Value| text(&tag).into_owned());
    tags.filter(|tag| !tag.is_empty()).collect()
}

fn metadata(attributes: &Attributes) -> BTreeMap<String, String> {
    let whole = object(attributes, table::TRACE_METADATA).unwrap_or_default();
    let single = attributes.iter().filter_map(|(name, value)| {
        let key = name
            .strip_prefix(table::TRACE_METADATA)?
            .strip_prefix('.')?;
        Some((key.to_owned(), value.clone()))
    });
    let mut metadata: BTreeMap<String, String> = whole
        .into_iter()
        .chain(single)
        .map(|(key, value)| (key, value.to_string()))
        .collect();
    metadata.retain(|_, value| value.len() <= MAX_VALUE);
    metadata
}

/// When the first token of an answer came that began at `start`.
pub(super) fn first_token(attributes: &Attributes, start: Timestamp) -> Option<Timestamp> {
    let found = table::FIRST_TOKEN
        .iter()
        .find_map(|(name, kind)| Some((attributes.get(*name)?, *kind)));
    let (value, kind) = found?;
    let after = |micros: f64| {
        let span = std::time::Duration::try_from_secs_f64(micros / 1e6).ok()?;
        Some(start.saturating_add(span))
    };
    match kind {
        FirstToken::AfterMillis => after(number(value)? * 1e3),
        FirstToken::AfterSeconds => after(number(value)? * 1e6),
        FirstToken::At => {
            let time: jiff::Timestamp = text(value).trim_matches('"').parse().ok()?;
            Timestamp::from_micros(time.as_microsecond()).map(|time| time.max(start))
        }
    }
}

pub(super) fn number(value: &Value) -> Option<f64> {
    match value {
        Value::String(text) => text.trim().parse().ok(),
        other => other.as_f64(),
    }
}

/// The cost that attributes tell.
pub(super) fn provided_cost(attributes: &Attributes) -> Option<Amount> {
    let dollars = |name: &str| money::nano_dollars(attributes.get(name)?);
    if let Some(details) = object(attributes, table::COST_DETAILS) {
        return cost_details(&details);
    }
    let named = table::COSTS.iter().find_map(|[total, input, output]| {
        Some(Amount {
            total: dollars(total)?,
            input: dollars(input),
            output: dollars(output),
        })
    });
    named.or_else(|| {
        let micros = super::tokens::first_count(attributes, table::COST_MICROS)?;
        Some(Amount {
            total: money::from_parts(micros, 1_000_000)?,
            ..Amount::default()
        })
    })
}

/// The cost in Langfuse's `cost_details`: the total where there is one, and otherwise the sum of the parts.
fn cost_details(details: &Attributes) -> Option<Amount> {
    let parts = || {
        let parts = details.iter().filter(|(name, _)| *name != "total");
        parts.filter_map(|(name, dollars)| Some((name, money::nano_dollars(dollars)?)))
    };
    let sum = |begin: &str| {
        let chosen = parts().filter(|(name, _)| name.starts_with(begin));
        chosen
            .map(|(_, nanos)| nanos.0)
            .reduce(i64::saturating_add)
            .map(NanoDollars)
    };
    let total = details.get("total").and_then(money::nano_dollars);
    Some(Amount {
        total: total.or_else(|| sum(""))?,
        input: sum("input"),
        output: sum("output"),
    })
}

/// Adds what the tables of prices say, where the draft counts and has tokens.
pub(super) fn compute_cost(draft: &mut Draft, attributes: &Attributes, prices: &Prices) {
    let properties = table::PRICE_PROPERTIES.iter().map(|(property, names)| {
        let value = first(attributes, names);
        (*property, value)
    });
    let properties: Vec<(&str, Cow<'_, str>)> =
        properties.filter(|(_, value)| !value.is_empty()).collect();
    let properties: Vec<(&str, &str)> = properties
        .iter()
        .map(|(property, value)| (*property, value.as_ref()))
        .collect();
    draft.computed_cost = prices.cost(draft, &properties);
}

/// The raw attributes as they are kept: a JSON object, in which `resource` and `scope` say who reports. What is too long is cut, and then left
/// out, the longest first.
pub(super) fn raw(attributes: Attributes, origin: &Origin) -> String {
    let mut whole = attributes;
    whole.values_mut().for_each(cut);
    let mut resource = origin.resource.clone();
    resource.retain(|name, _| !name.starts_with(SDK));
    resource.values_mut().for_each(cut);
    if !resource.is_empty() {
        whole.entry("resource").or_insert(Value::Object(resource));
    }
    if !origin.scope.is_empty() {
        let scope = json!({ "name": origin.scope, "version": origin.scope_version });
        whole.entry("scope").or_insert(scope);
    }
    let size =
        |(name, value): (&String, &Value)| (name.len() + value.to_string().len(), name.clone());
    let mut sizes: Vec<(usize, String)> = whole.iter().map(size).collect();
    sizes.sort();
    loop {
        let written = serde_json::to_string(&whole).unwrap_or_default();
        match sizes.pop() {
            Some((_, longest)) if written.len() > MAX_ATTRIBUTES => whole.remove(&longest),
            _ => return written,
        };
    }
}

fn cut(value: &mut Value) {
    if let Value::String(text) = value {
        text.truncate(text.floor_char_boundary(MAX_VALUE));
    }
}
