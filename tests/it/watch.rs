//! Watching. The numbers are those of the rules in the design of the API.

use barista_client::pb::notification::v1::watch_notifications_response::Message;
use barista_client::pb::notification::v1::{
    ChangeKind, Cursor, NotificationEvent, NotificationFilter, NotificationState, NotificationType,
    Priority, StartAt, WatchNotificationsRequest,
};
use barista_client::{Code, ErrorReason, WatchItem};

use crate::support::{TestDaemon, answer, every, from, info, move_to, only, question, soon};

fn after(cursor: Cursor) -> WatchNotificationsRequest {
    WatchNotificationsRequest {
        after: Some(cursor),
        ..WatchNotificationsRequest::default()
    }
}

fn kinds(events: &[NotificationEvent]) -> Vec<ChangeKind> {
    events.iter().map(NotificationEvent::kind).collect()
}

#[tokio::test]
async fn rule_01_a_cursor_is_exclusive_and_belongs_to_an_epoch() {
    let daemon = TestDaemon::start().await;
    let first = daemon.ask("one").await;
    let second = daemon.ask("two").await;
    let epoch = daemon.client().server_info().epoch.clone();
    let cursor = |epoch: &str, sequence| Cursor {
        epoch: epoch.to_owned(),
        sequence,
    };
    let mut watch = daemon.follow(after(cursor(&epoch, first.sequence))).await;
    assert_eq!(watch.event().await.notification, Some(second));
    let mut unchecked = daemon.follow(after(cursor("", 0))).await;
    assert_eq!(unchecked.event().await.notification, Some(first));
    let error = daemon.follow_refused(after(cursor("elsewhere", 1))).await;
    assert_eq!(error.reason(), ErrorReason::UnknownCursor);
}

#[tokio::test]
async fn rule_02_the_first_message_says_epoch_head_and_oldest_sequence() {
    let daemon = TestDaemon::start().await;
    let epoch = daemon.client().server_info().epoch.clone();
    assert!(!epoch.is_empty());
    let fresh = daemon.watch(StartAt::Now).await;
    assert_eq!(
        (
            fresh.started().head_sequence,
            fresh.started().oldest_sequence
        ),
        (0, 1)
    );
    daemon.ask("one").await;
    daemon.ask("two").await;
    let places = [
        (from(StartAt::Now), 2),
        (from(StartAt::Oldest), 0),
        (from(StartAt::Snapshot), 2),
    ];
    for (request, sequence) in places {
        let watch = daemon.follow(request).await;
        let started = watch.started();
        let cursor = Cursor {
            epoch: epoch.clone(),
            sequence,
        };
        assert_eq!(started.cursor, Some(cursor));
        assert_eq!((started.head_sequence, started.oldest_sequence), (2, 1));
    }
}

#[tokio::test]
async fn rule_03_every_change_comes_once_in_order_with_what_the_notification_was_then() {
    let daemon = TestDaemon::start().await;
    let mut live = daemon.watch(StartAt::Now).await;
    let id = daemon.ask("Before").await.id;
    soon(daemon.client().mark_notification_read(move_to(id)))
        .await
        .expect("read");
    let foreign = daemon.foreign();
    foreign.run("UPDATE notifications SET title = 'After', message = 'rewritten'");
    daemon.respond(id, "yes").await.expect("answered");
    foreign.run("DELETE FROM notifications");
    let seen = live.events(5).await;
    assert_eq!(
        kinds(&seen),
        [
            ChangeKind::Created,
            ChangeKind::Read,
            ChangeKind::Updated,
            ChangeKind::Responded,
            ChangeKind::Deleted
        ]
    );
    let told: Vec<_> = seen
        .iter()
        .map(|event| {
            let notification = event.notification.as_ref().expect("a notification");
            assert_eq!(notification.id, id);
            (notification.title.as_str(), notification.state())
        })
        .collect();
    let expected = [
        ("Before", NotificationState::Pending),
        ("Before", NotificationState::Read),
        ("After", NotificationState::Read),
        ("After", NotificationState::Responded),
        // A tombstone has only its id.
        ("", NotificationState::Unspecified),
    ];
    assert_eq!(told, expected);
    assert_eq!(seen[1].actor, "ann");
    assert!(seen.iter().all(|event| event.time.is_some()));
    // Long after, a replay tells the same story.
    let replayed = daemon.watch(StartAt::Oldest).await.events(5).await;
    assert_eq!(replayed, seen);
}

