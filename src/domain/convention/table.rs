//! The conventions, as data. Of several names, the first that is there counts.
//!
//! Sources: the semantic conventions of OpenTelemetry for generative AI and of OpenInference, the documentation of Claude Code, Codex CLI and
//! Gemini CLI, and what the SDKs of Langfuse, Traceloop, pydantic-ai and Vercel's `ai` really send (`tests/fixtures/otlp`).

use crate::domain::observation::ObservationKind as Kind;

// Names of spans and logs: labels.

pub(super) const MODEL_RESPONDED: &[&str] = &[
    "gen_ai.response.model",
    "ai.response.model",
    "llm.response.model_name",
];
pub(super) const MODEL_REQUESTED: &[&str] = &[
    "langfuse.observation.model.name",
    "gen_ai.request.model",
    "ai.model.id",
    "llm.model_name",
    "llm.request.model_name",
    "embedding.model_name",
    "reranker.model_name",
];
/// The same, where it surely is the model of a call and not anything else that has models.
pub(super) const MODEL_OF_CALL: &[&str] = &["model"];
pub(super) const PROVIDER: &[&str] = &[
    "gen_ai.provider.name",
    "gen_ai.system",
    "llm.provider",
    "llm.system",
    "ai.model.provider",
];
pub(super) const AGENT: &[&str] = &[
    "gen_ai.agent.name",
    "agent.name",
    "agent_name",
    "ai.telemetry.functionId",
];
pub(super) const SESSION: &[&str] = &[
    "session.id",
    "langfuse.session.id",
    "gen_ai.conversation.id",
    "conversation.id",
    "traceloop.association.properties.session_id",
    "ai.telemetry.metadata.sessionId",
];
pub(super) const USER: &[&str] = &[
    "user.id",
    "langfuse.user.id",
    "enduser.id",
    "traceloop.association.properties.user_id",
    "ai.telemetry.metadata.userId",
];
pub(super) const PROJECT: &[&str] = &[
    "barista.project",
    "openinference.project.name",
    "service.namespace",
];
pub(super) const PROMPT_NAME: &[&str] =
    &["langfuse.observation.prompt.name", "traceloop.prompt.key"];
pub(super) const PROMPT_VERSION: &[&str] = &[
    "langfuse.observation.prompt.version",
    "traceloop.prompt.version",
    "llm.prompt_template.version",
];
pub(super) const REQUEST_ID: &[&str] = &["request_id"];
/// What the provider calls its answer. Some providers' own SDKs report each call, and so does what instruments them, even in traces of their
/// own: calls with the same answer are one.
pub(super) const RESPONSE_ID: &[&str] = &["gen_ai.response.id", "ai.response.id"];
/// Where OpenInference keeps the whole answer, and what that calls itself.
pub(super) const RESPONSE: (&str, &str) = ("output.value", "id");
/// The fewest characters of a response id that can be told from others: some local servers number their answers from 0 to 999.
pub(super) const MIN_RESPONSE_ID: usize = 20;
/// How the SDKs of OpenTelemetry begin the name of a program that has none.
pub(super) const NAMELESS_SERVICE: &str = "unknown_service";

// What a trace is called and belongs to.

pub(super) const TRACE_NAME: &[&str] = &["langfuse.trace.name", "traceloop.workflow.name"];
pub(super) const TRACE_TAGS: &[&str] = &["langfuse.trace.tags", "tag.tags"];
pub(super) const TRACE_INPUT: &[&str] = &["langfuse.trace.input"];
pub(super) const TRACE_OUTPUT: &[&str] = &["langfuse.trace.output"];
pub(super) const TRACE_METADATA: &str = "langfuse.trace.metadata";
pub(super) const RELEASE: &[&str] = &["langfuse.release", "service.version"];
pub(super) const ENVIRONMENT: &[&str] = &[
    "langfuse.environment",
    "deployment.environment.name",
    "deployment.environment",
];

// How it went.

pub(super) const LEVEL: &[&str] = &["langfuse.observation.level"];
pub(super) const STATUS_MESSAGE: &[&str] = &[
    "langfuse.observation.status_message",
    "error.message",
    "error",
    "error.type",
];
/// The event of a span that tells of an exception, and what it says.
pub(super) const EXCEPTION: &str = "exception";
pub(super) const EXCEPTION_MESSAGE: &[&str] = &["exception.message", "exception.type"];
/// Events of a span that are no observations: they hold content, or time the answer.
pub(super) const QUIET_EVENTS: &[&str] = &[EXCEPTION, "gen_ai.", "ai.stream.", "llm."];

