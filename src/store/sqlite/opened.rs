//! The open database, as the writer has it.

use rusqlite::Connection;

use super::batch::execute;
use super::connection::open_writer;
use super::failure::OpenError;
use super::journal;
use super::schema::{Expected, NOTIFICATIONS, migrate};
use super::store::Options;
use super::writer::Opening;
use crate::data_dir::{DataDirError, DatabaseFile, DatabasePath, FileIdentity};
use crate::failpoint::failpoint;

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

    /// Commits, with a sync that also covers what others left unsynced, and returns the head of the journal.
    pub(super) fn commit(&self, wrote: bool, foreign: bool) -> rusqlite::Result<i64> {
        if foreign {
            // A transaction that changes nothing would not sync.
            execute(
                &self.connection,
                "UPDATE barista_meta SET value = value + 1 WHERE key = 'heartbeat'",
            )?;
        }
        let head = journal::last(&self.connection)?;
        failpoint!("before-commit");
        execute(&self.connection, if wrote { "COMMIT" } else { "ROLLBACK" })?;
        failpoint!("committed");
        Ok(head)
    }
}

/// Opens the file and brings its schema up to date, in a synced transaction.
pub(super) fn open_file(
    options: &Options,
    expected: &Expected,
) -> Result<(Open, i64, Opening), OpenError> {
    let path = options.path.path();
    let mut connection = open_writer(path, options.cache_kib)?;
    let schema_version = migrate(&mut connection, path, NOTIFICATIONS)?;
    let prepared = prepare(&connection, expected).map_err(|source| OpenError::of(path, source))?;
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
        head: journal::last(connection)?,
        epoch: connection.query_row(
            "SELECT value FROM barista_meta WHERE key = 'epoch'",
            [],
            |row| row.get(0),
        )?,
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
