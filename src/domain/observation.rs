//! Observations: generations, spans and events of agents, as many reports describe them together.
//!
//! One call of a model is often reported twice, as a span and as a log. [`Facts`] is what all reports of it say together; how they are
//! joined is in [`merge`].

pub mod draft;
pub mod id;
pub mod merge;
pub mod store;
#[cfg(test)]
pub(crate) mod testing;
pub mod usage;

use std::collections::BTreeSet;

use super::clock::Timestamp;
use super::word::Vocabulary;
use id::{SpanId, SpanKey, TraceId};
use merge::FieldSet;
use usage::{Amount, Computed, Cost, Tokens};

/// What kind of work was observed, the least specific first: where two reports differ, the more specific kind is right.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ObservationKind {
    /// A moment without a duration.
    Event,
    /// Any piece of work.
    Span,
    /// Steps that follow each other.
    Chain,
    /// An agent at work: usually the root of what it does.
    Agent,
    /// A tool that was called.
    Tool,
    /// A search for documents.
    Retriever,
    /// A judgement of a result.
    Evaluator,
    /// A check that may stop something.
    Guardrail,
    /// Text turned into vectors by a model.
    Embedding,
    /// One call of a language model.
    Generation,
}

impl Vocabulary for ObservationKind {
    const ALL: &'static [Self] = &[
        Self::Event,
        Self::Span,
        Self::Chain,
        Self::Agent,
        Self::Tool,
        Self::Retriever,
        Self::Evaluator,
        Self::Guardrail,
        Self::Embedding,
        Self::Generation,
    ];

    fn as_str(self) -> &'static str {
        match self {
            Self::Event => "event",
            Self::Span => "span",
            Self::Chain => "chain",
            Self::Agent => "agent",
            Self::Tool => "tool",
            Self::Retriever => "retriever",
            Self::Evaluator => "evaluator",
            Self::Guardrail => "guardrail",
            Self::Embedding => "embedding",
            Self::Generation => "generation",
        }
    }
}

/// How much attention it deserves, the least first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Level {
    /// Only for who looks for something.
    Debug,
    /// The usual.
    Default,
    /// Something may be wrong.
    Warning,
    /// It failed.
    Error,
}

impl Vocabulary for Level {
    const ALL: &'static [Self] = &[Self::Debug, Self::Default, Self::Warning, Self::Error];

    fn as_str(self) -> &'static str {
        match self {
            Self::Debug => "DEBUG",
            Self::Default => "DEFAULT",
            Self::Warning => "WARNING",
            Self::Error => "ERROR",
        }
    }
}

/// What a report was: a span is right about time and place, a log fills in what the span does not say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Source {
    /// A span, or a record that describes the observation as a whole.
    Span,
    /// A log about something that a span may describe as well.
    Log,
}

/// Names that repeat from observation to observation. Empty strings stand for what is not known.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Labels {
    /// What it is called.
    pub name: String,
    /// The model that was asked for.
    pub model_requested: String,
    /// The model that answered.
    pub model_responded: String,
    /// Who serves the model: `anthropic`, `openai`.
    pub provider: String,
    /// The agent at work.
    pub agent: String,
    /// The project that it works on.
    pub project: String,
    /// The conversation that it belongs to.
    pub session: String,
    /// The person that it is done for.
    pub user: String,
    /// The name of the prompt that was used.
    pub prompt_name: String,
    /// The version of that prompt.
    pub prompt_version: String,
}

impl Labels {
    /// How many there are.
    pub const COUNT: usize = 10;
    /// Their names, as in the API.
    pub const NAMES: [&'static str; Self::COUNT] = [
        "name",
        "model_requested",
        "model_responded",
        "provider",
        "agent",
        "project",
        "session",
        "user",
        "prompt_name",
        "prompt_version",
    ];

    /// The labels in the order of [`Labels::NAMES`].
    #[must_use]
    pub fn all(&self) -> [&String; Self::COUNT] {
        [
            &self.name,
            &self.model_requested,
            &self.model_responded,
            &self.provider,
            &self.agent,
            &self.project,
            &self.session,
            &self.user,
            &self.prompt_name,
            &self.prompt_version,
        ]
    }

    /// The labels in the order of [`Labels::NAMES`], to be changed.
    pub fn all_mut(&mut self) -> [&mut String; Self::COUNT] {
        [
            &mut self.name,
            &mut self.model_requested,
            &mut self.model_responded,
            &mut self.provider,
            &mut self.agent,
            &mut self.project,
            &mut self.session,
            &mut self.user,
            &mut self.prompt_name,
            &mut self.prompt_version,
        ]
    }

