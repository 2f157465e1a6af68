//! What other programs do to the file.

use super::*;

#[tokio::test]
async fn each_foreign_change_is_one_event_in_order() {
    let bench = Bench::open();
    let foreign = bench.foreign();
    foreign.execute_batch(&insert("one")).expect("an insert");
    foreign
        .execute_batch("UPDATE notifications SET status = 'read' WHERE id = 1")
        .expect("an update");
    foreign
        .execute_batch(
            "INSERT OR REPLACE INTO notifications (id, type, title, message, created_at, updated_at)
             VALUES (1, 'info', 'replaced', 'm', '', '')",
        )
        .expect("a replacement");
    foreign
        .execute_batch("INSERT OR IGNORE INTO notifications (id, type, title, message, created_at, updated_at) VALUES (1, 'info', 'x', 'm', '', '')")
        .expect("nothing");
    foreign
        .execute_batch("UPDATE notifications SET title = 'again', id = 9 WHERE id = 1")
        .expect("an update");
    foreign
        .execute_batch("DELETE FROM notifications")
        .expect("a deletion");
    foreign.execute_batch("VACUUM").expect("a vacuum");
    let expected = [
        (1, ChangeKind::Created),
        (1, ChangeKind::Read),
        (1, ChangeKind::Updated),
        (1, ChangeKind::Deleted),
        (9, ChangeKind::Created),
        (9, ChangeKind::Deleted),
    ];
    assert_eq!(bench.kinds_through(0, 6).await, expected);
    let changes = bench.store.changes_after(0, 10).await.expect("changes");
    let titles: Vec<&str> = changes
        .iter()
        .map(|change| change.notification.title.as_str())
        .collect();
    assert_eq!(
        titles,
        ["one", "one", "replaced", "replaced", "again", "again"]
    );
    assert!(changes.iter().all(|change| change.has_content));
}

#[tokio::test]
async fn the_journal_does_not_believe_the_time_that_a_foreign_row_claims() {
    let bench = Bench::open();
    bench.create("ours").await.expect("created");
    bench
        .foreign()
        .execute_batch(&insert("theirs"))
        .expect("inserted");
    bench.kinds_through(0, 2).await;
    let changes = bench.store.changes_after(0, 10).await.expect("changes");
    let [ours, theirs] = changes.as_slice() else {
        panic!("{changes:?}");
    };
    assert_eq!(ours.time, Some(Still.now()));
    assert!(theirs.time > theirs.notification.create_time, "{theirs:?}");
}

#[tokio::test]
async fn a_hint_is_enough_to_notice_a_foreign_commit_while_the_store_does_not_look() {
    const NEVER: Duration = Duration::from_secs(3_600);
    let bench = Bench::open_with(tempfile::tempdir().expect("a directory"), NEVER);
    bench.store.set_hinted(true);
    bench.store.set_followed(true);
    bench
        .foreign()
        .execute_batch(&insert("one"))
        .expect("inserted");
    bench.store.hint();
    let kinds = bench.kinds_through(0, 1).await;
    assert_eq!(kinds, [(1, ChangeKind::Created)]);
}

#[tokio::test]
async fn words_outside_the_vocabulary_are_served_as_they_are() {
    let bench = Bench::open();
    bench
        .foreign()
        .execute_batch(&insert("odd"))
        .expect("an insert");
    bench.kinds_through(0, 1).await;
    let odd = bench.store.get(1).await.expect("there");
    assert_eq!(odd.kind, Word::Other("approval_request".to_owned()));
    assert_eq!(odd.priority, Word::Other("urgent".to_owned()));
    assert_eq!(
        (odd.state, odd.update_time),
        (Word::Known(State::Pending), None)
    );
    let urgent = ListQuery {
        filter: Filter::default(),
        order: Order::MostUrgentFirst,
        size: 5,
        after: None,
    };
    assert_eq!(
        bench
            .store
            .list(urgent)
            .await
            .expect("a page")
            .notifications
            .len(),
        1
    );
}

#[tokio::test]
async fn a_rebuilt_table_is_watched_again() {
    let bench = Bench::open();
    bench.create("one").await.expect("created");
    let foreign = bench.foreign();
    foreign
        .execute_batch(
            "BEGIN IMMEDIATE;
             CREATE TABLE n2 (id INTEGER PRIMARY KEY AUTOINCREMENT, type TEXT NOT NULL, priority TEXT NOT NULL DEFAULT 'normal',
                 title TEXT NOT NULL, message TEXT NOT NULL, context TEXT, status TEXT NOT NULL DEFAULT 'pending',
                 user_response TEXT, created_at TEXT NOT NULL, updated_at TEXT NOT NULL);
             INSERT INTO n2 SELECT id, type, priority, title, message, context, status, user_response, created_at, updated_at
                 FROM notifications;
             DROP TABLE notifications;
             ALTER TABLE n2 RENAME TO notifications;
             UPDATE notifications SET status = 'dismissed';
             COMMIT;",
        )
        .expect("a rebuild");
    assert_eq!(
        bench.kinds_through(1, 2).await,
        [(1, ChangeKind::Dismissed)]
    );
    foreign.execute_batch(&insert("after")).expect("an insert");
    assert_eq!(bench.kinds_through(2, 3).await, [(2, ChangeKind::Created)]);
    assert_eq!(bench.create("by the daemon").await.expect("created").id, 3);
}

#[tokio::test]
async fn removed_journal_rows_are_reported_and_never_skipped() {
    let bench = Bench::open();
    for index in 0..5 {
        bench.create(&index.to_string()).await.expect("created");
    }
    bench
        .foreign()
        .execute_batch("DELETE FROM changes WHERE seq <= 2")
        .expect("a deletion");
    let refused = bench.store.changes_after(0, 10).await;
    assert!(
        matches!(&refused, Err(Error::SequenceCompacted { bounds, .. }) if bounds.oldest == 3),
        "{refused:?}"
    );
    assert_eq!(
        bench
            .store
            .changes_after(2, 10)
            .await
            .expect("changes")
            .len(),
        3
    );
}

#[tokio::test]
async fn the_last_row_of_the_journal_stays_so_that_no_sequence_comes_twice() {
    let bench = Bench::open();
    bench.create("one").await.expect("created");
    let two = bench.create("two").await.expect("created");
    let foreign = bench.foreign();
    foreign
        .execute_batch("DELETE FROM changes")
        .expect("deleted");
    let three = bench.create("three").await.expect("created");
    assert_eq!((two.sequence, three.sequence), (2, 3));
    let refused = foreign.execute("INSERT INTO changes (seq) VALUES (9223372036854775807)", []);
    assert!(refused.is_err(), "{refused:?}");
}
