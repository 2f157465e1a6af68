//! One write, from the caller that waits for it to the writer thread and back.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Instant;

use rusqlite::Connection;
use tokio::sync::oneshot;

use super::failure::Failure;
use crate::domain::error::{Error, Result};
use crate::sync::atomic::{AtomicU8, Ordering};

/// Waits in the queue: the caller may still take it back.
const QUEUED: u8 = 0;
/// The writer has begun it: its outcome is known only after the commit.
const CLAIMED: u8 = 1;
/// The caller has taken it back: the writer leaves it alone.
const ABANDONED: u8 = 2;

/// Who may decide about a job: the caller until the writer claims it, the writer from then on.
#[derive(Debug, Default)]
pub(super) struct Ownership(AtomicU8);

impl Ownership {
    fn take(&self, to: u8) -> bool {
        self.0
            .compare_exchange(QUEUED, to, Ordering::AcqRel, Ordering::Acquire)
            .is_ok()
    }
}

/// One write, as the writer thread sees it.
pub(super) trait Job: Send {
    /// Begins the job, unless its caller has taken it back.
    fn claim(&self) -> bool;

    /// About how many bytes it brings.
    fn size(&self) -> usize;

    /// Whether its caller has taken it back.
    fn is_abandoned(&self) -> bool;

    /// Does the work inside the batch's transaction. An error means that whatever it wrote must be undone.
    fn run(&mut self, connection: &Connection) -> std::result::Result<(), Failure>;

    /// Tells the caller what the work returned. Called only after the commit is durable.
    fn answer(self: Box<Self>);

    /// Tells the caller that the work failed.
    fn fail(self: Box<Self>, error: Error);
}

struct Work<T, F> {
    size: usize,
    work: F,
    outcome: Option<T>,
    ownership: Arc<Ownership>,
    reply: oneshot::Sender<Result<T>>,
}

impl<T, F> Job for Work<T, F>
where
    T: Send,
    F: FnMut(&Connection) -> std::result::Result<T, Failure> + Send,
{
    fn claim(&self) -> bool {
        self.ownership.take(CLAIMED)
    }

    fn size(&self) -> usize {
        self.size
    }

    fn is_abandoned(&self) -> bool {
        self.ownership.0.load(Ordering::Acquire) == ABANDONED
    }

    fn run(&mut self, connection: &Connection) -> std::result::Result<(), Failure> {
        // Whatever a panic leaves half-done is undone, with the batch or with a savepoint around this job.
        let outcome = catch_unwind(AssertUnwindSafe(|| (self.work)(connection)));
        let value = outcome.map_err(|_| Error::Internal("a write panicked".to_owned()))??;
        self.outcome = Some(value);
        Ok(())
    }

    fn answer(self: Box<Self>) {
        let unanswered = || Error::Internal("a write was committed without a result".to_owned());
        // The caller may have gone away: the commit stands all the same.
        drop(self.reply.send(self.outcome.ok_or_else(unanswered)));
    }

    fn fail(self: Box<Self>, error: Error) {
        drop(self.reply.send(Err(error)));
    }
}

/// The caller's end of a job.
pub(super) struct Pending<T> {
    ownership: Arc<Ownership>,
    reply: oneshot::Receiver<Result<T>>,
}

/// Makes a job of `work`, which may run more than once if its batch has to be repeated.
pub(super) fn job<T, F>(size: usize, work: F) -> (Box<dyn Job>, Pending<T>)
where
    T: Send + 'static,
    F: FnMut(&Connection) -> std::result::Result<T, Failure> + Send + 'static,
{
    let ownership = Arc::new(Ownership::default());
    let (reply, answer) = oneshot::channel();
    let work = Work {
        size,
        work,
        outcome: None,
        ownership: Arc::clone(&ownership),
        reply,
    };
    (
        Box::new(work),
        Pending {
            ownership,
            reply: answer,
        },
    )
}

impl<T> Pending<T> {
    /// Waits for the outcome, but not beyond `deadline`: then the job is taken back where that is still possible, and its outcome is
    /// unknown where it is not.
    pub(super) async fn outcome(mut self, deadline: Option<Instant>) -> Result<T> {
        let deadline = async {
            match deadline {
                Some(deadline) => tokio::time::sleep_until(deadline.into()).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            outcome = &mut self.reply => outcome.unwrap_or_else(|_| Err(self.lost())),
            () = deadline => {
                if self.ownership.take(ABANDONED) {
                    Err(Error::DatabaseBusy { retry_after: super::writer::RETRY_AFTER })
                } else {
                    Err(Error::CommitUnknown)
                }
            }
        }
    }

    /// The writer has ended without an answer.
    fn lost(&self) -> Error {
        if self.ownership.take(ABANDONED) {
            Error::ShuttingDown
        } else {
            Error::CommitUnknown
        }
    }
}

#[cfg(all(test, feature = "interleavings"))]
mod interleavings;
