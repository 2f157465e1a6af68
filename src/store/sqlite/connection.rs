//! How a connection is opened: the settings that durability and direct tooling depend on.

use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};

use super::failure::OpenError;

/// The oldest SQLite whose checkpoints are safe beside other processes: 3.7.0 to 3.51.2 can reset a log that is still needed.
const OLDEST_LIBRARY: (i32, &str) = (3_051_003, "3.51.3");
/// How long a connection waits for another process's lock.
pub(super) const BUSY_TIMEOUT: Duration = Duration::from_secs(30);
/// How long the opening of a file waits for one. Clients give a daemon 5 s to answer: they should hear who holds the lock, and not that the daemon is
/// stuck.
pub(super) const OPEN_TIMEOUT: Duration = Duration::from_secs(4);
/// Statements that a connection keeps prepared; rusqlite's 16 is fewer than the writer needs.
const CACHED_STATEMENTS: usize = 64;

/// What keeps the data, with its version.
#[must_use]
pub fn backend_version() -> String {
    format!("SQLite {}", rusqlite::version())
}

/// Refuses a SQLite with the defect above, however it came into the process.
pub(super) fn check_library() -> Result<(), OpenError> {
    if rusqlite::version_number() >= OLDEST_LIBRARY.0 {
        return Ok(());
    }
    Err(OpenError::OldLibrary {
        found: rusqlite::version().to_owned(),
        needed: OLDEST_LIBRARY.1.to_owned(),
    })
}

/// Opens the writing connection, creating the file where there is none, with every setting read back.
pub(super) fn open_writer(path: &Path, cache_kib: u32) -> Result<Connection, OpenError> {
    let sqlite = |source| OpenError::of(path, source);
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
        | OpenFlags::SQLITE_OPEN_CREATE
        | OpenFlags::SQLITE_OPEN_NO_MUTEX
        | OpenFlags::SQLITE_OPEN_NOFOLLOW;
    let connection = Connection::open_with_flags(path, flags).map_err(sqlite)?;
    configure(&connection, cache_kib).map_err(sqlite)?;
    connection.busy_timeout(OPEN_TIMEOUT).map_err(sqlite)?;
    // Only a file without tables takes this, and only before it gets its log: so that retention can give pages back. An older one keeps what it has,
    // and is not asked, as that would need the write lock, which somebody else may hold.
    if last_value(&connection, "PRAGMA schema_version").map_err(sqlite)? == "0" {
        connection
            .execute_batch("PRAGMA auto_vacuum = INCREMENTAL")
            .map_err(sqlite)?;
    }
    let settings: [(&'static str, &'static str, &'static str); 4] = [
        ("journal_mode", "PRAGMA journal_mode = WAL", "wal"),
        (
            "synchronous",
            "PRAGMA synchronous = FULL; PRAGMA synchronous",
            "2",
        ),
        ("wal_autocheckpoint", "PRAGMA wal_autocheckpoint = 0", "0"),
        (
            "foreign_keys",
            "PRAGMA foreign_keys = ON; PRAGMA foreign_keys",
            "1",
        ),
    ];
    for (pragma, sql, wanted) in settings {
        let found = last_value(&connection, sql).map_err(sqlite)?;
        if found != wanted {
            return Err(OpenError::Pragma {
                file: path.display().to_string(),
                pragma,
                found,
                wanted,
            });
        }
    }
    connection.busy_timeout(BUSY_TIMEOUT).map_err(sqlite)?;
    Ok(connection)
}

/// Applies what readers and the writer have in common.
fn configure(connection: &Connection, cache_kib: u32) -> rusqlite::Result<()> {
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.set_prepared_statement_cache_capacity(CACHED_STATEMENTS);
    // An I/O error in mapped memory would be a SIGBUS. Temporary tables are small.
    connection.execute_batch(&format!(
        "PRAGMA mmap_size = 0; PRAGMA temp_store = MEMORY; PRAGMA cache_size = -{cache_kib};
         PRAGMA synchronous = FULL"
    ))?;
    #[cfg(target_os = "macos")]
    connection.execute_batch("PRAGMA fullfsync = ON; PRAGMA checkpoint_fullfsync = ON")?;
    Ok(())
}

/// Makes `connection` one that only reads, and never moves the log.
pub(super) fn configure_reader(connection: &Connection, cache_kib: u32) -> rusqlite::Result<()> {
    configure(connection, cache_kib)?;
    last_value(connection, "PRAGMA wal_autocheckpoint = 0")?;
    connection.execute_batch("PRAGMA query_only = ON")
}

/// Runs the statements in `sql` and returns the first column of the last row as text.
fn last_value(connection: &Connection, sql: &str) -> rusqlite::Result<String> {
    let mut value = String::new();
    for statement in sql.split(';') {
        let mut statement = connection.prepare(statement)?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            value = match row.get_ref(0)? {
                rusqlite::types::ValueRef::Integer(number) => number.to_string(),
                other => other.as_str().unwrap_or_default().to_owned(),
            };
        }
    }
    Ok(value)
}

/// The name under which readers open `path`: never creating it, as a reader must not bring a deleted file back to life.
pub(super) fn reader_uri(path: &Path) -> String {
    file_uri(path, "?mode=rw")
}

/// The URI of `path` with SQLite's own `parameters`.
pub(super) fn file_uri(path: &Path, parameters: &str) -> String {
    let mut uri = String::from("file:");
    for byte in path.as_os_str().as_bytes() {
        match byte {
            b'/' | b'-' | b'_' | b'.' | b'~' | b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z' => {
                uri.push(char::from(*byte));
            }
            other => uri.push_str(&format!("%{other:02X}")),
        }
    }
    uri.push_str(parameters);
    uri
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bundled_library_is_safe_beside_other_processes() {
        assert!(check_library().is_ok(), "{}", backend_version());
    }

    #[test]
    fn the_writer_syncs_every_commit_and_never_checkpoints_by_itself() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let writer = open_writer(&directory.path().join("a.db"), 1024).expect("open");
        for (pragma, value) in [
            ("journal_mode", "wal"),
            ("synchronous", "2"),
            ("wal_autocheckpoint", "0"),
            ("busy_timeout", "30000"),
            ("mmap_size", "0"),
        ] {
            let found = last_value(&writer, &format!("PRAGMA {pragma}")).expect("a pragma");
            assert_eq!(found, value, "{pragma}");
        }
    }

    #[test]
    fn a_symbolic_link_is_not_followed() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let link = directory.path().join("link.db");
        std::os::unix::fs::symlink("/tmp/elsewhere.db", &link).expect("a link");
        assert!(open_writer(&link, 1024).is_err());
    }

    #[test]
    fn a_reader_neither_writes_nor_creates() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let path = directory.path().join("odd name?#%.db");
        assert!(Connection::open(reader_uri(&path)).is_err());
        open_writer(&path, 1024)
            .expect("open")
            .execute_batch("CREATE TABLE t (a)")
            .expect("a table");
        let reader = Connection::open(reader_uri(&path)).expect("open");
        configure_reader(&reader, 1024).expect("settings");
        assert!(reader.execute_batch("INSERT INTO t VALUES (1)").is_err());
    }
}
