//! Work on databases that no daemon serves meanwhile: looking at a backup, preparing it to take a database's place, and rebuilding a file.

use std::path::Path;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags, OptionalExtension};

use super::backup::{close_log, copy_pages, digest, open_copy};
use super::connection::{file_uri, open_writer};
use super::contents::{Contents, NOTIFICATIONS};
use super::failure::OpenError;
use super::integrity::{Look, Seen, examine};
use super::retention::pragma;
use super::schema::version;
use crate::data_dir::{BackupFile, DatabasePath};
use crate::domain::admin::{IntegrityDepth, IntegrityKind};
use crate::domain::clock::Timestamp;

/// How many findings are enough.
const LIMIT: usize = 100;
/// The page cache of a connection that works alone, in KiB.
const CACHE_KIB: u32 = 8192;

/// What a backup is like.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BackupContents {
    /// The name of the file that it is a copy of.
    pub database: &'static str,
    /// What is wrong with it, each in one line; it is sound when there is nothing.
    pub problems: Vec<String>,
    /// Its size, in bytes.
    pub size: u64,
    /// Its SHA-256 sum, in hexadecimal.
    pub sha256: String,
    /// The version of its schema; 0 where it is no database of Barista.
    pub schema_version: i64,
    /// The last change in it.
    pub sequence: i64,
    /// The epoch of the database that it is of.
    pub epoch: String,
    /// How many notifications, or observations, it has.
    pub records: i64,
    /// The names of its consumers.
    pub consumers: Vec<String>,
}

/// Numbers that were given out, and must not mean something else in what takes the place of a database.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct GivenOut {
    /// The highest id of a notification, or of an observation.
    pub record: i64,
    /// The highest generation of a consumer.
    pub generation: i64,
}

/// Looks at a backup without changing it, as of `now`.
///
/// # Errors
///
/// Where the file cannot be read; that it is damaged, or no backup, is among the problems.
pub fn examine_backup(file: &BackupFile, now: Timestamp) -> std::io::Result<BackupContents> {
    let (size, sha256) = digest(file.path())?;
    let mut contents = BackupContents {
        database: NOTIFICATIONS.file,
        problems: Vec::new(),
        size,
        sha256,
        schema_version: 0,
        sequence: 0,
        epoch: String::new(),
        records: 0,
        consumers: Vec::new(),
    };
    if let Err(error) = look_into(file, now, &mut contents)
        && contents.problems.is_empty()
    {
        contents.problems.push(error.to_string());
    }
    Ok(contents)
}

fn look_into(
    file: &BackupFile,
    now: Timestamp,
    contents: &mut BackupContents,
) -> rusqlite::Result<()> {
    let connection = open_unchanging(file)?;
    let kept = Contents::recognize(&connection)?;
    contents.database = kept.file;
    let look = Look {
        contents: kept,
        depth: IntegrityDepth::Full,
        limit: LIMIT,
        now,
    };
    let Seen { findings, .. } = examine(&connection, look, || false)?;
    // A clock that is wrong is no fault of the file, and what the schema lacks is put back when it is opened.
    let faults = findings
        .into_iter()
        .filter(|(kind, _)| !matches!(kind, IntegrityKind::Clock | IntegrityKind::Schema));
    contents.problems.extend(faults.map(|(_, text)| text));
    contents.schema_version = version(&connection)?;
    if contents.schema_version == 0 {
        let text = "it is not a database of Barista: it has no barista_meta";
        contents.problems.push(text.to_owned());
        return Ok(());
    }
    contents.sequence = (kept.last)(&connection)?;
    contents.epoch = connection.query_row(
        "SELECT value FROM barista_meta WHERE key = 'epoch'",
        [],
        |row| row.get(0),
    )?;
    contents.records = pragma(
        &connection,
        &format!("SELECT count(*) FROM {}", kept.records),
    )?;
    if kept.shared.is_none() {
        return Ok(());
    }
    if contents.schema_version >= 2 && contents.schema_version <= kept.version() {
        let mut statement = connection.prepare("SELECT name FROM consumers ORDER BY name")?;
        let names = statement.query_map([], |row| row.get(0))?;
        contents.consumers = names.collect::<Result<_, _>>()?;
    }
    Ok(())
}

/// `immutable` promises that nobody writes: a backup is finished.
fn open_unchanging(file: &BackupFile) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY
        | OpenFlags::SQLITE_OPEN_URI
        | OpenFlags::SQLITE_OPEN_NO_MUTEX
        | OpenFlags::SQLITE_OPEN_NOFOLLOW;
    let uri = file_uri(file.path(), "?mode=ro&immutable=1");
    let connection = Connection::open_with_flags(uri, flags)?;
    connection.execute_batch("PRAGMA mmap_size = 0")?;
    Ok(connection)
}

