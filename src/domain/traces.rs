//! What can be done with telemetry: the rules, applied to a store.

use std::sync::Arc;
use std::time::Instant;

use tokio::sync::watch;

use super::change::{Cursor, JournalBounds};
use super::clock::{Clock, Timestamp};
use super::error::{Error, Result};
use super::notification::store::Call;
use super::observation::Observation;
use super::observation::draft::{Draft, MAX_BATCH, Report};
use super::observation::id::TraceId;
use super::observation::store::{
    ObservationChange, ObservationFilter, Page, PageQuery, Recorded, TelemetryStore, TraceFilter,
    TraceTree,
};
use super::price::Prices;
use super::redaction::{ContentPolicy, redact};
use super::trace::Trace;

/// The most observations of a tree.
pub const MAX_TREE: usize = 10_000;
/// How many changes a follower reads at a time.
const READ_CHANGES: usize = 256;

/// Where a watch starts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WatchStart {
    /// With the first change from now on.
    Now,
    /// With the oldest change that is kept.
    Oldest,
    /// Right after a cursor.
    After(Cursor),
}

/// Everything that can be done with telemetry. Every way in goes through [`Traces::record`].
pub struct Traces {
    store: Arc<dyn TelemetryStore>,
    clock: Arc<dyn Clock>,
    content: ContentPolicy,
    prices: Arc<Prices>,
}

impl Traces {
    /// Puts the rules in front of `store`; `content` says how much is kept of what goes into models, and comes out, and `prices` what calls
    /// cost.
    #[must_use]
    pub fn new(
        store: Arc<dyn TelemetryStore>,
        clock: Arc<dyn Clock>,
        content: ContentPolicy,
        prices: Arc<Prices>,
    ) -> Self {
        Self {
            store,
            clock,
            content,
            prices,
        }
    }

    /// What calls cost.
    #[must_use]
    pub fn prices(&self) -> &Prices {
        &self.prices
    }

    /// The present.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Records reports, without secrets and with as much content as is wanted, and says for each what became of it, in their order. One that breaks
    /// a rule is refused alone. Returns after all of the others are durable; they are written in transactions of at most [`MAX_BATCH`].
    ///
    /// # Errors
    ///
    /// Those of a write: then some of the reports may be stored, and all of them can be recorded again.
    pub async fn record(
        &self,
        drafts: Vec<Draft>,
        deadline: Option<Instant>,
    ) -> Result<Vec<Result<Recorded>>> {
        let call = Call {
            now: self.clock.now(),
            deadline,
        };
        let mut results = Vec::with_capacity(drafts.len());
        let mut batch = Vec::new();
        // Which results the reports of the batch are, as the refused ones are in between.
        let mut places = Vec::new();
        for mut draft in drafts {
            draft.identify();
            if draft.computed_cost.is_none() {
                draft.computed_cost = self.prices.cost(&draft, &[]);
            }
            redact(&mut draft, self.content);
            match draft.validate(call.now) {
                Ok(report) => {
                    places.push(results.len());
                    batch.push(report);
                    results.push(Err(Error::CommitUnknown));
                }
                Err(error) => results.push(Err(error)),
            }
            if batch.len() == MAX_BATCH {
                self.write(&mut batch, &mut places, &mut results, call)
                    .await?;
            }
        }
        self.write(&mut batch, &mut places, &mut results, call)
            .await?;
        Ok(results)
    }

    async fn write(
        &self,
        batch: &mut Vec<Report>,
        places: &mut Vec<usize>,
        results: &mut [Result<Recorded>],
        call: Call,
    ) -> Result<()> {
        if batch.is_empty() {
            return Ok(());
        }
        let recorded = self.store.record(std::mem::take(batch), call).await?;
        for (place, recorded) in places.drain(..).zip(recorded) {
            results[place] = Ok(recorded);
        }
        Ok(())
    }

