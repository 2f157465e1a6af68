//! When writes are refused, and when they are taken again.

use super::*;

/// How long something may take that should happen at once; it only ends a test that would hang.
const HANG: Duration = Duration::from_secs(60);

/// Creates until that works again.
async fn until_taken(bench: &Bench, title: &str) {
    let taken = async {
        while bench.create(title).await.is_err() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(HANG, taken)
        .await
        .expect("writes are taken again");
}

/// Creates until that is refused, and returns why.
async fn until_refused(bench: &Bench) -> Error {
    let refused = async {
        loop {
            match bench.create("into the void").await {
                Ok(_) => tokio::task::yield_now().await,
                Err(error) => break error,
            }
        }
    };
    tokio::time::timeout(HANG, refused)
        .await
        .expect("writes are refused")
}

#[tokio::test]
async fn a_write_behind_a_foreign_lock_fails_at_its_deadline_and_succeeds_when_the_lock_is_gone() {
    let bench = Bench::open();
    let foreign = bench.foreign();
    foreign.execute_batch("BEGIN IMMEDIATE").expect("the lock");
    let soon = Some(Instant::now() + Duration::from_millis(50));
    let refused = bench.create_before("too late", soon).await;
    assert!(
        matches!(refused, Err(Error::DatabaseBusy { .. })),
        "{refused:?}"
    );
    assert!(
        bench.store.count_open(10).await.is_ok(),
        "readers are not affected"
    );
    let (created, ()) = tokio::join!(bench.create("patient"), async {
        tokio::task::yield_now().await;
        foreign.execute_batch("COMMIT").expect("a commit");
    });
    assert_eq!(created.expect("created").title, "patient");
    assert_eq!(bench.store.count_open(10).await.expect("a count"), 1);
}

#[tokio::test]
async fn a_store_that_hurries_does_not_wait_for_a_lock() {
    let bench = Bench::open();
    let foreign = bench.foreign();
    foreign.execute_batch("BEGIN IMMEDIATE").expect("the lock");
    let (refused, ()) = tokio::join!(bench.create("waiting"), async { bench.store.hurry() });
    assert!(
        matches!(refused, Err(Error::DatabaseBusy { .. })),
        "{refused:?}"
    );
    foreign.execute_batch("COMMIT").expect("a commit");
    bench.create("after").await.expect("writes are still taken");
}

#[tokio::test]
async fn a_full_queue_refuses_at_once() {
    let bench = Bench::open();
    let foreign = bench.foreign();
    foreign.execute_batch("BEGIN IMMEDIATE").expect("the lock");
    let writes = (0..400).map(|_| bench.create("queued"));
    let mut writes: Vec<_> = writes.map(Box::pin).collect();
    let mut refused = 0;
    for write in &mut writes {
        if let std::task::Poll::Ready(Err(Error::QueueFull { .. })) = futures_util::poll!(write) {
            refused += 1;
        }
    }
    assert!(refused > 0);
    foreign.execute_batch("COMMIT").expect("a commit");
}

#[tokio::test]
async fn a_nearly_full_disk_refuses_writes_and_goes_on_reading() {
    let bench = Bench::open();
    bench.create("before").await.expect("created");
    bench.disk.store(10, Ordering::SeqCst);
    let refused = bench.create("no space").await;
    assert!(
        matches!(refused, Err(Error::DiskFull { available: 10 })),
        "{refused:?}"
    );
    assert_eq!(bench.store.count_open(10).await.expect("a count"), 1);
    bench.disk.store(u64::MAX, Ordering::SeqCst);
    until_taken(&bench, "space again").await;
}

/// Fails when `look_around` does not ask whether the files are still there, or does not take writes again once they are back.
#[tokio::test]
async fn a_moved_file_stops_writes_until_it_is_back() {
    for file in [
        DatabaseFile::Main,
        DatabaseFile::Wal,
        DatabaseFile::SharedMemory,
    ] {
        let bench = Bench::open();
        bench.create("before").await.expect("created");
        let (here, away) = (
            bench.database.path_of(file),
            bench.directory.path().join("away"),
        );
        std::fs::rename(&here, &away).expect("a move");
        let refused = until_refused(&bench).await;
        let name = here.display().to_string();
        assert!(
            matches!(&refused, Error::DatabaseUnavailable { reason } if reason.contains(&name)),
            "{refused:?}"
        );
        std::fs::rename(&away, &here).expect("a move back");
        until_taken(&bench, "after").await;
    }
}
