//! What the writer thread does: batches, foreign commits, checkpoints, and coming back after an error.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use tokio::runtime::Handle;

use super::batch::{self, Aborted, Ran, Together, execute};
use super::checkpoint;
use super::connection::check_library;
use super::contents::Contents;
use super::failure::{OpenError, Severity, severity};
use super::job::Job;
use super::lock;
use super::opened::{Identity, Open, open_file};
use super::schema::Expected;
use super::store::Options;
use super::writer::{Message, Opening, RETRY_AFTER, Shared, receive};
use crate::data_dir::DataDirError;
use crate::domain::change::SharedChange;
use crate::domain::error::Error;
use crate::failpoint::failpoint;

mod upkeep;

/// How long without a write before the rest of the log is moved into the file. Not sooner: the next write then begins the log anew, which
/// costs a second sync.
const QUIET: Duration = Duration::from_secs(2);

/// The most changes that the writer reads for those who follow the journal.
const READ_AHEAD: i64 = 4;

/// Why nothing is written between an error and the next attempt to open the file.
const REOPENING: &str = "it is being opened again after an error";

/// The writer's own state.
pub(super) struct WriterThread {
    options: Options,
    queue: Receiver<Message>,
    shared: Arc<Shared>,
    /// Where the callers wait, when the store was opened there.
    runtime: Option<Handle>,
    expected: Expected,
    identity: Identity,
    /// `None` while the database is broken.
    open: Option<Open>,
    last_write: Instant,
    /// When the last transaction began.
    begun: Instant,
    last_look: Instant,
    last_foreign: Option<Instant>,
    /// Since when batch has followed batch.
    busy_since: Option<Instant>,
    next_checkpoint: i64,
    checkpointed: i64,
}

impl WriterThread {
    /// Opens the file, so that everything is durable that anybody has written so far.
    pub(super) fn open(
        options: Options,
        contents: &'static Contents,
        queue: Receiver<Message>,
    ) -> Result<(Self, Opening), OpenError> {
        check_library()?;
        let expected =
            Expected::of(contents).map_err(|source| OpenError::of(options.path.path(), source))?;
        let (open, head, opening) = open_file(&options, &expected)?;
        let now = Instant::now();
        let thread = Self {
            shared: Arc::new(Shared::new(head)),
            next_checkpoint: options.checkpoint_frames,
            options,
            queue,
            runtime: Handle::try_current().ok(),
            expected: expected.of_a_journal_in_use(),
            identity: Identity {
                main: opening.main,
                epoch: opening.epoch.clone(),
            },
            open: Some(open),
            last_write: now,
            begun: now,
            last_look: now,
            last_foreign: None,
            busy_since: None,
            checkpointed: 0,
        };
        Ok((thread, opening))
    }

    pub(super) fn shared(&self) -> Arc<Shared> {
        Arc::clone(&self.shared)
    }

    /// Works until the store is stopped.
    pub(super) fn run(&mut self) {
        // The hook counts on the thread that commits, so it is set here.
        self.attend();
        while !self.shared.stopping.load(Ordering::Acquire) {
            self.shared.progress.sign();
            match receive(&self.queue, &self.shared, self.pause()) {
                Ok(message) => self.serve(message),
                Err(RecvTimeoutError::Timeout) => self.idle(),
                Err(RecvTimeoutError::Disconnected) => break,
            }
            self.look_around();
        }
        while let Ok(message) = receive(&self.queue, &self.shared, Duration::ZERO) {
            self.serve(message);
        }
        self.close();
    }

    /// Refuses whatever waits and whatever comes, for `reason`: the thread cannot go on.
    pub(super) fn give_up(&mut self, reason: &Error) {
        self.shared.set_unwritable(Some(reason.clone()));
        while let Ok(message) = receive(&self.queue, &self.shared, Duration::ZERO) {
            if let Message::Write(job) = message {
                job.fail(reason.clone());
            }
        }
        self.release();
    }

    /// Counts what the connection that has been opened does from now on.
    fn attend(&self) {
        let Some(open) = &self.open else { return };
        checkpoint::count_frames(&open.connection);
        if let Err(error) = self.shared.progress.follow(&open.connection) {
            tracing::warn!(%error, "a long statement will look as if the writer were stuck");
        }
    }

    fn pause(&self) -> Duration {
        let is_followed = self.shared.followed.load(Ordering::Acquire);
        let poll = if is_followed && !self.shared.is_quiet() {
            self.options.followed_poll
        } else {
            self.options.idle_poll
        };
        if self.has_frames() {
            poll.min(QUIET)
        } else {
            poll
        }
    }

    fn serve(&mut self, message: Message) {
        match message {
            Message::Write(first) => {
                let (jobs, next) = self.collect(first);
                self.write(jobs);
                self.checkpoint_if_due();
                self.leave_gap();
                if let Some(next) = next {
                    self.serve(next);
                }
            }
            Message::Checkpoint(mode, reply) => {
                // Nobody may be left to hear it.
                drop(reply.send(self.checkpoint(mode)));
            }
            Message::Nudge => {}
        }
    }