    /// Returns one observation with its attributes and content.
    ///
    /// # Errors
    ///
    /// `ObservationNotFound`; `InvalidField` for an id that is not positive.
    pub async fn observation(&self, id: i64) -> Result<Observation> {
        if id <= 0 {
            return Err(Error::invalid("id", "must be positive"));
        }
        self.store.observation(id).await
    }

    /// Returns a trace with its first [`MAX_TREE`] observations.
    ///
    /// # Errors
    ///
    /// `TraceNotFound`.
    pub async fn trace(&self, id: TraceId) -> Result<TraceTree> {
        self.store.trace(id, MAX_TREE).await
    }

    /// Returns a page of traces.
    ///
    /// # Errors
    ///
    /// Those of the store.
    pub async fn traces(&self, query: PageQuery<TraceFilter>) -> Result<Page<Trace>> {
        self.store.traces(query).await
    }

    /// Returns a page of observations.
    ///
    /// # Errors
    ///
    /// Those of the store.
    pub async fn observations(
        &self,
        query: PageQuery<ObservationFilter>,
    ) -> Result<Page<Observation>> {
        self.store.observations(query).await
    }

    /// Starts a watch.
    ///
    /// # Errors
    ///
    /// `UnknownCursor`, `SequenceCompacted`; `InvalidField` for a negative sequence.
    pub async fn watch(&self, start: WatchStart, filter: ObservationFilter) -> Result<Follower> {
        // Before the bounds, so that no change falls between them and the first wait.
        let head = self.store.head().await?;
        let bounds = self.store.bounds().await?;
        let sequence = match start {
            WatchStart::Now => bounds.head,
            WatchStart::Oldest => bounds.oldest - 1,
            WatchStart::After(cursor) if cursor.sequence < 0 => {
                return Err(Error::invalid("after.sequence", "must not be negative"));
            }
            WatchStart::After(cursor) => {
                bounds.check(&cursor)?;
                cursor.sequence
            }
        };
        Ok(Follower {
            store: Arc::clone(&self.store),
            head,
            bounds,
            sequence,
            filter,
        })
    }
}

/// Changes that a follower has read.
#[derive(Debug)]
pub struct Batch {
    /// Those that its filter lets through, in order.
    pub changes: Vec<ObservationChange>,
    /// The follower has seen everything up to this sequence.
    pub through: i64,
}

/// Somebody who follows the journal. Each reads it for itself: few do, and none of them keeps anybody waiting.
pub struct Follower {
    store: Arc<dyn TelemetryStore>,
    head: watch::Receiver<i64>,
    bounds: JournalBounds,
    sequence: i64,
    filter: ObservationFilter,
}

impl Follower {
    /// What the journal kept when this began.
    #[must_use]
    pub fn bounds(&self) -> &JournalBounds {
        &self.bounds
    }

    /// The sequence up to which this follower has seen everything.
    #[must_use]
    pub fn sequence(&self) -> i64 {
        self.sequence
    }

    /// Waits for changes after the last ones, and returns those that match; none where the filter hides them all. Deletions are never hidden: better
    /// one too many than a watcher that keeps what is gone.
    ///
    /// May be dropped at any point and called again: nothing is lost.
    ///
    /// # Errors
    ///
    /// `SequenceCompacted` when this follower fell behind what is kept; those of a read.
    pub async fn next(&mut self) -> Result<Batch> {
        let changes = loop {
            let head = *self.head.borrow_and_update();
            if head > self.sequence {
                let read = self.store.changes_after(self.sequence, READ_CHANGES);
                let changes = read.await?;
                if !changes.is_empty() {
                    break changes;
                }
            }
            if self.head.changed().await.is_err() {
                return Err(Error::ShuttingDown);
            }
        };
        self.sequence = changes
            .last()
            .map_or(self.sequence, |change| change.sequence);
        let is_meant = |change: &ObservationChange| {
            let observation = change.observation.as_ref();
            observation.is_none_or(|observation| self.filter.matches(observation))
        };
        Ok(Batch {
            changes: changes.into_iter().filter(is_meant).collect(),
            through: self.sequence,
        })
    }
}
