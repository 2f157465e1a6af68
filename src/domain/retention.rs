//! What is no longer kept, and who keeps it all the same.

use std::ops::AddAssign;
use std::sync::{Arc, Mutex as Quick, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;

use super::clock::{Clock, Timestamp};
use super::consumer::{LagLimits, Standing};
use super::error::Result;
use super::notification::store::Call;

/// Rows that one step looks at: its transaction takes a few milliseconds, which is what a caller may have to wait longer.
const STEP_ROWS: usize = 500;
/// The least pause between two steps.
const PAUSE: Duration = Duration::from_millis(10);
/// How many times as long as a step took the pause after it is: most of the writer's time stays for others.
const PAUSE_FACTOR: u32 = 3;
/// How long after the start of the daemon the first pass begins, unless passes are more frequent.
const FIRST_PASS: Duration = Duration::from_secs(60);

/// How long what is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policy {
    /// The age from which on a change may go.
    pub journal_max_age: Duration,
    /// How many changes are kept.
    pub journal_max_events: u64,
    /// How long after it was closed a notification may go; `None` for never.
    pub closed_max_age: Option<Duration>,
    /// How far behind a consumer may be and still keep changes.
    pub limits: LagLimits,
}

/// A number of rows, and the bytes in them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Amount {
    /// Rows.
    pub rows: u64,
    /// Bytes, without what indexes and the structure of the file take.
    pub bytes: u64,
}

impl AddAssign for Amount {
    fn add_assign(&mut self, other: Self) {
        self.rows += other.rows;
        self.bytes += other.bytes;
    }
}

/// A consumer that keeps changes which would go otherwise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hold {
    /// Its name.
    pub consumer: String,
    /// What it has acknowledged.
    pub acknowledged: i64,
    /// How many changes would go without it.
    pub changes: u64,
}

/// How far the journal goes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Cut {
    /// Changes up to this sequence go.
    pub through: i64,
    /// Who holds changes back.
    pub holds: Vec<Hold>,
    /// Consumers that lose changes which they have not seen.
    pub left_behind: Vec<String>,
}

impl Cut {
    /// Limits the wish to remove the changes up to `wanted` to what the consumers do not need.
    #[must_use]
    pub fn of(wanted: i64, consumers: &[Standing], limits: LagLimits, now: Timestamp) -> Self {
        let behind = |standing: &&Standing| {
            !standing.is_elsewhere() && standing.consumer.acknowledged < wanted
        };
        let (holding, others): (Vec<_>, Vec<_>) = consumers
            .iter()
            .filter(behind)
            .partition(|standing| standing.holds_journal(limits, now));
        let holds: Vec<Hold> = holding
            .into_iter()
            .map(|standing| Hold {
                consumer: standing.consumer.name.clone(),
                acknowledged: standing.consumer.acknowledged,
                changes: u64::try_from(wanted - standing.consumer.acknowledged).unwrap_or(0),
            })
            .collect();
        let held = holds.iter().map(|hold| hold.acknowledged).min();
        let through = held.map_or(wanted, |held| held.min(wanted));
        // Those that have lost changes before were told then.
        let loses = |standing: &&Standing| {
            standing.consumer.acknowledged < through
                && standing.consumer.acknowledged + 1 >= standing.bounds.oldest
        };
        let left_behind = others.into_iter().filter(loses);
        Self {
            through,
            holds,
            left_behind: left_behind
                .map(|standing| standing.consumer.name.clone())
                .collect(),
        }
    }
}

/// One of the classes of data that retention deals with, in the order in which it does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// The journal.
    Journal,
    /// What notifications said before they were changed or deleted.
    Contents,
    /// Notifications that were closed.
    Closed,
}

impl Class {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Journal, Self::Contents, Self::Closed];
}

/// What one step deals with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Step {
    /// The class.
    pub class: Class,
    /// Changes up to this sequence go, and what only they need.
    pub through: i64,
    /// What was closed before this goes; `None` where nothing does.
    pub closed_before: Option<Timestamp>,
    /// The present: times after it cannot be true.
    pub now: Timestamp,
    /// Where the step before has ended; 0 at the beginning.
    pub after: i64,
    /// How many rows are looked at.
    pub limit: usize,
    /// How far behind a consumer may be and still keep changes.
    pub limits: LagLimits,
}

/// What a step did, or would do.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Stepped {
    /// What goes.
    pub amount: Amount,
    /// Where the next step begins; `None` after the last one.
    pub next: Option<i64>,
}

/// The room inside the database file.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Space {
    /// Bytes that are free for new data.
    pub free: u64,
    /// Whether the file can become smaller.
    pub shrinks: bool,
}

/// What retention removed, or would remove.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// What goes of each class, as in [`Class::ALL`].
    pub amounts: [Amount; 3],
    /// Who holds changes back, and who loses some.
    pub cut: Cut,
    /// By how many bytes the file became smaller.
    pub returned: u64,
    /// The room in it.
    pub space: Space,
    /// The first sequence that the journal keeps.
    pub oldest: i64,
}

/// A store that can forget.
#[async_trait]
pub trait RetentionStore: Send + Sync {
    /// Finds how far the journal may go by `policy`.
    ///
    /// # Errors
    ///
    /// Those of a read.
    async fn journal_cut(&self, policy: Policy, call: Call) -> Result<Cut>;

    /// Says what [`RetentionStore::remove`] would do, without doing it.
    ///
    /// # Errors
    ///
    /// Those of a read.
    async fn survey(&self, step: Step) -> Result<Stepped>;

