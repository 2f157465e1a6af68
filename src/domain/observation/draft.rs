//! What may be recorded.

use std::collections::BTreeSet;
use std::time::Duration;

use sha2::{Digest, Sha256};

use super::super::clock::Timestamp;
use super::super::error::{Error, Result};
use super::super::notification::draft::{line, text};
use super::super::trace::TraceFacts;
use super::id::{SpanId, SpanKey, TraceId};
use super::merge::FieldSet;
use super::usage::{Amount, Computed, NanoDollars, Tokens};
use super::{Attributes, Facts, Labels, Level, ObservationKind, Place, Source, Times, Usage};

/// The most records in one batch.
pub const MAX_BATCH: usize = 1_000;
/// The most characters of a label.
pub const MAX_LABEL: usize = 256;
/// The most characters of a request id.
pub const MAX_REQUEST_ID: usize = 200;
/// The most bytes of a status message.
pub const MAX_STATUS: usize = 8 * 1024;
/// The most bytes of raw attributes, and of a trace's metadata.
pub const MAX_ATTRIBUTES: usize = 256 * 1024;
/// The most bytes of what went in, and of what came out.
pub const MAX_CONTENT: usize = 1024 * 1024;
/// The most tags of a trace.
pub const MAX_TAGS: usize = 64;
/// The most tokens in one bucket.
pub const MAX_TOKENS: u64 = 1_000_000_000_000;
/// The most that one observation may cost: a million dollars.
pub const MAX_COST: NanoDollars = NanoDollars(1_000_000 * NanoDollars::DOLLAR.0);
/// The first time that is believed, 2000-01-01: earlier ones are in the wrong unit.
const EARLIEST_MICROS: i64 = 946_684_800_000_000;
/// How far ahead of ours another machine's clock may be.
const MAX_AHEAD: Duration = Duration::from_secs(24 * 60 * 60);

/// One report of an observation, not yet checked.
#[derive(Debug, Clone, PartialEq)]
pub struct Draft {
    /// What the report was.
    pub source: Source,
    /// The trace that it is part of, where that is known.
    pub trace_id: Option<TraceId>,
    /// The span that it **is**. A log leaves it out: the span around a log is its `parent_id`.
    pub span_id: Option<SpanId>,
    /// The span that it is part of.
    pub parent_id: Option<SpanId>,
    /// What the provider calls this one call of a model; reports with the same id are about the same observation, in whatever trace. Must
    /// be empty where it is not unique for all time.
    pub request_id: String,
    /// What kind of work it is.
    pub kind: ObservationKind,
    /// How much attention it deserves.
    pub level: Level,
    /// Why it failed, or anything else about how it ended.
    pub status_message: String,
    /// Its names.
    pub labels: Labels,
    /// When it began.
    pub start_time: Timestamp,
    /// When it ended.
    pub end_time: Option<Timestamp>,
    /// When the first token of the answer came.
    pub completion_start_time: Option<Timestamp>,
    /// Its tokens; `None` where the report says nothing about them.
    pub tokens: Option<Tokens>,
    /// Its cost, where the report says it.
    pub provided_cost: Option<Amount>,
    /// The cost of `tokens` by the table of prices. Ignored without tokens.
    pub computed_cost: Option<Computed>,
    /// Whether tokens and cost belong into totals; false for an aggregate of others.
    pub counts: bool,
    /// The raw attributes: a JSON object as text; empty for none.
    pub attributes: String,
    /// What went in.
    pub input: Option<String>,
    /// What came out.
    pub output: Option<String>,
    /// What the report says about the whole trace. Ignored without a trace.
    pub trace: TraceFacts,
}

/// A report that keeps every rule.
#[derive(Debug, Clone, PartialEq)]
pub struct Report {
    facts: Facts,
    trace: TraceFacts,
}

impl Report {
    /// What it says about the observation. It is about the same one as another report when they share a span or a request id.
    #[must_use]
    pub fn facts(&self) -> &Facts {
        &self.facts
    }

    /// What it says about the trace.
    #[must_use]
    pub fn trace(&self) -> &TraceFacts {
        &self.trace
    }

    /// About how many bytes it brings.
    #[must_use]
    pub fn size(&self) -> usize {
        let facts = &self.facts;
        let content = |content: &Option<String>| content.as_ref().map_or(0, String::len);
        256 + facts.attributes.span.len()
            + facts.attributes.log.len()
            + facts.status_message.len()
            + content(&facts.input)
            + content(&facts.output)
            + content(&self.trace.input)
            + content(&self.trace.output)
    }
}

impl Draft {
    /// A report that says no more than this.
    #[must_use]
    pub fn new(source: Source, kind: ObservationKind, start_time: Timestamp) -> Self {
        Self {
            source,
            trace_id: None,
            span_id: None,
            parent_id: None,
            request_id: String::new(),
            kind,
            level: Level::Default,
            status_message: String::new(),
            labels: Labels::default(),
            start_time,
            end_time: None,
            completion_start_time: None,
            tokens: None,
            provided_cost: None,
            computed_cost: None,
            counts: true,
            attributes: String::new(),
            input: None,
            output: None,
            trace: TraceFacts::default(),
        }
    }

