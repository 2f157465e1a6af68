//! The daemon: whether it answers, fits this program, and keeps up.

use std::path::Path;
use std::time::Duration;

use barista_client::pb::admin::v1::{
    Authority, DatabaseStatus, RetentionReport, ServerInfo, ServerStatus, WalLock, WalLockKind,
};
use barista_client::pb::consumer::v1::Consumer;
use barista_client::{Autostart, Client, Error};

use crate::app::App;
use crate::doctor::check::Depth;
use crate::doctor::finding::{Finding, Level};
use crate::doctor::tools;
use crate::render::status::{bytes, holder, lock_word};
use crate::{failure, text};

/// Frames in a write-ahead log past which other programs checkpoint it themselves, and the daemon should have done so long before.
const MANY_FRAMES: i64 = 1_000;
/// How long a check of every index may take.
const FULL_CHECK: Duration = Duration::from_secs(600);

/// What came of talking to the daemon.
#[derive(Debug)]
pub(crate) enum Contact {
    /// It answers.
    Answers(Client),
    /// Nobody listens.
    Absent,
    /// Somebody listens, and cannot be talked to.
    Failed(Error),
}

impl Contact {
    /// Connects, without starting a daemon. Calls may take as long as a check of this depth.
    pub(crate) async fn make(app: &App, depth: Depth) -> Self {
        let options = app.options().autostart(Autostart::Never);
        let options = match depth {
            Depth::Config | Depth::Quick => options,
            Depth::Full => options.call_timeout(FULL_CHECK),
        };
        let connected = match Client::connect(options.clone()).await {
            // A daemon that ends just now: whether it is gone shows at the second look.
            Err(Error::Disconnected { .. }) => Client::connect(options).await,
            connected => connected,
        };
        match connected {
            Ok(client) => Self::Answers(client),
            Err(Error::NotRunning { .. }) => Self::Absent,
            Err(error) => Self::Failed(error),
        }
    }
}

/// Looks at the daemon.
pub(crate) async fn examine(
    contact: &Contact,
    data_dir: Option<&Path>,
    known: &[Finding],
) -> Vec<Finding> {
    let client = match contact {
        Contact::Answers(client) => client,
        Contact::Absent => {
            let sick = known.iter().any(|found| found.level == Level::Problem);
            let text = if sick {
                "is not running, and may not start until the problems above are put right"
            } else {
                "is not running; the next command that needs it starts it"
            };
            return vec![Finding::note("daemon", text)];
        }
        Contact::Failed(error) => {
            let text = text::line(&error.to_string());
            return vec![Finding::problem(
                "daemon",
                text,
                "barista daemon logs says more",
            )];
        }
    };
    let info = client.server_info();
    let mut findings = server(&info, data_dir);
    if info.authority() == Authority::Agent {
        let text = "this is the agent socket: how the daemon is, it tells its owner only";
        findings.push(Finding::note("daemon", text));
        return findings;
    }
    match client.get_status().await {
        Ok(status) => findings.extend(judge(&status)),
        Err(error) => {
            let text = format!(
                "does not tell its status: {}",
                text::line(&error.to_string())
            );
            findings.push(Finding::problem("daemon", text, "barista daemon logs"));
        }
    }
    findings
}

/// The consumers that cannot go on from their places: nobody else says so until they are watched.
pub(crate) async fn consumers(client: &Client) -> Vec<Finding> {
    match client.list_consumers().await {
        Ok(consumers) => consumers.iter().filter_map(lost).collect(),
        Err(error) => {
            let text = format!("were not looked at: {}", text::line(&error.to_string()));
            vec![Finding::warning("consumers", text, "barista daemon logs")]
        }
    }
}

/// A consumer that is only late holds the journal, or will be told what it has missed; one of another history must be moved.
fn lost(consumer: &Consumer) -> Option<Finding> {
    let is_lost = !consumer.holds_journal && consumer.lag == 0;
    is_lost.then(|| {
        let name = text::line(&consumer.name);
        let text = format!("consumer {name} is from before a restored backup, and cannot go on");
        // The page indents what follows the first line itself.
        let remedy = failure::reset(&name);
        let remedy: Vec<&str> = remedy.lines().map(str::trim_start).collect();
        Finding::warning("consumers", text, remedy.join("\n"))
    })
}

fn server(info: &ServerInfo, data_dir: Option<&Path>) -> Vec<Finding> {
    let own = env!("CARGO_PKG_VERSION");
    let mut findings = Vec::new();
    let version = text::line(&info.version);
    if version == own {
        let backend = text::line(&info.backend);
        let process = match info.pid {
            0 => String::new(),
            pid => format!("process {pid}, "),
        };
        let text = format!("baristad {version} answers ({process}{backend})");
        findings.push(Finding::good("daemon", text));
    } else {
        let text = format!("baristad {version} answers, and this is barista {own}");
        findings.push(Finding::warning("daemon", text, "barista daemon restart"));
    }
    if tools::has_wal_reset_bug(&info.backend) == Some(true) {
        let text = format!(
            "was built with {}, which has the WAL-reset bug",
            text::line(&info.backend)
        );
        findings.push(Finding::problem(
            "daemon",
            text,
            "install a release with SQLite 3.51.3 or newer",
        ));
    }
    let expected = data_dir.and_then(|path| std::fs::canonicalize(path).ok());
    if expected.is_some_and(|path| path != Path::new(&info.data_dir)) {
        let text = format!(
            "serves another data directory, {}",
            text::line(&info.data_dir)
        );
        findings.push(Finding::warning(
            "daemon",
            text,
            "see --socket and --data-dir",
        ));
    }
    findings
}

