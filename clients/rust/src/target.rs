//! Which daemon is meant: the options with every path resolved.

use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::error::Error;
use crate::options::{Autostart, ConnectOptions};
use crate::session_key::LazyKey;

/// Where a daemon is, and how it may be started.
#[derive(Debug)]
pub(crate) struct Target {
    /// The socket that the caller named, or the one that the data directory's path leads to.
    usual_socket: PathBuf,
    /// Whether a daemon may publish another one: not where the caller named it.
    may_be_published: bool,
    /// Where the daemon keeps its lock, and publishes its socket.
    run_dir: PathBuf,
    /// How to start a daemon; `None` where that is not allowed.
    pub(crate) start: Option<StartPlan>,
    pub(crate) connect_timeout: Duration,
    pub(crate) call_timeout: Duration,
    /// What makes notifications ours where this is the agent socket.
    pub(crate) key: LazyKey,
    uid: u32,
}

/// What starting a daemon takes.
#[derive(Debug)]
pub(crate) struct StartPlan {
    /// Canonical, and existing.
    pub(crate) data_dir: PathBuf,
    /// The program, where the caller named one.
    pub(crate) daemon: Option<PathBuf>,
    pub(crate) timeout: Duration,
}

impl Target {
    /// Finds the socket, and creates the data directory where a daemon may be started in it.
    pub(crate) fn resolve(options: ConnectOptions) -> Result<Self, Error> {
        let uid = rustix::process::geteuid().as_raw();
        let ConnectOptions {
            connect_timeout,
            call_timeout,
            ..
        } = options;
        let key = LazyKey::new(options.session_key);
        if let Some(socket) = options.socket {
            let run_dir = socket.parent().map(Path::to_owned).unwrap_or_default();
            return Ok(Self {
                usual_socket: socket,
                may_be_published: false,
                run_dir,
                start: None,
                connect_timeout,
                call_timeout,
                key,
                uid,
            });
        }
        let data_dir = locate(options.data_dir.as_deref())?;
        let (data_dir, start) = match options.autostart {
            // Where it does not exist there is no daemon either, and any path will do to say so.
            Autostart::Never => (fs::canonicalize(&data_dir).unwrap_or(data_dir), None),
            Autostart::Allowed { daemon } => {
                let data_dir = create(&data_dir)?;
                let timeout = options.start_timeout;
                (
                    data_dir.clone(),
                    Some(StartPlan {
                        data_dir,
                        daemon,
                        timeout,
                    }),
                )
            }
        };
        let socket = barista_locate::socket_path(&data_dir, uid);
        let run_dir = data_dir.join(barista_locate::RUN_DIR);
        Ok(Self {
            usual_socket: socket,
            may_be_published: true,
            run_dir,
            start,
            connect_timeout,
            call_timeout,
            key,
            uid,
        })
    }

    /// The socket: the one that a daemon has published in the data directory, which its configuration may have put anywhere, else the usual
    /// one. Looked up each time, as the next daemon may be configured otherwise.
    pub(crate) fn socket(&self) -> PathBuf {
        self.may_be_published
            .then(|| barista_locate::published_socket(&self.run_dir, self.uid))
            .flatten()
            .unwrap_or_else(|| self.usual_socket.clone())
    }

    /// The process that says it holds the data directory, from its lock file. Only good for telling people: the file
    /// outlives the process.
    pub(crate) fn holder(&self) -> Option<i32> {
        let text =
            fs::read_to_string(self.run_dir.join(barista_locate::INSTANCE_LOCK_FILE)).ok()?;
        text.split_whitespace().next()?.parse().ok()
    }

    /// Checks that nobody but this user or root can have put the socket there.
    pub(crate) fn check_socket_file(&self) -> Result<(), Error> {
        let fallback = barista_locate::fallback_socket_dir(self.uid);
        let socket = self.socket();
        if socket.parent() == Some(&fallback) {
            self.check_fallback_dir(&fallback)?;
        }
        let metadata = fs::metadata(&socket).map_err(|source| self.dial_error(source))?;
        self.check_owner(metadata.uid(), "its file")
    }

    /// Anybody may create names in `/tmp`, so the directory there must be this user's alone.
    fn check_fallback_dir(&self, directory: &Path) -> Result<(), Error> {
        let metadata = fs::symlink_metadata(directory).map_err(|source| self.dial_error(source))?;
        if !metadata.is_dir() || metadata.uid() != self.uid || metadata.mode() & 0o077 != 0 {
            let directory = directory.display();
            return Err(self.untrusted(format!(
                "{directory} is not a directory that only you can use; remove it, and restart the daemon"
            )));
        }
        Ok(())
    }

    /// Checks the user id behind `what`.
    pub(crate) fn check_owner(&self, uid: u32, what: &str) -> Result<(), Error> {
        if uid == self.uid || uid == 0 {
            return Ok(());
        }
        Err(self.untrusted(format!(
            "{what} belongs to user id {uid} and you are {}; use a data directory of your own with --data-dir",
            self.uid
        )))
    }

    fn untrusted(&self, reason: String) -> Error {
        Error::UntrustedSocket {
            socket: self.socket(),
            reason,
        }
    }

