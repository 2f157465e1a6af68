//! What can be done with notifications: the rules, applied to a store.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::authority::Authority;
use super::change::{Change, ChangeKind, Cursor, JournalBounds};
use super::clock::{Clock, Timestamp};
use super::error::{Error, Result};
use super::feed::{Feed, Follower};
use super::notification::Notification;
use super::notification::draft::{Draft, MAX_BATCH, NewNotification};
use super::notification::filter::ChangeFilter;
use super::notification::store::{
    Call, Expired, ListQuery, Move, NotificationStore, Page, Respond, Snapshot,
};
use crate::metrics::{Counter, Histogram, PATIENCE};

/// The most notifications that a snapshot holds.
pub const MAX_SNAPSHOT: usize = 10_000;
/// The most notifications that expire in one transaction.
const EXPIRY_BATCH: usize = 500;
/// How often expiries are looked for that nobody announced: those which direct tooling wrote, and those that a clock which was set
/// forward, or a machine that slept, has made due.
const EXPIRY_INTERVAL: Duration = Duration::from_secs(5);
/// How long to wait before letting notifications expire again after that failed.
const EXPIRY_RETRY: Duration = Duration::from_secs(1);

/// Where a watch starts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WatchStart {
    /// With the first change from now on.
    Now,
    /// With the oldest change that is kept.
    Oldest,
    /// With the matching notifications, then the changes after them.
    Snapshot,
    /// Right after a cursor.
    After(Cursor),
}

/// A watch that has started.
pub struct Watch {
    /// What the journal kept when it started.
    pub bounds: JournalBounds,
    /// The snapshot that was asked for.
    pub snapshot: Option<Vec<Notification>>,
    /// The changes that follow.
    pub follower: Follower,
}

/// What happens to notifications through the daemon, counted since its start.
#[derive(Debug)]
pub struct Activity {
    /// Notifications that were created.
    pub created: Counter,
    /// Notifications that have expired.
    pub expired: Counter,
    /// From the creation to the response.
    pub answer_time: Histogram,
}

impl Default for Activity {
    fn default() -> Self {
        Self {
            created: Counter::default(),
            expired: Counter::default(),
            answer_time: Histogram::new(&PATIENCE),
        }
    }
}

/// Everything that can be done with notifications.
pub struct Notifications {
    store: Arc<dyn NotificationStore>,
    clock: Arc<dyn Clock>,
    feed: Arc<Feed>,
    expiry: Notify,
    activity: Activity,
}

impl Notifications {
    /// Puts the rules in front of `store`.
    #[must_use]
    pub fn new(store: Arc<dyn NotificationStore>, clock: Arc<dyn Clock>) -> Self {
        let feed = Arc::new(Feed::new(Arc::clone(&store)));
        Self {
            store,
            clock,
            feed,
            expiry: Notify::new(),
            activity: Activity::default(),
        }
    }

    /// The tail of the journal.
    #[must_use]
    pub fn feed(&self) -> &Arc<Feed> {
        &self.feed
    }

    /// The present, by the clock that decides about expiry.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// What has happened so far.
    #[must_use]
    pub fn activity(&self) -> &Activity {
        &self.activity
    }

    fn call(&self, deadline: Option<Instant>) -> Call {
        Call {
            now: self.clock.now(),
            deadline,
        }
    }

    /// Creates one notification.
    ///
    /// # Errors
    ///
    /// Those of [`Draft::validate`] and [`NotificationStore::create`].
    pub async fn create(&self, draft: Draft, deadline: Option<Instant>) -> Result<Notification> {
        let call = self.call(deadline);
        let created = self
            .create_valid(vec![draft.validate(call.now)?], call)
            .await?;
        let missing = || Error::Internal("the store returned no notification".to_owned());
        created.into_iter().next().ok_or_else(missing)
    }

