//! The program in a sandbox, where only the agent socket can be seen.

use std::process::Command;

use crate::home::Home;
use crate::program::{BARISTA, Running};

/// A home with a daemon, and its agent socket.
fn with_daemon() -> (Home, String) {
    let home = Home::new();
    home.run(["daemon", "start"]).with(0);
    let status = home.status();
    let socket = status["info"]["agentSocket"].as_str().expect("a socket");
    (home, socket.to_owned())
}

/// `barista` as an agent runs it, whose own home is `name` below that of Ann.
fn agent(home: &Home, socket: &str, name: &str, arguments: &[&str]) -> Command {
    let mut command = home.command(BARISTA);
    command
        .env_remove(barista_locate::DATA_DIR_VARIABLE)
        .env("HOME", home.path().join(name))
        .env("BARISTA_SOCKET", socket)
        .args(arguments);
    command
}

#[test]
fn an_agent_asks_and_a_later_process_of_it_waits() {
    let (home, socket) = with_daemon();
    let run = |arguments: &[&str]| Running::start(&mut agent(&home, &socket, "robin", arguments));
    let asked = run(&["ask", "Deploy?", "--option", "yes", "--no-wait"])
        .end()
        .with(0);
    let id = asked.stdout.trim().to_owned();
    let shown = home.run(["show", &id]).with(0);
    assert!(shown.stdout.contains("from a sandbox"), "{shown}");
    let waiting = run(&["wait", &id]);
    home.until_counts("waiters", 1);
    home.run(["respond", &id, "yes"]).with(0);
    assert_eq!(waiting.end().with(0).stdout, "yes\n");
    run(&["show", &id]).end().with(0);
    // Another home has another key.
    let other = Running::start(&mut agent(&home, &socket, "cuckoo", &["wait", &id])).end();
    assert!(other.with(5).stderr.contains("there is no notification"));
}

#[test]
fn what_an_agent_may_not_do_is_refused_with_the_remedy() {
    let (home, socket) = with_daemon();
    let run =
        |arguments: &[&str]| Running::start(&mut agent(&home, &socket, "robin", arguments)).end();
    let id = run(&["ask", "Deploy?", "--no-wait"])
        .with(0)
        .stdout
        .trim()
        .to_owned();
    for arguments in [
        &["respond", &id, "yes"][..],
        &["dismiss", &id],
        &["read", &id],
        &["inbox"],
        &["status"],
        &["consumer", "list"],
        &["ask", "Deploy?", "--expires", "1s", "--default", "yes"],
    ] {
        let refused = run(arguments).with(4);
        assert!(refused.stderr.contains("agents may not"), "{refused}");
        assert!(
            refused.stderr.contains("next: run it outside the sandbox"),
            "{refused}"
        );
    }
    run(&["cancel", &id]).with(0);
    assert_eq!(home.state(&id), "CANCELLED");
}

#[test]
fn what_looks_after_the_daemon_knows_that_it_is_in_a_sandbox() {
    let (home, socket) = with_daemon();
    let run =
        |arguments: &[&str]| Running::start(&mut agent(&home, &socket, "robin", arguments)).end();
    let doctor = run(&["doctor"]).with(0).stdout;
    assert!(doctor.contains("this is the agent socket"), "{doctor}");
    let version = run(&["version"]).with(0).stdout;
    for text in [doctor, version] {
        assert!(!text.contains("process 0"), "{text}");
    }
    let refused = run(&["daemon", "stop"]).with(4);
    assert!(
        refused.stderr.contains("next: run it outside the sandbox"),
        "{refused}"
    );
}

#[test]
fn without_a_place_for_its_key_an_agent_is_told_what_to_set() {
    let (home, socket) = with_daemon();
    let mut nowhere = agent(&home, &socket, "robin", &["ask", "Deploy?", "--no-wait"]);
    nowhere.env_remove("HOME");
    let refused = Running::start(&mut nowhere).end().with(2);
    assert!(
        refused.stderr.contains("set BARISTA_SESSION_KEY"),
        "{refused}"
    );
    nowhere.env("BARISTA_SESSION_KEY", "0123456789abcdef0123456789abcdef");
    Running::start(&mut nowhere).end().with(0);
}
