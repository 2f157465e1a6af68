//! A caller gives up while the writer begins: whatever happens first, both agree on what became of the write.

use std::time::{Duration, Instant};

use shuttle::{check_random, future, thread};

use super::*;

const TIMES: usize = 20_000;

/// The caller's deadline has passed when it first looks. Gives what it is told, and whether the writer did the work.
fn race() -> (Result<()>, bool) {
    let (job, pending) = job(0, |_| Ok(()));
    let writer = thread::spawn(move || {
        if !job.claim() {
            assert!(job.is_abandoned());
            return false;
        }
        // Between the two is the commit.
        thread::yield_now();
        job.answer();
        true
    });
    let past = Instant::now()
        .checked_sub(Duration::from_secs(1))
        .expect("a running machine");
    let outcome = future::block_on(pending.outcome(Some(past)));
    (outcome, writer.join().expect("no panic"))
}

/// Runs `check` in many interleavings, where timers exist; none of them but those in the past ever ends.
fn explore(check: impl Fn() + Send + Sync + 'static) {
    let clock = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .expect("a runtime");
    let _entered = clock.enter();
    check_random(check, crate::sync::times(TIMES));
}

/// Fails when `Pending::outcome` says that nothing was written without asking [`Ownership`] first.
#[test]
fn a_caller_that_is_told_that_nothing_was_written_can_rely_on_it() {
    explore(|| match race() {
        // `answer` without `run` has no value: it is the answer all the same.
        (Err(Error::Internal(_)), ran) => assert!(ran),
        (Err(Error::CommitUnknown), ran) => assert!(ran, "the writer had claimed it"),
        (Err(Error::DatabaseBusy { .. }), ran) => assert!(!ran, "taken back, and run"),
        other => panic!("{other:?}"),
    });
}

/// The writer ends without an answer. Fails when `Pending::lost` does not look at who owned the job.
#[test]
fn a_writer_that_vanishes_leaves_no_caller_waiting_or_misled() {
    explore(|| {
        let (job, pending) = job(0, |_| Ok(()));
        let writer = thread::spawn(move || job.claim());
        let outcome = future::block_on(pending.outcome(None));
        match (outcome, writer.join().expect("no panic")) {
            (Err(Error::CommitUnknown), true) | (Err(Error::ShuttingDown), false) => {}
            other => panic!("{other:?}"),
        }
    });
}
