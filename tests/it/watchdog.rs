//! The signs of life that a service manager gets: they are those of the writer.

use barista_client::{Autostart, Client, ConnectOptions};

use crate::support::{HANG, Home, Process, question, soon};

/// The word of a daemon that lives.
const ALIVE: &str = "WATCHDOG=1\n";

/// Starts a daemon that a service manager watches, closely: in life it would be minutes.
async fn watched(home: &Home, configure: impl FnOnce(&mut std::process::Command)) -> Process {
    let mut command = home.command();
    command.env("WATCHDOG_USEC", "800000");
    configure(&mut command);
    let process = Process::spawn(command, home.path());
    let ready = process.ready().await;
    assert!(ready.is_ok(), "{ready:?}: {}", process.said());
    process
}

async fn connect(home: &Home) -> Client {
    let options = ConnectOptions::new()
        .data_dir(home.data_dir().to_owned())
        .autostart(Autostart::Never)
        .connect_timeout(HANG)
        .call_timeout(HANG);
    soon(Client::connect(options)).await.expect("connected")
}

/// Waits for `count` signs of life. On a busy machine some may come late; a daemon that is taken for stuck gives none any more, and says that it is.
async fn signs_of_life(daemon: &Process, count: usize) {
    let mut heard = 0;
    for _ in 0..10 * count {
        heard += usize::from(daemon.told().await == ALIVE);
        if heard == count {
            return;
        }
    }
    panic!("only {heard} signs of life: {}", daemon.said());
}

#[tokio::test]
async fn a_writer_with_nothing_to_do_is_alive() {
    // It would look up once in five seconds by itself, long after it would be taken for stuck.
    let home = Home::configured("[storage]\nidle_poll = '5s'");
    let daemon = watched(&home, |_| {}).await;
    signs_of_life(&daemon, 8).await;
}

#[tokio::test]
async fn a_writer_that_waits_for_another_program_s_lock_is_alive() {
    let home = Home::new();
    let daemon = watched(&home, |_| {}).await;
    let client = connect(&home).await;
    let foreign = home.foreign();
    foreign.run("BEGIN IMMEDIATE");
    let created =
        tokio::spawn(async move { client.create_notification(question("Deploy?")).await });
    signs_of_life(&daemon, 12).await;
    assert!(!created.is_finished(), "the lock was not met");
    foreign.run("COMMIT");
    soon(created).await.expect("no panic").expect("created");
}

/// The control: with a writer that does not come back from a call, everything else works on, and no sign of life is given.
#[cfg(feature = "failpoints")]
#[tokio::test]
async fn a_writer_that_is_stuck_is_not_alive_although_the_daemon_answers() {
    let home = Home::new();
    let daemon = watched(&home, |command| {
        command.env("BARISTA_TEST_FAILPOINT", "before-commit:1:hang");
    })
    .await;
    let client = connect(&home).await;
    let asking = client.clone();
    let asked = tokio::spawn(async move { asking.create_notification(question("Deploy?")).await });
    loop {
        let told = daemon.told().await;
        if told.contains("does not get on") {
            break;
        }
    }
    for _ in 0..8 {
        let told = daemon.told().await;
        assert!(told.starts_with("STATUS=The writer still"), "{told}");
        soon(client.get_status()).await.expect("it answers");
    }
    asked.abort();
}
