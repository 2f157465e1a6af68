//! The store as a whole: the conformance suite, and what only SQLite and its other users can do.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use barista_locate::{Located, Source};
use rusqlite::Connection;
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

use super::failure::OpenError;
use super::store::{NOTIFICATIONS_FILE, Options, SqliteStore, Surroundings};
use crate::data_dir::{self, DataDir, DatabaseFile, DatabasePath};
use crate::domain::admin::{CheckpointMode, StoreAdmin};
use crate::domain::change::ChangeKind;
use crate::domain::clock::{Clock, Timestamp};
use crate::domain::error::Error;
use crate::domain::notification::draft::Draft;
use crate::domain::notification::filter::{Filter, Order};
use crate::domain::notification::store::{Call, ListQuery, NotificationStore};
use crate::domain::notification::{Notification, NotificationType, Priority, State};
use crate::domain::word::Word;

mod against_the_model;
mod backup;
mod clock;
mod consumer;
mod faults;
mod foreign;
mod refused;
mod retention;

struct Still;

impl Clock for Still {
    fn now(&self) -> Timestamp {
        Timestamp::from_micros(1_760_000_000_000_000).expect("in range")
    }
}

/// A disk space that makes whoever looks at it panic.
const PANIC: u64 = 7;

/// A store on a temporary directory, whose surroundings a test can change.
struct Bench {
    directory: TempDir,
    store: Arc<SqliteStore>,
    disk: Arc<AtomicU64>,
    database: DatabasePath,
}

impl Bench {
    fn open() -> Self {
        Self::open_in(tempfile::tempdir().expect("a temporary directory"))
    }

    fn open_in(directory: TempDir) -> Self {
        Self::open_with(directory, Duration::from_millis(2))
    }

    /// A store that looks for foreign commits every `idle_poll` unless somebody follows the journal and expects one.
    fn open_with(directory: TempDir, idle_poll: Duration) -> Self {
        Self::try_open_in(directory, idle_poll).expect("a store")
    }

    fn try_open_in(directory: TempDir, idle_poll: Duration) -> Result<Self, OpenError> {
        let disk = Arc::new(AtomicU64::new(u64::MAX));
        let free = Arc::clone(&disk);
        let located = Located {
            path: directory.path().join("data"),
            source: Source::Flag,
        };
        let data_dir = DataDir::open(&located, data_dir::Options::default()).expect("a directory");
        let database = data_dir.database(NOTIFICATIONS_FILE).expect("a path");
        let surroundings = Surroundings {
            disk_available: Box::new(move || match free.load(Ordering::SeqCst) {
                PANIC => panic!("a defect outside of every write"),
                free => Ok(free),
            }),
            wal_locks: Box::new(Vec::new),
        };
        let options = Options {
            data_dir,
            path: database.clone(),
            clock: Arc::new(Still),
            surroundings: Arc::new(surroundings),
            queue_capacity: 256,
            batch_writes: 64,
            batch_bytes: 1024 * 1024,
            readers: 2,
            cache_kib: 1024,
            busy_timeout: Duration::from_secs(30),
            busy_attempts: 3,
            followed_poll: Duration::from_millis(2),
            idle_poll,
            look_interval: Duration::from_millis(5),
            checkpoint_frames: 500,
            truncate_frames: 10_000,
            min_free_disk: 1_000,
        };
        let store = Arc::new(SqliteStore::open(options)?);
        Ok(Self {
            directory,
            store,
            disk,
            database,
        })
    }

    /// Closes the store and opens it again.
    fn reopen(self) -> Self {
        let Self {
            directory, store, ..
        } = self;
        assert_eq!(Arc::strong_count(&store), 1, "somebody still holds it");
        drop(store);
        Self::open_in(directory)
    }

    /// A connection such as direct tooling makes.
    fn foreign(&self) -> Connection {
        foreign(self.database.path())
    }

    async fn create(&self, title: &str) -> Result<Notification, Error> {
        self.create_before(title, None).await
    }

    async fn create_before(
        &self,
        title: &str,
        deadline: Option<Instant>,
    ) -> Result<Notification, Error> {
        let draft = Draft {
            request_id: None,
            kind: NotificationType::Question,
            priority: Priority::Normal,
            title: title.to_owned(),
            message: String::new(),
            context: String::new(),
            agent: String::new(),
            session: String::new(),
            project: String::new(),
            tags: Vec::new(),
            options: Vec::new(),
            allow_multiple: false,
            allow_text: false,
            expiration: None,
            default_response: String::new(),
            surface: String::new(),
            owner: None,
        };
        let new = draft.validate(Still.now()).expect("valid");
        let call = Call {
            now: Still.now(),
            deadline,
        };
        self.store
            .create(vec![new], call)
            .await
            .map(|mut created| created.remove(0))
    }

    /// Waits until `head` is published, and returns the kinds of all changes after `after`.
    async fn kinds_through(&self, after: i64, head: i64) -> Vec<(i64, ChangeKind)> {
        let mut published = self.store.head();
        published
            .wait_for(|published| *published >= head)
            .await
            .expect("a store");
        assert_eq!(*published.borrow(), head);
        let changes = self
            .store
            .changes_after(after, 1_000)
            .await
            .expect("changes");
        changes
            .iter()
            .map(|change| (change.notification.id, change.kind))
            .collect()
    }

    fn close(self) -> TempDir {
        self.store.close();
        self.directory
    }
}

