//! The daemon under measurement: the real program, in a process of its own.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use barista_client::{Autostart, Client, ConnectOptions};
use rustix::process::{Pid, Signal, kill_process};
use tokio::net::UnixDatagram;
use tokio::process::{Child, Command};
use tokio::time::timeout;

/// How long the daemon may take to start or to stop.
const PATIENCE: Duration = Duration::from_secs(30);

/// A running daemon. Dropped without [`Daemon::stop`] it is killed.
#[derive(Debug)]
pub(crate) struct Daemon {
    child: Child,
    pid: Pid,
    directory: PathBuf,
    log: PathBuf,
    /// From the start of the process until its first answer.
    pub(crate) started_in: Duration,
}

impl Daemon {
    /// Starts `program` on `directory` and waits for its first answer.
    ///
    /// # Errors
    ///
    /// It does not start; the error has the end of its log.
    pub(crate) async fn start(
        program: &Path,
        directory: &Path,
        level: &str,
    ) -> anyhow::Result<Self> {
        let ready = ReadySocket::bind()?;
        let log = directory.with_extension("log");
        let mut command = Command::new(program);
        command
            .arg("--data-dir")
            .arg(directory)
            .args(["--log-level", level])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(fs::File::create(&log)?)
            .kill_on_drop(true);
        // Whoever runs this may have settings of their own, and the defaults are what is measured.
        for (name, _) in std::env::vars_os() {
            if name.as_encoded_bytes().starts_with(b"BARISTA_") {
                command.env_remove(name);
            }
        }
        command.env("NOTIFY_SOCKET", &ready.path);
        let began = Instant::now();
        let mut child = command
            .spawn()
            .with_context(|| format!("cannot start {}", program.display()))?;
        let pid = child
            .id()
            .and_then(|id| Pid::from_raw(i32::try_from(id).ok()?))
            .context("the daemon has no process id")?;
        let started = async {
            tokio::select! {
                ready = ready.wait() => ready?,
                status = child.wait() => bail!("the daemon ended: {}", status?),
            }
            anyhow::Ok(Self::connect(directory).await?)
        };
        match timeout(PATIENCE, started).await {
            Ok(Ok(_client)) => {}
            Ok(Err(error)) => return Err(error.context(tail(&log))),
            Err(_) => bail!(
                "the daemon did not start within {PATIENCE:?}; {}",
                tail(&log)
            ),
        }
        Ok(Self {
            child,
            pid,
            directory: directory.to_owned(),
            log,
            started_in: began.elapsed(),
        })
    }

    /// Opens another connection.
    ///
    /// # Errors
    ///
    /// The daemon does not answer.
    pub(crate) async fn client(&self) -> anyhow::Result<Client> {
        Ok(Self::connect(&self.directory).await?)
    }

    /// Opens a connection for each of `count` callers.
    ///
    /// # Errors
    ///
    /// The daemon does not answer.
    pub(crate) async fn clients(&self, count: usize) -> anyhow::Result<Vec<Client>> {
        let mut clients = Vec::with_capacity(count);
        for _ in 0..count {
            clients.push(self.client().await?);
        }
        Ok(clients)
    }

    /// The data directory.
    pub(crate) fn directory(&self) -> &Path {
        &self.directory
    }

    /// The database of the notifications.
    pub(crate) fn database(&self) -> PathBuf {
        self.directory.join("notifications.db")
    }

    /// A number in KiB from `/proc/PID/status`, such as `VmRSS` or `VmHWM`, in MiB.
    ///
    /// # Errors
    ///
    /// The system does not tell.
    pub(crate) fn memory_mib(&self, field: &str) -> anyhow::Result<f64> {
        let path = format!("/proc/{}/status", self.pid.as_raw_nonzero());
        let text = fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
        let kib = text
            .lines()
            .find_map(|line| line.strip_prefix(field)?.strip_prefix(':'))
            .and_then(|rest| rest.split_whitespace().next()?.parse::<f64>().ok())
            .with_context(|| format!("{path} has no {field}"))?;
        Ok(kib / 1024.0)
    }

