//! Prices calls of models: a JSON object in each line of the input, and one in each line of the output. For tests in other languages.

use std::io::{BufRead, Write};

use anyhow::{Context, Result};
use barista::domain::clock::Timestamp;
use barista::domain::observation::usage::{NanoDollars, Tokens};
use barista::domain::price::{Call, Prices};

/// A call, as the test writes it.
#[derive(serde::Deserialize)]
struct Line {
    model: String,
    provider: Option<String>,
    /// Microseconds since the epoch.
    time: i64,
    /// The buckets, in the order of `Tokens::NAMES`.
    tokens: [u64; Tokens::BUCKETS],
    properties: Vec<(String, String)>,
}

fn main() -> Result<()> {
    let prices = Prices::default();
    let mut out = std::io::BufWriter::new(std::io::stdout().lock());
    for line in std::io::stdin().lock().lines() {
        let line: Line = serde_json::from_str(&line?)?;
        let properties: Vec<(&str, &str)> = line
            .properties
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect();
        let priced = prices.price(&Call {
            model: &line.model,
            provider: line.provider.as_deref(),
            time: Timestamp::from_micros(line.time).context("a time out of range")?,
            tokens: Tokens::from_buckets(line.tokens),
            properties: &properties,
        });
        let nanos = |part: Option<NanoDollars>| part.map(|nanos| nanos.0);
        let said = match priced {
            Ok(priced) => serde_json::json!({
                "total": priced.amount.total.0,
                "input": nanos(priced.amount.input),
                "output": nanos(priced.amount.output),
                "table": priced.table,
                "rule": priced.rule,
            }),
            Err(unknown) => serde_json::json!({ "unknown": format!("{unknown:?}") }),
        };
        writeln!(out, "{said}")?;
    }
    Ok(out.flush()?)
}