    /// Removes a few rows in one transaction, and no change that a consumer within its limits needs at that moment.
    ///
    /// # Errors
    ///
    /// Those of a write.
    async fn remove(&self, step: Step, call: Call) -> Result<Stepped>;

    /// Makes the file a little smaller where it has much free room. Returns by how many bytes; 0 when there is nothing more to do.
    ///
    /// # Errors
    ///
    /// Those of a write.
    async fn return_space(&self, call: Call) -> Result<u64>;

    /// How much room there is inside the file.
    ///
    /// # Errors
    ///
    /// Those of a read.
    async fn space(&self) -> Result<Space>;

    /// The first sequence that the journal keeps.
    ///
    /// # Errors
    ///
    /// Those of a read.
    async fn oldest(&self) -> Result<i64>;
}

/// Applies a policy to a store, now and then and on demand.
pub struct Retention {
    store: Arc<dyn RetentionStore>,
    clock: Arc<dyn Clock>,
    policy: Policy,
    interval: Duration,
    /// Held by the one pass that runs.
    running: Mutex<()>,
    last: Quick<Option<(Timestamp, Report)>>,
}

impl Retention {
    /// Applies `policy` to `store`, every `interval` once [`Retention::run`] runs.
    #[must_use]
    pub fn new(
        store: Arc<dyn RetentionStore>,
        clock: Arc<dyn Clock>,
        policy: Policy,
        interval: Duration,
    ) -> Self {
        Self {
            store,
            clock,
            policy,
            interval,
            running: Mutex::new(()),
            last: Quick::new(None),
        }
    }

    /// What the last pass did, and when it ended.
    #[must_use]
    pub fn last(&self) -> Option<(Timestamp, Report)> {
        let last = self.last.lock();
        last.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Says what a pass would remove now.
    ///
    /// # Errors
    ///
    /// Those of a read.
    pub async fn survey(&self) -> Result<Report> {
        let call = self.call();
        let cut = self.store.journal_cut(self.policy, call).await?;
        let mut report = Report {
            oldest: self.store.oldest().await?.max(cut.through + 1),
            ..Report::default()
        };
        for (class, amount) in Class::ALL.into_iter().zip(&mut report.amounts) {
            let mut next = Some(0);
            while let Some(after) = next {
                let stepped = self.store.survey(self.step(class, &cut, after, call.now));
                let stepped = stepped.await?;
                *amount += stepped.amount;
                next = stepped.next;
            }
        }
        report.cut = cut;
        report.space = self.store.space().await?;
        Ok(report)
    }

    /// Removes what is no longer kept, and gives the disk back. Dropping the call ends it between two steps.
    ///
    /// # Errors
    ///
    /// Those of a write; what the steps before have removed is gone.
    pub async fn apply(&self) -> Result<Report> {
        let _running = self.running.lock().await;
        let call = self.call();
        let mut report = Report {
            cut: self.store.journal_cut(self.policy, call).await?,
            ..Report::default()
        };
        for (index, class) in Class::ALL.into_iter().enumerate() {
            let mut next = Some(0);
            while let Some(after) = next {
                let started = Instant::now();
                let step = self.step(class, &report.cut, after, call.now);
                let stepped = self.store.remove(step, call).await?;
                report.amounts[index] += stepped.amount;
                next = stepped.next;
                if next.is_some() {
                    rest(started).await;
                }
            }
        }
        loop {
            let started = Instant::now();
            match self.store.return_space(call).await? {
                0 => break,
                returned => report.returned += returned,
            }
            rest(started).await;
        }
        report.space = self.store.space().await?;
        report.oldest = self.store.oldest().await?;
        tell(&report);
        let last = Some((self.clock.now(), report.clone()));
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = last;
        Ok(report)
    }

    /// Applies the policy every now and then, until `stop`.
    pub async fn run(&self, stop: CancellationToken) {
        let mut pause = FIRST_PASS.min(self.interval);
        loop {
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = stop.cancelled() => return,
            }
            tokio::select! {
                outcome = self.apply() => if let Err(error) = outcome {
                    tracing::warn!(%error, "could not remove what is no longer kept; trying again later");
                },
                () = stop.cancelled() => return,
            }
            pause = self.interval;
        }
    }

    fn call(&self) -> Call {
        Call {
            now: self.clock.now(),
            deadline: None,
        }
    }

    fn step(&self, class: Class, cut: &Cut, after: i64, now: Timestamp) -> Step {
        Step {
            class,
            through: cut.through,
            closed_before: self.policy.closed_max_age.map(|age| now.before(age)),
            now,
            after,
            limit: STEP_ROWS,
            limits: self.policy.limits,
        }
    }
}

/// Leaves the writer to others for a while.
pub(super) async fn rest(started: Instant) {
    tokio::time::sleep(PAUSE.max(started.elapsed() * PAUSE_FACTOR)).await;
}

fn tell(report: &Report) {
    for name in &report.cut.left_behind {
        tracing::warn!(
            consumer = name,
            "a consumer is too far behind: changes that it has not seen were removed; it must be reset"
        );
    }
    let [journal, contents, closed] = report.amounts;
    let removed = journal.rows + contents.rows + closed.rows;
    if removed == 0 && report.returned == 0 && report.cut.holds.is_empty() {
        return;
    }
    let holds: Vec<&str> = report
        .cut
        .holds
        .iter()
        .map(|hold| hold.consumer.as_str())
        .collect();
    tracing::info!(
        changes = journal.rows,
        contents = contents.rows,
        closed = closed.rows,
        returned_bytes = report.returned,
        held_back_by = holds.join(", "),
        "removed what is no longer kept"
    );
}
