//! What SQLite's errors mean here.

use std::path::Path;

use rusqlite::ErrorCode;

use crate::data_dir::Quoted;
use crate::domain::error::Error;

/// Why a database cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The SQLite in this process has a known defect that loses data.
    #[error(
        "this program was built with SQLite {found}; at least {needed} is needed, as older ones can lose commits when a log is reset"
    )]
    OldLibrary {
        /// The version linked.
        found: String,
        /// The oldest version that is safe.
        needed: String,
    },
    /// A newer release has written the file.
    #[error(
        "{file} has schema version {found}, and this release knows only {known}; install the newer release, or name another data directory"
    )]
    FromTheFuture {
        /// The file.
        file: String,
        /// Its version.
        found: i64,
        /// The newest version known.
        known: i64,
    },
    /// An upgrade failed, and was undone.
    #[error("{file} could not be upgraded to schema version {version}, and is as it was: {}", brief(.source))]
    Upgrade {
        /// The file.
        file: String,
        /// The version that could not be reached.
        version: i64,
        /// Why.
        source: rusqlite::Error,
    },
    /// It belongs to another program.
    #[error("{file} holds {foreign}; {}", foreign_remedy())]
    Foreign {
        /// The file.
        file: String,
        /// What is wrong with its table.
        foreign: String,
    },
    /// A setting that durability depends on did not take effect.
    #[error(
        "{file}: PRAGMA {pragma} is {found}, not {wanted}; is the file on an unusual file system, or opened by an old program?"
    )]
    Pragma {
        /// The file.
        file: String,
        /// The setting.
        pragma: &'static str,
        /// Its value.
        found: String,
        /// The value that was asked for.
        wanted: &'static str,
    },
    /// The file is damaged.
    #[error(
        "{file} is damaged: {finding}; restore a backup, or salvage it: `barista doctor` says how"
    )]
    Damaged {
        /// The file.
        file: String,
        /// What the check found first.
        finding: String,
    },
    /// The file must not be used.
    #[error("{0}")]
    Refused(String),
    /// Another process kept it locked.
    #[error(
        "{file} is locked by {holder}, and has to be changed before it can be served; let that finish, or end it, and start again"
    )]
    Locked {
        /// The file.
        file: String,
        /// Who holds the lock, as far as the system tells.
        holder: String,
    },
    /// There is no space for it.
    #[error("there is no space on the disk for {file}; free some, and start again")]
    Full {
        /// The file.
        file: String,
    },
    /// SQLite says no.
    #[error("{file} cannot be opened: {source}")]
    Sqlite {
        /// The file.
        file: String,
        /// Why.
        source: rusqlite::Error,
    },
    /// The thread for writing could not be started.
    #[error("the writer thread cannot be started: {0}")]
    Thread(std::io::Error),
    /// The pool of readers could not be made.
    #[error("the pool of readers cannot be made: {0}")]
    Pool(String),
}

/// What to do about a file of another program.
pub(super) const fn foreign_remedy() -> &'static str {
    "name another data directory with --data-dir, or move the file away if nobody needs it"
}

/// What SQLite says, without the statement that it says it about: a trigger takes a page.
fn brief(error: &rusqlite::Error) -> String {
    match error {
        rusqlite::Error::SqlInputError { msg, .. } => msg.clone(),
        other => other.to_string(),
    }
}

impl OpenError {
    /// The error for what SQLite said about the database at `path`.
    pub(super) fn of(path: &Path, source: rusqlite::Error) -> Self {
        let file = path.display().to_string();
        match source.sqlite_error_code() {
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => Self::Locked {
                holder: format!("another process (fuser {} names it)", Quoted(path)),
                file,
            },
            Some(ErrorCode::DiskFull) => Self::Full { file },
            Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt) => Self::Damaged {
                file,
                finding: source.to_string(),
            },
            _ => Self::Sqlite { file, source },
        }
    }
}

/// Why work on a connection failed.
#[derive(Debug)]
pub(super) enum Failure {
    /// By a rule, or a defect: only this piece of work is affected.
    Domain(Error),
    /// By SQLite.
    Sqlite(rusqlite::Error),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Domain(error)
    }
}

impl From<rusqlite::Error> for Failure {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(error)
    }
}

/// How bad an error of SQLite is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Severity {
    /// Another process holds a lock.
    Busy,
    /// There is no space; the transaction is gone, the connection is sound.
    Full,
    /// The connection, or the file, can no longer be trusted.
    Broken,
    /// The statement was wrong: a defect of this program, or a foreign constraint.
    Statement,
}

/// Tells how bad `error` is.
pub(super) fn severity(error: &rusqlite::Error) -> Severity {
    match error.sqlite_error_code() {
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => Severity::Busy,
        Some(ErrorCode::DiskFull) => Severity::Full,
        Some(
            ErrorCode::SystemIoFailure
            | ErrorCode::DatabaseCorrupt
            | ErrorCode::NotADatabase
            | ErrorCode::CannotOpen
            | ErrorCode::ReadOnly
            | ErrorCode::PermissionDenied
            | ErrorCode::FileLockingProtocolFailed
            | ErrorCode::OutOfMemory
            | ErrorCode::NoLargeFileSupport,
        ) => Severity::Broken,
        _ => Severity::Statement,
    }
}

/// The error of a read that failed in SQLite.
pub(super) fn read_error(failure: Failure) -> Error {
    match failure {
        Failure::Domain(error) => error,
        Failure::Sqlite(error) => match severity(&error) {
            Severity::Busy => Error::DatabaseBusy {
                retry_after: super::writer::RETRY_AFTER,
            },
            Severity::Full | Severity::Broken => Error::DatabaseUnavailable {
                reason: format!("it cannot be read: {error}"),
            },
            Severity::Statement => Error::Internal(format!("a read failed: {error}")),
        },
    }
}
