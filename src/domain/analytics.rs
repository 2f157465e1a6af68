//! What is asked about usage, cost, latency and errors: the questions, and how they are answered from a store.

pub mod answer;
pub mod bucket;
pub mod store;

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use jiff::tz::TimeZone;

use super::clock::{Clock, Timestamp};
use super::error::{Error, Result};
use super::hourly::HOUR_MICROS;
use super::observation::Observation;
use answer::{CALLS, Comparison, Failures, Figures, Group, Usage};
use bucket::{BucketSize, Cell};
use store::{AnalyticsStore, Dimension, ExpensiveQuery, Ingestion, Selection, Sum, SumsQuery};

/// How far back is looked when nobody says.
pub const DEFAULT_RANGE: Duration = Duration::from_secs(7 * 24 * 60 * 60);
const HOUR: Duration = Duration::from_secs(60 * 60);
/// The most buckets of one answer.
pub const MAX_BUCKETS: usize = 1_000;
/// The most buckets times groups of one answer, so that it fits a message.
pub const MAX_SERIES: usize = 20_000;
/// The most dimensions to group by.
pub const MAX_DIMENSIONS: usize = 3;
/// The most groups of one answer.
pub const MAX_GROUPS: usize = 1_000;
/// The most expensive generations of one answer.
pub const MAX_EXPENSIVE: usize = 1_000;
/// The most hours of a heat map: more than 11 years.
const MAX_HEATMAP_HOURS: usize = 100_000;
/// How many observations may be read one by one for an answer: about a second's work, in which no log can be truncated.
const MOST_ROWS: usize = 500_000;

/// Which time is meant, and what of it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Scope {
    /// Began at this time or later; `None` for [`DEFAULT_RANGE`] before the end.
    pub start: Option<Timestamp>,
    /// Began before this time; `None` for the end of the current hour.
    pub end: Option<Timestamp>,
    /// What is counted.
    pub selection: Selection,
}

/// What to group by, and how many groups to list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grouping {
    /// What to group by; nothing for one group.
    pub by: Vec<Dimension>,
    /// How many groups to list at most, 1 to [`MAX_GROUPS`].
    pub limit: usize,
}

impl Grouping {
    fn check(&self) -> Result<()> {
        let twice = (1..self.by.len()).any(|end| self.by[..end].contains(&self.by[end]));
        if twice || self.by.len() > MAX_DIMENSIONS {
            let rule = format!("must name at most {MAX_DIMENSIONS} dimensions, each once");
            return Err(Error::invalid("group_by", rule));
        }
        if (1..=MAX_GROUPS).contains(&self.limit) {
            return Ok(());
        }
        let rule = format!("must be 1 to {MAX_GROUPS}, or 0 for the default");
        Err(Error::invalid("max_groups", rule))
    }
}

/// Buckets of a calendar.
#[derive(Debug, Clone)]
pub struct Calendar {
    /// How long a bucket is.
    pub size: BucketSize,
    /// Whose clock is meant.
    pub zone: TimeZone,
}

/// An answer over time, with the bounds of its buckets: the start of each, and the end of the last one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Timed<T> {
    /// The bounds.
    pub bounds: Vec<Timestamp>,
    /// The answer.
    pub answer: T,
}

impl<T> Timed<T> {
    /// The whole range.
    #[must_use]
    pub fn range(&self) -> Range<Timestamp> {
        let end = |bound: Option<&Timestamp>| bound.copied().unwrap_or(Timestamp::MIN);
        end(self.bounds.first())..end(self.bounds.last())
    }
}

/// How the ingestion is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Health {
    /// What has come in.
    pub ingestion: Ingestion,
    /// How long ago the newest observation began; `None` where there is none.
    pub lag: Option<Duration>,
    /// What the current hour and the 24 before it add up to.
    pub last_day: Figures,
    /// What the current hour adds up to.
    pub last_hour: Figures,
}

