//! Copying the database while it is in use.
//!
//! SQLite's backup API copies page by page. It begins anew whenever another connection commits between two steps, which under steady writes is for
//! ever; so all steps run inside one read transaction, in which nothing changes. That keeps the log from being reset for as long as copying takes,
//! 4 to 5 s for each GiB on a small machine. `VACUUM INTO` would do so as well, and builds every index anew meanwhile; copying between the batches on the
//! writer's connection would keep every caller waiting instead.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use rusqlite::backup::{Backup as Copying, StepResult};
use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};
use sha2::{Digest, Sha256};
use tokio::sync::{OwnedMutexGuard, watch};
use tokio_util::sync::CancellationToken;

use super::contents::Contents;
use super::database::Database;
use super::failure::{Failure, Severity, severity};
use super::store::SqliteStore;
use crate::data_dir::{NewBackup, PlaceError};
use crate::domain::backup::{Backup, BackupPhase, BackupProgress, BackupRequest, BackupStore};
use crate::domain::clock::Timestamp;
use crate::domain::error::{Error, Result};

/// Pages between two looks at whether to go on: a MiB.
const STEP_PAGES: i32 = 256;

/// What was copied.
struct Copied {
    /// Keeps others out until the work has ended, which may be after its call has.
    running: OwnedMutexGuard<()>,
    file: NewBackup,
    sequence: i64,
    epoch: String,
}

#[async_trait]
impl BackupStore for SqliteStore {
    async fn create_backup(
        &self,
        request: BackupRequest,
        progress: watch::Sender<BackupProgress>,
    ) -> Result<Backup> {
        self.database().create_backup(request, progress).await
    }
}

impl Database {
    /// Copies everything that was acknowledged before the call.
    pub(super) async fn create_backup(
        &self,
        request: BackupRequest,
        progress: watch::Sender<BackupProgress>,
    ) -> Result<Backup> {
        let contents = self.contents();
        let running = Arc::clone(self.backing_up()).try_lock_owned();
        let running = running.map_err(|_| Error::BackupRunning)?;
        let (data_dir, name) = (self.data_dir().clone(), file_name(contents, request.now));
        let file = blocking(move || data_dir.new_backup(&request.path, &name)).await?;
        let file = file.map_err(place_error)?;
        self.check_room(&file)?;
        // The threads would go on when nobody waits for them any more.
        let dropped = CancellationToken::new();
        let _guard = dropped.clone().drop_guard();
        let (stop, tell) = (dropped.clone(), progress.clone());
        let copied = self
            .readers()
            .read(move |connection| copy(connection, contents, running, file, &tell, &stop))
            .await?;
        progress.send_modify(|progress| progress.phase = BackupPhase::Checking);
        let backup = blocking(move || seal(copied, &dropped)).await??;
        tracing::info!(
            path = backup.path,
            size = backup.size,
            sequence = backup.sequence,
            "backup made"
        );
        Ok(backup)
    }

    /// A backup must not fill the disk that the database needs.
    fn check_room(&self, file: &NewBackup) -> Result<()> {
        let (size, reserve) = self.size_and_reserve();
        let available = if file.is_in_data_dir() {
            self.disk_available()
        } else {
            let directory = file.path().parent().unwrap_or(file.path());
            crate::platform::available_bytes(directory)
        };
        // Where the space cannot be told, the copy will say when there is none.
        match available {
            Ok(available) if available < size.saturating_add(reserve) => {
                Err(Error::DiskFull { available })
            }
            _ => Ok(()),
        }
    }
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|error| Error::Internal(format!("a backup did not finish: {error}")))
}

fn place_error(error: PlaceError) -> Error {
    match error {
        PlaceError::Refused(rule) => Error::invalid("path", rule),
        PlaceError::Io { source, .. } if source.kind() == io::ErrorKind::StorageFull => full(),
        other => failed(other),
    }
}

fn full() -> Error {
    Error::DiskFull { available: 0 }
}

fn failed(reason: impl std::fmt::Display) -> Error {
    Error::BackupFailed {
        reason: reason.to_string(),
    }
}

fn io_error(error: io::Error) -> Error {
    match error.kind() {
        io::ErrorKind::StorageFull => full(),
        _ => failed(error),
    }
}

fn sqlite_error(error: rusqlite::Error) -> Error {
    match severity(&error) {
        Severity::Full => full(),
        _ => failed(error),
    }
}

/// The usual name, which sorts by time: `notifications-20251009T080640.123456Z.db`.
fn file_name(contents: &Contents, now: Timestamp) -> String {
    let stamp: String = super::row::format_time(now)
        .chars()
        .filter(|c| !matches!(c, '-' | ':'))
        .collect();
    let name = contents.file.trim_end_matches(".db");
    format!("{name}-{stamp}Z.db")
}

