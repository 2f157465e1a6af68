//! How a client finds, starts and talks to its daemon.

use std::path::PathBuf;
use std::time::Duration;

use crate::session_key::SessionKey;

/// Whether a client may start the daemon where none answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Autostart {
    /// Never: where no daemon answers, the call fails with [`Error::NotRunning`](crate::Error::NotRunning).
    Never,
    /// Start one, and wait until it answers. One that is older than the client and idle is ended first.
    Allowed {
        /// The daemon's program. `None`: `baristad` beside the current program, else the first one on `PATH`.
        daemon: Option<PathBuf>,
    },
}

/// How [`Client::connect`](crate::Client::connect) finds, starts and talks to the daemon.
///
/// ```
/// use barista_client::{Autostart, ConnectOptions};
///
/// let options = ConnectOptions::new().data_dir(std::path::PathBuf::from("data")).autostart(Autostart::Never);
/// ```
#[derive(Debug, Clone)]
pub struct ConnectOptions {
    pub(crate) data_dir: Option<PathBuf>,
    pub(crate) socket: Option<PathBuf>,
    pub(crate) session_key: SessionKey,
    pub(crate) autostart: Autostart,
    pub(crate) connect_timeout: Duration,
    pub(crate) start_timeout: Duration,
    pub(crate) call_timeout: Duration,
}

impl Default for ConnectOptions {
    fn default() -> Self {
        Self {
            data_dir: None,
            socket: None,
            session_key: SessionKey::default(),
            autostart: Autostart::Allowed { daemon: None },
            connect_timeout: Duration::from_secs(5),
            start_timeout: Duration::from_secs(20),
            call_timeout: Duration::from_secs(35),
        }
    }
}

impl ConnectOptions {
    /// The data directory that [`barista_locate`] finds, a daemon started where none runs, and the default time limits.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Names the data directory, as `--data-dir` does. `None`: found by the common rule (`BARISTA_DATA_DIR`, the project, the user's own).
    #[must_use]
    pub fn data_dir(mut self, path: impl Into<Option<PathBuf>>) -> Self {
        self.data_dir = path.into();
        self
    }

    /// Names the socket itself, as in a sandbox that sees nothing else. No data directory is looked for, and no daemon is started.
    #[must_use]
    pub fn socket(mut self, path: impl Into<Option<PathBuf>>) -> Self {
        self.socket = path.into();
        self
    }

    /// The secret that makes notifications this client's own, where the socket is the agent socket.
    #[must_use]
    pub fn session_key(mut self, key: SessionKey) -> Self {
        self.session_key = key;
        self
    }

    /// Whether the daemon may be started. By default it may, from the usual places.
    #[must_use]
    pub fn autostart(mut self, autostart: Autostart) -> Self {
        self.autostart = autostart;
        self
    }

    /// How long a daemon that listens may take to shake hands before it counts as unresponsive; 5 s by default. The handshake reads no
    /// database, so only a stopped or badly overloaded daemon needs longer.
    #[must_use]
    pub fn connect_timeout(mut self, limit: Duration) -> Self {
        self.connect_timeout = limit;
        self
    }

    /// How long starting a daemon may take in all; 20 s by default. One that is stopping may take 10 s before a new one can take over.
    #[must_use]
    pub fn start_timeout(mut self, limit: Duration) -> Self {
        self.start_timeout = limit;
        self
    }

    /// How long one call may take, repetitions included; 35 s by default. A write waits up to 30 s for another process's lock on the
    /// database, and the rest is for its typed answer: with less than 30 s a busy database looks like a slow one.
    /// [`Client::wait`](crate::Client::wait) and watches have their own limits.
    #[must_use]
    pub fn call_timeout(mut self, limit: Duration) -> Self {
        self.call_timeout = limit;
        self
    }
}
