//! What the daemon's own check says: only it knows the rules of the configuration, and may look into a database.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;
use tokio::process::Command;
use tokio::time::timeout;

use crate::app::App;
use crate::doctor::finding::{Finding, Level};
use crate::doctor::fix::Fix;

/// How long a check may take: a large database takes minutes.
const LIMIT: Duration = Duration::from_secs(600);

/// How much is checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Depth {
    /// The configuration and the data directory.
    Config,
    /// And the structure of the databases.
    Quick,
    /// And every index in them.
    Full,
}

/// What `baristad --check` said.
#[derive(Debug)]
pub(crate) enum Checked {
    /// What it found.
    Told(Report),
    /// There is no such program.
    Missing,
    /// It says nothing that can be read: it is of an older release, say.
    Silent {
        /// The program.
        program: PathBuf,
        /// What came instead.
        why: String,
    },
}

/// What a daemon's program found.
#[derive(Debug)]
pub(crate) struct Report {
    pub(crate) program: PathBuf,
    /// Its release.
    pub(crate) version: String,
    /// What keeps its data, as in `SQLite 3.53.0`.
    pub(crate) backend: String,
    pub(crate) findings: Vec<Finding>,
    /// Where its sockets are; `None` where there is no data directory yet, or nothing can name them.
    pub(crate) sockets: Option<Sockets>,
}

/// The sockets of a daemon.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Sockets {
    /// The one for people.
    pub(crate) socket: PathBuf,
    /// The one for agents, where they are served.
    pub(crate) agent: Option<PathBuf>,
}

/// Runs the check of the configuration for a daemon that systemd starts, which knows nothing of the variables that are set here.
pub(crate) async fn run_as_service(data_dir: &Path) -> Checked {
    let Some(program) = barista_client::daemon_program() else {
        return Checked::Missing;
    };
    let mut command = Command::new(&program);
    for (name, _) in std::env::vars_os() {
        if name
            .to_string_lossy()
            .starts_with(barista_locate::variables::PREFIX)
        {
            command.env_remove(name);
        }
    }
    command
        .args(["--check=config", "--json", "--data-dir"])
        .arg(data_dir);
    ask(program, command).await
}

/// Runs the check for the data directory that was typed or is found.
pub(crate) async fn run(app: &App, depth: Depth) -> Checked {
    let Some(program) = barista_client::daemon_program() else {
        return Checked::Missing;
    };
    let mut command = Command::new(&program);
    command.arg(match depth {
        Depth::Config => "--check=config",
        Depth::Quick => "--check=quick",
        Depth::Full => "--check=full",
    });
    command.arg("--json");
    if let Some(data_dir) = &app.data_dir {
        command.arg("--data-dir").arg(data_dir);
    }
    ask(program, command).await
}

async fn ask(program: PathBuf, mut command: Command) -> Checked {
    command.stdin(Stdio::null()).kill_on_drop(true);
    let output = match timeout(LIMIT, command.output()).await {
        Ok(Ok(output)) => output,
        Ok(Err(error)) => {
            let why = error.to_string();
            return Checked::Silent { program, why };
        }
        Err(_) => {
            let why = format!("no answer within {} s", LIMIT.as_secs());
            return Checked::Silent { program, why };
        }
    };
    match parse(&output.stdout) {
        Some((version, backend, findings)) => Checked::Told(Report {
            program,
            version,
            backend,
            findings,
            sockets: sockets(&output.stdout),
        }),
        None => {
            let said = String::from_utf8_lossy(&output.stderr);
            let why = said.lines().next().unwrap_or("nothing").to_owned();
            Checked::Silent { program, why }
        }
    }
}

