//! Tokens, taken apart so that none is counted twice.

use serde_json::Value;

use super::record::Attributes;
use super::table::{self, Bucket, Inclusion, TokenNames};
use crate::domain::observation::usage::Tokens;

/// A count; programs write them as numbers and as texts.
pub(super) fn count(value: &Value) -> Option<u64> {
    match value {
        Value::Number(number) => number.as_u64().or_else(|| whole(number.as_f64()?)),
        Value::String(text) => {
            let text = text.trim();
            text.parse().ok().or_else(|| whole(text.parse().ok()?))
        }
        _ => None,
    }
}

/// The integer that `number` is. Above 2^53 it would be an accident.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the range is checked"
)]
fn whole(number: f64) -> Option<u64> {
    let is_count = (0.0..9_007_199_254_740_992.0).contains(&number) && number.fract() == 0.0;
    is_count.then_some(number as u64)
}

/// The first of `names` that holds a count.
pub(super) fn first_count(attributes: &Attributes, names: &[&str]) -> Option<u64> {
    names.iter().find_map(|name| count(attributes.get(*name)?))
}

/// The tokens that `attributes` tell of by the first of `conventions` that they follow.
pub(super) fn tokens(attributes: &Attributes, conventions: &[&TokenNames]) -> Option<Tokens> {
    conventions.iter().find_map(|names| {
        let input = first_count(attributes, names.input);
        let output = first_count(attributes, names.output);
        input.or(output)?;
        let get = |names: &[&str]| first_count(attributes, names).unwrap_or(0);
        let counted = Counted {
            input: input.unwrap_or(0),
            cache_read: get(names.cache_read),
            cache_write: get(names.cache_write),
            cache_write_1h: get(names.cache_write_1h),
            audio_input: get(names.audio_input),
            output: output.unwrap_or(0),
            reasoning: get(names.reasoning),
            audio_output: get(names.audio_output),
        };
        Some(counted.apart(names.inclusion))
    })
}

/// Tokens as somebody counted them: some of these numbers may be part of others.
struct Counted {
    input: u64,
    cache_read: u64,
    /// All writes to the cache, those for an hour among them.
    cache_write: u64,
    cache_write_1h: u64,
    audio_input: u64,
    output: u64,
    reasoning: u64,
    audio_output: u64,
}

impl Counted {
    fn apart(&self, inclusion: Inclusion) -> Tokens {
        let cache_write = self.cache_write.max(self.cache_write_1h);
        let cached = self.cache_read.saturating_add(cache_write);
        // What is larger than the whole is no part of it, whatever the convention says.
        let in_input = if inclusion.cache_in_input && cached <= self.input {
            cached
        } else {
            0
        };
        let in_output = if inclusion.reasoning_in_output && self.reasoning <= self.output {
            self.reasoning
        } else {
            0
        };
        let input = self.input - in_input;
        let output = self.output - in_output;
        let audio_input = self.audio_input.min(input);
        let audio_output = self.audio_output.min(output);
        Tokens {
            input: input - audio_input,
            cache_read: self.cache_read,
            cache_write_5m: cache_write - self.cache_write_1h,
            cache_write_1h: self.cache_write_1h,
            audio_input,
            output: output - audio_output,
            reasoning: self.reasoning,
            audio_output,
        }
    }
}

/// The tokens of Langfuse's `usage_details`: its numbers do not overlap. What an OpenAI client returns may stand there as it is; then they do.
pub(super) fn usage_details(details: &Attributes) -> Option<Tokens> {
    let nested = |outer: &[&str], inner: &[&str]| {
        let found = outer.iter().find_map(|name| details.get(*name));
        first_count(found?.as_object()?, inner)
    };
    let cached = nested(table::INPUT_DETAILS, &["cached_tokens"]);
    let reasoning = nested(table::OUTPUT_DETAILS, &["reasoning_tokens"]);
    let mut tokens = Tokens::default();
    let mut is_known = false;
    for (name, value) in details {
        let Some(count) = count(value) else { continue };
        let Some(bucket) = table::usage_bucket(name) else {
            continue;
        };
        is_known = true;
        let place = match bucket {
            Bucket::Input => &mut tokens.input,
            Bucket::CacheRead => &mut tokens.cache_read,
            Bucket::CacheWrite => &mut tokens.cache_write_5m,
            Bucket::CacheWrite1h => &mut tokens.cache_write_1h,
            Bucket::AudioInput => &mut tokens.audio_input,
            Bucket::Output => &mut tokens.output,
            Bucket::Reasoning => &mut tokens.reasoning,
            Bucket::AudioOutput => &mut tokens.audio_output,
        };
        *place = place.saturating_add(count);
    }
    if let Some(cached) = cached {
        tokens.input = tokens.input.saturating_sub(cached);
        tokens.cache_read = tokens.cache_read.saturating_add(cached);
    }
    if let Some(reasoning) = reasoning {
        tokens.output = tokens.output.saturating_sub(reasoning);
        tokens.reasoning = tokens.reasoning.saturating_add(reasoning);
    }
    is_known.then_some(tokens)
}
