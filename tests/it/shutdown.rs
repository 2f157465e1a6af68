//! The daemon's orderly end: nobody can hold it up.

use std::io::Write;
use std::os::unix::net::UnixStream;

use barista_client::pb::notification::v1::{
    CreateNotificationRequest, StartAt, WaitNotificationRequest,
};
use rustix::process::Signal;

use crate::support::{TestDaemon, code_and_reason, from, info, soon};

#[tokio::test]
async fn silent_connections_stopped_watchers_and_waits_do_not_hold_it_up() {
    // By default those who do not read get eight seconds to do so.
    let daemon = TestDaemon::configured("[server]\nshutdown_grace = '500ms'").await;
    let socket = daemon.client().socket().to_owned();
    let silent: Vec<UnixStream> = (0..10)
        .map(|_| UnixStream::connect(&socket).expect("connected"))
        .collect();
    let mut half = UnixStream::connect(&socket).expect("connected");
    half.write_all(b"PRI * HTTP/2.0\r\n").expect("written");
    let mut raw = daemon.raw().await;
    let mut stopped = Vec::new();
    for _ in 0..5 {
        let stream = soon(raw.notifications.watch_notifications(from(StartAt::Now)))
            .await
            .expect("a stream");
        stopped.push(stream);
    }
    // Fills the connection of those who do not read.
    let loud = CreateNotificationRequest {
        message: "m".repeat(60_000),
        ..info("Noise")
    };
    for _ in 0..5 {
        let batch = vec![loud.clone(); 50];
        soon(daemon.client().batch_create_notifications(batch))
            .await
            .expect("created");
    }
    let mut waiter = daemon.raw().await;
    let id = 1;
    let timeout = None;
    let wait = tokio::spawn(async move {
        let request = WaitNotificationRequest { id, timeout };
        waiter.notifications.wait_notification(request).await
    });
    soon(async {
        let status = || daemon.client().get_status();
        while status().await.expect("a status").waiters == 0 {}
    })
    .await;
    let status = daemon.terminate().await;
    assert!(status.success(), "{status}: {}", daemon.process().said());
    let error = soon(wait).await.expect("a task").expect_err("it stops");
    assert_eq!(code_and_reason(&error).1, "SHUTTING_DOWN");
    assert!(!socket.exists(), "the socket is removed");
    drop((silent, half, stopped));
}

#[tokio::test]
async fn a_write_that_has_begun_is_finished() {
    let daemon = TestDaemon::start().await;
    let mut raw = daemon.raw().await;
    let writing = tokio::spawn(async move {
        let mut acknowledged = Vec::new();
        while let Ok(created) = raw.notifications.create_notification(info("?")).await {
            acknowledged.extend(created.into_inner().notification.map(|created| created.id));
        }
        acknowledged
    });
    let mut watch = daemon.watch(StartAt::Now).await;
    watch.events(20).await;
    assert!(daemon.terminate().await.success());
    let acknowledged = soon(writing).await.expect("a task");
    let last = acknowledged.last().copied().expect("some");
    let kept = daemon.foreign().number("SELECT max(id) FROM notifications");
    assert!(kept >= last, "{last} was acknowledged, {kept} is the last");
}

/// Another process's lock on the database does not keep the daemon from ending, with a write that still waits for the lock.
#[tokio::test]
async fn a_locked_database_does_not_hold_it_up() {
    let daemon = TestDaemon::configured(
        "[server]\nshutdown_grace = '200ms'\n[storage]\nbusy_timeout = '100ms'\nbusy_attempts = 9",
    )
    .await;
    let foreign = daemon.foreign();
    foreign.run("BEGIN IMMEDIATE");
    let mut raw = daemon.raw().await;
    let waiting =
        tokio::spawn(async move { raw.notifications.create_notification(info("Late")).await });
    soon(async {
        let status = || daemon.client().get_status();
        while status().await.expect("a status").databases[0].busy_retries == 0 {}
    })
    .await;
    let status = daemon.terminate().await;
    assert!(status.success(), "{status}: {}", daemon.process().said());
    assert!(soon(waiting).await.expect("a task").is_err());
    foreign.run("ROLLBACK");
    let count = foreign.number("SELECT count(*) FROM notifications");
    assert_eq!(count, 0, "what was not acknowledged was not written");
}

#[tokio::test]
async fn a_second_signal_ends_it_at_once() {
    let mut daemon = TestDaemon::start().await;
    let mut raw = daemon.raw().await;
    // Somebody who does not read keeps the orderly end waiting.
    let stopped = soon(raw.notifications.watch_notifications(from(StartAt::Now)))
        .await
        .expect("a stream");
    let loud = CreateNotificationRequest {
        message: "m".repeat(60_000),
        ..info("Noise")
    };
    for _ in 0..4 {
        let batch = vec![loud.clone(); 50];
        soon(daemon.client().batch_create_notifications(batch))
            .await
            .expect("created");
    }
    daemon.process().signal(Signal::TERM);
    soon(async { while !daemon.process().said().contains("stopping") {} }).await;
    daemon.process().signal(Signal::INT);
    let status = daemon.process().exit().await;
    assert_eq!(status.code(), Some(130), "{}", daemon.process().said());
    drop(stopped);
    daemon.restart().await;
    assert_eq!(daemon.get(200).await.title, "Noise", "nothing is lost");
}
