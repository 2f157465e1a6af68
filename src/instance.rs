//! One daemon per data directory.
//!
//! The lock is a `flock` on `run/baristad.lock`, kept until the process ends: the kernel releases it however that happens, so there is no stale
//! lock and no guessing from process ids. What the file says (process id and version) is for people.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use barista_locate::INSTANCE_LOCK_FILE;
use fd_lock::{RwLock, RwLockWriteGuard};

use crate::data_dir::{DataDir, FileIdentity};
use crate::platform;

/// How often a lock file that is deleted while it is being locked is tried again.
const ATTEMPTS: u32 = 10;

/// Proof that this process is the only daemon of a data directory. The lock is released when it is dropped.
pub struct Instance {
    guard: RwLockWriteGuard<'static, File>,
    path: PathBuf,
    identity: FileIdentity,
}

/// The daemon that holds a data directory, as far as it can be told.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Holder {
    /// Its process id: from the kernel's list of locks where there is one, else from the lock file.
    pub pid: Option<u32>,
    /// The name of its program. `None` where the platform or a process namespace hides it.
    pub command: Option<String>,
    /// Its version, from the lock file.
    pub version: Option<String>,
}

impl std::fmt::Display for Holder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.command.as_deref().unwrap_or("another daemon"))?;
        if let Some(version) = &self.version {
            write!(f, " {version}")?;
        }
        match self.pid {
            Some(pid) => write!(f, ", process {pid}"),
            None => f.write_str(", of an unknown process id"),
        }
    }
}

/// Why this process is not the daemon of a data directory.
#[derive(Debug, thiserror::Error)]
pub enum InstanceError {
    /// Another daemon is.
    #[error(
        "the data directory {data_dir} is in use by {holder}; use that one (barista status), or stop it first (barista daemon stop)"
    )]
    Held {
        /// The data directory.
        data_dir: PathBuf,
        /// Who holds it.
        holder: Holder,
    },
    /// The lock file cannot be used.
    #[error(
        "cannot lock {path}: {source}; check the permissions of its directory, or remove the file if no daemon is running"
    )]
    Unusable {
        /// The lock file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

impl InstanceError {
    /// The exit code of a daemon that ends with this error: 75 (try again later) when another one is running.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Held { .. } => 75,
            Self::Unusable { .. } => 1,
        }
    }
}

impl Instance {
    /// Locks `data_dir` for this process, without waiting, and writes its process id and version into the lock file.
    ///
    /// # Errors
    ///
    /// [`InstanceError::Held`] when another daemon has it; [`InstanceError::Unusable`] when the lock file cannot be opened or written.
    pub fn acquire(data_dir: &DataDir) -> Result<Self, InstanceError> {
        let path = data_dir.run_dir().join(INSTANCE_LOCK_FILE);
        let unusable = |source| InstanceError::Unusable {
            path: path.clone(),
            source,
        };
        for _ in 0..ATTEMPTS {
            let file = open(&path).map_err(unusable)?;
            // The guard borrows the lock, and both must live as long as the process. A failed attempt leaks one descriptor without a
            // lock, in a process that is about to end.
            let lock = Box::leak(Box::new(RwLock::new(file)));
            let guard = match lock.try_write() {
                Ok(guard) => guard,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    return Err(InstanceError::Held {
                        data_dir: data_dir.path().to_owned(),
                        holder: holder_of(&path),
                    });
                }
                Err(error) => return Err(unusable(error)),
            };
            let identity = identity_of(&guard.metadata().map_err(unusable)?);
            let mut instance = Self {
                guard,
                path: path.clone(),
                identity,
            };
            // Somebody may have deleted the file between opening and locking it; a lock on a file without a name keeps nobody out.
            if instance.still_ours() {
                instance.introduce().map_err(unusable)?;
                return Ok(instance);
            }
        }
        Err(unusable(io::Error::other(
            "the file is deleted again and again",
        )))
    }

    /// Whether the lock file still has its name. If not, another daemon could start: this one should stop.
    #[must_use]
    pub fn still_ours(&self) -> bool {
        std::fs::symlink_metadata(&self.path)
            .is_ok_and(|found| identity_of(&found) == self.identity)
    }

    fn introduce(&mut self) -> io::Result<()> {
        let text = format!("{}\n{}\n", std::process::id(), crate::cli::VERSION);
        self.guard.set_len(0)?;
        self.guard.seek(SeekFrom::Start(0))?;
        self.guard.write_all(text.as_bytes())
    }
}

impl Drop for Instance {
    /// Empties the file before the lock goes: an old process id would mislead.
    fn drop(&mut self) {
        if let Err(error) = self.guard.set_len(0) {
            tracing::warn!(%error, path = %self.path.display(), "cannot empty the lock file");
        }
    }
}

