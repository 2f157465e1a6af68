//! Another file in the place of a database, in steps of which each can be the last.
//!
//! The new file is prepared inside the directory that keeps what it replaces. While its name ends in `.partial`, nothing has happened. Its rename to
//! `incoming.db` (for the notifications; `incoming-NAME.db` for others) decides: from then on the old files move aside and it moves in, now or at the next start of a daemon. So nobody ever sees the log of
//! one database beside the file of another.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use super::{DataDir, DatabasePath};

/// What the names of the directories begin with that keep what was replaced.
const ASIDE: &str = "replaced-";
/// The new file of the first database that could be restored. Those of the others name theirs.
const FIRST: (&str, &str) = ("notifications.db", "incoming.db");
/// What the name of the new file of another database begins with.
const INCOMING: &str = "incoming-";
/// What the name of a new file ends with while it is prepared.
const PARTIAL: &str = ".partial";
/// The name of the new file that takes the place of `database`, once that is decided.
fn incoming(database: &str) -> String {
    let (first, incoming) = FIRST;
    if database == first {
        return incoming.to_owned();
    }
    format!("{INCOMING}{database}")
}

/// All files of a database, in the order in which they move aside: without the first one nobody opens the others.
const FILES: [&str; 4] = ["", "-wal", "-shm", "-journal"];

/// A file that is prepared to take the place of a database. Dropping it leaves everything as it was.
#[derive(Debug)]
pub(crate) struct Replacement {
    aside: PathBuf,
    /// The name of the file once it is decided.
    incoming: String,
    decided: bool,
}

impl Replacement {
    /// The file to prepare. It exists, is empty, and nobody else can read it.
    pub(crate) fn path(&self) -> PathBuf {
        self.aside.join(format!("{}{PARTIAL}", self.incoming))
    }

    /// Decides that the prepared file takes the place of the database, durably; [`DataDir::finish_replacing`] does the rest.
    pub(crate) fn decide(mut self) -> io::Result<()> {
        let partial = self.path();
        File::open(&partial)?.sync_all()?;
        std::fs::rename(&partial, self.aside.join(&self.incoming))?;
        self.decided = true;
        sync(&self.aside)
    }
}

impl Drop for Replacement {
    fn drop(&mut self) {
        if !self.decided {
            discard(&self.aside);
        }
    }
}

/// Removes a directory in which nothing was decided yet. One that has anything else in it stays.
fn discard(aside: &Path) {
    for name in names(aside) {
        let is_prepared = FILES
            .iter()
            .any(|end| name.ends_with(&format!("{PARTIAL}{end}")));
        if is_prepared {
            drop(std::fs::remove_file(aside.join(name)));
        }
    }
    drop(std::fs::remove_dir(aside));
}

/// The names of the files in a directory; none where it cannot be read.
fn names(directory: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
    entries
        .filter_map(|entry| entry.file_name().into_string().ok())
        .collect()
}

impl DataDir {
    /// Begins to prepare a file that takes the place of `database`. `stamp` tells this time from others in the name of the directory. What is left of
    /// preparations that were interrupted is removed. Only for the holder of the instance lock.
    pub(crate) fn begin_replacing(
        &self,
        database: &DatabasePath,
        stamp: &str,
    ) -> io::Result<Replacement> {
        for aside in self.directories(ASIDE)? {
            let names = names(&aside);
            let is_decided = |name: &String| {
                name == FIRST.1 || (name.starts_with(INCOMING) && name.ends_with(".db"))
            };
            let is_prepared = |name: &String| name.ends_with(PARTIAL);
            if !names.iter().any(is_decided) && names.iter().any(is_prepared) {
                discard(&aside);
            }
        }
        let aside = self.make_aside(&format!("{ASIDE}{stamp}"))?;
        let replacement = Replacement {
            aside,
            incoming: incoming(database.name()),
            decided: false,
        };
        OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(replacement.path())?;
        Ok(replacement)
    }

    /// Finishes what was decided, whoever was interrupted: moves the files of `database` aside and the new one in. Returns the directory that keeps
    /// what was replaced, `None` where nothing was to be done. Only for the holder of the instance lock, and while this process has not opened the
    /// database.
    pub(crate) fn finish_replacing(&self, database: &DatabasePath) -> io::Result<Option<PathBuf>> {
        let mut finished = None;
        for aside in self.directories(ASIDE)? {
            let incoming = aside.join(incoming(database.name()));
            if !incoming.exists() {
                continue;
            }
            for end in FILES {
                self.move_aside(database, end, &aside)?;
            }
            sync(&aside)?;
            sync(self.path())?;
            std::fs::rename(&incoming, database.path())?;
            sync(self.path())?;
            sync(&aside)?;
            finished = Some(aside);
        }
        Ok(finished)
    }

