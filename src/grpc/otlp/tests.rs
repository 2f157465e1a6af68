//! What real SDKs have sent (`tests/fixtures/otlp`, written by `tests/tools/capture/capture.py`), as reports of observations.

use std::path::Path;

use prost::Message;
use prost_reflect::{DescriptorPool, DynamicMessage};

use super::*;
use crate::domain::clock::Timestamp;
use crate::domain::observation::ObservationKind as Kind;
use crate::domain::observation::usage::Tokens;
use crate::domain::observation::{Level, Source};
use crate::grpc::pb::DESCRIPTOR_SET;

/// The golden call: 130,213 input tokens, of which most were cached, and their cost on claude-sonnet-4-5.
const GOLDEN: [u64; 3] = [5, 128_955, 1_253];
const GOLDEN_INPUT_COST: i64 = 43_400_250;

/// The requests of a fixture.
fn fixture<M: Message + Default>(name: &str, message: &str) -> Vec<M> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures/otlp")
        .join(name);
    let text = std::fs::read_to_string(path.with_extension("json")).expect("a fixture");
    let requests: Vec<serde_json::Value> = serde_json::from_str(&text).expect("a list");
    let pool = DescriptorPool::decode(DESCRIPTOR_SET).expect("descriptors");
    let message = pool.get_message_by_name(message).expect("a message");
    // A fixture has requests of spans and of logs: each is one of the two.
    let decode = |json| {
        let dynamic = DynamicMessage::deserialize(message.clone(), json).ok()?;
        Some(M::decode(dynamic.encode_to_vec().as_slice()).expect("the same"))
    };
    requests.into_iter().filter_map(decode).collect()
}

/// The reports of a fixture of spans. Every one keeps the rules.
fn traces(name: &str) -> Vec<Draft> {
    let message = "opentelemetry.proto.collector.trace.v1.ExportTraceServiceRequest";
    let prices = Prices::default();
    let requests = fixture(name, message).into_iter();
    let read: Vec<Read> = requests
        .flat_map(|request| spans(request, &prices).collect::<Vec<_>>())
        .collect();
    let drafts: Vec<Draft> = read
        .into_iter()
        .flat_map(|read| read.expect("reports"))
        .collect();
    check(&drafts);
    drafts
}

/// The reports of a fixture that has logs, and may have spans. Every one keeps the rules.
fn all(name: &str) -> Vec<Draft> {
    let message = "opentelemetry.proto.collector.logs.v1.ExportLogsServiceRequest";
    let prices = Prices::default();
    let requests = fixture(name, message).into_iter();
    let read: Vec<Read> = requests
        .flat_map(|request| logs(request, &prices).collect::<Vec<_>>())
        .collect();
    let mut drafts: Vec<Draft> = read
        .into_iter()
        .flat_map(|read| read.expect("reports"))
        .collect();
    check(&drafts);
    drafts.extend(traces(name));
    drafts
}

fn check(drafts: &[Draft]) {
    for draft in drafts {
        let mut draft = draft.clone();
        draft.fit();
        let name = draft.labels.name.clone();
        draft
            .validate(Timestamp::MAX)
            .unwrap_or_else(|error| panic!("{name}: {error}"));
    }
}

/// The one report called `name`.
fn named<'a>(drafts: &'a [Draft], name: &str) -> &'a Draft {
    let mut found = drafts.iter().filter(|draft| draft.labels.name == name);
    let first = found.next().unwrap_or_else(|| panic!("no {name}"));
    assert!(found.next().is_none(), "several {name}");
    first
}

/// Names, kinds and whether they count, in the order of the request.
fn outline(drafts: &[Draft]) -> Vec<(&str, Kind, bool)> {
    let one = |draft: &Draft| (draft.kind, draft.counts);
    drafts
        .iter()
        .map(|draft| (draft.labels.name.as_str(), one(draft).0, one(draft).1))
        .collect()
}

