//! Retention: the conformance suite, and what it does to the file.

use super::*;
use crate::domain::consumer::LagLimits;
use crate::domain::retention::{Policy, Retention, RetentionStore};
use crate::store::conformance::retention::Stores;

fn fresh() -> (Stores, Bench) {
    let bench = Bench::open();
    let stores = Stores {
        notifications: Arc::clone(&bench.store) as _,
        consumers: Arc::clone(&bench.store) as _,
        retention: Arc::clone(&bench.store) as _,
    };
    (stores, bench)
}

crate::store::conformance::retention::retention_conformance_tests!(fresh());

fn retention(bench: &Bench) -> Retention {
    let policy = Policy {
        journal_max_age: Duration::from_secs(3_600),
        journal_max_events: 10,
        closed_max_age: Some(Duration::from_secs(24 * 3_600)),
        limits: LagLimits {
            max_events: 10,
            max_age: Duration::from_secs(10),
        },
    };
    let store = Arc::clone(&bench.store) as _;
    Retention::new(store, Arc::new(Still), policy, Duration::from_secs(1))
}

/// Closed notifications with a long text, made long ago by direct tooling.
fn fill(connection: &Connection, count: usize) {
    connection
        .execute_batch(&format!(
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {count})
             INSERT INTO notifications (type, title, message, status, created_at, updated_at)
             SELECT 'info', 't', hex(zeroblob(2000)), 'dismissed', '2025-01-01T00:00:00', '2025-01-01T00:00:00' FROM n"
        ))
        .expect("rows");
}

#[tokio::test]
async fn the_file_becomes_smaller_on_the_disk() {
    let bench = Bench::open();
    fill(&bench.foreign(), 2_000);
    let size = || async {
        let truncate = CheckpointMode::Truncate;
        bench
            .store
            .checkpoint("", truncate, None)
            .await
            .expect("a checkpoint");
        bench.database.path().metadata().expect("a file").len()
    };
    let before = size().await;
    let retention = retention(&bench);
    retention.apply().await.expect("applied");
    // The tombstones, and what they kept, go with the next changes.
    let report = retention.apply().await.expect("applied");
    let after = size().await;
    assert!(before > 8_000_000 && after < before / 3, "{before} {after}");
    assert!(report.space.shrinks && report.returned > 0, "{report:?}");
    let checked: String = bench
        .foreign()
        .query_row("PRAGMA integrity_check", [], |row| row.get(0))
        .expect("a check");
    assert_eq!(checked, "ok");
}

#[tokio::test]
async fn a_file_that_direct_tooling_made_reuses_its_space() {
    let directory = tempfile::tempdir().expect("a directory");
    let data = directory.path().join("data");
    std::fs::create_dir(&data).expect("a directory");
    foreign(&data.join(NOTIFICATIONS_FILE))
        .execute_batch("CREATE TABLE theirs (a)")
        .expect("a table");
    let bench = Bench::open_in(directory);
    fill(&bench.foreign(), 2_000);
    let retention = retention(&bench);
    retention.apply().await.expect("applied");
    let report = retention.apply().await.expect("applied");
    assert!(!report.space.shrinks && report.returned == 0, "{report:?}");
    assert!(report.space.free > 4_000_000, "{report:?}");
    let database = bench.database.clone();
    let _directory = bench.close();
    let (before, after) = crate::store::sqlite::rebuild(&database).expect("rebuilt");
    assert!(after < before / 3, "{before} {after}");
    let mode: i64 = foreign(database.path())
        .query_row("PRAGMA auto_vacuum", [], |row| row.get(0))
        .expect("a pragma");
    assert_eq!(mode, 2);
}

#[tokio::test]
async fn what_is_gone_from_the_journal_is_not_new_after_a_rebuild() {
    let bench = Bench::open();
    for number in 0..20 {
        bench.create(&number.to_string()).await.expect("created");
    }
    retention(&bench).apply().await.expect("applied");
    assert_eq!(bench.store.oldest().await.expect("oldest"), 11);
    bench
        .foreign()
        .execute_batch("DROP TRIGGER barista_notifications_inserted")
        .expect("a drop");
    let added = bench.create("after").await.expect("created");
    assert_eq!(added.sequence, 21);
    assert_eq!(
        bench.kinds_through(20, 21).await,
        [(21, ChangeKind::Created)]
    );
}

/// A foreign row's claim to be from the future, or from no time at all, is not what the journal dates it by.
#[tokio::test]
async fn times_that_cannot_be_true_let_no_notification_go() {
    let bench = Bench::open();
    for time in ["2099-01-01T00:00:00", "never"] {
        bench
            .foreign()
            .execute_batch(&format!(
                "INSERT INTO notifications (type, title, message, status, created_at, updated_at)
                 VALUES ('info', 't', 'm', 'dismissed', '{time}', '{time}')"
            ))
            .expect("a row");
    }
    fill(&bench.foreign(), 1);
    let report = retention(&bench).apply().await.expect("applied");
    let rows: Vec<u64> = report.amounts.iter().map(|amount| amount.rows).collect();
    assert_eq!(rows, [0, 0, 1]);
    assert!(bench.store.get(1).await.is_ok() && bench.store.get(2).await.is_ok());
}

/// Somebody has spoilt the times in the journal itself: that ends neither the walk over it, nor what is young.
///
/// Fails when `old_changes` stops at a time that cannot be true, or takes it for old.
#[tokio::test]
async fn changes_without_a_time_that_can_be_true_are_as_old_as_the_next_that_has_one() {
    let bench = Bench::open();
    for number in 0..7 {
        bench.create(&number.to_string()).await.expect("created");
    }
    bench
        .foreign()
        .execute_batch(
            "UPDATE changes SET at = '2025-01-01T00:00:00' WHERE seq IN (1, 4);
             UPDATE changes SET at = NULL WHERE seq IN (2, 5);
             UPDATE changes SET at = '2099-01-01T00:00:00' WHERE seq IN (3, 6);",
        )
        .expect("spoilt");
    retention(&bench).apply().await.expect("applied");
    assert_eq!(bench.store.oldest().await.expect("oldest"), 5);
}
