//! The one loop that feeds every watcher.
//!
//! It is pulled: HTTP/2 asks for the next message when the client has room for one. So a watcher has no task and no queue, and one that
//! does not read costs no more than its place in the journal.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::{self, Stream};
use prost::Message;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tonic::Status;

use super::pb::notification::v1 as pb;
use super::{field, status};
use crate::domain::change::SharedChange;
use crate::domain::consumers::Hold;
use crate::domain::error::{Error, Result};
use crate::domain::feed::Follower;
use crate::domain::notification::Notification;
use crate::domain::notifications::Watch;
use crate::failpoint::failpoint;

/// The most items in one message.
const PART_ITEMS: usize = 256;
/// The most bytes of items in one message, the last item excepted.
const PART_BYTES: usize = 1024 * 1024;
/// How long a watcher hears nothing before it is told how far it has come.
const IDLE_PROGRESS: Duration = Duration::from_secs(10);
/// How often a watcher hears of changes that its filter hides: a busy journal must not keep idle clients awake.
const HIDDEN_PROGRESS: Duration = Duration::from_secs(1);

/// A limit on what is served at the same time.
#[derive(Debug)]
pub(super) struct Slots {
    free: Arc<Semaphore>,
    limit: usize,
}

impl Slots {
    pub(super) fn new(limit: usize) -> Self {
        let limit = limit.min(Semaphore::MAX_PERMITS);
        Self {
            free: Arc::new(Semaphore::new(limit)),
            limit,
        }
    }

    /// Takes a slot until the permit is dropped.
    ///
    /// # Errors
    ///
    /// `TooManyStreams` when none is free.
    pub(super) fn take(&self) -> Result<OwnedSemaphorePermit> {
        let limit = self.limit;
        Arc::clone(&self.free)
            .try_acquire_owned()
            .map_err(|_| Error::TooManyStreams { limit })
    }
}

/// What a watcher is sent.
pub(super) enum Part<Item, Event> {
    /// The first message: what the journal keeps, and where the stream starts.
    Started {
        /// The sequence that the first event follows.
        sequence: i64,
        /// The head of the journal.
        head: i64,
        /// The first sequence kept.
        oldest: i64,
    },
    /// A part of the snapshot.
    Snapshot {
        /// The next items.
        items: Vec<Item>,
        /// Whether these are the last.
        last: bool,
    },
    /// The next changes.
    Events(Vec<Event>),
    /// Everything up to this sequence has been sent.
    Progress(i64),
}

/// Feeds a watcher from `watch` until it goes away, `stop`, or an error. `slot` is held as long as the stream, and so is `hold`, where the
/// watcher watches as a consumer: the stream ends when that right does.
///
/// On `stop` what is at hand is still sent, and then the stream ends with SHUTTING_DOWN and the last sequence.
pub(super) fn feed(
    watch: Watch,
    hold: Option<Hold>,
    stop: CancellationToken,
    slot: OwnedSemaphorePermit,
) -> impl Stream<Item = Result<Part<pb::Notification, pb::NotificationEvent>, Status>> + Send {
    let sequence = watch.follower.sequence();
    let started = Part::Started {
        sequence,
        head: watch.bounds.head,
        oldest: watch.bounds.oldest,
    };
    let feeder = Feeder {
        started: Some(started),
        snapshot: watch.snapshot.map(VecDeque::from),
        changes: VecDeque::new(),
        follower: Some(watch.follower),
        epoch: watch.bounds.epoch,
        sequence,
        told: sequence,
        told_at: Instant::now(),
        hold,
        stop,
        _slot: slot,
    };
    stream::unfold(feeder, |mut feeder| async {
        Some((feeder.next().await?, feeder))
    })
}

struct Feeder {
    started: Option<Part<pb::Notification, pb::NotificationEvent>>,
    snapshot: Option<VecDeque<Notification>>,
    /// Taken from the follower and not yet sent.
    changes: VecDeque<SharedChange>,
    /// `None` after the end.
    follower: Option<Follower>,
    epoch: String,
    /// Everything up to here has been taken from the follower.
    sequence: i64,
    /// The last sequence that the watcher has heard of, and when.
    told: i64,
    told_at: Instant,
    hold: Option<Hold>,
    stop: CancellationToken,
    _slot: OwnedSemaphorePermit,
}

