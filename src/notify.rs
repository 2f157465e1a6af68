//! What the daemon tells a service manager (systemd) about itself.
//!
//! Without one (`NOTIFY_SOCKET` is not set) these do nothing. With one that does not listen, the daemon goes on: only a line in the log says so.

use std::time::Duration;

use sd_notify::NotifyState;
use tokio::time::{MissedTickBehavior, interval};

/// How many looks at the writer fit into the time after which the service manager gives up: a late one must not cost the daemon its life.
const LOOKS: u32 = 4;

/// The daemon accepts connections. `status` is a short text for `systemctl status`.
pub fn ready(status: &str) {
    send(&[NotifyState::Ready, NotifyState::Status(&one_line(status))]);
}

/// The daemon has begun to stop.
pub fn stopping() {
    send(&[NotifyState::Stopping, NotifyState::Status("Stopping")]);
}

/// Something about the daemon changed, such as that it refuses writes.
pub fn status(status: &str) {
    send(&[NotifyState::Status(&one_line(status))]);
}

/// After how long without a sign of life the service manager takes the daemon for stuck; `None` where nobody watches.
#[must_use]
pub fn watchdog() -> Option<Duration> {
    sd_notify::watchdog_enabled().filter(|limit| !limit.is_zero())
}

/// Gives the service manager a sign of life, within `limit`, as long as `signs` grows: what counts is that the writer gets on, not that this task
/// still runs. Where it stands still, the status says so, and the service manager restarts the daemon in the end. Never returns.
pub async fn feed_watchdog(limit: Duration, signs: impl Fn() -> u64) -> std::convert::Infallible {
    let mut looks = interval(limit / LOOKS);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut seen, mut stuck) = (None, false);
    loop {
        looks.tick().await;
        let now = Some(signs());
        if now != seen {
            send(&[NotifyState::Watchdog]);
        }
        match (now == seen, stuck) {
            (true, false) => {
                tracing::error!("the writer does not get on; is the disk stuck?");
                status("The writer does not get on; is the disk stuck?");
            }
            (true, true) => status("The writer still does not get on"),
            (false, true) => {
                tracing::info!("the writer gets on again");
                status("The writer gets on again");
            }
            (false, false) => {}
        }
        stuck = now == seen;
        seen = now;
    }
}

fn send(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::warn!(%error, "cannot notify the service manager");
    }
}

/// A line break would end the field, and what follows would be read as another one.
fn one_line(text: &str) -> String {
    text.replace(['\n', '\r'], " ")
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixDatagram;

    use super::*;
    use crate::alone;

    /// The address is in the environment, which a test must not change for its neighbours.
    #[test]
    #[ignore = "another test runs it with a service manager"]
    fn alone_with_a_service_manager() {
        if !alone::is_alone() {
            return;
        }
        ready("Serving\nMAINPID=1");
        stopping();
    }

    #[test]
    fn a_service_manager_hears_of_readiness_and_stopping() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let path = directory.path().join("notify");
        let manager = UnixDatagram::bind(&path).expect("bound");
        alone::expect_pass(
            alone::command("notify::tests::alone_with_a_service_manager")
                .env("NOTIFY_SOCKET", &path),
        );
        manager
            .set_nonblocking(true)
            .expect("both were sent before the process ended");
        let hear = || {
            let mut bytes = [0; 256];
            let length = manager.recv(&mut bytes).expect("a message");
            String::from_utf8_lossy(&bytes[..length]).into_owned()
        };
        assert_eq!(hear(), "READY=1\nSTATUS=Serving MAINPID=1\n");
        assert_eq!(hear(), "STOPPING=1\nSTATUS=Stopping\n");
    }

    #[test]
    fn without_a_service_manager_nothing_happens() {
        status("Serving");
    }
}