#[tokio::test]
async fn rule_03_the_changes_of_one_commit_arrive_together() {
    let daemon = TestDaemon::start().await;
    let mut raw = daemon.raw().await;
    let mut stream = soon(raw.notifications.watch_notifications(from(StartAt::Now)))
        .await
        .expect("a stream")
        .into_inner();
    let started = soon(stream.message()).await.expect("a message");
    assert!(matches!(
        started.and_then(|started| started.message),
        Some(Message::Started(_))
    ));
    let batch = (0..100).map(|number| info(&number.to_string())).collect();
    soon(daemon.client().batch_create_notifications(batch))
        .await
        .expect("created");
    let reply = soon(stream.message()).await.expect("a message");
    match reply.and_then(|reply| reply.message) {
        Some(Message::Events(together)) => assert_eq!(together.events.len(), 100),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn rule_04_progress_passes_what_a_filter_hides_and_is_a_place_to_resume_from() {
    let daemon = TestDaemon::start().await;
    let warnings = NotificationFilter {
        types: vec![NotificationType::Warning.into()],
        ..NotificationFilter::default()
    };
    let mut watch = daemon.follow(only(warnings.clone())).await;
    let hidden = daemon.ask("Hidden").await.sequence;
    loop {
        match watch.next().await {
            WatchItem::Progress(cursor) if cursor.sequence == hidden => break,
            WatchItem::Progress(cursor) => assert!(cursor.sequence < hidden, "{cursor:?}"),
            other => panic!("{other:?} instead of progress"),
        }
    }
    let mut resumed = daemon
        .follow(WatchNotificationsRequest {
            filter: Some(warnings),
            ..after(watch.cursor())
        })
        .await;
    assert_eq!(watch.cursor().sequence, hidden);
    let warning = barista_client::pb::notification::v1::CreateNotificationRequest {
        r#type: NotificationType::Warning.into(),
        ..question("Shown")
    };
    soon(daemon.client().create_notification(warning))
        .await
        .expect("created");
    let (one, other) = (watch.event().await, resumed.event().await);
    assert_eq!(one, other);
    assert_eq!(one.sequence, hidden + 1);
}

/// The snapshot and the head of the journal are read in one transaction: whatever happens meanwhile is in one of the two.
#[tokio::test]
async fn rule_05_a_snapshot_and_what_follows_are_the_whole_truth() {
    let daemon = TestDaemon::start().await;
    // A long list takes long to read, and what happens meanwhile must not fall between the two.
    let before = (0..600).map(|number| info(&format!("before {number}")));
    soon(daemon.client().batch_create_notifications(before.collect()))
        .await
        .expect("created");
    let mut pace = daemon.watch(StartAt::Now).await;
    let writer = daemon.connect().await;
    let writing = tokio::spawn(async move {
        for number in 0..150 {
            let id = writer
                .create_notification(question(&number.to_string()))
                .await
                .expect("created")
                .id;
            if number % 3 == 0 {
                writer
                    .respond_notification(answer(id, "yes"))
                    .await
                    .expect("answered");
            }
        }
    });
    let mut watches = Vec::new();
    while watches.len() < 20 {
        pace.events(10).await;
        let mut watch = daemon.watch(StartAt::Snapshot).await;
        let snapshot = watch.snapshot().await;
        watches.push((watch, snapshot));
    }
    soon(writing).await.expect("written");
    let truth = every(daemon.client()).await;
    let head = truth.iter().map(|notification| notification.sequence).max();
    for (mut watch, snapshot) in watches {
        let mut known = crate::support::by_id(snapshot);
        for event in watch.through(head.expect("some")).await {
            let notification = event.notification.expect("a notification");
            if event.kind == i32::from(ChangeKind::Created) {
                let before = known.get(&notification.id);
                assert!(before.is_none(), "it was in the snapshot: {before:?}");
            }
            known.insert(notification.id, notification);
        }
        assert!(known.into_values().eq(truth.iter().cloned()));
    }
}

#[tokio::test]
async fn rule_05_a_snapshot_holds_what_matches_only() {
    let daemon = TestDaemon::start().await;
    let open = daemon.ask("Open").await;
    let closed = daemon.ask("Closed").await;
    daemon.respond(closed.id, "yes").await.expect("answered");
    let pending = WatchNotificationsRequest {
        filter: Some(NotificationFilter {
            states: vec![NotificationState::Pending.into()],
            ..NotificationFilter::default()
        }),
        ..from(StartAt::Snapshot)
    };
    let mut watch = daemon.follow(pending).await;
    assert_eq!(watch.snapshot().await, [open]);
}

#[tokio::test]
async fn rule_06_a_cursor_ahead_of_the_head_is_unknown() {
    let daemon = TestDaemon::start().await;
    daemon.ask("one").await;
    for sequence in [2, i64::MAX] {
        let error = daemon
            .follow_refused(after(Cursor {
                epoch: String::new(),
                sequence,
            }))
            .await;
        assert_eq!(error.reason(), ErrorReason::UnknownCursor);
        let rpc = error.rpc().expect("from the daemon");
        assert_eq!(rpc.code, Code::FailedPrecondition);
        let known = |name: &str| rpc.metadata.get(name).map(String::as_str);
        assert_eq!(known("head_sequence"), Some("1"));
        assert_eq!(known("oldest_sequence"), Some("1"));
        assert_eq!(
            known("epoch"),
            Some(daemon.client().server_info().epoch.as_str())
        );
    }
}

#[tokio::test]
async fn rule_06_a_cursor_from_before_a_restored_backup_is_unknown() {
    let mut daemon = TestDaemon::start().await;
    daemon.ask("one").await;
    let mut watch = daemon.watch(StartAt::Oldest).await;
    watch.event().await;
    let old = watch.cursor();
    assert!(daemon.terminate().await.success());
    daemon
        .foreign()
        .run("UPDATE barista_meta SET value = lower(hex(randomblob(16))) WHERE key = 'epoch'");
    daemon.expect_another_epoch();
    daemon.restart().await;
    let error = daemon.follow_refused(after(old)).await;
    assert_eq!(error.reason(), ErrorReason::UnknownCursor);
    // The watch that was running must not go on as if nothing had happened.
    assert_eq!(watch.error().await.reason(), ErrorReason::UnknownCursor);
}

#[tokio::test]
async fn rule_06_a_cursor_older_than_the_journal_is_compacted() {
    let mut daemon = TestDaemon::start().await;
    for number in 0..5 {
        daemon.ask(&number.to_string()).await;
    }
    daemon.foreign().run("DELETE FROM changes WHERE seq <= 3");
    daemon.expect_journal_from(4);
    for (sequence, is_kept) in [(0, false), (2, false), (3, true), (5, true)] {
        let request = after(Cursor {
            epoch: String::new(),
            sequence,
        });
        if is_kept {
            let watch = daemon.follow(request).await;
            assert_eq!(watch.started().oldest_sequence, 4);
            continue;
        }
        let error = daemon.follow_refused(request).await;
        assert_eq!(error.reason(), ErrorReason::SequenceCompacted);
        let rpc = error.rpc().expect("from the daemon");
        assert_eq!(rpc.code, Code::OutOfRange);
        let known = |name: &str| rpc.metadata.get(name).map(String::as_str);
        assert_eq!(known("oldest_sequence"), Some("4"));
        assert_eq!(known("head_sequence"), Some("5"));
    }
    let events = daemon.watch(StartAt::Oldest).await.events(2).await;
    assert_eq!(events[0].sequence, 4);
}

/// What a watcher has seen survives the daemon's sudden end.
#[tokio::test]
async fn rule_07_only_durable_events_are_sent() {
    let mut daemon = TestDaemon::start().await;
    for round in 0..3 {
        let mut watch = daemon.watch(StartAt::Now).await;
        let writer = daemon.connect().await;
        let writing = tokio::spawn(async move {
            while writer.create_notification(question("?")).await.is_ok() {}
        });
        let seen = watch.events(25).await;
        daemon.kill().await;
        writing.abort();
        daemon.restart().await;
        for event in seen {
            let notification = event.notification.expect("a notification");
            let stored = daemon.get(notification.id).await;
            assert_eq!(stored, notification, "round {round}");
        }
    }
}

#[tokio::test]
async fn rule_07_what_another_process_has_not_committed_is_not_sent() {
    let daemon = TestDaemon::start().await;
    let mut watch = daemon.watch(StartAt::Now).await;
    let foreign = daemon.foreign();
    foreign.run("BEGIN IMMEDIATE");
    foreign.insert("Undone");
    foreign.run("ROLLBACK");
    foreign.run("BEGIN IMMEDIATE");
    let id = foreign.insert("Kept");
    foreign.run("COMMIT");
    let event = watch.event().await;
    let notification = event.notification.expect("a notification");
    assert_eq!((event.sequence, notification.id), (1, id));
    assert_eq!(notification.title, "Kept");
    // Direct tooling may commit without a sync, so the daemon makes a synced commit of its own before it tells anybody.
    let heartbeats = "SELECT value FROM barista_meta WHERE key = 'heartbeat'";
    let before = foreign.number(heartbeats);
    foreign.run("PRAGMA synchronous = OFF");
    foreign.insert("Not synced");
    watch.event().await;
    assert!(foreign.number(heartbeats) > before);
}

#[tokio::test]
async fn rule_09_filters_are_applied_by_the_daemon() {
    let daemon = TestDaemon::start().await;
    let client = daemon.client();
    let filter = |change: fn(&mut NotificationFilter)| {
        let mut filter = NotificationFilter::default();
        change(&mut filter);
        only(filter)
    };
    let responses = WatchNotificationsRequest {
        kinds: vec![ChangeKind::Responded.into()],
        ..from(StartAt::Now)
    };
    let requests = [
        filter(|f| f.types = vec![NotificationType::Info.into()]),
        filter(|f| f.priorities = vec![Priority::Normal.into()]),
        filter(|f| f.states = vec![NotificationState::Responded.into()]),
        filter(|f| f.agent = "tester".into()),
        filter(|f| f.session = "nobody's".into()),
        filter(|f| f.project = "nobody's".into()),
        responses,
    ];
    let mut watches = Vec::new();
    for request in requests {
        watches.push(daemon.follow(request).await);
    }
    let asked = daemon.ask("Deploy?").await;
    let foreign = soon(client.create_notification(
        barista_client::pb::notification::v1::CreateNotificationRequest {
            agent: "other".into(),
            priority: Priority::Low.into(),
            ..info("Built")
        },
    ))
    .await
    .expect("created");
    daemon.respond(asked.id, "yes").await.expect("answered");
    let (ask, notice, response) = (asked.sequence, foreign.sequence, 3);
    let expected: [&[i64]; 7] = [
        &[notice],
        &[ask, response],
        &[response],
        &[ask, response],
        &[],
        &[],
        &[response],
    ];
    for (watch, expected) in watches.iter_mut().zip(expected) {
        let seen = watch.through(response).await;
        let sequences: Vec<i64> = seen.iter().map(|event| event.sequence).collect();
        assert_eq!(sequences, expected);
    }
}

#[tokio::test]
async fn rule_09_a_deletion_is_shown_to_whom_it_matched_before() {
    let daemon = TestDaemon::start().await;
    let mut mine = daemon
        .follow(only(NotificationFilter {
            agent: "tester".into(),
            ..NotificationFilter::default()
        }))
        .await;
    let mut others = daemon
        .follow(only(NotificationFilter {
            agent: "somebody else".into(),
            ..NotificationFilter::default()
        }))
        .await;
    daemon.ask("Deploy?").await;
    daemon.foreign().run("DELETE FROM notifications");
    let seen = mine.through(2).await;
    assert_eq!(kinds(&seen), [ChangeKind::Created, ChangeKind::Deleted]);
    assert_eq!(others.through(2).await, []);
}

#[tokio::test]
async fn rule_10_a_stop_ends_the_stream_with_the_last_sequence_and_a_restart_resumes_it() {
    let mut daemon = TestDaemon::start().await;
    let mut watch = daemon.watch(StartAt::Now).await;
    let epoch = daemon.client().server_info().epoch.clone();
    daemon.ask("one").await;
    daemon.ask("two").await;
    watch.events(2).await;
    assert!(daemon.terminate().await.success());
    let error = loop {
        match watch.next().await {
            WatchItem::Interrupted(error) => break error,
            WatchItem::Progress(_) => {}
            other => panic!("{other:?} instead of an interruption"),
        }
    };
    assert_eq!(error.reason(), ErrorReason::ShuttingDown);
    let rpc = error.rpc().expect("from the daemon");
    assert_eq!(rpc.code, Code::Unavailable);
    assert_eq!(
        rpc.metadata.get("last_sequence").map(String::as_str),
        Some("2")
    );
    assert_eq!(rpc.metadata.get("epoch"), Some(&epoch));
    daemon.restart().await;
    let third = daemon.ask("three").await;
    assert_eq!(third.sequence, 3, "sequences go on");
    assert_eq!(watch.event().await.notification, Some(third));
    assert_eq!(daemon.client().server_info().epoch, epoch);
}
