//! `barista service`: the daemon under the user's own systemd.

use std::path::Path;
use std::time::Duration;

use barista_client::{Autostart, Client, Error};
use clap::{Args, Subcommand};
use rustix::fs::{FlockOperation, flock};
use rustix::process::Pid;
use serde_json::{Value, json};

use crate::app::App;
use crate::exit::Exit;
use crate::failure::{Failure, Result};
use crate::render;
use crate::service::files::{Folder, Found};
use crate::service::manager::{self, ManagerError, State};
use crate::service::plan;
use crate::service::units::{SERVICE, SOCKET, Unit};
use crate::time::Clock;
use crate::{process, shell};

/// How long the daemon may take to stop: its own limit is 10 s.
const STOP_LIMIT: Duration = Duration::from_secs(15);

/// Run the daemon as a service of your own systemd: started when you log in, restarted when it fails or gets stuck, its sockets always there
#[derive(Debug, Subcommand)]
pub(crate) enum Service {
    Install(Install),
    Uninstall(Uninstall),
    Status(ServiceStatus),
}

/// Write the units barista.service and barista.socket into ~/.config/systemd/user, and enable and start them.
///
/// The service is the baristad beside this program, for one data directory. Run again, it brings the units up to date.
#[derive(Debug, Args)]
pub(crate) struct Install {
    /// Print the units and the commands, and change nothing
    #[arg(long)]
    dry_run: bool,
    /// Restart a daemon that runs already, so that it runs as the service, as the units say now and from the program that is there now
    #[arg(long)]
    restart: bool,
    /// Replace units that somebody else wrote, or that serve another data directory
    #[arg(long)]
    force: bool,
}

/// Stop and disable the service, and remove its units. Data is never touched.
#[derive(Debug, Args)]
pub(crate) struct Uninstall {
    /// Remove units that somebody else wrote, too
    #[arg(long)]
    force: bool,
}

/// Say whether the service is installed, enabled and active, whether its units are current, and when the daemon gave its last sign of life.
///
/// Exit code 5: it is not installed; 69: it does not run.
#[derive(Debug, Args)]
pub(crate) struct ServiceStatus {}

impl Service {
    pub(crate) async fn run(self, app: &App) -> Result<Exit> {
        match self {
            Self::Install(install) => install.run(app).await,
            Self::Uninstall(uninstall) => uninstall.run(app).await,
            Self::Status(status) => status.run(app).await,
        }
    }
}

const CANNOT_INSTALL: &str = "cannot install the service, so nothing was changed";

impl Install {
    async fn run(self, app: &App) -> Result<Exit> {
        let folder = Folder::of_user()?;
        if self.dry_run {
            let plan = plan::make(app, plan::Directory::AsItIs, CANNOT_INSTALL).await?;
            return print(app, &folder, &plan::units(&plan, CANNOT_INSTALL)?);
        }
        let service = manager::show(SERVICE)
            .await
            .map_err(|error| error.failure(CANNOT_INSTALL))?;
        let plan = plan::make(app, plan::Directory::Made, CANNOT_INSTALL).await?;
        let units = plan::units(&plan, CANNOT_INSTALL)?;
        let stale = self.outdated(&folder, &units, &plan.data_dir)?;
        // Clients that come meanwhile wait, and find the service, instead of starting a daemon of their own.
        let lock = start_lock(&plan.data_dir)?;
        let other = self.other_daemon(app, &service).await?;
        for unit in &stale {
            folder.write(unit)?;
            let path = folder.path(unit.name);
            app.output.note(&format!("Wrote {}.", path.display()));
        }
        if let Some(pid) = other {
            end(pid).await?;
        }
        let was_active = service.is_active();
        let outcome = self.activate(was_active).await;
        outcome.map_err(|error| error.failure("the service was installed, but does not run"))?;
        drop(lock);
        let state = manager::show(SERVICE)
            .await
            .map_err(|error| error.failure("cannot ask for the service"))?;
        self.report(app, was_active, !stale.is_empty(), &state);
        Ok(Exit::Done)
    }

