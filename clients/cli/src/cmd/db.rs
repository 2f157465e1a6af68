//! `barista db`: backups of the database, and what it no longer keeps.

use std::path::PathBuf;
use std::process::Stdio;

use barista_client::pb::admin::v1::{
    ApplyRetentionRequest, BackupPhase, BackupProgress, CreateBackupRequest,
};
use clap::{Args, Subcommand};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use inquire::Confirm;
use tokio::process::Command;

use crate::app::App;
use crate::exit::Exit;
use crate::failure::{Failure, Result};
use crate::output::Output;
use crate::{render, text};

/// The exit codes of baristad: a mistake on the command line or in the configuration, and a data directory that another one holds.
const EXIT_USAGE: i32 = 2;
const EXIT_HELD: i32 = 75;

/// Back up and restore the database, and see what it no longer keeps.
#[derive(Debug, Subcommand)]
pub(crate) enum Db {
    Backup(Backup),
    Verify(Verify),
    Restore(Restore),
    Retain(Retain),
}

/// Copy the database into a new file while everybody goes on working; prints its path.
///
/// All that was stored before is in it. The copy is checked, and on the disk when the command ends.
#[derive(Debug, Args)]
pub(crate) struct Backup {
    /// The new file [default: backups/notifications-TIME.db in the data directory]
    #[arg(value_hint = clap::ValueHint::FilePath)]
    file: Option<PathBuf>,
}

/// Check whether a backup is sound. Exit code 1: it is not.
#[derive(Debug, Args)]
pub(crate) struct Verify {
    /// The backup
    #[arg(value_hint = clap::ValueHint::FilePath)]
    file: PathBuf,
}

/// Put a backup in the place of the database, while no daemon runs.
///
/// The backup is checked first. What was there before is moved to replaced-TIME/ in the data directory, and nothing of it is deleted. Watchers and
/// consumers notice that this is another history: each consumer has to be reset.
#[derive(Debug, Args)]
pub(crate) struct Restore {
    /// The backup
    #[arg(value_hint = clap::ValueHint::FilePath)]
    file: PathBuf,
    /// Do not ask
    #[arg(long, short)]
    yes: bool,
}

/// Remove what the configuration (its section `retention`) no longer keeps, as the daemon does every hour, and say what that was.
///
/// What is not closed is never removed, nor changes that a consumer within its limits has yet to acknowledge.
#[derive(Debug, Args)]
pub(crate) struct Retain {
    /// Only say what would go, and who holds something back
    #[arg(long)]
    dry_run: bool,
    /// Rebuild the whole file without free space instead, while no daemon runs: for a file that cannot give space back
    #[arg(long, conflicts_with = "dry_run")]
    vacuum: bool,
}

impl Db {
    pub(crate) async fn run(self, app: &App) -> Result<Exit> {
        match self {
            Self::Backup(backup) => backup.run(app).await,
            Self::Verify(verify) => {
                offline(app, "verify it", ["--verify".into(), verify.file]).await
            }
            Self::Restore(restore) => restore.run(app).await,
            Self::Retain(retain) => retain.run(app).await,
        }
    }
}

impl Backup {
    async fn run(self, app: &App) -> Result<Exit> {
        let what = "cannot make a backup";
        let path = match &self.file {
            None => String::new(),
            Some(file) => {
                let path = std::path::absolute(file).map_err(|error| Failure::io(what, &error))?;
                let path = path.into_os_string().into_string();
                path.map_err(|_| Failure::usage(what, "the path is not UTF-8"))?
            }
        };
        let client = app.client().await?;
        let bar = progress_bar(app);
        let made = client
            .create_backup(
                CreateBackupRequest {
                    path,
                    ..CreateBackupRequest::default()
                },
                |progress| {
                    show(&bar, &progress);
                },
            )
            .await;
        bar.finish_and_clear();
        let backup = made.map_err(|error| Failure::call(what, &error))?;
        if app.output.json {
            app.output.message(&backup)?;
        } else {
            app.output
                .print(&format!("{}\n", text::line(&backup.path)))?;
            let size = render::status::bytes(backup.size_bytes);
            app.output.note(&format!(
                "Backed up {size} with the changes up to {}, sha256 {}.",
                backup.sequence,
                text::line(&backup.sha256)
            ));
        }
        Ok(Exit::Done)
    }
}

