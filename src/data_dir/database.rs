//! The path of one database, and whether it still leads to the same file.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use super::DataDirError;
use super::rules::{self, Facts, Us};

/// What makes a file the same file, whatever its name: its device and inode.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct FileIdentity {
    /// The device that it lies on.
    pub device: u64,
    /// Its number there.
    pub inode: u64,
}

impl fmt::Display for FileIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "device {} inode {}", self.device, self.inode)
    }
}

/// One of the files that make up a database in WAL mode.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DatabaseFile {
    /// The database itself.
    Main,
    /// The write-ahead log. Its loss is the loss of acknowledged commits.
    Wal,
    /// The index of the write-ahead log, shared by all processes, and the place of its locks.
    SharedMemory,
}

impl DatabaseFile {
    const ALL: [Self; 3] = [Self::Main, Self::Wal, Self::SharedMemory];

    const fn suffix(self) -> &'static str {
        match self {
            Self::Main => "",
            Self::Wal => "-wal",
            Self::SharedMemory => "-shm",
        }
    }
}

/// The path of a database file that has passed every check; made by [`super::DataDir::database`] only.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DatabasePath {
    path: PathBuf,
}

impl DatabasePath {
    pub(super) fn checked(path: PathBuf, us: Us) -> Result<Self, DataDirError> {
        let database = Self { path };
        for file in DatabaseFile::ALL {
            let path = database.path_of(file);
            match Facts::of(&path) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(source) => return Err(DataDirError::unreadable(&path, source)),
                Ok(facts) => {
                    rules::database_file(&facts, us).map_err(|rule| rule.broken_by(&path))?;
                }
            }
        }
        Ok(database)
    }

    /// The database file, absolute.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The path of one of its files.
    #[must_use]
    pub fn path_of(&self, file: DatabaseFile) -> PathBuf {
        let mut path = self.path.clone().into_os_string();
        path.push(file.suffix());
        path.into()
    }

    /// The name of the database file inside the data directory.
    #[must_use]
    pub fn name(&self) -> &str {
        self.path
            .file_name()
            .and_then(|name| name.to_str())
            .unwrap_or_default()
    }

    /// Which file the path leads to now: to be remembered right after opening it.
    ///
    /// # Errors
    ///
    /// [`DataDirError::Missing`] when there is none.
    pub fn identity(&self) -> Result<FileIdentity, DataDirError> {
        self.identity_of(DatabaseFile::Main)
    }

    /// The same for one of the database's files. The log and its index exist from the first access until the last connection closes.
    ///
    /// # Errors
    ///
    /// [`DataDirError::Missing`] when there is none.
    pub fn identity_of(&self, file: DatabaseFile) -> Result<FileIdentity, DataDirError> {
        let path = self.path_of(file);
        match Facts::of(&path) {
            Ok(facts) => Ok(facts.identity),
            Err(source) => Err(DataDirError::unreadable(&path, source)),
        }
    }

    /// Checks that the path still leads to the file that was opened: writes to a file that was moved away or replaced would vanish.
    ///
    /// One `lstat`, about a microsecond.
    ///
    /// # Errors
    ///
    /// [`DataDirError::Missing`] or [`DataDirError::Replaced`]: stop writing.
    pub fn still_the_same(&self, opened: &FileIdentity) -> Result<(), DataDirError> {
        self.still_the_same_file(DatabaseFile::Main, opened)
    }

    /// The same for one of the database's files.
    ///
    /// # Errors
    ///
    /// [`DataDirError::Missing`] or [`DataDirError::Replaced`]: stop writing.
    pub fn still_the_same_file(
        &self,
        file: DatabaseFile,
        opened: &FileIdentity,
    ) -> Result<(), DataDirError> {
        let found = self.identity_of(file)?;
        if found == *opened {
            return Ok(());
        }
        Err(DataDirError::Replaced {
            path: self.path_of(file),
            expected: *opened,
            found,
        })
    }
}
