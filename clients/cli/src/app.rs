//! One run of the program: what was typed, done.

use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use barista_client::{Autostart, Client, ConnectOptions, Error};
use barista_locate::{Located, Source};

use crate::args::{Cli, Command, Global};
use crate::cmd::daemon::Daemon;
use crate::exit::Exit;
use crate::failure::{self, Failure, Result};
use crate::output::Output;
use crate::{shell, text};

/// The environment variable that names the socket.
const SOCKET_VARIABLE: &str = "BARISTA_SOCKET";

/// What every command works with.
#[derive(Debug)]
pub(crate) struct App {
    /// Where data and remarks go.
    pub(crate) output: Output,
    /// `--data-dir`.
    pub(crate) data_dir: Option<PathBuf>,
    /// `--socket`.
    pub(crate) socket: Option<PathBuf>,
    autostart: Autostart,
}

/// Does what was typed; a failure is on stderr when this returns.
pub(crate) fn run(cli: Cli) -> Exit {
    let (app, command) = App::new(cli);
    let result = match command {
        Command::Init(init) => init.run(&app),
        Command::Completions(completions) => completions.run(&app),
        Command::Man(man) => man.run(&app),
        Command::Daemon(Daemon::Run(run)) => run.run(&app),
        command => block_on(&app, command),
    };
    result.unwrap_or_else(|failure| {
        if let Some(report) = failure.report() {
            app.output.complain(&report);
        }
        failure.exit()
    })
}

/// Runs a command that talks to somebody. One thread is enough, and the fastest to start.
fn block_on(app: &App, command: Command) -> Result<Exit> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::io("cannot start", &error))?;
    let result = runtime.block_on(dispatch(app, command));
    // A read of stdin that nobody waits for any more must not keep the program.
    runtime.shutdown_background();
    result
}

async fn dispatch(app: &App, command: Command) -> Result<Exit> {
    match command {
        Command::Ask(ask) => Box::pin(ask.run(app)).await,
        Command::Notify(notify) => Box::pin(notify.run(app)).await,
        Command::Run(run) => Box::pin(run.run(app)).await,
        Command::Inbox(inbox) => Box::pin(inbox.run(app)).await,
        Command::Show(show) => Box::pin(show.run(app)).await,
        Command::Respond(respond) => Box::pin(respond.run(app)).await,
        Command::Read(read) => Box::pin(read.run(app)).await,
        Command::Dismiss(dismiss) => Box::pin(dismiss.run(app)).await,
        Command::Cancel(cancel) => Box::pin(cancel.run(app)).await,
        Command::Wait(wait) => Box::pin(wait.run(app)).await,
        Command::Watch(watch) => Box::pin(watch.run(app)).await,
        Command::Consumer(consumer) => Box::pin(consumer.run(app)).await,
        Command::Stats(stats) => Box::pin(stats.run(app)).await,
        Command::Status(status) => Box::pin(status.run(app)).await,
        Command::Doctor(doctor) => Box::pin(doctor.run(app)).await,
        Command::Daemon(daemon) => Box::pin(daemon.run(app)).await,
        Command::Service(service) => Box::pin(service.run(app)).await,
        Command::Db(db) => Box::pin(db.run(app)).await,
        Command::Version(version) => Box::pin(version.run(app)).await,
        Command::Init(init) => init.run(app),
        Command::Completions(completions) => completions.run(app),
        Command::Man(man) => man.run(app),
    }
}

/// The options that name a daemon, as they can be typed again.
fn place(data_dir: Option<&Path>, socket: Option<&Path>) -> String {
    let named = [("--data-dir", data_dir), ("--socket", socket)];
    let typed = named.into_iter().filter_map(|(option, path)| {
        path.map(|path| {
            format!(
                "{option} {}",
                shell::word(&text::line(&path.display().to_string()))
            )
        })
    });
    typed.collect::<Vec<_>>().join(" ")
}

impl App {
    fn new(cli: Cli) -> (Self, Command) {
        let Global {
            data_dir,
            socket,
            no_autostart,
            json,
            quiet,
            color,
        } = cli.global;
        let autostart = if no_autostart {
            Autostart::Never
        } else {
            Autostart::Allowed { daemon: None }
        };
        let output = Output::new(
            json,
            quiet,
            color,
            place(data_dir.as_deref(), socket.as_deref()),
        );
        // What was typed wins over the environment, whichever of the two places it names.
        let socket = socket.or_else(|| {
            let variable = std::env::var_os(SOCKET_VARIABLE).filter(|path| !path.is_empty());
            variable.filter(|_| data_dir.is_none()).map(PathBuf::from)
        });
        (
            Self {
                output,
                data_dir,
                socket,
                autostart,
            },
            cli.command,
        )
    }