/// A bar on a terminal; elsewhere, and with `--quiet`, one that nobody sees.
fn progress_bar(app: &App) -> ProgressBar {
    let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
    if app.output.quiet {
        bar.set_draw_target(ProgressDrawTarget::hidden());
    }
    let style = ProgressStyle::with_template("{msg:9} {bar:30} {percent:>3} % of {len} pages");
    // The template is fixed; without it the bar looks plain.
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    bar
}

fn show(bar: &ProgressBar, progress: &BackupProgress) {
    let count = |pages: i64| u64::try_from(pages).unwrap_or(0);
    bar.set_length(count(progress.pages_total));
    bar.set_position(count(progress.pages_done));
    bar.set_message(match progress.phase() {
        BackupPhase::Checking => "checking",
        BackupPhase::Copying | BackupPhase::Unspecified => "copying",
    });
}

impl Restore {
    async fn run(self, app: &App) -> Result<Exit> {
        let located = app.located()?;
        if !self.yes {
            let what = "cannot restore without a yes";
            if !Output::can_prompt() {
                let failure = Failure::usage(what, "nobody can be asked, as this is no terminal");
                return Err(
                    failure.next(format!("barista db restore --yes {}", self.file.display()))
                );
            }
            let question = format!(
                "Put {} in the place of the database in {}?",
                self.file.display(),
                located.path.display()
            );
            let answer = Confirm::new(&question).with_default(false).prompt();
            match answer {
                Ok(true) => {}
                Ok(false) => {
                    app.output.note("Nothing was changed.");
                    return Err(Failure::Reported(Exit::Failed));
                }
                Err(error) => return Err(Failure::usage(what, error)),
            }
        }
        offline(app, "restore it", ["--restore".into(), self.file]).await
    }
}

impl Retain {
    async fn run(self, app: &App) -> Result<Exit> {
        if self.vacuum {
            return offline(app, "rebuild the database", ["--vacuum".into()]).await;
        }
        let client = app.client().await?;
        let request = ApplyRetentionRequest {
            dry_run: self.dry_run,
        };
        let report = client
            .apply_retention(request)
            .await
            .map_err(|error| Failure::call("cannot remove what is no longer kept", &error))?;
        if app.output.json {
            app.output.message(&report)?;
        } else {
            app.output
                .print(&render::retention::report(&report, self.dry_run))?;
        }
        Ok(Exit::Done)
    }
}

/// Has baristad do what needs the database without a daemon: only it knows SQLite. What it says goes to our stdout.
async fn offline<const N: usize>(app: &App, what: &str, arguments: [PathBuf; N]) -> Result<Exit> {
    let what = format!("cannot {what}");
    if app.socket.is_some() {
        let why = "--socket names the socket of a daemon that somebody else starts";
        return Err(Failure::usage(what, why).next("leave --socket out".to_owned()));
    }
    let Some(program) = barista_client::daemon_program() else {
        let why = "there is no baristad beside barista or on PATH";
        return Err(Failure::unexpected(what, why).next("install it beside barista".to_owned()));
    };
    let mut command = Command::new(&program);
    command.args(arguments);
    if app.output.json {
        command.arg("--json");
    }
    if let Some(data_dir) = &app.data_dir {
        command.arg("--data-dir").arg(data_dir);
    }
    command
        .stdin(Stdio::null())
        .stderr(Stdio::piped())
        .stdout(Stdio::inherit());
    // Not ended with this program: it has either not begun to change anything, or should finish.
    let ended = command
        .spawn()
        .map_err(|error| Failure::io(&what, &error))?;
    let ended = ended.wait_with_output().await;
    let ended = ended.map_err(|error| Failure::io(&what, &error))?;
    let exit = match ended.status.code() {
        Some(0) => return Ok(Exit::Done),
        Some(EXIT_USAGE) => Exit::Usage,
        Some(EXIT_HELD) => Exit::TryAgain,
        _ => Exit::Failed,
    };
    let said = String::from_utf8_lossy(&ended.stderr).into_owned();
    let mut lines = said.lines();
    let Some(why) = lines.next() else {
        return Err(Failure::Reported(exit));
    };
    let why = why.strip_prefix("baristad: ").unwrap_or(why);
    let next = lines.find_map(|line| line.strip_prefix("next: "));
    let next = next.map(text::line).or_else(|| {
        let held = exit == Exit::TryAgain;
        held.then(|| "barista daemon stop".to_owned())
    });
    Err(Failure::new(exit, what, text::line(why)).next(next))
}
