//! Reading a log file's end, and following it across its rotation.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// How much is read at once, in bytes.
const BLOCK: u64 = 64 << 10;

/// A log file that is read on from where it was left.
#[derive(Debug)]
pub(crate) struct LogFile {
    path: PathBuf,
    file: File,
    /// The end of the last line as far as it has been written.
    partial: Vec<u8>,
}

impl LogFile {
    /// Opens the file in front of its last `lines` lines.
    pub(crate) fn open_at_end(path: &Path, lines: usize) -> io::Result<Self> {
        let mut file = File::open(path)?;
        let start = start_of_last(&mut file, lines)?;
        file.seek(SeekFrom::Start(start))?;
        Ok(Self {
            path: path.to_owned(),
            file,
            partial: Vec::new(),
        })
    }

    /// The whole lines that have been added since the last call, of this file and of the one that took its place.
    pub(crate) fn read_on(&mut self) -> io::Result<Vec<String>> {
        let mut lines = self.read_lines()?;
        if self.is_rotated()? {
            // What was written between the read above and the rotation is still in the old file.
            lines.extend(self.read_lines()?);
            lines.extend(self.take_partial());
            self.file = File::open(&self.path)?;
            lines.extend(self.read_lines()?);
        }
        Ok(lines)
    }

    /// The last line where it has no line break yet.
    pub(crate) fn take_partial(&mut self) -> Option<String> {
        let partial = std::mem::take(&mut self.partial);
        (!partial.is_empty()).then(|| text_of(&partial))
    }

    /// Whether another file has the path now. One that is gone for the moment counts as not yet rotated; one that was cut is read from
    /// its beginning.
    fn is_rotated(&mut self) -> io::Result<bool> {
        let current = self.file.metadata()?;
        if self.file.stream_position()? > current.len() {
            self.file.seek(SeekFrom::Start(0))?;
        }
        match std::fs::metadata(&self.path) {
            Ok(found) => Ok((found.dev(), found.ino()) != (current.dev(), current.ino())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn read_lines(&mut self) -> io::Result<Vec<String>> {
        self.file.read_to_end(&mut self.partial)?;
        let Some(end) = self.partial.iter().rposition(|byte| *byte == b'\n') else {
            return Ok(Vec::new());
        };
        let rest = self.partial.split_off(end + 1);
        let whole = std::mem::replace(&mut self.partial, rest);
        Ok(whole[..end]
            .split(|byte| *byte == b'\n')
            .map(text_of)
            .collect())
    }
}

fn text_of(line: &[u8]) -> String {
    String::from_utf8_lossy(line).into_owned()
}

/// Where the last `lines` lines begin, found from the end: a log may be large.
fn start_of_last(file: &mut File, lines: usize) -> io::Result<u64> {
    let length = file.seek(SeekFrom::End(0))?;
    let mut end = length;
    let mut breaks = 0;
    while end > 0 {
        let start = end.saturating_sub(BLOCK);
        let mut block = Vec::new();
        file.seek(SeekFrom::Start(start))?;
        file.by_ref().take(end - start).read_to_end(&mut block)?;
        for (at, _) in block
            .iter()
            .enumerate()
            .rev()
            .filter(|(_, byte)| **byte == b'\n')
        {
            let after = start + at as u64 + 1;
            // The line break at the very end begins no line.
            breaks += usize::from(after < length);
            if breaks == lines || lines == 0 {
                return Ok(if lines == 0 { length } else { after });
            }
        }
        end = start;
    }
    Ok(0)
}

#[cfg(test)]
mod tests {
    use std::fs::OpenOptions;
    use std::io::Write;

    use super::*;

    fn append(path: &Path, text: &str) {
        let mut file = OpenOptions::new()
            .append(true)
            .create(true)
            .open(path)
            .expect("a file");
        file.write_all(text.as_bytes()).expect("written");
    }

    fn read(log: &mut LogFile) -> Vec<String> {
        log.read_on().expect("readable")
    }

    #[test]
    fn the_last_lines_are_found_in_a_file_of_many_blocks() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("log");
        for number in 0..20_000 {
            append(&path, &format!("line {number}\n"));
        }
        let mut log = LogFile::open_at_end(&path, 12_000).expect("open");
        let lines = read(&mut log);
        assert_eq!(lines.len(), 12_000);
        assert_eq!(lines.first().map(String::as_str), Some("line 8000"));
        assert_eq!(lines.last().map(String::as_str), Some("line 19999"));
        assert!(read(&mut LogFile::open_at_end(&path, 0).expect("open")).is_empty());
        assert_eq!(
            read(&mut LogFile::open_at_end(&path, 99_999).expect("open")).len(),
            20_000
        );
    }

    #[test]
    fn a_line_is_read_when_it_is_whole() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("log");
        append(&path, "one\ntw");
        let mut log = LogFile::open_at_end(&path, 10).expect("open");
        assert_eq!(read(&mut log), ["one"]);
        append(&path, "o\nthr");
        assert_eq!(read(&mut log), ["two"]);
        assert_eq!(log.take_partial().as_deref(), Some("thr"));
    }

    #[test]
    fn nothing_is_lost_or_doubled_over_a_rotation() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("log");
        append(&path, "one\n");
        let mut log = LogFile::open_at_end(&path, 10).expect("open");
        assert_eq!(read(&mut log), ["one"]);
        append(&path, "two\n");
        std::fs::rename(&path, directory.path().join("log.1")).expect("renamed");
        append(&directory.path().join("log.1"), "three\n");
        assert_eq!(read(&mut log), ["two", "three"]);
        append(&directory.path().join("log.1"), "four\nfi");
        append(&path, "six\n");
        assert_eq!(read(&mut log), ["four", "fi", "six"]);
        append(&path, "seven\n");
        assert_eq!(read(&mut log), ["seven"]);
    }

    #[test]
    fn a_file_that_was_cut_is_read_from_its_beginning() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("log");
        append(&path, "a long first line\n");
        let mut log = LogFile::open_at_end(&path, 10).expect("open");
        assert_eq!(read(&mut log).len(), 1);
        std::fs::write(&path, "new\n").expect("written");
        let mut lines = read(&mut log);
        lines.extend(read(&mut log));
        assert_eq!(lines, ["new"]);
    }
}
