//! Starting the daemon because somebody needs it.

use std::collections::BTreeSet;

use crate::home::Home;
use crate::program::Running;

#[test]
fn ten_commands_on_an_empty_machine_start_one_daemon() {
    let home = Home::new();
    let notices: Vec<Running> = (0..10).map(|_| home.start(["notify", "Hello"])).collect();
    let starts: Vec<Running> = (0..10).map(|_| home.start(["daemon", "start"])).collect();
    let ids: BTreeSet<i64> = notices
        .into_iter()
        .map(|notice| notice.end().with(0).value().parse().expect("an id"))
        .collect();
    assert_eq!(ids, (1..=10).collect());
    let process = format!("(process {}) on", home.daemon().as_raw_nonzero());
    for start in starts {
        let ended = start.end().with(0);
        assert!(ended.stderr.contains(&process), "{process}: {ended}");
    }
    let log = home.log();
    assert_eq!(log.matches(": starting ").count(), 1, "{log}");
}

#[test]
fn nothing_is_started_where_that_is_not_wanted() {
    let home = Home::new();
    for command in [["inbox", "--no-autostart"], ["status", "--json"]] {
        let ended = home.run(command).with(69);
        assert_eq!(ended.stdout, "");
        assert!(
            ended.stderr.contains("\nnext: barista daemon start"),
            "{ended}"
        );
    }
    assert!(!home.data_dir().exists());
}

#[test]
fn the_socket_of_a_dead_daemon_is_no_obstacle() {
    let home = Home::new();
    home.run(["notify", "Before"]).with(0);
    home.kill_daemon();
    assert!(home.socket().exists());
    assert_eq!(home.run(["notify", "After"]).with(0).stdout, "2\n");
}

#[test]
fn a_daemon_that_cannot_start_says_why() {
    let home = Home::new();
    std::fs::create_dir(home.data_dir()).expect("a directory");
    let config = home.data_dir().join(barista_locate::CONFIG_FILE);
    std::fs::write(&config, "[server]\nsockets = 1\n").expect("written");
    let ended = home.run(["notify", "Hello"]).with(2);
    let place = format!("{}:2:1: server.sockets is no setting", config.display());
    assert!(ended.stderr.contains(&place), "{ended}");
    assert!(ended.stderr.starts_with("barista: "), "{ended}");
    assert!(
        ended.stderr.contains("\nnext: correct line 2 of "),
        "{ended}"
    );
    let mistyped = home.sh("rm data/barista.toml; BARISTA_LOG_LEVL=info barista notify Hello");
    let meant = "did you mean BARISTA_LOG_LEVEL?\nnext: unset BARISTA_LOG_LEVL";
    assert!(mistyped.with(2).stderr.contains(meant));
}

#[test]
fn a_daemon_survives_the_command_that_started_it_and_its_terminal() {
    let home = Home::new();
    let mut notice = home.barista(["notify", "Hello"]);
    let notice = Running::start(std::os::unix::process::CommandExt::process_group(
        &mut notice,
        0,
    ));
    let group = notice.pid();
    notice.end().with(0);
    // Nobody is left in the command's process group: the daemon has left it.
    let left = rustix::process::test_kill_process_group(group);
    assert_eq!(left, Err(rustix::io::Errno::SRCH));
    home.daemon();
}
