//! Watchers that are slow, stopped, many, or too far behind.

use barista_client::ErrorReason;
use barista_client::pb::notification::v1::{
    CreateNotificationRequest, StartAt, WatchNotificationsRequest,
};

use crate::support::{TestDaemon, from, info, soon};

/// More than the daemon keeps in memory for all watchers together, and more than a connection takes that nobody reads.
const FLOOD: usize = 2_000;

async fn flood(daemon: &TestDaemon) {
    let loud = CreateNotificationRequest {
        message: "m".repeat(10_000),
        ..info("Noise")
    };
    for _ in 0..FLOOD / 100 {
        let batch = vec![loud.clone(); 100];
        soon(daemon.client().batch_create_notifications(batch))
            .await
            .expect("created");
    }
}

#[tokio::test]
async fn rule_08_a_watcher_that_stops_reading_slows_nobody_and_misses_nothing() {
    // At its end the daemon gives the stopped watcher time to read on; here that would be time lost.
    let daemon = TestDaemon::configured("[server]\nshutdown_grace = '100ms'").await;
    let mut raw = daemon.raw().await;
    // Nobody reads this one, ever.
    let stopped = soon(raw.notifications.watch_notifications(from(StartAt::Now)))
        .await
        .expect("a stream");
    let mut slow = daemon.watch(StartAt::Now).await;
    let mut quick = daemon.watch(StartAt::Now).await;
    // The slow one reads nothing during the flood; the quick one reads all of it.
    let (seen, ()) = tokio::join!(quick.events(FLOOD), flood(&daemon));
    assert_eq!(seen.len(), FLOOD);
    let late = slow.events(FLOOD).await;
    assert!(late == seen, "the slow watcher saw something else");
    drop(stopped);
}

#[tokio::test]
async fn a_watcher_that_falls_behind_what_is_kept_is_told_so() {
    let mut daemon = TestDaemon::start().await;
    let mut raw = daemon.raw().await;
    let mut stopped = soon(raw.notifications.watch_notifications(from(StartAt::Now)))
        .await
        .expect("a stream")
        .into_inner();
    flood(&daemon).await;
    let kept = i64::try_from(FLOOD).expect("small");
    daemon
        .foreign()
        .run(&format!("DELETE FROM changes WHERE seq < {kept}"));
    daemon.expect_journal_from(kept);
    let status = soon(async {
        loop {
            match stopped.message().await {
                Ok(Some(_)) => {}
                Ok(None) => panic!("the stream ended without a word"),
                Err(status) => return status,
            }
        }
    })
    .await;
    let (_, reason) = crate::support::code_and_reason(&status);
    assert_eq!(reason, "SEQUENCE_COMPACTED");
}

#[tokio::test]
async fn more_watchers_than_allowed_get_a_typed_error() {
    let daemon = TestDaemon::configured("[server]\nmax_watchers = 1").await;
    let mut first = daemon.watch(StartAt::Now).await;
    let mut second = daemon.client().watch(from(StartAt::Now));
    match soon(second.next()).await {
        Ok(Some(barista_client::WatchItem::Interrupted(error))) => {
            assert_eq!(error.reason(), ErrorReason::TooManyStreams);
            assert!(error.retry_after().is_some());
        }
        other => panic!("{other:?}"),
    }
    daemon.ask("Deploy?").await;
    first.event().await;
}

/// Direct tooling may hold the lock, so that the daemon cannot make durable what it has just shown in a snapshot. The place behind that
/// snapshot is a good one all the same.
#[tokio::test]
async fn the_place_behind_a_snapshot_is_known_while_the_lock_is_held() {
    let config = "[storage]\nfile_check_interval = '60s'\nidle_poll = '60s'\nforeign_poll = '60s'";
    let daemon = TestDaemon::configured(config).await;
    let foreign = daemon.foreign();
    foreign.insert("Written directly");
    foreign.run("BEGIN IMMEDIATE");
    let mut watch = daemon.watch(StartAt::Snapshot).await;
    assert_eq!(watch.snapshot().await.len(), 1);
    let after = WatchNotificationsRequest {
        after: Some(watch.cursor()),
        ..WatchNotificationsRequest::default()
    };
    let mut resumed = daemon.follow(after).await;
    foreign.run("ROLLBACK");
    let asked = daemon.ask("Deploy?").await;
    assert_eq!(resumed.event().await.notification, Some(asked.clone()));
    assert_eq!(watch.event().await.notification, Some(asked));
}
