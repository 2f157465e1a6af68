//! Why a call fails, in terms that a caller can act on.

use std::time::Duration;

use uuid::Uuid;

use super::change::JournalBounds;
use super::notification::State;
use super::word::Word;

/// The result of everything in the domain and its stores.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a call fails.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    /// A field of the request breaks its rule.
    #[error("{field}: {rule}")]
    InvalidField {
        /// The field, as in the API: `title`, `requests[3].options[0].name`.
        field: String,
        /// The rule, and what to do: one sentence without its full stop.
        rule: String,
    },
    /// There is no such notification.
    #[error("there is no notification {id}")]
    NotificationNotFound {
        /// The id that was asked for.
        id: i64,
    },
    /// There is no such observation.
    #[error("there is no observation {id}")]
    ObservationNotFound {
        /// The id that was asked for.
        id: i64,
    },
    /// There is no such trace.
    #[error("there is no trace {id}")]
    TraceNotFound {
        /// The id that was asked for.
        id: String,
    },
    /// The notification has reached an end state.
    #[error("{0}")]
    NotificationClosed(Box<Closed>),
    /// The response is not among the options.
    #[error("{field}: {rule}")]
    ResponseNotAllowed {
        /// The notification.
        id: i64,
        /// The field at fault: `text`, `options[1]`, `default_response`.
        field: String,
        /// What would be allowed.
        rule: String,
        /// The names of the options.
        options: Vec<String>,
    },
    /// The request id was used for something else in the last 24 hours.
    #[error(
        "request id {request_id} was used for notification {id}, which has other content; use a new id"
    )]
    RequestIdReused {
        /// The request id.
        request_id: Uuid,
        /// What it was used for.
        id: i64,
    },
    /// The request id of a consumer was used for another one, or for another place.
    #[error(
        "request id {request_id} was used for consumer {name}, with another name or place; use a new id"
    )]
    ConsumerRequestReused {
        /// The request id.
        request_id: Uuid,
        /// What it was used for.
        name: String,
    },
    /// The events after the cursor are no longer kept.
    #[error(
        "the changes after sequence {after} are no longer kept, the oldest is {}; start again with a snapshot",
        .bounds.oldest
    )]
    SequenceCompacted {
        /// The cursor's sequence.
        after: i64,
        /// What is kept.
        bounds: JournalBounds,
    },
    /// The cursor is ahead of the head, or of another epoch.
    #[error(
        "the cursor is unknown here: the journal's epoch is {} and its head {}; start again with a snapshot",
        .bounds.epoch, .bounds.head
    )]
    UnknownCursor {
        /// What is kept.
        bounds: JournalBounds,
    },
    /// There is no such consumer.
    #[error("there is no consumer {name}")]
    ConsumerNotFound {
        /// The name that was asked for.
        name: String,
    },
    /// The name is taken.
    #[error("there is a consumer {name} already")]
    ConsumerExists {
        /// The name.
        name: String,
    },
    /// The events after a consumer's place are no longer kept.
    #[error(
        "consumer {name} has acknowledged changes up to {acknowledged}, but the journal begins with {}: {} changes that it has not seen are no longer kept; move it to what is left with `barista consumer reset {name} --since oldest`",
        .bounds.oldest, .bounds.oldest - 1 - .acknowledged
    )]
    ConsumerLeftBehind {
        /// The consumer.
        name: String,
        /// Its place.
        acknowledged: i64,
        /// What is kept.
        bounds: JournalBounds,
    },
    /// A consumer's place, or what it acknowledges, is ahead of the head, or of another epoch.
    #[error(
        "for consumer {name} this place is unknown: the journal's epoch is {} and its head {}; after a restored backup, move the consumer with `barista consumer reset {name} --since now`, or oldest for all of it again",
        .bounds.epoch, .bounds.head
    )]
    ConsumerElsewhere {
        /// The consumer.
        name: String,
        /// What is kept.
        bounds: JournalBounds,
    },
    /// A newer watch of the same consumer has begun.
    #[error("a newer watch of consumer {name} has begun, so this one is over")]
    ConsumerTakenOver {
        /// The consumer.
        name: String,
    },
    /// The consumer was moved.
    #[error("consumer {name} was moved to another place; watch it again to go on from there")]
    ConsumerReset {
        /// The consumer.
        name: String,
    },
    /// Too much is set aside.
    #[error("consumer {name} has set {limit} changes aside already; retry or discard some")]
    SetAsideFull {
        /// The consumer.
        name: String,
        /// How many may be set aside.
        limit: usize,
    },
    /// The change is not on the list of what a consumer has set aside.
    #[error("consumer {name} has not set change {sequence} aside, or no longer")]
    SetAsideEventNotFound {
        /// The consumer.
        name: String,
        /// The change that was asked for.
        sequence: i64,
    },
    /// One backup is made at a time.
    #[error("a backup is being made already; try again when it is done")]
    BackupRunning,
    /// A backup could not be written, or is not sound.
    #[error("the backup could not be made, and nothing is left of it: {reason}")]
    BackupFailed {
        /// Why, for people.
        reason: String,
    },
    /// A snapshot would be larger than one may be.
    #[error("more notifications match than a snapshot may hold, {limit}; narrow the filter")]
    SnapshotTooLarge {
        /// How many notifications a snapshot may hold.
        limit: usize,
    },
    /// An answer would take reading more observations one by one than may be.
    #[error(
        "the answer takes reading more than {limit} observations one by one; ask about a shorter time, or group by what the sums by the hour know: model, provider, agent, project"
    )]
    QuestionTooBroad {
        /// How many may be read.
        limit: usize,
    },
    /// The daemon is stopping.
    #[error("the daemon is stopping; call again")]
    ShuttingDown,
    /// Another process held the write lock until the deadline; nothing was written.
    #[error("another process keeps the database locked; nothing was written, try again")]
    DatabaseBusy {
        /// When to try again.
        retry_after: Duration,
    },
    /// The queue of writes is full; nothing was written.
    #[error("too many writes are waiting; nothing was written, try again")]
    QueueFull {
        /// When to try again.
        retry_after: Duration,
    },
    /// The commit was not confirmed.
    #[error("the change may or may not be stored; repeat it with the same request id")]
    CommitUnknown,
    /// The disk is full, or nearly so; nothing was written.
    #[error(
        "the disk is nearly full ({available} bytes left); nothing was written, free some space and try again"
    )]
    DiskFull {
        /// Bytes left for the daemon's user.
        available: u64,
    },
    /// The database takes no writes.
    #[error("the database is unavailable: {reason}")]
    DatabaseUnavailable {
        /// Why, and what to do, for people.
        reason: String,
    },
    /// The caller's deadline passed before there was an answer, and nothing was changed.
    #[error("the deadline passed before there was an answer")]
    DeadlineExceeded,
    /// As many streams are served as may be.
    #[error("{limit} such calls are served already; try again later")]
    TooManyStreams {
        /// How many may be.
        limit: usize,
    },
    /// The caller is an agent, and agents may not do this.
    #[error("agents may not {what}: {remedy}")]
    AgentNotAllowed {
        /// What was asked for, as in "call …/RespondNotification".
        what: String,
        /// What to do instead: a clause without its full stop.
        remedy: &'static str,
    },
    /// A defect of the daemon: the caller can do nothing about it. The text is for the log only.
    #[error("internal error: {0}")]
    Internal(String),
}

