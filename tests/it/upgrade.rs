//! A database of each earlier schema: opens in place, keeps everything, and still works with direct tooling.

use std::path::Path;

use barista_client::pb::notification::v1::{ChangeKind, NotificationState, StartAt};
use rusqlite::Connection;

use crate::support::{Foreign, Home, TestDaemon, every};

/// The migrations, in order.
fn migrations() -> Vec<String> {
    let directory = "src/store/sqlite/migrations/notifications";
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join(directory);
    let entries = std::fs::read_dir(directory).expect("the migrations");
    let mut paths: Vec<_> = entries.map(|entry| entry.expect("a file").path()).collect();
    paths.sort();
    let read = |path| std::fs::read_to_string(path).expect("a migration");
    paths.iter().map(read).collect()
}

/// A home with a database as the release had it that knew only `migrations`, and what was done with it.
fn old(migrations: &[String]) -> Home {
    let home = Home::new();
    home.create();
    let connection = Connection::open(home.database()).expect("a database");
    connection
        .execute_batch("PRAGMA journal_mode = WAL")
        .expect("write-ahead logging");
    for migration in migrations {
        connection.execute_batch(migration).expect("a migration");
    }
    let version = "INSERT OR REPLACE INTO barista_meta (key, value) VALUES ('schema_version', ?1)";
    connection
        .execute(version, [i64::try_from(migrations.len()).expect("few")])
        .expect("a version");
    drop(connection);
    work(&home.foreign(), "old");
    home
}

/// What direct tooling does: three rows, seven changes.
fn work(foreign: &Foreign, name: &str) {
    let kept = foreign.insert(&format!("{name} kept"));
    let answered = foreign.insert(&format!("{name} answered"));
    let deleted = foreign.insert(&format!("{name} deleted"));
    foreign.respond(answered, "yes");
    foreign.run(&format!(
        "UPDATE notifications SET title = title || '!' WHERE id = {kept};
         UPDATE notifications SET status = 'read' WHERE id = {deleted};
         DELETE FROM notifications WHERE id = {deleted}"
    ));
}

/// What everybody is told of that work.
const KINDS: [ChangeKind; 7] = [
    ChangeKind::Created,
    ChangeKind::Created,
    ChangeKind::Created,
    ChangeKind::Responded,
    ChangeKind::Updated,
    ChangeKind::Read,
    ChangeKind::Deleted,
];

/// Fails when `schema::migrate` skips a migration, or runs one again (`skip(done)` with one more, or one less).
#[tokio::test]
async fn a_database_of_each_earlier_schema_keeps_its_data_its_journal_and_its_other_users() {
    let migrations = migrations();
    assert!(migrations.len() > 1, "no earlier schema");
    for version in 1..migrations.len() {
        let home = old(&migrations[..version]);
        let epoch = home
            .foreign()
            .text("SELECT value FROM barista_meta WHERE key = 'epoch'");
        let mut daemon = TestDaemon::start_in(home).await;
        let mut watch = daemon.watch(StartAt::Oldest).await;
        assert_eq!(watch.cursor().epoch, epoch, "from {version}");
        let kinds = |events: Vec<_>| -> Vec<ChangeKind> {
            let kind =
                |event: &barista_client::pb::notification::v1::NotificationEvent| event.kind();
            events.iter().map(kind).collect()
        };
        assert_eq!(kinds(watch.events(7).await), KINDS, "from {version}");
        let all = every(daemon.client()).await;
        let titles: Vec<&str> = all.iter().map(|found| found.title.as_str()).collect();
        assert_eq!(titles, ["old kept!", "old answered"]);
        assert_eq!(all[1].state(), NotificationState::Responded);
        // Both sides go on.
        work(&daemon.foreign(), "new");
        assert_eq!(kinds(watch.events(7).await), KINDS);
        let answered = daemon.respond(all[0].id, "yes").await.expect("answered");
        assert_eq!(watch.event().await.notification, Some(answered));
        assert!(daemon.terminate().await.success());
        daemon.restart().await;
        let newest = daemon
            .foreign()
            .number("SELECT value FROM barista_meta WHERE key = 'schema_version'");
        assert_eq!(usize::try_from(newest), Ok(migrations.len()));
        assert_eq!(every(daemon.client()).await.len(), 4);
    }
}
