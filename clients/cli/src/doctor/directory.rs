//! The data directory: whose it is, who may write into it, and how much room there is.
//!
//! Files are only looked at from outside: opening a database is the daemon's business.

use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use barista_locate::{CONFIG_FILE, LOG_FILE, Located, RUN_DIR, SOCKET_PATH_FILE};

use crate::doctor::finding::Finding;
use crate::doctor::fix::Fix;
use crate::render::status::bytes;
use crate::{shell, text};

/// Less than this on the disk is a problem, in bytes.
const TOO_LITTLE: u64 = 100 << 20;
/// Less than this on the disk is worth a warning, in bytes.
const LITTLE: u64 = 1 << 30;
/// The permissions with which Barista makes its directories and files.
const DIRECTORY_MODE: u32 = 0o700;
const FILE_MODE: u32 = 0o600;
/// The databases that may be in a data directory.
const DATABASES: [&str; 4] = [
    "notifications.db",
    "langfuse_export.db",
    "analytics.db",
    "daemon.db",
];
/// What SQLite keeps beside a database: its write-ahead log, and the index of that.
const BESIDE: [&str; 3] = ["", "-wal", "-shm"];

/// Looks at the data directory and what is in it. `daemon_is_absent`: nobody listens on the socket.
pub(crate) fn examine(located: &Located, daemon_is_absent: bool) -> Vec<Finding> {
    let path = &located.path;
    let metadata = match fs::metadata(path) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let text = format!(
                "{} ({}) does not exist; the daemon makes it",
                path.display(),
                located.source
            );
            return vec![Finding::note("data directory", text)];
        }
        Err(error) => {
            let text = format!("cannot look at {}: {error}", path.display());
            let remedy = "name another one with --data-dir";
            return vec![Finding::problem("data directory", text, remedy)];
        }
    };
    let us = Us::of_this_process();
    let mut findings = vec![owner_and_mode(located, &metadata, us)];
    if metadata.uid() != us.uid {
        // All that is in it is somebody else's, too, and to be left to them.
        return findings;
    }
    findings.extend(configuration(path, us));
    findings.extend(private_directory("socket", &path.join(RUN_DIR), us));
    findings.extend(logs(path, us));
    findings.extend(socket(path, us, daemon_is_absent));
    let files = DATABASES
        .iter()
        .flat_map(|name| BESIDE.map(|end| path.join(format!("{name}{end}"))));
    findings.extend(files.filter_map(|file| database(&file, us)));
    findings.extend(room(path));
    findings
}

/// The path as a remedy has it, which is meant for a shell.
fn typed(path: &Path) -> String {
    shell::word(&path.display().to_string())
}

/// Who looks.
#[derive(Debug, Clone, Copy)]
struct Us {
    uid: u32,
    gid: u32,
}

impl Us {
    fn of_this_process() -> Self {
        Self {
            uid: rustix::process::geteuid().as_raw(),
            gid: rustix::process::getegid().as_raw(),
        }
    }

    /// Whether others may write to it. The primary group counts as the user's own, as it does for the daemon.
    fn is_open_to_others(self, metadata: &Metadata) -> bool {
        let mode = metadata.mode();
        mode & 0o002 != 0 || (mode & 0o020 != 0 && metadata.gid() != self.gid)
    }

    /// Gives `path` the permissions `mode`, where it is ours to change.
    fn fix(self, path: &Path, metadata: &Metadata, mode: u32) -> Option<Fix> {
        (metadata.uid() == self.uid).then(|| Fix::Mode(path.to_owned(), mode))
    }
}

