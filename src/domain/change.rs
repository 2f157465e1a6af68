//! The journal of changes: one sequence for everybody.

use std::sync::Arc;

use super::clock::Timestamp;
use super::notification::Notification;
use super::word::Vocabulary;

/// What happened to a notification.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ChangeKind {
    /// It was created.
    Created,
    /// It became READ.
    Read,
    /// It became RESPONDED.
    Responded,
    /// It became DISMISSED.
    Dismissed,
    /// It became CANCELLED.
    Cancelled,
    /// It became EXPIRED.
    Expired,
    /// Anything else about it changed.
    Updated,
    /// It was deleted.
    Deleted,
}

impl Vocabulary for ChangeKind {
    const ALL: &'static [Self] = &[
        Self::Created,
        Self::Read,
        Self::Responded,
        Self::Dismissed,
        Self::Cancelled,
        Self::Expired,
        Self::Updated,
        Self::Deleted,
    ];

    fn as_str(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Read => "read",
            Self::Responded => "responded",
            Self::Dismissed => "dismissed",
            Self::Cancelled => "cancelled",
            Self::Expired => "expired",
            Self::Updated => "updated",
            Self::Deleted => "deleted",
        }
    }
}

/// One change of one notification.
#[derive(Debug, Clone, PartialEq)]
pub struct Change {
    /// Its number in the journal.
    pub sequence: i64,
    /// What happened.
    pub kind: ChangeKind,
    /// When it was written.
    pub time: Option<Timestamp>,
    /// Who did it; empty where unknown.
    pub actor: String,
    /// Through what; empty where unknown.
    pub surface: String,
    /// The notification right after the change; for a deletion right before it.
    ///
    /// A deletion that was only noticed afterwards, when direct tooling had rebuilt the table, has no more than the id.
    pub notification: Notification,
    /// Whether `notification` holds its content, and not only its id.
    pub has_content: bool,
}

/// A shared change: every watcher sees the same one.
pub type SharedChange = Arc<Change>;

/// A place in the journal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cursor {
    /// The database's epoch; `None` in a request that does not check it.
    pub epoch: Option<String>,
    /// The sequence of the last change seen; 0 is before the first.
    pub sequence: i64,
}

/// What the journal keeps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JournalBounds {
    /// The database's epoch.
    pub epoch: String,
    /// The first sequence that is kept; one more than the head when there is none.
    pub oldest: i64,
    /// The last sequence that is durable.
    pub head: i64,
}

impl JournalBounds {
    /// Checks that the changes after `cursor` are all known and kept.
    ///
    /// # Errors
    ///
    /// `UnknownCursor` for another epoch or a place ahead of the head, `SequenceCompacted` for one that is too old.
    pub fn check(&self, cursor: &Cursor) -> super::error::Result<()> {
        use super::error::Error;
        let other_epoch = cursor
            .epoch
            .as_ref()
            .is_some_and(|epoch| *epoch != self.epoch);
        if other_epoch || cursor.sequence > self.head {
            return Err(Error::UnknownCursor {
                bounds: self.clone(),
            });
        }
        if cursor.sequence + 1 < self.oldest {
            return Err(Error::SequenceCompacted {
                after: cursor.sequence,
                bounds: self.clone(),
            });
        }
        Ok(())
    }
}