/// When the first token came.
#[derive(Debug, Clone, Copy)]
pub(super) enum FirstToken {
    /// So many milliseconds after the start.
    AfterMillis,
    /// So many seconds after the start.
    AfterSeconds,
    /// At this time, in ISO 8601, perhaps in quotes.
    At,
}

pub(super) const FIRST_TOKEN: &[(&str, FirstToken)] = &[
    ("langfuse.observation.completion_start_time", FirstToken::At),
    (
        "gen_ai.response.time_to_first_chunk",
        FirstToken::AfterSeconds,
    ),
    ("ai.response.msToFirstChunk", FirstToken::AfterMillis),
    ("ttft_ms", FirstToken::AfterMillis),
];

// What it costs.

/// The total cost in dollars, with those of input and output.
pub(super) const COSTS: &[[&str; 3]] = &[
    ["llm.cost.total", "llm.cost.prompt", "llm.cost.completion"],
    ["operation.cost", "", ""],
    ["gen_ai.usage.cost", "", ""],
    ["cost_usd", "", ""],
];
/// The total cost in millionths of a dollar.
pub(super) const COST_MICROS: &[&str] = &["cost_usd_micros"];
pub(super) const COST_DETAILS: &str = "langfuse.observation.cost_details";
pub(super) const USAGE_DETAILS: &str = "langfuse.observation.usage_details";

/// What changes prices, as the table of prices calls it.
pub(super) const PRICE_PROPERTIES: &[(&str, &[&str])] = &[
    (
        "service_tier",
        &[
            "gen_ai.openai.response.service_tier",
            "openai.response.service_tier",
            "gen_ai.openai.request.service_tier",
            "openai.request.service_tier",
            "service_tier",
        ],
    ),
    ("speed", &["speed"]),
];

// What kind of work it is.

/// Attributes whose value names the kind, in upper or lower case.
pub(super) const KINDS: &[(&str, &[(&str, Kind)])] = &[
    (
        LANGFUSE_TYPE,
        &[
            ("generation", Kind::Generation),
            ("span", Kind::Span),
            ("event", Kind::Event),
            ("agent", Kind::Agent),
            ("tool", Kind::Tool),
            ("chain", Kind::Chain),
            ("retriever", Kind::Retriever),
            ("evaluator", Kind::Evaluator),
            ("embedding", Kind::Embedding),
            ("guardrail", Kind::Guardrail),
        ],
    ),
    (
        "openinference.span.kind",
        &[
            ("llm", Kind::Generation),
            ("embedding", Kind::Embedding),
            ("chain", Kind::Chain),
            ("retriever", Kind::Retriever),
            ("reranker", Kind::Retriever),
            ("tool", Kind::Tool),
            ("agent", Kind::Agent),
            ("guardrail", Kind::Guardrail),
            ("evaluator", Kind::Evaluator),
        ],
    ),
    (
        "ai.operationid",
        &[
            ("ai.generatetext.dogenerate", Kind::Generation),
            ("ai.streamtext.dostream", Kind::Generation),
            ("ai.generateobject.dogenerate", Kind::Generation),
            ("ai.streamobject.dostream", Kind::Generation),
            ("ai.embed.doembed", Kind::Embedding),
            ("ai.embedmany.doembed", Kind::Embedding),
            ("ai.rerank.dorerank", Kind::Retriever),
            ("ai.toolcall", Kind::Tool),
            // Each of these is around calls that have spans of their own.
            ("ai.generatetext", Kind::Chain),
            ("ai.streamtext", Kind::Chain),
            ("ai.generateobject", Kind::Chain),
            ("ai.streamobject", Kind::Chain),
            ("ai.embed", Kind::Chain),
            ("ai.embedmany", Kind::Chain),
            ("ai.rerank", Kind::Chain),
        ],
    ),
    // Claude Code.
    (
        "span.type",
        &[
            ("llm_request", Kind::Generation),
            ("tool", Kind::Tool),
            ("interaction", Kind::Agent),
        ],
    ),
    (
        "gen_ai.operation.name",
        &[
            ("chat", Kind::Generation),
            ("text_completion", Kind::Generation),
            ("generate_content", Kind::Generation),
            ("embeddings", Kind::Embedding),
            ("execute_tool", Kind::Tool),
            ("invoke_agent", Kind::Agent),
            ("create_agent", Kind::Agent),
            ("invoke_workflow", Kind::Chain),
            ("retrieval", Kind::Retriever),
        ],
    ),
    (
        "traceloop.span.kind",
        &[
            ("workflow", Kind::Chain),
            ("task", Kind::Span),
            ("agent", Kind::Agent),
            ("tool", Kind::Tool),
        ],
    ),
    (
        "llm.request.type",
        &[
            ("chat", Kind::Generation),
            ("completion", Kind::Generation),
            ("embedding", Kind::Embedding),
            ("rerank", Kind::Retriever),
        ],
    ),
];
/// The attribute of [`KINDS`] whose spans have tokens of their own whatever their kind: no other SDK lets a tool report what a model used.
pub(super) const LANGFUSE_TYPE: &str = "langfuse.observation.type";