/// Copies what the transaction of `source` sees.
fn copy(
    source: &Connection,
    contents: &Contents,
    running: OwnedMutexGuard<()>,
    file: NewBackup,
    progress: &watch::Sender<BackupProgress>,
    stop: &CancellationToken,
) -> std::result::Result<Copied, Failure> {
    // The transaction begins here, with the first read.
    let sequence = (contents.last)(source)?;
    let epoch = source.query_row(
        "SELECT value FROM barista_meta WHERE key = 'epoch'",
        [],
        |row| row.get(0),
    )?;
    let report = |copying: &Copying<'_, '_>| {
        let state = copying.progress();
        progress.send_modify(|progress| {
            progress.pages_total = i64::from(state.pagecount);
            progress.pages_done = i64::from(state.pagecount - state.remaining);
        });
        !stop.is_cancelled()
    };
    copy_pages(source, file.path(), report)?;
    Ok(Copied {
        running,
        file,
        sequence,
        epoch,
    })
}

/// Copies all pages of `source` into the empty file at `path`, until `go_on` says that it is enough. Nothing of it is durable yet.
pub(super) fn copy_pages(
    source: &Connection,
    path: &Path,
    mut go_on: impl FnMut(&Copying<'_, '_>) -> bool,
) -> Result<()> {
    let mut target = open_copy(path).map_err(sqlite_error)?;
    target
        .execute_batch("PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF")
        .map_err(sqlite_error)?;
    let copying = Copying::new(source, &mut target).map_err(sqlite_error)?;
    loop {
        let step = copying.step(STEP_PAGES).map_err(sqlite_error)?;
        let goes_on = go_on(&copying);
        match step {
            StepResult::Done => return Ok(()),
            StepResult::More if goes_on => {}
            StepResult::More => return Err(Error::ShuttingDown),
            _ => return Err(failed("another program uses the unfinished file")),
        }
    }
}

/// Opens a copy that nobody else uses.
pub(super) fn open_copy(path: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
        | OpenFlags::SQLITE_OPEN_NO_MUTEX
        | OpenFlags::SQLITE_OPEN_NOFOLLOW;
    let connection = Connection::open_with_flags(path, flags)?;
    // Without shared memory, which some of the file systems that backups go to do not have.
    connection.execute_batch("PRAGMA locking_mode = EXCLUSIVE; PRAGMA mmap_size = 0")?;
    Ok(connection)
}

/// Makes a copy one file without a log: every program that reads SQLite can open it, and nothing beside it gets lost.
pub(super) fn close_log(connection: &Connection) -> rusqlite::Result<()> {
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, false)?;
    let mode: String =
        connection.query_row("PRAGMA journal_mode = DELETE", [], |row| row.get(0))?;
    debug_assert_eq!(mode, "delete");
    Ok(())
}

/// Checks the copy, makes it durable and gives it its name.
fn seal(copied: Copied, stop: &CancellationToken) -> Result<Backup> {
    let Copied {
        running: _running,
        file,
        sequence,
        epoch,
    } = copied;
    let connection = open_copy(file.path()).map_err(sqlite_error)?;
    let cancelled = stop.clone();
    let stopping = move || cancelled.is_cancelled();
    connection
        .progress_handler(10_000, Some(stopping))
        .map_err(sqlite_error)?;
    close_log(&connection).map_err(sqlite_error)?;
    let finding: String = connection
        .query_row("PRAGMA quick_check(1)", [], |row| row.get(0))
        .map_err(sqlite_error)?;
    drop(connection);
    if finding != "ok" {
        return Err(failed(format!(
            "the copy is damaged, and so is the database: {finding}; see barista doctor --full"
        )));
    }
    let (size, sha256) = digest(file.path()).map_err(io_error)?;
    if stop.is_cancelled() {
        return Err(Error::ShuttingDown);
    }
    let path = file.publish().map_err(io_error)?;
    Ok(Backup {
        path: path.display().to_string(),
        size,
        sequence,
        epoch,
        sha256,
    })
}

/// The size of the file at `path`, which is no database in use, and its SHA-256 sum in hexadecimal.
pub(super) fn digest(path: &Path) -> io::Result<(u64, String)> {
    let mut file = File::open(path)?;
    let mut sum = Sha256::new();
    let mut size = 0;
    let mut buffer = vec![0; 1 << 20];
    loop {
        let read = file.read(&mut buffer)?;
        if read == 0 {
            break;
        }
        sum.update(&buffer[..read]);
        size += u64::try_from(read).unwrap_or(0);
    }
    let sum = sum.finalize();
    let hexadecimal = sum.iter().map(|byte| format!("{byte:02x}"));
    Ok((size, hexadecimal.collect()))
}
