//! The data directory: whose it is, who may write into it, and how much room there is.
//!
//! Files are only looked at from outside: opening a database is the daemon's business.

use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use barista_locate::{CONFIG_FILE, Located, RUN_DIR};

use crate::doctor::finding::Finding;
use crate::render::status::bytes;

/// Less than this on the disk is a problem, in bytes.
const TOO_LITTLE: u64 = 100 << 20;
/// Less than this on the disk is worth a warning, in bytes.
const LITTLE: u64 = 1 << 30;
/// The databases that may be in a data directory.
const DATABASES: [&str; 4] = [
    "notifications.db",
    "langfuse_export.db",
    "analytics.db",
    "daemon.db",
];

/// Looks at the data directory and what is in it.
pub(crate) fn examine(located: &Located) -> Vec<Finding> {
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
    let uid = rustix::process::geteuid().as_raw();
    let mut findings = vec![owner_and_mode(located, &metadata, uid)];
    findings.extend(configuration(path));
    findings.extend(run_directory(path));
    findings.extend(socket(path, uid));
    findings.extend(
        DATABASES
            .iter()
            .filter_map(|name| database(&path.join(name))),
    );
    findings.extend(system::file_system(path));
    findings.extend(room(path));
    findings
}

fn owner_and_mode(located: &Located, metadata: &Metadata, uid: u32) -> Finding {
    let check = "data directory";
    let path = located.path.display();
    if !metadata.is_dir() {
        return Finding::problem(
            check,
            format!("{path} is not a directory"),
            "name one with --data-dir",
        );
    }
    if metadata.uid() != uid {
        let text = format!(
            "{path} belongs to user id {}, and you are {uid}",
            metadata.uid()
        );
        return Finding::problem(check, text, "name a directory of your own with --data-dir");
    }
    if metadata.mode() & 0o022 != 0 {
        let text = format!(
            "others may write into {path} (mode {:o})",
            metadata.mode() & 0o7777
        );
        return Finding::problem(check, text, format!("chmod go-w {path}"));
    }
    Finding::good(check, format!("{path} ({})", located.source))
}

fn configuration(data_dir: &Path) -> Option<Finding> {
    let file = data_dir.join(CONFIG_FILE);
    (!file.is_file()).then(|| {
        Finding::note(
            "configuration",
            format!("no {}: the defaults apply", file.display()),
        )
    })
}

fn run_directory(data_dir: &Path) -> Option<Finding> {
    let path = data_dir.join(RUN_DIR);
    let mode = fs::symlink_metadata(&path).ok()?.mode() & 0o7777;
    (mode & 0o077 != 0).then(|| {
        let text = format!(
            "{} has mode {mode:o}, so others see the socket",
            path.display()
        );
        Finding::warning("socket", text, format!("chmod 700 {}", path.display()))
    })
}

/// The socket's path, as a daemon has published it or else would compute it, and what lies there.
fn socket(data_dir: &Path, uid: u32) -> Vec<Finding> {
    let canonical = fs::canonicalize(data_dir).unwrap_or_else(|_| data_dir.to_owned());
    let usual = barista_locate::socket_path(&canonical, uid);
    let published = barista_locate::published_socket(&canonical.join(RUN_DIR), uid);
    let mut findings = Vec::new();
    if !usual.starts_with(&canonical) && published.is_none() {
        let text = format!(
            "the data directory's path is too long for a socket, which is {}",
            usual.display()
        );
        findings.push(Finding::note("socket", text));
    }
    let path = published.unwrap_or(usual);
    let Ok(metadata) = fs::symlink_metadata(&path) else {
        return findings;
    };
    let mode = metadata.mode() & 0o777;
    let remove = format!("barista daemon stop; rm {}", path.display());
    if !metadata.file_type().is_socket() {
        let text = format!("{} is not a socket", path.display());
        findings.push(Finding::problem("socket", text, remove));
    } else if metadata.uid() != uid {
        let text = format!("{} belongs to user id {}", path.display(), metadata.uid());
        findings.push(Finding::problem(
            "socket",
            text,
            "name another data directory with --data-dir",
        ));
    } else if mode & 0o077 != 0 {
        let text = format!("others may use {} (mode {mode:o})", path.display());
        findings.push(Finding::warning("socket", text, "barista daemon restart"));
    } else {
        findings.push(Finding::good("socket", path.display().to_string()));
    }
    findings
}

/// What is wrong with a database's file; nothing is said about one that is as it should be, or not there yet.
fn database(path: &PathBuf) -> Option<Finding> {
    let metadata = fs::symlink_metadata(path).ok()?;
    let shown = path.display();
    if metadata.is_symlink() {
        let text = format!("{shown} is a symbolic link, which the daemon refuses");
        return Some(Finding::problem(
            "database",
            text,
            format!("move the file itself to {shown}"),
        ));
    }
    let mode = metadata.mode() & 0o777;
    (mode & 0o022 != 0).then(|| {
        let text = format!("others may write to {shown} (mode {mode:o})");
        Finding::warning("database", text, format!("chmod go-w {shown}"))
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

#[cfg(target_os = "linux")]
mod system {
    use rustix::fs::FsWord;

    use super::{Finding, Path};

    /// File systems that keep no memory shared between machines or processes, which the write-ahead log needs. From linux/magic.h.
    const UNSUITABLE: [(FsWord, &str); 6] = [
        (0x6969, "NFS"),
        (0xff53_4d42, "CIFS"),
        (0xfe53_4d42, "SMB"),
        (0x517b, "SMB"),
        (0x0102_1997, "9p"),
        (0x6573_5546, "FUSE"),
    ];

    /// Whether the databases are on a file system that cannot hold them.
    pub(super) fn file_system(path: &Path) -> Option<Finding> {
        let kind = rustix::fs::statfs(path).ok()?.f_type;
        UNSUITABLE
            .iter()
            .find(|(magic, _)| *magic == kind)
            .map(|(_, name)| {
                let text = format!(
                    "{} is on {name}, where SQLite's write-ahead log is not safe",
                    path.display()
                );
                Finding::problem(
                    "file system",
                    text,
                    "name a directory on a local disk with --data-dir",
                )
            })
    }
}

#[cfg(not(target_os = "linux"))]
mod system {
    use super::{Finding, Path};

    /// Not known here.
    pub(super) fn file_system(_path: &Path) -> Option<Finding> {
        None
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use barista_locate::Source;

    use super::*;
    use crate::doctor::finding::Level;

    fn worst(path: &Path) -> Vec<(Level, &'static str)> {
        let located = Located {
            path: path.to_owned(),
            source: Source::Flag,
        };
        let bad = |finding: &Finding| matches!(finding.level, Level::Warning | Level::Problem);
        let findings = examine(&located).into_iter().filter(bad);
        findings
            .filter(|finding| finding.check != "disk")
            .map(|f| (f.level, f.check))
            .collect()
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
            [(Level::Problem, "data directory")]
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
                (Level::Warning, "socket"),
                (Level::Problem, "database"),
                (Level::Warning, "database")
            ]
        );
    }

    #[test]
    fn a_directory_that_is_missing_is_no_problem_yet() {
        assert_eq!(worst(Path::new("/no/such/directory")), []);
        assert_eq!(
            worst(Path::new("/dev/null")),
            [(Level::Problem, "data directory")]
        );
    }
}
