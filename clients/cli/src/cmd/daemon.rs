//! `barista daemon`: starts, stops and looks after the daemon.

use std::ffi::OsString;
use std::io;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use barista_client::{Autostart, Client, Error};
use clap::{Args, Subcommand};
use rustix::process::Pid;

use crate::app::App;
use crate::cmd::status::Status;
use crate::doctor::check::{self, Checked, Depth};
use crate::exit::Exit;
use crate::failure::{Failure, Result};
use crate::log_file::LogFile;
use crate::process;
use crate::service::manager;
use crate::signals::Stop as Signals;

/// The daemon's program.
const PROGRAM: &str = "baristad";
/// How long the daemon may take to stop: its own limit is 10 s.
const STOP_LIMIT: Duration = Duration::from_secs(15);
/// How often a log is looked at while it is followed.
const FOLLOW: Duration = Duration::from_millis(250);

/// Start, stop and look after the daemon.
#[derive(Debug, Subcommand)]
pub(crate) enum Daemon {
    /// Start it in the background, unless it runs already
    Start,
    /// Stop it: what it has accepted is stored first. Who waits or watches goes on when it runs again, and does not start it
    Stop,
    /// Stop it, if it runs, and start it. With a mistake in the configuration, the one that runs is left alone
    Restart,
    Run(Run),
    Status(Status),
    Logs(Logs),
}

/// Run the daemon in the foreground, in place of this program.
#[derive(Debug, Args)]
pub(crate) struct Run {
    /// Further arguments for baristad
    #[arg(last = true, value_name = "ARG")]
    arguments: Vec<OsString>,
}

/// Print the log of a daemon that a command started.
#[derive(Debug, Args)]
pub(crate) struct Logs {
    /// Stay, and print what is added, also after the log was rotated
    #[arg(long, short)]
    follow: bool,
    /// How many of the last lines to print
    #[arg(long, short = 'n', default_value_t = 100, value_name = "N")]
    lines: usize,
}

impl Daemon {
    pub(crate) async fn run(self, app: &App) -> Result<Exit> {
        match self {
            Self::Start => start(app).await,
            Self::Stop => stop(app).await,
            Self::Restart => restart(app).await,
            Self::Run(run) => run.run(app),
            Self::Status(status) => status.run(app).await,
            Self::Logs(logs) => logs.run(app).await,
        }
    }
}

/// Connects where the daemon runs; `None` where it does not.
async fn running(app: &App) -> Result<Option<Client>> {
    match Client::connect(app.options().autostart(Autostart::Never)).await {
        Ok(client) => Ok(Some(client)),
        Err(Error::NotRunning { .. }) => Ok(None),
        Err(error) => Err(Failure::call("cannot reach the daemon", &error)),
    }
}

async fn start(app: &App) -> Result<Exit> {
    let (client, verb) = match running(app).await? {
        Some(client) => (client, "runs already"),
        None if app.socket.is_some() => return Err(not_ours("start")),
        None if is_service(app).await? => {
            let started = manager::start().await;
            started.map_err(|error| error.failure("cannot start the service"))?;
            (
                app.connect(Autostart::Never).await?,
                "has started as a service",
            )
        }
        // Asked for in so many words, so --no-autostart does not matter.
        None => (
            app.connect(Autostart::Allowed { daemon: None }).await?,
            "has started",
        ),
    };
    let info = client.server_info();
    app.output.note(&format!(
        "baristad {} {verb} (process {}) on {}",
        info.version,
        info.pid,
        client.socket().display()
    ));
    Ok(Exit::Done)
}

/// Whether systemd is to run the daemon of the data directory.
async fn is_service(app: &App) -> Result<bool> {
    let data_dir = app.located()?.path;
    let data_dir = data_dir.canonicalize().unwrap_or(data_dir);
    let uid = rustix::process::geteuid().as_raw();
    let run_dir = data_dir.join(barista_locate::RUN_DIR);
    let socket = barista_locate::published_socket(&run_dir, uid)
        .unwrap_or_else(|| barista_locate::socket_path(&data_dir, uid));
    Ok(manager::serves(&socket).await)
}

/// The failure to start a daemon where only a socket is known.
fn not_ours(verb: &str) -> Failure {
    let why = "--socket names the socket of a daemon that somebody else starts";
    let failure = Failure::usage(format!("cannot {verb} the daemon"), why);
    failure.next(format!("barista daemon {verb} --data-dir DIR"))
}

/// Whatever would keep the new daemon from starting is found while the old one still serves.
async fn restart(app: &App) -> Result<Exit> {
    if app.socket.is_some() {
        return Err(not_ours("restart"));
    }
    let checked = check::run(app, Depth::Config).await;
    let what = "cannot restart the daemon, so nothing was stopped";
    if let Checked::Missing = checked {
        let why = "there is no baristad beside barista or on PATH";
        let failure = Failure::new(Exit::Unreachable, what, why);
        return Err(failure.next("install it beside barista".to_owned()));
    }
    if let Some(problem) = checked.problem() {
        let exit = match &*problem.check {
            "configuration" => Exit::Usage,
            _ => Exit::Failed,
        };
        let failure = Failure::new(exit, what, &problem.text);
        let next = problem.remedy.clone();
        return Err(failure.next(next.unwrap_or_else(|| "barista doctor".to_owned())));
    }
    stop(app).await?;
    start(app).await
}