    /// Translates what the system said about reaching the socket.
    pub(crate) fn dial_error(&self, source: io::Error) -> Error {
        let socket = self.socket();
        match source.kind() {
            // Reset: the daemon ended while the connection was in its queue.
            io::ErrorKind::NotFound
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::ConnectionReset => Error::NotRunning { socket },
            _ => Error::Io {
                action: "connect to",
                path: socket,
                source,
            },
        }
    }

    pub(crate) fn unresponsive(&self, pid: Option<i32>, waited: Duration) -> Error {
        Error::Unresponsive {
            socket: self.socket(),
            pid,
            waited,
        }
    }

    pub(crate) fn disconnected(&self, reason: impl Into<String>) -> Error {
        Error::Disconnected {
            socket: self.socket(),
            reason: reason.into(),
        }
    }
}

fn locate(flag: Option<&Path>) -> Result<PathBuf, Error> {
    let current_dir = std::env::current_dir().map_err(|source| Error::Io {
        action: "use the current directory",
        path: ".".into(),
        source,
    })?;
    Ok(barista_locate::data_dir(flag, |name| std::env::var_os(name), &current_dir)?.path)
}

/// Creates `directory` for this user alone where it is missing, and returns its canonical path, from which both sides compute the
/// socket's.
fn create(directory: &Path) -> Result<PathBuf, Error> {
    create_private(directory)?;
    fs::canonicalize(directory).map_err(|source| Error::Io {
        action: "resolve",
        path: directory.to_owned(),
        source,
    })
}

/// Creates a directory, and those above it, with mode 0700. One that exists stays as it is: the daemon checks its permissions.
pub(crate) fn create_private(directory: &Path) -> Result<(), Error> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(directory)
        .map_err(|source| Error::Io {
            action: "create",
            path: directory.to_owned(),
            source,
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session_key::SessionKey;
    use std::os::unix::fs::PermissionsExt;

    fn target(uid: u32) -> Target {
        Target {
            usual_socket: "/d/run/barista.sock".into(),
            may_be_published: false,
            run_dir: "/d/run".into(),
            start: None,
            connect_timeout: Duration::ZERO,
            call_timeout: Duration::ZERO,
            key: LazyKey::new(SessionKey::Fresh),
            uid,
        }
    }

    #[test]
    fn only_this_user_and_root_are_trusted() {
        let target = target(1000);
        assert!(target.check_owner(1000, "it").is_ok());
        assert!(target.check_owner(0, "it").is_ok());
        assert!(matches!(
            target.check_owner(1001, "it"),
            Err(Error::UntrustedSocket { .. })
        ));
    }

    #[test]
    fn a_daemon_that_ends_while_one_connects_is_absent() {
        use io::ErrorKind::{ConnectionRefused, ConnectionReset, NotFound, PermissionDenied};
        let absent = |kind| target(0).dial_error(io::Error::from(kind)).is_absence();
        assert!(
            [NotFound, ConnectionRefused, ConnectionReset]
                .into_iter()
                .all(absent)
        );
        assert!(!absent(PermissionDenied));
    }

    #[test]
    fn a_shared_directory_that_others_can_enter_is_not_trusted() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let target = target(rustix::process::geteuid().as_raw());
        let check = |mode| {
            fs::set_permissions(directory.path(), fs::Permissions::from_mode(mode))
                .expect("permissions");
            target.check_fallback_dir(directory.path()).is_ok()
        };
        assert!(check(0o700));
        assert!(!check(0o710));
        assert!(!check(0o701));
        let link = directory.path().join("link");
        std::os::unix::fs::symlink(directory.path(), &link).expect("a link");
        assert!(
            target.check_fallback_dir(&link).is_err(),
            "a link may point anywhere later"
        );
    }

    #[test]
    fn a_link_to_the_data_directory_leads_to_the_socket_of_the_canonical_one() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let (real, link) = (directory.path().join("real"), directory.path().join("link"));
        fs::create_dir(&real).expect("a directory");
        std::os::unix::fs::symlink(&real, &link).expect("a link");
        let options = ConnectOptions::new()
            .data_dir(link)
            .autostart(Autostart::Never);
        let target = Target::resolve(options).expect("resolved");
        let canonical = fs::canonicalize(&real).expect("a canonical path");
        assert_eq!(
            target.socket(),
            barista_locate::socket_path(&canonical, target.uid)
        );
    }

    #[test]
    fn a_socket_that_a_daemon_published_is_found() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let options = ConnectOptions::new()
            .data_dir(directory.path().to_owned())
            .autostart(Autostart::Never);
        let target = Target::resolve(options).expect("resolved");
        let usual = target.socket();
        let run = directory.path().join(barista_locate::RUN_DIR);
        fs::create_dir(&run).expect("a directory");
        let published = run.join(barista_locate::SOCKET_PATH_FILE);
        fs::write(&published, "/elsewhere/s.sock").expect("a file");
        assert_eq!(target.socket(), Path::new("/elsewhere/s.sock"));
        fs::write(&published, "not absolute").expect("a file");
        assert_eq!(target.socket(), usual);
        fs::remove_file(&published).expect("removed");
        assert_eq!(target.socket(), usual);
    }
}
