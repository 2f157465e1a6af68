//! What every store must tell of changes.

use super::*;

pub(crate) async fn the_journal_tells_each_change_once_in_order(store: Store) {
    let one = create(&store, question("one")).await.id;
    let two = create(&store, question("two")).await.id;
    store
        .transition(change(one, Transition::Read), call(1))
        .await
        .expect("read");
    store
        .respond(answer(one, "yes", "ann"), call(2))
        .await
        .expect("answered");
    store
        .transition(change(two, Transition::Cancel), call(3))
        .await
        .expect("cancelled");
    let expected = [
        (one, ChangeKind::Created),
        (two, ChangeKind::Created),
        (one, ChangeKind::Read),
        (one, ChangeKind::Responded),
        (two, ChangeKind::Cancelled),
    ];
    assert_eq!(kinds(&store, 0).await, expected);
    assert_eq!(kinds(&store, 3).await, expected[3..]);
    assert_eq!(kinds(&store, 5).await, []);
    assert_eq!(*store.head().borrow(), 5);
    let history = store.history(one, 0, 10).await.expect("history");
    assert_eq!(
        history
            .iter()
            .map(|change| change.sequence)
            .collect::<Vec<_>>(),
        [1, 3, 4]
    );
    assert_eq!(history[0].actor, "agent");
    assert_eq!(history[2].actor, "ann");
}

pub(crate) async fn a_replay_shows_each_notification_as_it_was(store: Store) {
    let created = create(&store, question("one")).await;
    let read = store
        .transition(change(created.id, Transition::Read), call(1))
        .await
        .expect("read");
    let answered = store
        .respond(answer(created.id, "yes", "ann"), call(2))
        .await
        .expect("answered");
    let changes = store.changes_after(0, 10).await.expect("changes");
    let seen: Vec<_> = changes
        .iter()
        .map(|change| change.notification.clone())
        .collect();
    assert_eq!(seen, [created, read, answered]);
}

pub(crate) async fn a_cursor_ahead_of_the_head_is_unknown(store: Store) {
    create(&store, question("one")).await;
    assert!(matches!(
        store.changes_after(2, 10).await,
        Err(Error::UnknownCursor { .. })
    ));
    assert!(matches!(
        store.changes_after(i64::MAX, 10).await,
        Err(Error::UnknownCursor { .. })
    ));
}

pub(crate) async fn a_snapshot_continues_without_gap_or_repetition(store: Store) {
    let first = create(&store, question("before")).await;
    let snapshot = store
        .snapshot(Filter::default(), 10)
        .await
        .expect("a snapshot");
    assert_eq!(snapshot.notifications, [first]);
    let second = create(&store, question("after")).await.id;
    assert_eq!(
        kinds(&store, snapshot.bounds.head).await,
        [(second, ChangeKind::Created)]
    );
    let refused = store.snapshot(Filter::default(), 1).await;
    assert!(matches!(refused, Err(Error::SnapshotTooLarge { limit: 1 })));
}

/// Sequences become visible in their order, without a gap, however many write at once. Easy for a store with one writer; the case is here
/// for those that have several.
pub(crate) async fn concurrent_writers_leave_no_gap_for_a_reader(store: Store) {
    const WRITERS: usize = 8;
    const EACH: usize = 25;
    let mut writers = JoinSet::new();
    for writer in 0..WRITERS {
        let store = Arc::clone(&store);
        writers.spawn(async move {
            for index in 0..EACH {
                create(&store, question(&format!("{writer}-{index}"))).await;
            }
        });
    }
    let mut head = store.head();
    let mut seen = 0;
    while seen < (WRITERS * EACH) as i64 {
        let changes = store.changes_after(seen, 64).await.expect("no gap");
        for change in &changes {
            assert_eq!(change.sequence, seen + 1);
            seen += 1;
        }
        if changes.is_empty() && *head.borrow_and_update() == seen {
            head.changed().await.expect("a store");
        }
    }
    while let Some(writer) = writers.join_next().await {
        writer.expect("a writer");
    }
    assert_eq!(*store.head().borrow(), seen);
}
