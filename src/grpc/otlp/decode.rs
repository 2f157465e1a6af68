//! Messages of the OpenTelemetry protocol as what they mean.

use serde_json::Value;

use super::super::pb::opentelemetry::proto as pb;
use crate::domain::convention::{Attributes, Event, Log, Origin, Outcome, Span};
use crate::domain::error::{Error, Result};
use crate::domain::observation::id::{Id, SpanId, TraceId};
use pb::common::v1::any_value::Value as Any;
use pb::common::v1::{AnyValue, InstrumentationScope, KeyValue};

/// What is said about a program.
pub(super) fn resource(resource: Option<pb::resource::v1::Resource>) -> Attributes {
    attributes(
        resource
            .map(|resource| resource.attributes)
            .unwrap_or_default(),
    )
}

/// Who reports.
pub(super) fn origin(resource: &Attributes, scope: Option<InstrumentationScope>) -> Origin {
    let scope = scope.unwrap_or_default();
    Origin {
        resource: resource.clone(),
        scope: scope.name,
        scope_version: scope.version,
    }
}

/// A span.
///
/// # Errors
///
/// `InvalidField` for an id that is missing or of the wrong length.
pub(super) fn span(span: pb::trace::v1::Span) -> Result<Span> {
    let status = span.status.unwrap_or_default();
    let outcome = match status.code() {
        pb::trace::v1::status::StatusCode::Unset => Outcome::Unset,
        pb::trace::v1::status::StatusCode::Ok => Outcome::Ok,
        pb::trace::v1::status::StatusCode::Error => Outcome::Error,
    };
    let events = span.events.into_iter().map(|event| Event {
        name: event.name,
        time_nanos: event.time_unix_nano,
        attributes: attributes(event.attributes),
    });
    Ok(Span {
        trace_id: needed("trace_id", id(&span.trace_id))?,
        span_id: needed("span_id", id(&span.span_id))?,
        parent_id: optional("parent_span_id", &span.parent_span_id)?,
        name: span.name,
        start_nanos: span.start_time_unix_nano,
        end_nanos: span.end_time_unix_nano,
        outcome,
        status_message: status.message,
        attributes: attributes(span.attributes),
        events: events.collect(),
    })
}

/// A log record.
///
/// # Errors
///
/// `InvalidField` for an id of the wrong length.
pub(super) fn log(log: pb::logs::v1::LogRecord) -> Result<Log> {
    let trace_id: Option<TraceId> = optional("trace_id", &log.trace_id)?;
    let span_id: Option<SpanId> = optional("span_id", &log.span_id)?;
    let time_nanos = if log.time_unix_nano == 0 {
        log.observed_time_unix_nano
    } else {
        log.time_unix_nano
    };
    let body = match log.body.and_then(|body| body.value) {
        Some(Any::StringValue(text)) => text,
        _ => String::new(),
    };
    Ok(Log {
        time_nanos,
        event_name: log.event_name,
        severity: log.severity_number,
        body,
        trace_id,
        span_id,
        attributes: attributes(log.attributes),
    })
}

/// The id of these bytes; `None` for zeros and for another length.
fn id<const N: usize>(bytes: &[u8]) -> Option<Id<N>> {
    Id::from_bytes(bytes.try_into().ok()?)
}

fn needed<const N: usize>(field: &str, id: Option<Id<N>>) -> Result<Id<N>> {
    id.ok_or_else(|| Error::invalid(field, format!("must have {N} bytes that are not all zero")))
}

/// An id that may be missing. Some exporters write zeros for that.
fn optional<const N: usize>(field: &str, bytes: &[u8]) -> Result<Option<Id<N>>> {
    if bytes.iter().all(|byte| *byte == 0) {
        return Ok(None);
    }
    needed(field, id(bytes)).map(Some)
}

/// Attributes by name. Of several with one name, which the protocol forbids, the last counts.
fn attributes(attributes: Vec<KeyValue>) -> Attributes {
    let pairs = attributes.into_iter().filter(|pair| !pair.key.is_empty());
    pairs
        .map(|pair| (pair.key, pair.value.map_or(Value::Null, value)))
        .collect()
}

/// A value as JSON. The protocol's decoder limits how deep it can be nested.
fn value(any: AnyValue) -> Value {
    match any.value {
        None | Some(Any::StringValueStrindex(_)) => Value::Null,
        Some(Any::StringValue(text)) => text.into(),
        Some(Any::BoolValue(truth)) => truth.into(),
        Some(Any::IntValue(number)) => number.into(),
        Some(Any::DoubleValue(number)) if number.is_finite() => number.into(),
        Some(Any::DoubleValue(number)) => number.to_string().into(),
        Some(Any::ArrayValue(array)) => array.values.into_iter().map(value).collect(),
        Some(Any::KvlistValue(list)) => Value::Object(attributes(list.values)),
        Some(Any::BytesValue(bytes)) => {
            let digits = bytes.iter().map(|byte| format!("{byte:02x}"));
            digits.collect::<String>().into()
        }
    }
}
