//! The one thread that writes to a database file.
//!
//! It takes the first request that waits and whatever else has queued up meanwhile, runs them all in one transaction, and answers them
//! after the commit is on the disk. The next batch forms during the sync, so nothing ever waits for company.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rusqlite::Connection;
use tokio::sync::{oneshot, watch};

use super::contents::Contents;
use super::failure::{Failure, OpenError};
use super::job::{Job, job};
use super::progress::Progress;
use super::store::Options;
use super::thread::WriterThread;
use crate::data_dir::FileIdentity;
use crate::domain::admin::{CheckpointMode, CheckpointOutcome, WriterActivity};
use crate::domain::change::SharedChange;
use crate::domain::error::{Error, Result};
use crate::sync::Mutex;
use crate::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, AtomicUsize, Ordering};

/// What a caller is told to wait before it tries again.
pub(super) const RETRY_AFTER: Duration = Duration::from_secs(1);

/// How long after a write to the log a commit by another process is expected: a sync may take that long.
const HINT_HOLDS: Duration = Duration::from_secs(1);

/// What the writer thread is asked to do.
pub(super) enum Message {
    /// One write.
    Write(Box<dyn Job>),
    /// A checkpoint.
    Checkpoint(CheckpointMode, oneshot::Sender<Result<CheckpointOutcome>>),
    /// Nothing: only to look at what has changed in [`Shared`].
    Nudge,
}

/// What the writer thread tells everybody.
pub(super) struct Shared {
    /// The last sequence that is durable.
    pub(super) head: watch::Sender<i64>,
    /// Whether somebody follows the journal.
    pub(super) followed: AtomicBool,
    /// Whether somebody tells us of writes to the log, see [`Shared::is_quiet`].
    hinted: AtomicBool,
    /// When the log was last written to, as far as somebody told.
    last_hint: Mutex<Option<Instant>>,
    /// The last changes, where the writer has read them ahead.
    ahead: Mutex<Vec<SharedChange>>,
    /// Whether the writer should end.
    pub(super) stopping: AtomicBool,
    /// Whether the daemon will stop soon: a lock that another process holds is not waited for any more.
    pub(super) hurried: AtomicBool,
    /// That the thread gets on.
    pub(super) progress: Progress,
    /// Messages in the queue.
    pub(super) depth: AtomicUsize,
    /// Transactions committed.
    pub(super) commits: AtomicU64,
    /// Writes in them.
    pub(super) writes: AtomicU64,
    /// Commits by others that were noticed.
    pub(super) foreign_commits: AtomicU64,
    /// Attempts to begin that met another process's lock.
    pub(super) busy_retries: AtomicU64,
    /// How long what takes, and how much at a time.
    pub(super) activity: WriterActivity,
    /// When the last checkpoint ended, in microseconds since the epoch; 0 for never.
    pub(super) last_checkpoint: AtomicI64,
    /// Why writes are refused.
    unwritable: Mutex<Option<Error>>,
}

impl Shared {
    pub(super) fn new(head: i64) -> Self {
        Self {
            head: watch::Sender::new(head),
            followed: AtomicBool::new(false),
            hinted: AtomicBool::new(false),
            last_hint: Mutex::new(None),
            ahead: Mutex::new(Vec::new()),
            stopping: AtomicBool::new(false),
            hurried: AtomicBool::new(false),
            progress: Progress::default(),
            depth: AtomicUsize::new(0),
            commits: AtomicU64::new(0),
            writes: AtomicU64::new(0),
            foreign_commits: AtomicU64::new(0),
            busy_retries: AtomicU64::new(0),
            activity: WriterActivity::default(),
            last_checkpoint: AtomicI64::new(0),
            unwritable: Mutex::new(None),
        }
    }

    /// Whether the log is known not to have been written to for a while: then nobody can have committed.
    ///
    /// A hint may come long before the commit that it announces, when the disk is slow.
    pub(super) fn is_quiet(&self) -> bool {
        let hint = *self
            .last_hint
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        self.hinted.load(Ordering::Acquire) && hint.is_none_or(|hint| hint.elapsed() >= HINT_HOLDS)
    }

    /// Keeps `changes`, which end with the head that is about to be published, for those who follow.
    pub(super) fn keep_ahead(&self, changes: Vec<SharedChange>) {
        *self.ahead.lock().unwrap_or_else(PoisonError::into_inner) = changes;
    }

    /// At most `limit` changes after `after`, where they have been read ahead and are published.
    pub(super) fn ahead_after(&self, after: i64, limit: usize) -> Option<Vec<SharedChange>> {
        let ahead = self.ahead.lock().unwrap_or_else(PoisonError::into_inner);
        let head = *self.head.borrow();
        let is_published = ahead.last().is_some_and(|last| last.sequence <= head);
        let start = ahead
            .iter()
            .position(|change| change.sequence == after + 1)?;
        is_published.then(|| ahead[start..].iter().take(limit).cloned().collect())
    }