    /// Creates 1 to 1,000 notifications, all or none.
    ///
    /// # Errors
    ///
    /// Those of [`Notifications::create`]; the field's name begins with `requests[N]`.
    pub async fn create_batch(
        &self,
        drafts: Vec<Draft>,
        deadline: Option<Instant>,
    ) -> Result<Vec<Notification>> {
        if drafts.is_empty() || drafts.len() > MAX_BATCH {
            let rule = format!("must hold 1 to {MAX_BATCH} requests, not {}", drafts.len());
            return Err(Error::invalid("requests", rule));
        }
        let call = self.call(deadline);
        let valid = drafts.into_iter().enumerate().map(|(index, draft)| {
            draft
                .validate(call.now)
                .map_err(|error| error.within(&format!("requests[{index}]")))
        });
        self.create_valid(valid.collect::<Result<_>>()?, call).await
    }

    async fn create_valid(
        &self,
        new: Vec<NewNotification>,
        call: Call,
    ) -> Result<Vec<Notification>> {
        let expires = new
            .iter()
            .any(|notification| notification.expire_time().is_some());
        let created = self.store.create(new, call).await;
        if expires {
            self.expiry.notify_one();
        }
        if let Ok(created) = &created {
            // An earlier call with the same request id has another time.
            let new = |notification: &&Notification| notification.create_time == Some(call.now);
            let count = created.iter().filter(new).count();
            self.activity.created.add(count as u64);
        }
        created
    }

    /// Returns one notification.
    ///
    /// # Errors
    ///
    /// `NotificationNotFound`, also for one that `authority` may not see; `InvalidField` for an id that is not positive.
    pub async fn get(&self, id: i64, authority: Authority) -> Result<Notification> {
        let notification = self.store.get(positive(id)?).await?;
        if !authority.may_see(notification.owner) {
            return Err(Error::NotificationNotFound { id });
        }
        Ok(notification)
    }

    /// Returns a page of a list.
    ///
    /// # Errors
    ///
    /// Those of the store.
    pub async fn list(&self, query: ListQuery) -> Result<Page> {
        self.store.list(query).await
    }

    /// Returns the changes of one notification after the sequence `after`, at most `limit`.
    ///
    /// # Errors
    ///
    /// `InvalidField` for an id that is not positive; `NotificationNotFound` where there neither is nor was one, as far as anybody knows, and
    /// for one that `authority` may not see.
    pub async fn history(
        &self,
        id: i64,
        after: i64,
        limit: usize,
        authority: Authority,
    ) -> Result<Vec<Change>> {
        // An agent sees the history of what exists and is its own: a row that is gone has no owner any more.
        if authority != Authority::Person {
            self.get(id, authority).await?;
        }
        let mut history = self.store.history(positive(id)?, after, limit).await?;
        if history.is_empty() && after == 0 {
            self.store.get(id).await?;
        }
        history.retain(|change| authority.may_see(change.notification.owner));
        Ok(history)
    }

    /// Counts open notifications, up to `limit`.
    ///
    /// # Errors
    ///
    /// Those of the store.
    pub async fn count_open(&self, limit: usize) -> Result<usize> {
        self.store.count_open(limit).await
    }

    /// The journal's epoch, which does not change while the daemon runs.
    #[must_use]
    pub fn epoch(&self) -> &str {
        self.store.epoch()
    }

    /// Answers an open notification.
    ///
    /// # Errors
    ///
    /// Those of [`NotificationStore::respond`].
    pub async fn respond(
        &self,
        respond: Respond,
        deadline: Option<Instant>,
    ) -> Result<Notification> {
        positive(respond.id)?;
        respond.actor.validate("responder")?;
        let call = self.call(deadline);
        let answered = self.store.respond(respond, call).await?;
        let is_new = answered.close_time == Some(call.now);
        if let Some(asked) = answered.create_time.filter(|_| is_new) {
            self.activity
                .answer_time
                .observe_span(call.now.since(asked));
        }
        Ok(answered)
    }

    /// Moves a notification to another state.
    ///
    /// # Errors
    ///
    /// Those of [`NotificationStore::transition`].
    pub async fn transition(
        &self,
        change: Move,
        deadline: Option<Instant>,
    ) -> Result<Notification> {
        positive(change.id)?;
        change.actor.validate("actor")?;
        self.store.transition(change, self.call(deadline)).await
    }

