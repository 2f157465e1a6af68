//! Connecting, calls and waits.

use std::os::unix::net::UnixListener;
use std::time::Duration;

use barista_client::pb::admin::v1::ServerInfo;
use barista_client::pb::notification::v1::{
    CreateNotificationRequest, Notification, NotificationState,
};
use barista_client::{Client, Error, ErrorReason, WaitNotice, WaitOutcome};
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};

use crate::daemon::{Daemon, Home, soon};

/// An error as the daemon makes them.
pub(crate) fn error(code: Code, reason: &str) -> Status {
    Status::with_error_details(
        code,
        "the test says so",
        ErrorDetails::with_error_info(reason, "barista", []),
    )
}

fn notification(id: i64, state: NotificationState) -> Notification {
    Notification {
        id,
        state: state.into(),
        ..Notification::default()
    }
}

fn request(title: &str) -> CreateNotificationRequest {
    CreateNotificationRequest {
        title: title.into(),
        ..CreateNotificationRequest::default()
    }
}

#[tokio::test]
async fn a_call_that_the_daemon_did_not_survive_is_repeated_with_the_same_identity() {
    let home = Home::new();
    let mut first = Daemon::start(&home.socket());
    let client = home.connect().await;
    let call = tokio::spawn(async move { client.create_notification(request("Deploy?")).await });
    let (before, _unanswered) = first.create().await;
    drop(first);
    let mut second = Daemon::start(&home.socket());
    let (after, answer) = second.create().await;
    assert!(!before.request_id.is_empty());
    assert_eq!(after, before);
    answer
        .send(Ok(notification(7, NotificationState::Pending)))
        .expect("the caller waits");
    assert_eq!(soon(call).await.expect("no panic").expect("created").id, 7);
}

#[tokio::test]
async fn an_unknown_commit_is_repeated_and_a_refusal_is_not() {
    let home = Home::new();
    let mut daemon = Daemon::start(&home.socket());
    let client = home.connect().await;
    let call = tokio::spawn(async move { client.create_notification(request("Deploy?")).await });
    let (before, answer) = daemon.create().await;
    answer
        .send(Err(error(Code::Unavailable, "COMMIT_UNKNOWN")))
        .expect("the caller waits");
    let (after, answer) = daemon.create().await;
    assert_eq!(after.request_id, before.request_id);
    answer
        .send(Err(error(Code::InvalidArgument, "INVALID_FIELD")))
        .expect("the caller waits");
    let error = soon(call).await.expect("no panic").expect_err("refused");
    assert_eq!(error.reason(), ErrorReason::InvalidField);
}

#[tokio::test]
async fn a_request_id_of_the_caller_is_kept() {
    let home = Home::new();
    let mut daemon = Daemon::start(&home.socket());
    let client = home.connect().await;
    let mine = CreateNotificationRequest {
        request_id: "mine".into(),
        ..request("Deploy?")
    };
    let call = tokio::spawn(async move { client.create_notification(mine).await });
    let (received, answer) = daemon.create().await;
    assert_eq!(received.request_id, "mine");
    answer
        .send(Ok(notification(1, NotificationState::Pending)))
        .expect("the caller waits");
    soon(call).await.expect("no panic").expect("created");
}

#[tokio::test]
async fn a_daemon_that_never_comes_back_leaves_the_outcome_open() {
    let home = Home::new();
    let mut daemon = Daemon::start(&home.socket());
    let client = soon(Client::connect(
        home.options().call_timeout(Duration::from_millis(300)),
    ))
    .await
    .expect("connected");
    let call = tokio::spawn(async move { client.create_notification(request("Deploy?")).await });
    let (_, _unanswered) = daemon.create().await;
    drop(daemon);
    let error = soon(call)
        .await
        .expect("no panic")
        .expect_err("nobody answers");
    assert!(matches!(error, Error::Disconnected { .. }), "{error}");
    assert!(
        error
            .to_string()
            .contains("may or may not have been stored"),
        "{error}"
    );
}

#[tokio::test]
async fn a_call_without_an_answer_ends_at_its_limit() {
    let home = Home::new();
    let mut daemon = Daemon::start(&home.socket());
    let client = soon(Client::connect(
        home.options().call_timeout(Duration::from_millis(100)),
    ))
    .await
    .expect("connected");
    let call = tokio::spawn(async move { client.create_notification(request("Deploy?")).await });
    let (_, _unanswered) = daemon.create().await;
    let error = soon(call).await.expect("no panic").expect_err("no answer");
    assert_eq!(error.reason(), ErrorReason::DeadlineExceeded);
}

#[tokio::test]
async fn a_wait_goes_on_after_a_restart() {
    let home = Home::new();
    let mut first = Daemon::start(&home.socket());
    let client = home.connect().await;
    let wait = tokio::spawn(async move { client.wait(7, None).await });
    let (asked, _unanswered) = first.wait().await;
    assert_eq!(
        (asked.id, asked.timeout.map(|timeout| timeout.seconds)),
        (7, Some(50))
    );
    drop(first);
    let mut second = Daemon::start(&home.socket());
    let (_, answer) = second.wait().await;
    answer
        .send(Err(error(Code::Unavailable, "SHUTTING_DOWN")))
        .expect("the caller waits");
    let (_, answer) = second.wait().await;
    answer
        .send(Ok(notification(7, NotificationState::Pending)))
        .expect("the caller waits");
    let (_, answer) = second.wait().await;
    answer
        .send(Ok(notification(7, NotificationState::Responded)))
        .expect("the caller waits");
    let outcome = soon(wait).await.expect("no panic").expect("ended");
    assert_eq!(
        outcome,
        WaitOutcome::Ended(notification(7, NotificationState::Responded))
    );
}

