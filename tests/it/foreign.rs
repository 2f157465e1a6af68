//! Direct tooling writes while people watch: every change is one event, in order, whatever statement made it.

use barista_client::pb::notification::v1::{ChangeKind, NotificationState, StartAt};

use crate::support::{Foreign, Recorder, TestDaemon, beside, soon};

/// The next changes as (kind, id, title).
async fn told(watch: &mut Recorder, count: usize) -> Vec<(ChangeKind, i64, String)> {
    let events = watch.events(count).await;
    events
        .into_iter()
        .map(|event| {
            let kind = event.kind();
            let notification = event.notification.expect("a notification");
            (kind, notification.id, notification.title)
        })
        .collect()
}

fn change(kind: ChangeKind, id: i64, title: &str) -> (ChangeKind, i64, String) {
    (kind, id, title.to_owned())
}

#[tokio::test]
async fn every_statement_of_direct_tooling_is_one_event_for_each_row_that_it_changes() {
    use ChangeKind::{Created, Deleted, Dismissed, Responded, Updated};
    const ROW: &str =
        "'question', 'normal', 'm', 'pending', '2025-10-09T12:53:55', '2025-10-09T12:53:55'";
    const COLUMNS: &str = "type, priority, message, status, created_at, updated_at";
    let daemon = TestDaemon::start().await;
    let mut watch = daemon.watch(StartAt::Now).await;
    let foreign = daemon.foreign();
    let insert = |verb: &str, id: i64, title: &str| {
        foreign.run(&format!(
            "{verb} INTO notifications (id, title, {COLUMNS}) VALUES ({id}, '{title}', {ROW})"
        ));
    };
    assert_eq!(foreign.insert("one"), 1);
    foreign.respond(1, "yes");
    insert("INSERT OR REPLACE", 1, "replaced");
    insert("INSERT OR IGNORE", 1, "ignored");
    insert("INSERT OR IGNORE", 2, "two");
    insert("REPLACE", 3, "three");
    foreign.run("UPDATE notifications SET status = 'dismissed' WHERE id >= 2");
    foreign.run("UPDATE OR IGNORE notifications SET title = 'renamed' WHERE id = 2");
    foreign.run("UPDATE notifications SET title = 'nothing' WHERE id = 77");
    foreign.run("UPDATE notifications SET id = 9 WHERE id = 3");
    foreign.run("DELETE FROM notifications WHERE id IN (1, 2)");
    let expected = [
        change(Created, 1, "one"),
        change(Responded, 1, "one"),
        change(Updated, 1, "replaced"),
        change(Created, 2, "two"),
        change(Created, 3, "three"),
        change(Dismissed, 2, "two"),
        change(Dismissed, 3, "three"),
        change(Updated, 2, "renamed"),
        change(Deleted, 3, ""),
        change(Created, 9, "three"),
        change(Deleted, 1, ""),
        change(Deleted, 2, ""),
    ];
    assert_eq!(told(&mut watch, expected.len()).await, expected);
    // Nothing else happened: the next event is the daemon's own.
    let asked = daemon.ask("The end").await;
    assert_eq!(watch.event().await.notification, Some(asked));
}

#[tokio::test]
async fn a_vacuum_is_no_change() {
    let daemon = TestDaemon::start().await;
    let mut watch = daemon.watch(StartAt::Now).await;
    let foreign = daemon.foreign();
    foreign.insert("one");
    foreign.run("VACUUM");
    foreign.insert("two");
    let expected = [
        change(ChangeKind::Created, 1, "one"),
        change(ChangeKind::Created, 2, "two"),
    ];
    assert_eq!(told(&mut watch, 2).await, expected);
    assert_eq!(daemon.ask("three").await.sequence, 3);
}

/// A rebuild, as migration tools do it, takes the triggers away in silence. The daemon notices, restores them, and records what changed
/// while nobody looked.
#[tokio::test]
async fn a_rebuilt_table_is_repaired_and_its_changes_are_told() {
    let daemon = TestDaemon::start().await;
    let mut watch = daemon.watch(StartAt::Now).await;
    let foreign = daemon.foreign();
    let kept = daemon.ask("Kept").await;
    daemon.ask("Lost").await;
    watch.events(2).await;
    foreign.run(
        "BEGIN IMMEDIATE;
         CREATE TABLE rebuilt (id INTEGER PRIMARY KEY AUTOINCREMENT, type TEXT NOT NULL, priority TEXT NOT NULL DEFAULT 'normal',
             title TEXT NOT NULL, message TEXT NOT NULL, context TEXT, status TEXT NOT NULL DEFAULT 'pending', user_response TEXT,
             created_at TEXT NOT NULL, updated_at TEXT NOT NULL);
         INSERT INTO rebuilt SELECT id, type, priority, title, message, context, 'responded', 'by the tool', created_at, updated_at
             FROM notifications WHERE title = 'Kept';
         DROP TABLE notifications;
         ALTER TABLE rebuilt RENAME TO notifications;
         COMMIT",
    );
    let mut seen = told(&mut watch, 2).await;
    seen.sort_by_key(|(_, id, _)| *id);
    let expected = [
        change(ChangeKind::Responded, kept.id, "Kept"),
        change(ChangeKind::Deleted, kept.id + 1, ""),
    ];
    assert_eq!(seen, expected);
    let now = daemon.get(kept.id).await;
    assert_eq!(now.state(), NotificationState::Responded);
    assert_eq!(now.response.expect("a response").text, "by the tool");
    // The triggers are back: direct tooling is heard again, and so is the daemon.
    let id = foreign.insert("Afterwards");
    let asked = daemon.ask("And this").await;
    let expected = [
        change(ChangeKind::Created, id, "Afterwards"),
        change(ChangeKind::Created, asked.id, "And this"),
    ];
    assert_eq!(told(&mut watch, 2).await, expected);
}

