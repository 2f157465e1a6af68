//! What can be wrong with the data directory, in sentences that end with what to do.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use super::FileIdentity;

/// A rule about the data directory or a file in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rule {
    /// It must be a directory, not a symbolic link to one.
    Directory,
    /// It must be a regular file, not a symbolic link to one.
    RegularFile,
    /// It must belong to the user that the daemon runs as.
    Owner {
        /// Whom it belongs to.
        found: u32,
        /// Whom it must belong to.
        expected: u32,
    },
    /// Others must not be able to write to it.
    NotWritableByOthers,
    /// Its group must not be able to write to it, unless that is the primary group of the daemon's process.
    NotWritableByGroup,
    /// It must lie on a file system of this machine.
    LocalFileSystem {
        /// The type of the file system that it lies on.
        name: String,
    },
    /// Nobody but its owner may do anything with it: mode 0700.
    Private {
        /// The mode that it has.
        mode: u32,
    },
    /// It must be a plain file name.
    PlainName,
    /// It must lie inside the data directory.
    Inside {
        /// The data directory.
        directory: PathBuf,
    },
}

impl Rule {
    pub(crate) fn broken_by(self, path: &Path) -> DataDirError {
        DataDirError::Broken {
            rule: self,
            path: path.to_owned(),
        }
    }

    fn explain(&self, path: &Path, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = path.display();
        let typed = Quoted(path);
        match self {
            Self::Directory => write!(
                f,
                "{shown} is not a directory; move it away (mv {typed} {typed}.old), or choose another data directory with --data-dir"
            ),
            Self::RegularFile => write!(
                f,
                "{shown} is not a regular file, and symbolic links are not followed; move it away (mv {typed} {typed}.old), \
                 or put the file itself there"
            ),
            Self::Owner { found, expected } => write!(
                f,
                "{shown} belongs to user {found}, but this is user {expected}; run as that user, or name a data directory of your own with --data-dir"
            ),
            Self::NotWritableByOthers => {
                write!(
                    f,
                    "{shown} can be written by every user of this machine; correct that: chmod o-w {typed}"
                )
            }
            Self::NotWritableByGroup => {
                write!(
                    f,
                    "{shown} can be written by other users of its group; correct that: chmod g-w {typed}"
                )
            }
            Self::LocalFileSystem { name } => write!(
                f,
                "{shown} lies on a file system of type {name}, where other machines or programs may change files unseen and databases are damaged; \
                 choose a directory on a local disk with --data-dir, or take the risk with --allow-network-file-system"
            ),
            Self::Private { mode } => {
                write!(
                    f,
                    "{shown} has mode {mode:o}, but must be closed to everybody else; correct that: chmod 700 {typed}"
                )
            }
            Self::PlainName => write!(
                f,
                "{path:?} is not the name of a database; use a plain file name such as \"notifications.db\", without a directory"
            ),
            Self::Inside { directory } => write!(
                f,
                "{shown} lies outside the data directory {}; use a file inside it",
                directory.display()
            ),
        }
    }
}

/// Why a data directory, or a file in it, is not used. The message says what to do.
#[derive(Debug, thiserror::Error)]
pub enum DataDirError {
    /// A rule is broken.
    #[error("{}", Explained { rule, path })]
    Broken {
        /// Which rule.
        rule: Rule,
        /// By what.
        path: PathBuf,
    },
    /// A directory is missing and cannot be created.
    #[error("cannot create the directory {}: {source}; create it yourself (mkdir -p -m 700 {}), or choose another one with --data-dir",
        .path.display(), Quoted(.path))]
    CannotCreate {
        /// The directory.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The directory that was named on the command line is missing, and so is the one that it should lie in: that is more likely a slip of the
    /// finger than a wish.
    #[error("the data directory {} cannot be made, as {} does not exist; correct --data-dir, or make that first: mkdir -p {}",
        .path.display(), .parent.display(), Quoted(.parent))]
    NoParent {
        /// The directory.
        path: PathBuf,
        /// What is missing above it.
        parent: PathBuf,
    },
    /// Something exists, but cannot be looked up.
    #[error("cannot look at {}: {source}; check the permissions of the directories above it: ls -ld {}", .path.display(), Quoted(.path))]
    Unreadable {
        /// What.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// No file can be created in a directory.
    #[error("cannot write in {}: {source}; check the disk (df {quoted}) and the permissions (ls -ld {quoted})", .path.display(), quoted = Quoted(.path))]
    NotWritable {
        /// The directory.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A file or directory that the daemon uses is gone.
    #[error("{} was moved or deleted while the daemon used it; put it back or restore a backup, then restart the daemon", .path.display())]
    Missing {
        /// What is gone.
        path: PathBuf,
    },
    /// Another file or directory took the place of the one that the daemon uses.
    #[error("{} was replaced while the daemon used it (it was {expected}, and is {found}); restart the daemon to use the new one, or put the old one back",
        .path.display())]
    Replaced {
        /// What was replaced.
        path: PathBuf,
        /// What the daemon uses.
        expected: FileIdentity,
        /// What is there now.
        found: FileIdentity,
    },
}

impl DataDirError {
    /// A lookup failed: nothing there is one thing, no permission to look another.
    pub(crate) fn unreadable(path: &Path, source: io::Error) -> Self {
        match source.kind() {
            io::ErrorKind::NotFound => Self::Missing {
                path: path.to_owned(),
            },
            _ => Self::Unreadable {
                path: path.to_owned(),
                source,
            },
        }
    }

    /// The rule that is broken, when it is a rule.
    #[must_use]
    pub fn rule(&self) -> Option<&Rule> {
        match self {
            Self::Broken { rule, .. } => Some(rule),
            _ => None,
        }
    }
}

struct Explained<'a> {
    rule: &'a Rule,
    path: &'a Path,
}

impl fmt::Display for Explained<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.rule.explain(self.path, f)
    }
}

/// A path as it must be typed in a shell.
pub(crate) struct Quoted<'a>(pub(crate) &'a Path);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = self.0.to_string_lossy();
        let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+:@%".contains(c);
        if text.chars().all(plain) {
            return f.write_str(&text);
        }
        write!(f, "'{}'", text.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_ready_to_paste() {
        let quoted = |path: &str| Quoted(Path::new(path)).to_string();
        assert_eq!(quoted("/a/b-c.db"), "/a/b-c.db");
        assert_eq!(quoted("/my data/it's"), r"'/my data/it'\''s'");
    }

    #[test]
    fn each_rule_says_what_to_do() {
        let message = |rule: Rule| rule.broken_by(Path::new("/my data")).to_string();
        assert!(message(Rule::NotWritableByOthers).ends_with("chmod o-w '/my data'"));
        assert!(message(Rule::NotWritableByGroup).ends_with("chmod g-w '/my data'"));
        assert!(
            message(Rule::Owner {
                found: 7,
                expected: 9
            })
            .ends_with("name a data directory of your own with --data-dir")
        );
        let network = message(Rule::LocalFileSystem { name: "nfs".into() });
        assert!(network.contains("type nfs") && network.contains("--allow-network-file-system"));
    }
}