fn foreign(path: &Path) -> Connection {
    let connection = Connection::open(path).expect("open");
    connection
        .busy_timeout(Duration::from_secs(30))
        .expect("a timeout");
    connection
}

fn insert(title: &str) -> String {
    format!(
        "INSERT INTO notifications (type, priority, title, message, context, status, created_at, updated_at)
         VALUES ('approval_request', 'urgent', '{title}', 'm', NULL, 'pending', '2025-10-09T12:53:55', 'never');"
    )
}

fn fresh() -> std::future::Ready<(Arc<dyn NotificationStore>, Bench)> {
    let bench = Bench::open();
    std::future::ready((
        Arc::clone(&bench.store) as Arc<dyn NotificationStore>,
        bench,
    ))
}

crate::store::conformance::conformance_tests!(fresh());

#[tokio::test]
async fn what_was_written_is_there_after_a_restart_with_the_same_epoch() {
    let bench = Bench::open();
    let created = bench.create("kept").await.expect("created");
    let before = bench.store.bounds().await.expect("bounds");
    let bench = Bench::open_in(bench.close());
    assert_eq!(bench.store.get(created.id).await.expect("there"), created);
    assert_eq!(bench.store.bounds().await.expect("bounds"), before);
}

#[tokio::test]
async fn what_the_writer_reads_ahead_is_what_a_reader_reads() {
    let bench = Bench::open();
    bench.create("one").await.expect("created");
    bench.store.set_followed(true);
    bench.create("two").await.expect("created");
    let ahead = bench
        .store
        .writer()
        .shared()
        .ahead_after(1, 10)
        .expect("read ahead");
    assert!(bench.store.writer().shared().ahead_after(0, 10).is_none());
    // From further back everything comes from a reader.
    let read = bench.store.changes_after(0, 10).await.expect("read");
    assert_eq!(read.len(), 2);
    assert_eq!(ahead, read[1..]);
}

#[tokio::test]
async fn a_checkpoint_reports_what_sqlite_says() {
    let bench = Bench::open();
    bench.create("one").await.expect("created");
    let truncated = bench
        .store
        .checkpoint("", CheckpointMode::Truncate, None)
        .await
        .expect("done");
    assert!(!truncated.busy);
    assert_eq!(
        (truncated.frames.log, truncated.frames.checkpointed),
        (0, 0)
    );
    bench.create("two").await.expect("created");
    let status = bench.store.status().await.expect("a status").remove(0);
    assert!(status.wal.log > 0 && status.wal_size > 0);
    let reader = bench.foreign();
    reader
        .execute_batch("BEGIN; SELECT * FROM notifications")
        .expect("a snapshot");
    bench.create("three").await.expect("created");
    let pinned = bench
        .store
        .checkpoint(NOTIFICATIONS_FILE, CheckpointMode::Truncate, None)
        .await;
    assert!(pinned.expect("done").busy);
    let refused = bench
        .store
        .checkpoint("other.db", CheckpointMode::Passive, None)
        .await;
    assert!(matches!(refused, Err(Error::InvalidField { .. })));
}

#[tokio::test]
async fn a_job_that_fails_in_a_batch_fails_alone() {
    let bench = Bench::open();
    let foreign = bench.foreign();
    // A constraint of somebody else's making, which the daemon cannot foresee.
    foreign
        .execute_batch(
            "CREATE TRIGGER refuse BEFORE INSERT ON notifications WHEN NEW.title = 'bad'
             BEGIN SELECT raise(ABORT, 'not here'); END;
             CREATE TRIGGER refuse_late AFTER INSERT ON notifications WHEN NEW.title = 'worse'
             BEGIN SELECT raise(FAIL, 'not here, and the row is left behind'); END",
        )
        .expect("a trigger");
    let (one, bad, worse, two) = tokio::join!(
        bench.create("one"),
        bench.create("bad"),
        bench.create("worse"),
        bench.create("two")
    );
    assert!(one.is_ok() && two.is_ok());
    assert!(matches!(bad, Err(Error::Internal(_))));
    assert!(matches!(worse, Err(Error::Internal(_))));
    assert_eq!(bench.store.count_open(10).await.expect("a count"), 2);
    assert_eq!(*bench.store.head().borrow(), 2);
    // The trigger's maker is the only one who has written beside us, however often a batch was undone.
    let status = bench.store.status().await.expect("a status").remove(0);
    assert_eq!(status.foreign_commits, 1);
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn the_kernel_tells_who_holds_the_log() {
    use crate::platform::{WalLockKind, wal_lock_holders};

    let bench = Bench::open();
    bench.create("one").await.expect("created");
    let shared_memory = bench.database.path_of(DatabaseFile::SharedMemory);
    let foreign = bench.foreign();
    foreign
        .execute_batch("BEGIN IMMEDIATE; SELECT * FROM notifications")
        .expect("a transaction");
    let holders = wal_lock_holders(&shared_memory).expect("locks");
    for kind in [WalLockKind::Read, WalLockKind::Write] {
        let held = holders.iter().find(|holder| holder.kind == kind);
        assert!(
            held.is_some_and(|holder| holder.pid == std::process::id()),
            "{holders:?}"
        );
    }
    foreign.execute_batch("COMMIT").expect("a commit");
    let holders = wal_lock_holders(&shared_memory).expect("locks");
    assert!(
        holders
            .iter()
            .all(|holder| holder.kind != WalLockKind::Write),
        "{holders:?}"
    );
}
