//! What a store of telemetry does. One method is one transaction.

use std::ops::Range;

use async_trait::async_trait;
use tokio::sync::watch;

use super::super::change::JournalBounds;
use super::super::clock::Timestamp;
use super::super::error::Result;
use super::super::hourly::Hourly;
use super::super::notification::store::Call;
use super::super::trace::Trace;
use super::super::word::Vocabulary;
use super::draft::Report;
use super::id::TraceId;
use super::{Level, Observation, ObservationKind};

/// What became of a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It told of an observation that nobody had told of.
    Stored,
    /// It added to what was known about an observation.
    Merged,
    /// All that it said was known.
    Duplicate,
}

/// A report that was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Recorded {
    /// What became of it.
    pub outcome: Outcome,
    /// The observation that it is about.
    pub id: i64,
}

/// What happened to an observation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ObservationChangeKind {
    /// It was reported for the first time.
    Stored,
    /// A report added to it.
    Merged,
    /// It was forgotten, or turned out to be the same as another one.
    Deleted,
}

impl Vocabulary for ObservationChangeKind {
    const ALL: &'static [Self] = &[Self::Stored, Self::Merged, Self::Deleted];

    fn as_str(self) -> &'static str {
        match self {
            Self::Stored => "stored",
            Self::Merged => "merged",
            Self::Deleted => "deleted",
        }
    }
}

/// One change of one observation.
#[derive(Debug, Clone, PartialEq)]
pub struct ObservationChange {
    /// Its number in the journal.
    pub sequence: i64,
    /// What happened.
    pub kind: ObservationChangeKind,
    /// The observation.
    pub id: i64,
    /// The observation as it is now, without attributes and content; `None` where it is gone.
    pub observation: Option<Observation>,
}

/// Which observations are meant: all that match every part. Empty lists, strings and `None` match everything.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ObservationFilter {
    /// One of these kinds.
    pub kinds: Vec<ObservationKind>,
    /// One of these levels.
    pub levels: Vec<Level>,
    /// Exactly this model, whether it answered or was asked for.
    pub model: String,
    /// Exactly this provider.
    pub provider: String,
    /// Exactly this agent.
    pub agent: String,
    /// Exactly this project.
    pub project: String,
    /// Exactly this session.
    pub session: String,
    /// Exactly this user.
    pub user: String,
    /// Of this trace.
    pub trace: Option<TraceId>,
    /// Began at this time or later.
    pub start: Option<Timestamp>,
    /// Began before this time.
    pub end: Option<Timestamp>,
}

impl ObservationFilter {
    /// Whether `observation` is meant.
    #[must_use]
    pub fn matches(&self, observation: &Observation) -> bool {
        let facts = &observation.facts;
        let labels = &facts.labels;
        let names = |wanted: &str, found: &str| wanted.is_empty() || wanted == found;
        let start = facts.times.start;
        (self.kinds.is_empty() || self.kinds.contains(&facts.kind))
            && (self.levels.is_empty() || self.levels.contains(&facts.level))
            && (names(&self.model, &labels.model_responded)
                || names(&self.model, &labels.model_requested))
            && names(&self.provider, &labels.provider)
            && names(&self.agent, &labels.agent)
            && names(&self.project, &labels.project)
            && names(&self.session, &labels.session)
            && names(&self.user, &labels.user)
            && (self.trace.is_none() || self.trace == facts.place.trace)
            && self.start.is_none_or(|first| start >= first)
            && self.end.is_none_or(|end| start < end)
    }
}

/// Which traces are meant. Empty strings and `None` match everything.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TraceFilter {
    /// Exactly this name.
    pub name: String,
    /// Exactly this session.
    pub session: String,
    /// Exactly this user.
    pub user: String,
    /// Exactly this environment.
    pub environment: String,
    /// Began at this time or later.
    pub start: Option<Timestamp>,
    /// Began before this time.
    pub end: Option<Timestamp>,
}

/// A place in a list, which is in the order of the start, the newest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct PageKey {
    /// The start of the last one that was looked at, in microseconds since the epoch.
    pub start: i64,
    /// Its number in the store.
    pub id: i64,
}

