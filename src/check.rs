//! `baristad --check`: what would keep the daemon from starting or from working, found without starting it.
//!
//! It takes no lock, creates nothing and writes nothing, so it may run beside a daemon. `barista doctor` and `barista daemon restart` run it: the
//! command line itself knows neither the configuration's rules nor SQLite.

use std::fmt::Display;
use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

use barista_locate::Located;
use serde_json::{Value, json};

use crate::cli::{Arguments, Check, VERSION};
use crate::config::{self, Config, ConfigError};
use crate::daemon::{SystemClock, wanted_sockets};
use crate::data_dir::{self, DataDir, DatabaseFile, DatabasePath, Quoted};
use crate::domain::admin::{IntegrityDepth, IntegrityKind};
use crate::domain::clock::{Clock, Timestamp};
use crate::store::sqlite::{
    Inspection, NOTIFICATIONS_FILE, TELEMETRY_FILE, backend_version, inspect,
};
use crate::telemetry::TelemetryError;
use crate::{instance, log_file, platform, socket};

/// The exit code of a mistake in the configuration.
const EXIT_CONFIGURATION: u8 = 2;
/// Before this the program did not exist, so a clock that shows less is wrong: 2025-01-01, in microseconds since 1970.
const EARLIEST: i64 = 1_735_689_600_000_000;

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Level {
    Good,
    Note,
    Warning,
    Problem,
}

impl Level {
    const fn word(self) -> &'static str {
        match self {
            Self::Good => "ok",
            Self::Note => "note",
            Self::Warning => "warning",
            Self::Problem => "problem",
        }
    }
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Finding {
    level: Level,
    /// What was looked at.
    check: &'static str,
    text: String,
    /// What helps; empty where nothing is needed, or the text says it.
    remedy: String,
    /// The kind of a finding in a database, for programs.
    kind: Option<&'static str>,
}

impl Finding {
    fn new(level: Level, check: &'static str, text: impl Into<String>) -> Self {
        Self {
            level,
            check,
            text: text.into(),
            remedy: String::new(),
            kind: None,
        }
    }

    fn remedy(mut self, remedy: impl Into<String>) -> Self {
        self.remedy = remedy.into();
        self
    }

    fn json(&self) -> Value {
        let remedy = (!self.remedy.is_empty()).then_some(&self.remedy);
        json!({
            "level": self.level.word(), "check": self.check, "text": self.text, "remedy": remedy, "kind": self.kind
        })
    }
}

/// Looks at what `arguments` name, prints what was found, and returns the exit code that `baristad --help` documents.
#[must_use]
pub fn run(arguments: &Arguments, what: Check) -> ExitCode {
    let (findings, sockets, code) = examine(arguments, what);
    let text = if arguments.json {
        let findings: Vec<Value> = findings.iter().map(Finding::json).collect();
        let report = json!({ "version": VERSION, "backend": backend_version(), "sockets": sockets, "findings": findings });
        format!("{report}\n")
    } else {
        findings.iter().map(line).collect()
    };
    // Whoever closed the pipe has seen enough.
    drop(std::io::stdout().write_all(text.as_bytes()));
    ExitCode::from(code)
}

fn line(finding: &Finding) -> String {
    let mut text = format!(
        "{:7}  {}: {}\n",
        finding.level.word(),
        finding.check,
        finding.text
    );
    if !finding.remedy.is_empty() {
        text.push_str(&format!("next: {}\n", finding.remedy));
    }
    text
}

/// Looks at everything, whatever is wrong with the rest: a mistake in the configuration must not hide a damaged database.
fn examine(arguments: &Arguments, what: Check) -> (Vec<Finding>, Option<Value>, u8) {
    let mut findings: Vec<Finding> = unknown_variable().into_iter().collect();
    let located = match locate(arguments) {
        Ok(located) => located,
        Err(finding) => {
            findings.push(finding);
            return (findings, None, EXIT_CONFIGURATION);
        }
    };
    let (config, finding) = configuration(arguments, &located);
    findings.push(finding);
    let misconfigured = is_sick(&findings);
    let (found, sockets) = data_directory(&located, &config, what);
    findings.extend(found);
    let code = match (misconfigured, is_sick(&findings)) {
        (true, _) => EXIT_CONFIGURATION,
        (false, sick) => u8::from(sick),
    };
    (findings, sockets, code)
}

