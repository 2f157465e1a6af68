//! One database with its writer and its readers, and what is done with it whatever it contains.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use rusqlite::Connection;
use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;

use super::contents::Contents;
use super::failure::{Failure, OpenError};
use super::readers::Readers;
use super::store::{Options, Surroundings};
use super::writer::Writer;
use super::{checkpoint, integrity};
use crate::data_dir::{DataDir, DatabaseFile, DatabasePath};
use crate::domain::admin::{
    DatabaseStatus, IntegrityCheck, IntegrityFinding, IntegrityReport, WalFrames,
};
use crate::domain::change::JournalBounds;
use crate::domain::clock::Timestamp;
use crate::domain::error::Result;

/// How long a check for damage may take where its caller has no deadline: meanwhile the log cannot be reset.
const CHECK_LIMIT: Duration = Duration::from_secs(30);

/// A database that is open.
pub(super) struct Database {
    contents: &'static Contents,
    data_dir: DataDir,
    path: DatabasePath,
    surroundings: Arc<Surroundings>,
    epoch: Arc<str>,
    schema_version: i64,
    writer: Writer,
    readers: Readers,
    /// Held by the one check for damage that runs: each takes a reader, and there are few.
    checking: Mutex<()>,
    /// Held by the one backup that is being made.
    backing_up: Arc<Mutex<()>>,
    min_free_disk: u64,
}

impl Database {
    /// Opens the file, upgrading it where needed, and starts the writer. Blocks.
    pub(super) fn open(
        options: Options,
        contents: &'static Contents,
    ) -> std::result::Result<Self, OpenError> {
        let path = options.path.clone();
        let data_dir = options.data_dir.clone();
        let min_free_disk = options.min_free_disk;
        let surroundings = Arc::clone(&options.surroundings);
        let (size, cache_kib) = (options.readers, options.cache_kib);
        let (writer, opening) = Writer::start(options, contents)?;
        let readers = Readers::new(&path, opening.main, size, cache_kib)?;
        let epoch = opening.epoch.into();
        let schema_version = opening.schema_version;
        Ok(Self {
            contents,
            data_dir,
            path,
            surroundings,
            epoch,
            schema_version,
            writer,
            readers,
            checking: Mutex::new(()),
            backing_up: Arc::default(),
            min_free_disk,
        })
    }

    /// Stops waiting for locks that other processes hold.
    pub(super) fn hurry(&self) {
        self.writer.shared().hurried.store(true, Ordering::Release);
    }

    /// Ends the writer after the writes that wait already, and closes the file. Blocks.
    pub(super) fn close(&self) {
        self.readers.close();
        self.writer.stop();
    }

    pub(super) fn contents(&self) -> &'static Contents {
        self.contents
    }

    pub(super) fn writer(&self) -> &Writer {
        &self.writer
    }

    pub(super) fn readers(&self) -> &Readers {
        &self.readers
    }

    pub(super) fn data_dir(&self) -> &DataDir {
        &self.data_dir
    }

    pub(super) fn backing_up(&self) -> &Arc<Mutex<()>> {
        &self.backing_up
    }

    pub(super) fn epoch(&self) -> &Arc<str> {
        &self.epoch
    }

    /// The bytes of the database with its log, and those that are to be left on the disk.
    pub(super) fn size_and_reserve(&self) -> (u64, u64) {
        let size = self.file_size(DatabaseFile::Main) + self.file_size(DatabaseFile::Wal);
        (size, self.min_free_disk)
    }

    pub(super) fn disk_available(&self) -> std::io::Result<u64> {
        (self.surroundings.disk_available)()
    }

    /// The last sequence that is durable and known to be.
    pub(super) fn published(&self) -> i64 {
        *self.writer.shared().head.borrow()
    }

    /// The bounds of the journal in the transaction of `connection`, as of the published `head`.
    pub(super) fn bounds_in(
        epoch: &str,
        head: i64,
        connection: &Connection,
        contents: &Contents,
    ) -> rusqlite::Result<JournalBounds> {
        Ok(JournalBounds {
            epoch: epoch.to_owned(),
            oldest: (contents.oldest)(connection, head)?,
            head,
        })
    }

    fn file_size(&self, file: DatabaseFile) -> u64 {
        // Only ever `stat`: opening and closing the file anywhere in the process would drop SQLite's locks.
        std::fs::metadata(self.path.path_of(file)).map_or(0, |metadata| metadata.len())
    }

    /// How it is doing.
    pub(super) async fn status(&self) -> DatabaseStatus {
        let head = self.published();
        let contents = self.contents;
        let look = move |connection: &Connection| -> std::result::Result<_, Failure> {
            // Before the first read: a transaction that has begun may not look at the log.
            let extent = checkpoint::extent(connection)?;
            Ok((extent, (contents.oldest)(connection, head)?))
        };
        let read = self.readers.read(look).await;
        let (wal, oldest) = read.unwrap_or((WalFrames::default(), head + 1));
        let shared = self.writer.shared();
        let last_checkpoint = shared.last_checkpoint.load(Ordering::Relaxed);
        DatabaseStatus {
            name: self.contents.file.to_owned(),
            size: self.file_size(DatabaseFile::Main),
            wal_size: self.file_size(DatabaseFile::Wal),
            wal,
            wal_locks: (self.surroundings.wal_locks)(),
            queue_depth: shared.depth.load(Ordering::Relaxed),
            queue_capacity: self.writer.capacity(),
            head,
            oldest,
            commits: shared.commits.load(Ordering::Relaxed),
            writes: shared.writes.load(Ordering::Relaxed),
            foreign_commits: shared.foreign_commits.load(Ordering::Relaxed),
            busy_retries: shared.busy_retries.load(Ordering::Relaxed),
            unwritable: shared.unwritable().map(|reason| reason.to_string()),
            disk_available: (self.surroundings.disk_available)().unwrap_or(0),
            last_checkpoint: (last_checkpoint != 0)
                .then(|| Timestamp::from_micros(last_checkpoint))
                .flatten(),
            schema_version: i32::try_from(self.schema_version).unwrap_or(i32::MAX),
        }
    }

    /// Looks for what is wrong, until `deadline`, or until the call is dropped.
    pub(super) async fn check_integrity(
        &self,
        check: &IntegrityCheck,
        deadline: Option<Instant>,
    ) -> Result<IntegrityReport> {
        let _checking = self.checking.lock().await;
        let end = deadline.unwrap_or_else(|| Instant::now() + CHECK_LIMIT);
        // The thread that reads would go on when nobody waits for it any more.
        let dropped = CancellationToken::new();
        let _guard = dropped.clone().drop_guard();
        let look = integrity::Look {
            contents: self.contents,
            depth: check.depth,
            limit: check.limit,
            now: check.now,
        };
        let stop = move || dropped.is_cancelled() || Instant::now() >= end;
        let seen = self
            .readers
            .read(move |connection| Ok(integrity::examine(connection, look, stop)?))
            .await?;
        let database = self.contents.file;
        let finding = |(kind, text)| IntegrityFinding {
            database: database.to_owned(),
            kind,
            text,
        };
        Ok(IntegrityReport {
            findings: seen.findings.into_iter().map(finding).collect(),
            complete: seen.complete,
            databases: vec![database.to_owned()],
        })
    }
}