fn input_buckets(draft: &Draft) -> [u64; 3] {
    let tokens = draft.tokens.expect("tokens");
    [tokens.input, tokens.cache_read, tokens.cache_write_5m]
}

fn input_cost(draft: &Draft) -> Option<i64> {
    let computed = draft.computed_cost.as_ref()?;
    computed.amount.input.map(|nanos| nanos.0)
}

#[test]
fn cached_tokens_are_counted_once_whoever_reports_them() {
    let cases = [
        ("openinference-anthropic", "messages.create"),
        ("openinference-anthropic", "anthropic.messages.create"),
        ("traceloop-anthropic", "anthropic.chat"),
        ("traceloop-anthropic", "anthropic.messages.create"),
        ("vercel-ai", "ai.streamText.doStream"),
        ("langfuse", "ask"),
    ];
    for (fixture, name) in cases {
        let drafts = traces(fixture);
        let draft = named(&drafts, name);
        assert_eq!(input_buckets(draft), GOLDEN, "{fixture} {name}");
        assert_eq!(
            input_cost(draft),
            Some(GOLDEN_INPUT_COST),
            "{fixture} {name}"
        );
        assert_eq!(draft.kind, Kind::Generation, "{fixture} {name}");
        assert!(draft.counts, "{fixture} {name}");
        assert!(
            draft.labels.model().starts_with("claude-sonnet-4-5"),
            "{fixture} {name}"
        );
    }
}

/// Those that count.
fn counted(drafts: &[Draft]) -> Vec<&Draft> {
    let counts = |draft: &&Draft| draft.counts && draft.tokens.is_some();
    drafts.iter().filter(counts).collect()
}

#[test]
fn claude_code_reports_a_call_in_a_log_and_in_a_span_that_are_about_the_same() {
    let drafts = all("claude-code");
    let [log, span] = counted(&drafts)[..] else {
        panic!("{:?}", outline(&drafts));
    };
    assert_eq!(log.labels.name, "claude_code.api_request");
    assert_eq!(span.labels.name, "claude_code.llm_request");
    assert!(log.request_id.starts_with("req_"));
    assert_eq!(log.request_id, span.request_id);
    assert_eq!((log.source, span.source), (Source::Log, Source::Span));
    for draft in [log, span] {
        assert_eq!(input_buckets(draft), GOLDEN);
        assert_eq!(input_cost(draft), Some(GOLDEN_INPUT_COST));
        assert_eq!(draft.labels.agent, "claude-code");
        assert_eq!(draft.labels.provider, "anthropic");
        assert!(!draft.labels.session.is_empty());
    }
    let provided = log.provided_cost.expect("a cost");
    assert_eq!(provided.total.0, 43_505_250);
    let computed = log.computed_cost.as_ref().expect("a cost");
    assert_eq!(
        computed.amount.total, provided.total,
        "ours is what it says itself"
    );
    assert!(span.completion_start_time.is_some());
    assert_eq!(log.trace_id, span.trace_id);
    let interaction = named(&drafts, "claude_code.interaction");
    assert_eq!((interaction.kind, interaction.counts), (Kind::Agent, false));
    assert_eq!(named(&drafts, "claude_code.user_prompt").kind, Kind::Event);
}

#[test]
fn codex_reports_a_call_in_one_of_many_logs() {
    let drafts = all("codex");
    let [call] = counted(&drafts)[..] else {
        panic!("{:?}", outline(&drafts));
    };
    let expected = Tokens {
        input: 400,
        cache_read: 600,
        output: 100,
        reasoning: 200,
        ..Tokens::default()
    };
    assert_eq!(call.tokens, Some(expected));
    assert_eq!(call.labels.model(), "gpt-5");
    assert!(!call.labels.session.is_empty());
    assert!(call.computed_cost.is_some());
    let pieces = drafts
        .iter()
        .filter(|draft| draft.labels.name == "codex.sse_event");
    assert_eq!(pieces.count(), 1);
    assert_eq!(named(&drafts, "codex.user_prompt").kind, Kind::Event);
}