fn is_sick(findings: &[Finding]) -> bool {
    findings
        .iter()
        .any(|finding| finding.level == Level::Problem)
}

fn misconfigured(error: &ConfigError) -> Finding {
    Finding::new(Level::Problem, "configuration", error.to_string()).remedy(error.remedy())
}

fn unknown_variable() -> Option<Finding> {
    let names = std::env::vars_os().map(|(name, _)| name);
    let refused = config::refuse_unknown_variables(names).err()?;
    Some(misconfigured(&refused))
}

fn locate(arguments: &Arguments) -> Result<Located, Finding> {
    let problem = |text: String| Finding::new(Level::Problem, "data directory", text);
    let current_dir = std::env::current_dir().map_err(|error| {
        problem(format!("the current directory is gone: {error}")).remedy("change to another one")
    })?;
    let variable = |name: &str| std::env::var_os(name);
    barista_locate::data_dir(arguments.data_dir.as_deref(), variable, &current_dir)
        .map_err(|error| problem(error.to_string()))
}

/// The configuration, or the default one where it has a mistake.
fn configuration(arguments: &Arguments, located: &Located) -> (Config, Finding) {
    let variable = |name: &str| std::env::var_os(name);
    let config = match Config::load(arguments, variable, &located.path) {
        Ok(config) => config,
        Err(error) => return (Config::default(), misconfigured(&error)),
    };
    let usual = located.path.join(barista_locate::CONFIG_FILE);
    let file = arguments.config.as_deref().unwrap_or(&usual);
    let (level, text) = if file.is_file() {
        (Level::Good, format!("{} is valid", file.display()))
    } else {
        let text = format!("no {}: the defaults apply", file.display());
        (Level::Note, text)
    };
    (config, Finding::new(level, "configuration", text))
}

/// What is to be said of the data directory, and the sockets of a daemon in it, for whoever makes them in its place.
fn data_directory(
    located: &Located,
    config: &Config,
    what: Check,
) -> (Vec<Finding>, Option<Value>) {
    let check = "data directory";
    let options = data_dir::Options {
        allow_network_file_system: config.storage.allow_network_file_system,
    };
    let data_dir = match DataDir::look(located, options) {
        Ok(Some(data_dir)) => data_dir,
        Ok(None) => {
            let path = located.path.display();
            let text = format!("{path} does not exist; the daemon makes it");
            return (vec![Finding::new(Level::Note, check, text)], None);
        }
        Err(error) => {
            let text = "was not looked into, because of the data directory";
            let unseen = Finding::new(Level::Note, "database", text);
            return (vec![refused(check, &error), unseen], None);
        }
    };
    let text = format!("{} ({})", data_dir.path().display(), located.source);
    let mut findings = vec![Finding::new(Level::Good, check, text)];
    findings.extend(held(&data_dir));
    findings.extend(places(&data_dir, config));
    if what != Check::Config {
        findings.extend(databases(&data_dir, what, SystemClock.now()));
    }
    let wanted = wanted_sockets(config);
    let agents = wanted.for_agents.then(|| wanted.agent_path(&data_dir));
    // JSON has no words for a path that is no text.
    let socket = wanted.socket_path(&data_dir);
    let agents = agents.as_deref().map(Path::to_str);
    let sockets = json!({ "socket": socket.to_str(), "agent": agents });
    (findings, Some(sockets))
}

