//! The process of an opponent.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use rustix::process::{Pid, Signal, kill_process};
use tokio::process::{Child, Command};
use tokio::time::{sleep, timeout};

use crate::daemon::tail;

/// How long it may take to start or to stop.
const PATIENCE: Duration = Duration::from_secs(30);
/// The pause between two attempts to reach it.
const PAUSE: Duration = Duration::from_millis(20);

/// A running server. Dropped without [`Server::stop`] it is killed.
#[derive(Debug)]
pub(crate) struct Server {
    child: Child,
    pid: Pid,
    log: PathBuf,
    /// How clients reach it: a directory or path of a socket, or a URL.
    pub(super) address: String,
    /// Where its socket is.
    _sockets: Option<SocketDirectory>,
}

impl Server {
    /// Starts `command`, whose output goes to a file in `directory`.
    ///
    /// # Errors
    ///
    /// The program cannot be run.
    pub(super) fn spawn(
        command: &mut Command,
        directory: &Path,
        address: String,
        sockets: Option<SocketDirectory>,
    ) -> anyhow::Result<Self> {
        let log = directory.join("bench-server.log");
        let out = File::create(&log).with_context(|| format!("cannot write {}", log.display()))?;
        let child = command
            .current_dir(directory)
            .stdin(Stdio::null())
            .stdout(out.try_clone()?)
            .stderr(out)
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("cannot start {command:?}"))?;
        let pid = child
            .id()
            .and_then(|id| Pid::from_raw(i32::try_from(id).ok()?))
            .context("the server has no process id")?;
        Ok(Self {
            child,
            pid,
            log,
            address,
            _sockets: sockets,
        })
    }

    /// Repeats `attempt` until it succeeds.
    ///
    /// # Errors
    ///
    /// The server ends, or does not answer in time.
    pub(super) async fn until<T>(
        &mut self,
        attempt: impl AsyncFn(&str) -> anyhow::Result<T>,
    ) -> anyhow::Result<T> {
        let began = Instant::now();
        loop {
            let error = match attempt(&self.address).await {
                Ok(value) => return Ok(value),
                Err(error) => error,
            };
            if let Some(status) = self.child.try_wait()? {
                bail!("the server ended: {status}; {}", tail(&self.log));
            }
            if began.elapsed() > PATIENCE {
                let context = format!("the server does not answer; {}", tail(&self.log));
                return Err(error.context(context));
            }
            sleep(PAUSE).await;
        }
    }

    /// Stops it: nothing that it holds is needed any more. SIGINT is the signal on which PostgreSQL does not wait for its clients.
    ///
    /// # Errors
    ///
    /// It does not end in time.
    pub(crate) async fn stop(mut self) -> anyhow::Result<()> {
        kill_process(self.pid, Signal::INT).context("cannot signal the server")?;
        timeout(PATIENCE, self.child.wait())
            .await
            .with_context(|| format!("the server did not stop within {PATIENCE:?}"))??;
        Ok(())
    }
}

/// A directory for a socket, whose path is short: at most about 100 bytes are allowed, which a data directory may exceed.
#[derive(Debug)]
pub(super) struct SocketDirectory(PathBuf);

impl SocketDirectory {
    /// Makes an empty directory that only this user can enter.
    ///
    /// # Errors
    ///
    /// It cannot be created.
    pub(super) fn new() -> anyhow::Result<Self> {
        use std::os::unix::fs::DirBuilderExt as _;
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("barista-bench-sockets-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        fs::DirBuilder::new()
            .mode(0o700)
            .create(&path)
            .with_context(|| format!("cannot create {}", path.display()))?;
        Ok(Self(path))
    }

    /// Where it is.
    pub(super) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for SocketDirectory {
    fn drop(&mut self) {
        drop(fs::remove_dir_all(&self.0));
    }
}

/// Runs a command to its end and returns what it printed.
///
/// # Errors
///
/// It fails: the error has what it said.
pub(super) async fn output(command: &mut Command) -> anyhow::Result<String> {
    let Output {
        status,
        stdout,
        stderr,
    } = command
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await
        .with_context(|| format!("cannot run {command:?}"))?;
    if !status.success() {
        let reason = String::from_utf8_lossy(&stderr);
        bail!("{command:?} failed: {status}: {}", reason.trim());
    }
    Ok(String::from_utf8_lossy(&stdout).trim().to_owned())
}
