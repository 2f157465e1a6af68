//! Waiting for an answer.

use std::time::Duration;

use barista_client::pb::notification::v1::{NotificationState, WaitNotificationRequest};
use barista_client::{ErrorReason, WaitOutcome};
use tonic::Code;

use crate::support::{TestDaemon, code_and_reason, soon};

#[tokio::test]
async fn a_wait_returns_with_the_answer() {
    let daemon = TestDaemon::start().await;
    let id = daemon.ask("Deploy?").await.id;
    let waiter = daemon.connect().await;
    let (outcome, answered) = tokio::join!(soon(waiter.wait(id, None)), daemon.respond(id, "yes"));
    let answered = answered.expect("answered");
    assert_eq!(outcome.expect("waited"), WaitOutcome::Ended(answered));
}

/// The daemon subscribes first and reads the state then. The other way round an answer between the two would be lost, and one of these
/// waits, which have no limit of their own that a test would live to see, would hang.
#[tokio::test]
async fn an_answer_at_the_moment_the_wait_begins_is_not_lost() {
    let daemon = TestDaemon::start().await;
    let mut raw = daemon.raw().await;
    let ten_minutes = prost_types::Duration {
        seconds: 600,
        nanos: 0,
    };
    for round in 0..200 {
        let id = daemon.ask(&format!("Round {round}")).await.id;
        let request = WaitNotificationRequest {
            id,
            timeout: Some(ten_minutes),
        };
        let wait = raw.notifications.wait_notification(request);
        let (waited, answered) = tokio::join!(soon(wait), daemon.respond(id, "yes"));
        answered.expect("answered");
        let waited = waited.expect("waited").into_inner().notification;
        assert_eq!(
            waited.expect("it").state(),
            NotificationState::Responded,
            "round {round}"
        );
    }
}

#[tokio::test]
async fn a_wait_whose_time_is_up_returns_the_open_question() {
    let daemon = TestDaemon::start().await;
    let asked = daemon.ask("Anybody?").await;
    let short = Some(Duration::from_millis(50));
    let outcome = soon(daemon.client().wait(asked.id, short))
        .await
        .expect("no error");
    assert_eq!(outcome, WaitOutcome::TimedOut(asked.clone()));
    let at_once = Some(Duration::ZERO);
    let outcome = soon(daemon.client().wait(asked.id, at_once))
        .await
        .expect("no error");
    assert_eq!(outcome, WaitOutcome::TimedOut(asked));
}

#[tokio::test]
async fn a_wait_for_what_is_closed_returns_at_once() {
    let daemon = TestDaemon::start().await;
    let id = daemon.ask("Deploy?").await.id;
    let answered = daemon.respond(id, "yes").await.expect("answered");
    let outcome = soon(daemon.client().wait(id, None)).await.expect("waited");
    assert_eq!(outcome, WaitOutcome::Ended(answered));
}

#[tokio::test]
async fn every_waiter_gets_the_answer() {
    let daemon = TestDaemon::start().await;
    let id = daemon.ask("Deploy?").await.id;
    let waits = (0..50).map(|_| daemon.client().wait(id, None));
    let (outcomes, answered) = tokio::join!(
        soon(futures_util::future::join_all(waits)),
        daemon.respond(id, "yes")
    );
    let ended = WaitOutcome::Ended(answered.expect("answered"));
    for outcome in outcomes {
        assert_eq!(outcome.expect("waited"), ended);
    }
}

#[tokio::test]
async fn an_answer_by_direct_tooling_ends_a_wait_too() {
    let daemon = TestDaemon::start().await;
    let foreign = daemon.foreign();
    let id = foreign.insert("Asked directly");
    let wait = daemon.client().wait(id, None);
    let respond = async { foreign.respond(id, "approve") };
    let (outcome, ()) = tokio::join!(soon(wait), respond);
    let ended = outcome.expect("waited").into_notification();
    assert_eq!(ended.state(), NotificationState::Responded);
    assert_eq!(ended.response.expect("a response").text, "approve");
}

#[tokio::test]
async fn a_wait_for_what_is_deleted_ends_with_not_found() {
    let daemon = TestDaemon::start().await;
    let id = daemon.ask("Deploy?").await.id;
    let foreign = daemon.foreign();
    let wait = daemon.client().wait(id, None);
    let delete = async { foreign.run("DELETE FROM notifications") };
    let (outcome, ()) = tokio::join!(soon(wait), delete);
    let error = outcome.expect_err("deleted");
    assert_eq!(error.reason(), ErrorReason::NotificationNotFound);
}

#[tokio::test]
async fn a_stop_ends_a_wait_as_unavailable_and_the_client_resumes_it() {
    let mut daemon = TestDaemon::start().await;
    let id = daemon.ask("Deploy?").await.id;
    let mut raw = daemon.raw().await;
    let patient = daemon.connect().await;
    let waiting = tokio::spawn(async move { patient.wait(id, None).await });
    let timeout = None;
    let request = WaitNotificationRequest { id, timeout };
    let bare = tokio::spawn(async move { raw.notifications.wait_notification(request).await });
    until_waiters(&daemon, 2).await;
    assert!(daemon.terminate().await.success());
    let status = soon(bare).await.expect("a task").expect_err("it stops");
    let (code, reason) = code_and_reason(&status);
    assert_eq!(
        (code, reason.as_str()),
        (Code::Unavailable, "SHUTTING_DOWN")
    );
    daemon.restart().await;
    let answered = daemon.respond(id, "yes").await.expect("answered");
    let outcome = soon(waiting).await.expect("a task").expect("it resumed");
    assert_eq!(outcome, WaitOutcome::Ended(answered));
}

#[tokio::test]
async fn more_waits_than_allowed_get_a_typed_error() {
    let daemon = TestDaemon::configured("[server]\nmax_watchers = 1").await;
    let id = daemon.ask("Deploy?").await.id;
    let mut raw = daemon.raw().await;
    let client = daemon.connect().await;
    let first = tokio::spawn(async move { client.wait(id, None).await });
    until_waiters(&daemon, 1).await;
    let timeout = None;
    let status = soon(
        raw.notifications
            .wait_notification(WaitNotificationRequest { id, timeout }),
    )
    .await
    .expect_err("one too many");
    let (code, reason) = code_and_reason(&status);
    assert_eq!(
        (code, reason.as_str()),
        (Code::ResourceExhausted, "TOO_MANY_STREAMS")
    );
    daemon.respond(id, "yes").await.expect("answered");
    assert!(soon(first).await.expect("a task").is_ok());
}

/// Waits until the daemon serves so many waits.
async fn until_waiters(daemon: &TestDaemon, count: i32) {
    soon(async {
        while daemon
            .client()
            .get_status()
            .await
            .expect("a status")
            .waiters
            < count
        {
            tokio::task::yield_now().await;
        }
    })
    .await;
}
