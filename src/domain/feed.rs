//! The tail of the journal, shared by everybody who follows it.
//!
//! A commit says only "committed up to N". One task then reads the new changes once and keeps the last few thousand in a ring; each
//! watcher takes what lies after its own cursor, from the ring, or from the store when it has fallen behind the ring. So a slow
//! watcher costs a number, and nothing is ever dropped or queued for it.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use tokio::sync::{oneshot, watch};
use tokio_util::sync::CancellationToken;

use super::change::{ChangeKind, SharedChange};
use super::error::{Error, Result};
use super::notification::filter::ChangeFilter;
use super::notification::store::NotificationStore;
use crate::sync::{Mutex, MutexGuard};

/// The most changes in the ring, and the most that one read brings into it.
const RING_CHANGES: usize = 4_096;
/// The most bytes of notifications in the ring.
const RING_BYTES: usize = 8 * 1024 * 1024;
/// The most changes that a follower takes at a time.
const BATCH_CHANGES: usize = 256;
/// The most bytes of notifications that a follower takes at a time, the last one excepted.
const BATCH_BYTES: usize = 1024 * 1024;
/// How many changes are read from the store at a time.
const READ_CHANGES: usize = 512;
/// How long to wait before reading again after the store has failed to read.
const READ_RETRY: Duration = Duration::from_millis(200);

/// The tail of the journal.
pub struct Feed {
    store: Arc<dyn NotificationStore>,
    tail: Mutex<Tail>,
    head: watch::Sender<i64>,
}

struct Tail {
    ring: VecDeque<SharedChange>,
    bytes: usize,
    /// The sequence up to which followers may read.
    head: i64,
    followers: usize,
    waiting: HashMap<i64, Vec<Waiter>>,
    next_waiter: u64,
}

struct Waiter {
    key: u64,
    wake: oneshot::Sender<SharedChange>,
}

impl Tail {
    fn is_idle(&self) -> bool {
        self.followers == 0 && self.waiting.is_empty()
    }

    /// Forgets the ring and continues after `head`. Whoever waits is woken to look again, as the end may lie in what is skipped.
    fn skip_to(&mut self, head: i64) {
        self.ring.clear();
        self.bytes = 0;
        self.head = head;
        self.waiting.clear();
    }

    fn push(&mut self, change: SharedChange) {
        self.head = change.sequence;
        self.bytes += change.notification.size();
        if change.kind == ChangeKind::Deleted || change.notification.is_closed() {
            for waiter in self
                .waiting
                .remove(&change.notification.id)
                .unwrap_or_default()
            {
                // A waiter that has gone away needs no answer.
                drop(waiter.wake.send(Arc::clone(&change)));
            }
        }
        self.ring.push_back(change);
        while self.ring.len() > RING_CHANGES || (self.bytes > RING_BYTES && self.ring.len() > 1) {
            if let Some(oldest) = self.ring.pop_front() {
                self.bytes -= oldest.notification.size();
            }
        }
    }
}

/// What the ring has for a cursor.
enum Step {
    Changes(Vec<SharedChange>),
    Behind,
    CaughtUp,
}

impl Feed {
    /// Makes a feed of `store` that begins at its present head.
    #[must_use]
    pub fn new(store: Arc<dyn NotificationStore>) -> Self {
        let head = *store.head().borrow();
        let tail = Tail {
            ring: VecDeque::new(),
            bytes: 0,
            head,
            followers: 0,
            waiting: HashMap::new(),
            next_waiter: 0,
        };
        Self {
            store,
            tail: Mutex::new(tail),
            head: watch::Sender::new(head),
        }
    }

    /// Reads what is committed, for those who follow, until `stop`.
    pub async fn run(&self, stop: CancellationToken) {
        let mut committed = self.store.head();
        loop {
            let target = *committed.borrow_and_update();
            let outcome = tokio::select! {
                outcome = self.advance(target) => outcome,
                () = stop.cancelled() => return,
            };
            let pause = match outcome {
                Ok(()) => None,
                Err(error) => {
                    tracing::warn!(%error, "could not read the journal; trying again");
                    Some(READ_RETRY)
                }
            };
            let next = async {
                match pause {
                    Some(pause) => tokio::time::sleep(pause).await,
                    // The sender lives as long as the store that this feed holds.
                    None => drop(committed.changed().await),
                }
            };
            tokio::select! {
                () = next => {}
                () = stop.cancelled() => return,
            }
        }
    }