/// Copies a backup into the empty file at `target`, as the beginning of another history: with a new epoch, so that no cursor of the old one is taken
/// for one of its own, and going on after the numbers `given_out`, so that nobody who remembers one finds something else. Returns the new epoch.
///
/// # Errors
///
/// What went wrong, in one sentence.
pub fn prepare_restored(
    file: &BackupFile,
    target: &Path,
    given_out: GivenOut,
) -> Result<String, String> {
    let source = open_unchanging(file).map_err(|error| error.to_string())?;
    copy_pages(&source, target, |_| true).map_err(|error| error.to_string())?;
    let begin_anew = || -> rusqlite::Result<String> {
        let copy = open_copy(target)?;
        close_log(&copy)?;
        let epoch = copy.query_row(
            "UPDATE barista_meta SET value = lower(hex(randomblob(16))) WHERE key = 'epoch' RETURNING value",
            [],
            |row| row.get(0),
        )?;
        (Contents::recognize(&copy)?.go_on_after)(&copy, given_out)?;
        let finding: String = copy.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
        if finding == "ok" {
            Ok(epoch)
        } else {
            Err(rusqlite::Error::ToSqlConversionFailure(finding.into()))
        }
    };
    begin_anew().map_err(|error| error.to_string())
}

/// The numbers that the database at `path` has given out; `None` where there is none, or it cannot be read. Nothing in it is changed, its log included.
#[must_use]
pub fn given_out(path: &DatabasePath) -> Option<GivenOut> {
    let read = || -> rusqlite::Result<GivenOut> {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
            | OpenFlags::SQLITE_OPEN_NO_MUTEX
            | OpenFlags::SQLITE_OPEN_NOFOLLOW;
        let connection = Connection::open_with_flags(path.path(), flags)?;
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
        connection.execute_batch("PRAGMA wal_autocheckpoint = 0; PRAGMA query_only = ON")?;
        (Contents::of_file(path.name()).given_out)(&connection)
    };
    read().ok()
}

/// What a database of notifications has given out.
pub(super) fn notifications_given_out(connection: &Connection) -> rusqlite::Result<GivenOut> {
    let number = |sql: &str| -> rusqlite::Result<i64> {
        let number = connection.query_row(sql, [], |row| row.get(0)).optional()?;
        Ok(number.unwrap_or(0))
    };
    Ok(GivenOut {
        record: number("SELECT seq FROM sqlite_sequence WHERE name = 'notifications'")?,
        generation: number("SELECT value FROM barista_meta WHERE key = 'consumer_generation'")?,
    })
}

/// Makes a copy of a database of notifications go on after what was given out.
pub(super) fn notifications_go_on_after(
    copy: &Connection,
    given_out: GivenOut,
) -> rusqlite::Result<()> {
    copy.execute(
        "UPDATE barista_meta SET value = max(value, ?1) WHERE key = 'consumer_generation'",
        [given_out.generation],
    )?;
    copy.execute(
        "DELETE FROM sqlite_sequence WHERE name = 'notifications' AND seq < ?1",
        [given_out.record],
    )?;
    copy.execute(
        "INSERT INTO sqlite_sequence (name, seq) SELECT 'notifications', ?1
          WHERE NOT EXISTS (SELECT 1 FROM sqlite_sequence WHERE name = 'notifications')",
        [given_out.record],
    )?;
    Ok(())
}

/// Rebuilds the database at `path` without free pages, as a file that can give pages back from then on. Returns its size in bytes before and after.
///
/// # Errors
///
/// [`OpenError`]; the file has all that it had.
pub fn rebuild(path: &DatabasePath) -> Result<(u64, u64), OpenError> {
    let connection = open_writer(path.path(), CACHE_KIB)?;
    let size = || -> rusqlite::Result<u64> {
        let pages = pragma(&connection, "PRAGMA page_count")?;
        Ok((pages * pragma(&connection, "PRAGMA page_size")?).unsigned_abs())
    };
    let rebuild = || -> rusqlite::Result<(u64, u64)> {
        let before = size()?;
        // The new file is built in a temporary one, which must not be in memory.
        connection
            .execute_batch("PRAGMA temp_store = FILE; PRAGMA auto_vacuum = INCREMENTAL; VACUUM")?;
        let after = size()?;
        connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?;
        Ok((before, after))
    };
    rebuild().map_err(|source| OpenError::of(path.path(), source))
}