    /// Gives a report without a span and without a request id a digest of what it says as its request id, so that it can be delivered twice. Has to
    /// come before anything is taken out of the report.
    pub fn identify(&mut self) {
        if self.span_id.is_none() && self.request_id.is_empty() {
            self.request_id = self.digest();
        }
    }

    /// Shortens what is too long and joins lines where only one is allowed. For reports of programs that know nothing of our limits: a name
    /// too long is no reason to lose what a call cost.
    pub fn fit(&mut self) {
        for label in self.labels.all_mut() {
            fit_line(label);
        }
        let trace = &mut self.trace;
        for name in [
            &mut trace.name,
            &mut trace.user,
            &mut trace.session,
            &mut trace.release,
            &mut trace.environment,
        ] {
            fit_line(name);
        }
        fit_text(&mut self.status_message, MAX_STATUS);
        let contents = [
            &mut self.input,
            &mut self.output,
            &mut trace.input,
            &mut trace.output,
        ];
        for content in contents.into_iter().flatten() {
            fit_text(content, MAX_CONTENT);
        }
        trace.tags = std::mem::take(&mut trace.tags)
            .into_iter()
            .take(MAX_TAGS)
            .map(|mut tag| {
                fit_line(&mut tag);
                tag
            })
            .filter(|tag| !tag.trim().is_empty())
            .collect();
    }

    /// Checks every rule.
    ///
    /// # Errors
    ///
    /// `InvalidField` for the first field that breaks a rule.
    pub fn validate(self, now: Timestamp) -> Result<Report> {
        self.check_place()?;
        for (name, label) in Labels::NAMES.iter().zip(self.labels.all()) {
            line(name, label, 0, MAX_LABEL)?;
        }
        line("request_id", &self.request_id, 0, MAX_REQUEST_ID)?;
        text("status_message", &self.status_message, MAX_STATUS)?;
        self.check_times(now)?;
        self.check_usage()?;
        json_object("attributes", &self.attributes)?;
        content("input", self.input.as_ref())?;
        content("output", self.output.as_ref())?;
        check_trace(&self.trace)?;
        Ok(self.into_report())
    }

    fn check_place(&self) -> Result<()> {
        if self.trace_id.is_none() && self.span_id.is_some() {
            return Err(Error::invalid(
                "trace_id",
                "is needed with a span_id, which means nothing without its trace",
            ));
        }
        if self.span_id.is_some() && self.span_id == self.parent_id {
            return Err(Error::invalid(
                "parent_id",
                "must not be the span itself; leave it out for the root of a trace",
            ));
        }
        Ok(())
    }

    fn check_times(&self, now: Timestamp) -> Result<()> {
        let latest = now.saturating_add(MAX_AHEAD);
        let check = |field: &str, time: Timestamp| {
            if time.as_micros() < EARLIEST_MICROS {
                return Err(Error::invalid(
                    field,
                    "must not be before the year 2000; is it in another unit than it should be?",
                ));
            }
            if time > latest {
                return Err(Error::invalid(
                    field,
                    "must not be more than a day ahead of the daemon's clock; check the unit, and both clocks",
                ));
            }
            if time < self.start_time {
                return Err(Error::invalid(field, "must not be before start_time"));
            }
            Ok(())
        };
        check("start_time", self.start_time)?;
        if let Some(end) = self.end_time {
            check("end_time", end)?;
        }
        if let Some(first) = self.completion_start_time {
            check("completion_start_time", first)?;
        }
        Ok(())
    }

    fn check_usage(&self) -> Result<()> {
        let buckets = self.tokens.map(|tokens| tokens.buckets());
        for (name, bucket) in Tokens::NAMES.iter().zip(buckets.unwrap_or_default()) {
            if bucket > MAX_TOKENS {
                return Err(Error::invalid(
                    format!("tokens.{name}"),
                    format!("is {bucket}; at most {MAX_TOKENS} are believed"),
                ));
            }
        }
        if let Some(amount) = &self.provided_cost {
            check_amount("provided_cost", amount)?;
        }
        if let Some(computed) = &self.computed_cost {
            check_amount("computed_cost", &computed.amount)?;
        }
        Ok(())
    }

