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
async fn each_foreign_change_is_one_event_in_order() {
    let bench = Bench::open();
    let foreign = bench.foreign();
    foreign.execute_batch(&insert("one")).expect("an insert");
    foreign
        .execute_batch("UPDATE notifications SET status = 'read' WHERE id = 1")
        .expect("an update");
    foreign
        .execute_batch(
            "INSERT OR REPLACE INTO notifications (id, type, title, message, created_at, updated_at)
             VALUES (1, 'info', 'replaced', 'm', '', '')",
        )
        .expect("a replacement");
    foreign
        .execute_batch("INSERT OR IGNORE INTO notifications (id, type, title, message, created_at, updated_at) VALUES (1, 'info', 'x', 'm', '', '')")
        .expect("nothing");
    foreign
        .execute_batch("UPDATE notifications SET title = 'again', id = 9 WHERE id = 1")
        .expect("an update");
    foreign
        .execute_batch("DELETE FROM notifications")
        .expect("a deletion");
    foreign.execute_batch("VACUUM").expect("a vacuum");
    let expected = [
        (1, ChangeKind::Created),
        (1, ChangeKind::Read),
        (1, ChangeKind::Updated),
        (1, ChangeKind::Deleted),
        (9, ChangeKind::Created),
        (9, ChangeKind::Deleted),
    ];
    assert_eq!(bench.kinds_through(0, 6).await, expected);
    let changes = bench.store.changes_after(0, 10).await.expect("changes");
    let titles: Vec<&str> = changes
        .iter()
        .map(|change| change.notification.title.as_str())
        .collect();
    assert_eq!(
        titles,
        ["one", "one", "replaced", "replaced", "again", "again"]
    );
    assert!(changes.iter().all(|change| change.has_content));
}

#[tokio::test]
async fn the_journal_does_not_believe_the_time_that_a_foreign_row_claims() {
    let bench = Bench::open();
    bench.create("ours").await.expect("created");
    bench
        .foreign()
        .execute_batch(&insert("theirs"))
        .expect("inserted");
    bench.kinds_through(0, 2).await;
    let changes = bench.store.changes_after(0, 10).await.expect("changes");
    let [ours, theirs] = changes.as_slice() else {
        panic!("{changes:?}");
    };
    assert_eq!(ours.time, Some(Still.now()));
    assert!(theirs.time > theirs.notification.create_time, "{theirs:?}");
}

#[tokio::test]
async fn a_hint_is_enough_to_notice_a_foreign_commit_while_the_store_does_not_look() {
    const NEVER: Duration = Duration::from_secs(3_600);
    let bench = Bench::open_with(tempfile::tempdir().expect("a directory"), NEVER);
    bench.store.set_hinted(true);
    bench.store.set_followed(true);
    bench
        .foreign()
        .execute_batch(&insert("one"))
        .expect("inserted");
    bench.store.hint();
    let kinds = bench.kinds_through(0, 1).await;
    assert_eq!(kinds, [(1, ChangeKind::Created)]);
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
async fn words_outside_the_vocabulary_are_served_as_they_are() {
    let bench = Bench::open();
    bench
        .foreign()
        .execute_batch(&insert("odd"))
        .expect("an insert");
    bench.kinds_through(0, 1).await;
    let odd = bench.store.get(1).await.expect("there");
    assert_eq!(odd.kind, Word::Other("approval_request".to_owned()));
    assert_eq!(odd.priority, Word::Other("urgent".to_owned()));
    assert_eq!(
        (odd.state, odd.update_time),
        (Word::Known(State::Pending), None)
    );
    let urgent = ListQuery {
        filter: Filter::default(),
        order: Order::MostUrgentFirst,
        size: 5,
        after: None,
    };
    assert_eq!(
        bench
            .store
            .list(urgent)
            .await
            .expect("a page")
            .notifications
            .len(),
        1
    );
}

#[tokio::test]
async fn a_rebuilt_table_is_watched_again() {
    let bench = Bench::open();
    bench.create("one").await.expect("created");
    let foreign = bench.foreign();
    foreign
        .execute_batch(
            "BEGIN IMMEDIATE;
             CREATE TABLE n2 (id INTEGER PRIMARY KEY AUTOINCREMENT, type TEXT NOT NULL, priority TEXT NOT NULL DEFAULT 'normal',
                 title TEXT NOT NULL, message TEXT NOT NULL, context TEXT, status TEXT NOT NULL DEFAULT 'pending',
                 user_response TEXT, created_at TEXT NOT NULL, updated_at TEXT NOT NULL);
             INSERT INTO n2 SELECT id, type, priority, title, message, context, status, user_response, created_at, updated_at
                 FROM notifications;
             DROP TABLE notifications;
             ALTER TABLE n2 RENAME TO notifications;
             UPDATE notifications SET status = 'dismissed';
             COMMIT;",
        )
        .expect("a rebuild");
    assert_eq!(
        bench.kinds_through(1, 2).await,
        [(1, ChangeKind::Dismissed)]
    );
    foreign.execute_batch(&insert("after")).expect("an insert");
    assert_eq!(bench.kinds_through(2, 3).await, [(2, ChangeKind::Created)]);
    assert_eq!(bench.create("by the daemon").await.expect("created").id, 3);
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
    while bench.create("space again").await.is_err() {
        tokio::task::yield_now().await;
    }
}

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
        let refused = loop {
            match bench.create("into the void").await {
                Ok(_) => tokio::task::yield_now().await,
                Err(error) => break error,
            }
        };
        let name = here.display().to_string();
        assert!(
            matches!(&refused, Error::DatabaseUnavailable { reason } if reason.contains(&name)),
            "{refused:?}"
        );
        std::fs::rename(&away, &here).expect("a move back");
        while bench.create("after").await.is_err() {
            tokio::task::yield_now().await;
        }
    }
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
async fn removed_journal_rows_are_reported_and_never_skipped() {
    let bench = Bench::open();
    for index in 0..5 {
        bench.create(&index.to_string()).await.expect("created");
    }
    bench
        .foreign()
        .execute_batch("DELETE FROM changes WHERE seq <= 2")
        .expect("a deletion");
    let refused = bench.store.changes_after(0, 10).await;
    assert!(
        matches!(&refused, Err(Error::SequenceCompacted { bounds, .. }) if bounds.oldest == 3),
        "{refused:?}"
    );
    assert_eq!(
        bench
            .store
            .changes_after(2, 10)
            .await
            .expect("changes")
            .len(),
        3
    );
}

#[tokio::test]
async fn the_last_row_of_the_journal_stays_so_that_no_sequence_comes_twice() {
    let bench = Bench::open();
    bench.create("one").await.expect("created");
    let two = bench.create("two").await.expect("created");
    let foreign = bench.foreign();
    foreign
        .execute_batch("DELETE FROM changes")
        .expect("deleted");
    let three = bench.create("three").await.expect("created");
    assert_eq!((two.sequence, three.sequence), (2, 3));
    let refused = foreign.execute("INSERT INTO changes (seq) VALUES (9223372036854775807)", []);
    assert!(refused.is_err(), "{refused:?}");
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