#[test]
fn gemini_cli_reports_thoughts_beside_the_output_and_each_call_twice() {
    let drafts = all("gemini-cli");
    let [call] = counted(&drafts)[..] else {
        panic!("{:?}", outline(&drafts));
    };
    let expected = Tokens {
        input: 400,
        cache_read: 600,
        output: 100,
        reasoning: 200,
        ..Tokens::default()
    };
    assert_eq!(call.tokens, Some(expected));
    assert_eq!(call.labels.name, "gemini_cli.api_response");
    assert_eq!(call.labels.provider, "google");
    let took = call.end_time.expect("an end").since(call.start_time);
    assert_eq!(u128::from(took.subsec_millis()), took.as_millis());
    assert!(took.as_millis() > 0);
    assert!(call.computed_cost.is_some());
}

#[test]
fn reasoning_is_taken_out_of_the_output() {
    for (fixture, name) in [
        ("openinference-openai", "ChatCompletion"),
        ("traceloop-openai", "openai.chat"),
    ] {
        let drafts = traces(fixture);
        let draft = named(&drafts, name);
        let expected = Tokens {
            input: 400,
            cache_read: 600,
            output: 100,
            reasoning: 200,
            ..Tokens::default()
        };
        assert_eq!(draft.tokens, Some(expected), "{fixture}");
        assert_eq!(draft.labels.provider, "openai", "{fixture}");
        let computed = draft.computed_cost.as_ref().expect("a cost");
        assert!(
            computed.rule.starts_with("openai/gpt-5"),
            "{}",
            computed.rule
        );
    }
}

#[test]
fn a_call_that_two_libraries_report_has_one_request_id() {
    for (fixture, outer, inner) in [
        (
            "openinference-anthropic",
            "messages.create",
            "anthropic.messages.create",
        ),
        (
            "traceloop-anthropic",
            "anthropic.chat",
            "anthropic.messages.create",
        ),
    ] {
        let drafts = traces(fixture);
        let (outer, inner) = (named(&drafts, outer), named(&drafts, inner));
        assert!(!outer.request_id.is_empty(), "{fixture}");
        assert_eq!(outer.request_id, inner.request_id, "{fixture}");
        assert_ne!(outer.span_id, inner.span_id, "{fixture}");
    }
}

#[test]
fn sums_of_other_spans_do_not_count() {
    let drafts = traces("vercel-ai");
    let expected = [
        ("ai.generateText.doGenerate", Kind::Generation, true),
        ("ai.toolCall", Kind::Tool, false),
        ("ai.generateText.doGenerate", Kind::Generation, true),
        ("ai.generateText", Kind::Chain, false),
        ("ai.streamText.doStream", Kind::Generation, true),
        ("ai.streamText", Kind::Chain, false),
        ("ai.embed.doEmbed", Kind::Embedding, true),
        ("ai.embed", Kind::Chain, false),
    ];
    assert_eq!(outline(&drafts), expected);
    for draft in drafts.iter().filter(|draft| !draft.counts) {
        assert_eq!(draft.computed_cost, None, "{}", draft.labels.name);
    }
    let drafts = traces("pydantic-ai");
    let expected = [
        ("chat test", Kind::Generation, true),
        ("execute_tool weather", Kind::Tool, false),
        ("chat test", Kind::Generation, true),
        ("invoke_agent helper", Kind::Agent, false),
    ];
    assert_eq!(outline(&drafts), expected);
    assert_eq!(named(&drafts, "invoke_agent helper").tokens, None);
    let total: u64 = drafts
        .iter()
        .filter_map(|draft| draft.tokens)
        .map(|tokens| tokens.total())
        .sum();
    assert_eq!(total, 54 + 5 + 57 + 11);
}

