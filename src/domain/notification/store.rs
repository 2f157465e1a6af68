//! What a store of notifications does. One method is one transaction.

use std::time::Instant;

use async_trait::async_trait;
use tokio::sync::watch;
use uuid::Uuid;

use super::super::authority::Authority;
use super::super::change::{Change, JournalBounds, SharedChange};
use super::super::clock::Timestamp;
use super::super::error::Result;
use super::Notification;
use super::draft::NewNotification;
use super::filter::{Filter, Order, PageKey};
use super::response::Actor;

/// When a write is done, and how long its caller waits.
#[derive(Debug, Clone, Copy)]
pub struct Call {
    /// The present.
    pub now: Timestamp,
    /// When the caller stops waiting; `None` for as long as the store tries.
    pub deadline: Option<Instant>,
}

/// An answer to a notification.
#[derive(Debug, Clone, PartialEq)]
pub struct Respond {
    /// The notification.
    pub id: i64,
    /// Free text, or the name of an option.
    pub text: String,
    /// The names of chosen options.
    pub options: Vec<String>,
    /// Who responds.
    pub actor: Actor,
    /// Makes a repetition safe.
    pub request_id: Option<Uuid>,
}

/// A change of state that needs no more than an actor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transition {
    /// To READ, from PENDING. No change from any other state.
    Read,
    /// To DISMISSED, from an open state.
    Dismiss,
    /// To CANCELLED, from an open state.
    Cancel,
}

/// A change of state of one notification.
#[derive(Debug, Clone, PartialEq)]
pub struct Move {
    /// The notification.
    pub id: i64,
    /// Where to.
    pub transition: Transition,
    /// Who does it.
    pub actor: Actor,
    /// On whose behalf.
    pub authority: Authority,
}

/// Which page of which list.
#[derive(Debug, Clone, PartialEq)]
pub struct ListQuery {
    /// Which notifications.
    pub filter: Filter,
    /// In which order.
    pub order: Order,
    /// How many at most, at least 1.
    pub size: usize,
    /// Where the page before ended.
    pub after: Option<PageKey>,
}

/// A page of a list.
#[derive(Debug, Clone, PartialEq)]
pub struct Page {
    /// In the order asked for. May be fewer than asked for, even none, while more follow.
    pub notifications: Vec<Notification>,
    /// Where this page ended; `None` when it was the last.
    pub next: Option<PageKey>,
    /// The journal, in the same transaction.
    pub bounds: JournalBounds,
}

/// Matching notifications and the journal's head, read in one transaction.
#[derive(Debug, Clone, PartialEq)]
pub struct Snapshot {
    /// The oldest first.
    pub notifications: Vec<Notification>,
    /// The journal, in the same transaction.
    pub bounds: JournalBounds,
}

/// What an expiry did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Expired {
    /// How many notifications expired.
    pub count: usize,
    /// When the next one is due.
    pub next: Option<Timestamp>,
}

/// Keeps notifications and the journal of their changes.
///
/// A write returns after it is durable. Writes fail with `DatabaseBusy`, `QueueFull`, `DiskFull`, `DatabaseUnavailable` or
/// `ShuttingDown` when nothing was written, with `CommitUnknown` when that is not known. Any method may fail with `Internal`.
#[async_trait]
pub trait NotificationStore: Send + Sync {
    /// Creates all of `notifications`, or none. One whose request id was used in the last 24 hours for the same content is not created
    /// again: the earlier one is returned in its place. Request ids of different owners have nothing to do with each other.
    ///
    /// # Errors
    ///
    /// `RequestIdReused`.
    async fn create(
        &self,
        notifications: Vec<NewNotification>,
        call: Call,
    ) -> Result<Vec<Notification>>;

    /// Returns one notification.
    ///
    /// # Errors
    ///
    /// `NotificationNotFound`.
    async fn get(&self, id: i64) -> Result<Notification>;

    /// Returns a page of a list. Its cost does not grow with the size of the table.
    async fn list(&self, query: ListQuery) -> Result<Page>;

    /// Answers an open notification. The same request id, or the same response by the same responder, again changes nothing.
    ///
    /// # Errors
    ///
    /// `NotificationNotFound`, `NotificationClosed`, `ResponseNotAllowed`, `InvalidField`.
    async fn respond(&self, respond: Respond, call: Call) -> Result<Notification>;

    /// Moves a notification to another state. One that is there already is returned unchanged, and one that the caller may not see does not
    /// exist for it.
    ///
    /// # Errors
    ///
    /// `NotificationNotFound`, `NotificationClosed`.
    async fn transition(&self, change: Move, call: Call) -> Result<Notification>;

    /// Lets at most `limit` open notifications expire whose time has come at `call.now`.
    async fn expire_due(&self, limit: usize, call: Call) -> Result<Expired>;

    /// Counts open notifications, up to `limit`.
    async fn count_open(&self, limit: usize) -> Result<usize>;

    /// "Committed up to here": the sequence of the last change that is durable, by whoever.
    fn head(&self) -> watch::Receiver<i64>;

    /// Says whether anybody follows the journal just now: then changes by other processes are looked for more often.
    fn set_followed(&self, followed: bool);

    /// The journal's epoch: a random id that changes when a backup is restored.
    fn epoch(&self) -> &str;

    /// What the journal keeps.
    async fn bounds(&self) -> Result<JournalBounds>;

    /// Returns changes after the sequence `after`, in order and without a gap, at most `limit`, fewer where they are large, and none when
    /// there are none.
    ///
    /// # Errors
    ///
    /// `SequenceCompacted` when the first of them are no longer kept, `UnknownCursor` when `after` is ahead of the head.
    async fn changes_after(&self, after: i64, limit: usize) -> Result<Vec<SharedChange>>;

    /// Returns the changes of one notification after the sequence `after`, the oldest first, at most `limit`.
    async fn history(&self, id: i64, after: i64, limit: usize) -> Result<Vec<Change>>;

    /// Returns all notifications that match, with the head of the journal.
    ///
    /// # Errors
    ///
    /// `SnapshotTooLarge` when there are more than `limit`, or they take too much memory.
    async fn snapshot(&self, filter: Filter, limit: usize) -> Result<Snapshot>;
}
