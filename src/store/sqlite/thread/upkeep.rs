//! What the writer thread does between its batches: looking for commits by others, for its file and for space, leaving gaps, and checkpoints.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::super::checkpoint;
use super::super::failure::{Severity, severity};
use super::super::lock;
use super::super::opened::reopen_file;
use super::{QUIET, REOPENING, WriterThread};
use crate::domain::admin::{CheckpointMode, CheckpointOutcome};
use crate::domain::error::{Error, Result};
use crate::failpoint::failpoint;

/// How often a broken database is opened again.
const REOPEN_INTERVAL: Duration = Duration::from_secs(2);
/// How long a foreign commit makes the writer leave gaps between its batches.
const FOREIGN_ACTIVITY: Duration = Duration::from_secs(5);
/// The gap: another process looks at the lock every 1 to 100 ms.
const FOREIGN_GAP: Duration = Duration::from_millis(1);
/// How long the writer works without a gap while it knows of no other process: one that has never got the lock is not known either.
const LONGEST_RUN: Duration = Duration::from_millis(25);

impl WriterThread {
    /// Looks for commits by others when nobody writes, and does what can wait.
    pub(super) fn idle(&mut self) {
        self.busy_since = None;
        let Some(open) = &self.open else { return };
        if self.is_unavailable() {
            // Nothing is written into a file that was moved away.
            return;
        }
        match open.others_committed() {
            Ok(true) => self.confirm_others(),
            Ok(false) => {
                if self.last_write.elapsed() >= QUIET && self.has_frames() {
                    self.report_checkpoint(CheckpointMode::Passive);
                }
            }
            Err(error) => self.after_error(&error),
        }
    }

    /// Makes durable what others have committed, perhaps without a sync, and publishes it.
    fn confirm_others(&mut self) {
        let Some(open) = &self.open else { return };
        match lock::begin_at_once(&open.connection) {
            Ok(true) => self.transact(Vec::new()),
            // They hold the lock again: the next look is soon.
            Ok(false) => {}
            Err(error) => self.after_error(&error),
        }
    }

    /// Looks, every now and then, whether the file is still the one that was opened and whether there is space; and opens a broken
    /// database again.
    pub(super) fn look_around(&mut self) {
        let interval = if self.open.is_some() {
            self.options.look_interval
        } else {
            REOPEN_INTERVAL
        };
        if self.last_look.elapsed() < interval {
            return;
        }
        self.last_look = Instant::now();
        if let Err(error) = self.still_there() {
            if self.shared.unwritable().is_none() {
                tracing::error!(%error, "the database file is not the one that was opened; writing stops");
            }
            let reason = error.to_string();
            self.shared
                .set_unwritable(Some(Error::DatabaseUnavailable { reason }));
            return;
        }
        if self.open.is_none() {
            return self.reopen();
        }
        if self.is_unavailable() {
            tracing::info!("the database file is in its place again; writing goes on");
            self.shared.set_unwritable(None);
        }
        self.check_disk();
    }

    fn is_unavailable(&self) -> bool {
        matches!(
            self.shared.unwritable(),
            Some(Error::DatabaseUnavailable { .. })
        )
    }

    pub(super) fn check_disk(&mut self) {
        // Where the space cannot be told, SQLite will say when there is none.
        let Ok(available) = (self.options.surroundings.disk_available)() else {
            return;
        };
        let full = available < self.options.min_free_disk;
        match (self.shared.unwritable(), full) {
            (None, true) => {
                tracing::error!(available, "the disk is nearly full; writing stops");
                self.shared
                    .set_unwritable(Some(Error::DiskFull { available }));
            }
            (Some(Error::DiskFull { .. }), false) => {
                tracing::info!("there is space on the disk again; writing goes on");
                self.shared.set_unwritable(None);
            }
            _ => {}
        }
    }

    fn reopen(&mut self) {
        let published = *self.shared.head.borrow();
        match reopen_file(
            &self.options,
            &self.expected,
            &self.identity,
            published,
            &self.shared.progress,
        ) {
            Ok((open, head)) => {
                tracing::info!(head, "the database is open again");
                self.open = Some(open);
                self.attend();
                self.shared.set_unwritable(None);
                self.published(head, 0, false);
            }
            Err(error) => {
                tracing::error!(%error, "the database cannot be opened again yet");
                let reason = error.to_string();
                self.shared
                    .set_unwritable(Some(Error::DatabaseUnavailable { reason }));
            }
        }
    }

    /// Lets other processes have the lock: always after a foreign commit, and once in a while under steady load.
    pub(super) fn leave_gap(&mut self) {
        let now = Instant::now();
        let since = *self.busy_since.get_or_insert(now);
        let foreign = self
            .last_foreign
            .is_some_and(|at| now - at < FOREIGN_ACTIVITY);
        if foreign || now - since >= LONGEST_RUN {
            self.busy_since = None;
            lock::pause(FOREIGN_GAP);
        }
    }

    pub(super) fn has_frames(&self) -> bool {
        checkpoint::frames() != self.checkpointed
    }

    pub(super) fn checkpoint_if_due(&mut self) {
        let frames = checkpoint::frames();
        if frames < self.checkpointed {
            // The log was begun anew.
            self.checkpointed = 0;
            self.next_checkpoint = self.options.checkpoint_frames;
        }
        if frames >= self.next_checkpoint {
            self.report_checkpoint(CheckpointMode::Passive);
            // A reader that pins the log must not make every batch try again.
            self.next_checkpoint = frames + self.options.checkpoint_frames;
            if frames >= self.options.truncate_frames {
                self.report_checkpoint(CheckpointMode::Truncate);
            }
        }
    }

    fn report_checkpoint(&mut self, mode: CheckpointMode) {
        if let Err(error) = self.checkpoint(mode) {
            tracing::warn!(%error, "a checkpoint failed");
        }
    }

    pub(super) fn checkpoint(&mut self, mode: CheckpointMode) -> Result<CheckpointOutcome> {
        if let Some(reason @ Error::DatabaseUnavailable { .. }) = self.shared.unwritable() {
            return Err(reason);
        }
        let Some(open) = &self.open else {
            return Err(Error::DatabaseUnavailable {
                reason: REOPENING.to_owned(),
            });
        };
        failpoint!("before-checkpoint");
        let began = Instant::now();
        let outcome = match checkpoint::checkpoint(&open.connection, mode) {
            Ok(outcome) => outcome,
            Err(error) if severity(&error) == Severity::Busy => {
                let frames = checkpoint::extent(&open.connection).unwrap_or_default();
                CheckpointOutcome { busy: true, frames }
            }
            // The log still has everything.
            Err(error) if severity(&error) == Severity::Full => return Err(self.disk_full()),
            Err(error) => {
                let reason = self.unavailable(&error);
                self.after_error(&error);
                return Err(reason);
            }
        };
        failpoint!("checkpointed");
        let activity = &self.shared.activity;
        activity.checkpoint_time.observe_span(began.elapsed());
        // Also when a reader kept it from finishing: an idle writer must not try again without end.
        self.checkpointed = checkpoint::frames();
        self.shared
            .last_checkpoint
            .store(self.options.clock.now().as_micros(), Ordering::Relaxed);
        Ok(outcome)
    }

    /// Ends: everything that was acknowledged is in the log already; this only tidies up, without waiting long for anybody.
    pub(super) fn close(&mut self) {
        if self.still_there().is_ok() {
            self.report_checkpoint(CheckpointMode::Truncate);
        }
        self.release();
    }
}