    /// The model that is counted: the one that answered, or else the one that was asked for.
    #[must_use]
    pub fn model(&self) -> &str {
        if self.model_responded.is_empty() {
            &self.model_requested
        } else {
            &self.model_responded
        }
    }
}

/// When it happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Times {
    /// When it began.
    pub start: Timestamp,
    /// When it ended; `None` while it goes on, and for an event.
    pub end: Option<Timestamp>,
    /// When the first token of the answer came.
    pub completion_start: Option<Timestamp>,
}

impl Times {
    /// How long it took, in microseconds; `None` while it goes on.
    #[must_use]
    pub fn latency_micros(&self) -> Option<u64> {
        self.end.map(|end| micros_between(self.start, end))
    }

    /// How long the first token took, in microseconds.
    #[must_use]
    pub fn first_token_micros(&self) -> Option<u64> {
        self.completion_start
            .map(|first| micros_between(self.start, first))
    }
}

fn micros_between(earlier: Timestamp, later: Timestamp) -> u64 {
    u64::try_from(later.since(earlier).as_micros()).unwrap_or(u64::MAX)
}

/// Where it is in its trace.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Place {
    /// Its span; `None` where only a log told of it.
    pub span: Option<SpanId>,
    /// Its trace; `None` where nobody said.
    pub trace: Option<TraceId>,
    /// The span that it is part of; `None` for the root of a trace.
    pub parent: Option<SpanId>,
}

/// Tokens, and what a table of prices says that they cost.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Usage {
    /// The tokens.
    pub tokens: Tokens,
    /// Their cost; `None` where the table does not know the model.
    pub computed: Option<Computed>,
}

/// What was in the reports beside what has a field: a JSON object as text for each source; empty for none.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Attributes {
    /// Of the span.
    pub span: String,
    /// Of the log.
    pub log: String,
}

/// What all reports say about one observation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    /// Where it is.
    pub place: Place,
    /// Every span that it was reported as, that of `place` among them.
    pub spans: BTreeSet<SpanKey>,
    /// Every request id that it was reported with.
    pub request_ids: BTreeSet<String>,
    /// What kind of work it is.
    pub kind: ObservationKind,
    /// How much attention it deserves.
    pub level: Level,
    /// Its names.
    pub labels: Labels,
    /// Why it failed, or anything else about how it ended.
    pub status_message: String,
    /// When it happened.
    pub times: Times,
    /// Its tokens; `None` where nobody said.
    pub usage: Option<Usage>,
    /// Its cost, where whoever reported it said so.
    pub provided_cost: Option<Amount>,
    /// Whether tokens and cost belong into totals. An aggregate of others, such as an agent's span with the sum of its calls, does not count.
    pub counts: bool,
    /// What has no field.
    pub attributes: Attributes,
    /// What went in; `None` where it is not kept.
    pub input: Option<String>,
    /// What came out; `None` where it is not kept.
    pub output: Option<String>,
    /// Which of this a log has said, and no span.
    pub from_log: FieldSet,
}

impl Facts {
    /// What it cost. What was reported goes before what a table of prices says.
    #[must_use]
    pub fn cost(&self) -> Cost<'_> {
        let computed = self
            .usage
            .as_ref()
            .and_then(|usage| usage.computed.as_ref());
        match (self.provided_cost, computed) {
            (Some(amount), _) => Cost::Provided(amount),
            (None, Some(computed)) => Cost::Computed(computed),
            (None, None) => Cost::Unknown,
        }
    }

    /// Whether its cost is missing in totals: it counts and has tokens, but nobody knows what they cost.
    #[must_use]
    pub fn lacks_cost(&self) -> bool {
        let has_tokens = self
            .usage
            .as_ref()
            .is_some_and(|usage| usage.tokens.total() > 0);
        self.counts && has_tokens && self.cost() == Cost::Unknown
    }
}

/// An observation as it is stored.
#[derive(Debug, Clone, PartialEq)]
pub struct Observation {
    /// Its number in the store, in the order of arrival; never used again.
    pub id: i64,
    /// What is known about it.
    pub facts: Facts,
    /// The sequence of its last change; 0 where the journal does not know it any more.
    pub sequence: i64,
}
