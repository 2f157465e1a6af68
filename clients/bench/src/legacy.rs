//! The opponent: Python processes that open the database themselves.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, bail};
use serde::Deserialize;
use tokio::process::Command;

use crate::lab::WARM_UP;
use crate::load::{Load, MESSAGE};
use crate::stats::Latencies;

/// The program, so that this one needs no file beside it.
const PROGRAM: &str = include_str!("../legacy.py");

/// A Python interpreter with the program.
#[derive(Debug)]
pub(crate) struct Legacy {
    python: PathBuf,
    program: PathBuf,
    /// The versions of Python and of its SQLite.
    pub(crate) version: String,
}

#[derive(Debug, Deserialize)]
struct Version {
    python: String,
    sqlite: String,
}

/// What one Python process reports.
#[derive(Debug, Deserialize)]
pub(crate) struct Process {
    completed: f64,
    failed: u64,
    latencies_ms: Vec<f64>,
}

impl Legacy {
    /// Puts the program into `directory` and finds the interpreter behind `python`, which may be a script that takes its own time.
    ///
    /// # Errors
    ///
    /// There is no Python with the sqlite3 module.
    pub(crate) async fn install(python: &Path, directory: &Path) -> anyhow::Result<Self> {
        let missing = || {
            format!(
                "cannot run {}, for the comparison with the legacy way; install Python 3, or name it with --python",
                python.display()
            )
        };
        let mut find = Command::new(python);
        find.args(["-c", "import sys; print(sys.executable)"]);
        let found = output(&mut find).await.with_context(missing)?;
        let program = directory.join("legacy.py");
        fs::write(&program, PROGRAM).context("cannot write legacy.py")?;
        let mut legacy = Self {
            python: found.trim().into(),
            program,
            version: String::new(),
        };
        let text = output(&mut legacy.command("version", Path::new("")))
            .await
            .with_context(missing)?;
        let Version { python, sqlite } = serde_json::from_str(&text)?;
        legacy.version = format!("Python {python} with SQLite {sqlite}");
        Ok(legacy)
    }

    fn command(&self, command: &str, database: &Path) -> Command {
        let mut process = Command::new(&self.python);
        process
            .arg(&self.program)
            .arg(command)
            .arg("--database")
            .arg(database)
            .args(["--message", MESSAGE]);
        process
    }

    /// Lets `callers` processes create at the same time. Returns what they came to, and how many of their operations failed.
    ///
    /// # Errors
    ///
    /// The program fails.
    pub(crate) async fn create(
        &self,
        database: &Path,
        callers: usize,
        window: Duration,
    ) -> anyhow::Result<(Load, u64)> {
        let mut command = self.command("create", database);
        command
            .args(["--callers", &callers.to_string()])
            .args(["--seconds", &window.as_secs_f64().to_string()])
            .args(["--warm-up", &WARM_UP.as_secs_f64().to_string()]);
        let processes = reports(&output(&mut command).await?)?;
        let completed: f64 = processes.iter().map(|process| process.completed).sum();
        let failed = processes.iter().map(|process| process.failed).sum();
        let load = Load {
            per_second: completed / window.as_secs_f64(),
            latencies: Latencies::from_ms(
                processes
                    .into_iter()
                    .flat_map(|process| process.latencies_ms),
            ),
            operations: completed as u64,
        };
        Ok((load, failed))
    }

    /// Creates one notification with a process of its own.
    ///
    /// # Errors
    ///
    /// The program fails.
    pub(crate) async fn once(&self, database: &Path) -> anyhow::Result<()> {
        output(&mut self.command("once", database)).await.map(drop)
    }

    /// Dismisses every notification with an even id in a database that no daemon has open.
    ///
    /// # Errors
    ///
    /// The program fails.
    pub(crate) async fn dismiss_every_second(&self, database: &Path) -> anyhow::Result<()> {
        output(&mut self.command("dismiss", database))
            .await
            .map(drop)
    }

    /// Inserts `count` rows beside a running daemon, at a steady rate. The title of each is the time before its insert, in nanoseconds of
    /// the monotonic clock. Returns how long Python took for each.
    ///
    /// # Errors
    ///
    /// The program fails.
    pub(crate) async fn foreign(
        &self,
        database: &Path,
        count: usize,
        per_second: f64,
    ) -> anyhow::Result<Latencies> {
        let mut command = self.command("foreign", database);
        command
            .args(["--count", &count.to_string()])
            .args(["--per-second", &per_second.to_string()]);
        let processes = reports(&output(&mut command).await?)?;
        Ok(Latencies::from_ms(
            processes
                .into_iter()
                .flat_map(|process| process.latencies_ms),
        ))
    }
}

fn reports(text: &str) -> anyhow::Result<Vec<Process>> {
    text.lines()
        .map(|line| {
            serde_json::from_str(line).context("legacy.py printed something else than its report")
        })
        .collect()
}

/// Runs a command to its end and returns what it printed.
async fn output(command: &mut Command) -> anyhow::Result<String> {
    let output = command
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await?;
    if !output.status.success() {
        let reason = String::from_utf8_lossy(&output.stderr);
        bail!("{}: {}", output.status, reason.trim());
    }
    Ok(String::from_utf8(output.stdout)?)
}
