//! Observations and traces of the wire as types of the domain, and back.

use super::field::{WireEnum, timestamp, to_timestamp, unknown};
use super::pb::trace::v1 as pb;
use crate::domain::change::Cursor;
use crate::domain::clock::Timestamp;
use crate::domain::error::{Error, Result};
use crate::domain::observation::draft::Draft;
use crate::domain::observation::id::Id;
use crate::domain::observation::store::{
    ObservationChange, ObservationChangeKind, ObservationFilter, Outcome, Recorded, TraceFilter,
};
use crate::domain::observation::usage::{Amount, Cost, NanoDollars, Tokens};
use crate::domain::observation::{Labels, Level, Observation, ObservationKind, Source};
use crate::domain::trace::{Trace, TraceFacts};

/// Pairs each value of a vocabulary with its value on the wire; the match is exhaustive.
macro_rules! wire_enum {
    ($domain:ident => $wire:ident: $($value:ident),+) => {
        impl WireEnum for $domain {
            fn number(self) -> i32 {
                match self {
                    $(Self::$value => pb::$wire::$value as i32,)+
                }
            }
        }
    };
}

wire_enum!(ObservationKind => ObservationKind:
    Generation, Span, Event, Agent, Tool, Chain, Retriever, Evaluator, Embedding, Guardrail);
wire_enum!(Level => Level: Debug, Default, Warning, Error);
wire_enum!(ObservationChangeKind => ObservationChangeKind: Stored, Merged, Deleted);

fn id<const N: usize>(field: &str, text: &str) -> Result<Option<Id<N>>> {
    if text.is_empty() {
        return Ok(None);
    }
    Id::parse(field, text).map(Some)
}

fn time(field: &str, time: Option<prost_types::Timestamp>) -> Result<Option<Timestamp>> {
    time.map(|time| timestamp(field, time)).transpose()
}

/// Parses a report; one without a start began `now`.
pub(super) fn draft(record: pb::ObservationRecord, now: Timestamp) -> Result<Draft> {
    let source = match pb::RecordSource::try_from(record.source) {
        Ok(pb::RecordSource::Unspecified | pb::RecordSource::Span) => Source::Span,
        Ok(pb::RecordSource::Log) => Source::Log,
        Err(_) => return Err(unknown("source", record.source)),
    };
    let kind = match record.kind {
        0 => return Err(Error::invalid("kind", "is required")),
        number => ObservationKind::from_number(number).ok_or_else(|| unknown("kind", number))?,
    };
    let level = match record.level {
        0 => Level::Default,
        number => Level::from_number(number).ok_or_else(|| unknown("level", number))?,
    };
    let start = time("start_time", record.start_time)?.unwrap_or(now);
    Ok(Draft {
        trace_id: id("trace_id", &record.trace_id)?,
        span_id: id("span_id", &record.span_id)?,
        parent_id: id("parent_id", &record.parent_id)?,
        request_id: record.request_id,
        level,
        status_message: record.status_message,
        labels: record.labels.map(labels).unwrap_or_default(),
        end_time: time("end_time", record.end_time)?,
        completion_start_time: time("completion_start_time", record.completion_start_time)?,
        tokens: record.tokens.map(tokens).transpose()?,
        provided_cost: record.cost.map(amount),
        counts: !record.aggregate,
        attributes: record.attributes,
        input: record.input,
        output: record.output,
        trace: record.trace.map(trace_facts).unwrap_or_default(),
        ..Draft::new(source, kind, start)
    })
}

fn labels(labels: pb::Labels) -> Labels {
    Labels {
        name: labels.name,
        model_requested: labels.model_requested,
        model_responded: labels.model_responded,
        provider: labels.provider,
        agent: labels.agent,
        project: labels.project,
        session: labels.session,
        user: labels.user,
        prompt_name: labels.prompt_name,
        prompt_version: labels.prompt_version,
    }
}

