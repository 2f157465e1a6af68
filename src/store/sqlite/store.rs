//! The store: what the domain asks for, handed to the writer or to a reader. The only place where asynchronous code meets blocking code.

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use tokio::sync::watch;

use super::contents::NOTIFICATIONS;
use super::database::Database;
use super::failure::OpenError;
use super::readers::Readers;
use super::writer::Writer;
use super::{journal, list, notification};
use crate::data_dir::{DataDir, DatabasePath};
use crate::domain::admin::{
    CheckpointMode, CheckpointOutcome, DatabaseStatus, IntegrityCheck, IntegrityReport, StoreAdmin,
    WalLock, WriterActivity,
};
use crate::domain::change::{Change, JournalBounds, SharedChange};
use crate::domain::clock::Clock;
use crate::domain::error::{Error, Result};
use crate::domain::notification::Notification;
use crate::domain::notification::draft::NewNotification;
use crate::domain::notification::filter::{Filter, Order};
use crate::domain::notification::store::{
    Call, Expired, ListQuery, Move, NotificationStore, Page, Respond, Snapshot,
};

/// The name of the notifications' file.
pub const NOTIFICATIONS_FILE: &str = "notifications.db";
/// The most bytes of notifications in a snapshot.
const MAX_SNAPSHOT_BYTES: usize = 32 * 1024 * 1024;
/// The most notifications that are read for a snapshot, whether they match or not: it is one transaction, which pins the log.
const MAX_SNAPSHOT_PAGES: usize = 50;

/// What the store asks of the machine around it. Functions, so that a test can fill a disk without doing it.
pub struct Surroundings {
    /// Bytes left on the file system.
    pub disk_available: Box<dyn Fn() -> std::io::Result<u64> + Send + Sync>,
    /// Who holds locks on the write-ahead log.
    pub wal_locks: Box<dyn Fn() -> Vec<WalLock> + Send + Sync>,
}

/// How a store is opened.
#[derive(Clone)]
pub struct Options {
    /// The directory that it lies in, and its backups.
    pub data_dir: DataDir,
    /// The file.
    pub path: DatabasePath,
    /// Where the present comes from.
    pub clock: Arc<dyn Clock>,
    /// The machine around it.
    pub surroundings: Arc<Surroundings>,
    /// How many writes may wait.
    pub queue_capacity: usize,
    /// How many writes go into one transaction.
    pub batch_writes: usize,
    /// About how many bytes of requests go into one transaction, the last one excepted.
    pub batch_bytes: usize,
    /// How many connections read.
    pub readers: usize,
    /// The page cache of each connection, in KiB.
    pub cache_kib: u32,
    /// How long one attempt to begin a transaction waits for another process.
    pub busy_timeout: Duration,
    /// How many attempts there are.
    pub busy_attempts: u32,
    /// How often foreign commits are looked for while somebody follows the journal.
    pub followed_poll: Duration,
    /// How often otherwise.
    pub idle_poll: Duration,
    /// How often it is checked that the file is still the one that was opened, and that there is space.
    pub look_interval: Duration,
    /// Frames in the log from which on it is moved into the file.
    pub checkpoint_frames: i64,
    /// Frames in the log from which on it is truncated.
    pub truncate_frames: i64,
    /// Below this many bytes left on the disk, writes are refused.
    pub min_free_disk: u64,
}

/// Notifications in a SQLite file.
pub struct SqliteStore {
    database: Database,
}

impl SqliteStore {
    /// Opens the file, upgrading it where needed, and starts the writer. Blocks.
    ///
    /// # Errors
    ///
    /// See [`OpenError`]. The file is as it was before.
    pub fn open(options: Options) -> std::result::Result<Self, OpenError> {
        let database = Database::open(options, &NOTIFICATIONS)?;
        Ok(Self { database })
    }

    /// Stops waiting for locks that other processes hold: the daemon is about to stop, and nothing has run yet. Writes are still taken.
    pub fn hurry(&self) {
        self.database.hurry();
    }

    /// Ends the writer after the writes that wait already, and closes the file. Blocks, for as long as those writes take.
    pub fn close(&self) {
        self.database.close();
    }