/// Everything that can be asked.
pub struct Analytics {
    store: Arc<dyn AnalyticsStore>,
    clock: Arc<dyn Clock>,
}

impl Analytics {
    /// Answers from `store`.
    #[must_use]
    pub fn new(store: Arc<dyn AnalyticsStore>, clock: Arc<dyn Clock>) -> Self {
        Self { store, clock }
    }

    /// Returns usage and cost over time.
    ///
    /// # Errors
    ///
    /// `InvalidField`; `QuestionTooBroad` where buckets cut hours of UTC, or groups are not in the sums by the hour, and there are too many
    /// observations to read them one by one. So may every other question.
    pub async fn usage(
        &self,
        scope: Scope,
        grouping: &Grouping,
        calendar: &Calendar,
    ) -> Result<Timed<Usage>> {
        grouping.check()?;
        let range = self.range(&scope)?;
        let bounds = bucket::bounds(&range, calendar.size, &calendar.zone, MAX_BUCKETS);
        let bounds = bounds.ok_or_else(|| {
            let rule = format!(
                "the range has more than {MAX_BUCKETS} of them; ask for larger ones or a shorter range"
            );
            Error::invalid("bucket_size", rule)
        })?;
        let buckets = bounds.len() - 1;
        if buckets.saturating_mul(grouping.limit) > MAX_SERIES {
            let most = (MAX_SERIES / buckets).max(1);
            let rule = format!("must be at most {most} for {buckets} buckets");
            return Err(Error::invalid("max_groups", rule));
        }
        let query = query(bounds.clone(), grouping.by.clone(), scope.selection);
        let sums = self.store.sums(query).await?;
        let answer = answer::usage(&sums, buckets, grouping.limit);
        Ok(Timed { bounds, answer })
    }

    /// Compares groups: what they cost, how long they took, how often they failed. Where no kind is named, calls of models are meant.
    ///
    /// # Errors
    ///
    /// As [`Analytics::usage`].
    pub async fn comparison(
        &self,
        mut scope: Scope,
        grouping: &Grouping,
    ) -> Result<Timed<Comparison>> {
        grouping.check()?;
        if scope.selection.kinds.is_empty() {
            scope.selection.kinds = CALLS.to_vec();
        }
        let bounds = self.whole(&scope)?;
        let mut query = query(bounds.clone(), grouping.by.clone(), scope.selection);
        query.distributions = true;
        let answer = answer::comparison(self.store.sums(query).await?, grouping.limit);
        Ok(Timed { bounds, answer })
    }

    /// Returns what failed, by group and kind, and what everything adds up to.
    ///
    /// # Errors
    ///
    /// As [`Analytics::usage`].
    pub async fn failures(
        &self,
        scope: Scope,
        grouping: &Grouping,
    ) -> Result<Timed<(Figures, Vec<Failures>)>> {
        grouping.check()?;
        let bounds = self.whole(&scope)?;
        let query = query(bounds.clone(), grouping.by.clone(), scope.selection);
        let sums = self.store.sums(query).await?;
        let mut failures = answer::failures(&sums);
        failures.truncate(grouping.limit);
        let answer = (total(&sums), failures);
        Ok(Timed { bounds, answer })
    }

    /// Returns the observations that cost most.
    ///
    /// # Errors
    ///
    /// As [`Analytics::usage`].
    pub async fn expensive(&self, scope: Scope, limit: usize) -> Result<Timed<Vec<Observation>>> {
        let Range { start, end } = self.range(&scope)?;
        let query = ExpensiveQuery {
            start,
            end,
            selection: scope.selection,
            limit,
            most_rows: MOST_ROWS,
        };
        Ok(Timed {
            bounds: vec![start, end],
            answer: self.store.expensive(query).await?,
        })
    }

