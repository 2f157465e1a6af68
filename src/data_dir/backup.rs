//! Where backups lie, and where the database lies that a restored one takes the place of.
//!
//! A backup is never a database in use, so its files may be opened like any other; the database itself is only ever renamed here.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::DataDir;
use super::rules::{self, Facts, Kind};

/// The directory inside the data directory that backups go to unless another place is named.
const BACKUP_DIR: &str = "backups";
/// What the name of an unfinished backup ends with: nobody takes it for a finished one.
const PARTIAL: &str = ".partial";
/// A file cannot be in the world for others to write to, but in a directory like /tmp, where each may only touch its own.
const STICKY: u32 = 0o1000;

/// Why nothing is written at a path.
#[derive(Debug, thiserror::Error)]
pub enum PlaceError {
    /// A rule about the path is broken: one sentence without its subject, as in "must be absolute".
    #[error("{0}")]
    Refused(String),
    /// The system refuses.
    #[error("{path} cannot be made: {source}", path = .path.display())]
    Io {
        /// What.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// A backup that is being written, under a name of its own beside the one that it gets when it is finished. Dropping it removes the file.
#[derive(Debug)]
pub struct NewBackup {
    partial: PathBuf,
    target: PathBuf,
    inside: bool,
    published: bool,
}

impl NewBackup {
    /// The file that is being written; it exists, is empty, and nobody else can read it.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.partial
    }

    /// The name that it gets.
    #[must_use]
    pub fn target(&self) -> &Path {
        &self.target
    }

    /// Whether it lies on the disk of the data directory.
    #[must_use]
    pub fn is_in_data_dir(&self) -> bool {
        self.inside
    }

    /// Makes the finished file durable, then gives it its name, and makes that durable too. A file that has appeared under this name meanwhile is
    /// left alone.
    ///
    /// # Errors
    ///
    /// What the system said; the file is gone then.
    pub fn publish(mut self) -> io::Result<PathBuf> {
        File::open(&self.partial)?.sync_all()?;
        // Unlike a rename, a link never takes another file's place; but not every file system has them.
        match std::fs::hard_link(&self.partial, &self.target) {
            Ok(()) => std::fs::remove_file(&self.partial)?,
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Err(error),
            Err(_) => std::fs::rename(&self.partial, &self.target)?,
        }
        self.published = true;
        if let Some(directory) = self.target.parent() {
            File::open(directory)?.sync_all()?;
        }
        Ok(self.target.clone())
    }
}

impl Drop for NewBackup {
    fn drop(&mut self) {
        if self.published {
            return;
        }
        for end in ["", "-journal", "-wal"] {
            let mut path = self.partial.clone().into_os_string();
            path.push(end);
            match std::fs::remove_file(&path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    tracing::warn!(%error, path = %self.partial.display(), "cannot remove an unfinished backup");
                }
                _ => {}
            }
        }
    }
}

