//! Reports for tests, from small sets of names, so that they meet each other.

use proptest::prelude::*;

use super::super::clock::Timestamp;
use super::super::word::Vocabulary;
use super::draft::{Draft, Report};
use super::id::{SpanId, TraceId};
use super::usage::{Amount, Computed, NanoDollars, Tokens};
use super::{Level, ObservationKind, Source};

/// The time around which everything happens.
pub(crate) const NOW: i64 = 1_760_000_000_000_000;

/// A time `seconds` after [`NOW`].
pub(crate) fn at(seconds: i64) -> Timestamp {
    Timestamp::from_micros(NOW + seconds * 1_000_000).expect("in range")
}

/// The trace called `name`.
pub(crate) fn trace(name: &str) -> TraceId {
    TraceId::parse("trace_id", name).expect("an id")
}

/// The span called `name`.
pub(crate) fn span(name: &str) -> SpanId {
    SpanId::parse("span_id", name).expect("an id")
}

/// A generation as a span of one second says it: its place, and its model.
pub(crate) fn span_of_a_call(request: &str) -> Draft {
    let mut draft = Draft::new(Source::Span, ObservationKind::Generation, at(0));
    draft.trace_id = Some(trace("4bf92f3577b34da6a3ce929d0e0e4736"));
    draft.span_id = Some(span("00f067aa0ba902b7"));
    draft.request_id = request.to_owned();
    draft.end_time = Some(at(1));
    draft.labels.name = "llm_request".to_owned();
    draft.labels.model_requested = "claude-sonnet-4-5".to_owned();
    draft.attributes = r#"{"from":"span"}"#.to_owned();
    draft
}

/// The same generation as a log says it: later by its clock, with tokens and cost, and without a trace.
pub(crate) fn log_of_a_call(request: &str) -> Draft {
    let mut draft = Draft::new(Source::Log, ObservationKind::Generation, at(3));
    draft.request_id = request.to_owned();
    draft.end_time = Some(at(5));
    draft.labels.name = "api_request".to_owned();
    draft.labels.session = "s-1".to_owned();
    draft.tokens = Some(Tokens {
        input: 5,
        cache_read: 128_955,
        cache_write_5m: 1_253,
        ..Tokens::default()
    });
    draft.provided_cost = Some(Amount {
        total: NanoDollars(43_400_000),
        ..Amount::default()
    });
    draft.attributes = r#"{"from":"log"}"#.to_owned();
    draft
}

/// The report that `draft` is.
pub(crate) fn report(draft: Draft) -> Report {
    draft.validate(at(60)).expect("a valid draft")
}

fn pick(names: &'static [&'static str]) -> impl Strategy<Value = String> {
    prop::sample::select(names).prop_map(str::to_owned)
}

fn amount() -> impl Strategy<Value = Amount> {
    (0_i64..1_000_000, prop::option::of(0_i64..1_000)).prop_map(|(total, input)| Amount {
        total: NanoDollars(total),
        input: input.map(NanoDollars),
        output: None,
    })
}

fn computed() -> impl Strategy<Value = Computed> {
    (
        pick(&["2025-10-01", "2025-11-01"]),
        pick(&["base", "tier"]),
        amount(),
    )
        .prop_map(|(table, rule, amount)| Computed {
            table,
            rule,
            amount,
        })
}

fn tokens() -> impl Strategy<Value = Tokens> {
    prop::array::uniform8(prop_oneof![Just(0_u64), 0_u64..10_000]).prop_map(Tokens::from_buckets)
}

/// What identifies a report: trace and span, or neither or only the trace, and a request id.
fn identity() -> impl Strategy<Value = (Option<String>, Option<String>, String, Source)> {
    let traces = || pick(&["t1", "t2"]);
    let spans = || pick(&["s1", "s2", "s3"]);
    let requests = || pick(&["", "r1", "r2", "r3"]);
    prop_oneof![
        (traces(), spans(), requests()).prop_map(|(trace, span, request)| {
            (Some(trace), Some(span), request, Source::Span)
        }),
        (prop::option::of(traces()), requests()).prop_map(|(trace, request)| (
            trace,
            None,
            request,
            Source::Log
        )),
    ]
}

/// Any valid report.
pub(crate) fn any_report() -> impl Strategy<Value = Report> {
    let times = (
        0_i64..8_000,
        prop::option::of(0_i64..100),
        prop::option::of(0_i64..100),
    );
    let names = (
        pick(&["", "chat", "plan"]),
        pick(&["", "opus", "gpt"]),
        pick(&["", "anthropic"]),
        pick(&["", "robin", "kim"]),
        pick(&["", "u"]),
    );
    let money = (
        prop::option::of(tokens()),
        prop::option::of(amount()),
        prop::option::of(computed()),
        any::<bool>(),
    );
    let kind = prop::sample::select(ObservationKind::ALL);
    let level = prop::sample::select(Level::ALL);
    let texts = (
        pick(&["", "failed"]),
        pick(&["", "{}", r#"{"a":1}"#]),
        prop::option::of(pick(&["x", "y"])),
    );
    (identity(), times, names, money, kind, level, texts).prop_map(
        |((trace_id, span_id, request, source), times, names, money, kind, level, texts)| {
            let mut draft = Draft::new(source, kind, at(times.0));
            draft.trace_id = trace_id.map(|id| trace(&id));
            draft.span_id = span_id.map(|id| span(&id));
            draft.request_id = request;
            draft.level = level;
            draft.end_time = times.1.map(|seconds| at(times.0 + seconds));
            draft.completion_start_time = times.2.map(|seconds| at(times.0 + seconds));
            draft.labels.name = names.0;
            draft.labels.model_responded = names.1;
            draft.labels.provider = names.2;
            draft.labels.agent = names.3;
            draft.labels.user = names.4;
            // Where they are there, other words than those of other names.
            draft.labels.project = draft.labels.agent.replace("robin", "barista");
            draft.labels.session = draft.labels.user.replace('u', "s-1");
            draft.labels.prompt_name = draft.labels.name.replace("plan", "planner");
            (
                draft.tokens,
                draft.provided_cost,
                draft.computed_cost,
                draft.counts,
            ) = money;
            (draft.status_message, draft.attributes, draft.input) = texts;
            draft.trace.name = draft.labels.name.clone();
            draft.validate(at(10_000)).expect("a valid draft")
        },
    )
}
