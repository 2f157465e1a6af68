//! Starting the daemon. A shell script stands for `baristad`; where a daemon must really serve, it runs this test program again.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::time::Duration;

use barista_client::pb::admin::v1::{ServerInfo, ServerStatus};
use barista_client::{Autostart, Client, ConnectOptions, Error};

use tokio::signal::unix::{SignalKind, signal};
use tonic::Code;

use crate::calls::error;
use crate::daemon::{Admin, Daemon, Farewell, Home, soon};

/// Tells [`daemon_process`] that it is one, and where.
const DATA_DIR: &str = "BARISTA_CLIENT_TEST_DATA_DIR";
/// Tells it which revision of the protocol it speaks; 1 if it does not say.
pub(crate) const PROTOCOL: &str = "BARISTA_CLIENT_TEST_PROTOCOL";
/// Tells it how many watchers it has. It knows no status if this does not say.
pub(crate) const WATCHERS: &str = "BARISTA_CLIENT_TEST_WATCHERS";
/// Tells it to take its time to end.
pub(crate) const LINGERS: &str = "BARISTA_CLIENT_TEST_LINGERS";

/// Options that start `script` as the daemon of `home`'s data directory.
pub(crate) fn options(home: &Home, script: &str) -> ConnectOptions {
    let daemon = home.path().join("baristad");
    fs::write(&daemon, format!("#!/bin/sh\n{script}\n")).expect("a script");
    fs::set_permissions(&daemon, fs::Permissions::from_mode(0o755)).expect("permissions");
    let autostart = Autostart::Allowed {
        daemon: Some(daemon),
    };
    ConnectOptions::new()
        .data_dir(data_dir(home))
        .autostart(autostart)
        .start_timeout(Duration::from_secs(10))
}

pub(crate) fn data_dir(home: &Home) -> PathBuf {
    home.path().join("data")
}

/// Not a test: the daemon's process, which the script below runs. Alone it does nothing.
#[tokio::test]
#[ignore = "run by other tests as their daemon"]
async fn daemon_process() {
    let Some(data_dir) = std::env::var_os(DATA_DIR).map(PathBuf::from) else {
        return;
    };
    let run_dir = data_dir.join(barista_locate::RUN_DIR);
    let lock = fs::OpenOptions::new()
        .create(true)
        .append(true)
        .open(run_dir.join(barista_locate::INSTANCE_LOCK_FILE));
    let mut lock = fd_lock::RwLock::new(lock.expect("a lock file"));
    let Ok(_held) = lock.try_write() else {
        std::process::exit(75)
    };
    let pid = i32::try_from(std::process::id()).expect("a process id");
    let protocol = number(PROTOCOL).unwrap_or(1);
    let admin = Admin {
        info: ServerInfo {
            protocol_min: protocol,
            protocol_max: protocol,
            pid,
            ..ServerInfo::default()
        },
        status: number(WATCHERS).map(|watchers| ServerStatus {
            watchers,
            connections: 1,
            ..ServerStatus::default()
        }),
        farewell: number(LINGERS).map(|_| farewell()),
    };
    Daemon::start_with(&run_dir.join(barista_locate::SOCKET_FILE), admin)
        .serve_forever()
        .await;
}

fn number(name: &str) -> Option<i32> {
    std::env::var(name).ok()?.parse().ok()
}

/// What SIGTERM begins.
fn farewell() -> Farewell {
    let farewell = Farewell::default();
    let mut signals = signal(SignalKind::terminate()).expect("a signal handler");
    let leaving = farewell.clone();
    tokio::spawn(async move {
        signals.recv().await;
        leaving.leave();
    });
    farewell
}

/// A script that notes its process id and becomes [`daemon_process`].
pub(crate) fn real_daemon() -> String {
    let program = std::env::current_exe().expect("this program");
    format!(
        "echo $$ >> \"$2/runs\"\n{DATA_DIR}=\"$2\" exec '{}' --exact start::daemon_process --ignored",
        program.display()
    )
}

/// The process ids of the daemons that a test has started. Ends them with the test, even when it fails.
pub(crate) struct Runs(PathBuf);

impl Runs {
    pub(crate) fn of(home: &Home) -> Self {
        Self(data_dir(home).join("runs"))
    }

    pub(crate) fn pids(&self) -> Vec<i32> {
        let text = fs::read_to_string(&self.0).unwrap_or_default();
        text.lines().filter_map(|line| line.parse().ok()).collect()
    }

    fn kill(&self) {
        for pid in self
            .pids()
            .into_iter()
            .filter_map(rustix::process::Pid::from_raw)
        {
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
        }
    }
}

impl Drop for Runs {
    fn drop(&mut self) {
        self.kill();
    }
}

