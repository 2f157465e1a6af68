//! Two processes at one file: the three scenarios of the decision that Barista grew from, and what it makes of them.

use std::sync::mpsc::sync_channel;
use std::time::Duration;

use barista_client::pb::notification::v1::StartAt;
use barista_client::{Code, ErrorReason, WatchItem};

use crate::support::{Foreign, TestDaemon, beside, every, question, soon, titles};

/// A daemon that says soon that it has met a lock, and then goes on trying for long.
const OUTSPOKEN: &str = "[storage]\nbusy_timeout = '100ms'\nbusy_attempts = 9\n";

/// Scenario 1: one reads while another writes; neither waits.
#[tokio::test]
async fn a_reader_and_a_writer_do_not_wait_for_each_other() {
    let daemon = TestDaemon::start().await;
    let foreign = daemon.foreign();
    let before = daemon.ask("Before").await;
    // Direct tooling reads, in a transaction that stays open, while the daemon writes.
    foreign.run("BEGIN");
    let count = "SELECT count(*) FROM notifications";
    assert_eq!(foreign.number(count), 1);
    let during = daemon.ask("During").await;
    assert_eq!(foreign.number(count), 1, "its snapshot stays as it was");
    foreign.run("COMMIT");
    assert_eq!(foreign.number(count), 2);
    // Direct tooling writes, in a transaction that stays open, while the daemon reads.
    foreign.run("BEGIN IMMEDIATE");
    foreign.insert("Not committed");
    assert_eq!(every(daemon.client()).await, [before, during]);
    foreign.run("COMMIT");
    assert_eq!(every(daemon.client()).await.len(), 3);
}

/// Scenario 2: two write at the same time; both succeed, the second after the first.
#[tokio::test]
async fn of_two_writers_the_second_waits_and_both_succeed() {
    let daemon = TestDaemon::configured(OUTSPOKEN).await;
    let mut watch = daemon.watch(StartAt::Now).await;
    let foreign = daemon.foreign();
    foreign.run("BEGIN IMMEDIATE");
    let first = foreign.insert("First");
    let client = daemon.connect().await;
    let waiting = tokio::spawn(async move { client.create_notification(question("Second")).await });
    until_locked_out(&daemon).await;
    assert!(!waiting.is_finished());
    foreign.run("COMMIT");
    let second = soon(waiting).await.expect("a task").expect("created");
    assert!(second.id > first);
    let seen = watch.events(2).await;
    let ids: Vec<i64> = seen
        .into_iter()
        .map(|event| event.notification.expect("a notification").id)
        .collect();
    assert_eq!(ids, [first, second.id]);
}

/// The same from the other side: many small writes by both, and nobody ever sees "database is locked".
#[tokio::test]
async fn two_busy_writers_both_get_through() {
    const EACH: usize = 150;
    let daemon = TestDaemon::start().await;
    let mut watch = daemon.watch(StartAt::Now).await;
    let database = daemon.home().database();
    let direct = beside(move || {
        let foreign = Foreign::open(&database);
        for number in 0..EACH {
            foreign.insert(&format!("direct {number}"));
        }
    });
    let served = async {
        for number in 0..EACH {
            daemon.ask(&format!("served {number}")).await;
        }
    };
    tokio::join!(direct, served);
    assert_eq!(watch.events(2 * EACH).await.len(), 2 * EACH);
    assert_eq!(every(daemon.client()).await.len(), 2 * EACH);
}

/// Scenario 3: the lock is held for longer than the caller waits. The caller hears so in time, nothing is written, readers and watchers are
/// unaffected, and then everything goes on.
#[tokio::test]
async fn a_lock_beyond_the_callers_deadline_is_a_typed_error_and_no_write() {
    let daemon = TestDaemon::start().await;
    let asked = daemon.ask("Deploy?").await;
    let mut watch = daemon.watch(StartAt::Now).await;
    let foreign = daemon.foreign();
    foreign.run("BEGIN IMMEDIATE");
    let hasty = daemon.hasty(Duration::from_millis(1500)).await;
    let error = soon(async {
        loop {
            let attempt = hasty.create_notification(question("Never"));
            let error = attempt.await.expect_err("locked");
            // On a machine that is overloaded the caller's own clock may come before the daemon's answer.
            if error.reason() != ErrorReason::DeadlineExceeded {
                return error;
            }
        }
    })
    .await;
    assert_eq!(error.reason(), ErrorReason::DatabaseBusy);
    assert_eq!(error.rpc().map(|rpc| rpc.code), Some(Code::Unavailable));
    assert!(error.retry_after().is_some());
    assert_eq!(daemon.get(asked.id).await, asked);
    assert_eq!(titles(&every(daemon.client()).await), ["Deploy?"]);
    foreign.run("ROLLBACK");
    let answered = daemon.respond(asked.id, "yes").await.expect("free again");
    // The next event is the answer: what was refused never comes after all.
    assert_eq!(watch.event().await.notification, Some(answered));
    assert_eq!(every(daemon.client()).await.len(), 1);
}

