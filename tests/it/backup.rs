//! Backups, restores and retention, while the daemon works and when it is killed.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use barista_client::ErrorReason;
use barista_client::pb::admin::v1::{ApplyRetentionRequest, CreateBackupRequest};
use barista_client::pb::notification::v1::{Cursor, StartAt, WatchNotificationsRequest};
use tokio_util::sync::CancellationToken;

use crate::support::{Home, TestDaemon, question, soon};

/// What `baristad --verify` says of a file.
fn verify(home: &Home, path: &str) -> serde_json::Value {
    let verified = home.command().args(["--json", "--verify", path]).output();
    serde_json::from_slice(&verified.expect("it runs").stdout).expect("a report")
}

/// The files in the usual place.
fn backups(home: &Home) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(home.data_dir().join("backups")) else {
        return Vec::new();
    };
    entries
        .map(|entry| entry.expect("an entry").path())
        .collect()
}

/// Makes the database so large that copying it takes a while.
fn grow(daemon: &TestDaemon) {
    let foreign = daemon.foreign();
    foreign.run("CREATE TABLE mine (a)");
    foreign.run("INSERT INTO mine SELECT zeroblob(60000000)");
}

/// Fails when `copy_pages` stops after its first step, or the copy is written under its final name.
#[tokio::test]
async fn a_backup_has_all_that_was_acknowledged_before_while_writers_go_on() {
    let daemon = TestDaemon::start().await;
    grow(&daemon);
    let (stop, acknowledged) = (CancellationToken::new(), Arc::new(AtomicU64::new(0)));
    let mut writers = Vec::new();
    for _ in 0..4 {
        let (client, stop) = (daemon.connect().await, stop.clone());
        let acknowledged = Arc::clone(&acknowledged);
        writers.push(tokio::spawn(async move {
            while !stop.is_cancelled() {
                client
                    .create_notification(question("q"))
                    .await
                    .expect("created");
                acknowledged.fetch_add(1, Ordering::SeqCst);
            }
        }));
    }
    for _ in 0..3 {
        daemon.ask("before").await;
        let before = acknowledged.load(Ordering::SeqCst);
        let mut told = 0;
        let making = daemon
            .client()
            .create_backup(CreateBackupRequest::default(), |_| told += 1);
        let backup = soon(making).await.expect("a backup");
        let found = verify(daemon.home(), &backup.path);
        assert_eq!(found["sound"], true, "{found}");
        assert_eq!(found["sha256"], backup.sha256);
        assert!(found["notifications"].as_u64() > Some(before), "{found}");
        assert!(told > 0, "no progress was told");
        // The writers went on meanwhile.
        assert!(acknowledged.load(Ordering::SeqCst) > before);
    }
    stop.cancel();
    for writer in writers {
        soon(writer).await.expect("a writer");
    }
    daemon.foreign().run("DROP TABLE mine");
}

/// Fails when `DataDir::new_backup` writes the copy under its final name.
#[tokio::test]
async fn a_daemon_that_is_killed_leaves_no_backup_that_looks_good() {
    let mut daemon = TestDaemon::start().await;
    grow(&daemon);
    let client = daemon.connect().await;
    let copying = CancellationToken::new();
    let begun = copying.clone();
    let making = tokio::spawn(async move {
        let request = CreateBackupRequest::default();
        client.create_backup(request, |_| begun.cancel()).await
    });
    soon(copying.cancelled()).await;
    daemon.kill().await;
    if soon(making).await.expect("a task").is_err() {
        let left = backups(daemon.home());
        assert!(
            left.iter()
                .all(|path| !path.to_string_lossy().ends_with(".db")),
            "{left:?}"
        );
    }
    daemon.restart().await;
    let again = daemon
        .client()
        .create_backup(CreateBackupRequest::default(), |_| {});
    soon(again).await.expect("a backup");
    let left = backups(daemon.home());
    assert!(
        left.iter()
            .all(|path| path.to_string_lossy().ends_with(".db")),
        "{left:?}"
    );
    daemon.foreign().run("DROP TABLE mine");
}

/// Fails when the start of the daemon leaves `finish_restore` out.
#[tokio::test]
async fn a_restore_that_was_decided_is_finished_by_the_next_start() {
    let mut daemon = TestDaemon::start().await;
    daemon.ask("kept").await;
    let making = daemon
        .client()
        .create_backup(CreateBackupRequest::default(), |_| {});
    let backup = soon(making).await.expect("a backup");
    daemon.ask("lost").await;
    daemon.kill().await;
    let aside = daemon.home().data_dir().join("replaced-1");
    std::fs::create_dir(&aside).expect("a directory");
    std::fs::copy(&backup.path, aside.join("incoming.db")).expect("a copy");
    daemon.restart().await;
    let gone = soon(daemon.client().get_notification(2)).await;
    assert_eq!(
        gone.expect_err("lost").reason(),
        ErrorReason::NotificationNotFound
    );
    assert_eq!(daemon.get(1).await.title, "kept");
    assert!(aside.join("notifications.db").exists());
    assert!(!aside.join("incoming.db").exists());
}

/// Fails when `DataDir::new_backup` does not ask `backup_target`.
#[tokio::test]
async fn a_path_of_no_use_is_refused_before_anything_is_written() {
    let daemon = TestDaemon::start().await;
    for path in ["relative.db", "/proc/nowhere/a.db", "/"] {
        let request = CreateBackupRequest {
            path: path.to_owned(),
            ..CreateBackupRequest::default()
        };
        let refused = soon(daemon.client().create_backup(request, |_| {})).await;
        let error = refused.expect_err(path);
        assert_eq!(error.reason(), ErrorReason::InvalidField, "{path}: {error}");
    }
    assert!(backups(daemon.home()).is_empty());
}

/// Fails when `journal_cut` does not count the changes.
#[tokio::test]
async fn a_watcher_keeps_its_story_while_the_journal_is_shortened() {
    let config = "[retention]\njournal_max_events = 5\ninterval = \"168h\"\n";
    let mut daemon = TestDaemon::configured(config).await;
    let mut watch = daemon.watch(StartAt::Oldest).await;
    for _ in 0..4 {
        for _ in 0..10 {
            daemon.ask("Deploy?").await;
        }
        for _ in 0..10 {
            watch.event().await;
        }
        let apply = ApplyRetentionRequest { dry_run: false };
        soon(daemon.client().apply_retention(apply))
            .await
            .expect("applied");
    }
    daemon.expect_journal_from(36);
    let cursor = |sequence| WatchNotificationsRequest {
        after: Some(Cursor {
            epoch: String::new(),
            sequence,
        }),
        ..Default::default()
    };
    let refused = daemon.follow_refused(cursor(34)).await;
    assert_eq!(refused.reason(), ErrorReason::SequenceCompacted);
    let mut kept = daemon.follow(cursor(35)).await;
    assert_eq!(kept.event().await.sequence, 36);
}
