//! What a store must survive: what other tools write, files that go away, locks that are kept, and defects of its own.

use tokio_util::sync::CancellationToken;

use super::*;
use crate::domain::notifications::Notifications;

/// Spoils the schema so that the writer's connection breaks, and tells how to mend it.
fn spoil_schema(foreign: &Connection) {
    foreign
        .execute_batch("ALTER TABLE changes RENAME TO elsewhere")
        .expect("a rename");
}

async fn unwritable(bench: &Bench) -> String {
    loop {
        let status = bench.store.status().await.expect("a status").remove(0);
        match status.unwritable {
            Some(reason) => return reason,
            None => tokio::task::yield_now().await,
        }
    }
}

#[tokio::test]
async fn a_store_opens_beside_a_foreign_lock_and_writes_when_it_is_free() {
    let bench = Bench::open();
    bench.create("before").await.expect("created");
    // Closing the first store would wait for the lock, and checkpoint.
    let foreign = bench.foreign();
    foreign
        .execute_batch(
            "BEGIN IMMEDIATE;
             INSERT INTO notifications (type, title, message, created_at, updated_at) VALUES ('info', 'theirs', 'm', '', '')",
        )
        .expect("a lock");
    let Bench {
        directory, store, ..
    } = bench;
    store.close();
    drop(store);
    let bench = Bench::open_in(directory);
    assert_eq!(bench.store.published(), 1);
    let seen = listed(&bench, Filter::default(), Order::OldestFirst).await;
    assert_eq!(seen.len(), 1);
    foreign.execute_batch("COMMIT").expect("a commit");
    bench.create("after").await.expect("created");
    assert_eq!(bench.store.published(), 3);
}

#[tokio::test]
async fn a_store_that_must_be_upgraded_first_says_who_holds_the_lock() {
    let Bench {
        directory,
        store,
        database,
        ..
    } = Bench::open();
    store.close();
    drop(store);
    let foreign = foreign(database.path());
    foreign
        .execute_batch("DROP INDEX idx_barista_request; BEGIN IMMEDIATE")
        .expect("a lock");
    let refused = Bench::try_open_in(directory, Duration::from_millis(2))
        .err()
        .expect("refused");
    assert!(
        refused
            .to_string()
            .contains("is locked by another process (fuser "),
        "{refused}"
    );
}

#[tokio::test]
async fn a_schema_that_cannot_be_repaired_stops_writes_until_it_can() {
    let bench = Bench::open();
    bench.create("before").await.expect("created");
    let foreign = bench.foreign();
    spoil_schema(&foreign);
    let refused = bench.create("nowhere to record").await;
    assert!(
        matches!(refused, Err(Error::DatabaseUnavailable { .. })),
        "{refused:?}"
    );
    let status = bench.store.status().await.expect("a status").remove(0);
    assert!(status.unwritable.is_some());
    foreign
        .execute_batch("ALTER TABLE elsewhere RENAME TO changes")
        .expect("a rename");
    while bench.create("after").await.is_err() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_file_that_is_lost_while_it_is_closed_is_not_made_anew() {
    let bench = Bench::open();
    bench.create("acknowledged").await.expect("created");
    let foreign = bench.foreign();
    spoil_schema(&foreign);
    unwritable(&bench).await;
    drop(foreign);
    for file in [
        DatabaseFile::Main,
        DatabaseFile::Wal,
        DatabaseFile::SharedMemory,
    ] {
        let name = format!("away{file:?}");
        // The log and its index go when the last connection closes.
        drop(std::fs::rename(
            bench.database.path_of(file),
            bench.directory.path().join(name),
        ));
    }
    while !unwritable(&bench).await.contains("moved or deleted") {
        tokio::task::yield_now().await;
        assert!(bench.create("into another file").await.is_err());
    }
    assert!(!bench.database.path().exists());
}

#[tokio::test]
async fn a_defect_that_ends_the_writer_is_not_called_a_stop() {
    let bench = Bench::open();
    bench.disk.store(PANIC, Ordering::SeqCst);
    while bench.create("the last").await.is_ok() {}
    let refused = bench.create("after").await;
    assert!(
        matches!(&refused, Err(Error::DatabaseUnavailable { reason }) if reason.contains("restart")),
        "{refused:?}"
    );
}

#[tokio::test]
async fn rows_whose_state_is_no_text_are_listed_in_every_order() {
    let bench = Bench::open();
    bench.create("plain").await.expect("created");
    for (status, priority) in [
        ("x'70656e64696e67'", "x'ff'"),
        ("''", "''"),
        ("CAST(x'ff' AS TEXT)", "'normal'"),
        ("'pending'", "''"),
    ] {
        bench
            .foreign()
            .execute_batch(&format!(
                "INSERT INTO notifications (type, priority, title, message, status, created_at, updated_at)
                 VALUES ('info', {priority}, 'odd', 'm', {status}, '', '')"
            ))
            .expect("an insert");
    }
    bench.kinds_through(0, 5).await;
    for order in [
        Order::MostUrgentFirst,
        Order::NewestFirst,
        Order::OldestFirst,
    ] {
        assert_eq!(listed(&bench, Filter::default(), order).await.len(), 5);
    }
    let mut others = Filter::default();
    others.states.others = true;
    for order in [Order::MostUrgentFirst, Order::OldestFirst] {
        let mut found = listed(&bench, others.clone(), order).await;
        found.sort_unstable();
        assert_eq!(found, [2, 3, 4]);
    }
}

/// All that a list has, one notification to a page.
async fn listed(bench: &Bench, filter: Filter, order: Order) -> Vec<i64> {
    let mut query = ListQuery {
        filter,
        order,
        size: 1,
        after: None,
    };
    let mut ids = Vec::new();
    loop {
        let page = bench.store.list(query.clone()).await.expect("a page");
        ids.extend(page.notifications.iter().map(|found| found.id));
        query.after = page.next;
        if query.after.is_none() {
            return ids;
        }
    }
}

#[tokio::test]
async fn an_expiry_in_another_format_is_never_early() {
    let bench = Bench::open();
    // The clock stands at 2025-10-09T08:53:20.
    for (expires, due) in [
        ("2025-10-09 23:00:00", false),
        ("2025-10-09 08:00:00", true),
        ("2025-10-09T07:00:00-05:00", false),
        ("", false),
        ("1760014435", false),
        ("tomorrow", false),
        ("2025-10-09T08:53:20", true),
        ("2025-10-09T08:53:20.000001", false),
    ] {
        let id = bench.create("odd").await.expect("created").id;
        bench
            .foreign()
            .execute(
                "UPDATE notifications SET expires_at = ?1 WHERE id = ?2",
                (expires, id),
            )
            .expect("an update");
        let call = Call {
            now: Still.now(),
            deadline: None,
        };
        let expired = bench.store.expire_due(10, call).await.expect("an expiry");
        assert_eq!(expired.count, usize::from(due), "{expires:?}");
    }
}

#[tokio::test]
async fn a_page_of_the_journal_is_bounded_in_bytes() {
    let bench = Bench::open();
    bench
        .foreign()
        .execute_batch(
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 40)
             INSERT INTO notifications (type, title, message, created_at, updated_at)
                 SELECT 'info', 'large', hex(zeroblob(100000)), '', '' FROM n",
        )
        .expect("an insert");
    bench
        .store
        .head()
        .wait_for(|head| *head == 40)
        .await
        .expect("a store");
    let mut seen = 0;
    while seen < 40 {
        let changes = bench.store.changes_after(seen, 512).await.expect("changes");
        let bytes: usize = changes.iter().map(|c| c.notification.size()).sum();
        assert!(bytes < 3 * 1024 * 1024, "{bytes} bytes at a time");
        seen = changes.last().expect("progress").sequence;
    }
}

