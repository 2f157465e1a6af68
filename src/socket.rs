//! The socket: where it lies, who may connect, and what to do about one that is there already.
//!
//! Whoever binds holds the instance lock, so a socket of this data directory that refuses connections was left by a dead daemon. One that
//! accepts them is never taken away, whatever the lock says.

use std::fs::{DirBuilder, Permissions};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::os::unix::net::UnixListener as BlockingListener;
use std::path::{Path, PathBuf};

use barista_locate::{MAX_SOCKET_PATH, SOCKET_PATH_FILE};
use rustix::fs::{Access, Mode};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketType, bind, connect, listen, socket};
use tokio::net::UnixListener;

use crate::data_dir::rules::{self, Facts, Kind, Us};
use crate::data_dir::{DataDir, DataDirError, FileIdentity};
use crate::instance::Instance;

mod activation;

pub use activation::{Sockets, Wanted};

/// Only the daemon's user may connect.
pub const SOCKET_MODE: u32 = 0o600;
/// Connections that the kernel keeps while the daemon is busy; it may be configured to keep fewer.
const BACKLOG: i32 = 1024;

/// Why there is no socket. The message says what to do.
#[derive(Debug, thiserror::Error)]
pub enum SocketError {
    /// The configured path is longer than some platform takes.
    #[error(
        "the socket's path {path} has {length} bytes, more than {MAX_SOCKET_PATH}; set server.socket to a shorter one, or leave it out"
    )]
    PathTooLong {
        /// The path.
        path: PathBuf,
        /// Its length in bytes.
        length: usize,
    },
    /// The private directory for sockets with short names is not safe to use.
    #[error(transparent)]
    Directory(#[from] DataDirError),
    /// The directory that the configured path lies in is missing.
    #[error(
        "the directory of the socket {path} does not exist; make it (mkdir -p -m 700 {}), or set server.socket to another path",
        .directory.display()
    )]
    NoDirectory {
        /// The path.
        path: PathBuf,
        /// What is missing.
        directory: PathBuf,
    },
    /// Something else lies at the path.
    #[error(
        "{path} exists and is not a socket; move it away, or set server.socket to another path"
    )]
    NotASocket {
        /// The path.
        path: PathBuf,
    },
    /// Another process accepts connections there.
    #[error(
        "another process answers on the socket {path}; stop it (fuser -v {path} names it), or set server.socket to another path"
    )]
    InUse {
        /// The path.
        path: PathBuf,
    },
    /// A call to the system failed.
    #[error(
        "cannot {what} the socket {path}: {source}; check that its directory exists and belongs to this user"
    )]
    System {
        /// What was tried.
        what: &'static str,
        /// The path.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A service manager passed something else than the listening Unix sockets of this data directory.
    #[error(
        "the service manager passed {found}; the socket unit must have one ListenStream= with a path, and for agents a second one with theirs: `barista service install` writes it"
    )]
    Activation {
        /// What it passed.
        found: String,
    },
}

/// A listening socket, ready to accept.
#[derive(Debug)]
pub struct BoundSocket {
    listener: BlockingListener,
    place: Place,
}

/// Looks whether a socket could be bound at the configured path, without changing anything. Whether somebody answers there is not asked: it may
/// be the daemon of this very directory.
///
/// # Errors
///
/// [`SocketError`] says what is in the way and what to do about it.
pub fn look(configured: &Path) -> Result<(), SocketError> {
    check_length(configured)?;
    check_directory(configured)?;
    match Facts::of(configured) {
        Ok(facts) if facts.kind != Kind::Socket => Err(SocketError::NotASocket {
            path: configured.to_owned(),
        }),
        // What is not there is made.
        _ => Ok(()),
    }
}

fn check_length(path: &Path) -> Result<(), SocketError> {
    let (path, length) = (path.to_owned(), path.as_os_str().len());
    if length > MAX_SOCKET_PATH {
        return Err(SocketError::PathTooLong { path, length });
    }
    Ok(())
}

/// Says so where the directory of `path` is missing, or nothing can be made in it.
fn check_directory(path: &Path) -> Result<(), SocketError> {
    let Some(directory) = path.parent() else {
        return Ok(());
    };
    if !directory.is_dir() {
        return Err(SocketError::NoDirectory {
            path: path.to_owned(),
            directory: directory.to_owned(),
        });
    }
    rustix::fs::access(directory, Access::WRITE_OK | Access::EXEC_OK)
        .map_err(|error| system("make", path)(error.into()))
}

/// The socket's name in the file system, to be removed at the end.
#[derive(Debug, Clone)]
pub struct Place {
    path: PathBuf,
    /// What was bound; `None` for a socket of the service manager, which keeps it.
    bound: Option<FileIdentity>,
    /// The file that names it; `None` for the agent socket, which nobody looks up.
    published: Option<PathBuf>,
}

