//! Starting a daemon where none answers, once, however many clients want one.

use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use fd_lock::RwLock;
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep};

use crate::backoff::Backoff;
use crate::error::Error;
use crate::replace;
use crate::session::Session;
use crate::target::{StartPlan, Target, create_private};

/// The daemon's program.
const DAEMON: &str = "baristad";
/// What the daemon says before it has its log, inside the data directory.
const START_ERRORS: &str = "log/start.err";
/// The exit code of a daemon that found the data directory held by another one (EX_TEMPFAIL).
const EXIT_HELD: i32 = 75;
/// How much of what the daemon said is quoted, in bytes.
const QUOTED: usize = 4096;

/// Starts a daemon and connects to it. Clients that come meanwhile wait for the same daemon. Where the daemon `older` answers, it is
/// ended first if it is idle.
///
/// Nothing but the daemon itself touches its instance lock: a client that tried it, if only to look, could make a daemon fail that
/// starts at that moment. Who holds the lock is learnt from the exit code of a daemon that did not get it.
pub(crate) async fn start(
    target: &Target,
    plan: &StartPlan,
    older: Option<i32>,
) -> Result<Session, Error> {
    let deadline = Instant::now() + plan.timeout;
    let daemon = find_daemon(plan)?;
    create_private(&plan.data_dir.join(barista_locate::RUN_DIR))?;
    create_private(&plan.data_dir.join("log"))?;
    let mut lock = RwLock::new(open_start_lock(plan)?);
    let mut backoff = Backoff::polling();
    let _starting = loop {
        match lock.try_write() {
            Ok(guard) => break guard,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(source) => return Err(io_error("lock", start_lock_path(plan), source)),
        }
        // A look is a connection, too, and would make the older daemon seem busy to the one who holds the lock.
        if older.is_none()
            && let Some(session) = probe(target, None).await?
        {
            return Ok(session);
        }
        if Instant::now() >= deadline {
            return Err(failed(
                plan,
                "another process has been starting it all the time; see `barista daemon logs`",
            ));
        }
        sleep(backoff.pause()).await;
    };
    if let Some(older) = older {
        replace::retire(target, older).await?;
    }
    run_until_one_answers(target, plan, &daemon, older, deadline).await
}

/// Runs the daemon, again and again while another one that does not answer holds the data directory: it may be stopping.
async fn run_until_one_answers(
    target: &Target,
    plan: &StartPlan,
    daemon: &Path,
    leaving: Option<i32>,
    deadline: Instant,
) -> Result<Session, Error> {
    // Each attempt is a process, and a daemon that is stopping may take 10 s.
    let mut backoff = Backoff::new(Duration::from_millis(5), Duration::from_millis(500));
    let mut held = false;
    loop {
        // Whoever had the start lock before may have started one.
        if let Some(session) = probe(target, leaving).await? {
            return Ok(session);
        }
        match launch(target, plan, daemon, leaving, deadline).await? {
            Launch::Answers(session) => return Ok(session),
            Launch::Held => held = true,
            Launch::Late if held => {}
            Launch::Late => {
                let log = plan.data_dir.join(barista_locate::LOG_FILE);
                let reason = format!(
                    "it did not answer within {:?}; see {}",
                    plan.timeout,
                    log.display()
                );
                return Err(failed(plan, reason));
            }
        }
        if Instant::now() >= deadline {
            return Err(target.unresponsive(target.holder(), plan.timeout));
        }
        sleep(backoff.pause()).await;
    }
}

/// What running the daemon led to.
enum Launch {
    /// A daemon that answers, whoever started it.
    Answers(Session),
    /// Another daemon holds the data directory, and is starting or stopping.
    Held,
    /// The time is up; it runs, and has not answered.
    Late,
}

/// The daemon that is there, or `None` where there is none or only one on its way out, as the daemon `leaving` is.
async fn probe(target: &Target, leaving: Option<i32>) -> Result<Option<Session>, Error> {
    match Session::open(target).await {
        Ok(session) => Ok(Some(session)),
        Err(error) if error.is_absence() => Ok(None),
        Err(error) if leaving.is_some() && error.older_daemon() == leaving => Ok(None),
        // It takes no more connections, and has yet to close its socket.
        Err(Error::Unresponsive { .. }) if leaving.is_some() => Ok(None),
        Err(error) => Err(error),
    }
}

