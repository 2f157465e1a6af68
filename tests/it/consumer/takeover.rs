//! A newer watch of a consumer takes over from an older one.

use super::*;

#[tokio::test]
async fn a_newer_watch_takes_over_and_the_older_one_ends() {
    let daemon = TestDaemon::start().await;
    add(&daemon, "bell", ConsumerPosition::Oldest).await;
    changes(&daemon, 3).await;
    let mut older = daemon.client().watch_consumer(of("bell"));
    assert_eq!(next(&mut older).await.expect("a change").sequence, 1);
    soon(older.acknowledge(1)).await.expect("durable");
    let mut newer = daemon.client().watch_consumer(of("bell"));
    assert_eq!(started(&mut newer).await, 1);
    // What had been sent before may still be in its hands.
    let ended = loop {
        if let Err(error) = next(&mut older).await {
            break error;
        }
    };
    assert_eq!(ended.reason(), ErrorReason::ConsumerTakenOver);
    assert_eq!(ended.rpc().map(|rpc| rpc.code), Some(Code::Aborted));
    assert_eq!(metadata(&ended, "consumer"), Some("bell"));
    for sequence in [2, 3] {
        assert_eq!(next(&mut newer).await.expect("a change").sequence, sequence);
    }
    // Another consumer is another matter.
    add(&daemon, "other", ConsumerPosition::Oldest).await;
    let mut other = daemon.client().watch_consumer(of("other"));
    assert_eq!(next(&mut other).await.expect("a change").sequence, 1);
    changes(&daemon, 1).await;
    assert_eq!(next(&mut newer).await.expect("a change").sequence, 4);
}

/// It sleeps, as a laptop does, while the daemon restarts and another watcher takes its place and goes on.
#[tokio::test]
async fn an_older_watch_that_comes_back_after_a_restart_does_not_take_over_again() {
    let mut daemon = TestDaemon::start().await;
    add(&daemon, "bell", ConsumerPosition::Oldest).await;
    changes(&daemon, 3).await;
    let mut older = daemon.client().watch_consumer(of("bell"));
    for sequence in 1..=3 {
        assert_eq!(next(&mut older).await.expect("a change").sequence, sequence);
        soon(older.acknowledge(sequence)).await.expect("durable");
    }
    daemon.kill().await;
    daemon.restart().await;
    let mut newer = daemon.client().watch_consumer(of("bell"));
    assert_eq!(started(&mut newer).await, 3);
    changes(&daemon, 3).await;
    for sequence in 4..=6 {
        assert_eq!(next(&mut newer).await.expect("a change").sequence, sequence);
        soon(newer.acknowledge(sequence)).await.expect("durable");
    }
    let ended = next(&mut older).await.expect_err("a newer one watches");
    assert_eq!(ended.reason(), ErrorReason::ConsumerTakenOver);
    changes(&daemon, 1).await;
    assert_eq!(next(&mut newer).await.expect("a change").sequence, 7);
    soon(newer.acknowledge(7)).await.expect("it has its place");
}

/// The reset tells it to begin anew; that must not end the watch that began after the reset.
#[tokio::test]
async fn an_older_watch_that_comes_back_after_a_reset_does_not_take_over_again() {
    let mut daemon = TestDaemon::start().await;
    add(&daemon, "bell", ConsumerPosition::Oldest).await;
    changes(&daemon, 2).await;
    let mut older = daemon.client().watch_consumer(of("bell"));
    assert_eq!(next(&mut older).await.expect("a change").sequence, 1);
    daemon.kill().await;
    daemon.restart().await;
    reset(&daemon, "bell", To::After(at(1))).await;
    let mut newer = daemon.client().watch_consumer(of("bell"));
    assert_eq!(next(&mut newer).await.expect("a change").sequence, 2);
    let late = soon(older.acknowledge(1)).await;
    let late = late.expect_err("a newer one watches");
    assert_eq!(late.reason(), ErrorReason::ConsumerTakenOver);
    soon(newer.acknowledge(2)).await.expect("it has its place");
}

#[tokio::test]
async fn a_watch_that_cannot_begin_ends_nobody_elses() {
    let mut daemon = TestDaemon::start().await;
    add(&daemon, "bell", ConsumerPosition::Oldest).await;
    changes(&daemon, 6).await;
    acknowledge(daemon.client(), "bell", 5)
        .await
        .expect("taken");
    daemon.foreign().run("DELETE FROM changes WHERE seq <= 4");
    daemon.expect_journal_from(5);
    let mut watch = daemon.client().watch_consumer(of("bell"));
    assert_eq!(next(&mut watch).await.expect("a change").sequence, 6);
    for (sequence, reason) in [
        (99, ErrorReason::UnknownCursor),
        (1, ErrorReason::SequenceCompacted),
        (-1, ErrorReason::InvalidField),
    ] {
        let elsewhere = WatchNotificationsRequest {
            after: Some(at(sequence)),
            ..of("bell")
        };
        let error = refused(&daemon, elsewhere).await;
        assert_eq!(error.reason(), reason);
        assert_eq!(metadata(&error, "consumer"), None, "its place is fine");
    }
    soon(watch.acknowledge(6)).await.expect("it has its place");
    changes(&daemon, 1).await;
    assert_eq!(next(&mut watch).await.expect("a change").sequence, 7);
}

/// The daemon has changes at hand for it that nobody reads: its stream must end all the same, and not send them first.
#[tokio::test]
async fn a_watcher_with_a_long_backlog_is_taken_over_at_once() {
    const CHANGES: i64 = 300;
    let daemon = TestDaemon::start().await;
    add(&daemon, "bell", ConsumerPosition::Oldest).await;
    let mut older = daemon.client().watch_consumer(of("bell"));
    started(&mut older).await;
    let mut all = daemon.watch(StartAt::Oldest).await;
    for _ in 0..CHANGES / 100 {
        let batch = (0..100).map(|number| {
            let mut info = info(&number.to_string());
            info.message = "m".repeat(20_000);
            info
        });
        soon(daemon.client().batch_create_notifications(batch.collect()))
            .await
            .expect("created");
    }
    all.through(CHANGES).await;
    let mut newer = daemon.client().watch_consumer(of("bell"));
    started(&mut newer).await;
    let mut seen = 0;
    let ended = loop {
        match next(&mut older).await {
            Ok(event) => seen = event.sequence,
            Err(error) => break error,
        }
    };
    assert_eq!(ended.reason(), ErrorReason::ConsumerTakenOver);
    assert!(seen < CHANGES, "it was sent everything before it ended");
}
