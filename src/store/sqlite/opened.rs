//! The open database, as the writer has it.

use std::time::Duration;

use rusqlite::Connection;

use super::batch::execute;
use super::checkpoint;
use super::connection::{OPEN_TIMEOUT, open_writer};
use super::failure::{OpenError, Severity, severity};
use super::lock;
use super::progress::Progress;
use super::schema::{Expected, migrate, version};
use super::store::Options;
use super::writer::Opening;
use crate::data_dir::{DataDirError, DatabaseFile, DatabasePath, FileIdentity, Quoted};
use crate::domain::admin::{CheckpointMode, CheckpointOutcome, WalLock, WalLockKind};
use crate::failpoint::failpoint;

/// How long the opening of a file waits for the write lock before it tries to do without.
const FIRST_PATIENCE: Duration = Duration::from_millis(500);
/// A version that SQLite never reports: whatever it says next is news.
const UNSEEN: i64 = -1;

/// The writing connection, and what it last saw of others.
pub(super) struct Open {
    pub(super) connection: Connection,
    /// Which files these are: what is written to a file that was moved away is lost.
    files: [(DatabaseFile, FileIdentity); 3],
    /// `PRAGMA data_version`: another value means that another connection has committed.
    data_version: i64,
    /// `PRAGMA schema_version`: another value means that somebody has changed the schema.
    schema_version: i64,
    /// Both, as they were before the transaction that is open.
    seen_before: (i64, i64),
}

impl Open {
    /// Checks that the paths still lead to the files that are open; says why not, with the remedy.
    pub(super) fn still_there(&self, path: &DatabasePath) -> Result<(), DataDirError> {
        self.files
            .iter()
            .try_for_each(|(file, opened)| path.still_the_same_file(*file, opened))
    }

    /// Which file the database itself is.
    pub(super) fn main(&self) -> FileIdentity {
        let [(_, main), ..] = self.files;
        main
    }

    /// Makes what others had committed news again that was noticed in a transaction which was undone.
    pub(super) fn forget_others(&mut self) {
        (self.data_version, self.schema_version) = self.seen_before;
    }

    pub(super) fn others_committed(&self) -> rusqlite::Result<bool> {
        Ok(pragma(&self.connection, "PRAGMA data_version")? != self.data_version)
    }

    /// Looks, inside the transaction, for what others have committed since the last one, and puts back what they took from the schema.
    pub(super) fn notice_others(&mut self, expected: &Expected) -> rusqlite::Result<bool> {
        self.seen_before = (self.data_version, self.schema_version);
        let data_version = pragma(&self.connection, "PRAGMA data_version")?;
        if data_version == self.data_version {
            return Ok(false);
        }
        if pragma(&self.connection, "PRAGMA schema_version")? != self.schema_version {
            let repaired = expected.restore(&self.connection)?;
            if !repaired.is_empty() {
                tracing::warn!(
                    repaired = repaired.join(", "),
                    "another process changed the schema; it was repaired"
                );
            }
            self.schema_version = pragma(&self.connection, "PRAGMA schema_version")?;
        }
        self.data_version = data_version;
        Ok(true)
    }

    /// Commits, with a sync that also covers what others left unsynced.
    pub(super) fn commit(&self, wrote: bool, foreign: bool) -> rusqlite::Result<()> {
        if foreign {
            // A transaction that changes nothing would not sync.
            execute(
                &self.connection,
                "UPDATE barista_meta SET value = value + 1 WHERE key = 'heartbeat'",
            )?;
        }
        failpoint!("before-commit");
        execute(&self.connection, if wrote { "COMMIT" } else { "ROLLBACK" })?;
        failpoint!("committed");
        Ok(())
    }
}

