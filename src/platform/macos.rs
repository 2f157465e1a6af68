//! macOS: the counterparts of what `linux.rs` does. It has no `/proc`: who holds a lock cannot be told without a privileged tool.

use std::io;
use std::path::Path;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::{FileSystem, FileUser, ProcessUsage, WalLockHolder};

/// `MNT_LOCAL` of `sys/mount.h`: the file system is stored on this machine.
const MOUNT_IS_LOCAL: u32 = 0x1000;
/// `OPEN_MAX` of `sys/syslimits.h`: a higher soft limit is refused, whatever the hard limit says.
const OPEN_MAX: u64 = 10_240;

/// Tells the kind of file system that `path` lies on.
///
/// # Errors
///
/// What `statfs` says, such as "not found".
pub fn file_system(path: &Path) -> io::Result<FileSystem> {
    let found = rustix::fs::statfs(path)?;
    let name: String = found
        .f_fstypename
        .iter()
        .take_while(|byte| **byte != 0)
        .map(|byte| char::from(byte.to_ne_bytes()[0]))
        .collect();
    let is_network = found.f_flags & MOUNT_IS_LOCAL == 0 || name.contains("fuse");
    Ok(FileSystem { name, is_network })
}

/// The name of the program that process `pid` runs; not known here.
#[must_use]
pub fn process_name(_pid: u32) -> Option<String> {
    None
}

/// What this process uses of the machine: without `/proc` only what a limit says.
#[must_use]
pub fn process_usage() -> ProcessUsage {
    ProcessUsage {
        max_files: getrlimit(Resource::Nofile).current,
        ..ProcessUsage::default()
    }
}

/// Would tell when a file is written to. kqueue needs an open descriptor for that, and closing one drops SQLite's locks.
#[derive(Debug)]
pub struct WriteWatch(std::convert::Infallible);

impl WriteWatch {
    /// Says that it cannot.
    ///
    /// # Errors
    ///
    /// `Unsupported`, always.
    pub fn new(_path: &Path) -> io::Result<Self> {
        Err(io::ErrorKind::Unsupported.into())
    }

    /// Is never called.
    ///
    /// # Errors
    ///
    /// None.
    #[expect(clippy::unused_async, reason = "as on Linux")]
    pub async fn written(&mut self) -> io::Result<()> {
        match self.0 {}
    }
}

/// Lets the process open as many files as it is permitted to, and returns that number.
///
/// # Errors
///
/// What `setrlimit` says.
pub fn raise_open_files_limit() -> io::Result<u64> {
    let limit = getrlimit(Resource::Nofile);
    let wanted = limit
        .maximum
        .unwrap_or(OPEN_MAX)
        .min(OPEN_MAX)
        .max(limit.current.unwrap_or(OPEN_MAX));
    setrlimit(
        Resource::Nofile,
        Rlimit {
            current: Some(wanted),
            maximum: limit.maximum,
        },
    )?;
    Ok(wanted)
}

/// The processes that hold a `flock` lock on `path`; not known here, so always empty.
///
/// # Errors
///
/// None.
pub fn file_lock_holders(_path: &Path) -> io::Result<Vec<u32>> {
    Ok(Vec::new())
}

/// The processes that hold POSIX locks on a file; not known here, so always empty.
///
/// # Errors
///
/// None.
pub fn file_users(_path: &Path) -> io::Result<Vec<FileUser>> {
    Ok(Vec::new())
}

/// The processes that hold locks on a write-ahead log; not known here, so always empty.
///
/// # Errors
///
/// None.
pub fn wal_lock_holders(_shared_memory: &Path) -> io::Result<Vec<WalLockHolder>> {
    Ok(Vec::new())
}
