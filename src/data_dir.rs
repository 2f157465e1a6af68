//! The data directory, and the only way to name a database file.
//!
//! Everything that the daemon keeps lies in one directory that belongs to one user, on a disk of this machine. [`DataDir::open`] proves that
//! once; [`DataDir::database`] proves it for one file; [`DatabasePath::still_the_same`] notices when it stops being true.
//!
//! **Nothing here opens a database file.** A process that closes any descriptor of a file loses all its POSIX locks on that file, SQLite's
//! included, and another program may then remove the write-ahead log under the daemon. These files are only looked up (`stat`).

use std::fs::{DirBuilder, File, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use barista_locate::{Located, RUN_DIR, Source};
use rustix::fs::Access;

pub(crate) mod backup;
mod database;
mod error;
#[cfg(any(test, feature = "fuzzing"))]
pub mod fuzz;
mod replace;
pub(crate) mod rules;

pub use backup::{BackupFile, NewBackup, PlaceError};
pub use database::{DatabaseFile, DatabasePath, FileIdentity};
pub(crate) use error::Quoted;
pub use error::{DataDirError, Rule};
use rules::{Facts, Us};

/// The directory inside the data directory that holds the log files.
const LOG_DIR: &str = "log";

/// What an operator may relax.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Options {
    /// Whether the directory may lie on a network file system: `storage.allow_network_file_system`.
    pub allow_network_file_system: bool,
}

/// A data directory that has passed every check. Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DataDir {
    path: PathBuf,
    identity: FileIdentity,
    us: Us,
}

impl DataDir {
    /// Creates the directory if it is missing (mode 0700), checks it, and makes its `run/` and `log/` ready.
    ///
    /// It must be a directory of this user that others cannot write to, on a local file system, with room for a file.
    ///
    /// # Errors
    ///
    /// [`DataDirError`] says which rule is broken, by which path, and what to do about it.
    pub fn open(located: &Located, options: Options) -> Result<Self, DataDirError> {
        refuse_nowhere(located)?;
        create_missing(&located.path).map_err(|source| DataDirError::CannotCreate {
            path: located.path.clone(),
            source,
        })?;
        let path = located
            .path
            .canonicalize()
            .map_err(|source| DataDirError::unreadable(&located.path, source))?;
        let us = Us::of_this_process();
        let facts = Facts::of(&path).map_err(|source| DataDirError::unreadable(&path, source))?;
        rules::data_directory(&facts, us).map_err(|rule| rule.broken_by(&path))?;
        refuse_network(&path, options)?;
        refuse_unwritable(&path)?;
        let data_dir = Self {
            identity: facts.identity,
            path,
            us,
        };
        data_dir.prepare_private(RUN_DIR)?;
        data_dir.prepare_private(LOG_DIR)?;
        data_dir.prove_writable()?;
        Ok(data_dir)
    }