/// Whether the daemon could make its socket and its log, where those lie elsewhere or others have been there.
fn places(data_dir: &DataDir, config: &Config) -> Vec<Finding> {
    let configured = config.server.socket.as_deref().map(socket::look);
    let socket = match configured {
        Some(Err(error)) => Some(refused("socket", &error)),
        Some(Ok(())) | None => None,
    };
    let path = config.log.file.clone().unwrap_or(data_dir.log_file());
    // The daemon makes its own directory for logs, and corrects its permissions.
    let is_made = config.log.file.is_none() && path.parent().is_some_and(|log| !log.exists());
    let log = match log_file::look(&path) {
        Err(source) if !is_made => Some(refused("log", &TelemetryError::File { path, source })),
        Err(_) | Ok(()) => None,
    };
    socket.into_iter().chain(log).collect()
}

/// The finding for a rule that is broken. Its sentence ends with what to do about it, which stands on a line of its own here.
fn refused(check: &'static str, error: &dyn Display) -> Finding {
    let said = error.to_string();
    let (text, remedy) = said.split_once("; ").unwrap_or((&said, ""));
    Finding::new(Level::Problem, check, text).remedy(remedy)
}

/// Who holds the data directory, as far as the system tells.
fn held(data_dir: &DataDir) -> Option<Finding> {
    let holder = instance::holder(data_dir)?;
    let text = format!("the data directory is held by {holder}");
    Some(Finding::new(Level::Good, "lock", text))
}

fn databases(data_dir: &DataDir, what: Check, now: Timestamp) -> Vec<Finding> {
    let mut findings = Vec::new();
    if now.as_micros() < EARLIEST {
        findings.push(
            Finding::new(
                Level::Problem,
                "clock",
                "this machine's clock is years behind",
            )
            .remedy("set it; questions expire by it"),
        );
    }
    let depth = match what {
        Check::Full => IntegrityDepth::Full,
        Check::Quick | Check::Config => IntegrityDepth::Quick,
    };
    for name in [NOTIFICATIONS_FILE, TELEMETRY_FILE] {
        match data_dir.database(name) {
            Ok(path) => findings.extend(database(&path, depth, now)),
            Err(error) => findings.push(refused("database", &error)),
        }
    }
    findings
}

fn database(path: &DatabasePath, depth: IntegrityDepth, now: Timestamp) -> Vec<Finding> {
    if path.path().symlink_metadata().is_err() {
        // The telemetry's is made when something is recorded.
        if path.name() == TELEMETRY_FILE {
            return Vec::new();
        }
        let text = format!("there is no {} yet", path.name());
        return vec![Finding::new(Level::Note, "database", text)];
    }
    let mut findings = Vec::new();
    match inspect(path, depth, now) {
        Ok(inspection) => findings.extend(judge(path, &inspection)),
        Err(error) => findings.push(
            Finding::new(
                Level::Warning,
                "database",
                format!("{} was not looked into: {error}", path.path().display()),
            )
            .remedy("barista daemon start opens it; then barista doctor looks again"),
        ),
    }
    findings.extend(locks(path));
    findings
}

fn judge(path: &DatabasePath, inspection: &Inspection) -> Vec<Finding> {
    let shown = path.path().display();
    let mut findings: Vec<Finding> = inspection
        .report
        .findings
        .iter()
        .map(|finding| {
            let (check, kind, remedy) = advice(finding.kind, path.path());
            // What makes a file unusable is known only where it was found, so its remedy comes with it.
            let (text, remedy) = match finding.text.split_once("; ") {
                Some((text, own)) if finding.kind == IntegrityKind::Unusable => {
                    (text, own.to_owned())
                }
                _ => (finding.text.as_str(), remedy),
            };
            let text = format!("{shown}: {text}");
            let mut found = Finding::new(Level::Problem, check, text).remedy(remedy);
            found.kind = Some(kind);
            found
        })
        .collect();
    if findings.is_empty() {
        findings.push(Finding::new(
            Level::Good,
            "database",
            format!("{shown} is sound"),
        ));
    }
    if let Some(log) = inspection.log.filter(|log| log.log > log.checkpointed) {
        let text = format!(
            "{} has {} frames that are not in the file yet; the daemon moves them",
            path.name(),
            log.log - log.checkpointed
        );
        findings.push(Finding::new(Level::Note, "write-ahead log", text));
    }
    findings
}