fn tokens(tokens: pb::Tokens) -> Result<Tokens> {
    let count = |name: &str, count: i64| {
        let field = || format!("tokens.{name}");
        u64::try_from(count).map_err(|_| Error::invalid(field(), "must not be negative"))
    };
    Ok(Tokens {
        input: count("input", tokens.input)?,
        cache_read: count("cache_read", tokens.cache_read)?,
        cache_write_5m: count("cache_write_5m", tokens.cache_write_5m)?,
        cache_write_1h: count("cache_write_1h", tokens.cache_write_1h)?,
        audio_input: count("audio_input", tokens.audio_input)?,
        output: count("output", tokens.output)?,
        reasoning: count("reasoning", tokens.reasoning)?,
        audio_output: count("audio_output", tokens.audio_output)?,
    })
}

fn amount(cost: pb::Cost) -> Amount {
    Amount {
        total: NanoDollars(cost.total_nanodollars),
        input: cost.input_nanodollars.map(NanoDollars),
        output: cost.output_nanodollars.map(NanoDollars),
    }
}

fn trace_facts(trace: pb::TraceRecord) -> TraceFacts {
    TraceFacts {
        name: trace.name,
        user: trace.user,
        session: trace.session,
        release: trace.release,
        environment: trace.environment,
        tags: trace.tags.into_iter().collect(),
        metadata: trace.metadata.into_iter().collect(),
        input: trace.input,
        output: trace.output,
    }
}

/// What a repeated enum field selects; empty for all.
fn selection<T: WireEnum>(field: &str, numbers: &[i32]) -> Result<Vec<T>> {
    let value = |(index, number): (usize, &i32)| {
        T::from_number(*number).ok_or_else(|| match number {
            0 => Error::invalid(
                format!("{field}[{index}]"),
                "must not be UNSPECIFIED; leave the list empty for all",
            ),
            _ => unknown(&format!("{field}[{index}]"), *number),
        })
    };
    numbers.iter().enumerate().map(value).collect()
}

/// Parses a filter; none matches everything.
pub(super) fn filter(filter: Option<pb::ObservationFilter>) -> Result<ObservationFilter> {
    let filter = filter.unwrap_or_default();
    Ok(ObservationFilter {
        kinds: selection("filter.kinds", &filter.kinds)?,
        levels: selection("filter.levels", &filter.levels)?,
        model: filter.model,
        provider: filter.provider,
        agent: filter.agent,
        project: filter.project,
        session: filter.session,
        user: filter.user,
        trace: id("filter.trace_id", &filter.trace_id)?,
        start: time("filter.start_time", filter.start_time)?,
        end: time("filter.end_time", filter.end_time)?,
    })
}

/// Parses a filter of traces; none matches everything.
pub(super) fn trace_filter(filter: Option<pb::TraceFilter>) -> Result<TraceFilter> {
    let filter = filter.unwrap_or_default();
    Ok(TraceFilter {
        name: filter.name,
        session: filter.session,
        user: filter.user,
        environment: filter.environment,
        start: time("filter.start_time", filter.start_time)?,
        end: time("filter.end_time", filter.end_time)?,
    })
}

/// Parses the cursor that a watch starts after; without an epoch it is of the current one.
pub(super) fn cursor(cursor: pb::Cursor) -> Cursor {
    Cursor {
        epoch: Some(cursor.epoch).filter(|epoch| !epoch.is_empty()),
        sequence: cursor.sequence,
    }
}

/// Renders what became of a report.
pub(super) fn to_result(result: Result<Recorded>) -> Result<pb::RecordResult> {
    let outcome = match &result {
        Ok(recorded) => match recorded.outcome {
            Outcome::Stored => pb::RecordOutcome::Stored,
            Outcome::Merged => pb::RecordOutcome::Merged,
            Outcome::Duplicate => pb::RecordOutcome::Duplicate,
        },
        Err(_) => pb::RecordOutcome::Rejected,
    };
    let mut rendered = pb::RecordResult {
        outcome: outcome.into(),
        ..pb::RecordResult::default()
    };
    match result {
        Ok(recorded) => rendered.id = recorded.id,
        Err(Error::InvalidField { field, rule }) => (rendered.field, rendered.rule) = (field, rule),
        // Anything else is about the call and not about the record.
        Err(other) => return Err(other),
    }
    Ok(rendered)
}

