//! The daemon's sudden end: what it acknowledged is there, once, and everybody goes on where they were.

use std::time::Duration;

use barista_client::WaitOutcome;
use barista_client::pb::notification::v1::StartAt;

use crate::support::{Crowd, Seed, TestDaemon, answer, is_long, soon};

#[tokio::test]
async fn a_killed_daemon_keeps_its_questions_waits_and_watches() {
    let mut daemon = TestDaemon::start().await;
    let mut watch = daemon.watch(StartAt::Now).await;
    let id = daemon.ask("Deploy?").await.id;
    let asker = daemon.connect().await;
    let waiting = tokio::spawn(async move { asker.wait(id, None).await });
    until_waiting(&daemon).await;
    watch.event().await;
    daemon.kill().await;
    daemon.restart().await;
    let answered = daemon.respond(id, "yes").await.expect("answered");
    let outcome = soon(waiting).await.expect("a task").expect("waited");
    assert_eq!(outcome, WaitOutcome::Ended(answered.clone()));
    assert_eq!(watch.event().await.notification, Some(answered));
}

/// Some daemons die while they start, most while they serve, all with writes under way.
///
/// Fails when `store/sqlite/thread.rs` answers the callers, or publishes the head, before the commit, and when `store/sqlite/notification.rs`
/// does not store the request id with what it made.
#[tokio::test]
async fn kills_at_random_moments_lose_nothing_and_double_nothing() {
    let kills = if is_long() { 150 } else { 12 };
    let mut seed = Seed::new();
    let mut daemon = TestDaemon::configured("[storage]\ncheckpoint_frames = 40").await;
    let mut crowd = Crowd::gather(&daemon).await;
    crowd.write(&daemon);
    for kill in 0..kills {
        crowd.grow(seed.below(60)).await;
        daemon.kill().await;
        if seed.below(4) == 0 {
            let time = Duration::from_micros(seed.below(15_000));
            daemon.kill_after(time).await;
        }
        daemon.restart().await;
        if kill % 5 == 4 {
            crowd.answer_one(&daemon).await;
        }
    }
    crowd.disperse(&daemon).await;
}

#[tokio::test]
async fn an_answer_that_was_acknowledged_survives_and_still_wins() {
    let mut daemon = TestDaemon::start().await;
    let id = daemon.ask("Deploy?").await.id;
    let answered = daemon.respond(id, "yes").await.expect("answered");
    daemon.kill().await;
    daemon.restart().await;
    assert_eq!(daemon.get(id).await, answered);
    assert!(daemon.respond(id, "no").await.is_err());
    let again = soon(daemon.client().respond_notification(answer(id, "yes"))).await;
    assert_eq!(again.expect("the same again"), answered);
}

/// Waits until the daemon serves a wait.
async fn until_waiting(daemon: &TestDaemon) {
    let status = || daemon.client().get_status();
    soon(async { while status().await.expect("a status").waiters == 0 {} }).await;
}
