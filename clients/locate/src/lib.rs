//! Where Barista's data directory and socket are.
//!
//! The daemon and its clients are separate programs that must agree on two paths without talking to each other first. This crate is that
//! agreement and nothing else: it opens no database and speaks no protocol.

use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

pub mod variables;

/// The environment variable that names the data directory.
pub const DATA_DIR_VARIABLE: &str = "BARISTA_DATA_DIR";
/// The configuration file whose presence marks a directory as a data directory.
pub const CONFIG_FILE: &str = "barista.toml";
/// The directory inside the data directory that holds the sockets and the locks.
pub const RUN_DIR: &str = "run";
/// The socket's file name inside [`RUN_DIR`].
pub const SOCKET_FILE: &str = "barista.sock";
/// The directory inside [`RUN_DIR`] that holds the agent socket and nothing else; the only one that a sandbox needs to see.
pub const AGENT_DIR: &str = "agent";
/// The agent socket's file name inside [`AGENT_DIR`].
pub const AGENT_SOCKET_FILE: &str = "agent.sock";
/// The file inside [`RUN_DIR`] in which a running daemon publishes its socket's path.
pub const SOCKET_PATH_FILE: &str = "socket.path";
/// The file inside [`RUN_DIR`] that a daemon keeps locked for life; it holds the daemon's process id.
pub const INSTANCE_LOCK_FILE: &str = "baristad.lock";
/// The file inside [`RUN_DIR`] that a client locks while it starts a daemon.
pub const START_LOCK_FILE: &str = "start.lock";
/// The log file, inside the data directory, of a daemon that a client started.
pub const LOG_FILE: &str = "log/baristad.log";
/// The longest socket path, in bytes, that every platform takes (`sun_path` has 104 on macOS and 108 on Linux).
pub const MAX_SOCKET_PATH: usize = 100;

/// Which rule found the data directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// It was named on the command line.
    Flag,
    /// `BARISTA_DATA_DIR` names it.
    Environment,
    /// This configuration file lies in the current directory's `data`, or in that of a directory above it.
    Project(PathBuf),
    /// None of the others: the user's own data directory.
    User,
}

impl std::fmt::Display for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Flag => f.write_str("--data-dir"),
            Self::Environment => f.write_str(DATA_DIR_VARIABLE),
            Self::Project(file) => write!(f, "found {}", file.display()),
            Self::User => f.write_str("the user's default"),
        }
    }
}

/// A data directory as found; nobody has checked yet that it exists or is sound.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Located {
    /// The directory, absolute.
    pub path: PathBuf,
    /// Why this one.
    pub source: Source,
}

/// Why no data directory could be named.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum LocateError {
    /// There is neither `XDG_DATA_HOME` nor `HOME` to fall back on.
    #[error(
        "no data directory: neither {DATA_DIR_VARIABLE}, XDG_DATA_HOME nor HOME is set; name one with --data-dir"
    )]
    NoHome,
}

/// Finds the data directory: the flag, else `BARISTA_DATA_DIR`, else the nearest `data/barista.toml` in `current_dir` or above it, else
/// `$XDG_DATA_HOME/barista` (by default `~/.local/share/barista`).
///
/// `variable` reads the environment: [`std::env::var_os`] in a program. Empty values count as absent, and a relative
/// `XDG_DATA_HOME` is ignored, as its specification asks.
///
/// # Errors
///
/// [`LocateError::NoHome`] when none of the rules applies.
pub fn data_dir(
    flag: Option<&Path>,
    variable: impl Fn(&str) -> Option<OsString>,
    current_dir: &Path,
) -> Result<Located, LocateError> {
    let variable = |name: &str| {
        variable(name)
            .filter(|value| !value.is_empty())
            .map(PathBuf::from)
    };
    if let Some(path) = flag {
        return Ok(Located {
            path: current_dir.join(path),
            source: Source::Flag,
        });
    }
    if let Some(path) = variable(DATA_DIR_VARIABLE) {
        return Ok(Located {
            path: current_dir.join(path),
            source: Source::Environment,
        });
    }
    if let Some(found) = project_data_dir(current_dir) {
        return Ok(found);
    }
    let base = variable("XDG_DATA_HOME")
        .filter(|path| path.is_absolute())
        .or_else(|| variable("HOME").map(|home| home.join(".local/share")))
        .ok_or(LocateError::NoHome)?;
    Ok(Located {
        path: base.join("barista"),
        source: Source::User,
    })
}

/// Finds the data directory of the nearest project: that of the nearest `data/barista.toml` in `current_dir` or above it, as git finds `.git`.
#[must_use]
pub fn project_data_dir(current_dir: &Path) -> Option<Located> {
    current_dir
        .ancestors()
        .map(|directory| directory.join("data"))
        .find_map(|data| {
            let config = data.join(CONFIG_FILE);
            config.is_file().then_some(Located {
                path: data,
                source: Source::Project(config),
            })
        })
}

/// The path of the socket of the daemon that owns `data_dir`, which must be canonical: both sides compute it from the same bytes.
///
/// It is `run/barista.sock` inside the data directory. Where that is longer than [`MAX_SOCKET_PATH`], it is a name made from a hash of
/// the path, in [`fallback_socket_dir`].
#[must_use]
pub fn socket_path(data_dir: &Path, uid: u32) -> PathBuf {
    let path = data_dir.join(RUN_DIR).join(SOCKET_FILE);
    if path.as_os_str().len() <= MAX_SOCKET_PATH {
        return path;
    }
    fallback_socket_dir(uid).join(format!("{}.sock", short_name(data_dir)))
}