/// What is checked, the name of the kind as on the wire, and what helps.
fn advice(kind: IntegrityKind, file: &Path) -> (&'static str, &'static str, String) {
    match kind {
        IntegrityKind::Damage => ("integrity", "DAMAGE", salvage(file)),
        IntegrityKind::ForeignKey => (
            "foreign keys",
            "FOREIGN_KEY",
            "add the missing row, or delete the one that refers to it".to_owned(),
        ),
        IntegrityKind::Schema => (
            "schema",
            "SCHEMA",
            "barista daemon start, which restores it and records what was missed".to_owned(),
        ),
        IntegrityKind::Clock => (
            "clock",
            "CLOCK",
            "set this machine's clock (date shows it); questions expire by it".to_owned(),
        ),
        IntegrityKind::Unusable => (
            "database",
            "UNUSABLE",
            "install the newer release, or name another data directory with --data-dir".to_owned(),
        ),
    }
}

/// How to go on with a damaged file, as commands to paste.
///
/// `.dump` and not `.recover`, which the shell of Debian 12 (SQLite 3.40) cannot do, and which leaves an empty file behind then. A dump that met damage
/// ends with ROLLBACK, and would undo itself.
fn salvage(file: &Path) -> String {
    let directory = Quoted(file.parent().unwrap_or(Path::new(".")));
    // It is a name of ours, which needs no quotes.
    let name = file.file_name().unwrap_or_default().display();
    let records = match file.file_name() {
        Some(name) if name == TELEMETRY_FILE => "telemetry_observations",
        _ => "notifications",
    };
    format!(
        "put a backup in its place, if there is one: barista db restore FILE. Otherwise salvage what can be read; what lies on damaged pages is lost:
  barista daemon stop        # and every other program that uses it
  cd {directory} && mkdir -m 700 damaged && mv {name}* damaged/
  sqlite3 damaged/{name} .dump | sed 's/^ROLLBACK;.*/COMMIT;/' | (umask 077; sqlite3 salvaged.db)
  sqlite3 salvaged.db 'PRAGMA integrity_check; SELECT count(*) FROM {records}'
If that says ok and a number, use it; after an error nothing could be read, and damaged/ is all there is:
  mv salvaged.db {name} && barista doctor"
    )
}

/// Who has the database to itself, so that not even a daemon can open it, and who holds locks on its write-ahead log.
fn locks(path: &DatabasePath) -> Vec<Finding> {
    let users = platform::file_users(path.path()).unwrap_or_default();
    let alone = users.into_iter().filter(|user| user.is_alone);
    let tell = |user: platform::FileUser| {
        let command = platform::process_name(user.pid).unwrap_or_else(|| "a program".to_owned());
        let (pid, name) = (user.pid, path.name());
        let text = format!("{command} (process {pid}) has {name} to itself");
        Finding::new(Level::Warning, "lock", text).remedy(format!(
            "a daemon that starts waits for it: let it finish, or end it: kill {pid}"
        ))
    };
    alone.map(tell).chain(log_locks(path)).collect()
}

fn log_locks(path: &DatabasePath) -> Vec<Finding> {
    let holders = platform::wal_lock_holders(&path.path_of(DatabaseFile::SharedMemory));
    let tell = |holder: platform::WalLockHolder| {
        let what = match holder.kind {
            platform::WalLockKind::Read => "reads",
            platform::WalLockKind::Write => "writes",
            platform::WalLockKind::Checkpoint => "checkpoints",
            platform::WalLockKind::Recover => "recovers",
        };
        let command = match holder.command.as_str() {
            "" => "a program",
            command => command,
        };
        let text = format!("{command} (process {}) {what} {}", holder.pid, path.name());
        if holder.kind == platform::WalLockKind::Write && holder.pid != std::process::id() {
            let remedy = format!(
                "a daemon's writes wait for it: let it finish, or end it: kill {}",
                holder.pid
            );
            return Finding::new(Level::Warning, "lock", text).remedy(remedy);
        }
        Finding::new(Level::Note, "lock", text)
    };
    holders.unwrap_or_default().into_iter().map(tell).collect()
}