    /// Why writes are refused, if they are.
    pub(super) fn unwritable(&self) -> Option<Error> {
        self.unwritable
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Refuses writes from now on, or takes them again.
    pub(super) fn set_unwritable(&self, reason: Option<Error>) {
        *self
            .unwritable
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = reason;
    }
}

/// The way to the writer thread.
pub(super) struct Writer {
    queue: SyncSender<Message>,
    capacity: usize,
    shared: Arc<Shared>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Writer {
    /// Opens the file and starts the thread. Returns when the file is ready for readers.
    pub(super) fn start(
        options: Options,
        contents: &'static Contents,
    ) -> std::result::Result<(Self, Opening), OpenError> {
        let capacity = options.queue_capacity;
        let (queue, receiver) = sync_channel(capacity);
        let (thread, opening) = WriterThread::open(options, contents, receiver)?;
        let shared = thread.shared();
        let thread = std::thread::Builder::new()
            .name(contents.thread.to_owned())
            .spawn(move || run(thread))
            .map_err(OpenError::Thread)?;
        let thread = Mutex::new(Some(thread));
        Ok((
            Self {
                queue,
                capacity,
                shared,
                thread,
            },
            opening,
        ))
    }

    pub(super) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    pub(super) fn capacity(&self) -> usize {
        self.capacity
    }

    /// Runs `work`, which brings about `size` bytes, in the next batch and returns what it returned, after its commit. `work` must not begin
    /// or end transactions.
    pub(super) async fn write<T, F>(
        &self,
        deadline: Option<Instant>,
        size: usize,
        work: F,
    ) -> Result<T>
    where
        T: Send + 'static,
        F: FnMut(&Connection) -> std::result::Result<T, Failure> + Send + 'static,
    {
        let (job, pending) = job(size, work);
        self.send(Message::Write(job))?;
        pending.outcome(deadline).await
    }

    /// Runs a checkpoint between two batches.
    pub(super) async fn checkpoint(
        &self,
        mode: CheckpointMode,
        deadline: Option<Instant>,
    ) -> Result<CheckpointOutcome> {
        let (reply, answer) = oneshot::channel();
        self.send(Message::Checkpoint(mode, reply))?;
        let answer = async { answer.await.unwrap_or(Err(Error::ShuttingDown)) };
        match deadline {
            None => answer.await,
            Some(deadline) => tokio::time::timeout_at(deadline.into(), answer)
                .await
                .unwrap_or(Err(Error::DatabaseBusy {
                    retry_after: RETRY_AFTER,
                })),
        }
    }

    /// Says whether somebody follows the journal.
    pub(super) fn set_followed(&self, followed: bool) {
        self.shared.followed.store(followed, Ordering::Release);
        if followed {
            // A full queue wakes the thread as well.
            drop(self.send(Message::Nudge));
        }
    }

    /// Says whether [`Writer::hint`] will be called for each write to the log, by whoever.
    pub(super) fn set_hinted(&self, hinted: bool) {
        self.shared.hinted.store(hinted, Ordering::Release);
    }

    /// Says that somebody has written to the log, and may commit soon.
    pub(super) fn hint(&self) {
        *self
            .shared
            .last_hint
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
        if self.shared.followed.load(Ordering::Acquire) {
            drop(self.send(Message::Nudge));
        }
    }

    /// How many signs of life the thread has given so far; asks it for another one. A full queue needs no asking.
    pub(super) fn signs(&self) -> u64 {
        drop(self.send(Message::Nudge));
        self.shared.progress.signs()
    }

    fn send(&self, message: Message) -> Result<()> {
        if self.shared.stopping.load(Ordering::Acquire) {
            return Err(Error::ShuttingDown);
        }
        if let (Message::Write(_), Some(reason)) = (&message, self.shared.unwritable()) {
            return Err(reason);
        }
        self.shared.depth.fetch_add(1, Ordering::Relaxed);
        self.queue.try_send(message).map_err(|error| {
            self.shared.depth.fetch_sub(1, Ordering::Relaxed);
            match error {
                TrySendError::Full(_) => Error::QueueFull {
                    retry_after: RETRY_AFTER,
                },
                TrySendError::Disconnected(_) => {
                    self.shared.unwritable().unwrap_or(Error::ShuttingDown)
                }
            }
        })
    }

    /// Ends the thread after the writes that wait already, and waits for it. Blocks.
    pub(super) fn stop(&self) {
        self.shared.hurried.store(true, Ordering::Release);
        self.shared.stopping.store(true, Ordering::Release);
        drop(self.queue.try_send(Message::Nudge));
        let thread = self
            .thread
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(thread) = thread {
            // A panic was reported when it happened.
            drop(thread.join());
        }
    }
}

/// Works until the store is stopped. After a defect the callers are told that it will not write again, rather than that it stops.
fn run(mut thread: WriterThread) {
    if catch_unwind(AssertUnwindSafe(|| thread.run())).is_err() {
        tracing::error!("the writer thread panicked; nothing can be written until a restart");
        let reason = "its writer has ended by a defect; restart the daemon".to_owned();
        thread.give_up(&Error::DatabaseUnavailable { reason });
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.stop();
    }
}

/// What is known once the file is open.
pub(super) struct Opening {
    /// Which file it is.
    pub(super) main: FileIdentity,
    /// The database's epoch.
    pub(super) epoch: String,
    /// The version of the schema.
    pub(super) schema_version: i64,
}

/// Takes the next message, or learns that there is none for `pause`.
pub(super) fn receive(
    queue: &Receiver<Message>,
    shared: &Shared,
    pause: Duration,
) -> std::result::Result<Message, RecvTimeoutError> {
    let message = queue.recv_timeout(pause)?;
    shared.depth.fetch_sub(1, Ordering::Relaxed);
    Ok(message)
}

#[cfg(all(test, feature = "interleavings"))]
mod interleavings;
