//! Other programs on this machine that open the databases themselves.

use std::time::Duration;

use tokio::process::Command;
use tokio::time::timeout;

use crate::doctor::finding::Finding;

/// The first release of SQLite without the WAL-reset bug, which is in all releases from 3.7.0 on.
const FIXED: Version = Version(3, 51, 3);
/// How long a program may take to tell its version.
const LIMIT: Duration = Duration::from_secs(5);

/// A release of SQLite.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Version(u32, u32, u32);

impl std::fmt::Display for Version {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}.{}", self.0, self.1, self.2)
    }
}

/// Looks at the SQLite of the `sqlite3` shell and of Python. Nothing is said about a program that is not there.
pub(crate) async fn examine() -> Vec<Finding> {
    let python = ["-c", "import sqlite3; print(sqlite3.sqlite_version)"];
    let (shell, python) = tokio::join!(ask("sqlite3", &["--version"]), ask("python3", &python));
    let shell = shell
        .and_then(|said| version(&said))
        .map(|version| ("the sqlite3 shell", version));
    let python = python
        .and_then(|said| version(&said))
        .map(|version| ("Python's sqlite3", version));
    let found: Vec<_> = shell.into_iter().chain(python).collect();
    judge(&found).into_iter().collect()
}

/// Whether a release of SQLite, named as in `SQLite 3.53.0`, has the WAL-reset bug; `None` where no release is named.
pub(crate) fn has_wal_reset_bug(said: &str) -> Option<bool> {
    version(said).map(|version| version < FIXED)
}

fn judge(programs: &[(&str, Version)]) -> Option<Finding> {
    let check = "other tools";
    let names = |programs: &[&(&str, Version)]| {
        let names: Vec<String> = programs
            .iter()
            .map(|(name, v)| format!("{name} ({v})"))
            .collect();
        names.join(" and ")
    };
    let all: Vec<_> = programs.iter().collect();
    let unsafe_ones: Vec<_> = programs
        .iter()
        .filter(|(_, version)| *version < FIXED)
        .collect();
    if all.is_empty() {
        return None;
    }
    if unsafe_ones.is_empty() {
        return Some(Finding::good(check, names(&all)));
    }
    let text = format!(
        "{} use an SQLite with the WAL-reset bug (fixed in {FIXED}): a checkpoint of theirs while the daemon writes can lose changes",
        names(&unsafe_ones)
    );
    let remedy = "update them, or only read with them (sqlite3 -readonly). The daemon keeps the log short enough that they do not \
                  checkpoint by themselves; never run wal_checkpoint or VACUUM with them";
    Some(Finding::warning(check, text, remedy))
}

/// The first word of the form 3.51.3.
fn version(said: &str) -> Option<Version> {
    said.split_whitespace().find_map(|word| {
        let mut numbers = word.split('.').map(str::parse);
        match (
            numbers.next(),
            numbers.next(),
            numbers.next(),
            numbers.next(),
        ) {
            (Some(Ok(major)), Some(Ok(minor)), Some(Ok(patch)), None) => {
                Some(Version(major, minor, patch))
            }
            _ => None,
        }
    })
}

/// What a program prints; `None` where it is not there or fails.
async fn ask(program: &str, arguments: &[&str]) -> Option<String> {
    let mut command = Command::new(program);
    command
        .args(arguments)
        .stdin(std::process::Stdio::null())
        .kill_on_drop(true);
    let output = timeout(LIMIT, command.output()).await.ok()?.ok()?;
    output
        .status
        .success()
        .then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::finding::Level;

    #[test]
    fn releases_before_the_fix_are_warned_about_with_the_reason() {
        let level = |said| {
            let found: Vec<_> = version(said)
                .map(|version| ("it", version))
                .into_iter()
                .collect();
            judge(&found).map(|finding| finding.level)
        };
        assert_eq!(
            level("3.40.1 2022-12-28 14:03:47 df5c253c0b3d"),
            Some(Level::Warning)
        );
        assert_eq!(level("3.51.2\n"), Some(Level::Warning));
        assert_eq!(level("3.51.3\n"), Some(Level::Good));
        assert_eq!(level("3.100.0"), Some(Level::Good));
        assert_eq!(level("no version here"), None);
        let both = [("one", Version(3, 40, 1)), ("two", Version(3, 53, 0))];
        let text = judge(&both).expect("a finding").text;
        assert!(
            text.starts_with("one (3.40.1) use an SQLite with the WAL-reset bug"),
            "{text}"
        );
    }

    #[test]
    fn the_daemon_s_own_words_are_understood() {
        assert_eq!(has_wal_reset_bug("SQLite 3.53.0"), Some(false));
        assert_eq!(has_wal_reset_bug("SQLite 3.46.1"), Some(true));
        assert_eq!(has_wal_reset_bug("PostgreSQL 17"), None);
    }
}