    /// Takes what else waits, up to the bounds of a batch. Returns the message that is not a write, where one came.
    fn collect(&mut self, first: Box<dyn Job>) -> (Vec<Box<dyn Job>>, Option<Message>) {
        let mut bytes = first.size();
        let mut jobs = vec![first];
        while jobs.len() < self.options.batch_writes && bytes < self.options.batch_bytes {
            match receive(&self.queue, &self.shared, Duration::ZERO) {
                Ok(Message::Write(job)) => {
                    bytes += job.size();
                    jobs.push(job);
                }
                Ok(Message::Nudge) => {}
                Ok(other) => return (jobs, Some(other)),
                Err(_) => {
                    self.busy_since = None;
                    break;
                }
            }
        }
        (jobs, None)
    }

    fn write(&mut self, jobs: Vec<Box<dyn Job>>) {
        self.check_disk();
        if let Some(reason) = self.shared.unwritable() {
            return fail(jobs, &reason);
        }
        if self.open.is_none() {
            let reason = REOPENING.to_owned();
            return fail(jobs, &Error::DatabaseUnavailable { reason });
        }
        if let Some(jobs) = self.begin(jobs) {
            self.transact(jobs);
        }
    }

    /// Runs `jobs` in the transaction that has begun, and commits it.
    fn transact(&mut self, jobs: Vec<Box<dyn Job>>) {
        failpoint!("begun");
        let Some((foreign, jobs)) = self.notice_others(jobs) else {
            return;
        };
        let Some(open) = &self.open else { return };
        match batch::run_together(&open.connection, batch::claim(jobs)) {
            Ok(Together::Ran(ran)) => self.commit(foreign, ran),
            Ok(Together::Spoilt(jobs)) => self.repeat(jobs),
            Err(aborted) => self.abort(aborted),
        }
    }

    /// Undoes the transaction, and runs `jobs` in another, so that the one that spoilt it fails alone.
    fn repeat(&mut self, jobs: Vec<Box<dyn Job>>) {
        if !self.undo() {
            let reason = REOPENING.to_owned();
            return fail(jobs, &Error::DatabaseUnavailable { reason });
        }
        failpoint!("undone");
        let Some(jobs) = self.begin(jobs) else { return };
        let Some((foreign, jobs)) = self.notice_others(jobs) else {
            return;
        };
        let Some(open) = &self.open else { return };
        match batch::run_apart(&open.connection, jobs) {
            Ok(ran) => self.commit(foreign, ran),
            Err(aborted) => self.abort(aborted),
        }
    }

    /// Begins a transaction for `jobs`, which are returned where that succeeds and answered where it does not.
    fn begin(&mut self, jobs: Vec<Box<dyn Job>>) -> Option<Vec<Box<dyn Job>>> {
        let open = self.open.as_ref()?;
        failpoint!("before-begin");
        match lock::begin(&open.connection, &self.options, &self.shared, &jobs) {
            Ok(true) => {
                self.begun = Instant::now();
                return Some(jobs);
            }
            Ok(false) => fail(
                jobs,
                &Error::DatabaseBusy {
                    retry_after: RETRY_AFTER,
                },
            ),
            Err(error) => {
                fail(jobs, &self.unavailable(&error));
                self.after_error(&error);
            }
        }
        None
    }

    /// Looks, inside the transaction that has begun, whether others have committed. `jobs` are returned where that succeeds.
    fn notice_others(&mut self, jobs: Vec<Box<dyn Job>>) -> Option<(bool, Vec<Box<dyn Job>>)> {
        match self.open.as_mut()?.notice_others(&self.expected) {
            Ok(foreign) => Some((foreign, jobs)),
            Err(error) => {
                fail(jobs, &self.unavailable(&error));
                // The next attempt would fail in the same way, at once and for ever: so it waits until the file is opened again.
                self.after_error(&error);
                None
            }
        }
    }

    /// Commits what `ran` did, and answers.
    fn commit(&mut self, foreign: bool, ran: Ran) {
        let Some(open) = &self.open else { return };
        let head = match (self.expected.contents().last)(&open.connection) {
            Ok(head) => head,
            Err(error) => return self.commit_failed(&error, ran),
        };
        let ahead = self.read_ahead(open, head);
        let began = Instant::now();
        match open.commit(foreign || !ran.done.is_empty(), foreign) {
            Ok(()) => {
                let activity = &self.shared.activity;
                activity.commit_time.observe_span(began.elapsed());
                activity.batch_time.observe_span(self.begun.elapsed());
                activity.batch_writes.observe(ran.done.len() as u64);
                self.shared.keep_ahead(ahead);
                self.published(head, ran.done.len(), foreign);
                failpoint!("published");
                self.answer(ran);
            }
            Err(error) => self.commit_failed(&error, ran),
        }
    }

