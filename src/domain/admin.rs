//! What an operator asks of a store.

use std::time::Instant;

use async_trait::async_trait;

use super::clock::Timestamp;
use super::error::Result;
use crate::metrics::{CROWDS, Histogram, MOMENTS};

/// How one database is doing. Sizes are in bytes, counts since the daemon's start.
#[derive(Debug, Clone, PartialEq)]
pub struct DatabaseStatus {
    /// The file's name inside the data directory.
    pub name: String,
    /// Size of the file.
    pub size: u64,
    /// Size of its write-ahead log.
    pub wal_size: u64,
    /// Frames in the log, and how many of them are in the file already.
    pub wal: WalFrames,
    /// Who holds locks on the log.
    pub wal_locks: Vec<WalLock>,
    /// Writes that wait.
    pub queue_depth: usize,
    /// How many may wait.
    pub queue_capacity: usize,
    /// The last published sequence.
    pub head: i64,
    /// The first sequence kept.
    pub oldest: i64,
    /// Transactions committed by the daemon.
    pub commits: u64,
    /// Writes in them.
    pub writes: u64,
    /// Commits by other processes that were noticed.
    pub foreign_commits: u64,
    /// How often another process's lock made the writer try again.
    pub busy_retries: u64,
    /// Why writes are refused; `None` where they are taken.
    pub unwritable: Option<String>,
    /// Space left on the file system.
    pub disk_available: u64,
    /// When the last checkpoint ended.
    pub last_checkpoint: Option<Timestamp>,
    /// The version of the schema.
    pub schema_version: i32,
}

/// What the writer of a store does, counted since the daemon's start.
#[derive(Debug)]
pub struct WriterActivity {
    /// Writes in one transaction.
    pub batch_writes: Histogram,
    /// From the begin of a transaction to its end on the disk.
    pub batch_time: Histogram,
    /// The commit alone, with its sync.
    pub commit_time: Histogram,
    /// Moving the log into the file.
    pub checkpoint_time: Histogram,
}

impl Default for WriterActivity {
    fn default() -> Self {
        Self {
            batch_writes: Histogram::new(&CROWDS),
            batch_time: Histogram::new(&MOMENTS),
            commit_time: Histogram::new(&MOMENTS),
            checkpoint_time: Histogram::new(&MOMENTS),
        }
    }
}

/// The extent of a write-ahead log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct WalFrames {
    /// Frames in the log.
    pub log: i64,
    /// How many of them are in the database file.
    pub checkpointed: i64,
}

/// A lock on a write-ahead log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WalLock {
    /// Who holds it; 0 where the process is out of view.
    pub pid: i32,
    /// The name of its program; empty where unknown.
    pub command: String,
    /// What for.
    pub kind: WalLockKind,
}

/// What a process does with a write-ahead log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WalLockKind {
    /// Reads a snapshot.
    Read,
    /// Writes.
    Write,
    /// Moves frames into the file.
    Checkpoint,
    /// Recovers the log.
    Recover,
}

/// How a checkpoint deals with other processes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CheckpointMode {
    /// Waits for nobody.
    Passive,
    /// Waits shortly for readers, then truncates the log.
    Truncate,
}

/// What a checkpoint did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CheckpointOutcome {
    /// Whether somebody kept it from finishing.
    pub busy: bool,
    /// The log afterwards.
    pub frames: WalFrames,
}

/// How thoroughly a database is checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IntegrityDepth {
    /// The structure of every page.
    Quick,
    /// That, and whether every index agrees with its table.
    Full,
}

/// What to look for in the databases.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IntegrityCheck {
    /// The file's name; empty for all.
    pub database: String,
    /// How thoroughly.
    pub depth: IntegrityDepth,
    /// How many findings are enough.
    pub limit: usize,
    /// The present, by the clock of this machine.
    pub now: Timestamp,
}

/// What kind of thing is wrong with a database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IntegrityKind {
    /// The file is damaged.
    Damage,
    /// A row refers to one that is not there.
    ForeignKey,
    /// A part of the schema is missing or changed; opening the store for writing restores it.
    Schema,
    /// The last change is from the future.
    Clock,
    /// The database cannot be used at all.
    Unusable,
}

/// Something that is wrong with a database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IntegrityFinding {
    /// The file's name.
    pub database: String,
    /// What kind of thing.
    pub kind: IntegrityKind,
    /// What exactly, in one line for people.
    pub text: String,
}

/// What a check found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct IntegrityReport {
    /// What is wrong.
    pub findings: Vec<IntegrityFinding>,
    /// Whether everything was looked at before the time or the number of findings ran out.
    pub complete: bool,
    /// What was looked at.
    pub databases: Vec<String>,
}

/// A store, as an operator sees it.
#[async_trait]
pub trait StoreAdmin: Send + Sync {
    /// What the writer does.
    fn activity(&self) -> &WriterActivity;

    /// What keeps the data, with its version, as in "SQLite 3.53.0".
    fn backend(&self) -> String;

    /// How each database is doing.
    async fn status(&self) -> Result<Vec<DatabaseStatus>>;

    /// Moves the log of the database called `database` into its file; the empty name means the notifications.
    ///
    /// # Errors
    ///
    /// `InvalidField` where there is no such database, and the errors of a write.
    async fn checkpoint(
        &self,
        database: &str,
        mode: CheckpointMode,
        deadline: Option<Instant>,
    ) -> Result<CheckpointOutcome>;

    /// Looks for what is wrong, without keeping a writer waiting. It stops early, with what it has found, when `deadline` passes, and at once when
    /// the call is dropped.
    ///
    /// # Errors
    ///
    /// `InvalidField` where there is no such database, `DatabaseUnavailable` where it cannot be read.
    async fn check_integrity(
        &self,
        check: IntegrityCheck,
        deadline: Option<Instant>,
    ) -> Result<IntegrityReport>;
}
