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

/// What the jobs of a batch did together, see [`run_together`].
pub(super) enum Together {
    /// All of them ran, and those that failed left nothing behind.
    Ran(Ran),
    /// One failed after it had written something: the transaction must be undone, and the jobs run [apart](run_apart) in another.
    Spoilt(Vec<Box<dyn Job>>),
}

/// Claims those of `jobs` that their callers still want.
pub(super) fn claim(jobs: Vec<Box<dyn Job>>) -> Vec<Box<dyn Job>> {
    jobs.into_iter().filter(|job| job.claim()).collect()
}

/// Runs `jobs` inside the open transaction, one after the other, without savepoints.
///
/// While a savepoint is open SQLite keeps a copy of each page that each statement changes until the savepoint is released, which took two
/// thirds of the writer's time. So the rare job that fails after it has written something costs the repetition of its batch.
pub(super) fn run_together(
    connection: &Connection,
    mut jobs: Vec<Box<dyn Job>>,
) -> Result<Together, Aborted> {
    let mut outcomes = Vec::with_capacity(jobs.len());
    for index in 0..jobs.len() {
        let before = connection.total_changes();
        match run_one(connection, jobs[index].as_mut()) {
            Ok(Some(_)) if connection.total_changes() != before => {
                return Ok(Together::Spoilt(jobs));
            }
            Ok(outcome) => outcomes.push(outcome),
            Err(error) => return Err(Aborted { error, jobs }),
        }
    }
    Ok(Together::Ran(Ran::of(jobs, outcomes)))
}

/// Runs `jobs` inside the open transaction, each in a savepoint of its own, so that a bad one fails alone.
pub(super) fn run_apart(
    connection: &Connection,
    mut jobs: Vec<Box<dyn Job>>,
) -> Result<Ran, Aborted> {
    let outcomes: rusqlite::Result<Vec<_>> = jobs
        .iter_mut()
        .map(|job| run_alone(connection, job.as_mut()))
        .collect();
    match outcomes {
        Ok(outcomes) => Ok(Ran::of(jobs, outcomes)),
        Err(error) => Err(Aborted { error, jobs }),
    }
}

impl Ran {
    /// Parts `jobs` by their outcomes: why each failed, where it did.
    fn of(jobs: Vec<Box<dyn Job>>, outcomes: Vec<Option<Error>>) -> Self {
        let mut ran = Self::default();
        for (job, outcome) in jobs.into_iter().zip(outcomes) {
            match outcome {
                None => ran.done.push(job),
                Some(error) => ran.failed.push((job, error)),
            }
        }
        ran
    }
}

/// Runs one job in a savepoint of its own.
fn run_alone(connection: &Connection, job: &mut dyn Job) -> rusqlite::Result<Option<Error>> {
    execute(connection, "SAVEPOINT job")?;
    failpoint!("savepoint");
    let failed = run_one(connection, job)?;
    if failed.is_some() {
        execute(connection, "ROLLBACK TO job")?;
    }
    execute(connection, "RELEASE job")?;
    failpoint!("released");
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