impl DataDir {
    /// Makes the empty file of a new backup at `path`, or under `name` in the usual place where `path` is empty. Removes what is left in the usual
    /// place of backups whose daemon was killed: one is made at a time, by the one daemon of this directory.
    ///
    /// # Errors
    ///
    /// [`PlaceError`].
    pub fn new_backup(&self, path: &str, name: &str) -> Result<NewBackup, PlaceError> {
        let usual = self.path.join(BACKUP_DIR);
        let target = if path.is_empty() {
            self.prepare_backups(&usual)?;
            remove_unfinished(&usual);
            usual.join(name)
        } else {
            self.backup_target(Path::new(path), &usual)?
        };
        if std::fs::symlink_metadata(&target).is_ok() {
            let rule = format!(
                "{} exists; a backup never replaces a file",
                target.display()
            );
            return Err(PlaceError::Refused(rule));
        }
        let mut partial = target.clone().into_os_string();
        partial.push(PARTIAL);
        let partial = PathBuf::from(partial);
        OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&partial)
            .map_err(|source| PlaceError::Io {
                path: partial.clone(),
                source,
            })?;
        Ok(NewBackup {
            inside: target.starts_with(&self.path),
            partial,
            target,
            published: false,
        })
    }

    fn prepare_backups(&self, usual: &Path) -> Result<(), PlaceError> {
        self.prepare_private(BACKUP_DIR)
            .map_err(|error| PlaceError::Refused(error.to_string()))?;
        let synced = File::open(&self.path).and_then(|directory| directory.sync_all());
        synced.map_err(|source| PlaceError::Io {
            path: usual.to_owned(),
            source,
        })
    }

    /// Checks a place that somebody named.
    fn backup_target(&self, path: &Path, usual: &Path) -> Result<PathBuf, PlaceError> {
        let refused = |rule: String| Err(PlaceError::Refused(rule));
        if !path.is_absolute() {
            return refused("must be absolute".to_owned());
        }
        let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
            return refused("must name a file".to_owned());
        };
        let is_plain = name
            .to_str()
            .is_some_and(|name| rules::file_name(name).is_ok());
        if !is_plain {
            return refused(
                "must end in a plain file name that no database uses for its log".to_owned(),
            );
        }
        let directory = match parent.canonicalize() {
            Ok(directory) => directory,
            Err(error) => {
                return refused(format!(
                    "its directory {} cannot be used: {error}",
                    parent.display()
                ));
            }
        };
        if directory.starts_with(&self.path) && directory != usual {
            return refused(format!(
                "must not be inside the data directory, but for {}",
                usual.display()
            ));
        }
        match Facts::of(&directory) {
            Ok(facts) if facts.kind != Kind::Directory => {
                refused(format!("{} is not a directory", directory.display()))
            }
            Ok(facts)
                if facts.mode & 0o022 != 0 && facts.mode & STICKY == 0 && !self.is_ours(&facts) =>
            {
                refused(format!(
                    "{} can be written by other users",
                    directory.display()
                ))
            }
            Ok(_) => Ok(directory.join(name)),
            Err(error) => refused(format!(
                "{} cannot be looked at: {error}",
                directory.display()
            )),
        }
    }

    /// Whether only this user, and its primary group, can write.
    fn is_ours(&self, facts: &Facts) -> bool {
        facts.mode & 0o002 == 0 && facts.gid == self.us.gid
    }

    /// Makes a directory inside the data directory that nobody else can enter and that did not exist, durably.
    pub(crate) fn make_aside(&self, name: &str) -> io::Result<PathBuf> {
        let path = self.path.join(name);
        DirBuilder::new().mode(0o700).create(&path)?;
        File::open(&self.path)?.sync_all()?;
        Ok(path)
    }

    /// The directories inside the data directory whose name begins with `prefix`, in the order of their names.
    pub(crate) fn directories(&self, prefix: &str) -> io::Result<Vec<PathBuf>> {
        let mut found = Vec::new();
        for entry in std::fs::read_dir(&self.path)? {
            let entry = entry?;
            let name = entry.file_name();
            let matches = name.to_str().is_some_and(|name| name.starts_with(prefix));
            if matches && entry.file_type()?.is_dir() {
                found.push(entry.path());
            }
        }
        found.sort();
        Ok(found)
    }
}

fn remove_unfinished(directory: &Path) {
    let Ok(entries) = std::fs::read_dir(directory) else {
        return;
    };
    for entry in entries.flatten() {
        let name = entry.file_name();
        if name.to_str().is_some_and(|name| name.ends_with(PARTIAL)) {
            tracing::info!(path = %entry.path().display(), "removing a backup that was not finished");
            // What cannot be removed is no obstacle to another one.
            drop(std::fs::remove_file(entry.path()));
        }
    }
}

/// A finished backup, somewhere: a regular file without a log beside it, and no database in use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BackupFile {
    path: PathBuf,
}

impl BackupFile {
    /// Checks the file at `path`, which may be relative to the current directory.
    ///
    /// # Errors
    ///
    /// Why it is not a backup, or cannot be looked at: one sentence.
    pub fn find(path: &Path) -> Result<Self, String> {
        let path = path
            .canonicalize()
            .map_err(|error| format!("{} cannot be opened: {error}", path.display()))?;
        let facts = Facts::of(&path)
            .map_err(|error| format!("{} cannot be looked at: {error}", path.display()))?;
        let shown = path.display();
        if facts.kind != Kind::File {
            return Err(format!("{shown} is not a regular file"));
        }
        for end in ["-wal", "-journal"] {
            let mut beside = path.clone().into_os_string();
            beside.push(end);
            let beside = Path::new(&beside);
            if std::fs::symlink_metadata(beside).is_ok_and(|found| found.len() > 0) {
                return Err(format!(
                    "{shown} is a database in use, or one that was not closed, and no backup: part of it is in {}",
                    beside.display()
                ));
            }
        }
        Ok(Self { path })
    }

    /// The file, absolute and without symbolic links.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}
