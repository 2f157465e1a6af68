//! A person's home with a data directory in it: what one test works with.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::heard::HANG;
use crate::program::{BARISTA, BARISTAD, Ended, Running};

/// A home of its own. When it is dropped, its daemon has to stop in good order.
pub(crate) struct Home(tempfile::TempDir);

impl Home {
    /// A home where nothing has run yet.
    pub(crate) fn new() -> Self {
        assert!(BARISTAD.is_file());
        Self(tempfile::tempdir().expect("a directory"))
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    pub(crate) fn data_dir(&self) -> PathBuf {
        self.path().join("data")
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.data_dir()
            .join(barista_locate::RUN_DIR)
            .join(barista_locate::SOCKET_FILE)
    }

    /// What the daemon has logged.
    pub(crate) fn log(&self) -> String {
        let log = self.data_dir().join(barista_locate::LOG_FILE);
        std::fs::read_to_string(log).unwrap_or_default()
    }

    /// `program` as Ann runs it in this home, with nothing of the surroundings but the way to the system's programs.
    pub(crate) fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let own = Path::new(BARISTA).parent().expect("a directory");
        let system = std::env::var_os("PATH").unwrap_or_default();
        let path = std::env::join_paths(
            std::iter::once(own.to_owned()).chain(std::env::split_paths(&system)),
        );
        let mut command = Command::new(program);
        command
            .env_clear()
            .env("PATH", path.expect("a search path"))
            .env("HOME", self.path())
            .env("USER", "ann")
            .env("TZ", "UTC")
            .env("LANG", "C.UTF-8")
            .env(barista_locate::DATA_DIR_VARIABLE, self.data_dir())
            .current_dir(self.path())
            .stdin(Stdio::null());
        command
    }

    /// `barista` with these arguments.
    pub(crate) fn barista<const N: usize>(&self, arguments: [&str; N]) -> Command {
        let mut command = self.command(BARISTA);
        command.args(arguments);
        command
    }

    /// Starts `barista` with these arguments.
    pub(crate) fn start<const N: usize>(&self, arguments: [&str; N]) -> Running {
        Running::start(&mut self.barista(arguments))
    }

    /// Runs `barista` with these arguments to its end.
    pub(crate) fn run<const N: usize>(&self, arguments: [&str; N]) -> Ended {
        self.start(arguments).end()
    }

    /// Runs a script in which `barista` is a command.
    pub(crate) fn sh(&self, script: &str) -> Ended {
        Running::start(self.command("sh").args(["-c", script])).end()
    }

    /// The notification as the daemon has it now.
    pub(crate) fn notification(&self, id: &str) -> Value {
        let shown = self.run(["show", id, "--json"]).with(0).json();
        shown["notification"].clone()
    }

    /// The state of the notification, as in `PENDING`.
    pub(crate) fn state(&self, id: &str) -> String {
        let notification = self.notification(id);
        let state = notification["state"].as_str().expect("a state");
        state.trim_start_matches("NOTIFICATION_STATE_").to_owned()
    }

    /// What the daemon says about itself.
    pub(crate) fn status(&self) -> Value {
        self.run(["status", "--json"]).with(0).json()
    }

    /// Creates a consumer at the oldest change, and leaves it.
    pub(crate) fn consumer(&self, name: &str) {
        let watch = self.start(["watch", "--consumer", name, "--since", "all"]);
        watch.stderr.until_says("A new consumer");
        // It may not listen for signals yet, so how it ends is not told. Not INT, which is ignored under a shell that started the tests in the background.
        watch.signal(Signal::TERM);
        watch.end();
    }

    /// A consumer that has set the first change aside, at once and for good.
    pub(crate) fn consumer_with_something_aside(&self, name: &str) {
        let watch = self.start([
            "watch",
            "--consumer",
            name,
            "--since",
            "all",
            "--exec",
            "exit 3",
            "--retries",
            "0",
        ]);
        watch
            .stderr
            .until_says("failed once, and the change is set aside: exit status: 3");
        watch.signal(Signal::TERM);
        watch.end();
    }

    /// Waits until the daemon counts `count` of `what`: `watchers` or `waiters`.
    pub(crate) fn until_counts(&self, what: &str, count: i64) {
        let began = Instant::now();
        loop {
            let status = self.status();
            if status["status"][what].as_i64().unwrap_or(0) == count {
                return;
            }
            assert!(began.elapsed() < HANG, "no {count} {what}: {status}");
        }
    }

    /// The process of the daemon that serves this home.
    pub(crate) fn daemon(&self) -> Pid {
        let pid = self.status()["info"]["pid"].as_i64().expect("a process");
        Pid::from_raw(i32::try_from(pid).expect("a process")).expect("a process")
    }

    /// Ends the daemon without a chance to do anything about it.
    pub(crate) fn kill_daemon(&self) {
        let pid = self.daemon();
        // It is no child of ours. Until it has ended, somebody may still connect to its socket and be cut off.
        #[cfg(target_os = "linux")]
        let process = rustix::process::pidfd_open(pid, rustix::process::PidfdFlags::empty())
            .expect("a process");
        kill_process(pid, Signal::KILL).expect("a signal");
        #[cfg(target_os = "linux")]
        rustix::event::poll(
            &mut [rustix::event::PollFd::new(
                &process,
                rustix::event::PollFlags::IN,
            )],
            None,
        )
        .expect("its end");
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        let stopped = self.run(["daemon", "stop"]);
        if std::thread::panicking() {
            eprintln!("the daemon's log:\n{}", self.log());
            return;
        }
        assert_eq!(stopped.code(), 0, "{stopped}");
        assert!(!self.socket().exists(), "the daemon has left its socket");
        let log = self.log();
        assert!(!log.contains("ERROR") && !log.contains("panicked"), "{log}");
    }
}