    /// Returns usage by the hour of the week that the clock of `zone` shows; hours without anything are left out.
    ///
    /// # Errors
    ///
    /// As [`Analytics::usage`].
    pub async fn heatmap(
        &self,
        scope: Scope,
        zone: &TimeZone,
    ) -> Result<Timed<BTreeMap<Cell, Figures>>> {
        let range = self.range(&scope)?;
        let hours = bucket::bounds(&range, BucketSize::Hour, zone, MAX_HEATMAP_HOURS);
        let hours = hours.ok_or_else(|| {
            let rule = format!("must be less than {MAX_HEATMAP_HOURS} hours before the end");
            Error::invalid("scope.start_time", rule)
        })?;
        let query = query(hours.clone(), Vec::new(), scope.selection);
        let mut cells: BTreeMap<Cell, Figures> = BTreeMap::new();
        for sum in self.store.sums(query).await? {
            if let Some(start) = hours.get(sum.bucket) {
                let figures = cells.entry(bucket::cell(*start, zone)).or_default();
                figures.add(sum.kind, sum.failed, &sum.totals);
            }
        }
        Ok(Timed {
            bounds: vec![range.start, range.end],
            answer: cells,
        })
    }

    /// Returns models and providers whose cost is not known for all calls.
    ///
    /// # Errors
    ///
    /// As [`Analytics::usage`].
    pub async fn unknown(&self, scope: Scope, limit: usize) -> Result<Timed<Vec<Group>>> {
        let bounds = self.whole(&scope)?;
        let by = vec![Dimension::Model, Dimension::Provider];
        let sums = self
            .store
            .sums(query(bounds.clone(), by, scope.selection))
            .await?;
        let mut answer = answer::unknown(&sums);
        answer.truncate(limit);
        Ok(Timed { bounds, answer })
    }

    /// Returns how the ingestion is doing.
    ///
    /// # Errors
    ///
    /// Those of a read.
    pub async fn health(&self) -> Result<Health> {
        let now = self.clock.now();
        let end = end_of_hour(now);
        let hour = end.before(HOUR);
        let bounds = vec![hour.before(HOUR * 24), hour, end];
        let query = query(bounds, Vec::new(), Selection::default());
        let sums = self.store.sums(query).await?;
        let (_, last): (Vec<Sum>, Vec<Sum>) = sums.iter().cloned().partition(|sum| sum.bucket == 0);
        let ingestion = self.store.ingestion().await?;
        Ok(Health {
            ingestion,
            lag: ingestion.newest.map(|newest| now.since(newest)),
            last_day: total(&sums),
            last_hour: total(&last),
        })
    }

    /// The range that is meant.
    fn range(&self, scope: &Scope) -> Result<Range<Timestamp>> {
        // With the whole hour everything that has happened is in the sums, and no observation has to be read.
        let end = scope.end.unwrap_or_else(|| end_of_hour(self.clock.now()));
        let start = scope.start.unwrap_or_else(|| end.before(DEFAULT_RANGE));
        if start < end {
            return Ok(start..end);
        }
        let field = if scope.start.is_some() {
            "scope.start_time"
        } else {
            "scope.end_time"
        };
        Err(Error::invalid(
            field,
            "must leave a range: start before end",
        ))
    }

    /// The bounds of the whole range as one bucket.
    fn whole(&self, scope: &Scope) -> Result<Vec<Timestamp>> {
        let Range { start, end } = self.range(scope)?;
        Ok(vec![start, end])
    }
}

/// The end of the hour of UTC that `time` is in.
fn end_of_hour(time: Timestamp) -> Timestamp {
    let hour = time.as_micros().div_euclid(HOUR_MICROS) + 1;
    Timestamp::from_micros(hour * HOUR_MICROS).unwrap_or(Timestamp::MAX)
}

fn query(bounds: Vec<Timestamp>, group_by: Vec<Dimension>, selection: Selection) -> SumsQuery {
    SumsQuery {
        bounds,
        group_by,
        selection,
        distributions: false,
        most_rows: MOST_ROWS,
    }
}

fn total(sums: &[Sum]) -> Figures {
    let mut total = Figures::default();
    for sum in sums {
        total.add(sum.kind, sum.failed, &sum.totals);
    }
    total
}