fn owner_and_mode(located: &Located, metadata: &Metadata, us: Us) -> Finding {
    let check = "data directory";
    let path = located.path.display();
    if !metadata.is_dir() {
        return Finding::problem(
            check,
            format!("{path} is not a directory"),
            "name one with --data-dir",
        );
    }
    if metadata.uid() != us.uid {
        let owner = user(metadata.uid());
        let text = format!("{path} belongs to {owner}, and you are {}", user(us.uid));
        let remedy = format!("name a directory of your own with --data-dir, or do it as {owner}");
        return Finding::problem(check, text, remedy);
    }
    let mode = metadata.mode() & 0o7777;
    let wrong = if us.is_open_to_others(metadata) {
        format!("others may write into {path} (mode {mode:o})")
    } else if mode & 0o700 != 0o700 {
        format!("its owner may not read and write {path} (mode {mode:o})")
    } else {
        return Finding::good(check, format!("{path} ({}, mode {mode:o})", located.source));
    };
    let fix = us.fix(&located.path, metadata, DIRECTORY_MODE);
    Finding::problem(
        check,
        wrong,
        format!("chmod {DIRECTORY_MODE:o} {}", typed(&located.path)),
    )
    .fixed_by(fix)
}

/// A user as people know them.
fn user(uid: u32) -> String {
    let known = nix::unistd::User::from_uid(uid.into()).ok().flatten();
    known.map_or_else(
        || format!("the user with the id {uid}"),
        |user| format!("{} (user id {uid})", text::line(&user.name)),
    )
}

/// Whether others may change the configuration. Whether it is valid is for the daemon's own check to say.
fn configuration(data_dir: &Path, us: Us) -> Option<Finding> {
    let file = data_dir.join(CONFIG_FILE);
    let metadata = fs::metadata(&file).ok()?;
    us.is_open_to_others(&metadata).then(|| {
        let mode = metadata.mode() & 0o7777;
        let text = format!("others may change {} (mode {mode:o})", file.display());
        let fix = us.fix(&file, &metadata, FILE_MODE);
        let remedy = format!("chmod {FILE_MODE:o} {}", typed(&file));
        Finding::warning("configuration", text, remedy).fixed_by(fix)
    })
}

/// A directory that only its owner should enter, for what `check` is about; nothing is said about one that is so, or not there.
fn private_directory(check: &'static str, path: &Path, us: Us) -> Option<Finding> {
    let metadata = fs::symlink_metadata(path).ok()?;
    let mode = metadata.mode() & 0o7777;
    let fix = us.fix(path, &metadata, DIRECTORY_MODE);
    let shown = path.display();
    let remedy = format!("chmod {DIRECTORY_MODE:o} {}", typed(path));
    if mode & 0o700 != 0o700 {
        let text = format!("its owner may not read and write {shown} (mode {mode:o})");
        return Some(Finding::problem(check, text, remedy).fixed_by(fix));
    }
    (mode & 0o077 != 0).then(|| {
        let text = format!("others may look into {shown} (mode {mode:o})");
        Finding::warning(check, text, remedy).fixed_by(fix)
    })
}

/// The directory of the log, and the files in it: they say what happens here, and to nobody else.
fn logs(data_dir: &Path, us: Us) -> Vec<Finding> {
    let Some(directory) = data_dir.join(LOG_FILE).parent().map(Path::to_owned) else {
        return Vec::new();
    };
    let entries = fs::read_dir(&directory).into_iter().flatten().flatten();
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
    files.sort();
    let files = files.iter().filter_map(|file| log(file, us));
    let directory = private_directory("log", &directory, us);
    directory.into_iter().chain(files).collect()
}

fn log(path: &Path, us: Us) -> Option<Finding> {
    let metadata = fs::symlink_metadata(path).ok()?;
    let (mode, shown) = (metadata.mode() & 0o7777, path.display());
    if !metadata.is_file() {
        let text = format!("{shown} is not a file, so nothing can be logged there");
        return Some(Finding::problem(
            "log",
            text,
            format!("mv {shown} {shown}.old"),
        ));
    }
    if metadata.uid() != us.uid {
        let text = format!("{shown} belongs to {}", user(metadata.uid()));
        let remedy = format!("sudo chown {} {}", us.uid, typed(path));
        return Some(Finding::problem("log", text, remedy));
    }
    let fix = us.fix(path, &metadata, FILE_MODE);
    let remedy = format!("chmod {FILE_MODE:o} {}", typed(path));
    if mode & 0o600 != 0o600 {
        let text = format!("its owner may not read and write {shown} (mode {mode:o})");
        return Some(Finding::problem("log", text, remedy).fixed_by(fix));
    }
    (mode & 0o077 != 0).then(|| {
        let text = format!("others may read {shown} (mode {mode:o})");
        Finding::warning("log", text, remedy).fixed_by(fix)
    })
}