/// Which page of which list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PageQuery<F> {
    /// What is meant.
    pub filter: F,
    /// How many at most, at least 1.
    pub size: usize,
    /// Where the page before ended.
    pub after: Option<PageKey>,
}

/// A page of a list, the newest first.
#[derive(Debug, Clone, PartialEq)]
pub struct Page<T> {
    /// May be fewer than asked for, even none, while more follow.
    pub items: Vec<T>,
    /// Where this page ended; `None` when it was the last.
    pub next: Option<PageKey>,
}

/// A trace with its observations.
#[derive(Debug, Clone, PartialEq)]
pub struct TraceTree {
    /// The trace.
    pub trace: Trace,
    /// Its observations without attributes and content, in the order of their start.
    pub observations: Vec<Observation>,
    /// Whether there are more than were asked for.
    pub truncated: bool,
}

/// What of the telemetry is forgotten.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Forget {
    /// Observations that began before, with all that is known of them, and the traces that are empty then.
    Observations {
        /// The time.
        before: Timestamp,
    },
    /// Attributes and content of observations that began before.
    Payloads {
        /// The time.
        before: Timestamp,
    },
    /// Changes up to this sequence.
    Journal {
        /// The sequence.
        through: i64,
    },
}

/// Keeps observations, traces, their sums by the hour, and the journal of their changes.
///
/// A write returns after it is durable. Writes fail with `DatabaseBusy`, `QueueFull`, `DiskFull`, `DatabaseUnavailable` or
/// `ShuttingDown` when nothing was written, with `CommitUnknown` when that is not known. Any method may fail with `Internal`.
#[async_trait]
pub trait TelemetryStore: Send + Sync {
    /// Adds `reports` to what is known, in one transaction with the sums and the journal, and says for each what became of it. Reports about the
    /// same observation are joined by [`super::merge::join`], in whatever order and however often they come.
    async fn record(&self, reports: Vec<Report>, call: Call) -> Result<Vec<Recorded>>;

    /// Returns one observation with its attributes and content.
    ///
    /// # Errors
    ///
    /// `ObservationNotFound`.
    async fn observation(&self, id: i64) -> Result<Observation>;

    /// Returns a trace with at most `limit` of its observations.
    ///
    /// # Errors
    ///
    /// `TraceNotFound`.
    async fn trace(&self, id: TraceId, limit: usize) -> Result<TraceTree>;

    /// Returns a page of traces, without metadata, input and output.
    async fn traces(&self, query: PageQuery<TraceFilter>) -> Result<Page<Trace>>;

    /// Returns a page of observations, without attributes and content.
    async fn observations(&self, query: PageQuery<ObservationFilter>) -> Result<Page<Observation>>;

    /// Returns the sums of all groups in a range of hours since the epoch.
    async fn hourly(&self, hours: Range<i64>) -> Result<Vec<Hourly>>;

    /// Makes the sums of all hours again from the observations.
    async fn rebuild_hourly(&self, call: Call) -> Result<()>;

    /// "Committed up to here": the sequence of the last change that is durable.
    async fn head(&self) -> Result<watch::Receiver<i64>>;

    /// What the journal keeps.
    async fn bounds(&self) -> Result<JournalBounds>;

    /// Returns changes after the sequence `after`, in order and without a gap, at most `limit`, and none when there are none.
    ///
    /// # Errors
    ///
    /// `SequenceCompacted` when the first of them are no longer kept, `UnknownCursor` when `after` is ahead of the head.
    async fn changes_after(&self, after: i64, limit: usize) -> Result<Vec<ObservationChange>>;

    /// Forgets at most `limit` rows. Returns how many were forgotten; fewer than `limit` when nothing is left.
    async fn forget(&self, what: Forget, limit: usize, call: Call) -> Result<usize>;

    /// Makes the file a little smaller where it has much free room. Returns by how many bytes; 0 when there is nothing more to do.
    async fn return_space(&self, call: Call) -> Result<u64>;

    /// Whether anything was ever recorded: otherwise there is nothing to forget, and no reason to make a place for it.
    fn is_used(&self) -> bool;
}
