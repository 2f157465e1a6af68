//! What `doctor --fix` does: only what is safe whoever else is at work, and what a person would do by hand.

use std::ffi::OsStr;
use std::fs::{self, Permissions};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use barista_client::{Autostart, Client};

use crate::app::App;
use crate::doctor::finding::Finding;
use crate::text;

/// A cure.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Fix {
    /// Gives a file or directory of this user these permissions.
    Mode(PathBuf, u32),
    /// Removes the socket of a daemon that has ended.
    RemoveSocket(PathBuf),
    /// Removes the file in which a daemon that has ended published its socket.
    RemovePublished(PathBuf),
    /// Starts the daemon, which restores the schema.
    StartDaemon,
}

/// Does what the findings ask for. Returns what was done, and what could not be done.
pub(crate) async fn apply(app: &App, findings: &[Finding]) -> (Vec<String>, Vec<Finding>) {
    let (mut done, mut failed) = (Vec::new(), Vec::new());
    let mut fixes: Vec<&Fix> = Vec::new();
    for fix in findings.iter().filter_map(|finding| finding.fix.as_ref()) {
        // Several findings may have one cure.
        if !fixes.contains(&fix) {
            fixes.push(fix);
        }
    }
    // The daemon last: it needs what the others put right.
    fixes.sort_by_key(|fix| matches!(fix, Fix::StartDaemon));
    for fix in fixes {
        match apply_one(app, fix).await {
            Ok(Some(what)) => done.push(what),
            Ok(None) => {}
            Err((what, why)) => {
                let text = format!("could not {what}: {why}");
                failed.push(Finding::warning("fix", text, "do it by hand"));
            }
        }
    }
    (done, failed)
}

/// Does it, and says what was done; `None` where it was no longer needed.
async fn apply_one(app: &App, fix: &Fix) -> Result<Option<String>, (String, String)> {
    let (what, outcome) = match fix {
        Fix::Mode(path, mode) => (
            format!("chmod {mode:o} {}", path.display()),
            set_mode(path, *mode),
        ),
        Fix::RemoveSocket(path) => (
            format!("remove the stale socket {}", path.display()),
            remove_if(path, |aside| {
                is_dead(aside, &[io::ErrorKind::ConnectionRefused])
            }),
        ),
        Fix::RemovePublished(path) => (
            format!("remove the stale {}", path.display()),
            remove_if(path, names_nobody),
        ),
        Fix::StartDaemon => {
            let options = app.options();
            let options = options.autostart(Autostart::Allowed { daemon: None });
            let started = match Client::connect(options).await {
                Ok(client) => Ok(format!(
                    "started the daemon (process {}), which restores the schema",
                    client.server_info().pid
                )),
                Err(error) => Err(text::line(&error.to_string())),
            };
            return started
                .map(Some)
                .map_err(|why| ("start the daemon".to_owned(), why));
        }
    };
    match outcome {
        Ok(true) => Ok(Some(what)),
        Ok(false) => Ok(None),
        Err(error) => Err((what, error.to_string())),
    }
}

/// Whether connecting to `socket` fails in one of the ways that mean that nobody listens. Any other failure says nothing of the daemon.
fn is_dead(socket: &Path, kinds: &[io::ErrorKind]) -> bool {
    let is_meant = |error: io::Error| kinds.contains(&error.kind());
    UnixStream::connect(socket).err().is_some_and(is_meant)
}

/// Whether the file at `published` names a socket on which nobody listens. A daemon that came meanwhile has published its own there.
fn names_nobody(published: &Path) -> bool {
    use io::ErrorKind::{ConnectionRefused, NotFound};
    let Ok(name) = fs::read(published) else {
        return false;
    };
    let socket = Path::new(OsStr::from_bytes(&name));
    is_dead(socket, &[ConnectionRefused, NotFound])
}

/// Says whether the permissions had to be changed. Never follows a link: the permissions of what it leads to are none of our business.
fn set_mode(path: &Path, mode: u32) -> io::Result<bool> {
    let found = fs::symlink_metadata(path)?;
    if found.is_symlink() || found.mode() & 0o7777 == mode {
        return Ok(false);
    }
    fs::set_permissions(path, Permissions::from_mode(mode)).map(|()| true)
}

/// Removes `path` if it is stale; says whether it was.
///
/// A daemon may start between a look and the removal. So the file is first moved aside, where no daemon replaces it, looked at there, and put back
/// if it is alive after all.
fn remove_if(path: &Path, is_stale: impl FnOnce(&Path) -> bool) -> io::Result<bool> {
    let aside = path.with_extension(format!("stale-{}", std::process::id()));
    match fs::rename(path, &aside) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        other => other?,
    }
    if is_stale(&aside) {
        return fs::remove_file(&aside).map(|()| true);
    }
    fs::rename(&aside, path).map(|()| false)
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;

    use super::*;

    fn stale(socket: &Path) -> bool {
        let outcome = remove_if(socket, |aside| UnixStream::connect(aside).is_err());
        outcome.expect("done")
    }

    #[test]
    fn a_socket_is_removed_when_nobody_listens_and_stays_when_somebody_does() {
        let directory = tempfile::tempdir().expect("a directory");
        let socket = directory.path().join("s.sock");
        let listener = UnixListener::bind(&socket).expect("bound");
        assert!(!stale(&socket));
        assert!(UnixStream::connect(&socket).is_ok(), "it is in its place");
        drop(listener);
        assert!(stale(&socket) && !socket.exists());
        assert!(!stale(&socket), "nothing is left to do");
        assert_eq!(fs::read_dir(directory.path()).expect("a list").count(), 0);
    }

    #[test]
    fn the_socket_of_a_daemon_that_came_meanwhile_stays_published() {
        let directory = tempfile::tempdir().expect("a directory");
        let (socket, published) = (directory.path().join("s"), directory.path().join("p"));
        fs::write(&published, socket.display().to_string()).expect("a file");
        let listener = UnixListener::bind(&socket).expect("bound");
        assert!(!remove_if(&published, names_nobody).expect("a look"));
        assert!(published.exists(), "it is in its place");
        drop(listener);
        assert!(remove_if(&published, names_nobody).expect("a look"));
        fs::write(&published, socket.display().to_string()).expect("a file");
        fs::remove_file(&socket).expect("removed");
        assert!(remove_if(&published, names_nobody).expect("a look"));
        assert!(!published.exists());
    }

    #[test]
    fn the_permissions_behind_a_link_are_left_alone() {
        let directory = tempfile::tempdir().expect("a directory");
        let (file, link) = (directory.path().join("f"), directory.path().join("l"));
        fs::write(&file, "").expect("a file");
        fs::set_permissions(&file, Permissions::from_mode(0o666)).expect("a mode");
        std::os::unix::fs::symlink(&file, &link).expect("a link");
        assert!(!set_mode(&link, 0o600).expect("a look"));
        assert!(set_mode(&file, 0o600).expect("a change"));
        assert!(!set_mode(&file, 0o600).expect("a look"));
    }
}
