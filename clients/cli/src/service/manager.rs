//! The user's systemd, asked through `systemctl --user`.

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use rustix::process::Pid;
use rustix::time::{ClockId, clock_gettime};
use tokio::process::Command;

use crate::exit::Exit;
use crate::failure::{self, Failure};
use crate::service::units::{SERVICE, SOCKET};
use crate::text;

/// The program.
const SYSTEMCTL: &str = "systemctl";
/// What of a unit is asked for.
const PROPERTIES: &str = "--property=LoadState,UnitFileState,ActiveState,SubState,Result,MainPID,NRestarts,StatusText,FragmentPath,\
                          NeedDaemonReload,WatchdogUSec,WatchdogTimestampMonotonic,Listen";

/// Why systemd did not do what it was asked for.
#[derive(Debug)]
pub(crate) enum ManagerError {
    /// There is no `systemctl`.
    Missing,
    /// Nothing of this user answers it.
    Unreachable(String),
    /// It refused.
    Refused {
        /// What was typed, as in `systemctl --user start x`.
        command: String,
        /// What came back.
        said: String,
    },
    /// It could not be run.
    Io(io::Error),
}

impl ManagerError {
    /// The failure of doing `what`, with its remedy.
    pub(crate) fn failure(&self, what: &str) -> Failure {
        match self {
            Self::Missing => {
                let why =
                    "there is no systemctl on PATH, and a service of a user is one of systemd";
                Failure::new(Exit::Unreachable, what, why).next(
                    "barista daemon start; or let your service manager run: barista daemon run"
                        .to_owned(),
                )
            }
            Self::Unreachable(said) => {
                let why = format!("no systemd of this user answers ({said})");
                Failure::new(Exit::Unreachable, what, why).next(
                    "log in as this user, not with su; for one that never logs in: sudo loginctl enable-linger \"$USER\", and\n      \
                     export XDG_RUNTIME_DIR=/run/user/\"$(id -u)\". Where there is no systemd: barista daemon start"
                        .to_owned(),
                )
            }
            Self::Refused { command, said } => {
                let failure = Failure::unexpected(what, format!("{command} said: {said}"));
                failure.next("journalctl --user -u barista -n 20".to_owned())
            }
            Self::Io(error) => Failure::io(format!("{what}: cannot run {SYSTEMCTL}"), error),
        }
    }
}

/// What systemd knows of a unit.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct State {
    /// Whether it found the unit, as in `loaded` and `not-found`.
    pub(crate) load: String,
    /// Whether it is started by itself, as in `enabled`.
    pub(crate) enabled: String,
    /// Whether it runs, as in `active`.
    pub(crate) active: String,
    /// The same in detail, as in `running`.
    pub(crate) sub: String,
    /// How it ended last, as in `success` and `watchdog`.
    pub(crate) result: String,
    /// Its process.
    pub(crate) pid: Option<i32>,
    /// How often it was started again after a failure.
    pub(crate) restarts: u64,
    /// What the daemon says about itself.
    pub(crate) status: String,
    /// The file that it was read from.
    pub(crate) file: String,
    /// Whether that file has changed since.
    pub(crate) is_stale: bool,
    /// The time without a sign of life after which it is started again, as systemd writes it; empty where nobody watches.
    pub(crate) watchdog: String,
    /// How long ago the last sign of life came.
    pub(crate) last_sign: Option<Duration>,
    /// Where it listens.
    pub(crate) sockets: Vec<PathBuf>,
}

impl State {
    /// Whether it runs, or is about to.
    pub(crate) fn is_active(&self) -> bool {
        matches!(&*self.active, "active" | "activating" | "reloading")
    }

    fn parse(said: &str, now: Duration) -> Self {
        let mut all = HashMap::new();
        let mut sockets = Vec::new();
        for (name, value) in said.lines().filter_map(|line| line.split_once('=')) {
            if name == "Listen" {
                let path = value.strip_suffix(" (Stream)").unwrap_or(value);
                sockets.push(PathBuf::from(path));
            } else {
                all.insert(name, value);
            }
        }
        let text = |name| all.get(name).copied().unwrap_or_default().to_owned();
        let number = |name| text(name).parse::<u64>().unwrap_or(0);
        let sign = Duration::from_micros(number("WatchdogTimestampMonotonic"));
        let pid = text("MainPID").parse().ok();
        Self {
            load: text("LoadState"),
            enabled: text("UnitFileState"),
            active: text("ActiveState"),
            sub: text("SubState"),
            result: text("Result"),
            pid: pid.filter(|pid| *pid > 0),
            restarts: number("NRestarts"),
            status: text("StatusText"),
            file: text("FragmentPath"),
            is_stale: text("NeedDaemonReload") == "yes",
            watchdog: Some(text("WatchdogUSec"))
                .filter(|limit| limit != "0" && limit != "infinity")
                .unwrap_or_default(),
            last_sign: (!sign.is_zero()).then(|| now.saturating_sub(sign)),
            sockets,
        }
    }
}

