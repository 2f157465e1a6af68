//! The texts of the units.
//!
//! They are for a user's own systemd, which is not privileged: sandboxing that needs a mount or user namespace (`ProtectSystem=`, `PrivateTmp=`)
//! would turn root into nobody for the daemon, which checks who connects, and is not there on every system. What the kernel does for any process is used.

use std::path::{Path, PathBuf};

/// The name of the service.
pub(crate) const SERVICE: &str = "barista.service";
/// The name of its sockets.
pub(crate) const SOCKET: &str = "barista.socket";
/// How a file begins that may be replaced and removed.
pub(crate) const MARK: &str = "# Written by `barista service install`, ";
/// How the line begins that names the data directory.
const DATA_DIR: &str = "# Data directory: ";

/// A service for one data directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Plan {
    /// The daemon's program.
    pub(crate) program: PathBuf,
    /// Its data directory.
    pub(crate) data_dir: PathBuf,
    /// The socket for people.
    pub(crate) socket: PathBuf,
    /// The one for agents in sandboxes, where they get one.
    pub(crate) agent_socket: Option<PathBuf>,
}

/// A unit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Unit {
    /// Its file's name.
    pub(crate) name: &'static str,
    /// What is in it.
    pub(crate) text: String,
}

impl Plan {
    /// The units, the sockets first. Paths in them are absolute.
    ///
    /// # Errors
    ///
    /// The path that no unit can name: it is not UTF-8, or has a control character in it.
    pub(crate) fn units(&self) -> Result<[Unit; 2], &Path> {
        let data_dir = text(&self.data_dir)?;
        let sockets = [Some(&self.socket), self.agent_socket.as_ref()];
        let mut listen = Vec::new();
        for socket in sockets.into_iter().flatten() {
            listen.push(literal(text(socket)?));
        }
        let command = format!(
            "{} --data-dir {}",
            program(text(&self.program)?),
            argument(data_dir)
        );
        let head = format!(
            "{MARK}which may replace it. Settings of your own: systemctl --user edit {SERVICE}\n{DATA_DIR}{data_dir}\n"
        );
        Ok(units(&head, &command, &listen))
    }
}

/// The data directory that is named at the beginning of a unit.
pub(crate) fn data_dir_of(unit: &str) -> Option<PathBuf> {
    let line = unit.lines().find_map(|line| line.strip_prefix(DATA_DIR))?;
    Some(PathBuf::from(line))
}

/// The units that begin with `head`, run `command` and listen on `sockets`, all of them as systemd reads them.
fn units(head: &str, command: &str, sockets: &[String]) -> [Unit; 2] {
    let documentation = env!("CARGO_PKG_REPOSITORY");
    let listen: String = sockets
        .iter()
        .map(|socket| format!("ListenStream={socket}\n"))
        .collect();
    let socket = format!(
        "{head}
[Unit]
Description=Sockets of Barista
Documentation={documentation}

[Socket]
{listen}SocketMode=0600
DirectoryMode=0700
# A command that finds no socket starts a daemon by itself.
RemoveOnStop=yes

[Install]
WantedBy=sockets.target
"
    );
    let service = format!(
        "{head}
[Unit]
Description=Barista, the broker between coding agents and people
Documentation={documentation}
Requires={SOCKET}
After={SOCKET}
StartLimitIntervalSec=60
StartLimitBurst=5

[Service]
Type=notify
ExecStart={command}
Restart=on-failure
RestartSec=1
# Another start does not mend a mistake in the configuration.
RestartPreventExitStatus=2
# A first start may have to upgrade a large database.
TimeoutStartSec=10min
TimeoutStopSec=15
# The daemon says that it lives only while its writer gets on.
WatchdogSec=2min
UMask=0077
NoNewPrivileges=yes
LockPersonality=yes
MemoryDenyWriteExecute=yes
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
SystemCallArchitectures=native
SystemCallFilter=@system-service
SystemCallErrorNumber=EPERM

[Install]
WantedBy=default.target
Also={SOCKET}
"
    );
    let unit = |name, text| Unit { name, text };
    [unit(SOCKET, socket), unit(SERVICE, service)]
}

/// The path as text, where a unit can name it.
fn text(path: &Path) -> Result<&str, &Path> {
    path.to_str()
        .filter(|text| !text.contains(char::is_control))
        .ok_or(path)
}

/// A text in which systemd finds no specifier.
fn literal(text: &str) -> String {
    text.replace('%', "%%")
}

/// A program's path as the first word of a command, in which variables are not looked for.
fn program(text: &str) -> String {
    let quoted = literal(text).replace('\\', "\\\\").replace('"', "\\\"");
    format!("\"{quoted}\"")
}

/// A text as a further word of a command.
fn argument(text: &str) -> String {
    program(text).replace('$', "$$")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(data_dir: &str) -> Plan {
        let data_dir = PathBuf::from(data_dir);
        Plan {
            program: "/opt/$my \"bin\"/baristad".into(),
            socket: data_dir.join("run/barista.sock"),
            agent_socket: Some(data_dir.join("run/agent/agent.sock")),
            data_dir,
        }
    }

    #[test]
    fn paths_are_written_as_systemd_reads_them() {
        let plan = plan("/h/né 100% $HOME\\");
        let [socket, service] = plan.units().expect("nameable");
        let command = r#"ExecStart="/opt/$my \"bin\"/baristad" --data-dir "/h/né 100%% $$HOME\\""#;
        assert!(
            service.text.contains(&format!("\n{command}\n")),
            "{service:?}"
        );
        let listen = "\nListenStream=/h/né 100%% $HOME\\/run/barista.sock\n";
        assert!(socket.text.contains(listen), "{socket:?}");
        for unit in [socket, service] {
            assert!(unit.text.starts_with(MARK));
            assert_eq!(data_dir_of(&unit.text), Some(plan.data_dir.clone()));
        }
        assert_eq!(data_dir_of("[Unit]\n"), None);
    }

    #[test]
    fn a_path_that_would_end_its_line_is_refused() {
        use std::os::unix::ffi::OsStringExt;
        let broken = plan("/h/a\nExecStartPre=x");
        assert_eq!(broken.units(), Err(&*broken.data_dir));
        let bytes = std::ffi::OsString::from_vec(b"/h/\xff".to_vec());
        let binary = Plan {
            data_dir: bytes.into(),
            ..plan("/h")
        };
        assert_eq!(binary.units(), Err(&*binary.data_dir));
    }

    #[test]
    fn agents_get_no_socket_where_they_are_not_served() {
        let plan = Plan {
            agent_socket: None,
            ..plan("/h")
        };
        let [socket, _] = plan.units().expect("nameable");
        assert_eq!(socket.text.matches("ListenStream=").count(), 1);
    }

    /// The Debian package brings the same units, for each user's own directory. `SNAPSHOTS=overwrite` writes them.
    #[test]
    fn the_units_of_the_package_are_the_same() {
        let head = "# A part of the package barista. Settings of your own: systemctl --user edit barista.service\n";
        let data = "%h/.local/share/barista";
        let command = format!("/usr/bin/baristad --data-dir {data}");
        let sockets = [
            format!("{data}/run/barista.sock"),
            format!("{data}/run/agent/agent.sock"),
        ];
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../debian");
        for unit in units(head, &command, &sockets) {
            let file = folder.join(unit.name);
            if std::env::var_os("SNAPSHOTS").is_some_and(|value| value == "overwrite") {
                std::fs::write(&file, &unit.text).expect("written");
            }
            let packaged = std::fs::read_to_string(&file).expect("a unit");
            assert_eq!(packaged, unit.text, "{}", unit.name);
        }
    }
}