    /// Checks a directory that may not be there yet as [`DataDir::open`] does, without making or changing anything: `None` where there is none.
    ///
    /// # Errors
    ///
    /// [`DataDirError`] says which rule is broken, by which path, and what to do about it.
    pub fn look(located: &Located, options: Options) -> Result<Option<Self>, DataDirError> {
        let path = match located.path.canonicalize() {
            Ok(path) => path,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return refuse_nowhere(located).map(|()| None);
            }
            Err(source) => return Err(DataDirError::unreadable(&located.path, source)),
        };
        let us = Us::of_this_process();
        let facts = Facts::of(&path).map_err(|source| DataDirError::unreadable(&path, source))?;
        rules::data_directory(&facts, us).map_err(|rule| rule.broken_by(&path))?;
        refuse_network(&path, options)?;
        refuse_unwritable(&path)?;
        for name in [RUN_DIR, LOG_DIR] {
            let inner = path.join(name);
            match Facts::of(&inner) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(source) => return Err(DataDirError::unreadable(&inner, source)),
                Ok(facts) => {
                    rules::directory(&facts, us).map_err(|rule| rule.broken_by(&inner))?;
                }
            }
        }
        Ok(Some(Self {
            identity: facts.identity,
            path,
            us,
        }))
    }

    /// The directory, absolute and without symbolic links.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Its `run/`: the socket and the locks. Mode 0700.
    #[must_use]
    pub fn run_dir(&self) -> PathBuf {
        self.path.join(RUN_DIR)
    }

    /// The log file of a daemon that a client started.
    #[must_use]
    pub fn log_file(&self) -> PathBuf {
        self.path.join(barista_locate::LOG_FILE)
    }

    /// The user that owns everything here: this process's effective user id.
    #[must_use]
    pub fn uid(&self) -> u32 {
        self.us.uid
    }

    /// Names a database file, which need not exist yet, after checking the directory again and the file with its `-wal` and `-shm`.
    ///
    /// `name` is a plain file name. An existing file must be a regular file of this user that others cannot write to; a symbolic link is
    /// refused, wherever it leads.
    ///
    /// # Errors
    ///
    /// [`DataDirError`] says which rule is broken, by which path, and what to do about it.
    pub fn database(&self, name: &str) -> Result<DatabasePath, DataDirError> {
        rules::file_name(name).map_err(|rule| rule.broken_by(Path::new(name)))?;
        self.check_again()?;
        let path = self.path.join(name);
        if !rules::is_inside(&self.path, &path) {
            return Err(Rule::Inside {
                directory: self.path.clone(),
            }
            .broken_by(&path));
        }
        DatabasePath::checked(path, self.us)
    }

    /// The directory may have changed since [`Self::open`]: checks that it is the same one, and still sound.
    fn check_again(&self) -> Result<(), DataDirError> {
        let facts =
            Facts::of(&self.path).map_err(|source| DataDirError::unreadable(&self.path, source))?;
        if facts.identity != self.identity {
            return Err(DataDirError::Replaced {
                path: self.path.clone(),
                expected: self.identity,
                found: facts.identity,
            });
        }
        rules::data_directory(&facts, self.us).map_err(|rule| rule.broken_by(&self.path))
    }

    /// Makes a directory that nobody else may enter. One that is ours but too open is corrected; anything else is refused, for whoever
    /// made it may have put something into it.
    fn prepare_private(&self, name: &str) -> Result<(), DataDirError> {
        let path = self.path.join(name);
        match DirBuilder::new().mode(0o700).create(&path) {
            Err(source) if source.kind() != io::ErrorKind::AlreadyExists => {
                return Err(DataDirError::CannotCreate { path, source });
            }
            _ => {}
        }
        let facts = Facts::of(&path).map_err(|source| DataDirError::unreadable(&path, source))?;
        rules::directory(&facts, self.us).map_err(|rule| rule.broken_by(&path))?;
        if facts.mode & 0o777 != 0o700 {
            std::fs::set_permissions(&path, Permissions::from_mode(0o700))
                .map_err(|source| DataDirError::NotWritable { path, source })?;
        }
        Ok(())
    }

    /// Creates and removes a file: mount options and quotas do not show in any permission bit.
    fn prove_writable(&self) -> Result<(), DataDirError> {
        let path = self
            .run_dir()
            .join(format!(".probe-{}", uuid::Uuid::new_v4().simple()));
        OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&path)
            .and_then(|_| std::fs::remove_file(&path))
            .map_err(|source| DataDirError::NotWritable {
                path: self.run_dir(),
                source,
            })
    }
}

/// A directory that was typed is made only where its parent is.
fn refuse_nowhere(located: &Located) -> Result<(), DataDirError> {
    let missing = located.path.parent().filter(|parent| !parent.exists());
    match missing.filter(|_| located.source == Source::Flag) {
        None => Ok(()),
        Some(parent) => Err(DataDirError::NoParent {
            path: located.path.clone(),
            parent: parent.to_owned(),
        }),
    }
}

/// SQLite makes its log beside the database, so `run/` and `log/` being writable is not enough.
fn refuse_unwritable(path: &Path) -> Result<(), DataDirError> {
    let wanted = Access::READ_OK | Access::WRITE_OK | Access::EXEC_OK;
    rustix::fs::access(path, wanted).map_err(|error| DataDirError::NotWritable {
        path: path.to_owned(),
        source: error.into(),
    })
}

fn refuse_network(path: &Path, options: Options) -> Result<(), DataDirError> {
    let found = crate::platform::file_system(path)
        .map_err(|source| DataDirError::unreadable(path, source))?;
    if found.is_network && !options.allow_network_file_system {
        return Err(Rule::LocalFileSystem { name: found.name }.broken_by(path));
    }
    Ok(())
}

/// Creates `path` and what is missing above it, each with mode 0700, and makes each name durable: without the sync of its parent, a power cut
/// could take the whole directory away after a write in it was acknowledged.
fn create_missing(path: &Path) -> io::Result<()> {
    let missing: Vec<&Path> = path.ancestors().take_while(|path| !path.exists()).collect();
    for directory in missing.into_iter().rev() {
        match DirBuilder::new().mode(0o700).create(directory) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            other => other?,
        }
        if let Some(parent) = directory.parent() {
            File::open(parent)?.sync_all()?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
