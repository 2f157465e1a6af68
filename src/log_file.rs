//! A log file that never takes more than its share of the disk.
//!
//! `tracing-appender` rotates by the clock only, so a fault that is logged in a loop fills the disk within the hour. This one rotates by
//! size: `x.log` becomes `x.log.1`, that one `x.log.2`, and the oldest goes.

use std::fs::{File, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rustix::fs::Access;

/// A log file with bounded size. Each `write` is one whole line, so lines of different threads do not mix.
#[derive(Debug)]
pub struct LogFile {
    path: PathBuf,
    max_bytes: u64,
    keep: u32,
    current: Mutex<Current>,
}

#[derive(Debug)]
struct Current {
    file: File,
    bytes: u64,
}

impl LogFile {
    /// Opens `path` for appending, or creates it; mode 0600 either way. Together with `keep` rotated files it never has more than
    /// `max_bytes` × (`keep` + 1).
    ///
    /// # Errors
    ///
    /// When it is not a regular file (a symbolic link, a device), or cannot be opened or be made private.
    pub fn open(path: &Path, max_bytes: u64, keep: u32) -> io::Result<Self> {
        let current = Mutex::new(open(path)?);
        Ok(Self {
            path: path.to_owned(),
            max_bytes,
            keep,
            current,
        })
    }

    fn lock(&self) -> MutexGuard<'_, Current> {
        // A thread that panicked inside left a file and a number; both are good enough to go on.
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn write_line(&self, line: &[u8]) -> io::Result<()> {
        let limit = usize::try_from(self.max_bytes).unwrap_or(usize::MAX);
        let line = line.get(..limit).unwrap_or(line);
        let length = line.len() as u64;
        let mut current = self.lock();
        if current.bytes > 0 && current.bytes.saturating_add(length) > self.max_bytes {
            match self.rotate() {
                Ok(fresh) => *current = fresh,
                // The bound holds even where files cannot be renamed or created (a full or vanished directory): start over in the open file.
                Err(_) => {
                    current.file.set_len(0)?;
                    current.bytes = 0;
                }
            }
        }
        current.file.write_all(line)?;
        current.bytes += length;
        Ok(())
    }

    /// Moves every file one place on and opens a new one.
    fn rotate(&self) -> io::Result<Current> {
        for number in (0..self.keep).rev() {
            match std::fs::rename(self.numbered(number), self.numbered(number + 1)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        if self.keep == 0 {
            std::fs::remove_file(&self.path)?;
        }
        open(&self.path)
    }

    fn numbered(&self, number: u32) -> PathBuf {
        if number == 0 {
            return self.path.clone();
        }
        let mut name = self.path.as_os_str().to_owned();
        name.push(format!(".{number}"));
        name.into()
    }
}

impl Write for &LogFile {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.write_line(line)?;
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Looks whether [`LogFile::open`] would succeed, without making or changing anything.
///
/// # Errors
///
/// Why not.
pub fn look(path: &Path) -> io::Result<()> {
    match std::fs::symlink_metadata(path) {
        Ok(found) if found.is_file() => Ok(rustix::fs::access(path, Access::WRITE_OK)?),
        Ok(_) => Err(not_regular()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let directory = path.parent().unwrap_or(Path::new("."));
            Ok(rustix::fs::access(
                directory,
                Access::WRITE_OK | Access::EXEC_OK,
            )?)
        }
        Err(error) => Err(error),
    }
}

fn not_regular() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, "it is not a regular file")
}

fn open(path: &Path) -> io::Result<Current> {
    // Non-blocking, because opening a named pipe for writing waits for a reader; a regular file does not care.
    let flags = rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK;
    let file = OpenOptions::new()
        .append(true)
        .create(true)
        .mode(0o600)
        .custom_flags(flags.bits().cast_signed())
        .open(path)?;
    let found = file.metadata()?;
    if !found.is_file() {
        return Err(not_regular());
    }
    if found.permissions().mode() & 0o777 != 0o600 {
        file.set_permissions(Permissions::from_mode(0o600))?;
    }
    Ok(Current {
        file,
        bytes: found.len(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(path: &Path) -> String {
        std::fs::read_to_string(path).unwrap_or_default()
    }

    fn names(directory: &Path) -> Vec<String> {
        let mut names: Vec<String> = std::fs::read_dir(directory)
            .expect("a directory")
            .map(|entry| {
                entry
                    .expect("an entry")
                    .file_name()
                    .to_string_lossy()
                    .into_owned()
            })
            .collect();
        names.sort();
        names
    }

    #[test]
    fn lines_move_through_the_numbered_files_and_out() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let path = directory.path().join("x.log");
        let log = LogFile::open(&path, 10, 2).expect("opened");
        for line in ["one 1\n", "two 2\n", "three\n", "four4\n", "5\n", "6\n"] {
            (&log).write_all(line.as_bytes()).expect("written");
        }
        assert_eq!(text(&path), "four4\n5\n6\n");
        assert_eq!(text(&directory.path().join("x.log.1")), "three\n");
        assert_eq!(text(&directory.path().join("x.log.2")), "two 2\n");
        assert_eq!(names(directory.path()), ["x.log", "x.log.1", "x.log.2"]);
    }

    #[test]
    fn without_rotated_files_the_log_starts_over() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let path = directory.path().join("x.log");
        let log = LogFile::open(&path, 10, 0).expect("opened");
        for _ in 0..50 {
            (&log).write_all(b"seven 7\n").expect("written");
        }
        assert_eq!(text(&path), "seven 7\n");
        assert_eq!(names(directory.path()), ["x.log"]);
    }

    #[test]
    fn a_line_that_is_too_long_is_cut() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let path = directory.path().join("x.log");
        let log = LogFile::open(&path, 10, 1).expect("opened");
        (&log).write_all(&[b'x'; 100]).expect("written");
        assert_eq!(text(&path).len(), 10);
    }

    #[test]
    fn a_restart_appends_and_counts_what_is_there() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let path = directory.path().join("x.log");
        std::fs::write(&path, "before\n").expect("a file");
        std::fs::set_permissions(&path, Permissions::from_mode(0o644)).expect("chmod");
        let log = LogFile::open(&path, 14, 1).expect("opened");
        (&log).write_all(b"after1\n").expect("written");
        assert_eq!(text(&path), "before\nafter1\n");
        let mode = std::fs::metadata(&path)
            .expect("it exists")
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600);
        (&log).write_all(b"after2\n").expect("written");
        assert_eq!(text(&path), "after2\n");
        let mode = std::fs::metadata(&path)
            .expect("it exists")
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn a_directory_that_vanished_does_not_lift_the_bound() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let inner = directory.path().join("log");
        std::fs::create_dir(&inner).expect("a directory");
        let log = LogFile::open(&inner.join("x.log"), 10, 1).expect("opened");
        std::fs::remove_dir_all(&inner).expect("removed");
        for _ in 0..50 {
            (&log).write_all(b"seven 7\n").expect("written");
        }
        assert_eq!(log.lock().file.metadata().expect("open").len(), 8);
    }

    #[test]
    fn only_regular_files_are_written_to() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let precious = directory.path().join("precious");
        std::fs::write(&precious, "text").expect("a file");
        let link = directory.path().join("x.log");
        std::os::unix::fs::symlink(&precious, &link).expect("a link");
        for wrong in [
            &link,
            Path::new("/dev/null"),
            &directory.path().join("no/x.log"),
        ] {
            look(wrong).expect_err("cannot be a log");
        }
        look(&precious).expect("could be one");
        look(&directory.path().join("new.log")).expect("could be made");
        LogFile::open(&link, 10, 1).expect_err("a link");
        LogFile::open(Path::new("/dev/null"), 10, 1).expect_err("a device");
        LogFile::open(directory.path(), 10, 1).expect_err("a directory");
        assert_eq!(text(&precious), "text");
    }
}