/// Runs the daemon and waits until it answers or ends.
async fn launch(
    target: &Target,
    plan: &StartPlan,
    daemon: &Path,
    leaving: Option<i32>,
    deadline: Instant,
) -> Result<Launch, Error> {
    let mut child = spawn(plan, daemon)?;
    let mut backoff = Backoff::polling();
    let mut running = true;
    loop {
        tokio::select! {
            status = child.wait(), if running => {
                let status = status.map_err(|source| io_error("wait for", daemon.to_owned(), source))?;
                match status.code() {
                    // It went to the background: whether it answers is all that counts.
                    Some(0) => running = false,
                    Some(EXIT_HELD) => return Ok(Launch::Held),
                    _ => return Err(ended(plan, status)),
                }
            }
            () = sleep(backoff.pause()) => {
                let found = probe(target, leaving).await;
                if let Some(session) = found.map_err(|error| outdated(plan, daemon, error))? {
                    return Ok(Launch::Answers(session));
                }
                if Instant::now() >= deadline {
                    return Ok(Launch::Late);
                }
            }
        }
    }
}

/// Says whose fault it is when the daemon that was just started is an older one: another restart would change nothing.
fn outdated(plan: &StartPlan, daemon: &Path, error: Error) -> Error {
    if error.older_daemon().is_none() {
        return error;
    }
    let reason = format!(
        "{} is of an older release than this client; install both from the same release",
        daemon.display()
    );
    failed(plan, reason)
}

/// Runs the daemon detached. It outlives this process, so its errors go to a file: a pipe without a reader would end it later.
fn spawn(plan: &StartPlan, daemon: &Path) -> Result<Child, Error> {
    let path = plan.data_dir.join(START_ERRORS);
    let errors = OpenOptions::new()
        .create(true)
        .append(true)
        .mode(0o600)
        .open(&path)
        .and_then(|file| file.set_len(0).map(|()| file))
        .map_err(|source| io_error("write", path, source))?;
    Command::new(daemon)
        .arg("--data-dir")
        .arg(&plan.data_dir)
        .arg("--detached")
        // The caller's directory may be on a file system that somebody wants to unmount.
        .current_dir(&plan.data_dir)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(errors)
        .spawn()
        .map_err(|source| io_error("run", daemon.to_owned(), source))
}

/// The error for a daemon that ended, in its own words where it had any.
fn ended(plan: &StartPlan, status: ExitStatus) -> Error {
    let path = plan.data_dir.join(START_ERRORS);
    let said = fs::read(path).unwrap_or_default();
    let said = String::from_utf8_lossy(&said[said.len().saturating_sub(QUOTED)..]);
    let (reason, remedy) = if said.trim().is_empty() {
        let log = plan.data_dir.join(barista_locate::LOG_FILE);
        let reason = format!("it ended ({status}) without a word; see {}", log.display());
        (reason, None)
    } else {
        last_words(&said)
    };
    Error::StartFailed {
        data_dir: plan.data_dir.clone(),
        reason,
        remedy,
        exit_code: status.code(),
    }
}

/// Why the daemon ended and what helps, from what it wrote: `baristad: WHY`, and a line `next: WHAT`.
fn last_words(said: &str) -> (String, Option<String>) {
    let said = said.trim();
    let (why, next) = match said.rsplit_once("\nnext: ") {
        Some((why, next)) => (why, Some(next.to_owned())),
        None => (said, None),
    };
    let why = why
        .strip_prefix(DAEMON)
        .and_then(|why| why.strip_prefix(": "))
        .unwrap_or(why);
    (why.to_owned(), next)
}

fn start_lock_path(plan: &StartPlan) -> PathBuf {
    plan.data_dir
        .join(barista_locate::RUN_DIR)
        .join(barista_locate::START_LOCK_FILE)
}

