//! What one operating system does differently from another, with the same signatures on each.

use std::path::{Path, PathBuf};
use std::time::Duration;

#[cfg(target_os = "linux")]
mod linux;
#[cfg(target_os = "macos")]
mod macos;

#[cfg(target_os = "linux")]
pub use linux::{
    WriteWatch, file_lock_holders, file_system, file_users, process_name, process_usage,
    raise_open_files_limit, wal_lock_holders,
};
#[cfg(target_os = "macos")]
pub use macos::{
    WriteWatch, file_lock_holders, file_system, file_users, process_name, process_usage,
    raise_open_files_limit, wal_lock_holders,
};

#[cfg(not(any(target_os = "linux", target_os = "macos")))]
compile_error!("Barista runs on Linux and macOS");

/// What a process uses of the machine; `None` where the platform cannot tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ProcessUsage {
    /// Resident memory, in bytes.
    pub resident_bytes: Option<u64>,
    /// Open file descriptors.
    pub open_files: Option<u64>,
    /// The most file descriptors that may be open.
    pub max_files: Option<u64>,
    /// Processor time.
    pub cpu_time: Option<Duration>,
}

/// The kind of file system that a path lies on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileSystem {
    /// Its name as `mount` prints it, such as `ext4`; a hexadecimal number for one that is not known by name.
    pub name: String,
    /// Whether its files may be seen by another kernel, or are served by a process: then neither its locks nor shared memory on it can be
    /// trusted, and a database in WAL mode needs both.
    pub is_network: bool,
}

/// What a process does with a write-ahead log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum WalLockKind {
    /// It reads: the log cannot be reset past its snapshot.
    Read,
    /// It has a write transaction open.
    Write,
    /// It copies frames into the database file.
    Checkpoint,
    /// It recovers the log after a crash.
    Recover,
}

/// A process that holds a lock on a write-ahead log.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct WalLockHolder {
    /// Its process id; 0 where it lives in a process namespace that the daemon cannot see.
    pub pid: u32,
    /// The name of its program, at most 15 characters on Linux. Empty where unknown.
    pub command: String,
    /// What it holds the lock for.
    pub kind: WalLockKind,
}

/// A process that has a file open and locked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct FileUser {
    /// Its process id; 0 where it lives in a process namespace that this one cannot see.
    pub pid: u32,
    /// Whether its lock keeps everybody else out.
    pub is_alone: bool,
}

/// The space that an unprivileged process may still use on the file system of `path`, in bytes.
///
/// # Errors
///
/// What `statvfs` says, such as "not found".
pub fn available_bytes(path: &Path) -> std::io::Result<u64> {
    let found = rustix::fs::statvfs(path)?;
    Ok(found.f_bavail.saturating_mul(found.f_frsize))
}

/// Starts a session of its own, so that closing the terminal, or a signal to the client's process group, does not reach the daemon.
///
/// The working directory moves to `/`, so that the daemon does not keep a mount busy. Call it before any thread starts, and after relative
/// paths are resolved.
///
/// # Errors
///
/// What `setsid` or `chdir` says. A process that leads a group already (started from a shell, not by a client) keeps its session: that is no
/// error.
pub fn leave_session() -> std::io::Result<()> {
    match rustix::process::setsid() {
        Ok(_) | Err(rustix::io::Errno::PERM) => std::env::set_current_dir("/"),
        Err(error) => Err(error.into()),
    }
}

/// Takes all permissions of group and others away from every file that the process creates from now on, databases included: SQLite itself asks
/// for 0644. Call it before any thread starts.
pub fn make_new_files_private() {
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o077));
}

/// The path of the shared-memory file beside `database`, which [`wal_lock_holders`] takes.
#[must_use]
pub fn shared_memory_path(database: &Path) -> PathBuf {
    let mut name = database.as_os_str().to_owned();
    name.push("-shm");
    PathBuf::from(name)
}