    /// Tells the callers that the commit failed. Where there was no space, what ends a transaction in the log was not written, so that nothing
    /// is stored and the connection is sound; after any other error the outcome is unknown.
    fn commit_failed(&mut self, error: &rusqlite::Error, ran: Ran) {
        let full = severity(error) == Severity::Full;
        let outcome = if full {
            self.disk_full()
        } else {
            Error::CommitUnknown
        };
        tracing::error!(%error, writes = ran.done.len(), "a commit failed; {outcome}");
        fail(ran.done, &outcome);
        ran.failed
            .into_iter()
            .for_each(|(job, error)| job.fail(error));
        if full {
            self.undo();
        } else {
            self.after_error(error);
        }
    }

    /// Reads the few changes that the transaction has made, up to its `head`, for those who follow the journal: a reader would first have to be woken, and to
    /// read from the log what this connection has at hand. Many changes are left to a reader, beside which the writer can go on.
    fn read_ahead(&self, open: &Open, head: i64) -> Vec<SharedChange> {
        if !self.shared.followed.load(Ordering::Acquire) {
            return Vec::new();
        }
        let after = *self.shared.head.borrow();
        if !(1..=READ_AHEAD).contains(&(head - after)) {
            return Vec::new();
        }
        // Whoever follows will read for himself, and hear of the error.
        (self.expected.contents().read_ahead)(&open.connection, after, head).unwrap_or_default()
    }

    /// Tells the callers what became of their jobs, after the commit. A task of the runtime does it, which is woken once for all of them:
    /// each answer from this thread would wake it anew, with a system call.
    fn answer(&self, ran: Ran) {
        let answer = || {
            ran.done.into_iter().for_each(Job::answer);
            ran.failed
                .into_iter()
                .for_each(|(job, error)| job.fail(error));
            failpoint!("answered");
        };
        match &self.runtime {
            Some(runtime) => drop(runtime.spawn(async { answer() })),
            None => answer(),
        }
    }

    fn published(&mut self, head: i64, writes: usize, foreign: bool) {
        let shared = &self.shared;
        shared.commits.fetch_add(1, Ordering::Relaxed);
        shared.writes.fetch_add(writes as u64, Ordering::Relaxed);
        let now = Instant::now();
        self.last_write = now;
        if foreign {
            shared.foreign_commits.fetch_add(1, Ordering::Relaxed);
            self.last_foreign = Some(now);
        }
        shared.head.send_if_modified(|published| {
            let grown = head > *published;
            *published = head.max(*published);
            grown
        });
    }

    /// Undoes a transaction that cannot be saved: nothing of it was written.
    fn abort(&mut self, aborted: Aborted) {
        let Aborted { error, jobs } = aborted;
        tracing::error!(%error, writes = jobs.len(), "a batch failed and was undone");
        let reason = if severity(&error) == Severity::Full {
            self.disk_full()
        } else {
            self.unavailable(&error)
        };
        fail(jobs, &reason);
        if severity(&error) == Severity::Broken {
            self.after_error(&error);
        } else {
            self.undo();
        }
    }

    /// Undoes the open transaction. Where that fails the database is closed, and `false` returned.
    fn undo(&mut self) -> bool {
        let Some(open) = &mut self.open else {
            return false;
        };
        // What others committed was noticed in the transaction that is undone, so it must be noticed again.
        open.forget_others();
        if open.connection.is_autocommit() {
            return true;
        }
        match execute(&open.connection, "ROLLBACK") {
            Ok(()) => true,
            Err(error) => {
                self.after_error(&error);
                false
            }
        }
    }

    fn disk_full(&self) -> Error {
        Error::DiskFull {
            available: (self.options.surroundings.disk_available)().unwrap_or(0),
        }
    }

    fn unavailable(&self, error: &rusqlite::Error) -> Error {
        Error::DatabaseUnavailable {
            reason: format!("it cannot be written: {error}"),
        }
    }

    /// After an error that says nothing good about the connection or the disk: stop writing and begin anew. A sync is never repeated:
    /// after a failed one the kernel may have dropped the pages and report success.
    fn after_error(&mut self, error: &rusqlite::Error) {
        tracing::error!(%error, "the database is closed after an error, and will be opened again");
        self.shared.set_unwritable(Some(self.unavailable(error)));
        self.release();
        self.last_look = Instant::now();
    }

    /// Closes the connection; but one whose file is no longer at its path is left open, as closing the last connection deletes the log
    /// at that path, which may be somebody else's by now.
    fn release(&mut self) {
        let moved = self.still_there().is_err();
        if let Some(open) = self.open.take()
            && moved
        {
            std::mem::forget(open.connection);
        }
    }

    fn still_there(&self) -> Result<(), DataDirError> {
        self.open
            .as_ref()
            .map_or(Ok(()), |open| open.still_there(&self.options.path))
    }
}

fn fail(jobs: Vec<Box<dyn Job>>, reason: &Error) {
    jobs.into_iter().for_each(|job| job.fail(reason.clone()));
}
