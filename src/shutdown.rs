//! Signals, as far as they stop the daemon.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// What SIGHUP means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hangup {
    /// The terminal that the daemon writes to was closed: stop, as for SIGTERM.
    Stop,
    /// There is no terminal. The daemon has nothing to reload: the log is rotated by itself, and the configuration is read at the start.
    Ignore,
}

impl Hangup {
    /// [`Self::Stop`] when standard error is a terminal and the daemon was not detached from it.
    #[must_use]
    pub fn fitting(detached: bool) -> Self {
        if !detached && io::IsTerminal::is_terminal(&io::stderr()) {
            Self::Stop
        } else {
            Self::Ignore
        }
    }
}

/// Cancels `stopping` at the first SIGTERM or SIGINT. The second one ends the process at once, with exit code 143 or 130: whoever sends it does
/// not want to wait, and a killed daemon loses nothing that it acknowledged.
///
/// The signals are caught from the moment this returns. Call it inside the runtime; the task ends with the process.
///
/// # Errors
///
/// What the system says when a handler cannot be set.
pub fn on_signals(stopping: CancellationToken, hangup: Hangup) -> io::Result<JoinHandle<()>> {
    let mut signals = Signals {
        terminate: signal(SignalKind::terminate())?,
        interrupt: signal(SignalKind::interrupt())?,
        hangup: signal(SignalKind::hangup())?,
        on_hangup: hangup,
    };
    Ok(tokio::spawn(async move {
        let first = signals.next().await;
        tracing::info!(signal = first.name, "stopping");
        stopping.cancel();
        let second = signals.next().await;
        tracing::warn!(signal = second.name, "second signal: ending at once");
        std::process::exit(second.exit_code);
    }))
}

struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
    on_hangup: Hangup,
}

struct Received {
    name: &'static str,
    /// 128 and the number of the signal, as shells do it.
    exit_code: i32,
}

impl Signals {
    /// Waits for a signal that asks the daemon to stop.
    async fn next(&mut self) -> Received {
        loop {
            tokio::select! {
                _ = self.terminate.recv() => return Received { name: "SIGTERM", exit_code: 143 },
                _ = self.interrupt.recv() => return Received { name: "SIGINT", exit_code: 130 },
                _ = self.hangup.recv() => match self.on_hangup {
                    Hangup::Stop => return Received { name: "SIGHUP", exit_code: 129 },
                    Hangup::Ignore => tracing::info!("SIGHUP ignored: there is nothing to reload"),
                },
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader, Write};
    use std::process::{Child, ChildStdout, Stdio};

    use rustix::process::{Pid, Signal as Number, kill_process};

    use super::*;
    use crate::alone;

    /// Signals reach a whole process, so each story runs this in one of its own.
    #[tokio::test]
    #[ignore = "waits for signals; other tests run it"]
    async fn alone_waiting_for_signals() {
        if !alone::is_alone() {
            return;
        }
        let stopping = CancellationToken::new();
        let hangup = match std::env::var("HANGUP").as_deref() {
            Ok("stop") => Hangup::Stop,
            _ => Hangup::Ignore,
        };
        let task = on_signals(stopping.clone(), hangup).expect("handlers");
        let say = |word: &str| writeln!(io::stdout(), "\n{word}").expect("written");
        say("ready");
        stopping.cancelled().await;
        say("stopping");
        task.await.expect("ends with the process");
    }

    struct Alone {
        child: Child,
        lines: io::Lines<BufReader<ChildStdout>>,
    }

    impl Alone {
        fn start(hangup: &str) -> Self {
            let mut child = alone::command("shutdown::tests::alone_waiting_for_signals")
                .env("HANGUP", hangup)
                .stdout(Stdio::piped())
                .spawn()
                .expect("it runs");
            let lines = BufReader::new(child.stdout.take().expect("piped")).lines();
            let mut alone = Self { child, lines };
            alone.wait_for("ready");
            alone
        }

        fn wait_for(&mut self, word: &str) {
            let found = self
                .lines
                .by_ref()
                .map_while(Result::ok)
                .any(|line| line == word);
            assert!(found, "it ended without saying {word:?}");
        }

        fn send(&self, number: Number) {
            let pid = Pid::from_raw(self.child.id().cast_signed()).expect("a pid");
            kill_process(pid, number).expect("sent");
        }

        fn exit_code(mut self) -> Option<i32> {
            self.child.wait().expect("it ends").code()
        }
    }

    #[test]
    fn the_first_signal_stops_gently_and_the_second_at_once() {
        for (second, exit_code) in [(Number::INT, 130), (Number::TERM, 143)] {
            let mut daemon = Alone::start("ignore");
            daemon.send(Number::TERM);
            daemon.wait_for("stopping");
            daemon.send(second);
            assert_eq!(daemon.exit_code(), Some(exit_code));
        }
    }

    #[test]
    fn a_closed_terminal_stops_only_a_daemon_that_has_one() {
        let mut daemon = Alone::start("stop");
        daemon.send(Number::HUP);
        daemon.wait_for("stopping");
        daemon.send(Number::HUP);
        assert_eq!(daemon.exit_code(), Some(129));

        let mut daemon = Alone::start("ignore");
        daemon.send(Number::HUP);
        daemon.send(Number::INT);
        daemon.wait_for("stopping");
        daemon.send(Number::INT);
        assert_eq!(
            daemon.exit_code(),
            Some(130),
            "had SIGHUP counted, the first SIGINT would have ended it"
        );
    }

    #[test]
    fn a_detached_daemon_has_no_terminal() {
        assert_eq!(Hangup::fitting(true), Hangup::Ignore);
    }
}