// Tokens.

/// Which numbers are part of others.
#[derive(Debug, Clone, Copy)]
pub(super) struct Inclusion {
    /// Whether the input contains what was read from and written to the cache.
    pub(super) cache_in_input: bool,
    /// Whether the output contains reasoning.
    pub(super) reasoning_in_output: bool,
}

/// What a convention calls tokens. Audio is part of input and of output everywhere, and writes for an hour are part of all writes.
#[derive(Debug)]
pub(super) struct TokenNames {
    pub(super) input: &'static [&'static str],
    pub(super) output: &'static [&'static str],
    pub(super) cache_read: &'static [&'static str],
    pub(super) cache_write: &'static [&'static str],
    pub(super) cache_write_1h: &'static [&'static str],
    pub(super) reasoning: &'static [&'static str],
    pub(super) audio_input: &'static [&'static str],
    pub(super) audio_output: &'static [&'static str],
    pub(super) inclusion: Inclusion,
}

const ALL_INCLUDED: Inclusion = Inclusion {
    cache_in_input: true,
    reasoning_in_output: true,
};

/// Vercel's `ai`, which writes `gen_ai.usage.*` as well, without the cache.
const VERCEL: TokenNames = TokenNames {
    input: &[
        "ai.usage.inputTokens",
        "ai.usage.promptTokens",
        "ai.usage.tokens",
    ],
    output: &["ai.usage.outputTokens", "ai.usage.completionTokens"],
    cache_read: &[
        "ai.usage.inputTokenDetails.cacheReadTokens",
        "ai.usage.cachedInputTokens",
    ],
    cache_write: &["ai.usage.inputTokenDetails.cacheWriteTokens"],
    cache_write_1h: &[],
    reasoning: &[
        "ai.usage.outputTokenDetails.reasoningTokens",
        "ai.usage.reasoningTokens",
    ],
    audio_input: &[],
    audio_output: &[],
    inclusion: ALL_INCLUDED,
};

/// OpenTelemetry's, current and older, and the dialects of Traceloop and pydantic-ai.
const GEN_AI: TokenNames = TokenNames {
    input: &["gen_ai.usage.input_tokens", "gen_ai.usage.prompt_tokens"],
    output: &[
        "gen_ai.usage.output_tokens",
        "gen_ai.usage.completion_tokens",
    ],
    cache_read: &[
        "gen_ai.usage.cache_read.input_tokens",
        "gen_ai.usage.cache_read_input_tokens",
        "gen_ai.usage.details.cache_read_tokens",
        "gen_ai.usage.details.cached_tokens",
    ],
    cache_write: &[
        "gen_ai.usage.cache_creation.input_tokens",
        "gen_ai.usage.cache_write.input_tokens",
        "gen_ai.usage.cache_creation_input_tokens",
        "gen_ai.usage.details.cache_write_tokens",
    ],
    cache_write_1h: &[],
    reasoning: &[
        "gen_ai.usage.reasoning.output_tokens",
        "gen_ai.usage.reasoning_tokens",
        "gen_ai.usage.details.reasoning_tokens",
        "llm.usage.reasoning_tokens",
    ],
    audio_input: &["gen_ai.usage.details.input_audio_tokens"],
    audio_output: &["gen_ai.usage.details.output_audio_tokens"],
    inclusion: ALL_INCLUDED,
};

const OPEN_INFERENCE: TokenNames = TokenNames {
    input: &["llm.token_count.prompt"],
    output: &["llm.token_count.completion"],
    cache_read: &[
        "llm.token_count.prompt_details.cache_read",
        "llm.token_count.prompt_details.cache_input",
    ],
    cache_write: &["llm.token_count.prompt_details.cache_write"],
    cache_write_1h: &[],
    reasoning: &["llm.token_count.completion_details.reasoning"],
    audio_input: &["llm.token_count.prompt_details.audio"],
    audio_output: &["llm.token_count.completion_details.audio"],
    inclusion: ALL_INCLUDED,
};