/// Opens the file and brings its schema up to date, in a synced transaction.
pub(super) fn open_file(
    options: &Options,
    expected: &Expected,
) -> Result<(Open, i64, Opening), OpenError> {
    let path = options.path.path();
    let failed = |source| OpenError::of(path, source);
    let mut connection = open_writer(path, options.cache_kib)?;
    let (schema_version, prepared) = match beside(&connection, options, expected)? {
        Some(prepared) => (version(&connection).map_err(failed)?, prepared),
        None => {
            let version = migrate(&mut connection, path, expected.contents())?;
            let prepared = prepare(&connection, expected).map_err(failed)?;
            (version, prepared)
        }
    };
    let open = Open {
        files: identify(&options.path)?,
        connection,
        data_version: prepared.data_version,
        schema_version: prepared.schema_version,
        seen_before: (prepared.data_version, prepared.schema_version),
    };
    let opening = Opening {
        main: open.main(),
        epoch: prepared.epoch,
        schema_version,
    };
    Ok((open, prepared.head, opening))
}

/// Prepares a file whose write lock another process keeps, where nothing has to be written first: then reads can be served until it lets go. `None` where the
/// lock is free.
///
/// # Errors
///
/// `OpenError::Locked` where something has to be written first, and the lock does not come free.
fn beside(
    connection: &Connection,
    options: &Options,
    expected: &Expected,
) -> Result<Option<Prepared>, OpenError> {
    let path = options.path.path();
    let failed = |source| OpenError::of(path, source);
    if lock::wait_until_free(connection, FIRST_PATIENCE).map_err(failed)? {
        return Ok(None);
    }
    let holder = holder(options);
    match glance(connection, expected) {
        Ok(Some(prepared)) => {
            tracing::warn!(
                holder,
                "another process keeps the database locked; reads are served, and writes wait for it"
            );
            return Ok(Some(prepared));
        }
        Err(error) if severity(&error) != Severity::Busy => return Err(failed(error)),
        Ok(None) | Err(_) => {}
    }
    tracing::warn!(
        holder,
        "another process keeps the database locked; waiting, as it has to be changed first"
    );
    if lock::wait_until_free(connection, OPEN_TIMEOUT - FIRST_PATIENCE).map_err(failed)? {
        return Ok(None);
    }
    let file = path.display().to_string();
    Err(OpenError::Locked { file, holder })
}

/// Who holds the write lock, for people.
fn holder(options: &Options) -> String {
    let holders = (options.surroundings.wal_locks)();
    let found = holders.iter().find(|lock| lock.kind == WalLockKind::Write);
    match found {
        Some(WalLock { pid, command, .. }) if *pid > 0 => {
            let command = if command.is_empty() {
                "a program"
            } else {
                command
            };
            format!("{command} (process {pid}; to end it: kill {pid})")
        }
        _ => format!(
            "another process (fuser {} names it)",
            Quoted(options.path.path())
        ),
    }
}

/// What is known of a file without writing to it; `None` where something has to be written.
///
/// What others have committed may not be synced yet, and nobody may be told before it is. A checkpoint that moves all of the log syncs it, and
/// needs no write lock.
fn glance(connection: &Connection, expected: &Expected) -> rusqlite::Result<Option<Prepared>> {
    let is_newest = version(connection)? == expected.contents().version();
    if !is_newest || !expected.missing(connection)?.is_empty() {
        return Ok(None);
    }
    execute(connection, "BEGIN")?;
    let read =
        (expected.contents().last)(connection).and_then(|head| Ok((head, epoch(connection)?)));
    execute(connection, "ROLLBACK")?;
    let (head, epoch) = read?;
    let CheckpointOutcome { busy, frames } =
        checkpoint::checkpoint(connection, CheckpointMode::Passive)?;
    let is_synced = !busy && frames.checkpointed == frames.log;
    Ok(is_synced.then_some(Prepared {
        // So that the first transaction looks what others have done, and mends the schema.
        data_version: UNSEEN,
        schema_version: UNSEEN,
        head,
        epoch,
    }))
}