impl BoundSocket {
    /// Binds `configured`, else the path that clients compute from the data directory, and publishes the path in `run/socket.path`. Whoever has the
    /// instance lock may remove a dead socket.
    ///
    /// # Errors
    ///
    /// [`SocketError`] says what is in the way and what to do about it.
    pub fn bind(
        data_dir: &DataDir,
        configured: Option<&Path>,
        _lock: &Instance,
    ) -> Result<Self, SocketError> {
        let path = match configured {
            Some(path) => {
                check_directory(path)?;
                path.to_owned()
            }
            None => computed_path(data_dir)?,
        };
        let (listener, bound) = bind_at(&path)?;
        Self::publish(data_dir, listener, path, Some(bound))
    }

    /// Binds the agent socket: `configured`, else the usual path, in a directory of its own that is made for it.
    ///
    /// # Errors
    ///
    /// [`SocketError`] says what is in the way and what to do about it.
    pub fn bind_for_agents(
        data_dir: &DataDir,
        configured: Option<&Path>,
        _lock: &Instance,
    ) -> Result<Self, SocketError> {
        let path = match configured {
            Some(path) => path.to_owned(),
            None => agent_path(data_dir)?,
        };
        let (listener, bound) = bind_at(&path)?;
        Self::unpublished(listener, path, Some(bound))
    }

    /// Takes over a socket that listens already; its path is never removed.
    ///
    /// # Errors
    ///
    /// [`SocketError::Activation`] when it has no path, or [`SocketError::System`] when the path cannot be published.
    pub fn adopt(data_dir: &DataDir, listener: BlockingListener) -> Result<Self, SocketError> {
        let path = activated_path(&listener)?;
        Self::publish(data_dir, listener, path, None)
    }

    /// Takes over an agent socket that listens already; its path is never removed.
    ///
    /// # Errors
    ///
    /// [`SocketError::Activation`] when it has no path, or [`SocketError::System`] when it cannot be prepared.
    pub fn adopt_for_agents(listener: BlockingListener) -> Result<Self, SocketError> {
        let path = activated_path(&listener)?;
        Self::unpublished(listener, path, None)
    }

    fn publish(
        data_dir: &DataDir,
        listener: BlockingListener,
        path: PathBuf,
        bound: Option<FileIdentity>,
    ) -> Result<Self, SocketError> {
        let mut socket = Self::unpublished(listener, path, bound)?;
        let (path, published) = (socket.path(), data_dir.run_dir().join(SOCKET_PATH_FILE));
        replace(&published, path.as_os_str().as_bytes()).map_err(system("publish", path))?;
        socket.place.published = Some(published);
        Ok(socket)
    }

    fn unpublished(
        listener: BlockingListener,
        path: PathBuf,
        bound: Option<FileIdentity>,
    ) -> Result<Self, SocketError> {
        listener
            .set_nonblocking(true)
            .map_err(system("prepare", &path))?;
        Ok(Self {
            listener,
            place: Place {
                path,
                bound,
                published: None,
            },
        })
    }

    /// The socket's path.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.place.path
    }

    /// Splits it into what accepts connections and what is removed at the end. Call it inside the runtime.
    ///
    /// # Errors
    ///
    /// [`SocketError::System`] when the runtime cannot watch the socket.
    pub fn into_listener(self) -> Result<(UnixListener, Place), SocketError> {
        let listener =
            UnixListener::from_std(self.listener).map_err(system("listen on", &self.place.path))?;
        Ok((listener, self.place))
    }
}

impl Place {
    /// The socket's path.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether a service manager owns the socket.
    #[must_use]
    pub fn is_activated(&self) -> bool {
        self.bound.is_none()
    }

    /// Removes the socket if the path still leads to what was bound, and its publication if it still names it. Call it before the instance
    /// lock is released: after that, both may belong to the next daemon. Says whether the socket was removed.
    pub fn unlink_if_ours(&self) -> bool {
        let Some(bound) = self.bound else {
            return false;
        };
        let still_there = Facts::of(&self.path).is_ok_and(|facts| facts.identity == bound);
        let removed = still_there && std::fs::remove_file(&self.path).is_ok();
        let ours = |text: Vec<u8>| text == self.path.as_os_str().as_bytes();
        if let Some(published) = &self.published
            && std::fs::read(published).is_ok_and(ours)
        {
            let _ = std::fs::remove_file(published);
        }
        removed
    }
}

fn system(what: &'static str, path: &Path) -> impl Fn(io::Error) -> SocketError {
    let path = path.to_owned();
    move |source| SocketError::System {
        what,
        path: path.clone(),
        source,
    }
}

fn activated_path(listener: &BlockingListener) -> Result<PathBuf, SocketError> {
    activation::path_of(listener).ok_or_else(|| SocketError::Activation {
        found: "a socket without a path".into(),
    })
}

