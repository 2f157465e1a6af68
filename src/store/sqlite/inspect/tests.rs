use std::path::Path;

use barista_locate::{Located, Source};

use super::*;
use crate::data_dir::{DataDir, Options};
use crate::domain::admin::IntegrityKind;
use crate::store::sqlite::connection::open_writer;
use crate::store::sqlite::contents::NOTIFICATIONS;
use crate::store::sqlite::schema::migrate;

/// A data directory with a database that `sql` has changed; the connection is open still.
fn database(directory: &Path, sql: &str) -> (DatabasePath, Connection) {
    let located = Located {
        path: directory.join("data"),
        source: Source::Flag,
    };
    let data_dir = DataDir::open(&located, Options::default()).expect("a data directory");
    let path = data_dir.database("notifications.db").expect("a path");
    let mut connection = open_writer(path.path(), 1024).expect("open");
    migrate(&mut connection, path.path(), &NOTIFICATIONS).expect("a schema");
    connection.execute_batch(sql).expect("sql");
    (path, connection)
}

fn look(path: &DatabasePath) -> Inspection {
    inspect(path, IntegrityDepth::Full, Timestamp::MAX).expect("a look")
}

/// Every file of the database with its content and time.
fn files(path: &DatabasePath) -> Vec<(String, Vec<u8>, std::time::SystemTime)> {
    let folder = path.path().parent().expect("a directory");
    let mut files: Vec<_> = std::fs::read_dir(folder)
        .expect("a directory")
        .map(|entry| entry.expect("an entry"))
        .filter(|entry| entry.path().is_file())
        .map(|entry| {
            let name = entry.file_name().to_string_lossy().into_owned();
            let modified = entry.metadata().and_then(|found| found.modified());
            let content = std::fs::read(entry.path()).expect("content");
            (name, content, modified.expect("a time"))
        })
        .collect();
    files.sort();
    files
}

#[test]
fn a_closed_database_is_read_without_leaving_a_trace() {
    let directory = tempfile::tempdir().expect("a directory");
    let (path, connection) = database(
        directory.path(),
        "DROP TRIGGER barista_notifications_deleted",
    );
    drop(connection);
    let before = files(&path);
    assert_eq!(before.len(), 1, "the last connection took its log along");
    let seen = look(&path);
    let kinds: Vec<_> = seen.report.findings.iter().map(|f| f.kind).collect();
    assert_eq!(kinds, [IntegrityKind::Schema], "{seen:?}");
    assert!(seen.log.is_none());
    assert!(files(&path) == before, "something was written");
}

/// As after a daemon was killed: what is in the log counts, and nobody may move it.
#[test]
fn a_log_that_a_dead_process_left_is_read_and_left_as_it_is() {
    let directory = tempfile::tempdir().expect("a directory");
    let (path, connection) = database(
        directory.path(),
        "DROP TRIGGER barista_notifications_deleted",
    );
    // Copied while they are open, the files are those of a process that died.
    let copy = tempfile::tempdir().expect("a directory");
    let (dead, other) = database(copy.path(), "");
    drop(other);
    for file in [
        DatabaseFile::Main,
        DatabaseFile::Wal,
        DatabaseFile::SharedMemory,
    ] {
        std::fs::copy(path.path_of(file), dead.path_of(file)).expect("a copy");
    }
    drop(connection);
    let before = files(&dead);
    assert_eq!(before.len(), 3);
    let seen = look(&dead);
    let kinds: Vec<_> = seen.report.findings.iter().map(|f| f.kind).collect();
    assert_eq!(kinds, [IntegrityKind::Schema], "{seen:?}");
    assert!(files(&dead) == before, "something was written");
    std::fs::remove_file(dead.path_of(DatabaseFile::SharedMemory)).expect("removed");
    let refused = inspect(&dead, IntegrityDepth::Quick, Timestamp::MAX);
    assert!(
        matches!(refused, Err(InspectError::LogWithoutIndex)),
        "{refused:?}"
    );
}

#[test]
fn a_damaged_page_and_a_file_that_is_no_database_are_found() {
    let directory = tempfile::tempdir().expect("a directory");
    let (path, connection) = database(
        directory.path(),
        "INSERT INTO notifications (type, title, message, created_at, updated_at)
         VALUES ('info', 't', 'm', '2025-01-01', '2025-01-01')",
    );
    let page: u64 = connection
        .query_row(
            "SELECT rootpage FROM sqlite_master WHERE name = 'changes'",
            [],
            |row| row.get::<_, i64>(0),
        )
        .expect("a page")
        .cast_unsigned();
    drop(connection);
    let mut bytes = std::fs::read(path.path()).expect("content");
    let start = usize::try_from((page - 1) * 4096).expect("an offset");
    bytes[start..start + 64].fill(0xff);
    std::fs::write(path.path(), bytes).expect("damaged");
    let damage = |seen: &Inspection| {
        let mut findings = seen.report.findings.iter();
        findings.any(|finding| finding.kind == IntegrityKind::Damage)
    };
    let seen = look(&path);
    assert!(damage(&seen), "{seen:?}");
    std::fs::write(path.path(), "a shopping list").expect("written");
    let seen = look(&path);
    assert!(damage(&seen), "{seen:?}");
}