impl Feeder {
    async fn next(
        &mut self,
    ) -> Option<Result<Part<pb::Notification, pb::NotificationEvent>, Status>> {
        // Before anything else: a watcher with a long backlog must not go on beside the one that took its place.
        if let Some(error) = self.hold.as_mut().and_then(Hold::has_ended) {
            return self.fail(error);
        }
        let part = self.opening();
        if part.is_some() {
            return part.map(Ok);
        }
        let idle_since = Instant::now();
        while self.changes.is_empty() {
            // Asked for anew each time: the more often a filter hides something, the sooner the watcher hears of it.
            let progress_at = if self.told < self.sequence {
                self.told_at + HIDDEN_PROGRESS
            } else {
                idle_since + IDLE_PROGRESS
            };
            let follower = self.follower.as_mut()?;
            tokio::select! {
                biased;
                batch = follower.next() => match batch {
                    Ok(batch) => {
                        self.sequence = batch.through;
                        self.changes = batch.changes.into();
                        let is_due = self.told_at + HIDDEN_PROGRESS <= Instant::now();
                        if self.changes.is_empty() && is_due {
                            return Some(Ok(self.progress()));
                        }
                    }
                    Err(Error::ShuttingDown) => return Some(Err(self.end())),
                    Err(error) => return self.fail(error),
                },
                error = ended(self.hold.as_mut()) => return self.fail(error),
                () = self.stop.cancelled() => return Some(Err(self.end())),
                () = tokio::time::sleep_until(progress_at) => return Some(Ok(self.progress())),
            }
        }
        Some(Ok(self.events()))
    }

    /// What comes before the changes.
    fn opening(&mut self) -> Option<Part<pb::Notification, pb::NotificationEvent>> {
        if let Some(started) = self.started.take() {
            return Some(started);
        }
        let snapshot = self.snapshot.as_mut()?;
        let items = take_part(snapshot, field::to_notification);
        let last = snapshot.is_empty();
        if last {
            self.snapshot = None;
        }
        Some(Part::Snapshot { items, last })
    }

    fn events<Item>(&mut self) -> Part<Item, pb::NotificationEvent> {
        let events = take_part(&mut self.changes, |change| field::to_event(&change));
        self.told = events.last().map_or(self.told, |event| event.sequence);
        self.told_at = Instant::now();
        failpoint!("told");
        Part::Events(events)
    }

    fn progress<Item, Event>(&mut self) -> Part<Item, Event> {
        self.told = self.sequence;
        self.told_at = Instant::now();
        Part::Progress(self.sequence)
    }

    /// Ends the stream for `error`, once.
    fn fail<Sent>(&mut self, error: Error) -> Option<Result<Sent, Status>> {
        self.follower.take()?;
        let hold = self.hold.take();
        let error = hold.map_or(error.clone(), |hold| hold.explain(error));
        Some(Err(error.into()))
    }

    fn end(&mut self) -> Status {
        self.follower = None;
        status::watch_ended(&self.epoch, self.sequence)
    }
}

/// Waits until the right of `hold` ends; for ever where there is none.
async fn ended(hold: Option<&mut Hold>) -> Error {
    match hold {
        Some(hold) => hold.ended().await,
        None => std::future::pending().await,
    }
}

/// Renders the first of `items`, as many as go into one message, and at least one where there is one.
pub(super) fn take_part<T, M: Message>(items: &mut VecDeque<T>, render: impl Fn(T) -> M) -> Vec<M> {
    let mut part = Vec::with_capacity(items.len().min(PART_ITEMS));
    let mut bytes = 0;
    while part.len() < PART_ITEMS && bytes < PART_BYTES {
        let Some(item) = items.pop_front() else {
            break;
        };
        let message = render(item);
        bytes += message.encoded_len();
        part.push(message);
    }
    part
}

#[cfg(test)]
mod tests;
