//! The daemon ends at one point of its work, for the first time or a later one, and everybody goes on as if nothing had happened.
//!
//! Fails when `store/sqlite/thread.rs` answers the callers, or publishes the head, before the commit, and when
//! `store/sqlite/notification.rs` does not store the request id with what it made. A daemon that does not
//! end at its point fails the test as well.
//!
//! Needs a daemon with the feature `failpoints`: `cargo test -p barista --features failpoints --test it faults`, as `tests/run` does.

use std::os::unix::process::ExitStatusExt;
use std::path::Path;

use rustix::process::Signal;

use crate::support::{Crowd, Home, TestDaemon, is_long};

/// Small enough that checkpoints come all the time.
const CONFIG: &str = "[storage]\ncheckpoint_frames = 20";

/// How often the daemon comes to the point before it ends there.
fn times() -> &'static [u64] {
    if is_long() {
        &[1, 2, 3, 5, 8, 13, 21, 34, 55]
    } else {
        &[1, 6]
    }
}

/// Waits until the daemon has ended at its point, and not in another way.
async fn has_aborted(daemon: &TestDaemon, point: &str) {
    let status = daemon.process().exit().await;
    let aborted = Some(Signal::ABORT.as_raw());
    assert_eq!(status.signal(), aborted, "{point}: {status}");
}

/// A daemon that has served before ends at `point` while everybody is at work.
async fn survives(point: &str) {
    for time in times() {
        let mut daemon = TestDaemon::configured(CONFIG).await;
        let mut crowd = Crowd::gather(&daemon).await;
        daemon.kill().await;
        daemon.spawn_armed(point, *time);
        crowd.write(&daemon);
        has_aborted(&daemon, point).await;
        daemon.restart().await;
        crowd.disperse(&daemon).await;
    }
}

/// A daemon ends at `point` of its very first start, and again at that of the next one.
async fn survives_at_first(point: &str) {
    let home = Home::configured(CONFIG);
    for _ in 0..2 {
        let process = home.spawn_armed(point, 1);
        let status = process.ready().await.expect_err("it ends");
        assert_eq!(status.signal(), Some(Signal::ABORT.as_raw()), "{point}");
    }
    let daemon = TestDaemon::start_in(home).await;
    let mut crowd = Crowd::gather(&daemon).await;
    crowd.write(&daemon);
    crowd.disperse(&daemon).await;
}

/// Makes a test of each point.
macro_rules! points {
    ($survives:ident; $($test:ident: $point:literal),+ $(,)?) => {
        $(
            #[tokio::test]
            async fn $test() {
                $survives($point).await;
            }
        )+
    };
}

points! { survives;
    before_begin: "before-begin",
    after_begin: "begun",
    after_a_spoilt_batch_is_undone: "undone",
    after_a_savepoint: "savepoint",
    after_a_savepoint_is_released: "released",
    before_commit: "before-commit",
    after_commit_and_before_publishing: "committed",
    after_publishing_and_before_the_answer: "published",
    after_the_answer: "answered",
    after_a_watcher_is_told: "told",
    before_a_checkpoint: "before-checkpoint",
    after_a_checkpoint: "checkpointed",
}

/// What a daemon comes to once in its life.
macro_rules! starting_points {
    ($($test:ident: $point:literal),+ $(,)?) => {
        $(
            #[tokio::test]
            async fn $test() {
                let mut daemon = TestDaemon::configured(CONFIG).await;
                let mut crowd = Crowd::gather(&daemon).await;
                crowd.write(&daemon);
                crowd.grow(20).await;
                daemon.kill().await;
                daemon.spawn_armed($point, 1);
                has_aborted(&daemon, $point).await;
                daemon.restart().await;
                crowd.disperse(&daemon).await;
                survives_at_first($point).await;
            }
        )+
    };
}

starting_points! {
    between_the_lock_and_the_socket: "locked",
    between_the_socket_and_the_database: "bound",
    before_the_commit_of_the_start: "opening",
    after_the_commit_of_the_start: "opened",
}

points! { survives_at_first;
    before_the_commit_of_a_migration: "migrating",
}

/// After the migration there is none to be done in the second start, so the daemon ends at this point only once.
#[tokio::test]
async fn after_the_commit_of_a_migration() {
    let home = Home::configured(CONFIG);
    let process = home.spawn_armed("migrated", 1);
    process.ready().await.expect_err("it ends");
    let daemon = TestDaemon::start_in(home).await;
    daemon.ask("Deploy?").await;
}

/// Fails when the code has a point that nobody tries: put one more into any file.
#[test]
fn every_point_is_tried() {
    let tried = include_str!("faults.rs");
    let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("src")];
    let mut found = 0;
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let text = std::fs::read_to_string(&path).unwrap_or_default();
            for point in text.split("failpoint!(\"").skip(1) {
                let point = point.split('"').next().unwrap_or_default();
                found += 1;
                assert!(tried.contains(&format!("\"{point}\"")), "{point}");
            }
        }
    }
    assert!(found > 15, "{found}");
}
