//! What a store answers questions about usage and cost from. One method is one transaction, and none writes.

use async_trait::async_trait;

use super::super::clock::Timestamp;
use super::super::error::Result;
use super::super::hourly::Totals;
use super::super::observation::{Facts, Observation, ObservationKind};
use super::super::word::Vocabulary;

/// What observations can be grouped by. Where one has no such name, its group is the empty one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Dimension {
    /// The model that is counted: the one that answered, or else the one that was asked for.
    Model,
    /// Who serves the model.
    Provider,
    /// The agent at work.
    Agent,
    /// The project.
    Project,
    /// The conversation. The sums by the hour do not know it.
    Session,
    /// The person that it is done for. The sums by the hour do not know it.
    User,
    /// The name of the prompt. The sums by the hour do not know it.
    Prompt,
}

impl Dimension {
    /// Whether the sums by the hour do not tell these groups apart, so that observations are read themselves.
    #[must_use]
    pub fn needs_rows(self) -> bool {
        matches!(self, Self::Session | Self::User | Self::Prompt)
    }

    /// The name of the group that `facts` belong to.
    #[must_use]
    pub fn of(self, facts: &Facts) -> &str {
        let labels = &facts.labels;
        match self {
            Self::Model => labels.model(),
            Self::Provider => &labels.provider,
            Self::Agent => &labels.agent,
            Self::Project => &labels.project,
            Self::Session => &labels.session,
            Self::User => &labels.user,
            Self::Prompt => &labels.prompt_name,
        }
    }
}

impl Vocabulary for Dimension {
    const ALL: &'static [Self] = &[
        Self::Model,
        Self::Provider,
        Self::Agent,
        Self::Project,
        Self::Session,
        Self::User,
        Self::Prompt,
    ];

    fn as_str(self) -> &'static str {
        match self {
            Self::Model => "model",
            Self::Provider => "provider",
            Self::Agent => "agent",
            Self::Project => "project",
            Self::Session => "session",
            Self::User => "user",
            Self::Prompt => "prompt",
        }
    }
}

/// Which observations are counted: all that match every part. Empty lists and strings match everything.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Selection {
    /// One of these kinds.
    pub kinds: Vec<ObservationKind>,
    /// Exactly this model, as [`Dimension::Model`] counts it.
    pub model: String,
    /// Exactly this provider.
    pub provider: String,
    /// Exactly this agent.
    pub agent: String,
    /// Exactly this project.
    pub project: String,
}

impl Selection {
    /// The names that are asked for, with what they are names of.
    #[must_use]
    pub fn names(&self) -> [(Dimension, &str); 4] {
        [
            (Dimension::Model, &self.model),
            (Dimension::Provider, &self.provider),
            (Dimension::Agent, &self.agent),
            (Dimension::Project, &self.project),
        ]
    }

    /// Whether an observation is counted.
    #[must_use]
    pub fn matches(&self, facts: &Facts) -> bool {
        let named =
            |(dimension, name): (Dimension, &str)| name.is_empty() || name == dimension.of(facts);
        (self.kinds.is_empty() || self.kinds.contains(&facts.kind))
            && self.names().into_iter().all(named)
    }
}

/// What to add up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SumsQuery {
    /// The bounds of the buckets, as [`super::bucket::bounds`] gives them: at least two, and growing. An observation belongs to the bucket that it
    /// began in.
    pub bounds: Vec<Timestamp>,
    /// What to group by, each at most once.
    pub group_by: Vec<Dimension>,
    /// What is counted.
    pub selection: Selection,
    /// Whether latencies are wanted; otherwise those of the sums are empty.
    pub distributions: bool,
    /// How many observations may be read one by one.
    pub most_rows: usize,
}

/// What the observations of one group, kind and outcome in one bucket add up to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sum {
    /// The bucket: 0 is the first.
    pub bucket: usize,
    /// The group's names, in the order of [`SumsQuery::group_by`].
    pub names: Vec<String>,
    /// The kind.
    pub kind: ObservationKind,
    /// Whether they failed.
    pub failed: bool,
    /// What they add up to.
    pub totals: Totals,
}

/// Which of the most expensive observations are meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExpensiveQuery {
    /// Began at this time or later.
    pub start: Timestamp,
    /// Began before this time.
    pub end: Timestamp,
    /// What is meant.
    pub selection: Selection,
    /// How many at most.
    pub limit: usize,
    /// How many observations may be looked at in vain.
    pub most_rows: usize,
}

/// How the ingestion is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ingestion {
    /// When the newest observation began; `None` where there is none.
    pub newest: Option<Timestamp>,
    /// When the oldest one began.
    pub oldest: Option<Timestamp>,
    /// The sequence of the last change: how many there have been.
    pub head: i64,
}

/// Answers questions from observations and their sums by the hour. Any method may fail with `DatabaseUnavailable` or `Internal`.
#[async_trait]
pub trait AnalyticsStore: Send + Sync {
    /// Adds up observations by bucket, group, kind and outcome, in no particular order; nothing where there is nothing. The result is the same as that
    /// of adding up [`Totals::of`] each.
    ///
    /// Where buckets are whole hours of UTC, and the sums by the hour tell the groups apart, the time that it takes does not depend on how many
    /// observations there are.
    ///
    /// # Errors
    ///
    /// `QuestionTooBroad` where more than [`SumsQuery::most_rows`] observations would have to be read.
    async fn sums(&self, query: SumsQuery) -> Result<Vec<Sum>>;

    /// Returns those that cost most of the observations that count, the most expensive first, and the newest of those that cost the same. Observations
    /// without a known cost, or that cost nothing, are not among them.
    ///
    /// # Errors
    ///
    /// `QuestionTooBroad` where more than [`ExpensiveQuery::most_rows`] more expensive ones are not meant.
    async fn expensive(&self, query: ExpensiveQuery) -> Result<Vec<Observation>>;

    /// Returns what has come in.
    async fn ingestion(&self) -> Result<Ingestion>;
}
