//! The files under the daemon: full, moved, replaced.

use barista_client::pb::notification::v1::StartAt;
use barista_client::{Code, Error, ErrorReason};

use crate::support::{TestDaemon, every, question, soon};

#[tokio::test]
async fn on_a_nearly_full_disk_writing_stops_and_reading_goes_on() {
    let mut daemon = TestDaemon::start().await;
    let asked = daemon.ask("Deploy?").await;
    assert!(daemon.terminate().await.success());
    // More than any disk of a test machine has left.
    let config = daemon.home().data_dir().join("barista.toml");
    std::fs::write(&config, "[storage]\nmin_free_disk_bytes = '1 TiB'").expect("a configuration");
    daemon.restart().await;
    let status = soon(daemon.client().get_status()).await.expect("a status");
    if status.databases[0].disk_available_bytes >= 1 << 40 {
        return; // A disk so large cannot be made to seem full.
    }
    let error = soon(daemon.client().create_notification(question("No room")))
        .await
        .expect_err("full");
    assert_eq!(error.reason(), ErrorReason::DiskFull);
    let code = error.rpc().map(|rpc| rpc.code);
    assert_eq!(code, Some(Code::ResourceExhausted));
    assert!(error.retry_after().is_some());
    assert_eq!(every(daemon.client()).await, [asked]);
    let status = soon(daemon.client().get_status()).await.expect("a status");
    assert!(!status.databases[0].writable);
    assert!(!status.databases[0].unwritable_reason.is_empty());
}

/// Writing into a file that has lost its name is writing into the void.
///
/// Fails when `look_around` does not ask whether the files are still there.
#[tokio::test]
async fn a_database_that_was_moved_away_takes_no_more_writes() {
    let mut daemon = TestDaemon::configured("[storage]\nfile_check_interval = '100ms'").await;
    let asked = daemon.ask("Before").await;
    let database = daemon.home().database();
    let elsewhere = daemon.home().path().join("moved.db");
    std::fs::rename(&database, &elsewhere).expect("moved");
    let error = soon(async {
        loop {
            let attempt = daemon
                .client()
                .create_notification(question("Into the void?"));
            if let Err(error) = attempt.await {
                return error;
            }
        }
    })
    .await;
    assert_eq!(error.reason(), ErrorReason::DatabaseUnavailable);
    assert!(error.to_string().contains("notifications.db"), "{error}");
    assert_eq!(daemon.get(asked.id).await, asked, "reading goes on");
    std::fs::rename(&elsewhere, &database).expect("moved back");
    let back = soon(async {
        loop {
            if let Ok(created) = daemon.client().create_notification(question("Back")).await {
                return created;
            }
        }
    })
    .await;
    daemon.kill().await;
    daemon.restart().await;
    assert_eq!(daemon.get(back.id).await, back);
    let mut watch = daemon.watch(StartAt::Oldest).await;
    watch.through(back.sequence).await;
}

/// How a file goes.
#[derive(Debug, Clone, Copy)]
enum Loss {
    Deleted,
    Replaced,
}

/// Creates until the daemon refuses to; returns how many it has acknowledged, and why it refused.
async fn until_refused(daemon: &TestDaemon) -> (usize, Error) {
    soon(async {
        for acknowledged in 0.. {
            let attempt = daemon.client().create_notification(question("Going on"));
            if let Err(error) = attempt.await {
                return (acknowledged, error);
            }
        }
        unreachable!("a refusal, or a hang")
    })
    .await
}

/// Fails when `Open::still_there` leaves one of the files out.
#[tokio::test]
async fn when_a_file_is_deleted_or_replaced_writing_stops_and_nothing_is_lost() {
    for (end, loss) in [
        ("", Loss::Deleted),
        ("", Loss::Replaced),
        ("-wal", Loss::Deleted),
        ("-wal", Loss::Replaced),
        ("-shm", Loss::Deleted),
    ] {
        let daemon = TestDaemon::configured("[storage]\nfile_check_interval = '100ms'").await;
        let before = every(daemon.client()).await.len();
        let file = format!("{}{end}", daemon.home().database().display());
        // A second name, so that the test can put the file back.
        let kept = daemon.home().path().join("kept");
        std::fs::hard_link(&file, &kept).expect("a second name");
        std::fs::remove_file(&file).expect("deleted");
        if let Loss::Replaced = loss {
            std::fs::write(&file, "something else").expect("replaced");
        }
        let (acknowledged, error) = until_refused(&daemon).await;
        let reason = error.reason();
        assert_eq!(reason, ErrorReason::DatabaseUnavailable, "{end} {loss:?}");
        assert!(error.to_string().contains("notifications.db"), "{error}");
        std::fs::rename(&kept, &file).expect("put back");
        let created = soon(async {
            loop {
                let attempt = daemon.client().create_notification(question("Back"));
                if let Ok(created) = attempt.await {
                    return created;
                }
            }
        })
        .await;
        let all = every(daemon.client()).await;
        assert_eq!(all.len(), before + acknowledged + 1, "{end} {loss:?}");
        assert_eq!(all.last(), Some(&created));
    }
}

#[tokio::test]
async fn an_orderly_end_leaves_one_file_that_any_tool_can_read() {
    let daemon = TestDaemon::start().await;
    for number in 0..20 {
        daemon.ask(&number.to_string()).await;
    }
    assert!(daemon.terminate().await.success());
    let log = format!("{}-wal", daemon.home().database().display());
    let length = std::fs::symlink_metadata(log).map_or(0, |found| found.len());
    assert_eq!(length, 0, "the log is in the file");
    let count = daemon
        .foreign()
        .number("SELECT count(*) FROM notifications");
    assert_eq!(count, 20);
}

/// Whoever has an answer from the daemon finds it in the file with any tool, at once.
#[tokio::test]
async fn what_is_acknowledged_is_committed() {
    let daemon = TestDaemon::start().await;
    let foreign = daemon.foreign();
    for count in 1..=200 {
        daemon.ask(&count.to_string()).await;
        let found = foreign.number("SELECT count(*) FROM notifications");
        assert_eq!(found, count);
    }
}
