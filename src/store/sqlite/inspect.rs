//! Looking into a database that this process does not serve, without writing a byte, taking part in its life or leaving a file behind.

use std::io;
use std::path::Path;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};

use super::checkpoint;
use super::connection::{BUSY_TIMEOUT, file_uri};
use super::contents::Contents;
use super::integrity::{Look, Seen, examine};
use crate::data_dir::{DatabaseFile, DatabasePath};
use crate::domain::admin::{IntegrityDepth, IntegrityFinding, IntegrityReport, WalFrames};
use crate::domain::clock::Timestamp;

/// How many findings are enough: whoever reads them acts on the first.
const LIMIT: usize = 100;
/// How often a file that changed while it was read is read again.
const ATTEMPTS: u32 = 3;

/// What a look into a database showed.
#[derive(Debug)]
pub struct Inspection {
    /// What is wrong.
    pub report: IntegrityReport,
    /// The extent of its write-ahead log; `None` where it has none.
    pub log: Option<WalFrames>,
}

/// Why a database cannot be looked into.
#[derive(Debug, thiserror::Error)]
pub enum InspectError {
    /// Its log cannot be read without making a file beside it.
    #[error(
        "its write-ahead log has no index (the file that ends in -shm), and reading it would make one"
    )]
    LogWithoutIndex,
    /// A program that keeps a rollback journal has died in the middle of a change.
    #[error("a change was not finished, and the next program that opens it has to undo it first")]
    HotJournal,
    /// Others changed it all the time.
    #[error("other programs change it all the time")]
    Restless,
    /// SQLite refuses.
    #[error("it cannot be opened: {0}")]
    Sqlite(#[from] rusqlite::Error),
    /// The system refuses.
    #[error("it cannot be looked at: {0}")]
    Io(#[from] io::Error),
}

/// Looks for what is wrong with the database, as of `now`. It must not be open in this process: closing it would drop the locks on it.
///
/// # Errors
///
/// [`InspectError`] where it cannot be looked into; damage is a finding.
pub fn inspect(
    path: &DatabasePath,
    depth: IntegrityDepth,
    now: Timestamp,
) -> Result<Inspection, InspectError> {
    let look = Look {
        contents: Contents::of_file(path.name()),
        depth,
        limit: LIMIT,
        now,
    };
    for _ in 0..ATTEMPTS {
        let access = Access::of(path)?;
        let before = Stamp::of(path)?;
        let (seen, log) = read(path, access, look)?;
        // Without locks nobody keeps others from changing the file while it is read, and then what was read means nothing.
        if access == Access::Unlocked && Stamp::of(path)? != before {
            continue;
        }
        return Ok(Inspection {
            report: report(path, seen),
            log,
        });
    }
    Err(InspectError::Restless)
}

fn report(path: &DatabasePath, seen: Seen) -> IntegrityReport {
    let finding = |(kind, text)| IntegrityFinding {
        database: path.name().to_owned(),
        kind,
        text,
    };
    IntegrityReport {
        findings: seen.findings.into_iter().map(finding).collect(),
        complete: seen.complete,
        databases: vec![path.name().to_owned()],
    }
}

/// How a database is read without writing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Access {
    /// Nobody has it open, and all of it is in one file: no locks, no other files.
    Unlocked,
    /// As one more reader, of a log and its index that exist.
    Shared,
}

impl Access {
    fn of(path: &DatabasePath) -> Result<Self, InspectError> {
        let mut journal = path.path().as_os_str().to_owned();
        journal.push("-journal");
        if length(journal.as_ref())?.is_some_and(|length| length > 0) {
            return Err(InspectError::HotJournal);
        }
        let wal = length(&path.path_of(DatabaseFile::Wal))?;
        let index = length(&path.path_of(DatabaseFile::SharedMemory))?;
        match (wal, index) {
            (None, _) | (Some(0), None) => Ok(Self::Unlocked),
            (Some(_), Some(_)) => Ok(Self::Shared),
            (Some(_), None) => Err(InspectError::LogWithoutIndex),
        }
    }

    /// `immutable` promises that nobody writes, and `readonly_shm` takes the index as it is.
    const fn parameters(self) -> &'static str {
        match self {
            Self::Unlocked => "?mode=ro&immutable=1",
            Self::Shared => "?mode=ro&readonly_shm=1",
        }
    }
}

fn length(path: &Path) -> io::Result<Option<u64>> {
    match std::fs::symlink_metadata(path) {
        Ok(found) => Ok(Some(found.len())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// What changes when somebody writes.
#[derive(Debug, PartialEq, Eq)]
struct Stamp {
    modified: std::time::SystemTime,
    size: u64,
    log: Option<u64>,
}

impl Stamp {
    fn of(path: &DatabasePath) -> io::Result<Self> {
        let found = std::fs::symlink_metadata(path.path())?;
        Ok(Self {
            modified: found.modified()?,
            size: found.len(),
            log: length(&path.path_of(DatabaseFile::Wal))?,
        })
    }
}

fn read(
    path: &DatabasePath,
    access: Access,
    look: Look,
) -> rusqlite::Result<(Seen, Option<WalFrames>)> {
    let uri = file_uri(path.path(), access.parameters());
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY
        | OpenFlags::SQLITE_OPEN_URI
        | OpenFlags::SQLITE_OPEN_NO_MUTEX
        | OpenFlags::SQLITE_OPEN_NOFOLLOW;
    let connection = Connection::open_with_flags(uri, flags)?;
    // The last one to close a database moves its log into it.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.execute_batch("PRAGMA mmap_size = 0")?;
    let seen = examine(&connection, look, || false)?;
    let log = match access {
        Access::Unlocked => None,
        Access::Shared => checkpoint::extent(&connection).ok(),
    };
    Ok((seen, log))
}

#[cfg(test)]
mod tests;