pub(super) fn count(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

pub(super) fn to_tokens(tokens: &Tokens) -> pb::Tokens {
    pb::Tokens {
        input: count(tokens.input),
        cache_read: count(tokens.cache_read),
        cache_write_5m: count(tokens.cache_write_5m),
        cache_write_1h: count(tokens.cache_write_1h),
        audio_input: count(tokens.audio_input),
        output: count(tokens.output),
        reasoning: count(tokens.reasoning),
        audio_output: count(tokens.audio_output),
    }
}

fn to_cost(amount: &Amount) -> pb::Cost {
    pb::Cost {
        total_nanodollars: amount.total.0,
        input_nanodollars: amount.input.map(|nanos| nanos.0),
        output_nanodollars: amount.output.map(|nanos| nanos.0),
    }
}

fn to_labels(labels: Labels) -> pb::Labels {
    pb::Labels {
        name: labels.name,
        model_requested: labels.model_requested,
        model_responded: labels.model_responded,
        provider: labels.provider,
        agent: labels.agent,
        project: labels.project,
        session: labels.session,
        user: labels.user,
        prompt_name: labels.prompt_name,
        prompt_version: labels.prompt_version,
    }
}

fn to_id<const N: usize>(id: Option<&Id<N>>) -> String {
    id.map(ToString::to_string).unwrap_or_default()
}

/// Renders an observation.
pub(super) fn to_observation(observation: Observation) -> pb::Observation {
    let facts = observation.facts;
    let (cost, source, table, rule) = match facts.cost() {
        Cost::Unknown => (None, pb::CostSource::Unspecified, "", ""),
        Cost::Provided(amount) => (Some(to_cost(&amount)), pb::CostSource::Provided, "", ""),
        Cost::Computed(computed) => (
            Some(to_cost(&computed.amount)),
            pb::CostSource::Computed,
            computed.table.as_str(),
            computed.rule.as_str(),
        ),
    };
    pb::Observation {
        id: observation.id,
        trace_id: to_id(facts.place.trace.as_ref()),
        span_id: to_id(facts.place.span.as_ref()),
        parent_id: to_id(facts.place.parent.as_ref()),
        request_id: facts.request_ids.first().cloned().unwrap_or_default(),
        kind: facts.kind.number(),
        level: facts.level.number(),
        start_time: Some(to_timestamp(facts.times.start)),
        end_time: facts.times.end.map(to_timestamp),
        completion_start_time: facts.times.completion_start.map(to_timestamp),
        tokens: facts.usage.as_ref().map(|usage| to_tokens(&usage.tokens)),
        cost,
        cost_source: source.into(),
        price_table: table.to_owned(),
        price_rule: rule.to_owned(),
        counts: facts.counts,
        labels: Some(to_labels(facts.labels)),
        status_message: facts.status_message,
        attributes: facts.attributes.span,
        log_attributes: facts.attributes.log,
        input: facts.input,
        output: facts.output,
        sequence: observation.sequence,
    }
}

/// Renders a trace.
pub(super) fn to_trace(trace: Trace) -> pb::Trace {
    let facts = trace.facts;
    pb::Trace {
        id: trace.id.to_string(),
        name: facts.name,
        user: facts.user,
        session: facts.session,
        release: facts.release,
        environment: facts.environment,
        tags: facts.tags.into_iter().collect(),
        metadata: facts.metadata.into_iter().collect(),
        input: facts.input,
        output: facts.output,
        start_time: Some(to_timestamp(trace.start_time)),
        end_time: trace.end_time.map(to_timestamp),
        observation_count: count(trace.observations),
        error_count: count(trace.errors),
        tokens: Some(to_tokens(&trace.tokens)),
        cost_nanodollars: trace.cost.0,
        unknown_cost_count: count(trace.unknown_costs),
    }
}

/// Renders a change.
pub(super) fn to_event(change: ObservationChange) -> pb::ObservationEvent {
    let gone = || pb::Observation {
        id: change.id,
        ..pb::Observation::default()
    };
    pb::ObservationEvent {
        sequence: change.sequence,
        kind: change.kind.number(),
        observation: Some(change.observation.map_or_else(gone, to_observation)),
    }
}
