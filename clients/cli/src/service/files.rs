//! Where the units lie, and whose they are.

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use crate::failure::{Failure, Result};
use crate::service::units::{MARK, Unit, data_dir_of};

/// What is found at the place of a unit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Found {
    /// Nothing.
    Absent,
    /// The unit as it would be written now.
    Current,
    /// One that was written for this directory by another release or with other settings, or for another directory.
    Outdated {
        /// The data directory that it serves, where it says so.
        data_dir: Option<PathBuf>,
    },
    /// A file that this program did not write.
    Foreign,
}

impl Found {
    /// The word for it, for people and programs.
    pub(crate) const fn word(&self) -> &'static str {
        match self {
            Self::Absent => "absent",
            Self::Current => "current",
            Self::Outdated { .. } => "outdated",
            Self::Foreign => "foreign",
        }
    }
}

/// The directory of the user's own units.
#[derive(Debug, Clone)]
pub(crate) struct Folder(PathBuf);

impl Folder {
    /// `$XDG_CONFIG_HOME/systemd/user`, by default `~/.config/systemd/user`. Nobody has looked whether it exists.
    ///
    /// # Errors
    ///
    /// Neither variable is set.
    pub(crate) fn of_user() -> Result<Self> {
        let variable = |name| {
            std::env::var_os(name)
                .map(PathBuf::from)
                .filter(|path| path.is_absolute())
        };
        variable("XDG_CONFIG_HOME")
            .or_else(|| variable("HOME").map(|home| home.join(".config")))
            .map(|config| Self(config.join("systemd/user")))
            .ok_or_else(|| {
                let why = "neither XDG_CONFIG_HOME nor HOME is set";
                Failure::usage("cannot find the directory of your units", why)
                    .next("export HOME, and try again".to_owned())
            })
    }

    /// The path of the unit called `name`.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// What lies at the place of `unit`.
    pub(crate) fn look(&self, unit: &Unit) -> Result<Found> {
        Ok(match self.read(unit.name)? {
            None => Found::Absent,
            Some(text) if text == unit.text => Found::Current,
            Some(text) if text.starts_with(MARK) => Found::Outdated {
                data_dir: data_dir_of(&text),
            },
            Some(_) => Found::Foreign,
        })
    }

    /// The text of the unit called `name`; `None` where there is none.
    pub(crate) fn read(&self, name: &str) -> Result<Option<String>> {
        let path = self.path(name);
        match fs::read(&path) {
            Ok(bytes) => Ok(Some(String::from_utf8_lossy(&bytes).into_owned())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(cannot("read", &path, &error)),
        }
    }

    /// Puts `unit` in its place, whole or not at all.
    pub(crate) fn write(&self, unit: &Unit) -> Result<()> {
        let path = self.path(unit.name);
        let new = self.path(&format!(".{}.new", unit.name));
        let write = || {
            fs::create_dir_all(&self.0)?;
            // One that was interrupted has left it.
            drop(fs::remove_file(&new));
            let mut file = fs::OpenOptions::new()
                .write(true)
                .create_new(true)
                .mode(0o644)
                .open(&new)?;
            file.write_all(unit.text.as_bytes())?;
            fs::rename(&new, &path)
        };
        write().map_err(|error| cannot("write", &path, &error))
    }

    /// Removes the unit called `name`.
    pub(crate) fn remove(&self, name: &str) -> Result<()> {
        let path = self.path(name);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(cannot("remove", &path, &error))
            }
            _ => Ok(()),
        }
    }
}

fn cannot(verb: &str, path: &Path, error: &io::Error) -> Failure {
    Failure::io(format!("cannot {verb} {}", path.display()), error)
}
