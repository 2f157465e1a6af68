//! The sockets of a daemon: those that a service manager passed, and those that it makes itself.

use std::os::unix::net::UnixListener as BlockingListener;
use std::path::{Path, PathBuf};

use super::{BoundSocket, SocketError};
use crate::data_dir::rules::Facts;
use crate::data_dir::{DataDir, FileIdentity};
use crate::instance::Instance;

/// Where the sockets are to be, as configured.
#[derive(Debug, Clone, Copy)]
pub struct Wanted<'a> {
    /// The one for people; `None` for the usual place.
    pub socket: Option<&'a Path>,
    /// Whether agents get one.
    pub for_agents: bool,
    /// The one for agents; `None` for the usual place.
    pub agent_socket: Option<&'a Path>,
}

/// The sockets of a daemon.
#[derive(Debug)]
pub struct Sockets {
    /// For people.
    pub socket: BoundSocket,
    /// For agents in sandboxes.
    pub agents: Option<BoundSocket>,
}

impl Wanted<'_> {
    /// The path of the socket for people.
    #[must_use]
    pub fn socket_path(&self, data_dir: &DataDir) -> PathBuf {
        let usual = || barista_locate::socket_path(data_dir.path(), data_dir.uid());
        self.socket.map_or_else(usual, Path::to_owned)
    }

    /// The path of the socket for agents, whether they get one or not.
    #[must_use]
    pub fn agent_path(&self, data_dir: &DataDir) -> PathBuf {
        let usual = || barista_locate::agent_socket_path(data_dir.path(), data_dir.uid());
        self.agent_socket.map_or_else(usual, Path::to_owned)
    }
}

impl Sockets {
    /// Takes the sockets that a service manager passed, and makes those that it did not pass.
    ///
    /// That the agent socket cannot be made is no reason not to serve people: its directory is open to sandboxes, and none of them may keep the
    /// daemon from starting. Then there is none. The instance lock is asked for as proof that a dead socket may be removed. Call it before threads
    /// start: it reads and clears the variables of socket activation.
    ///
    /// # Errors
    ///
    /// [`SocketError`] says what is in the way and what to do about it.
    pub fn open(
        data_dir: &DataDir,
        wanted: Wanted<'_>,
        instance: &Instance,
    ) -> Result<Self, SocketError> {
        let passed = Passed::take(&wanted.agent_path(data_dir))?;
        let socket = match passed.socket {
            Some(listener) => BoundSocket::adopt(data_dir, listener)?,
            None => BoundSocket::bind(data_dir, wanted.socket, instance)?,
        };
        let agents = match (passed.agents, wanted.for_agents) {
            (Some(listener), true) => Some(BoundSocket::adopt_for_agents(listener)?),
            // Nobody would answer there, and whoever connects would wait.
            (Some(_), false) => {
                return Err(SocketError::Activation {
                    found: "the agent socket, which agent.enabled = false turns off".into(),
                });
            }
            (None, true) => BoundSocket::bind_for_agents(data_dir, wanted.agent_socket, instance)
                .inspect_err(|error| tracing::error!(%error, "there is no agent socket"))
                .ok(),
            (None, false) => None,
        };
        Ok(Self { socket, agents })
    }
}

/// What a service manager passed.
struct Passed {
    socket: Option<BlockingListener>,
    agents: Option<BlockingListener>,
}

impl Passed {
    /// Takes at most one listening socket that is at `agent_path`, and one that is not. Which door a socket is must be beyond doubt: at that of people,
    /// a sandbox could answer.
    fn take(agent_path: &Path) -> Result<Self, SocketError> {
        let mut manager = listenfd::ListenFd::from_env();
        let mut sockets = Vec::new();
        for index in 0..manager.len() {
            let taken = manager.take_unix_listener(index);
            let listener = taken.map_err(|error| SocketError::Activation {
                found: error.to_string(),
            })?;
            sockets.extend(listener);
        }
        let (agents, mut people): (Vec<_>, Vec<_>) = sockets
            .into_iter()
            .partition(|listener| is_at(listener, agent_path));
        if people.len() > 1 || agents.len() > 1 {
            return Err(SocketError::Activation {
                found: format!(
                    "{} sockets, {} of them at {}",
                    people.len() + agents.len(),
                    agents.len(),
                    agent_path.display()
                ),
            });
        }
        Ok(Self {
            socket: people.pop(),
            agents: agents.into_iter().next(),
        })
    }
}

/// Whether `listener` is at `path`, by that name or another one.
fn is_at(listener: &BlockingListener, path: &Path) -> bool {
    let Some(own) = path_of(listener) else {
        return false;
    };
    let file =
        |path: &Path| -> Option<FileIdentity> { Facts::of(path).ok().map(|facts| facts.identity) };
    own == path || file(&own).is_some_and(|own| file(path) == Some(own))
}

/// The path that a listening socket is bound to; `None` for one without a path.
pub(super) fn path_of(listener: &BlockingListener) -> Option<PathBuf> {
    let address = listener.local_addr().ok()?;
    address.as_pathname().map(Path::to_owned)
}