async fn stop(app: &App) -> Result<Exit> {
    let Some(pid) = running_process(app).await? else {
        app.output.note("The daemon is not running.");
        return Ok(Exit::Done);
    };
    let number = pid.as_raw_nonzero();
    let what = format!("cannot stop the daemon (process {number})");
    if manager::runs(pid).await {
        // Its sockets stay with systemd otherwise, and the next one to connect would start it again.
        manager::stop()
            .await
            .map_err(|error| error.failure(&what))?;
        app.output.note(&format!(
            "The daemon (process {number}) has stopped, and its sockets with it. As a service it runs again after: barista daemon start"
        ));
        return Ok(Exit::Done);
    }
    let ended = process::terminate(pid, STOP_LIMIT)
        .await
        .map_err(|error| Failure::io(&what, &error))?;
    if !ended {
        let why = format!("it has not ended within {} s", STOP_LIMIT.as_secs());
        let next = format!(
            "barista daemon logs, to see why; kill -9 {number}, which loses nothing that was accepted"
        );
        return Err(Failure::new(Exit::Failed, what, why).next(next));
    }
    app.output
        .note(&format!("The daemon (process {number}) has stopped."));
    Ok(Exit::Done)
}

/// The daemon's process; `None` where none runs. The connection is closed when this returns, so that it keeps nothing from ending.
async fn running_process(app: &App) -> Result<Option<Pid>> {
    let pid = match Client::connect(app.options().autostart(Autostart::Never)).await {
        Ok(client) => client.server_info().pid,
        Err(Error::NotRunning { .. }) => return Ok(None),
        // Too old or too new to talk to, but its process is known, and that is all that stopping needs.
        Err(Error::ProtocolMismatch { pid, .. }) => pid,
        Err(error) => return Err(Failure::call("cannot stop the daemon", &error)),
    };
    // 0 and below address whole groups of processes.
    let pid = Some(pid).filter(|pid| *pid > 0).and_then(Pid::from_raw);
    pid.map(Some).ok_or_else(|| {
        let why = "it does not say which process it is; over the agent socket it never does";
        let failure = Failure::new(Exit::NotPermitted, "cannot stop the daemon", why);
        failure.next("run it outside the sandbox, without --socket and BARISTA_SOCKET".to_owned())
    })
}

impl Run {
    /// Returns only where the daemon could not be run.
    pub(crate) fn run(self, app: &App) -> Result<Exit> {
        let program = beside_this_program().unwrap_or_else(|| PathBuf::from(PROGRAM));
        let mut command = Command::new(&program);
        if let Some(data_dir) = &app.data_dir {
            command.arg("--data-dir").arg(data_dir);
        }
        if let Some(socket) = &app.socket {
            command.arg("--socket").arg(socket);
        }
        let error = command.args(self.arguments).exec();
        let failure = Failure::io(format!("cannot run {}", program.display()), &error);
        if error.kind() == io::ErrorKind::NotFound {
            let next = "install baristad beside barista, or somewhere on PATH";
            return Err(failure.next(next.to_owned()));
        }
        Err(failure)
    }
}

/// The daemon in the directory of this program, where there is one.
fn beside_this_program() -> Option<PathBuf> {
    let program = std::env::current_exe().ok()?.with_file_name(PROGRAM);
    program.is_file().then_some(program)
}

impl Logs {
    async fn run(self, app: &App) -> Result<Exit> {
        let path = app.located()?.path.join(barista_locate::LOG_FILE);
        let failed = |error| cannot_read(&path, &error);
        let mut log = LogFile::open_at_end(&path, self.lines).map_err(failed)?;
        if !self.follow {
            print(app, log.read_on().map_err(failed)?)?;
            return print(app, log.take_partial()).map(|()| Exit::Done);
        }
        let mut signals = Signals::listen()?;
        loop {
            print(app, log.read_on().map_err(failed)?)?;
            tokio::select! {
                () = tokio::time::sleep(FOLLOW) => {}
                exit = signals.signal() => return Ok(exit),
            }
        }
    }
}

fn print(app: &App, lines: impl IntoIterator<Item = String>) -> Result<()> {
    let lines: Vec<String> = lines.into_iter().collect();
    if lines.is_empty() {
        Ok(())
    } else {
        app.output.value(&lines.join("\n"))
    }
}

fn cannot_read(path: &Path, error: &io::Error) -> Failure {
    let failure = Failure::io(format!("cannot read {}", path.display()), error);
    if error.kind() == io::ErrorKind::NotFound {
        let next =
            "no command has started a daemon here; of a service: journalctl --user -u barista";
        return failure.next(next.to_owned());
    }
    failure
}
