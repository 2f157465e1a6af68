//! The bench that experiments are set up on: programs, directories and settings.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use anyhow::{Context, bail};
use barista_client::Client;

use crate::args::Run;
use crate::daemon::Daemon;
use crate::legacy::Legacy;

/// How long callers work before anything counts: connections, caches and statements are warm then.
pub(crate) const WARM_UP: Duration = Duration::from_millis(300);

/// Everything that scenarios share.
#[derive(Debug)]
pub(crate) struct Lab {
    /// How long loops are measured.
    pub(crate) window: Duration,
    /// How often to repeat what is counted.
    pub(crate) count: usize,
    /// How many callers there are at a time, where that is what is measured.
    pub(crate) callers: Vec<usize>,
    /// How many watchers there are at a time, where that is what is measured.
    pub(crate) watchers: Vec<usize>,
    /// The sizes of the inboxes.
    pub(crate) inboxes: Vec<usize>,
    /// The opponent.
    pub(crate) legacy: Legacy,
    /// The daemon's log level.
    pub(crate) log_level: String,
    programs: PathBuf,
    /// Removed last.
    base: Scratch,
    /// Where data directories outlive the scenario that made them.
    datasets: PathBuf,
    keeps_datasets: bool,
    made: AtomicU32,
}

impl Lab {
    /// Finds the programs and creates the directories.
    ///
    /// # Errors
    ///
    /// Something is missing: the error says what to do.
    pub(crate) async fn new(options: &Run) -> anyhow::Result<Self> {
        let programs = match &options.bin {
            Some(directory) => directory.clone(),
            None => beside_this_program()?,
        };
        for program in ["baristad", "barista"] {
            if !programs.join(program).is_file() {
                bail!(
                    "there is no {program} in {}; run `cargo build --release`, or name the directory with --bin",
                    programs.display()
                );
            }
        }
        let base = options.dir.clone().unwrap_or_else(|| "target/bench".into());
        let base = passable_directory(&base)?.join(format!("run-{}", std::process::id()));
        let datasets = match &options.keep {
            Some(directory) => private_directory(directory)?,
            None => base.join("datasets"),
        };
        let base = passable_directory(&base).map(Scratch)?;
        Ok(Self {
            window: Duration::from_secs_f64(options.seconds),
            count: options.count as usize,
            callers: options.callers.iter().map(|n| *n as usize).collect(),
            watchers: options.watchers.iter().map(|n| *n as usize).collect(),
            inboxes: options.inbox.clone(),
            legacy: Legacy::install(&options.python, &base.0).await?,
            log_level: options.log_level.clone(),
            programs,
            datasets: private_directory(&datasets)?,
            keeps_datasets: options.keep.is_some(),
            base,
            made: AtomicU32::new(0),
        })
    }

    /// Where everything is put.
    pub(crate) fn base(&self) -> &Path {
        &self.base.0
    }

    /// The daemon's program.
    pub(crate) fn baristad(&self) -> PathBuf {
        self.programs.join("baristad")
    }

    /// The command line's program.
    pub(crate) fn barista(&self) -> PathBuf {
        self.programs.join("barista")
    }

    /// Where the data directory of this name is kept, and whether somebody has to fill it first.
    pub(crate) fn dataset(&self, name: &str) -> Dataset {
        let directory = self.datasets.join(name);
        Dataset {
            is_ready: directory.join(READY).exists(),
            directory,
        }
    }

    /// Makes an empty directory that is removed with everything in it when the guard is dropped.
    ///
    /// # Errors
    ///
    /// It cannot be created.
    pub(crate) fn scratch(&self) -> anyhow::Result<Scratch> {
        let number = self.made.fetch_add(1, Ordering::Relaxed);
        let directory = private_directory(&self.base.0.join(format!("d{number}")))?;
        Ok(Scratch(directory))
    }

    /// Starts a daemon on a new data directory, with a first client.
    ///
    /// # Errors
    ///
    /// It does not start.
    pub(crate) async fn daemon(&self) -> anyhow::Result<Experiment> {
        self.daemon_logging(&self.log_level).await
    }

    /// Starts a daemon that logs at `level` on a new data directory.
    ///
    /// # Errors
    ///
    /// It does not start.
    pub(crate) async fn daemon_logging(&self, level: &str) -> anyhow::Result<Experiment> {
        let scratch = self.scratch()?;
        let daemon = Daemon::start(&self.baristad(), &scratch.0, level).await?;
        let client = daemon.client().await?;
        Ok(Experiment {
            client,
            daemon,
            _scratch: scratch,
        })
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        if !self.keeps_datasets {
            drop(fs::remove_dir_all(&self.datasets));
        }
    }
}

/// The file that says that a dataset is complete.
const READY: &str = "bench-ready";

/// A data directory that several scenarios and rounds use.
#[derive(Debug)]
pub(crate) struct Dataset {
    /// Where it is.
    pub(crate) directory: PathBuf,
    /// Whether it is filled.
    pub(crate) is_ready: bool,
}

impl Dataset {
    /// Says that it is filled.
    ///
    /// # Errors
    ///
    /// The directory cannot be written.
    pub(crate) fn finish(&self) -> anyhow::Result<()> {
        fs::write(self.directory.join(READY), "")?;
        Ok(())
    }
}

/// A directory for one experiment.
#[derive(Debug)]
pub(crate) struct Scratch(pub(crate) PathBuf);

impl Drop for Scratch {
    fn drop(&mut self) {
        drop(fs::remove_dir_all(&self.0));
    }
}

/// A daemon on a data directory of its own.
#[derive(Debug)]
pub(crate) struct Experiment {
    /// A connection.
    pub(crate) client: Client,
    /// The daemon.
    pub(crate) daemon: Daemon,
    _scratch: Scratch,
}

impl Experiment {
    /// Stops the daemon and removes its data.
    ///
    /// # Errors
    ///
    /// It does not stop, or reports a failure.
    pub(crate) async fn end(self) -> anyhow::Result<()> {
        drop(self.client);
        self.daemon.stop().await
    }
}

/// Where this program lies, and so its neighbours.
pub(crate) fn beside_this_program() -> anyhow::Result<PathBuf> {
    let program = std::env::current_exe().context("cannot find this program's own file")?;
    program
        .parent()
        .map(Path::to_owned)
        .context("this program's file is in no directory")
}

/// Creates a directory that only this user can enter, as the daemon demands, and returns its canonical path.
pub(crate) fn private_directory(path: &Path) -> anyhow::Result<PathBuf> {
    directory(path, 0o700)
}

/// Creates a directory that other users can pass, but not read, to what is theirs in it: PostgreSQL runs as a user of its own.
pub(crate) fn passable_directory(path: &Path) -> anyhow::Result<PathBuf> {
    directory(path, 0o711)
}

fn directory(path: &Path, mode: u32) -> anyhow::Result<PathBuf> {
    use std::os::unix::fs::DirBuilderExt;
    fs::DirBuilder::new()
        .recursive(true)
        .mode(mode)
        .create(path)
        .and_then(|()| fs::canonicalize(path))
        .with_context(|| format!("cannot create {}", path.display()))
}