/// The socket's path, as a daemon has published it or else would compute it, and what lies there.
fn socket(data_dir: &Path, us: Us, daemon_is_absent: bool) -> Vec<Finding> {
    let canonical = fs::canonicalize(data_dir).unwrap_or_else(|_| data_dir.to_owned());
    let usual = barista_locate::socket_path(&canonical, us.uid);
    let published = barista_locate::published_socket(&canonical.join(RUN_DIR), us.uid);
    let mut findings = Vec::new();
    if !usual.starts_with(&canonical) && published.is_none() {
        let text = format!(
            "the data directory's path is too long for a socket, which is {}",
            usual.display()
        );
        findings.push(Finding::note("socket", text));
    }
    if daemon_is_absent && published.is_some() {
        findings.push(stale_publication(&canonical));
    }
    let path = published.unwrap_or(usual);
    if let Ok(metadata) = fs::symlink_metadata(&path) {
        findings.push(socket_file(&path, &metadata, us, daemon_is_absent));
    }
    findings
}

fn stale_publication(data_dir: &Path) -> Finding {
    let path = data_dir.join(RUN_DIR).join(SOCKET_PATH_FILE);
    let shown = path.display();
    let text = format!("{shown} names the socket of a daemon that has ended");
    Finding::warning("socket", text, format!("rm {}", typed(&path)))
        .fixed_by(Fix::RemovePublished(path))
}

fn socket_file(path: &Path, metadata: &Metadata, us: Us, daemon_is_absent: bool) -> Finding {
    let check = "socket";
    let shown = path.display();
    let mode = metadata.mode() & 0o777;
    if !metadata.file_type().is_socket() {
        let text = format!("{shown} is not a socket");
        Finding::problem(
            check,
            text,
            format!("barista daemon stop; rm {}", typed(path)),
        )
    } else if metadata.uid() != us.uid {
        let text = format!("{shown} belongs to {}", user(metadata.uid()));
        let remedy = "name another data directory with --data-dir";
        Finding::problem(check, text, remedy)
    } else if daemon_is_absent {
        let text = format!("{shown} is stale: nobody listens; the next daemon removes it");
        Finding::warning(check, text, format!("rm {}", typed(path)))
            .fixed_by(Fix::RemoveSocket(path.to_owned()))
    } else if mode & 0o077 != 0 {
        let text = format!("others may use {shown} (mode {mode:o})");
        Finding::warning(check, text, format!("chmod 600 {}", typed(path)))
            .fixed_by(us.fix(path, metadata, 0o600))
    } else {
        Finding::good(check, shown.to_string())
    }
}

/// What is wrong with a file of a database; nothing is said about one that is as it should be, or not there.
fn database(path: &PathBuf, us: Us) -> Option<Finding> {
    let check = "database";
    let metadata = fs::symlink_metadata(path).ok()?;
    let shown = path.display();
    if metadata.is_symlink() {
        let text = format!("{shown} is a symbolic link, which the daemon refuses");
        let remedy = format!("move the file itself to {shown}");
        return Some(Finding::problem(check, text, remedy));
    }
    if metadata.uid() != us.uid {
        let text = format!("{shown} belongs to {}", user(metadata.uid()));
        let remedy = format!("sudo chown {} {}", us.uid, typed(path));
        return Some(Finding::problem(check, text, remedy));
    }
    let mode = metadata.mode() & 0o7777;
    if mode & 0o600 != 0o600 {
        let text = format!("its owner may not read and write {shown} (mode {mode:o})");
        let fix = us.fix(path, &metadata, FILE_MODE);
        let remedy = format!("chmod {FILE_MODE:o} {}", typed(path));
        return Some(Finding::problem(check, text, remedy).fixed_by(fix));
    }
    us.is_open_to_others(&metadata).then(|| {
        let text = format!("others may write to {shown} (mode {mode:o}), which the daemon refuses");
        let fix = us.fix(path, &metadata, FILE_MODE);
        Finding::problem(check, text, format!("chmod {FILE_MODE:o} {}", typed(path))).fixed_by(fix)
    })
}