fn open_start_lock(plan: &StartPlan) -> Result<File, Error> {
    let path = start_lock_path(plan);
    OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .mode(0o600)
        .open(&path)
        .map_err(|source| io_error("open", path, source))
}

fn find_daemon(plan: &StartPlan) -> Result<PathBuf, Error> {
    find(plan.daemon.as_deref()).ok_or_else(|| failed(plan, not_found(plan.daemon.as_deref())))
}

/// The daemon's program that a client starts: `baristad` beside the current program, else the first one on `PATH`. `None` where there is
/// neither.
#[must_use]
pub fn daemon_program() -> Option<PathBuf> {
    find(None)
}

fn find(named: Option<&Path>) -> Option<PathBuf> {
    let current = std::env::current_exe().ok();
    let path = std::env::var_os("PATH");
    candidates(named, current.as_deref(), path.as_deref())
        .into_iter()
        .find(|program| is_executable(program))
        .and_then(|program| std::path::absolute(program).ok())
}

/// Where the daemon's program may be, in order: where the caller said and nowhere else; beside the current program; on `PATH`.
fn candidates(named: Option<&Path>, current: Option<&Path>, path: Option<&OsStr>) -> Vec<PathBuf> {
    if let Some(named) = named {
        return vec![named.to_owned()];
    }
    let beside = current
        .and_then(Path::parent)
        .map(|directory| directory.join(DAEMON));
    let on_path = path
        .into_iter()
        .flat_map(std::env::split_paths)
        .map(|directory| directory.join(DAEMON));
    beside.into_iter().chain(on_path).collect()
}

fn is_executable(program: &Path) -> bool {
    fs::metadata(program)
        .is_ok_and(|metadata| metadata.is_file() && metadata.permissions().mode() & 0o111 != 0)
}

fn not_found(named: Option<&Path>) -> String {
    match named {
        Some(program) => format!("{} is not a program", program.display()),
        None => format!("there is no `{DAEMON}` beside this program or on PATH; install it"),
    }
}

fn failed(plan: &StartPlan, reason: impl Into<String>) -> Error {
    Error::StartFailed {
        data_dir: plan.data_dir.clone(),
        reason: reason.into(),
        remedy: None,
        exit_code: None,
    }
}

fn io_error(action: &'static str, path: PathBuf, source: io::Error) -> Error {
    Error::Io {
        action,
        path,
        source,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_daemon_said_is_told_from_what_it_advised() {
        let words = |why: &str, next: Option<&str>| (why.to_owned(), next.map(str::to_owned));
        assert_eq!(
            last_words("baristad: f:1:2: no\nnext: correct it\n"),
            words("f:1:2: no", Some("correct it"))
        );
        assert_eq!(last_words("baristad: no disk\n"), words("no disk", None));
        assert_eq!(last_words("Killed"), words("Killed", None));
    }

    #[test]
    fn a_named_daemon_is_the_only_candidate() {
        let found = candidates(
            Some(Path::new("/opt/d")),
            Some(Path::new("/bin/barista")),
            Some(OsStr::new("/usr/bin")),
        );
        assert_eq!(found, [PathBuf::from("/opt/d")]);
    }

    #[test]
    fn the_daemon_beside_the_program_comes_before_the_path() {
        let found = candidates(
            None,
            Some(Path::new("/opt/b/barista")),
            Some(OsStr::new("/usr/local/bin:/usr/bin")),
        );
        assert_eq!(
            found,
            [
                "/opt/b/baristad",
                "/usr/local/bin/baristad",
                "/usr/bin/baristad"
            ]
            .map(PathBuf::from)
        );
        assert_eq!(candidates(None, None, None), Vec::<PathBuf>::new());
    }

    #[test]
    fn a_directory_or_a_plain_file_is_no_daemon() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let plain = directory.path().join("baristad");
        fs::write(&plain, "").expect("a file");
        assert!(!is_executable(directory.path()));
        assert!(!is_executable(&plain));
        fs::set_permissions(&plain, fs::Permissions::from_mode(0o755)).expect("permissions");
        assert!(is_executable(&plain));
    }
}