#[tokio::test]
async fn ten_clients_that_come_at_once_start_one_daemon() {
    let home = Home::new();
    let runs = Runs::of(&home);
    let options = options(&home, &real_daemon());
    let clients: Vec<_> = (0..10)
        .map(|_| tokio::spawn(Client::connect(options.clone())))
        .collect();
    let mut answering = Vec::new();
    for client in clients {
        let client = soon(client).await.expect("no panic").expect("connected");
        answering.push(client.server_info().pid);
    }
    assert_eq!(runs.pids().len(), 1);
    assert_eq!(answering, [runs.pids()[0]; 10]);
    let mode = fs::metadata(data_dir(&home))
        .expect("created")
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o700);
}

#[tokio::test]
async fn a_daemon_that_was_killed_is_started_again_by_the_next_call() {
    let home = Home::new();
    let runs = Runs::of(&home);
    let client = soon(Client::connect(options(&home, &real_daemon())))
        .await
        .expect("connected");
    let first = client.server_info().pid;
    runs.kill();
    // That process has no status to give: what counts is that another one says so.
    let error = soon(client.get_status())
        .await
        .expect_err("not in this play");
    assert!(matches!(error, Error::Rpc(_)), "{error}");
    let second = client.server_info().pid;
    assert_eq!(runs.pids(), [first, second]);
}

#[tokio::test]
async fn a_daemon_that_fails_is_quoted() {
    let home = Home::new();
    let options = options(&home, "echo 'barista.toml:3: unknown key' >&2; exit 2");
    let error = soon(Client::connect(options)).await.expect_err("no daemon");
    assert!(matches!(error, Error::StartFailed { .. }), "{error}");
    assert!(
        error
            .to_string()
            .ends_with("could not be started: barista.toml:3: unknown key"),
        "{error}"
    );
}

#[tokio::test]
async fn a_daemon_that_fails_without_a_word_points_to_its_log() {
    let home = Home::new();
    let error = soon(Client::connect(options(&home, "exit 1")))
        .await
        .expect_err("no daemon");
    assert!(error.to_string().contains("log/baristad.log"), "{error}");
}

#[tokio::test]
async fn who_holds_the_data_directory_and_does_not_answer_is_named() {
    let home = Home::new();
    let run_dir = data_dir(&home).join(barista_locate::RUN_DIR);
    fs::create_dir_all(&run_dir).expect("directories");
    fs::write(run_dir.join(barista_locate::INSTANCE_LOCK_FILE), "4242\n").expect("a lock file");
    let options = options(&home, "exit 75").start_timeout(Duration::from_millis(100));
    let error = soon(Client::connect(options)).await.expect_err("held");
    assert!(
        matches!(
            error,
            Error::Unresponsive {
                pid: Some(4242),
                ..
            }
        ),
        "{error}"
    );
}

#[tokio::test]
async fn a_daemon_that_is_not_there_is_missed() {
    let home = Home::new();
    let autostart = Autostart::Allowed {
        daemon: Some(home.path().join("nothing")),
    };
    let options = ConnectOptions::new()
        .data_dir(data_dir(&home))
        .autostart(autostart);
    let error = soon(Client::connect(options)).await.expect_err("no daemon");
    assert!(error.to_string().contains("is not a program"), "{error}");
}

#[tokio::test]
async fn without_leave_nothing_is_started_or_created() {
    let home = Home::new();
    let options = options(&home, &real_daemon()).autostart(Autostart::Never);
    let error = soon(Client::connect(options)).await.expect_err("no daemon");
    assert!(matches!(error, Error::NotRunning { .. }), "{error}");
    assert!(!data_dir(&home).exists());
}

#[tokio::test]
async fn a_wait_starts_a_daemon_that_died_and_none_that_was_stopped() {
    for stopped in [true, false] {
        let home = Home::new();
        let run_dir = data_dir(&home).join(barista_locate::RUN_DIR);
        fs::create_dir_all(&run_dir).expect("directories");
        let mut daemon = Daemon::start(&run_dir.join(barista_locate::SOCKET_FILE));
        let options = options(&home, "touch started; exit 1");
        let client = soon(Client::connect(options)).await.expect("connected");
        let started = data_dir(&home).join("started");
        // Only one that must start nothing ends by itself: how long a start takes is for the machine to say.
        let limit = stopped.then_some(Duration::from_millis(300));
        let (tell, mut told) = tokio::sync::mpsc::channel(8);
        let wait = tokio::spawn(async move {
            let tell = |notice| tell.try_send(notice).expect("room");
            client.wait_telling(7, limit, tell).await
        });
        let (_, answer) = daemon.wait().await;
        if stopped {
            answer
                .send(Err(error(Code::Unavailable, "SHUTTING_DOWN")))
                .expect("the caller waits");
            // Its last word must have come before it is gone.
            soon(told.recv()).await.expect("a notice");
        }
        drop(daemon);
        if !stopped {
            let exists = async {
                while !started.exists() {
                    tokio::task::yield_now().await;
                }
            };
            soon(exists).await;
            wait.abort();
            continue;
        }
        // Until its time is up, the wait looks for a daemon several times.
        let error = soon(wait)
            .await
            .expect("no panic")
            .expect_err("nobody there");
        assert!(error.is_unreachable(), "{error}");
        assert!(!started.exists(), "{error}");
    }
}
