//! Logs as reports of observations.

use std::time::Duration;

use super::record::{Log, Origin};
use super::table::{self, LogEvent};
use super::{facts, span, tokens};
use crate::domain::observation::draft::Draft;
use crate::domain::observation::{Level, ObservationKind, Source};
use crate::domain::price::Prices;

/// The report that a log is; `None` for a line of an ordinary log, which has no name of an event, and for the pieces of an answer.
#[must_use]
pub fn log(log: Log, origin: &Origin, prices: &Prices) -> Option<Draft> {
    let name = event_name(&log, origin)?;
    let mut named = table::LOGS
        .iter()
        .filter(|known| known.name == name)
        .peekable();
    let is_named = named.peek().is_some();
    let event = named.find(|known| {
        known.only.iter().all(|(name, value)| {
            let said = facts::first(&log.attributes, &[*name]);
            !said.is_empty() && (value.is_empty() || said == *value)
        })
    });
    if is_named && event.is_none() {
        return None;
    }
    let attributes = &log.attributes;
    let kind = event.map_or(ObservationKind::Event, |event| event.kind);
    let at = facts::time(log.time_nanos);
    let took = attributes_duration(&log).filter(|_| kind != ObservationKind::Event);
    let start = took.map_or(at, |took| at.before(took));
    let mut draft = Draft::new(Source::Log, kind, start);
    draft.end_time = took.map(|_| at);
    draft.completion_start_time = facts::first_token(attributes, start);
    draft.trace_id.clone_from(&log.trace_id);
    draft.parent_id = log.span_id.clone().filter(|_| log.trace_id.is_some());
    draft.labels = facts::labels(&name, attributes, origin);
    draft.counts = false;
    if let Some(event) = event {
        describe(&mut draft, event, &log, prices);
    }
    (draft.level, draft.status_message) = ended(&log, event);
    draft.trace.user.clone_from(&draft.labels.user);
    draft.trace.session.clone_from(&draft.labels.session);
    span::keep_rest(&mut draft, log.attributes, origin);
    Some(draft)
}

/// The name of the event, as the table has it.
fn event_name(log: &Log, origin: &Origin) -> Option<String> {
    let said = facts::first(&log.attributes, table::EVENT_NAME);
    let name = if said.is_empty() {
        log.event_name.as_str()
    } else {
        said.as_ref()
    };
    if name.is_empty() || name.starts_with(table::NAMELESS_EVENT) {
        return None;
    }
    let (service, prefix) = table::SHORT_NAMES;
    let is_short = !name.starts_with(prefix);
    let is_its = facts::first(&origin.resource, &["service.name"]) == service
        || log.body.strip_prefix(prefix) == Some(name);
    Some(if is_short && is_its {
        format!("{prefix}{name}")
    } else {
        name.to_owned()
    })
}

fn attributes_duration(log: &Log) -> Option<Duration> {
    let names = table::DURATION_MILLIS.iter();
    let millis = names
        .filter_map(|name| log.attributes.get(*name))
        .find_map(facts::number)?;
    Duration::try_from_secs_f64(millis / 1e3).ok()
}

/// Adds what is known about a log that is more than an event.
fn describe(draft: &mut Draft, event: &LogEvent, log: &Log, prices: &Prices) {
    let attributes = &log.attributes;
    let tool = facts::first(attributes, table::TOOL_NAME);
    if draft.kind == ObservationKind::Tool && !tool.is_empty() {
        draft.labels.name = tool.into_owned();
    }
    if draft.kind != ObservationKind::Generation {
        return;
    }
    draft.counts = true;
    draft.request_id = facts::first(attributes, table::REQUEST_ID).into_owned();
    if draft.labels.model_requested.is_empty() {
        draft.labels.model_requested = facts::first(attributes, table::MODEL_OF_CALL).into_owned();
    }
    if draft.labels.provider.is_empty() {
        event.provider.clone_into(&mut draft.labels.provider);
    }
    draft.tokens = event
        .tokens
        .and_then(|names| tokens::tokens(attributes, &[names]));
    draft.provided_cost = facts::provided_cost(attributes);
    facts::compute_cost(draft, attributes, prices);
}

fn ended(log: &Log, event: Option<&LogEvent>) -> (Level, String) {
    let (warning, error) = table::SEVERITIES;
    let success = facts::first(&log.attributes, table::SUCCESS);
    let failed = event.is_some_and(|event| event.is_error) || success.eq_ignore_ascii_case("false");
    let level = if failed || log.severity >= error {
        Level::Error
    } else if log.severity >= warning {
        Level::Warning
    } else {
        Level::Default
    };
    let message = match level {
        Level::Error | Level::Warning => facts::first(&log.attributes, table::STATUS_MESSAGE),
        Level::Debug | Level::Default => "".into(),
    };
    (level, message.into_owned())
}