/// The lock is held for longer than any one attempt of the daemon takes, which is 30 s. Meanwhile direct tooling that waits for 30 s fails.
#[tokio::test]
async fn a_patient_caller_outlasts_a_lock_of_more_than_30_s() {
    let daemon = TestDaemon::start().await;
    // Rule 4 of watching: an idle watch reports its progress, also while nobody can write.
    let mut watch = daemon.watch(StartAt::Now).await;
    let (release, released) = sync_channel::<()>(1);
    let (locked, is_locked) = tokio::sync::oneshot::channel();
    let database = daemon.home().database();
    let holder = tokio::task::spawn_blocking(move || {
        let foreign = Foreign::open(&database);
        foreign.run("BEGIN IMMEDIATE");
        locked.send(()).expect("the test waits");
        released.recv().expect("the test releases it");
        foreign.run("COMMIT");
    });
    soon(is_locked).await.expect("locked");
    let patient = daemon.connect().await;
    let waiting = tokio::spawn(async move { patient.create_notification(question("Late")).await });
    let database = daemon.home().database();
    let legacy = beside(move || {
        let foreign = Foreign::open(&database);
        // Longer than the first attempt of the daemon.
        foreign
            .busy_timeout(Duration::from_secs(33))
            .expect("a busy timeout");
        foreign.execute_batch("BEGIN IMMEDIATE")
    });
    let progress = watch.next();
    let (legacy, progress) = tokio::join!(legacy, progress);
    let error = legacy.expect_err("locked").to_string();
    assert!(error.contains("database is locked"), "{error}");
    assert!(matches!(progress, WatchItem::Progress(_)), "{progress:?}");
    let status = soon(daemon.client().get_status()).await.expect("a status");
    assert!(
        status.databases[0].busy_retries >= 1,
        "the first attempt has failed: {status:?}"
    );
    assert!(!waiting.is_finished(), "the caller still waits");
    release.send(()).expect("the lock is held");
    soon(holder).await.expect("released");
    let late = soon(waiting).await.expect("a task").expect("created");
    assert_eq!(watch.event().await.notification, Some(late));
}

#[tokio::test]
async fn a_full_queue_refuses_at_once() {
    let daemon = TestDaemon::configured(&format!("{OUTSPOKEN}queue_capacity = 1")).await;
    let foreign = daemon.foreign();
    foreign.run("BEGIN IMMEDIATE");
    let create = |title: &str| {
        let (client, request) = (daemon.client().clone(), question(title));
        tokio::spawn(async move { client.create_notification(request).await })
    };
    let tried = create("Being tried");
    until_locked_out(&daemon).await;
    let waits = create("Waits in the queue");
    soon(async {
        while daemon
            .client()
            .get_status()
            .await
            .expect("a status")
            .databases[0]
            .queue_depth
            == 0
        {}
    })
    .await;
    let error = soon(create("One too many"))
        .await
        .expect("a task")
        .expect_err("full");
    assert_eq!(error.reason(), ErrorReason::QueueFull);
    let code = error.rpc().map(|rpc| rpc.code);
    assert_eq!(code, Some(Code::ResourceExhausted));
    assert!(error.retry_after().is_some());
    foreign.run("ROLLBACK");
    for created in [tried, waits] {
        soon(created).await.expect("a task").expect("created");
    }
    let all = every(daemon.client()).await;
    assert_eq!(titles(&all), ["Being tried", "Waits in the queue"]);
}

/// Waits until the daemon has met the lock.
async fn until_locked_out(daemon: &TestDaemon) {
    soon(async {
        loop {
            let status = daemon.client().get_status().await.expect("a status");
            if status.databases[0].busy_retries > 0 {
                return;
            }
        }
    })
    .await;
}
