//! What is to be in the units: which daemon, for which data directory, with which sockets.

use std::path::{Path, PathBuf};

use crate::app::App;
use crate::doctor::check::{self, Checked, Sockets};
use crate::doctor::finding::{Finding, Level};
use crate::exit::Exit;
use crate::failure::{Failure, Result};
use crate::service::files::{Folder, Found};
use crate::service::units::{Plan, SERVICE, SOCKET, Unit, data_dir_of};

/// What to do about a data directory that is missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Directory {
    /// Nothing.
    AsItIs,
    /// It is made, as when a command starts the daemon.
    Made,
}

/// The plan for the data directory that was typed or is found. The daemon's own check says where its sockets are, as only it knows its configuration.
///
/// # Errors
///
/// Whatever would keep the daemon from starting; `what` begins the message.
pub(crate) async fn make(app: &App, directory: Directory, what: &str) -> Result<Plan> {
    if app.socket.is_some() {
        let why =
            "--socket or BARISTA_SOCKET names the socket of a daemon that somebody else starts";
        let next = "leave it out, and name the data directory with --data-dir";
        return Err(Failure::usage(what, why).next(next.to_owned()));
    }
    let located = app.located()?.path;
    if directory == Directory::Made {
        app.make_data_dir()?;
    }
    make_for(&located.canonicalize().unwrap_or(located), what).await
}

async fn make_for(data_dir: &Path, what: &str) -> Result<Plan> {
    let report = match check::run_as_service(data_dir).await {
        Checked::Told(report) => report,
        Checked::Missing => {
            let why = "there is no baristad beside barista or on PATH";
            let failure = Failure::new(Exit::Unreachable, what, why);
            return Err(failure.next("install it beside barista".to_owned()));
        }
        Checked::Silent { program, why } => {
            let why = format!("{} --check said: {why}", program.display());
            let failure = Failure::unexpected(what, why);
            return Err(failure.next("install both from the same release".to_owned()));
        }
    };
    let is_problem = |finding: &&Finding| finding.level == Level::Problem;
    if let Some(problem) = report.findings.iter().find(is_problem) {
        let exit = if problem.check == "configuration" {
            Exit::Usage
        } else {
            Exit::Failed
        };
        let next = problem.remedy.clone();
        let failure = Failure::new(exit, what, &problem.text);
        return Err(failure.next(next.unwrap_or_else(|| "barista doctor".to_owned())));
    }
    // A directory that is only about to be made has no configuration yet, and its sockets are in the usual places.
    let uid = rustix::process::geteuid().as_raw();
    let usual = || Sockets {
        socket: barista_locate::socket_path(data_dir, uid),
        agent: Some(barista_locate::agent_socket_path(data_dir, uid)),
    };
    let Sockets { socket, agent } = report.sockets.unwrap_or_else(usual);
    Ok(Plan {
        program: report.program,
        socket,
        agent_socket: agent,
        data_dir: data_dir.to_owned(),
    })
}

/// The units of `plan`.
///
/// # Errors
///
/// A path has no words in a unit; `what` begins the message.
pub(crate) fn units(plan: &Plan, what: &str) -> Result<[Unit; 2]> {
    plan.units().map_err(|path| {
        let why = format!(
            "{path:?} is not text, or has a control character in it, and a unit cannot name it"
        );
        Failure::usage(what, why).next("rename it, or use another data directory".to_owned())
    })
}

/// What lies at the places of the units. They are compared with what would be written for the directory that they serve; one of which that is not
/// known any more counts as outdated.
pub(crate) async fn found() -> Result<Vec<(PathBuf, Found)>> {
    let folder = Folder::of_user()?;
    let served = folder.read(SERVICE)?.as_deref().and_then(data_dir_of);
    let expected = match served {
        Some(data_dir) => {
            let plan = make_for(&data_dir, "cannot look at the service").await;
            plan.ok().and_then(|plan| plan.units().ok())
        }
        None => None,
    };
    let unknown = |name| Unit {
        name,
        text: String::new(),
    };
    let units = expected.unwrap_or([unknown(SOCKET), unknown(SERVICE)]);
    let look = |unit: &Unit| Ok((folder.path(unit.name), folder.look(unit)?));
    units.iter().map(look).collect()
}

/// What `barista doctor` says of the service; nothing where none was installed.
pub(crate) async fn finding() -> Option<Finding> {
    let check = "service";
    let found = found().await.ok()?;
    let (_, service) = found.iter().find(|(path, _)| path.ends_with(SERVICE))?;
    match service {
        Found::Absent | Found::Foreign => None,
        _ if found.iter().all(|(_, found)| *found == Found::Current) => Some(Finding::good(
            check,
            "the units of systemd are as this release writes them",
        )),
        _ => Some(Finding::warning(
            check,
            "the units of systemd are not as this release writes them, with the configuration as it is now",
            "barista service install --restart",
        )),
    }
}