    /// Says whether [`SqliteStore::hint`] will be called for each write to the log. Otherwise the writer looks for commits by other programs
    /// all the time while somebody follows the journal.
    pub fn set_hinted(&self, hinted: bool) {
        self.writer().set_hinted(hinted);
    }

    /// Says that somebody has written to the log: a commit by another program may come.
    pub fn hint(&self) {
        self.writer().hint();
    }

    pub(super) fn database(&self) -> &Database {
        &self.database
    }

    /// How many signs of life the writer has given so far, and will have given more soon if it is not stuck: it is asked for one. Whether it
    /// writes, waits for another process's lock or has nothing to do makes no difference.
    pub fn signs_of_life(&self) -> u64 {
        self.writer().signs()
    }

    pub(super) fn writer(&self) -> &Writer {
        self.database.writer()
    }

    pub(super) fn readers(&self) -> &Readers {
        self.database.readers()
    }

    pub(super) fn epoch_shared(&self) -> Arc<str> {
        Arc::clone(self.database.epoch())
    }

    /// The last sequence that is durable and known to be.
    pub(super) fn published(&self) -> i64 {
        self.database.published()
    }

    /// The bounds of the journal in the transaction of `connection`, as of the published head.
    fn bounds_in(
        epoch: &str,
        head: i64,
        connection: &rusqlite::Connection,
    ) -> rusqlite::Result<JournalBounds> {
        Database::bounds_in(epoch, head, connection, &NOTIFICATIONS)
    }
}

#[async_trait]
impl NotificationStore for SqliteStore {
    async fn create(
        &self,
        notifications: Vec<NewNotification>,
        call: Call,
    ) -> Result<Vec<Notification>> {
        let size = notifications.iter().map(|new| new.draft().size()).sum();
        self.writer()
            .write(call.deadline, size, move |connection| {
                let several = notifications.len() > 1;
                let create = |(index, new): (usize, &NewNotification)| {
                    notification::create(connection, new).map_err(|failure| match failure {
                        super::failure::Failure::Domain(error) if several => {
                            error.within(&format!("requests[{index}]")).into()
                        }
                        other => other,
                    })
                };
                notifications.iter().enumerate().map(create).collect()
            })
            .await
    }

    async fn get(&self, id: i64) -> Result<Notification> {
        let read =
            move |connection: &rusqlite::Connection| Ok(notification::fetch(connection, id)?);
        self.readers()
            .read(read)
            .await?
            .ok_or(Error::NotificationNotFound { id })
    }

    async fn list(&self, query: ListQuery) -> Result<Page> {
        let (epoch, shared) = (self.epoch_shared(), Arc::clone(self.writer().shared()));
        self.readers()
            .read(move |connection| {
                // Before the first read: a page may show more than its cursor says, never less.
                let head = *shared.head.borrow();
                let list::Listed {
                    notifications,
                    next,
                } = list::page(connection, &query)?;
                let bounds = Self::bounds_in(&epoch, head, connection)?;
                Ok(Page {
                    notifications,
                    next,
                    bounds,
                })
            })
            .await
    }

    async fn respond(&self, respond: Respond, call: Call) -> Result<Notification> {
        self.writer()
            .write(call.deadline, respond.text.len(), move |connection| {
                notification::respond(connection, &respond, call)
            })
            .await
    }

    async fn transition(&self, change: Move, call: Call) -> Result<Notification> {
        self.writer()
            .write(call.deadline, 0, move |connection| {
                notification::transition(connection, &change, call)
            })
            .await
    }

    async fn expire_due(&self, limit: usize, call: Call) -> Result<Expired> {
        let now = call.now;
        // Most of the time nothing is due, and then nothing needs to be written.
        let due = self
            .readers()
            .read(move |connection| notification::any_due(connection, now))
            .await?;
        let count = if due {
            let expire = move |connection: &rusqlite::Connection| {
                notification::expire_due(connection, limit, now)
            };
            self.writer().write(call.deadline, 0, expire).await?
        } else {
            0
        };
        let next = self
            .readers()
            .read(move |connection| notification::next_due(connection, now))
            .await?;
        Ok(notification::expired(count, limit, next, now))
    }

    async fn count_open(&self, limit: usize) -> Result<usize> {
        self.readers()
            .read(move |connection| notification::count_open(connection, limit))
            .await
    }

