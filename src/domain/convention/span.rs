//! Spans as reports of observations.

use super::record::{Attributes, Event, Origin, Outcome, Span};
use super::table;
use super::{content, facts, tokens};
use crate::domain::observation::draft::Draft;
use crate::domain::observation::usage::Tokens;
use crate::domain::observation::{Labels, Level, ObservationKind, Source};
use crate::domain::price::Prices;
use crate::domain::word::Vocabulary;

/// The most events of a span that become observations.
const MAX_EVENTS: usize = 64;

/// The reports that a span is: one of itself, and one of each of its events that is more than a part of it.
#[must_use]
pub fn span(span: Span, origin: &Origin, prices: &Prices) -> Vec<Draft> {
    let mut span = span;
    let attributes = std::mem::take(&mut span.attributes);
    let kind = kind(&attributes);
    let start = facts::time(span.start_nanos);
    let mut draft = Draft::new(Source::Span, kind, start);
    draft.trace_id = Some(span.trace_id.clone());
    draft.span_id = Some(span.span_id.clone());
    draft.parent_id.clone_from(&span.parent_id);
    draft.end_time = (span.end_nanos > 0).then(|| facts::time(span.end_nanos).max(start));
    draft.completion_start_time = facts::first_token(&attributes, start);
    draft.labels = facts::labels(&span.name, &attributes, origin);
    draft.counts = counts(kind, &attributes);
    if is_call(kind) {
        draft.request_id = request_id(&attributes);
        if draft.labels.model_requested.is_empty() {
            draft.labels.model_requested =
                facts::first(&attributes, table::MODEL_OF_CALL).into_owned();
        }
    }
    draft.tokens = tokens(&attributes);
    draft.provided_cost = facts::provided_cost(&attributes);
    facts::compute_cost(&mut draft, &attributes, prices);
    (draft.level, draft.status_message) = ended(&span, &attributes);
    draft.trace = facts::trace(&attributes, origin, &draft.labels);
    keep_rest(&mut draft, attributes, origin);
    let events = span.events.iter().filter(|event| is_observation(event));
    let events: Vec<Draft> = events
        .take(MAX_EVENTS)
        .map(|event| of_event(event, &span, &draft.labels, origin))
        .collect();
    let mut drafts = vec![draft];
    drafts.extend(events);
    drafts
}

/// What tells this call from others, in whatever trace; empty for nothing.
fn request_id(attributes: &Attributes) -> String {
    let said = facts::first(attributes, table::REQUEST_ID);
    if !said.is_empty() {
        return said.into_owned();
    }
    let mut id = facts::first(attributes, table::RESPONSE_ID).into_owned();
    if id.is_empty() {
        let (whole, name) = table::RESPONSE;
        let response = facts::object(attributes, whole).unwrap_or_default();
        id = facts::first(&response, &[name]).into_owned();
    }
    if id.chars().count() < table::MIN_RESPONSE_ID {
        id.clear();
    }
    id
}

/// Whether it is one call of a model.
fn is_call(kind: ObservationKind) -> bool {
    matches!(
        kind,
        ObservationKind::Generation | ObservationKind::Embedding
    )
}

/// Whether tokens and cost are those of this span alone, and not the sum of what others report as well.
fn counts(kind: ObservationKind, attributes: &Attributes) -> bool {
    is_call(kind) || attributes.contains_key(table::LANGFUSE_TYPE)
}

fn kind(attributes: &Attributes) -> ObservationKind {
    let named = table::KINDS.iter().find_map(|(name, kinds)| {
        let said = attributes
            .iter()
            .find(|(key, _)| key.eq_ignore_ascii_case(name));
        let said = said?.1.as_str()?;
        let known = kinds
            .iter()
            .find(|(word, _)| said.eq_ignore_ascii_case(word));
        known.map(|(_, kind)| *kind)
    });
    named.unwrap_or_else(|| {
        // Older conventions had no word for it.
        let has_model = !facts::first(attributes, table::PROVIDER).is_empty();
        if has_model && tokens::tokens(attributes, table::SPAN_TOKENS).is_some() {
            ObservationKind::Generation
        } else {
            ObservationKind::Span
        }
    })
}

fn tokens(attributes: &Attributes) -> Option<Tokens> {
    match facts::object(attributes, table::USAGE_DETAILS) {
        Some(details) => tokens::usage_details(&details),
        None => tokens::tokens(attributes, table::SPAN_TOKENS),
    }
}

/// How a span ended: how much attention it deserves, and why.
fn ended(span: &Span, attributes: &Attributes) -> (Level, String) {
    let said = facts::first(attributes, table::LEVEL);
    let said = Level::ALL.iter().find(|level| level.as_str() == said);
    let failed = span.outcome == Outcome::Error
        || attributes
            .get("success")
            .is_some_and(|success| *success == false);
    let level = match said {
        Some(level) => *level,
        None if failed => Level::Error,
        None => Level::Default,
    };
    if !span.status_message.is_empty() {
        return (level, span.status_message.clone());
    }
    let mut latest = span.events.iter().rev();
    let exception = latest.find(|event| event.name == table::EXCEPTION);
    let exception =
        exception.map(|event| facts::first(&event.attributes, table::EXCEPTION_MESSAGE));
    let message = match exception {
        Some(message) if failed && !message.is_empty() => message,
        _ if failed || said.is_some() => facts::first(attributes, table::STATUS_MESSAGE),
        _ => "".into(),
    };
    (level, message.into_owned())
}

/// Moves content and raw attributes to the draft.
pub(super) fn keep_rest(draft: &mut Draft, attributes: Attributes, origin: &Origin) {
    let mut attributes = attributes;
    let content = content::take(&mut attributes);
    draft.input = content.input;
    draft.output = content.output;
    draft.attributes = facts::raw(attributes, origin);
}

fn is_observation(event: &Event) -> bool {
    let quiet = |name: &&str| {
        if name.ends_with('.') {
            event.name.starts_with(*name)
        } else {
            event.name == **name
        }
    };
    !event.name.is_empty() && !table::QUIET_EVENTS.iter().any(quiet)
}

fn of_event(event: &Event, span: &Span, labels: &Labels, origin: &Origin) -> Draft {
    let at = if event.time_nanos == 0 {
        span.start_nanos
    } else {
        event.time_nanos
    };
    let mut draft = Draft::new(Source::Log, ObservationKind::Event, facts::time(at));
    draft.trace_id = Some(span.trace_id.clone());
    draft.parent_id = Some(span.span_id.clone());
    draft.counts = false;
    draft.labels = Labels {
        name: event.name.clone(),
        agent: labels.agent.clone(),
        project: labels.project.clone(),
        session: labels.session.clone(),
        user: labels.user.clone(),
        ..Labels::default()
    };
    keep_rest(&mut draft, event.attributes.clone(), origin);
    draft
}
