//! Copies of the database, made while it is in use.

use async_trait::async_trait;
use tokio::sync::watch;

use super::clock::Timestamp;
use super::error::Result;

/// What a backup is at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum BackupPhase {
    /// Copies pages.
    #[default]
    Copying,
    /// Checks the copy and makes it durable.
    Checking,
}

/// How far a backup is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct BackupProgress {
    /// What it is at.
    pub phase: BackupPhase,
    /// Pages copied.
    pub pages_done: i64,
    /// Pages to copy; 0 before that is known.
    pub pages_total: i64,
}

/// What to back up to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BackupRequest {
    /// The name of the database's file; empty for the notifications.
    pub database: String,
    /// The path of the new file; empty for a name in the usual place.
    pub path: String,
    /// The present, which the usual name is made of.
    pub now: Timestamp,
}

/// A finished backup: checked, and on the disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Backup {
    /// Where it is.
    pub path: String,
    /// Its size, in bytes.
    pub size: u64,
    /// The last change in it.
    pub sequence: i64,
    /// The epoch of the database that it is of.
    pub epoch: String,
    /// The SHA-256 sum of the file, in hexadecimal.
    pub sha256: String,
}

/// A store that can be copied while it is in use.
#[async_trait]
pub trait BackupStore: Send + Sync {
    /// Copies everything that was acknowledged before the call. `progress` always has the latest state. Dropping the call ends the work, and nothing
    /// is left of it.
    ///
    /// # Errors
    ///
    /// `InvalidField` where nothing may be written at the path, `BackupRunning`, `BackupFailed`, `DiskFull`, and those of a read.
    async fn create_backup(
        &self,
        request: BackupRequest,
        progress: watch::Sender<BackupProgress>,
    ) -> Result<Backup>;
}
