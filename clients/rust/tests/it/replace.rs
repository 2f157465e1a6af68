//! Replacing a daemon that is older than the client: an idle one is, a busy one never.

use barista_client::{Autostart, Client, Error};

use crate::daemon::{Home, soon};
use crate::start::{LINGERS, PROTOCOL, Runs, WATCHERS, options, real_daemon};

/// Starts a daemon that does not speak the client's protocol; `settings` is what it is told. Returns its process id.
async fn leave_running(home: &Home, runs: &Runs, settings: &str) -> i32 {
    let script = format!("export {settings}\n{}", real_daemon());
    soon(Client::connect(options(home, &script)))
        .await
        .expect_err("another protocol");
    let pids = runs.pids();
    assert_eq!(pids.len(), 1);
    pids[0]
}

/// Checks that the daemon that answers is `pid` still, and that no other was even tried.
async fn assert_kept(home: &Home, runs: &Runs, pid: i32) {
    let looking = options(home, &real_daemon()).autostart(Autostart::Never);
    let error = soon(Client::connect(looking)).await.expect_err("as before");
    assert!(
        matches!(error, Error::ProtocolMismatch { pid: answering, .. } if answering == pid),
        "{error}"
    );
    assert_eq!(runs.pids(), [pid]);
}

async fn refused(home: &Home) -> String {
    let error = soon(Client::connect(options(home, &real_daemon())))
        .await
        .expect_err("refused");
    assert!(matches!(error, Error::ProtocolMismatch { .. }), "{error}");
    error.to_string()
}

#[tokio::test]
async fn an_older_daemon_that_is_idle_is_replaced() {
    let home = Home::new();
    let runs = Runs::of(&home);
    let older = leave_running(&home, &runs, &format!("{PROTOCOL}=0 {WATCHERS}=0")).await;
    let client = soon(Client::connect(options(&home, &real_daemon())))
        .await
        .expect("connected");
    let newer = client.server_info().pid;
    assert_ne!(newer, older);
    // Others may have been turned away before it, while the older one was about to end.
    assert_eq!(runs.pids().last(), Some(&newer));
    // That process has no status to give: what counts is that it is the one that says so.
    let error = soon(client.get_status()).await.expect_err("no status");
    assert!(matches!(error, Error::Rpc(_)), "{error}");
}

#[tokio::test]
async fn the_answers_of_an_older_daemon_on_its_way_out_do_not_count() {
    let home = Home::new();
    let runs = Runs::of(&home);
    let settings = format!("{PROTOCOL}=0 {WATCHERS}=0 {LINGERS}=1");
    let older = leave_running(&home, &runs, &settings).await;
    let client = soon(Client::connect(options(&home, &real_daemon())))
        .await
        .expect("connected");
    assert_ne!(client.server_info().pid, older);
    assert_eq!(runs.pids().last(), Some(&client.server_info().pid));
}

#[tokio::test]
async fn ten_clients_that_come_at_once_replace_an_older_daemon_once() {
    let home = Home::new();
    let runs = Runs::of(&home);
    let older = leave_running(&home, &runs, &format!("{PROTOCOL}=0 {WATCHERS}=0")).await;
    let options = options(&home, &real_daemon());
    let clients: Vec<_> = (0..10)
        .map(|_| tokio::spawn(Client::connect(options.clone())))
        .collect();
    let mut answering = Vec::new();
    for client in clients {
        let client = soon(client).await.expect("no panic").expect("connected");
        answering.push(client.server_info().pid);
    }
    assert_ne!(answering[0], older);
    assert_eq!(answering, [answering[0]; 10]);
    assert_eq!(runs.pids().last(), Some(&answering[0]));
}

#[tokio::test]
async fn an_older_daemon_that_is_busy_is_reported_and_lives() {
    let home = Home::new();
    let runs = Runs::of(&home);
    let older = leave_running(&home, &runs, &format!("{PROTOCOL}=0 {WATCHERS}=2")).await;
    let text = refused(&home).await;
    let advice = "the daemon is older and busy (watching: 2, waiting: 0, connected: 0, queued writes: 0); \
                  restart it with `barista daemon restart`";
    assert!(text.ends_with(advice), "{text}");
    assert_kept(&home, &runs, older).await;
}

#[tokio::test]
async fn an_older_daemon_that_knows_no_status_counts_as_busy() {
    let home = Home::new();
    let runs = Runs::of(&home);
    let older = leave_running(&home, &runs, &format!("{PROTOCOL}=0")).await;
    let text = refused(&home).await;
    assert!(
        text.contains("older and cannot say whether it is idle"),
        "{text}"
    );
    assert_kept(&home, &runs, older).await;
}

#[tokio::test]
async fn a_newer_daemon_is_reported_and_lives_though_it_is_idle() {
    let home = Home::new();
    let runs = Runs::of(&home);
    let newer = leave_running(&home, &runs, &format!("{PROTOCOL}=2 {WATCHERS}=0")).await;
    let text = refused(&home).await;
    assert!(text.contains("update the client"), "{text}");
    assert_kept(&home, &runs, newer).await;
}

#[tokio::test]
async fn an_older_daemon_stays_where_none_may_be_started() {
    let home = Home::new();
    let runs = Runs::of(&home);
    let older = leave_running(&home, &runs, &format!("{PROTOCOL}=0 {WATCHERS}=0")).await;
    assert_kept(&home, &runs, older).await;
}

#[tokio::test]
async fn an_older_program_is_named_rather_than_started_again_and_again() {
    let home = Home::new();
    let runs = Runs::of(&home);
    let script = format!("export {PROTOCOL}=0 {WATCHERS}=0\n{}", real_daemon());
    let error = soon(Client::connect(options(&home, &script)))
        .await
        .expect_err("too old");
    assert!(matches!(error, Error::StartFailed { .. }), "{error}");
    assert!(
        error
            .to_string()
            .ends_with("of an older release than this client; install both from the same release"),
        "{error}"
    );
    assert_eq!(runs.pids().len(), 1);
}
