//! One transaction for all writes that wait at the same time.

use rusqlite::Connection;

use super::failure::{Failure, Severity, severity};
use super::job::Job;
use crate::domain::error::Error;

/// What became of the jobs of a batch, before its commit.
#[derive(Default)]
pub(super) struct Ran {
    /// Their work is part of the transaction.
    pub(super) done: Vec<Box<dyn Job>>,
    /// Their work was undone, each for its own reason.
    pub(super) failed: Vec<(Box<dyn Job>, Error)>,
}

/// A batch whose transaction cannot be saved.
pub(super) struct Aborted {
    /// What SQLite said.
    pub(super) error: rusqlite::Error,
    /// All jobs that nobody has answered.
    pub(super) jobs: Vec<Box<dyn Job>>,
}

/// Runs `jobs` inside the open transaction, each in a savepoint of its own, so that a bad one fails alone.
pub(super) fn run(connection: &Connection, jobs: Vec<Box<dyn Job>>) -> Result<Ran, Aborted> {
    let mut ran = Ran::default();
    let mut jobs = jobs.into_iter();
    while let Some(mut job) = jobs.next() {
        if !job.claim() {
            continue;
        }
        match run_one(connection, job.as_mut()) {
            Ok(None) => ran.done.push(job),
            Ok(Some(error)) => ran.failed.push((job, error)),
            Err(error) => {
                let failed = ran.failed.into_iter().map(|(job, _)| job);
                let jobs = ran
                    .done
                    .into_iter()
                    .chain(failed)
                    .chain([job])
                    .chain(jobs)
                    .collect();
                return Err(Aborted { error, jobs });
            }
        }
    }
    Ok(ran)
}

/// Runs one job. Returns why it failed where only it did, and an error where the transaction is lost.
fn run_one(connection: &Connection, job: &mut dyn Job) -> rusqlite::Result<Option<Error>> {
    execute(connection, "SAVEPOINT job")?;
    let failed = match job.run(connection) {
        Ok(()) => None,
        Err(Failure::Domain(error)) => Some(error),
        // Some errors roll the whole transaction back by themselves.
        Err(Failure::Sqlite(error))
            if severity(&error) == Severity::Statement && !connection.is_autocommit() =>
        {
            Some(Error::Internal(format!("a write failed: {error}")))
        }
        Err(Failure::Sqlite(error)) => return Err(error),
    };
    if failed.is_some() {
        execute(connection, "ROLLBACK TO job")?;
    }
    execute(connection, "RELEASE job")?;
    Ok(failed)
}

/// Runs a statement without parameters or rows, prepared once.
pub(super) fn execute(connection: &Connection, sql: &str) -> rusqlite::Result<()> {
    connection.prepare_cached(sql)?.execute([]).map(drop)
}