#[tokio::test]
async fn a_wait_tells_that_the_daemon_was_stopped_and_that_it_runs_again() {
    let home = Home::new();
    let mut first = Daemon::start_as(&home.socket(), running_as(1));
    let client = home.connect().await;
    let (told, mut notices) = tokio::sync::mpsc::channel(8);
    let wait = tokio::spawn(async move {
        let tell = |notice| told.try_send(notice).expect("the test listens");
        client.wait_telling(7, None, tell).await
    });
    for _ in 0..2 {
        // The daemon that ends still takes connections, and is the same one.
        let (_, answer) = first.wait().await;
        answer
            .send(Err(error(Code::Unavailable, "SHUTTING_DOWN")))
            .expect("the caller waits");
    }
    assert_eq!(soon(notices.recv()).await, Some(WaitNotice::Stopped));
    drop(first);
    let mut second = Daemon::start_as(&home.socket(), running_as(2));
    assert_eq!(soon(notices.recv()).await, Some(WaitNotice::Resumed));
    let (_, answer) = second.wait().await;
    answer
        .send(Ok(notification(7, NotificationState::Responded)))
        .expect("the caller waits");
    soon(wait).await.expect("no panic").expect("ended");
    assert_eq!(soon(notices.recv()).await, None);
}

fn running_as(pid: i32) -> ServerInfo {
    ServerInfo {
        pid,
        protocol_min: 1,
        protocol_max: 1,
        ..ServerInfo::default()
    }
}

#[tokio::test]
async fn a_wait_whose_time_is_up_returns_the_open_notification() {
    let home = Home::new();
    let mut daemon = Daemon::start(&home.socket());
    let client = home.connect().await;
    let wait = tokio::spawn(async move { client.wait(7, Some(Duration::ZERO)).await });
    let (asked, answer) = daemon.wait().await;
    assert_eq!(
        asked
            .timeout
            .map(|timeout| (timeout.seconds, timeout.nanos)),
        Some((0, 0))
    );
    answer
        .send(Ok(notification(7, NotificationState::Read)))
        .expect("the caller waits");
    let outcome = soon(wait).await.expect("no panic").expect("timed out");
    assert_eq!(
        outcome,
        WaitOutcome::TimedOut(notification(7, NotificationState::Read))
    );
}

#[tokio::test]
async fn a_wait_for_nothing_fails_at_once() {
    let home = Home::new();
    let mut daemon = Daemon::start(&home.socket());
    let client = home.connect().await;
    let wait = tokio::spawn(async move { client.wait(7, None).await });
    let (_, answer) = daemon.wait().await;
    answer
        .send(Err(error(Code::NotFound, "NOTIFICATION_NOT_FOUND")))
        .expect("the caller waits");
    let error = soon(wait).await.expect("no panic").expect_err("not found");
    assert_eq!(error.reason(), ErrorReason::NotificationNotFound);
}

#[tokio::test]
async fn a_newer_daemon_says_that_the_client_is_older() {
    let home = Home::new();
    let info = ServerInfo {
        protocol_min: 2,
        protocol_max: 3,
        version: "9.0.0".into(),
        ..ServerInfo::default()
    };
    let _daemon = Daemon::start_as(&home.socket(), info);
    let error = soon(Client::connect(home.options()))
        .await
        .expect_err("refused");
    assert!(
        matches!(
            error,
            Error::ProtocolMismatch {
                client: 1,
                daemon_min: 2,
                daemon_max: 3,
                ..
            }
        ),
        "{error}"
    );
}

#[tokio::test]
async fn a_process_that_listens_and_says_nothing_is_named() {
    let home = Home::new();
    let _silent = UnixListener::bind(home.socket()).expect("a socket");
    let error = soon(Client::connect(
        home.options().connect_timeout(Duration::from_millis(50)),
    ))
    .await;
    let error = error.expect_err("no answer");
    let own = i32::try_from(std::process::id()).expect("a process id");
    assert!(
        matches!(error, Error::Unresponsive { pid: Some(pid), .. } if pid == own),
        "{error}"
    );
}

#[tokio::test]
async fn a_socket_that_nobody_serves_means_not_running() {
    let home = Home::new();
    let missing = soon(Client::connect(home.options()))
        .await
        .expect_err("nobody there");
    assert!(matches!(missing, Error::NotRunning { .. }), "{missing}");
    drop(UnixListener::bind(home.socket()).expect("a socket"));
    let stale = soon(Client::connect(home.options()))
        .await
        .expect_err("nobody there");
    assert!(matches!(stale, Error::NotRunning { .. }), "{stale}");
}

#[tokio::test]
async fn a_socket_file_of_somebody_else_is_refused() {
    let home = Home::new();
    let _daemon = Daemon::start(&home.socket());
    if std::os::unix::fs::chown(home.socket(), Some(54_321), None).is_err() {
        return; // Only root can give files away.
    }
    let error = soon(Client::connect(home.options()))
        .await
        .expect_err("refused");
    assert!(matches!(error, Error::UntrustedSocket { .. }), "{error}");
}