const CLAUDE_CODE: TokenNames = TokenNames {
    input: &["input_tokens"],
    output: &["output_tokens"],
    cache_read: &["cache_read_tokens"],
    cache_write: &["cache_creation_tokens"],
    cache_write_1h: &[],
    reasoning: &[],
    audio_input: &[],
    audio_output: &[],
    inclusion: Inclusion {
        cache_in_input: false,
        reasoning_in_output: true,
    },
};

const CODEX: TokenNames = TokenNames {
    input: &["input_token_count"],
    output: &["output_token_count"],
    cache_read: &["cached_token_count"],
    cache_write: &["cache_write_token_count"],
    cache_write_1h: &[],
    reasoning: &["reasoning_token_count"],
    audio_input: &[],
    audio_output: &[],
    inclusion: ALL_INCLUDED,
};

const GEMINI_CLI: TokenNames = TokenNames {
    input: &["input_token_count"],
    output: &["output_token_count"],
    cache_read: &["cached_content_token_count"],
    cache_write: &[],
    cache_write_1h: &[],
    reasoning: &["thoughts_token_count"],
    audio_input: &[],
    audio_output: &[],
    inclusion: Inclusion {
        cache_in_input: true,
        reasoning_in_output: false,
    },
};

/// The conventions for tokens of spans.
pub(super) const SPAN_TOKENS: &[&TokenNames] = &[&VERCEL, &GEN_AI, &OPEN_INFERENCE, &CLAUDE_CODE];

/// A bucket of tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Bucket {
    Input,
    CacheRead,
    CacheWrite,
    CacheWrite1h,
    AudioInput,
    Output,
    Reasoning,
    AudioOutput,
}

/// Keys of Langfuse's `usage_details`.
const USAGE_BUCKETS: &[(&str, Bucket)] = &[
    ("input", Bucket::Input),
    ("input_tokens", Bucket::Input),
    ("prompt_tokens", Bucket::Input),
    ("promptTokens", Bucket::Input),
    ("output", Bucket::Output),
    ("output_tokens", Bucket::Output),
    ("completion_tokens", Bucket::Output),
    ("completionTokens", Bucket::Output),
    ("cache_read_input_tokens", Bucket::CacheRead),
    ("input_cached_tokens", Bucket::CacheRead),
    ("input_cache_read", Bucket::CacheRead),
    ("cache_read", Bucket::CacheRead),
    ("cached_tokens", Bucket::CacheRead),
    ("cache_creation_input_tokens", Bucket::CacheWrite),
    ("input_cache_creation", Bucket::CacheWrite),
    ("input_cache_creation_5m", Bucket::CacheWrite),
    ("input_cache_creation_1h", Bucket::CacheWrite1h),
    ("cache_write", Bucket::CacheWrite),
    ("input_audio", Bucket::AudioInput),
    ("input_audio_tokens", Bucket::AudioInput),
    ("output_reasoning", Bucket::Reasoning),
    ("output_reasoning_tokens", Bucket::Reasoning),
    ("reasoning", Bucket::Reasoning),
    ("reasoning_tokens", Bucket::Reasoning),
    ("output_audio", Bucket::AudioOutput),
    ("output_audio_tokens", Bucket::AudioOutput),
];
/// Where an OpenAI client says what of the input was cached, and what of the output was reasoning.
pub(super) const INPUT_DETAILS: &[&str] = &["prompt_tokens_details", "input_tokens_details"];
pub(super) const OUTPUT_DETAILS: &[&str] = &["completion_tokens_details", "output_tokens_details"];

/// The bucket of a key of `usage_details`. One that nobody knows counts by how it begins, and a total counts nowhere.
pub(super) fn usage_bucket(key: &str) -> Option<Bucket> {
    let known = USAGE_BUCKETS.iter().find(|(name, _)| *name == key);
    known.map(|(_, bucket)| *bucket).or_else(|| {
        if key.starts_with("input_") {
            Some(Bucket::Input)
        } else if key.starts_with("output_") {
            Some(Bucket::Output)
        } else {
            None
        }
    })
}

// Logs.