#[tokio::test]
async fn what_direct_tooling_did_while_no_daemon_ran_is_told_to_a_watch_that_resumes() {
    let mut daemon = TestDaemon::start().await;
    let mut watch = daemon.watch(StartAt::Now).await;
    let asked = daemon.ask("Deploy?").await;
    watch.event().await;
    assert!(daemon.terminate().await.success());
    {
        let foreign = daemon.foreign();
        foreign.respond(asked.id, "yes");
        foreign.insert("Meanwhile");
    }
    daemon.restart().await;
    let expected = [
        change(ChangeKind::Responded, asked.id, "Deploy?"),
        change(ChangeKind::Created, asked.id + 1, "Meanwhile"),
    ];
    assert_eq!(told(&mut watch, 2).await, expected);
}

/// One connection for each operation, as the older tooling does it: the last connection that closes checkpoints and deletes the log,
/// unless the daemon's locks say that somebody else is there.
#[tokio::test]
async fn connections_that_come_and_go_beside_the_daemon_lose_nothing() {
    const ROUNDS: usize = 60;
    let mut daemon = TestDaemon::start().await;
    let mut watch = daemon.watch(StartAt::Now).await;
    let database = daemon.home().database();
    let direct = beside(move || {
        for round in 0..ROUNDS {
            let foreign = Foreign::open(&database);
            let id = foreign.insert(&format!("direct {round}"));
            foreign.respond(id, "yes");
        }
    });
    let served = async {
        for round in 0..ROUNDS {
            let id = daemon.ask(&format!("served {round}")).await.id;
            daemon.respond(id, "yes").await.expect("answered");
        }
    };
    tokio::join!(direct, served);
    watch.events(4 * ROUNDS).await;
    daemon.kill().await;
    daemon.restart().await;
    let all = crate::support::every(daemon.client()).await;
    assert_eq!(all.len(), 2 * ROUNDS);
    let responded = |state| state == NotificationState::Responded;
    assert!(all.iter().all(|one| responded(one.state())));
}

#[tokio::test]
async fn words_and_values_outside_the_vocabulary_are_served_and_harm_nothing() {
    let daemon = TestDaemon::start().await;
    let mut watch = daemon.watch(StartAt::Now).await;
    let foreign = daemon.foreign();
    foreign.run(
        "INSERT INTO notifications (type, priority, title, message, context, status, created_at, updated_at)
             VALUES ('approval_request', 'urgent!', 'Odd', x'fffe', 'not json', 'snoozed', 'yesterday', 17);
         INSERT INTO notifications (type, priority, title, message, context, status, created_at, updated_at)
             VALUES ('', '', '', '', '', '', '', '');
         INSERT INTO notifications (type, priority, title, message, status, created_at, updated_at, tags, options, expires_at)
             VALUES (1.5, 2, 3, 4, 5, '0000-00-00', '9999-99-99', '{', '[{\"name\": 3}]', 'never')",
    );
    let seen = watch.events(3).await;
    let odd = daemon.get(1).await;
    assert_eq!(seen[0].notification.as_ref(), Some(&odd));
    assert_eq!(
        (odd.r#type, odd.custom_type.as_str()),
        (0, "approval_request")
    );
    assert_eq!((odd.priority, odd.custom_priority.as_str()), (0, "urgent!"));
    assert_eq!((odd.state, odd.custom_state.as_str()), (0, "snoozed"));
    assert_eq!(odd.context, "not json");
    assert_eq!((odd.create_time, odd.update_time), (None, None));
    assert_eq!(crate::support::every(daemon.client()).await.len(), 3);
    let mut snapshot = daemon.watch(StartAt::Snapshot).await;
    assert_eq!(snapshot.snapshot().await.len(), 3);
    for id in 1..=3 {
        soon(daemon.client().list_notification_events(id))
            .await
            .expect("a history");
    }
}