fn computed_path(data_dir: &DataDir) -> Result<PathBuf, SocketError> {
    let path = barista_locate::socket_path(data_dir.path(), data_dir.uid());
    if !path.starts_with(data_dir.path()) {
        prepare_private(&barista_locate::fallback_socket_dir(data_dir.uid()))?;
    }
    Ok(path)
}

fn agent_path(data_dir: &DataDir) -> Result<PathBuf, SocketError> {
    let path = barista_locate::agent_socket_path(data_dir.path(), data_dir.uid());
    if !path.starts_with(data_dir.path()) {
        prepare_private(&barista_locate::fallback_socket_dir(data_dir.uid()))?;
    }
    if let Some(directory) = path.parent() {
        prepare_private(directory)?;
    }
    Ok(path)
}

/// Makes `path` free, and listens there. Returns what was bound too.
fn bind_at(path: &Path) -> Result<(BlockingListener, FileIdentity), SocketError> {
    let length = path.as_os_str().len();
    if length > MAX_SOCKET_PATH {
        let path = path.to_owned();
        return Err(SocketError::PathTooLong { path, length });
    }
    remove_stale(path)?;
    let listener = listen_at(path)?;
    let bound = Facts::of(path).map_err(system("look at", path))?.identity;
    Ok((listener, bound))
}

/// Creates a private directory for a socket, or checks the one that is there. Anybody may create names in `/tmp`, and sandboxes perhaps in
/// the directory of the agent socket: what is not exactly a directory of ours, closed to everybody else, is refused and not corrected.
fn prepare_private(path: &Path) -> Result<(), DataDirError> {
    match DirBuilder::new().mode(0o700).create(path) {
        Err(source) if source.kind() != io::ErrorKind::AlreadyExists => {
            return Err(DataDirError::CannotCreate {
                path: path.to_owned(),
                source,
            });
        }
        _ => {}
    }
    let facts = Facts::of(path).map_err(|source| DataDirError::unreadable(path, source))?;
    rules::directory(&facts, Us::of_this_process())
        .and_then(|()| rules::private(&facts))
        .map_err(|rule| rule.broken_by(path))
}

/// Makes `path` free: removes a socket that nobody listens on, and refuses everything else.
fn remove_stale(path: &Path) -> Result<(), SocketError> {
    match Facts::of(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(system("look at", path)(error)),
        Ok(facts) if facts.kind != Kind::Socket => {
            return Err(SocketError::NotASocket {
                path: path.to_owned(),
            });
        }
        Ok(_) => {}
    }
    match probe(path) {
        Err(Errno::CONNREFUSED) => match std::fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(system("remove", path)(error))
            }
            _ => Ok(()),
        },
        Err(Errno::NOENT) => Ok(()),
        // A full queue of connections (EAGAIN) has somebody behind it, and so has a socket of another type (EPROTOTYPE).
        Ok(()) | Err(Errno::AGAIN | Errno::PROTOTYPE) => Err(SocketError::InUse {
            path: path.to_owned(),
        }),
        Err(error) => Err(system("connect to", path)(error.into())),
    }
}

/// Connects without waiting: a blocking connect to a stopped process with a full queue would never return.
fn probe(path: &Path) -> Result<(), Errno> {
    let probe = socket(AddressFamily::UNIX, SocketType::STREAM, None)?;
    rustix::io::ioctl_fionbio(&probe, true)?;
    connect(&probe, &SocketAddrUnix::new(path)?)
}

/// Binds and listens, with no moment at which another user could connect: on Linux the mode of the socket before `bind` becomes the
/// mode of the file. macOS refuses that call; there, and after a surprise, `chmod` before `listen` does it, as nobody can connect earlier.
fn listen_at(path: &Path) -> Result<BlockingListener, SocketError> {
    let address = SocketAddrUnix::new(path).map_err(|error| system("name", path)(error.into()))?;
    let open = || -> io::Result<OwnedFd> {
        let fd = socket(AddressFamily::UNIX, SocketType::STREAM, None)?;
        rustix::io::fcntl_setfd(&fd, rustix::io::FdFlags::CLOEXEC)?;
        let _ = rustix::fs::fchmod(&fd, Mode::RUSR | Mode::WUSR);
        bind(&fd, &address)?;
        std::fs::set_permissions(path, Permissions::from_mode(SOCKET_MODE))?;
        listen(&fd, BACKLOG)?;
        Ok(fd)
    };
    open()
        .map(BlockingListener::from)
        .map_err(system("bind", path))
}

/// Writes a small file so that a reader sees the old text or the new one, never a part.
fn replace(path: &Path, text: &[u8]) -> io::Result<()> {
    use std::io::Write;
    use std::os::unix::fs::OpenOptionsExt;

    let mut name = path.as_os_str().to_owned();
    name.push(".new");
    let new = PathBuf::from(name);
    match std::fs::remove_file(&new) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&new)?;
    file.write_all(text)?;
    std::fs::rename(&new, path)
}

#[cfg(test)]
mod tests;