    /// The units that are to be written.
    fn outdated<'a>(
        &self,
        folder: &Folder,
        units: &'a [Unit],
        data_dir: &Path,
    ) -> Result<Vec<&'a Unit>> {
        let mut outdated = Vec::new();
        for unit in units {
            let path = folder.path(unit.name).display().to_string();
            let why = match folder.look(unit)? {
                Found::Current => continue,
                Found::Foreign => format!("{path} was not written by barista"),
                Found::Outdated {
                    data_dir: Some(other),
                } if other != data_dir => {
                    format!("{path} serves {}", other.display())
                }
                Found::Absent | Found::Outdated { .. } => {
                    outdated.push(unit);
                    continue;
                }
            };
            if !self.force {
                let next = format!("cat {}; to replace it: --force", shell::word(&path));
                return Err(Failure::new(Exit::Conflict, CANNOT_INSTALL, why).next(next));
            }
            outdated.push(unit);
        }
        Ok(outdated)
    }

    /// The daemon that runs already and is not the service, which would keep the service from starting; it may be ended.
    async fn other_daemon(&self, app: &App, service: &State) -> Result<Option<Pid>> {
        let pid = match Client::connect(app.options().autostart(Autostart::Never)).await {
            Ok(client) => client.server_info().pid,
            Err(Error::NotRunning { .. }) => return Ok(None),
            Err(Error::ProtocolMismatch { pid, .. }) => pid,
            Err(error) => return Err(Failure::call(CANNOT_INSTALL, &error)),
        };
        // A socket that systemd holds starts the service when somebody connects, as just now.
        let current = manager::show(SERVICE)
            .await
            .ok()
            .and_then(|state| state.pid);
        if service.pid == Some(pid) || current == Some(pid) {
            return Ok(None);
        }
        if self.restart {
            return Ok(Some(pid).filter(|pid| *pid > 0).and_then(Pid::from_raw));
        }
        let why = format!(
            "a daemon runs already that is no service (process {pid}), as a command has started it"
        );
        let next = "barista service install --restart    (ends it first; nothing is lost, and who waits or watches goes on)";
        Err(Failure::new(Exit::Conflict, CANNOT_INSTALL, why).next(next.to_owned()))
    }

    /// Lets systemd read the units, enables and starts them; what runs already is stopped before, where that is wanted.
    async fn activate(&self, was_active: bool) -> Result<(), ManagerError> {
        manager::systemctl(&["daemon-reload"]).await?;
        manager::systemctl(&["enable", SOCKET, SERVICE]).await?;
        if self.restart && was_active {
            manager::stop().await?;
        }
        manager::start().await
    }

    fn report(&self, app: &App, was_active: bool, is_changed: bool, state: &State) {
        let pid = state
            .pid
            .map_or_else(String::new, |pid| format!(" (process {pid})"));
        app.output.note(&match (was_active, self.restart, is_changed) {
            (false, ..) => {
                format!("The daemon{pid} runs as a service, and will be started when you log in.")
            }
            (true, true, _) => format!("The service was restarted{pid}."),
            (true, false, false) => format!("The service is installed already, and runs{pid}."),
            (true, false, true) => format!(
                "The daemon that runs{pid} is as the units were before. To restart it: barista service install --restart"
            ),
        });
        if !lingers() {
            app.output.note(
                "It ends when you log out. To keep it, and have it started with the machine: loginctl enable-linger",
            );
        }
        app.output.note("See it with: barista service status");
    }
}

/// Prints what `install` would do.
fn print(app: &App, folder: &Folder, units: &[Unit]) -> Result<Exit> {
    let commands = [
        "systemctl --user daemon-reload".to_owned(),
        format!("systemctl --user enable {SOCKET} {SERVICE}"),
        format!("systemctl --user start {SOCKET} {SERVICE}"),
    ];
    if app.output.json {
        let units: Vec<Value> = units
            .iter()
            .map(|unit| json!({ "path": folder.path(unit.name), "text": unit.text }))
            .collect();
        app.output
            .json_value(&json!({ "units": units, "commands": commands }))?;
        return Ok(Exit::Done);
    }
    for unit in units {
        let path = folder.path(unit.name);
        app.output
            .value(&format!("## {}\n{}", path.display(), unit.text))?;
    }
    app.output
        .value(&format!("## Then\n{}", commands.join("\n")))?;
    Ok(Exit::Done)
}