#[test]
fn a_model_that_no_table_has_costs_what_nobody_knows() {
    let drafts = traces("pydantic-ai");
    for draft in &drafts {
        assert_eq!(draft.computed_cost, None);
        assert_eq!(draft.provided_cost, None);
    }
}

#[test]
fn names_come_from_each_convention() {
    let drafts = traces("vercel-ai");
    let stream = named(&drafts, "ai.streamText.doStream");
    assert_eq!(stream.labels.session, "session-1");
    assert_eq!(stream.labels.user, "user-1");
    assert_eq!(stream.labels.agent, "helper");
    let first = stream.completion_start_time.expect("a first token");
    assert!(first > stream.start_time && Some(first) < stream.end_time);
    let drafts = traces("pydantic-ai");
    let agent = named(&drafts, "invoke_agent helper");
    assert_eq!(agent.labels.agent, "helper");
    assert!(!agent.labels.session.is_empty());
    let drafts = traces("openinference-anthropic");
    let call = named(&drafts, "messages.create");
    assert_eq!(call.labels.session, "session-1");
    assert_eq!(call.labels.agent, "captured", "the name of the service");
    assert_eq!(call.trace.tags.iter().collect::<Vec<_>>(), ["a", "b"]);
}

#[test]
fn langfuse_says_what_it_costs_and_what_the_trace_is() {
    let drafts = traces("langfuse");
    let expected = [
        ("ask", Kind::Generation, true),
        ("look", Kind::Tool, true),
        ("note", Kind::Event, true),
        ("deploy", Kind::Agent, true),
    ];
    assert_eq!(outline(&drafts), expected);
    let ask = named(&drafts, "ask");
    let cost = ask.provided_cost.expect("a cost");
    assert_eq!(cost.total.0, 43_505_000);
    assert_eq!(cost.input.map(|nanos| nanos.0), Some(43_400_000));
    assert_eq!(cost.output.map(|nanos| nanos.0), Some(105_000));
    assert_eq!(ask.output.as_deref(), Some("Yes."));
    assert!(!ask.attributes.contains("Yes."), "{}", ask.attributes);
    let trace = &ask.trace;
    assert_eq!(
        trace.names(),
        ["deployment", "user-1", "session-1", "1.2.3", "test"]
    );
    assert_eq!(trace.tags.len(), 2);
    let look = named(&drafts, "look");
    assert_eq!(
        (look.level, look.status_message.as_str()),
        (Level::Warning, "slow")
    );
}

#[test]
fn content_is_not_among_the_raw_attributes() {
    for fixture in [
        "openinference-anthropic",
        "traceloop-anthropic",
        "vercel-ai",
        "pydantic-ai",
        "langfuse",
    ] {
        for draft in traces(fixture) {
            for word in ["Deploy?", "Yes.", "How is the weather", "fine in"] {
                assert!(
                    !draft.attributes.contains(word),
                    "{fixture}: {}",
                    draft.attributes
                );
            }
        }
    }
    let drafts = traces("openinference-anthropic");
    let call = named(&drafts, "messages.create");
    assert!(
        call.input
            .as_ref()
            .is_some_and(|input| input.contains("Deploy?"))
    );
    assert!(
        call.output
            .as_ref()
            .is_some_and(|output| output.contains("Yes."))
    );
}

#[test]
fn a_span_that_failed_says_why_and_its_events_are_observations() {
    let drafts = traces("failure");
    assert_eq!(
        outline(&drafts),
        [
            ("work", Kind::Span, false),
            ("checkpoint", Kind::Event, false)
        ]
    );
    let work = named(&drafts, "work");
    assert_eq!(work.level, Level::Error);
    assert_eq!(work.status_message, "ValueError: no such table");
    assert!(
        work.attributes.contains("\"step\":3"),
        "{}",
        work.attributes
    );
    let checkpoint = named(&drafts, "checkpoint");
    assert_eq!(checkpoint.parent_id, work.span_id);
    assert_eq!(checkpoint.span_id, None);
}