    /// Opens a connection to the daemon of `directory`, whoever started it.
    ///
    /// # Errors
    ///
    /// The daemon does not answer.
    pub(crate) async fn connect(directory: &Path) -> Result<Client, barista_client::Error> {
        let options = ConnectOptions::new()
            .data_dir(directory.to_owned())
            .autostart(Autostart::Never)
            .call_timeout(Duration::from_secs(120));
        Client::connect(options).await
    }

    /// How many entries a folder of `/proc/PID` has: `fd` for open descriptors, `task` for threads.
    ///
    /// # Errors
    ///
    /// The system does not tell.
    pub(crate) fn entries(&self, folder: &str) -> anyhow::Result<usize> {
        let path = format!("/proc/{}/{folder}", self.pid.as_raw_nonzero());
        let entries = fs::read_dir(&path).with_context(|| format!("cannot read {path}"))?;
        Ok(entries.count())
    }

    /// The processor time that all threads have used. Read from the scheduler, as the ticks of `/proc/PID/stat` are too coarse for a
    /// daemon that does nearly nothing.
    ///
    /// # Errors
    ///
    /// The system does not tell.
    pub(crate) fn processor_time(&self) -> anyhow::Result<Duration> {
        let path = format!("/proc/{}/task", self.pid.as_raw_nonzero());
        let mut nanos = 0;
        for thread in fs::read_dir(&path).with_context(|| format!("cannot read {path}"))? {
            let schedstat = thread?.path().join("schedstat");
            // A thread may have ended since.
            let text = fs::read_to_string(schedstat).unwrap_or_default();
            nanos += text
                .split(' ')
                .next()
                .and_then(|field| field.parse::<u64>().ok())
                .unwrap_or(0);
        }
        Ok(Duration::from_nanos(nanos))
    }

    /// Stops the daemon as a service manager does.
    ///
    /// # Errors
    ///
    /// It does not stop in time, or failed.
    pub(crate) async fn stop(mut self) -> anyhow::Result<()> {
        kill_process(self.pid, Signal::TERM).context("cannot signal the daemon")?;
        let status = timeout(PATIENCE, self.child.wait())
            .await
            .with_context(|| format!("the daemon did not stop within {PATIENCE:?}"))??;
        if !status.success() {
            bail!("the daemon failed: {status}; {}", tail(&self.log));
        }
        fs::remove_file(&self.log).context("cannot remove the daemon's log")
    }
}

/// The end of a log, for an error.
pub(crate) fn tail(log: &Path) -> String {
    let text = fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<_> = text.lines().rev().take(5).collect();
    let lines: Vec<_> = lines.into_iter().rev().collect();
    format!("the end of its log: {}", lines.join(" / "))
}

/// Where the daemon says that it is ready, as it says to systemd. Asking again and again instead would take processor time from the daemon
/// while it starts.
struct ReadySocket {
    path: PathBuf,
    socket: UnixDatagram,
}

impl ReadySocket {
    fn bind() -> anyhow::Result<Self> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        // The address of a socket is at most about 100 bytes, which a data directory may exceed.
        let name = format!("barista-bench-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        let socket = UnixDatagram::bind(&path)
            .with_context(|| format!("cannot listen at {}", path.display()))?;
        Ok(Self { path, socket })
    }

    async fn wait(&self) -> anyhow::Result<()> {
        let mut message = [0; 4096];
        loop {
            let length = self.socket.recv(&mut message).await?;
            let text = String::from_utf8_lossy(&message[..length]);
            if text.lines().any(|line| line == "READY=1") {
                return Ok(());
            }
        }
    }
}

impl Drop for ReadySocket {
    fn drop(&mut self) {
        drop(fs::remove_file(&self.path));
    }
}