fn parse(said: &[u8]) -> Option<(String, String, Vec<Finding>)> {
    let report: Value = serde_json::from_slice(said).ok()?;
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let findings = report["findings"].as_array()?;
    // A daemon that starts on a damaged file makes it no better.
    let is_damaged = findings.iter().any(|found| found["kind"] == "DAMAGE");
    let findings = findings.iter().map(|found| {
        let level = Level::of_word(found["level"].as_str()?)?;
        let remedy = text(&found["remedy"]);
        let finding = Finding::new(level, text(&found["check"])?, text(&found["text"])?, remedy);
        let schema = found["kind"] == "SCHEMA" && !is_damaged;
        Some(finding.fixed_by(schema.then_some(Fix::StartDaemon)))
    });
    Some((
        text(&report["version"])?,
        text(&report["backend"])?,
        findings.collect::<Option<_>>()?,
    ))
}

fn sockets(said: &[u8]) -> Option<Sockets> {
    let report: Value = serde_json::from_slice(said).ok()?;
    let path = |name: &str| report["sockets"][name].as_str().map(PathBuf::from);
    Some(Sockets {
        socket: path("socket")?,
        agent: path("agent"),
    })
}

impl Checked {
    /// The findings for people, the one about the program included.
    pub(crate) fn findings(self) -> Vec<Finding> {
        let own = env!("CARGO_PKG_VERSION");
        match self {
            Self::Told(report) => {
                let Report {
                    program,
                    version,
                    backend,
                    mut findings,
                    ..
                } = report;
                let shown = program.display();
                findings.push(if version == own {
                    let text = format!("{shown} is baristad {version} ({backend})");
                    Finding::good("program", text)
                } else {
                    let text = format!("{shown} is baristad {version}, and this is barista {own}");
                    Finding::warning("program", text, "install both from the same release")
                });
                findings
            }
            Self::Missing => {
                let text = "there is no baristad beside barista or on PATH";
                vec![
                    unchecked(),
                    Finding::problem("program", text, "install it beside barista"),
                ]
            }
            Self::Silent { program, why } => {
                let text = format!("{} --check said: {why}", program.display());
                vec![
                    unchecked(),
                    Finding::warning("program", text, "install both from the same release"),
                ]
            }
        }
    }

    /// The first problem that it found.
    pub(crate) fn problem(&self) -> Option<&Finding> {
        match self {
            Self::Told(report) => report
                .findings
                .iter()
                .find(|finding| finding.level == Level::Problem),
            Self::Missing | Self::Silent { .. } => None,
        }
    }
}

/// Whether the configuration is valid is not known without the daemon's program.
fn unchecked() -> Finding {
    Finding::note("configuration", "was not checked")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_is_read_and_its_schema_can_be_fixed() {
        let said = r#"{"version":"1.2.3","backend":"SQLite 3.53.0","findings":[
            {"level":"ok","check":"configuration","text":"valid","remedy":null,"kind":null},
            {"level":"problem","check":"schema","text":"no trigger","remedy":"start","kind":"SCHEMA"}]}"#;
        let (version, _, findings) = parse(said.as_bytes()).expect("a report");
        assert_eq!(version, "1.2.3");
        assert_eq!(findings[0], Finding::good("configuration", "valid"));
        assert_eq!(findings[1].fix, Some(Fix::StartDaemon));
        let told = br#"{"sockets":{"socket":"/a","agent":null}}"#;
        let socket = PathBuf::from("/a");
        assert_eq!(
            sockets(told),
            Some(Sockets {
                socket,
                agent: None
            })
        );
        assert_eq!(sockets(said.as_bytes()), None);
        for nonsense in ["", "error: unexpected argument", "{}", r#"{"findings":[]}"#] {
            assert!(parse(nonsense.as_bytes()).is_none(), "{nonsense}");
        }
    }

    #[test]
    fn a_line_about_the_configuration_is_always_there() {
        let silent = Checked::Silent {
            program: "/b".into(),
            why: "what?".to_owned(),
        };
        for checked in [Checked::Missing, silent] {
            let findings = checked.findings();
            assert!(
                findings
                    .iter()
                    .any(|finding| finding.check == "configuration")
            );
        }
    }
}
