//! The open database, as the writer has it.

use rusqlite::Connection;

use super::batch::execute;
use super::connection::open_writer;
use super::failure::{OpenError, Severity, severity};
use super::schema::{Expected, NOTIFICATIONS, migrate};
use super::store::Options;
use super::writer::Opening;
use crate::data_dir::{DataDirError, DatabaseFile, DatabasePath, FileIdentity};

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
}

impl Open {
    /// Checks that the paths still lead to the files that are open; says why not, with the remedy.
    pub(super) fn still_there(&self, path: &DatabasePath) -> Result<(), DataDirError> {
        self.files
            .iter()
            .try_for_each(|(file, opened)| path.still_the_same_file(*file, opened))
    }

    /// Makes whatever others have committed news again: it was noticed in a transaction that was undone.
    pub(super) fn forget_others(&mut self) {
        self.data_version = UNSEEN;
        self.schema_version = UNSEEN;
    }

    pub(super) fn others_committed(&self) -> rusqlite::Result<bool> {
        Ok(pragma(&self.connection, "PRAGMA data_version")? != self.data_version)
    }

    /// Looks, inside the transaction, for what others have committed since the last one, and puts back what they took from the schema.
    pub(super) fn notice_others(&mut self, expected: &Expected) -> rusqlite::Result<bool> {
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
        let head = head(&self.connection)?;
        execute(&self.connection, if wrote { "COMMIT" } else { "ROLLBACK" })?;
        Ok(head)
    }
}

pub(super) fn sqlite(options: &Options, source: rusqlite::Error) -> OpenError {
    let file = options.path.path().display().to_string();
    if severity(&source) == Severity::Busy {
        return OpenError::Locked { file };
    }
    OpenError::Sqlite { file, source }
}

/// Opens the file and brings its schema up to date, in a synced transaction.
pub(super) fn open_file(
    options: &Options,
    expected: &Expected,
) -> Result<(Open, i64, Opening), OpenError> {
    let file = options.path.path().display().to_string();
    let mut connection = open_writer(options.path.path(), options.cache_kib)?;
    let schema_version = migrate(&mut connection, &file, NOTIFICATIONS)?;
    let prepared = prepare(&connection, expected);
    let (open_schema, head, epoch) = prepared.map_err(|source| sqlite(options, source))?;
    let data_version =
        pragma(&connection, "PRAGMA data_version").map_err(|source| sqlite(options, source))?;
    let open = Open {
        files: identify(&options.path)?,
        connection,
        data_version,
        schema_version: open_schema,
    };
    Ok((
        open,
        head,
        Opening {
            epoch,
            schema_version,
        },
    ))
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

fn prepare(connection: &Connection, expected: &Expected) -> rusqlite::Result<(i64, i64, String)> {
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
    let head = head(connection)?;
    let epoch = connection.query_row(
        "SELECT value FROM barista_meta WHERE key = 'epoch'",
        [],
        |row| row.get(0),
    )?;
    execute(connection, "COMMIT")?;
    Ok((pragma(connection, "PRAGMA schema_version")?, head, epoch))
}

/// Looks whether the file is damaged, after an I/O error.
pub(super) fn quick_check(options: &Options, connection: &Connection) -> Result<(), OpenError> {
    let finding: String = connection
        .query_row("PRAGMA quick_check(1)", [], |row| row.get(0))
        .map_err(|source| sqlite(options, source))?;
    if finding == "ok" {
        return Ok(());
    }
    Err(OpenError::Damaged {
        file: options.path.path().display().to_string(),
        finding,
    })
}

fn head(connection: &Connection) -> rusqlite::Result<i64> {
    connection
        .prepare_cached("SELECT coalesce(max(seq), 0) FROM changes")?
        .query_row([], |row| row.get(0))
}

fn pragma(connection: &Connection, sql: &str) -> rusqlite::Result<i64> {
    connection
        .prepare_cached(sql)?
        .query_row([], |row| row.get(0))
}