/// The path of the agent socket of the daemon that owns `data_dir`, which must be canonical.
///
/// It is `run/agent/agent.sock` inside the data directory, alone in its directory, so that a sandbox can be given that and no more. Where
/// the path is longer than [`MAX_SOCKET_PATH`], the directory is one made from a hash of the path, in [`fallback_socket_dir`].
#[must_use]
pub fn agent_socket_path(data_dir: &Path, uid: u32) -> PathBuf {
    let path = data_dir
        .join(RUN_DIR)
        .join(AGENT_DIR)
        .join(AGENT_SOCKET_FILE);
    if path.as_os_str().len() <= MAX_SOCKET_PATH {
        return path;
    }
    fallback_socket_dir(uid)
        .join(format!("{}.agent", short_name(data_dir)))
        .join(AGENT_SOCKET_FILE)
}

/// A short name for `data_dir`, made from a hash of its path.
fn short_name(data_dir: &Path) -> String {
    let digest = Sha256::digest(data_dir.as_os_str().as_bytes());
    digest
        .iter()
        .take(12)
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

/// The socket that a daemon has published in `run_dir`, the [`RUN_DIR`] of its data directory: its configuration may have put it anywhere.
/// `None` where there is none; then it is at [`socket_path`], if a daemon runs at all. Only a file of user `uid` or root counts.
#[must_use]
pub fn published_socket(run_dir: &Path, uid: u32) -> Option<PathBuf> {
    let file = run_dir.join(SOCKET_PATH_FILE);
    let metadata = std::fs::symlink_metadata(&file).ok()?;
    if !metadata.is_file() || (metadata.uid() != uid && metadata.uid() != 0) {
        return None;
    }
    let path = PathBuf::from(OsString::from_vec(std::fs::read(&file).ok()?));
    path.is_absolute().then_some(path)
}

/// The private directory of user `uid` for sockets whose proper path is too long. Whoever uses it must check that it is a directory of
/// that user with mode 0700: anybody may create names in `/tmp`.
#[must_use]
pub fn fallback_socket_dir(uid: u32) -> PathBuf {
    PathBuf::from(format!("/tmp/barista-{uid}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment<'a>(pairs: &'a [(&str, &str)]) -> impl Fn(&str) -> Option<OsString> + 'a {
        move |name| {
            pairs
                .iter()
                .find(|(key, _)| *key == name)
                .map(|(_, value)| value.into())
        }
    }

    #[test]
    fn the_flag_wins_over_everything() {
        let found = data_dir(
            Some(Path::new("here")),
            environment(&[(DATA_DIR_VARIABLE, "/there"), ("HOME", "/home/a")]),
            Path::new("/work"),
        );
        assert_eq!(
            found,
            Ok(Located {
                path: "/work/here".into(),
                source: Source::Flag
            })
        );
    }

    #[test]
    fn the_environment_wins_over_the_project() {
        let project = tempfile::tempdir().expect("a temporary directory");
        std::fs::create_dir(project.path().join("data")).expect("a directory");
        std::fs::write(project.path().join("data/barista.toml"), "").expect("a file");
        let found = data_dir(
            None,
            environment(&[(DATA_DIR_VARIABLE, "/there")]),
            project.path(),
        );
        assert_eq!(
            found,
            Ok(Located {
                path: "/there".into(),
                source: Source::Environment
            })
        );
    }

    #[test]
    fn the_nearest_project_above_the_current_directory_is_found() {
        let project = tempfile::tempdir().expect("a temporary directory");
        let below = project.path().join("a/b");
        std::fs::create_dir_all(&below).expect("directories");
        std::fs::create_dir(project.path().join("data")).expect("a directory");
        std::fs::write(project.path().join("data/barista.toml"), "").expect("a file");
        let found = data_dir(None, environment(&[("HOME", "/home/a")]), &below).expect("found");
        assert_eq!(found.path, project.path().join("data"));
        assert_eq!(
            found.source,
            Source::Project(project.path().join("data/barista.toml"))
        );
    }

    #[test]
    fn a_data_directory_without_a_configuration_is_not_a_project() {
        let project = tempfile::tempdir().expect("a temporary directory");
        std::fs::create_dir(project.path().join("data")).expect("a directory");
        let found = data_dir(None, environment(&[("HOME", "/home/a")]), project.path());
        assert_eq!(found.map(|found| found.source), Ok(Source::User));
    }

    #[test]
    fn the_user_default_follows_the_xdg_rules() {
        let root = Path::new("/");
        let path =
            |pairs: &[(&str, &str)]| data_dir(None, environment(pairs), root).map(|f| f.path);
        assert_eq!(
            path(&[("XDG_DATA_HOME", "/x"), ("HOME", "/h")]),
            Ok("/x/barista".into())
        );
        assert_eq!(
            path(&[("XDG_DATA_HOME", "x"), ("HOME", "/h")]),
            Ok("/h/.local/share/barista".into())
        );
        assert_eq!(
            path(&[("XDG_DATA_HOME", ""), ("HOME", "/h")]),
            Ok("/h/.local/share/barista".into())
        );
        assert_eq!(path(&[]), Err(LocateError::NoHome));
    }

    #[test]
    fn a_long_path_falls_back_to_a_short_one_that_differs_per_directory() {
        let short = Path::new("/home/a/project/data");
        assert_eq!(socket_path(short, 7), short.join("run/barista.sock"));
        let long = |end: &str| PathBuf::from(format!("/{}/{end}", "x".repeat(120)));
        let (one, two) = (socket_path(&long("one"), 7), socket_path(&long("two"), 7));
        assert!(one.starts_with("/tmp/barista-7") && one.as_os_str().len() <= MAX_SOCKET_PATH);
        assert_ne!(one, two);
        assert_eq!(one, socket_path(&long("one"), 7));
    }
}
