//! How each database is opened: what the configuration says, and what the store must ask of the system.

use std::sync::Arc;
use std::time::Duration;

use super::SystemClock;
use crate::config::Config;
use crate::data_dir::{DataDir, DatabaseFile, DatabasePath};
use crate::domain::admin::{WalLock, WalLockKind};
use crate::platform;
use crate::store::sqlite::{Options, Surroundings, TELEMETRY_FILE};

/// How often the idle writer of the telemetry looks around.
const TELEMETRY_POLL: Duration = Duration::from_secs(2);
/// Bytes of a frame in a write-ahead log: a page and its header.
const FRAME_BYTES: u64 = 4096 + 24;

/// Other programs only read the telemetry, so their commits need not be looked for.
pub(super) fn telemetry_options(config: &Config, data_dir: &DataDir) -> anyhow::Result<Options> {
    let options = options(config, data_dir, TELEMETRY_FILE)?;
    Ok(Options {
        idle_poll: options.idle_poll.max(TELEMETRY_POLL),
        ..options
    })
}

/// What the configuration says about the database in `file`.
pub(super) fn options(config: &Config, data_dir: &DataDir, file: &str) -> anyhow::Result<Options> {
    let path = data_dir.database(file)?;
    let storage = &config.storage;
    let truncate_frames = storage.truncate_bytes / FRAME_BYTES;
    Ok(Options {
        surroundings: Arc::new(surroundings(data_dir, &path)),
        data_dir: data_dir.clone(),
        path,
        clock: Arc::new(SystemClock),
        queue_capacity: storage.queue_capacity,
        batch_writes: storage.batch_max_writes,
        batch_bytes: storage.batch_max_bytes,
        readers: storage.readers,
        cache_kib: storage.cache_kib,
        busy_timeout: storage.busy_timeout,
        busy_attempts: storage.busy_attempts,
        followed_poll: storage.foreign_poll,
        idle_poll: storage.idle_poll,
        look_interval: storage.file_check_interval,
        checkpoint_frames: i64::from(storage.checkpoint_frames),
        truncate_frames: i64::try_from(truncate_frames).unwrap_or(i64::MAX),
        min_free_disk: storage.min_free_disk_bytes,
    })
}

fn surroundings(data_dir: &DataDir, database: &DatabasePath) -> Surroundings {
    let directory = data_dir.path().to_owned();
    let shared_memory = database.path_of(DatabaseFile::SharedMemory);
    Surroundings {
        disk_available: Box::new(move || platform::available_bytes(&directory)),
        wal_locks: Box::new(move || {
            let holders = platform::wal_lock_holders(&shared_memory).unwrap_or_default();
            holders.into_iter().map(wal_lock).collect()
        }),
    }
}

fn wal_lock(holder: platform::WalLockHolder) -> WalLock {
    WalLock {
        pid: i32::try_from(holder.pid).unwrap_or(0),
        command: holder.command,
        kind: match holder.kind {
            platform::WalLockKind::Read => WalLockKind::Read,
            platform::WalLockKind::Write => WalLockKind::Write,
            platform::WalLockKind::Checkpoint => WalLockKind::Checkpoint,
            platform::WalLockKind::Recover => WalLockKind::Recover,
        },
    }
}