    fn head(&self) -> watch::Receiver<i64> {
        self.writer().shared().head.subscribe()
    }

    fn set_followed(&self, followed: bool) {
        self.writer().set_followed(followed);
    }

    fn epoch(&self) -> &str {
        self.database.epoch()
    }

    async fn bounds(&self) -> Result<JournalBounds> {
        let (epoch, shared) = (self.epoch_shared(), Arc::clone(self.writer().shared()));
        let published = self.published();
        self.readers()
            .read(move |connection| {
                // Not behind what a snapshot has told: its cursor must be known here before it is published.
                let head = published.max(snapshot_head(connection, &shared)?);
                Ok(Self::bounds_in(&epoch, head, connection)?)
            })
            .await
    }

    async fn changes_after(&self, after: i64, limit: usize) -> Result<Vec<SharedChange>> {
        if let Some(changes) = self.writer().shared().ahead_after(after, limit) {
            return Ok(changes);
        }
        let (epoch, head) = (self.epoch_shared(), self.published());
        self.readers()
            .follow(move |connection| {
                journal::changes_after(connection, &epoch, after, head, limit)
            })
            .await
    }

    async fn history(&self, id: i64, after: i64, limit: usize) -> Result<Vec<Change>> {
        let head = self.published();
        self.readers()
            .read(move |connection| journal::history(connection, id, after, head, limit))
            .await
    }

    async fn snapshot(&self, filter: Filter, limit: usize) -> Result<Snapshot> {
        let (epoch, shared) = (self.epoch_shared(), Arc::clone(self.writer().shared()));
        self.readers()
            .read(move |connection| {
                let mut notifications = Vec::new();
                let mut bytes = 0;
                let mut query = ListQuery {
                    filter,
                    order: Order::OldestFirst,
                    size: limit,
                    after: None,
                };
                for _ in 0..MAX_SNAPSHOT_PAGES {
                    let page = list::page(connection, &query)?;
                    bytes += page
                        .notifications
                        .iter()
                        .map(Notification::size)
                        .sum::<usize>();
                    notifications.extend(page.notifications);
                    if notifications.len() > limit || bytes > MAX_SNAPSHOT_BYTES {
                        break;
                    }
                    if page.next.is_none() {
                        let head = snapshot_head(connection, &shared)?;
                        let bounds = Self::bounds_in(&epoch, head, connection)?;
                        return Ok(Snapshot {
                            notifications,
                            bounds,
                        });
                    }
                    query.after = page.next;
                }
                Err(Error::SnapshotTooLarge { limit }.into())
            })
            .await
    }
}

/// The last change that the transaction of `connection` sees. It may be ahead of what is published: the snapshot shows it already, so
/// the watch must continue after it.
fn snapshot_head(
    connection: &rusqlite::Connection,
    shared: &super::writer::Shared,
) -> rusqlite::Result<i64> {
    let seen = journal::last(connection)?;
    Ok(if seen == 0 {
        *shared.head.borrow()
    } else {
        seen
    })
}

#[async_trait]
impl StoreAdmin for SqliteStore {
    fn backend(&self) -> String {
        super::backend_version()
    }

    fn activity(&self) -> &WriterActivity {
        &self.writer().shared().activity
    }

    async fn status(&self) -> Result<Vec<DatabaseStatus>> {
        Ok(vec![self.database.status().await])
    }

    async fn checkpoint(
        &self,
        database: &str,
        mode: CheckpointMode,
        deadline: Option<Instant>,
    ) -> Result<CheckpointOutcome> {
        known(database)?;
        self.writer().checkpoint(mode, deadline).await
    }

    async fn check_integrity(
        &self,
        check: IntegrityCheck,
        deadline: Option<Instant>,
    ) -> Result<IntegrityReport> {
        known(&check.database)?;
        self.database.check_integrity(&check, deadline).await
    }
}

/// Refuses the name of a database that there is not; the empty one means whichever there are.
fn known(database: &str) -> Result<()> {
    if database.is_empty() || database == NOTIFICATIONS_FILE {
        return Ok(());
    }
    let rule = format!("there is no such database; one is: {NOTIFICATIONS_FILE}");
    Err(Error::invalid("database", rule))
}