/// A kind of log that is an observation.
#[derive(Debug)]
pub(super) struct LogEvent {
    /// The name of the event.
    pub(super) name: &'static str,
    /// What must stand in attributes, or `""` where anything may; the other logs with this name are left out.
    pub(super) only: &'static [(&'static str, &'static str)],
    /// What kind of work it tells of.
    pub(super) kind: Kind,
    /// Whether that failed.
    pub(super) is_error: bool,
    /// What it calls tokens.
    pub(super) tokens: Option<&'static TokenNames>,
    /// Who serves the model, where the log does not say.
    pub(super) provider: &'static str,
}

const fn event(name: &'static str, kind: Kind) -> LogEvent {
    LogEvent {
        name,
        only: &[],
        kind,
        is_error: false,
        tokens: None,
        provider: "",
    }
}

/// Logs that are more than an event. Any other log with the name of an event is one.
pub(super) const LOGS: &[LogEvent] = &[
    LogEvent {
        tokens: Some(&CLAUDE_CODE),
        provider: "anthropic",
        ..event("claude_code.api_request", Kind::Generation)
    },
    LogEvent {
        is_error: true,
        provider: "anthropic",
        ..event("claude_code.api_error", Kind::Generation)
    },
    event("claude_code.tool_result", Kind::Tool),
    LogEvent {
        // The others tell of pieces of an answer, hundreds for each; and that it is complete is told twice, once without tokens.
        only: &[
            ("event.kind", "response.completed"),
            ("output_token_count", ""),
        ],
        tokens: Some(&CODEX),
        provider: "openai",
        ..event("codex.sse_event", Kind::Generation)
    },
    event("codex.tool_result", Kind::Tool),
    LogEvent {
        tokens: Some(&GEMINI_CLI),
        provider: "google",
        ..event("gemini_cli.api_response", Kind::Generation)
    },
    LogEvent {
        is_error: true,
        provider: "google",
        ..event("gemini_cli.api_error", Kind::Generation)
    },
    event("gemini_cli.tool_call", Kind::Tool),
];
/// The program whose logs name their events without its own name, and what that is.
pub(super) const SHORT_NAMES: (&str, &str) = ("claude-code", "claude_code.");
pub(super) const EVENT_NAME: &[&str] = &["event.name"];
/// How Rust's libraries begin the name of an event that has none: the rest is a line of their source.
pub(super) const NAMELESS_EVENT: &str = "event ";
pub(super) const DURATION_MILLIS: &[&str] = &["duration_ms"];
pub(super) const TOOL_NAME: &[&str] = &["tool_name", "function_name", "gen_ai.tool.name"];
pub(super) const SUCCESS: &[&str] = &["success"];
/// The least severity of a warning, and of an error.
pub(super) const SEVERITIES: (i32, i32) = (13, 17);

// Content: what people and models wrote. It is kept apart from other attributes, so that it can be left out.

/// Names of what went in. One that ends with a point stands for all that begin so.
pub(super) const INPUT: &[&str] = &[
    "langfuse.observation.input",
    "gen_ai.input.messages",
    "gen_ai.system_instructions",
    "gen_ai.tool.definitions",
    "gen_ai.tool.call.arguments",
    "gen_ai.prompt",
    "gen_ai.prompt.",
    "input.value",
    "llm.input_messages.",
    "llm.prompts",
    "llm.prompts.",
    "llm.tools.",
    "llm.request.functions.",
    "llm.prompt_template.variables",
    "tool.parameters",
    "embedding.text",
    "embedding.embeddings.",
    "ai.prompt",
    "ai.prompt.messages",
    "ai.prompt.tools",
    "ai.toolCall.args",
    "ai.value",
    "ai.values",
    "traceloop.entity.input",
    "pydantic_ai.all_messages",
    "all_messages_events",
    "tool_arguments",
    "model_request_parameters",
    "prompt",
    "user_prompt",
    "request_text",
    "tool_parameters",
    "tool_input",
    "function_args",
    "arguments",
];
/// Names of what came out.
pub(super) const OUTPUT: &[&str] = &[
    "langfuse.observation.output",
    "gen_ai.output.messages",
    "gen_ai.tool.call.result",
    "gen_ai.completion",
    "gen_ai.completion.",
    "output.value",
    "llm.output_messages.",
    "llm.choices.",
    "retrieval.documents.",
    "reranker.output_documents.",
    "ai.response.text",
    "ai.response.object",
    "ai.response.toolCalls",
    "ai.response.reasoning",
    "ai.toolCall.result",
    "ai.embedding",
    "ai.embeddings",
    "traceloop.entity.output",
    "final_result",
    "tool_response",
    "response_text",
    "response",
    "output",
    "events",
    "body",
];
