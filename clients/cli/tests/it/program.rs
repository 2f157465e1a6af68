//! The programs under test, and one run of a program.

use std::fmt;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::LazyLock;

use rustix::process::{Pid, Signal, kill_process};

use crate::heard::Heard;

/// The command line, as Cargo has built it for these tests.
pub(crate) const BARISTA: &str = env!("CARGO_BIN_EXE_barista");

/// The daemon beside it, built once per run of the tests: it belongs to another package, so Cargo does not do it by itself. `tests/run` has
/// built it with the whole workspace already and says where; alone it has other features, and would be compiled anew for minutes.
pub(crate) static BARISTAD: LazyLock<PathBuf> = LazyLock::new(build_daemon);

fn build_daemon() -> PathBuf {
    if let Some(built) = std::env::var_os("BARISTA_BIN_DIR") {
        return Path::new(&built).join("baristad");
    }
    let directory = Path::new(BARISTA).parent().expect("a directory");
    let name = |path: &Path| path.file_name().map(|name| name.to_owned());
    let target = directory
        .ancestors()
        .find(|path| path.join("CACHEDIR.TAG").exists())
        .expect("the target directory");
    let profile = name(directory).filter(|name| name != "debug");
    let triple = directory.parent().filter(|parent| *parent != target);
    let mut cargo = Command::new(env!("CARGO"));
    cargo
        .args([
            "build",
            "--quiet",
            "--package",
            "barista",
            "--bin",
            "baristad",
        ])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .arg("--profile")
        .arg(profile.unwrap_or_else(|| "dev".into()))
        .arg("--target-dir")
        .arg(target);
    if let Some(triple) = triple.and_then(name) {
        cargo.arg("--target").arg(triple);
    }
    let status = cargo.status().expect("cargo");
    assert!(status.success(), "baristad cannot be built: {status}");
    directory.join("baristad")
}

/// A program that runs. It is killed when this is dropped.
pub(crate) struct Running {
    child: Child,
    pub(crate) stdout: Heard,
    pub(crate) stderr: Heard,
}

impl Running {
    pub(crate) fn start(command: &mut Command) -> Self {
        command.stdout(Stdio::piped());
        Self::start_with_stdout(command)
    }

    /// Starts a program whose output goes where `command` says; nothing of it is heard where that is no pipe.
    pub(crate) fn start_with_stdout(command: &mut Command) -> Self {
        let mut child = command
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program starts");
        let stdout = match child.stdout.take() {
            Some(pipe) => Heard::listen(pipe),
            None => Heard::listen(std::io::empty()),
        };
        let stderr = Heard::listen(child.stderr.take().expect("a pipe"));
        Self {
            child,
            stdout,
            stderr,
        }
    }

    /// The id of the question on which `barista ask` waits now.
    pub(crate) fn question(&self) -> String {
        self.stderr.until("question", |text| {
            let (_, rest) = text.split_once("Waiting for a response to #")?;
            rest.split_once('.').map(|(id, _)| id.to_owned())
        })
    }

    pub(crate) fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(self.pid(), signal).expect("a signal");
    }

    /// Waits until it has ended.
    pub(crate) fn end(mut self) -> Ended {
        let (stdout, stderr) = (self.stdout.end(), self.stderr.end());
        let status = self.child.wait().expect("its status");
        Ended {
            status,
            stdout,
            stderr,
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ended = self.child.kill();
        let _reaped = self.child.wait();
    }
}

/// How a run ended, and what it wrote.
pub(crate) struct Ended {
    status: ExitStatus,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Ended {
    /// Checks the exit code.
    pub(crate) fn with(self, code: i32) -> Self {
        assert_eq!(self.status.code(), Some(code), "{self}");
        self
    }

    /// The exit code; 128 plus the number of the signal that ended it.
    pub(crate) fn code(&self) -> i32 {
        let signal = self.status.signal().map(|signal| 128 + signal);
        self.status.code().or(signal).expect("one of both")
    }

    /// The one line of output.
    pub(crate) fn value(&self) -> &str {
        self.stdout.strip_suffix('\n').expect("a line")
    }

    /// The output as JSON.
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {self}"))
    }
}

impl fmt::Display for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            status,
            stdout,
            stderr,
        } = self;
        write!(f, "{status}\nstdout:\n{stdout}\nstderr:\n{stderr}")
    }
}