/// Runs `systemctl --user` with these arguments, and returns what it printed.
pub(crate) async fn systemctl(arguments: &[&str]) -> Result<String, ManagerError> {
    let mut command = Command::new(SYSTEMCTL);
    command
        .arg("--user")
        .args(arguments)
        // Its words are looked for below.
        .env("LC_ALL", "C.UTF-8")
        .env("SYSTEMD_COLORS", "0")
        .env("SYSTEMD_PAGER", "")
        .stdin(Stdio::null())
        .kill_on_drop(true);
    let output = match command.output().await {
        Ok(output) => output,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(ManagerError::Missing),
        Err(error) => return Err(ManagerError::Io(error)),
    };
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let said = text::line(said.trim());
    // The message for a bus that is not there, and for a machine that another program has booted.
    if said.contains("connect to bus") || said.contains("booted with systemd") {
        return Err(ManagerError::Unreachable(said));
    }
    let command = format!("{SYSTEMCTL} --user {}", arguments.join(" "));
    Err(ManagerError::Refused { command, said })
}

/// What systemd knows of the unit called `name`. One that it does not know is `not-found`, which is no error.
pub(crate) async fn show(name: &str) -> Result<State, ManagerError> {
    let said = systemctl(&["show", PROPERTIES, name]).await?;
    let now = clock_gettime(ClockId::Monotonic);
    let seconds = Duration::from_secs(u64::try_from(now.tv_sec).unwrap_or(0));
    let now = seconds + Duration::from_nanos(u64::try_from(now.tv_nsec).unwrap_or(0));
    Ok(State::parse(&said, now))
}

/// Starts the sockets and the service, and returns when the daemon serves.
pub(crate) async fn start() -> Result<(), ManagerError> {
    // After several failures in a row it would refuse.
    systemctl(&["reset-failed", SOCKET, SERVICE]).await.ok();
    systemctl(&["start", SOCKET, SERVICE]).await.map(drop)
}

/// Stops both, so that nothing starts the daemon again, and returns when it has ended.
pub(crate) async fn stop() -> Result<(), ManagerError> {
    systemctl(&["stop", SOCKET, SERVICE]).await.map(drop)
}

/// Whether process `pid` is the service of this user.
pub(crate) async fn runs(pid: Pid) -> bool {
    let number = pid.as_raw_nonzero().get();
    // Asking systemd takes a process of its own, and most daemons are not its.
    let group = std::fs::read_to_string(format!("/proc/{number}/cgroup")).unwrap_or_default();
    let is_named = group
        .lines()
        .any(|line| line.ends_with(&format!("/{SERVICE}")));
    is_named
        && show(SERVICE)
            .await
            .is_ok_and(|state| state.pid == Some(number))
}

/// Whether the service is there for the daemon with the socket at `socket`, be it running or not.
pub(crate) async fn serves(socket: &Path) -> bool {
    let Some(runtime) = std::env::var_os("XDG_RUNTIME_DIR") else {
        return false;
    };
    // Without this there is no systemd of this user that could be asked.
    if !Path::new(&runtime).join("systemd").is_dir() {
        return false;
    }
    show(SOCKET).await.is_ok_and(|state| {
        state.enabled == "enabled" && state.sockets.iter().any(|path| path == socket)
    })
}

/// What the system said, for [`ManagerError::Io`] in a list of findings.
impl std::fmt::Display for ManagerError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Missing => f.write_str("there is no systemctl"),
            Self::Unreachable(said) | Self::Refused { said, .. } => f.write_str(said),
            Self::Io(error) => f.write_str(&failure::reason(error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_systemd_says_of_a_unit_is_read() {
        let said = "Listen=/a b=c/s.sock (Stream)\nListen=/a/agent.sock (Stream)\nMainPID=12\nNRestarts=3\n\
                    WatchdogUSec=2min\nWatchdogTimestampMonotonic=1000000\nActiveState=active\nNeedDaemonReload=no\n";
        let state = State::parse(said, Duration::from_secs(3));
        assert_eq!(state.sockets[0], Path::new("/a b=c/s.sock"));
        assert_eq!(state.sockets.len(), 2);
        assert_eq!((state.pid, state.restarts), (Some(12), 3));
        assert_eq!(state.last_sign, Some(Duration::from_secs(2)));
        assert!(state.is_active() && !state.is_stale && state.watchdog == "2min");
        let none = State::parse("MainPID=0\nWatchdogUSec=0\n", Duration::ZERO);
        assert_eq!((none.pid, none.last_sign), (None, None));
        assert!(none.watchdog.is_empty() && !none.is_active());
    }
}