#[tokio::test]
async fn a_row_renumbered_by_its_rowid_is_two_events_with_content() {
    let bench = Bench::open();
    let foreign = bench.foreign();
    foreign
        .execute_batch(&format!(
            "{} UPDATE notifications SET rowid = 9; PRAGMA recursive_triggers = ON;
             INSERT OR REPLACE INTO notifications (id, type, title, message, created_at, updated_at)
                 VALUES (9, 'info', 'replaced', 'm', '', '');",
            insert("one")
        ))
        .expect("changes");
    // With recursive triggers a replacement fires the trigger for deletions too.
    let expected = [
        (1, ChangeKind::Created),
        (1, ChangeKind::Deleted),
        (9, ChangeKind::Created),
        (9, ChangeKind::Deleted),
        (9, ChangeKind::Created),
    ];
    assert_eq!(bench.kinds_through(0, 5).await, expected);
    let changes = bench.store.changes_after(0, 10).await.expect("changes");
    let titles: Vec<&str> = changes
        .iter()
        .map(|change| change.notification.title.as_str())
        .collect();
    assert_eq!(titles, ["one", "one", "one", "one", "replaced"]);
    assert!(changes.iter().all(|change| change.has_content));
}

#[test]
fn what_is_not_a_database_is_refused_with_a_remedy() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let path = directory.path().join("notifications.db");
    std::fs::write(&path, "not a database, and longer than a header ".repeat(9)).expect("a file");
    let refused = super::super::connection::open_writer(&path, 64).expect_err("refused");
    assert!(matches!(refused, OpenError::Damaged { .. }), "{refused:?}");
}

struct Later;

impl Clock for Later {
    fn now(&self) -> Timestamp {
        Still.now().saturating_add(Duration::from_secs(60))
    }
}

/// Without its own ear for the stop, the expiry would wait for the lock.
#[tokio::test]
async fn an_expiry_behind_a_foreign_lock_does_not_hold_up_the_stop() {
    let bench = Bench::open();
    let foreign = bench.foreign();
    bench.create("due").await.expect("created");
    foreign
        .execute_batch(
            "UPDATE notifications SET expires_at = '2025-01-01T00:00:00'; BEGIN IMMEDIATE",
        )
        .expect("the lock");
    let store = Arc::clone(&bench.store) as Arc<dyn NotificationStore>;
    let notifications = Arc::new(Notifications::new(store, Arc::new(Later)));
    let stop = CancellationToken::new();
    let (expiry, ear) = (Arc::clone(&notifications), stop.clone());
    let running = tokio::spawn(async move { expiry.run_expiry(ear).await });
    // Every read is a yield: by then the expiry waits for its write.
    for _ in 0..20 {
        bench.store.count_open(1).await.expect("a count");
    }
    stop.cancel();
    let ended = tokio::time::timeout(Duration::from_secs(10), running).await;
    assert!(ended.is_ok(), "the expiry waits for the lock");
}

#[tokio::test]
async fn a_reader_is_not_opened_on_a_file_that_took_the_place_of_another() {
    let bench = Bench::open();
    bench.create("the old one").await.expect("created");
    let (here, away) = (bench.database.path(), bench.directory.path().join("away"));
    std::fs::rename(here, away).expect("a move");
    let other = Connection::open(here).expect("another database");
    other
        .execute_batch("CREATE TABLE notifications (id)")
        .expect("a table");
    // The readers are opened when they are first needed, and this is the first read.
    let refused = bench.store.get(1).await;
    assert!(
        matches!(&refused, Err(Error::DatabaseUnavailable { reason }) if reason.contains("replaced")),
        "{refused:?}"
    );
}