fn room(path: &Path) -> Option<Finding> {
    let space = rustix::fs::statvfs(path).ok()?;
    let available = space.f_bavail.saturating_mul(space.f_frsize);
    let text = format!(
        "{} available",
        bytes(i64::try_from(available).unwrap_or(i64::MAX))
    );
    Some(match available {
        ..TOO_LITTLE => Finding::problem(
            "disk",
            text,
            "make room; writes are refused when the disk is full",
        ),
        TOO_LITTLE..LITTLE => Finding::warning("disk", text, "make room soon"),
        _ => Finding::good("disk", text),
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use barista_locate::Source;

    use super::*;
    use crate::doctor::finding::Level;

    fn worst(path: &Path) -> Vec<(Level, String)> {
        let located = Located {
            path: path.to_owned(),
            source: Source::Flag,
        };
        let bad = |finding: &Finding| matches!(finding.level, Level::Warning | Level::Problem);
        let findings = examine(&located, true).into_iter().filter(bad);
        findings
            .filter(|finding| finding.check != "disk")
            .map(|f| (f.level, f.check.into_owned()))
            .collect()
    }

    #[test]
    fn a_remedy_with_a_path_can_be_pasted() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("it's mine");
        fs::create_dir(&path).expect("a directory");
        set_mode(&path, 0o777);
        let located = Located {
            path: path.clone(),
            source: Source::Flag,
        };
        let findings = examine(&located, true);
        let remedy = findings[0].remedy.as_deref().expect("a remedy");
        assert!(remedy.ends_with(r"it'\''s mine'"), "{remedy}");
        let pasted = std::process::Command::new("sh")
            .args(["-c", remedy])
            .status();
        assert!(pasted.expect("a shell").success());
        let mode = fs::metadata(&path).expect("there").mode();
        assert_eq!(mode & 0o777, DIRECTORY_MODE);
    }

    fn set_mode(path: &Path, mode: u32) {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("permissions");
    }

    #[test]
    fn a_private_directory_is_fine_and_a_shared_one_is_not() {
        let directory = tempfile::tempdir().expect("a directory");
        assert_eq!(worst(directory.path()), []);
        set_mode(directory.path(), 0o777);
        assert_eq!(
            worst(directory.path()),
            [(Level::Problem, "data directory".to_owned())]
        );
    }

    #[test]
    fn files_that_others_may_write_or_redirect_are_found() {
        let directory = tempfile::tempdir().expect("a directory");
        fs::create_dir(directory.path().join(RUN_DIR)).expect("a directory");
        set_mode(&directory.path().join(RUN_DIR), 0o755);
        fs::write(directory.path().join("daemon.db"), "").expect("a file");
        set_mode(&directory.path().join("daemon.db"), 0o666);
        symlink("/elsewhere", directory.path().join("notifications.db")).expect("a link");
        assert_eq!(
            worst(directory.path()),
            [
                (Level::Warning, "socket".to_owned()),
                (Level::Problem, "database".to_owned()),
                (Level::Problem, "database".to_owned())
            ]
        );
    }

    #[test]
    fn a_directory_that_is_missing_is_no_problem_yet() {
        assert_eq!(worst(Path::new("/no/such/directory")), []);
        assert_eq!(
            worst(Path::new("/dev/null")),
            [(Level::Problem, "data directory".to_owned())]
        );
    }
}