fn epoch(connection: &Connection) -> rusqlite::Result<String> {
    let sql = "SELECT value FROM barista_meta WHERE key = 'epoch'";
    connection.query_row(sql, [], |row| row.get(0))
}

/// Which database it is that was opened when the store was.
pub(super) struct Identity {
    pub(super) main: FileIdentity,
    pub(super) epoch: String,
}

/// Opens the file again after an error, where it is the same database still, sound, and has everything up to `published`. Anything else
/// would take the place of what was acknowledged: that is for a person to decide, and for a new start.
pub(super) fn reopen_file(
    options: &Options,
    expected: &Expected,
    identity: &Identity,
    published: i64,
    progress: &Progress,
) -> Result<(Open, i64), OpenError> {
    // Before opening, which would make a new file where there is none.
    options
        .path
        .still_the_same(&identity.main)
        .map_err(|error| OpenError::Refused(error.to_string()))?;
    let (open, head, opening) = open_file(options, expected)?;
    let file = options.path.path().display();
    if opening.epoch != identity.epoch {
        return Err(OpenError::Refused(format!(
            "{file} holds another database now; restart the daemon to use it, or put the old one back"
        )));
    }
    if head < published {
        return Err(OpenError::Refused(format!(
            "{file} ends with change {head}, but change {published} was acknowledged; restore a backup, or restart the daemon to go on without the lost changes"
        )));
    }
    // A check of a large file takes minutes.
    let failed = |source| OpenError::of(options.path.path(), source);
    progress.follow(&open.connection).map_err(failed)?;
    quick_check(options, &open.connection)?;
    Ok((open, head))
}

/// Which files the paths lead to now. All three exist, as something was written just before.
fn identify(path: &DatabasePath) -> Result<[(DatabaseFile, FileIdentity); 3], OpenError> {
    let identity = |file| path.identity_of(file).map(|identity| (file, identity));
    let identities = || -> Result<_, DataDirError> {
        Ok([
            identity(DatabaseFile::Main)?,
            identity(DatabaseFile::Wal)?,
            identity(DatabaseFile::SharedMemory)?,
        ])
    };
    identities().map_err(|error| OpenError::Refused(error.to_string()))
}

/// What a freshly opened database is like.
struct Prepared {
    data_version: i64,
    schema_version: i64,
    head: i64,
    epoch: String,
}

fn prepare(connection: &Connection, expected: &Expected) -> rusqlite::Result<Prepared> {
    execute(connection, "BEGIN IMMEDIATE")?;
    let repaired = expected.restore(connection)?;
    if !repaired.is_empty() {
        tracing::warn!(
            repaired = repaired.join(", "),
            "the schema was changed while no daemon ran; it was repaired"
        );
    }
    execute(
        connection,
        "UPDATE barista_meta SET value = value + 1 WHERE key = 'heartbeat'",
    )?;
    // All of this inside the transaction: what others commit right after it must still be news.
    let prepared = Prepared {
        data_version: pragma(connection, "PRAGMA data_version")?,
        schema_version: pragma(connection, "PRAGMA schema_version")?,
        head: (expected.contents().last)(connection)?,
        epoch: epoch(connection)?,
    };
    failpoint!("opening");
    execute(connection, "COMMIT")?;
    failpoint!("opened");
    Ok(prepared)
}

/// Looks whether the file is damaged, after an I/O error.
fn quick_check(options: &Options, connection: &Connection) -> Result<(), OpenError> {
    let finding: String = connection
        .query_row("PRAGMA quick_check(1)", [], |row| row.get(0))
        .map_err(|source| OpenError::of(options.path.path(), source))?;
    if finding == "ok" {
        return Ok(());
    }
    Err(OpenError::Damaged {
        file: options.path.path().display().to_string(),
        finding,
    })
}

fn pragma(connection: &Connection, sql: &str) -> rusqlite::Result<i64> {
    connection
        .prepare_cached(sql)?
        .query_row([], |row| row.get(0))
}