    /// Connects, and starts the daemon where none runs, unless `--no-autostart` was given.
    pub(crate) async fn client(&self) -> Result<Client> {
        self.connect(self.autostart.clone()).await
    }

    /// Connects to a daemon that runs already, for a command that asks whether it does.
    pub(crate) async fn running_client(&self) -> Result<Client> {
        let options = self.options().autostart(Autostart::Never);
        match Client::connect(options).await {
            Err(Error::NotRunning { socket }) if self.socket.is_none() => {
                let why = format!(
                    "nothing answers on {}. Commands that need it start it by themselves",
                    socket.display()
                );
                let failure = Failure::new(Exit::Unreachable, "the daemon is not running", why);
                Err(failure.next("barista daemon start".to_owned()))
            }
            connected => self.reached(connected),
        }
    }

    /// Connects under another rule for starting the daemon than the one that was typed.
    pub(crate) async fn connect(&self, autostart: Autostart) -> Result<Client> {
        let missing = match &autostart {
            Autostart::Allowed { .. } if self.socket.is_none() => self.missing_data_dir()?,
            Autostart::Allowed { .. } | Autostart::Never => None,
        };
        let connected = Client::connect(self.options().autostart(autostart)).await;
        if let Some(made) = missing.filter(|path| path.is_dir()) {
            self.output
                .note(&format!("Made the data directory {}.", made.display()));
        }
        self.reached(connected)
    }

    fn reached(&self, connected: Result<Client, Error>) -> Result<Client> {
        connected.map_err(|error| {
            let failure = Failure::call("cannot reach the daemon", &error);
            match (&error, &self.socket) {
                (Error::NotRunning { .. }, Some(_socket)) => failure
                    .next("leave --socket and BARISTA_SOCKET out, unless somebody else starts that daemon".to_owned()),
                _ => failure,
            }
        })
    }

    /// The data directory, where starting a daemon is going to make it. One that was typed is made only where its parent exists: anything else is
    /// more likely a slip of the finger than a wish.
    fn missing_data_dir(&self) -> Result<Option<PathBuf>> {
        let located = self.located()?;
        if located.path.exists() {
            return Ok(None);
        }
        let parent = located.path.parent();
        if let Some(parent) = parent.filter(|_| located.source == Source::Flag)
            && !parent.exists()
        {
            let what = format!("cannot make the data directory {}", located.path.display());
            let why = format!("{} does not exist", parent.display());
            let parent = shell::word(&parent.display().to_string());
            let next = format!("correct --data-dir, or: mkdir -p {parent}");
            return Err(Failure::usage(what, why).next(next));
        }
        Ok(Some(located.path))
    }

    /// Makes the data directory, and in it the one for sockets, where they are missing.
    pub(crate) fn make_data_dir(&self) -> Result<()> {
        let path = self.located()?.path;
        let missing = self.missing_data_dir()?;
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(path.join(barista_locate::RUN_DIR))
            .map_err(|error| Failure::io(format!("cannot make {}", path.display()), &error))?;
        if let Some(made) = missing {
            self.output
                .note(&format!("Made the data directory {}.", made.display()));
        }
        Ok(())
    }

    /// How to find the daemon, as typed.
    pub(crate) fn options(&self) -> ConnectOptions {
        ConnectOptions::new()
            .data_dir(self.data_dir.clone())
            .socket(self.socket.clone())
    }

    /// The data directory by the rule that the daemon follows too. Nobody has looked whether it exists.
    pub(crate) fn located(&self) -> Result<Located> {
        let what = "cannot find the data directory";
        let current = std::env::current_dir().map_err(|error| {
            let why = format!(
                "the current directory is gone ({})",
                failure::reason(&error)
            );
            Failure::usage(what, why)
                .next("cd somewhere else, or name one with --data-dir".to_owned())
        })?;
        barista_locate::data_dir(
            self.data_dir.as_deref(),
            |name| std::env::var_os(name),
            &current,
        )
        .map_err(|error| Failure::usage(what, error))
    }
}
