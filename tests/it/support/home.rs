//! A directory for a daemon, before, while and after it runs.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};

use tempfile::TempDir;

use super::Foreign;
use super::process::Process;

/// The daemon's program.
pub(crate) const BARISTAD: &str = env!("CARGO_BIN_EXE_baristad");
/// The database with the notifications.
const DATABASE: &str = "notifications.db";

/// A temporary directory with a data directory to be in it.
pub(crate) struct Home {
    directory: TempDir,
    data_dir: PathBuf,
}

impl Home {
    pub(crate) fn new() -> Self {
        Self::named("data")
    }

    /// The data directory is `name` below the temporary one.
    pub(crate) fn named(name: &str) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        // The daemon reports canonical paths, and on macOS the temporary directory is behind a link.
        let root = directory.path().canonicalize().expect("a canonical path");
        Self {
            data_dir: root.join(name),
            directory,
        }
    }

    /// A home whose daemon reads `config` as its `barista.toml`.
    pub(crate) fn configured(config: &str) -> Self {
        let home = Self::new();
        home.create();
        std::fs::write(home.data_dir.join("barista.toml"), config).expect("a configuration");
        home
    }

    /// A home that begins with a copy of `database`.
    pub(crate) fn with_database(database: &Path) -> Self {
        let home = Self::new();
        home.create();
        std::fs::copy(database, home.database()).expect("a copy");
        home
    }

    /// Creates the data directory.
    pub(crate) fn create(&self) {
        std::fs::create_dir_all(&self.data_dir).expect("a data directory");
    }

    /// The temporary directory, which holds the data directory.
    pub(crate) fn path(&self) -> &Path {
        self.directory.path()
    }

    pub(crate) fn data_dir(&self) -> &Path {
        &self.data_dir
    }

    pub(crate) fn database(&self) -> PathBuf {
        self.data_dir.join(DATABASE)
    }

    /// The command that runs a daemon here, with nothing of this process's environment that could change what it does.
    pub(crate) fn command(&self) -> Command {
        let mut command = Command::new(BARISTAD);
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("BARISTA_") {
                command.env_remove(name);
            }
        }
        command.arg("--data-dir").arg(&self.data_dir);
        command
    }

    /// Starts a daemon here.
    pub(crate) fn spawn(&self) -> Process {
        Process::spawn(self.command(), self.path())
    }

    /// Starts a daemon here that ends when it comes to `point` for the `time`th time.
    #[cfg(feature = "failpoints")]
    pub(crate) fn spawn_armed(&self, point: &str, time: u64) -> Process {
        let mut command = self.command();
        command.env("BARISTA_TEST_FAILPOINT", format!("{point}:{time}"));
        Process::spawn(command, self.path())
    }

    /// Runs a daemon that is expected to refuse to start; returns its exit code and its last words.
    pub(crate) async fn refusal(&self) -> (i32, String) {
        self.refusal_of(self.command()).await
    }

    /// As [`Home::refusal`], of a command that was changed.
    pub(crate) async fn refusal_of(&self, command: Command) -> (i32, String) {
        let reports = tempfile::tempdir().expect("a temporary directory");
        let process = Process::spawn(command, reports.path());
        let status: ExitStatus = process.ready().await.expect_err("the daemon refuses");
        (status.code().expect("an exit code"), process.said())
    }

    /// A connection as direct tooling opens it.
    pub(crate) fn foreign(&self) -> Foreign {
        Foreign::open(&self.database())
    }
}