fn judge(status: &ServerStatus) -> Vec<Finding> {
    let mut findings = Vec::new();
    if status.shutting_down {
        findings.push(Finding::note("daemon", "is stopping"));
    }
    if let Some(report) = &status.last_retention {
        findings.extend(retention(report));
    }
    for database in &status.databases {
        findings.extend(write_ahead_log(database));
        findings.extend(locks(database));
        findings.extend(queue(database));
        if !database.writable {
            let text = format!(
                "{} takes no writes: {}",
                text::line(&database.name),
                text::line(&database.unwritable_reason)
            );
            findings.push(Finding::problem(
                "database",
                text,
                "barista daemon logs says more; then barista daemon restart",
            ));
        }
    }
    findings
}

/// Who keeps the journal from being shortened, and who has lost a part of it.
fn retention(report: &RetentionReport) -> Vec<Finding> {
    let holds = report.holds.iter().map(|hold| {
        let text = format!(
            "consumer {} keeps {} changes that would be removed",
            text::line(&hold.consumer),
            hold.held_changes
        );
        Finding::note("retention", text)
    });
    let lost = report.left_behind.iter().map(|name| {
        let name = text::line(name);
        let text = format!(
            "consumer {name} was too far behind, and changes that it has not seen were removed"
        );
        Finding::warning(
            "retention",
            text,
            format!("barista consumer reset {name} --since oldest"),
        )
    });
    holds.chain(lost).collect()
}

fn write_ahead_log(database: &DatabaseStatus) -> Option<Finding> {
    let name = text::line(&database.name);
    let state = format!(
        "{name} has {} frames, of which {} are checkpointed ({})",
        database.wal_frames,
        database.wal_checkpointed_frames,
        bytes(database.wal_bytes)
    );
    if database.wal_frames <= MANY_FRAMES {
        return Some(Finding::good("write-ahead log", state));
    }
    let readers: Vec<String> = database
        .wal_locks
        .iter()
        .filter(|lock| !lock.is_daemon && lock.kind() == WalLockKind::Read)
        .map(holder)
        .collect();
    let remedy = match readers.as_slice() {
        [] => "barista status shows whether it shrinks; barista daemon restart truncates it"
            .to_owned(),
        readers => format!(
            "end the transaction of {}, which keeps it from being reset",
            readers.join(", ")
        ),
    };
    Some(Finding::warning("write-ahead log", state, remedy))
}

/// Other programs at work on the database.
fn locks(database: &DatabaseStatus) -> Vec<Finding> {
    let others = database.wal_locks.iter().filter(|lock| !lock.is_daemon);
    let tell = |lock: &WalLock| {
        let (holder, word) = (holder(lock), lock_word(lock.kind()));
        let text = format!(
            "{holder} holds a {word} lock on {}",
            text::line(&database.name)
        );
        if lock.kind() == WalLockKind::Write && lock.pid > 0 {
            let remedy = format!(
                "writes wait for it: let it finish, or end it: kill {}",
                lock.pid
            );
            return Finding::warning("lock", text, remedy);
        }
        Finding::note("lock", text)
    };
    others.map(tell).collect()
}

fn queue(database: &DatabaseStatus) -> Option<Finding> {
    let full = database.queue_capacity > 0 && database.queue_depth * 2 > database.queue_capacity;
    full.then(|| {
        let text = format!(
            "{} has {} of {} writes waiting",
            text::line(&database.name),
            database.queue_depth,
            database.queue_capacity
        );
        Finding::warning(
            "queue",
            text,
            "barista status names who holds the database's lock",
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reader_that_pins_the_log_is_named() {
        let lock = |pid, is_daemon| WalLock {
            pid,
            command: "python3".to_owned(),
            kind: WalLockKind::Read.into(),
            is_daemon,
        };
        let database = DatabaseStatus {
            wal_frames: MANY_FRAMES + 1,
            wal_locks: vec![lock(1, true), lock(77, false)],
            ..Default::default()
        };
        let finding = write_ahead_log(&database).expect("a finding");
        assert_eq!(finding.level, Level::Warning);
        let remedy = finding.remedy.expect("a remedy");
        assert!(remedy.contains("python3 (process 77)") && !remedy.contains("process 1)"));
    }

    #[test]
    fn a_database_that_takes_no_writes_is_a_problem() {
        let status = ServerStatus {
            databases: vec![DatabaseStatus {
                unwritable_reason: "it was replaced".to_owned(),
                ..Default::default()
            }],
            ..Default::default()
        };
        let findings = judge(&status);
        assert!(
            findings
                .iter()
                .any(|f| f.level == Level::Problem && f.text.contains("replaced"))
        );
    }

    #[test]
    fn another_release_is_worth_a_restart() {
        let info = ServerInfo {
            version: "0.0.1".to_owned(),
            ..Default::default()
        };
        let findings = server(&info, None);
        assert_eq!(
            findings[0].remedy.as_deref(),
            Some("barista daemon restart")
        );
    }
}