/// Keeps other clients from starting a daemon, until it is dropped.
fn start_lock(data_dir: &Path) -> Result<std::fs::File> {
    let path = data_dir
        .join(barista_locate::RUN_DIR)
        .join(barista_locate::START_LOCK_FILE);
    let what = format!("cannot lock {}", path.display());
    let file = std::fs::OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&path)
        .map_err(|error| Failure::io(&what, &error))?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(file),
        Err(rustix::io::Errno::WOULDBLOCK) => {
            let why = "a command is just starting the daemon";
            Err(Failure::new(Exit::TryAgain, CANNOT_INSTALL, why)
                .next("try again in a moment".to_owned()))
        }
        Err(error) => Err(Failure::io(what, &error.into())),
    }
}

/// Ends a daemon that is no service.
async fn end(pid: Pid) -> Result<()> {
    let number = pid.as_raw_nonzero();
    let what = format!("cannot stop the daemon (process {number})");
    let ended = process::terminate(pid, STOP_LIMIT)
        .await
        .map_err(|error| Failure::io(&what, &error))?;
    if ended {
        return Ok(());
    }
    let why = format!("it has not ended within {} s", STOP_LIMIT.as_secs());
    Err(Failure::unexpected(what, why).next("barista daemon stop".to_owned()))
}

/// Whether this user's systemd stays when the user has logged out.
fn lingers() -> bool {
    let user = nix::unistd::User::from_uid(nix::unistd::geteuid());
    user.ok().flatten().is_some_and(|user| {
        Path::new("/var/lib/systemd/linger")
            .join(user.name)
            .exists()
    })
}

impl Uninstall {
    async fn run(self, app: &App) -> Result<Exit> {
        let what = "cannot uninstall the service, so nothing was changed";
        let folder = Folder::of_user()?;
        let mut present = Vec::new();
        for name in [SOCKET, SERVICE] {
            let Some(text) = folder.read(name)? else {
                continue;
            };
            let path = folder.path(name).display().to_string();
            if !text.starts_with(crate::service::units::MARK) && !self.force {
                let why = format!("{path} was not written by barista");
                let next = format!("cat {}; to remove it: --force", shell::word(&path));
                return Err(Failure::new(Exit::Conflict, what, why).next(next));
            }
            present.push(name);
        }
        if present.is_empty() {
            app.output.note("The service is not installed.");
            return Ok(Exit::Done);
        }
        let disable = [&["disable", "--now"], &present[..]].concat();
        manager::systemctl(&disable)
            .await
            .map_err(|error| error.failure(what))?;
        for name in present {
            folder.remove(name)?;
            let path = folder.path(name);
            app.output.note(&format!("Removed {}.", path.display()));
        }
        let reload = manager::systemctl(&["daemon-reload"]).await;
        reload
            .map_err(|error| error.failure("the units were removed, but systemd does not know"))?;
        // What failed once would be listed for ever.
        manager::systemctl(&["reset-failed", SOCKET, SERVICE])
            .await
            .ok();
        app.output.note(
            "The service has stopped; its data stays. A command that needs the daemon starts it by itself again.",
        );
        Ok(Exit::Done)
    }
}

impl ServiceStatus {
    async fn run(self, app: &App) -> Result<Exit> {
        let what = "cannot tell the status of the service";
        let files = plan::found().await?;
        let states = async { Ok((manager::show(SERVICE).await?, manager::show(SOCKET).await?)) };
        let (service, socket) = states
            .await
            .map_err(|error: ManagerError| error.failure(what))?;
        if app.output.json {
            app.output.json_value(&render::service::json(
                &files,
                &service,
                &socket,
                &Clock::system(),
            ))?;
        } else {
            app.output
                .print(&render::service::render(&files, &service, &socket))?;
        }
        let is_absent = |found: &Found| *found == Found::Absent;
        if service.load != "loaded" && files.iter().all(|(_, found)| is_absent(found)) {
            app.output.note("next: barista service install");
            return Ok(Exit::NotFound);
        }
        if !service.is_active() {
            app.output.note(
                "next: barista daemon start; journalctl --user -u barista -n 20 tells why it ended",
            );
            return Ok(Exit::Unreachable);
        }
        if files
            .iter()
            .any(|(_, found)| matches!(found, Found::Outdated { .. }))
        {
            app.output.note("next: barista service install --restart");
        }
        Ok(Exit::Done)
    }
}
