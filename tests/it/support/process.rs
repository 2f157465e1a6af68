//! The daemon's process: started, heard of, signalled, waited for.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, sync_channel};

use rustix::process::{Pid, Signal, kill_process};
use tokio::net::UnixDatagram;
use tokio::sync::watch;

use super::{HANG, soon};

/// A running `baristad`. It is killed when this is dropped.
pub(crate) struct Process {
    pid: Pid,
    ended: watch::Receiver<Option<ExitStatus>>,
    /// The same once more, for who cannot wait in a task.
    ended_blocking: Receiver<ExitStatus>,
    /// Where the daemon reports to its service manager, which is this test.
    manager: UnixDatagram,
    log: PathBuf,
}

impl Process {
    /// Starts `command`. What it says goes to `home/daemon.log`, what it tells its service manager to this process.
    pub(crate) fn spawn(mut command: Command, home: &Path) -> Self {
        let address = home.join("notify.sock");
        drop(std::fs::remove_file(&address));
        let manager = UnixDatagram::bind(&address).expect("a service manager's socket");
        let log = home.join("daemon.log");
        let output = File::options()
            .create(true)
            .append(true)
            .open(&log)
            .expect("a log file");
        let mut child = command
            .env("NOTIFY_SOCKET", &address)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(output)
            .spawn()
            .expect("the daemon's program runs");
        let pid = Pid::from_child(&child);
        let (end, ended) = watch::channel(None);
        let (end_blocking, ended_blocking) = sync_channel(1);
        std::thread::spawn(move || {
            let status = child.wait().expect("a child of this process");
            // Nobody may wait for it any more.
            let _ = end_blocking.send(status);
            end.send_replace(Some(status));
        });
        Self {
            pid,
            ended,
            ended_blocking,
            manager,
            log,
        }
    }

    /// Waits until the daemon says that it serves, or has ended.
    pub(crate) async fn ready(&self) -> Result<(), ExitStatus> {
        let ready = async {
            let mut text = vec![0; 4096];
            loop {
                let length = self.manager.recv(&mut text).await.expect("a message");
                if text[..length].starts_with(b"READY=1") {
                    return;
                }
            }
        };
        soon(async {
            tokio::select! {
                () = ready => Ok(()),
                status = self.ended() => Err(status),
            }
        })
        .await
    }

    /// What the daemon tells its service manager next.
    pub(crate) async fn told(&self) -> String {
        let mut text = vec![0; 4096];
        let length = soon(self.manager.recv(&mut text)).await.expect("a message");
        String::from_utf8_lossy(&text[..length]).into_owned()
    }

    /// Waits for the end of the process.
    pub(crate) async fn exit(&self) -> ExitStatus {
        soon(self.ended()).await
    }

    async fn ended(&self) -> ExitStatus {
        let mut ended = self.ended.clone();
        let status = ended
            .wait_for(Option::is_some)
            .await
            .expect("it is waited for");
        status.expect("it has ended")
    }

    /// Waits for the end of the process without a task.
    pub(crate) fn exit_blocking(&self) -> Option<ExitStatus> {
        let ended = *self.ended.borrow();
        ended.or_else(|| self.ended_blocking.recv_timeout(HANG).ok())
    }

    /// Sends a signal, unless the process has ended.
    pub(crate) fn signal(&self, signal: Signal) {
        if self.ended.borrow().is_none() {
            kill_process(self.pid, signal).expect("a process of this user");
        }
    }

    pub(crate) fn pid(&self) -> i32 {
        self.pid.as_raw_nonzero().get()
    }

    /// Everything that the daemons of this directory have said.
    pub(crate) fn said(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if self.ended.borrow().is_none() {
            // It may end by itself just now.
            let _ = kill_process(self.pid, Signal::KILL);
        }
    }
}
