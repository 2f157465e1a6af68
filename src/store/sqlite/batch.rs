//! One transaction for all writes that wait at the same time.

use rusqlite::Connection;

use super::failure::{Failure, Severity, severity};
use super::job::Job;
use crate::domain::error::Error;
use crate::failpoint::failpoint;

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

/// Runs `jobs` inside the open transaction, so that a bad one fails alone.
///
/// They share a savepoint at first: one for each job costs a tenth of the writer's time, as every page that a job changes is copied for
/// its undoing. Only when a job fails after it has written something is all of it undone and repeated, each job in a savepoint of its own.
pub(super) fn run(connection: &Connection, jobs: Vec<Box<dyn Job>>) -> Result<Ran, Aborted> {
    let mut jobs: Vec<Box<dyn Job>> = jobs.into_iter().filter(|job| job.claim()).collect();
    let outcomes = match run_all(connection, &mut jobs) {
        Ok(outcomes) => outcomes,
        Err(error) => return Err(Aborted { error, jobs }),
    };
    let mut ran = Ran::default();
    for (job, outcome) in jobs.into_iter().zip(outcomes) {
        match outcome {
            None => ran.done.push(job),
            Some(error) => ran.failed.push((job, error)),
        }
    }
    Ok(ran)
}

/// Why each job failed, where it did. An error means that the transaction is lost.
type Outcomes = rusqlite::Result<Vec<Option<Error>>>;

fn run_all(connection: &Connection, jobs: &mut [Box<dyn Job>]) -> Outcomes {
    execute(connection, "SAVEPOINT batch")?;
    failpoint!("savepoint");
    let outcomes = match run_together(connection, jobs)? {
        Some(outcomes) => outcomes,
        None => {
            execute(connection, "ROLLBACK TO batch")?;
            jobs.iter_mut()
                .map(|job| run_apart(connection, job.as_mut()))
                .collect::<Outcomes>()?
        }
    };
    execute(connection, "RELEASE batch")?;
    failpoint!("released");
    Ok(outcomes)
}

/// Runs all jobs one after the other. `None` where one left something behind that must be undone.
fn run_together(
    connection: &Connection,
    jobs: &mut [Box<dyn Job>],
) -> rusqlite::Result<Option<Vec<Option<Error>>>> {
    let mut outcomes = Vec::with_capacity(jobs.len());
    for job in jobs {
        let before = connection.total_changes();
        let failed = run_one(connection, job.as_mut())?;
        if failed.is_some() && connection.total_changes() != before {
            return Ok(None);
        }
        outcomes.push(failed);
    }
    Ok(Some(outcomes))
}

/// Runs one job in a savepoint of its own.
fn run_apart(connection: &Connection, job: &mut dyn Job) -> rusqlite::Result<Option<Error>> {
    execute(connection, "SAVEPOINT job")?;
    let failed = run_one(connection, job)?;
    if failed.is_some() {
        execute(connection, "ROLLBACK TO job")?;
    }
    execute(connection, "RELEASE job")?;
    Ok(failed)
}

/// Runs one job. Returns why it failed where only it did, and an error where the transaction is lost.
fn run_one(connection: &Connection, job: &mut dyn Job) -> rusqlite::Result<Option<Error>> {
    match job.run(connection) {
        Ok(()) => Ok(None),
        Err(Failure::Domain(error)) => Ok(Some(error)),
        // Some errors roll the whole transaction back by themselves.
        Err(Failure::Sqlite(error))
            if severity(&error) == Severity::Statement && !connection.is_autocommit() =>
        {
            Ok(Some(Error::Internal(format!("a write failed: {error}"))))
        }
        Err(Failure::Sqlite(error)) => Err(error),
    }
}

/// Runs a statement without parameters or rows, prepared once.
pub(super) fn execute(connection: &Connection, sql: &str) -> rusqlite::Result<()> {
    connection.prepare_cached(sql)?.execute([]).map(drop)
}
