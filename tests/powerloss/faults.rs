//! A disk that refuses: a write or a sync of the store fails, and then the power goes.
//!
//! Whoever is told that a write is stored finds it afterwards, once; whoever is told something else may repeat it; and the store goes
//! on by itself when the disk does.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use barista::domain::error::Error;
use barista::domain::notification::Notification;
use barista::domain::notification::store::NotificationStore;
use rusqlite::ffi::{SQLITE_FULL, SQLITE_IOERR_FSYNC, SQLITE_IOERR_WRITE};
use tokio::task::JoinSet;

use crate::chance::Chance;
use crate::ledger::Promise;
use crate::recording::{Fault, Operation, Step, Syncs};
use crate::{Bench, is_long, losses, moments, one, real};

/// Enough for two checkpoints.
const ROUNDS: usize = 12;
/// Writes of so many rounds, and syncs of them.
const WRITES: u64 = 200;
const SYNCS: usize = 16;
/// About how many moments of each history, unless there is time for all of them.
const CUTS: u64 = 8;
/// How often the store is asked whether it works again, for which there is no event.
const PAUSE: Duration = Duration::from_millis(50);

/// What became of one history.
struct Story {
    /// What the callers were told while the disk refused.
    errors: Vec<Error>,
    /// What is lost when the power goes then.
    loss: Option<String>,
    /// Whether the disk came to refuse anything.
    refused: bool,
}

/// Creates a notification, and repeats that until it is acknowledged. The disk is mended after the first error.
async fn insist(
    store: &dyn NotificationStore,
    bench: &Bench,
    title: &str,
    size: usize,
    errors: &mut Vec<Error>,
) -> Notification {
    let request_id = uuid::Uuid::new_v4();
    loop {
        match real::create_as(store, request_id, title, size).await {
            Ok(created) => return created,
            Err(error) => errors.push(error),
        }
        bench.recording.set_fault(None);
        tokio::time::sleep(PAUSE).await;
    }
}

/// Writes on a disk that has `fault`, and cuts the power at many moments.
async fn story(fault: Fault, seed: u64) -> Story {
    let bench = Bench::new(Syncs::Honest);
    let store = Arc::new(real::open(&bench.directory).expect("a store"));
    bench.recording.set_fault(Some(fault));
    let mut errors = Vec::new();
    let mut acknowledged = Vec::new();
    for round in 0..ROUNDS {
        let title = format!("round {round}");
        let created = insist(&*store, &bench, &title, round % 4 * 1500, &mut errors).await;
        let promise = Promise::Stored(Box::new(created.clone()));
        bench.recording.promised(promise);
        acknowledged.push(created);
    }
    bench.recording.set_fault(None);
    for (expected, change) in acknowledged.iter().zip(1..) {
        // Every sequence is there once: no write was stored twice, and none was lost.
        assert_eq!(expected.sequence, change, "{fault:?}, {errors:?}");
        let found = store.get(expected.id).await.expect("it is there");
        assert_eq!(&found, expected, "{fault:?}");
    }
    // Not closed: the power goes while it runs.
    let steps = bench.recording.steps();
    let is_refused = |step: &Step| matches!(step, Step::SyncFailed { .. });
    let refused = !errors.is_empty() || steps.iter().any(is_refused);
    let cuts = cuts(&steps, seed);
    let (_, loss) = losses(&steps, &cuts, seed, one).await;
    tokio::task::spawn_blocking(move || store.close())
        .await
        .expect("no panic");
    Story {
        errors,
        loss,
        refused,
    }
}

/// When the power goes: some of the telling moments, and at the end.
fn cuts(steps: &[Step], seed: u64) -> BTreeSet<usize> {
    let mut chance = Chance::of(seed);
    let all = moments(steps, 5, &mut chance);
    if is_long() {
        return all;
    }
    let of = u64::try_from(all.len()).expect("a length");
    let end = steps.len();
    let is_chosen = |moment: &usize| *moment == end || chance.below(of) < CUTS;
    all.into_iter().filter(is_chosen).collect()
}

/// All stories at once: each waits for seconds until its store opens the database again.
async fn stories(faults: Vec<Fault>) -> Vec<Error> {
    let seed = Chance::seed();
    let mut running = JoinSet::new();
    let count = faults.len();
    for fault in faults {
        running.spawn(async move { (fault, story(fault, seed).await) });
    }
    let (mut errors, mut refused) = (Vec::new(), 0);
    while let Some(ended) = running.join_next().await {
        let (fault, story) = ended.expect("no panic");
        let loss = story.loss;
        assert_eq!(loss, None, "{fault:?}; BARISTA_TEST_SEED={seed}");
        refused += usize::from(story.refused);
        errors.extend(story.errors);
    }
    assert!(refused * 2 > count, "{refused} of {count} faults were met");
    errors
}

/// Fails when `WriterThread::commit` answers although the commit failed: the failed sync has dropped what it was to save.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_failed_sync_nothing_acknowledged_is_lost_and_the_store_recovers() {
    let fault = |after| Fault {
        operation: Operation::Sync,
        after,
        times: 1,
        code: SQLITE_IOERR_FSYNC,
    };
    let errors = stories((0..SYNCS).map(fault).collect()).await;
    let is_typed = |error: &Error| {
        matches!(
            error,
            Error::CommitUnknown | Error::DatabaseUnavailable { .. }
        )
    };
    assert!(errors.iter().all(is_typed), "{errors:?}");
    let is_unknown = |error: &Error| matches!(error, Error::CommitUnknown);
    assert!(errors.iter().any(is_unknown), "{errors:?}");
}

/// Fails when `failure::severity` takes an I/O error for a mistake in a statement.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_failed_write_nothing_acknowledged_is_lost_and_the_store_recovers() {
    let errors = stories(some_writes(1, SQLITE_IOERR_WRITE)).await;
    let is_typed = |error: &Error| {
        matches!(
            error,
            Error::CommitUnknown | Error::DatabaseUnavailable { .. }
        )
    };
    assert!(errors.iter().all(is_typed), "{errors:?}");
}

/// Fails when `WriterThread::commit` treats a full disk as any other error: the outcome is known then, and the connection is sound.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_a_full_disk_callers_are_told_so_and_go_on_when_there_is_space() {
    let errors = stories(some_writes(usize::MAX, SQLITE_FULL)).await;
    let is_typed = |error: &Error| matches!(error, Error::DiskFull { .. });
    assert!(errors.iter().all(is_typed), "{errors:?}");
}

/// Faults of writes, at moments chosen at random.
fn some_writes(times: usize, code: i32) -> Vec<Fault> {
    let mut chance = Chance::of(Chance::seed());
    let count = if is_long() { 100 } else { 12 };
    let fault = |_| Fault {
        operation: Operation::Write,
        after: usize::try_from(chance.below(WRITES)).expect("small"),
        times,
        code,
    };
    (0..count).map(fault).collect()
}