    /// Returns a notification when it is closed, or as it is after `timeout`.
    ///
    /// # Errors
    ///
    /// `NotificationNotFound`, also when it is deleted meanwhile, and for one that `authority` may not see; `ShuttingDown` when `stop` comes
    /// first.
    pub async fn wait(
        &self,
        id: i64,
        authority: Authority,
        timeout: Duration,
        stop: &CancellationToken,
    ) -> Result<Notification> {
        positive(id)?;
        let until = tokio::time::Instant::now() + timeout;
        loop {
            let mut closing = self.feed.closing(id);
            let notification = self.get(id, authority).await?;
            if notification.is_closed() || timeout.is_zero() {
                return Ok(notification);
            }
            tokio::select! {
                biased;
                change = closing.wait() => match change {
                    Some(change) if change.kind == ChangeKind::Deleted => {
                        return Err(Error::NotificationNotFound { id });
                    }
                    Some(change) if authority.may_see(change.notification.owner) => {
                        return Ok(change.notification.clone());
                    }
                    Some(_) => return Err(Error::NotificationNotFound { id }),
                    None => {}
                },
                () = stop.cancelled() => return Err(Error::ShuttingDown),
                () = tokio::time::sleep_until(until) => return self.get(id, authority).await,
            }
        }
    }

    /// Starts a watch.
    ///
    /// # Errors
    ///
    /// `UnknownCursor`, `SequenceCompacted`, `SnapshotTooLarge`; `InvalidField` for a negative sequence.
    pub async fn watch(&self, start: WatchStart, filter: ChangeFilter) -> Result<Watch> {
        if let WatchStart::Snapshot = start {
            let wanted = filter.notifications.clone();
            let Snapshot {
                notifications,
                bounds,
            } = self.store.snapshot(wanted, MAX_SNAPSHOT).await?;
            let follower = self.feed.follow(bounds.head, filter);
            return Ok(Watch {
                bounds,
                snapshot: Some(notifications),
                follower,
            });
        }
        let bounds = self.store.bounds().await?;
        let sequence = match start {
            WatchStart::Now | WatchStart::Snapshot => bounds.head,
            WatchStart::Oldest => bounds.oldest - 1,
            WatchStart::After(cursor) if cursor.sequence < 0 => {
                return Err(Error::invalid("after.sequence", "must not be negative"));
            }
            WatchStart::After(cursor) => {
                bounds.check(&cursor)?;
                cursor.sequence
            }
        };
        let follower = self.feed.follow(sequence, filter);
        Ok(Watch {
            bounds,
            snapshot: None,
            follower,
        })
    }

    /// Lets notifications expire when their time comes, until `stop`.
    pub async fn run_expiry(&self, stop: CancellationToken) {
        loop {
            let call = self.call(None);
            // Another process's lock must not hold up the stop. What is left here expires all the same, or after the next start.
            let outcome = tokio::select! {
                outcome = self.store.expire_due(EXPIRY_BATCH, call) => outcome,
                () = stop.cancelled() => return,
            };
            let pause = match outcome {
                Ok(expired) => {
                    self.activity.expired.add(expired.count as u64);
                    pause_after(expired, call.now)
                }
                Err(error) => {
                    tracing::warn!(%error, "could not let notifications expire; trying again");
                    EXPIRY_RETRY
                }
            };
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = self.expiry.notified() => {}
                () = stop.cancelled() => return,
            }
        }
    }
}

fn pause_after(expired: Expired, now: Timestamp) -> Duration {
    let due = expired.next.map_or(EXPIRY_INTERVAL, |next| next.since(now));
    due.min(EXPIRY_INTERVAL)
}

fn positive(id: i64) -> Result<i64> {
    if id > 0 {
        Ok(id)
    } else {
        Err(Error::invalid("id", "must be positive"))
    }
}
