//! Ending another process, and knowing when it has ended.

use std::io;
use std::time::Duration;

use rustix::io::Errno;
use rustix::process::Pid;

/// Asks process `pid` to end with SIGTERM and waits until it has, or until `limit` has passed; says whether it has.
///
/// # Errors
///
/// What the system says about sending the signal. A process that is gone already counts as ended.
pub(crate) async fn terminate(pid: Pid, limit: Duration) -> io::Result<bool> {
    match system::terminate(pid, limit).await {
        Err(error) if Errno::from_io_error(&error) == Some(Errno::SRCH) => Ok(true),
        result => result,
    }
}

#[cfg(target_os = "linux")]
mod system {
    use std::io;
    use std::time::{Duration, Instant};

    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    use rustix::io::Errno;
    use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

    /// Sends the signal through a descriptor of the process: its number cannot go to another one meanwhile, and the descriptor becomes
    /// readable when it ends, even where nobody reaps it.
    pub(super) async fn terminate(pid: Pid, limit: Duration) -> io::Result<bool> {
        let process = pidfd_open(pid, PidfdFlags::empty())?;
        pidfd_send_signal(&process, Signal::TERM)?;
        let wait = move || {
            let began = Instant::now();
            loop {
                let left = Timespec::try_from(limit.saturating_sub(began.elapsed())).ok();
                match poll(&mut [PollFd::new(&process, PollFlags::IN)], left.as_ref()) {
                    Err(Errno::INTR) => {}
                    ready => return Ok(ready? > 0),
                }
            }
        };
        tokio::task::spawn_blocking(wait)
            .await
            .map_err(io::Error::other)?
    }
}

#[cfg(not(target_os = "linux"))]
mod system {
    use std::io;
    use std::time::Duration;

    use rustix::process::{Pid, Signal, kill_process, test_kill_process};
    use tokio::time::{sleep, timeout};

    /// How often to look whether the process is still there: nothing tells when it ends.
    const LOOK: Duration = Duration::from_millis(20);

    pub(super) async fn terminate(pid: Pid, limit: Duration) -> io::Result<bool> {
        kill_process(pid, Signal::TERM)?;
        let gone = async {
            while test_kill_process(pid).is_ok() {
                sleep(LOOK).await;
            }
        };
        Ok(timeout(limit, gone).await.is_ok())
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    #[tokio::test]
    async fn a_process_is_ended_and_its_end_is_noticed() {
        let mut child = std::process::Command::new("sleep")
            .arg("600")
            .spawn()
            .expect("sleep");
        let pid = Pid::from_child(&child);
        // Nobody reaps the child, so it stays a zombie, as a daemon's may in a container.
        let ended = terminate(pid, Duration::from_secs(30)).await;
        assert!(matches!(ended, Ok(true)), "{ended:?}");
        child.wait().expect("its end");
    }

    #[tokio::test]
    async fn a_process_that_takes_its_time_is_given_up_after_the_limit() {
        let mut child = std::process::Command::new("sh")
            .args([
                "-c",
                "trap '' TERM; echo ready; while :; do read line; done </dev/zero",
            ])
            .stdout(std::process::Stdio::piped())
            .spawn()
            .expect("sh");
        let mut ready = [0; 6];
        let mut stdout = child.stdout.take().expect("a pipe");
        stdout.read_exact(&mut ready).expect("its word");
        let ended = terminate(Pid::from_child(&child), Duration::from_millis(20)).await;
        assert!(matches!(ended, Ok(false)), "{ended:?}");
        child.kill().expect("a signal");
        child.wait().expect("its end");
    }
}