/// What closed a notification.
#[derive(Debug, Clone)]
pub struct Closed {
    /// The notification.
    pub id: i64,
    /// Its end state.
    pub state: Word<State>,
    /// Who ended it; empty where unknown.
    pub by: String,
    /// Through what; empty where unknown.
    pub surface: String,
    /// Its response, where it has one.
    pub response: Option<String>,
}

impl std::fmt::Display for Closed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "notification {} ", self.id)?;
        match (&self.state, &self.response) {
            (Word::Known(State::Responded), Some(text)) => {
                write!(f, "was already answered {text:?}")?;
            }
            (Word::Known(State::Responded), None) => f.write_str("was already answered")?,
            (Word::Known(State::Expired), Some(text)) => {
                write!(f, "has expired, with the default {text:?}")?;
            }
            (Word::Known(State::Expired), None) => f.write_str("has expired")?,
            (state, _) => write!(f, "was already {}", state.as_str())?,
        }
        if self.by.is_empty() {
            Ok(())
        } else {
            write!(f, " by {}", self.by)
        }
    }
}

impl Error {
    /// A field that breaks its rule.
    pub fn invalid(field: impl Into<String>, rule: impl Into<String>) -> Self {
        Self::InvalidField {
            field: field.into(),
            rule: rule.into(),
        }
    }

    /// The same error with `prefix` in front of the field that it names, as for one element of a batch.
    #[must_use]
    pub fn within(self, prefix: &str) -> Self {
        match self {
            Self::InvalidField { field, rule } => Self::InvalidField {
                field: format!("{prefix}.{field}"),
                rule,
            },
            Self::ResponseNotAllowed {
                id,
                field,
                rule,
                options,
            } => Self::ResponseNotAllowed {
                id,
                field: format!("{prefix}.{field}"),
                rule,
                options,
            },
            other => other,
        }
    }
}