    fn move_aside(&self, database: &DatabasePath, end: &str, aside: &Path) -> io::Result<()> {
        let name = format!("{}{end}", database.name());
        let from = self.path().join(&name);
        let mut to = aside.join(&name);
        // A program may have made a new file when the old one was gone already.
        let mut number = 2;
        while to.symlink_metadata().is_ok() {
            to = aside.join(format!("{name}.{number}"));
            number += 1;
        }
        match std::fs::rename(&from, &to) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            other => other,
        }
    }
}

fn sync(directory: &Path) -> io::Result<()> {
    File::open(directory)?.sync_all()
}

#[cfg(test)]
mod tests {
    use barista_locate::{Located, Source};

    use super::*;
    use crate::data_dir::Options;

    fn data_dir(directory: &tempfile::TempDir) -> (DataDir, DatabasePath) {
        let located = Located {
            path: directory.path().to_owned(),
            source: Source::Flag,
        };
        let data_dir = DataDir::open(&located, Options::default()).expect("a directory");
        let database = data_dir.database("a.db").expect("a path");
        for (end, text) in [("", "old"), ("-wal", "old log"), ("-shm", "old index")] {
            std::fs::write(data_dir.path().join(format!("a.db{end}")), text).expect("a file");
        }
        (data_dir, database)
    }

    fn prepared(data_dir: &DataDir, stamp: &str) -> Replacement {
        let database = data_dir.database("a.db").expect("a path");
        let replacement = data_dir.begin_replacing(&database, stamp);
        let replacement = replacement.expect("a directory");
        std::fs::write(replacement.path(), "new").expect("a file");
        replacement
    }

    fn read(path: &Path) -> String {
        std::fs::read_to_string(path).unwrap_or_else(|error| error.to_string())
    }

    #[test]
    fn before_the_decision_everything_is_as_it_was() {
        let directory = tempfile::tempdir().expect("a directory");
        let (data_dir, database) = data_dir(&directory);
        drop(prepared(&data_dir, "1"));
        // As after a kill.
        std::mem::forget(prepared(&data_dir, "2"));
        assert_eq!(data_dir.finish_replacing(&database).expect("nothing"), None);
        assert_eq!(read(database.path()), "old");
        drop(prepared(&data_dir, "3"));
        assert!(data_dir.directories(ASIDE).expect("a list").is_empty());
    }

    #[test]
    fn a_decision_is_about_one_database() {
        let directory = tempfile::tempdir().expect("a directory");
        let (data_dir, database) = data_dir(&directory);
        prepared(&data_dir, "1").decide().expect("decided");
        let other = data_dir.database("notifications.db").expect("a path");
        assert_eq!(data_dir.finish_replacing(&other).expect("nothing"), None);
        assert_eq!(read(database.path()), "old");
        assert!(
            data_dir
                .finish_replacing(&database)
                .expect("finished")
                .is_some()
        );
        assert_eq!(read(database.path()), "new");
    }

    #[test]
    fn a_decision_is_carried_out_wherever_it_was_interrupted() {
        for moved in 0..=3 {
            let directory = tempfile::tempdir().expect("a directory");
            let (data_dir, database) = data_dir(&directory);
            prepared(&data_dir, "1").decide().expect("decided");
            let aside = data_dir.path().join("replaced-1");
            for end in FILES.iter().take(moved) {
                data_dir.move_aside(&database, end, &aside).expect("moved");
            }
            if moved == 3 {
                // A tool that looked for the database meanwhile.
                std::fs::write(database.path(), "stray").expect("a file");
            }
            let finished = data_dir.finish_replacing(&database).expect("finished");
            assert_eq!(finished.as_deref(), Some(aside.as_path()));
            assert_eq!(read(database.path()), "new");
            assert!(!data_dir.path().join("a.db-wal").exists());
            assert_eq!(read(&aside.join("a.db")), "old");
            assert_eq!(read(&aside.join("a.db-wal")), "old log");
            assert_eq!(aside.join("a.db.2").exists(), moved == 3);
            assert_eq!(data_dir.finish_replacing(&database).expect("done"), None);
            assert_eq!(read(database.path()), "new");
        }
    }
}