    async fn advance(&self, target: i64) -> Result<()> {
        loop {
            let from = {
                let mut tail = self.lock();
                let far = target - tail.head > RING_CHANGES as i64;
                if tail.head < target && (tail.is_idle() || far) {
                    tail.skip_to(target);
                }
                tail.head
            };
            self.head.send_replace(from);
            if from >= target {
                return Ok(());
            }
            match self.store.changes_after(from, READ_CHANGES).await {
                Ok(changes) if changes.is_empty() => return Ok(()),
                Ok(changes) => {
                    let mut tail = self.lock();
                    changes.into_iter().for_each(|change| tail.push(change));
                }
                // Somebody emptied the journal under us: each follower finds out for itself where it stands.
                Err(Error::SequenceCompacted { .. } | Error::UnknownCursor { .. }) => {
                    self.lock().skip_to(target);
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Follows the journal after `sequence`.
    #[must_use]
    pub fn follow(self: &Arc<Self>, sequence: i64, filter: ChangeFilter) -> Follower {
        self.enter(|tail| tail.followers += 1);
        Follower {
            feed: Arc::clone(self),
            head: self.head.subscribe(),
            sequence,
            filter,
        }
    }

    /// Waits for notification `id` to be closed or deleted from now on. Register first and read the state then: a change between the two
    /// is not lost.
    #[must_use]
    pub fn closing(self: &Arc<Self>, id: i64) -> Closing {
        let (wake, woken) = oneshot::channel();
        let mut key = 0;
        self.enter(|tail| {
            key = tail.next_waiter;
            tail.next_waiter += 1;
            tail.waiting
                .entry(id)
                .or_default()
                .push(Waiter { key, wake });
        });
        Closing {
            feed: Arc::clone(self),
            id,
            key,
            woken,
        }
    }

    /// How many follow the journal.
    #[must_use]
    pub fn followers(&self) -> usize {
        self.lock().followers
    }

    /// How many wait for a notification to be closed.
    #[must_use]
    pub fn waiters(&self) -> usize {
        self.lock().waiting.values().map(Vec::len).sum()
    }

    fn enter(&self, register: impl FnOnce(&mut Tail)) {
        let mut tail = self.lock();
        let was_idle = tail.is_idle();
        register(&mut tail);
        if was_idle {
            self.store.set_followed(true);
        }
    }

    fn leave(&self, deregister: impl FnOnce(&mut Tail)) {
        let mut tail = self.lock();
        deregister(&mut tail);
        if tail.is_idle() {
            self.store.set_followed(false);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Tail> {
        // Nothing inside the lock leaves the tail half-changed, so a panic elsewhere does not make it unusable.
        self.tail.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn step(&self, sequence: i64) -> Step {
        let tail = self.lock();
        if sequence >= tail.head {
            return Step::CaughtUp;
        }
        let Some(first) = tail.ring.front().map(|change| change.sequence) else {
            return Step::Behind;
        };
        let Ok(start) = usize::try_from(sequence + 1 - first) else {
            return Step::Behind;
        };
        let mut bytes = 0;
        let changes = tail
            .ring
            .range(start..)
            .take(BATCH_CHANGES)
            .take_while(|change| {
                let fits = bytes < BATCH_BYTES;
                bytes += change.notification.size();
                fits
            });
        Step::Changes(changes.cloned().collect())
    }
}

/// Changes that a follower has taken.
#[derive(Debug)]
pub struct Batch {
    /// Those that its filter lets through, in order.
    pub changes: Vec<SharedChange>,
    /// The follower has seen everything up to this sequence.
    pub through: i64,
}

/// Somebody who follows the journal.
pub struct Follower {
    feed: Arc<Feed>,
    head: watch::Receiver<i64>,
    sequence: i64,
    filter: ChangeFilter,
}

impl Follower {
    /// The sequence up to which this follower has seen everything.
    #[must_use]
    pub fn sequence(&self) -> i64 {
        self.sequence
    }

    /// Waits for changes after the last ones, and returns those that match; none where the filter hides them all.
    ///
    /// May be dropped at any point and called again: nothing is lost.
    ///
    /// # Errors
    ///
    /// `SequenceCompacted` when this follower fell behind what is kept; `Internal` or `DatabaseUnavailable` when reading failed.
    pub async fn next(&mut self) -> Result<Batch> {
        let changes = loop {
            self.head.borrow_and_update();
            match self.feed.step(self.sequence) {
                Step::Changes(changes) => break changes,
                Step::Behind => {
                    let changes = self
                        .feed
                        .store
                        .changes_after(self.sequence, READ_CHANGES)
                        .await?;
                    if !changes.is_empty() {
                        break within_bytes(changes);
                    }
                }
                Step::CaughtUp => {}
            }
            if self.head.changed().await.is_err() {
                return Err(Error::ShuttingDown);
            }
        };
        let through = changes
            .last()
            .map_or(self.sequence, |change| change.sequence);
        self.sequence = through;
        let changes = changes
            .into_iter()
            .filter(|change| self.filter.matches(change))
            .collect();
        Ok(Batch { changes, through })
    }
}

/// Cuts `changes` where a message would get too large; the rest is read again.
fn within_bytes(mut changes: Vec<SharedChange>) -> Vec<SharedChange> {
    let mut bytes = 0;
    let fitting = changes
        .iter()
        .take_while(|change| {
            let fits = bytes < BATCH_BYTES;
            bytes += change.notification.size();
            fits
        })
        .count();
    changes.truncate(fitting);
    changes
}

impl Drop for Follower {
    fn drop(&mut self) {
        self.feed.leave(|tail| tail.followers -= 1);
    }
}

/// A wait for a notification to be closed or deleted.
pub struct Closing {
    feed: Arc<Feed>,
    id: i64,
    key: u64,
    woken: oneshot::Receiver<SharedChange>,
}

impl Closing {
    /// Returns the change that closed or deleted the notification, or `None` when it is time to look at its state again.
    pub async fn wait(&mut self) -> Option<SharedChange> {
        (&mut self.woken).await.ok()
    }
}

impl Drop for Closing {
    fn drop(&mut self) {
        let (id, key) = (self.id, self.key);
        self.feed.leave(|tail| {
            if let Some(waiters) = tail.waiting.get_mut(&id) {
                waiters.retain(|waiter| waiter.key != key);
                if waiters.is_empty() {
                    tail.waiting.remove(&id);
                }
            }
        });
    }
}

#[cfg(all(test, feature = "interleavings"))]
pub(crate) mod interleavings;