    fn into_report(mut self) -> Report {
        self.identify();
        let request_id = (!self.request_id.is_empty()).then_some(self.request_id);
        let key = |trace: &TraceId, span: &SpanId| SpanKey {
            trace: trace.clone(),
            span: span.clone(),
        };
        let span_key = self.trace_id.as_ref().zip(self.span_id.as_ref());
        let spans: BTreeSet<SpanKey> = span_key
            .map(|(trace, span)| key(trace, span))
            .into_iter()
            .collect();
        let has_trace = self.trace_id.is_some();
        let (attributes, from_log) = match self.source {
            Source::Span => {
                let span = self.attributes;
                (
                    Attributes {
                        span,
                        log: String::new(),
                    },
                    FieldSet::NONE,
                )
            }
            Source::Log => {
                let log = self.attributes;
                (
                    Attributes {
                        span: String::new(),
                        log,
                    },
                    FieldSet::ALL,
                )
            }
        };
        let computed = self.computed_cost;
        let facts = Facts {
            place: Place {
                span: self.span_id,
                trace: self.trace_id,
                parent: self.parent_id,
            },
            spans,
            request_ids: request_id.into_iter().collect(),
            kind: self.kind,
            level: self.level,
            labels: self.labels,
            status_message: self.status_message,
            times: Times {
                start: self.start_time,
                end: self.end_time,
                completion_start: self.completion_start_time,
            },
            usage: self.tokens.map(|tokens| Usage { tokens, computed }),
            provided_cost: self.provided_cost,
            counts: self.counts,
            attributes,
            input: self.input,
            output: self.output,
            from_log,
        };
        let trace = if has_trace {
            self.trace
        } else {
            TraceFacts::default()
        };
        Report { facts, trace }
    }

    fn digest(&self) -> String {
        let mut sum = Sha256::new();
        let mut part = |bytes: &[u8]| {
            sum.update(u64::try_from(bytes.len()).unwrap_or(u64::MAX).to_le_bytes());
            sum.update(bytes);
        };
        part(self.trace_id.as_ref().map_or(&[][..], |id| id.as_bytes()));
        part(self.parent_id.as_ref().map_or(&[][..], |id| id.as_bytes()));
        for label in self.labels.all() {
            part(label.as_bytes());
        }
        for time in [
            Some(self.start_time),
            self.end_time,
            self.completion_start_time,
        ] {
            part(&time.map_or([0; 8], |time| time.as_micros().to_le_bytes()));
        }
        for bucket in self.tokens.unwrap_or_default().buckets() {
            part(&bucket.to_le_bytes());
        }
        let provided = self.provided_cost.unwrap_or_default().total.0;
        part(&provided.to_le_bytes());
        part(self.status_message.as_bytes());
        part(self.attributes.as_bytes());
        let sum = sum.finalize();
        let digits = sum.iter().take(16).map(|byte| format!("{byte:02x}"));
        format!("sha256:{}", digits.collect::<String>())
    }
}

fn check_amount(field: &str, amount: &Amount) -> Result<()> {
    let parts = [
        ("total", Some(amount.total)),
        ("input", amount.input),
        ("output", amount.output),
    ];
    for (part, value) in parts {
        if value.is_some_and(|value| value.0 < 0 || value > MAX_COST) {
            return Err(Error::invalid(
                format!("{field}.{part}"),
                "must be between nothing and a million dollars, in billionths of a dollar",
            ));
        }
    }
    Ok(())
}

fn check_trace(trace: &TraceFacts) -> Result<()> {
    let fields = ["name", "user", "session", "release", "environment"];
    for (field, name) in fields.iter().zip(trace.names()) {
        line(&format!("trace.{field}"), name, 0, MAX_LABEL)?;
    }
    if trace.tags.len() > MAX_TAGS {
        return Err(Error::invalid(
            "trace.tags",
            format!("at most {MAX_TAGS} are allowed"),
        ));
    }
    for tag in &trace.tags {
        line("trace.tags", tag, 1, MAX_LABEL)?;
    }
    let metadata: usize = trace
        .metadata
        .iter()
        .map(|(key, value)| key.len() + value.len())
        .sum();
    if metadata > MAX_ATTRIBUTES {
        return Err(Error::invalid(
            "trace.metadata",
            format!("has {metadata} bytes; at most {MAX_ATTRIBUTES} are allowed"),
        ));
    }
    content("trace.input", trace.input.as_ref())?;
    content("trace.output", trace.output.as_ref())
}

fn content(field: &str, value: Option<&String>) -> Result<()> {
    value.map_or(Ok(()), |value| text(field, value, MAX_CONTENT))
}

fn json_object(field: &str, value: &str) -> Result<()> {
    if value.is_empty() {
        return Ok(());
    }
    text(field, value, MAX_ATTRIBUTES)?;
    let is_json = serde_json::from_str::<serde::de::IgnoredAny>(value).is_ok();
    if is_json && value.trim_start().starts_with('{') {
        return Ok(());
    }
    Err(Error::invalid(field, "must be a JSON object, in braces"))
}

fn fit_line(value: &mut String) {
    if value.contains(['\n', '\r', '\0']) {
        *value = value.replace(['\n', '\r', '\0'], " ");
    }
    if value.len() > MAX_LABEL
        && let Some((end, _)) = value.char_indices().nth(MAX_LABEL)
    {
        value.truncate(end);
    }
}

fn fit_text(value: &mut String, most: usize) {
    if value.contains('\0') {
        *value = value.replace('\0', " ");
    }
    value.truncate(value.floor_char_boundary(most));
}