impl std::fmt::Debug for Instance {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Instance")
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}

fn identity_of(found: &std::fs::Metadata) -> FileIdentity {
    FileIdentity {
        device: found.dev(),
        inode: found.ino(),
    }
}

fn open(path: &Path) -> io::Result<File> {
    let no_link = rustix::fs::OFlags::NOFOLLOW.bits().cast_signed();
    OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .custom_flags(no_link)
        .open(path)
}

/// The daemon that holds `data_dir`, found without touching its lock. `None` where none does, or the platform does not tell.
#[must_use]
pub fn holder(data_dir: &DataDir) -> Option<Holder> {
    let path = data_dir.run_dir().join(INSTANCE_LOCK_FILE);
    let locking = platform::file_lock_holders(&path).unwrap_or_default();
    (!locking.is_empty()).then(|| holder_of(&path))
}

/// Names the daemon that holds the lock on `path`. It may end, or not have written its name yet, at any moment, so everything is optional.
fn holder_of(path: &Path) -> Holder {
    let mut text = String::new();
    if let Ok(file) = File::open(path) {
        let _ = file.take(256).read_to_string(&mut text);
    }
    let mut lines = text.lines();
    let written = lines.next().and_then(|line| line.parse().ok());
    let version = lines.next().map(str::to_owned);
    let locking = platform::file_lock_holders(path).unwrap_or_default();
    // 0 is a process in another namespace: then the number in the file means nothing here either, but it is what that daemon calls itself.
    let pid = locking.into_iter().find(|pid| *pid != 0).or(written);
    Holder {
        pid,
        command: pid.and_then(platform::process_name),
        version,
    }
}

#[cfg(test)]
mod tests {
    use barista_locate::{Located, Source};

    use super::*;
    use crate::data_dir::Options;

    fn data_dir(path: &Path) -> DataDir {
        let located = Located {
            path: path.to_owned(),
            source: Source::Flag,
        };
        DataDir::open(&located, Options::default()).expect("a data directory")
    }

    #[test]
    fn the_second_daemon_learns_who_holds_the_directory() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let data_dir = data_dir(directory.path());
        assert_eq!(holder(&data_dir), None);
        let first = Instance::acquire(&data_dir).expect("free");
        if cfg!(target_os = "linux") {
            let pid = holder(&data_dir).and_then(|holder| holder.pid);
            assert_eq!(pid, Some(std::process::id()));
        }
        let error = Instance::acquire(&data_dir).expect_err("held");
        assert_eq!(error.exit_code(), 75);
        let InstanceError::Held { holder, .. } = &error else {
            panic!("{error}")
        };
        assert_eq!(holder.pid, Some(std::process::id()));
        assert_eq!(holder.version.as_deref(), Some(crate::cli::VERSION));
        assert!(
            error
                .to_string()
                .contains(&format!("process {}", std::process::id())),
            "{error}"
        );
        drop(first);
        let lock = data_dir.run_dir().join(INSTANCE_LOCK_FILE);
        assert_eq!(std::fs::read_to_string(lock).expect("the file stays"), "");
        Instance::acquire(&data_dir).expect("free again");
    }

    #[test]
    fn what_a_dead_daemon_wrote_does_not_matter() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let data_dir = data_dir(directory.path());
        let path = data_dir.run_dir().join(INSTANCE_LOCK_FILE);
        std::fs::write(&path, "1\n99.99.99 and a longer line than ours\n").expect("a file");
        let instance = Instance::acquire(&data_dir).expect("free");
        let text = std::fs::read_to_string(&path).expect("readable");
        assert_eq!(
            text,
            format!("{}\n{}\n", std::process::id(), crate::cli::VERSION)
        );
        drop(instance);
    }

    #[test]
    fn a_deleted_lock_file_is_noticed() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let data_dir = data_dir(directory.path());
        let first = Instance::acquire(&data_dir).expect("free");
        assert!(first.still_ours());
        std::fs::remove_file(data_dir.run_dir().join(INSTANCE_LOCK_FILE)).expect("deleted");
        assert!(!first.still_ours());
        let second = Instance::acquire(&data_dir).expect("a new file");
        assert!(second.still_ours() && !first.still_ours());
    }

    #[test]
    fn a_link_in_place_of_the_lock_file_is_not_followed() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let data_dir = data_dir(directory.path());
        let precious = directory.path().join("precious");
        std::fs::write(&precious, "text").expect("a file");
        std::os::unix::fs::symlink(&precious, data_dir.run_dir().join(INSTANCE_LOCK_FILE))
            .expect("a link");
        let error = Instance::acquire(&data_dir).expect_err("a link");
        assert!(matches!(error, InstanceError::Unusable { .. }), "{error}");
        assert_eq!(
            std::fs::read_to_string(precious).expect("untouched"),
            "text"
        );
    }
}
