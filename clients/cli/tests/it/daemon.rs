//! Looking after the daemon by hand.

use rustix::process::Signal;

use crate::home::Home;
use crate::program::{BARISTAD, Running};

#[test]
fn a_daemon_is_started_looked_at_restarted_and_stopped() {
    let home = Home::new();
    let started = home.run(["daemon", "start"]).with(0);
    let first = home.daemon().as_raw_nonzero();
    let process = format!("(process {first})");
    assert!(
        started.stderr.contains(&format!("has started {process}")),
        "{started}"
    );
    let again = home.run(["daemon", "start"]).with(0);
    assert!(
        again.stderr.contains(&format!("runs already {process}")),
        "{again}"
    );
    let status = home.run(["daemon", "status"]).with(0);
    assert!(status.stdout.starts_with("baristad "), "{status}");
    let restarted = home.run(["daemon", "restart"]).with(0);
    assert!(
        restarted.stderr.contains(&format!("{process} has stopped")),
        "{restarted}"
    );
    assert_ne!(home.daemon().as_raw_nonzero(), first);
    home.run(["daemon", "stop"]).with(0);
    let stopped = home.run(["daemon", "stop"]).with(0);
    assert_eq!(stopped.stderr, "The daemon is not running.\n");
    home.run(["daemon", "status"]).with(69);
}

#[test]
fn the_log_is_shown_and_followed() {
    let home = Home::new();
    let none = home.run(["daemon", "logs"]).with(5);
    assert!(
        none.stderr
            .contains("\nnext: no command has started a daemon here"),
        "{none}"
    );
    home.run(["daemon", "start"]).with(0);
    let follow = home.start(["daemon", "logs", "--follow"]);
    follow.stdout.until_says(": ready ");
    home.run(["daemon", "stop"]).with(0);
    follow.stdout.until_says(": stopped");
    follow.signal(Signal::INT);
    let followed = follow.end().with(130);
    let last = home.run(["daemon", "logs", "-n", "1"]).with(0);
    assert_eq!(followed.stdout.lines().last(), Some(last.value()));
}

#[test]
fn a_second_daemon_says_who_holds_the_data() {
    let home = Home::new();
    home.run(["daemon", "start"]).with(0);
    let holder = format!("process {}", home.daemon().as_raw_nonzero());
    let second = Running::start(&mut home.command(BARISTAD.as_path()))
        .end()
        .with(75);
    assert!(second.stderr.contains(&holder), "{second}");
    assert!(second.stderr.contains("barista daemon stop"), "{second}");
    home.daemon();
}

#[test]
fn a_daemon_in_the_foreground_serves_until_it_is_told_to_end() {
    let home = Home::new();
    let daemon = home.start(["daemon", "run", "--", "--log-level", "info"]);
    daemon.stderr.until_says("ready");
    assert_eq!(home.daemon(), daemon.pid());
    home.run(["notify", "Hello"]).with(0);
    daemon.signal(Signal::TERM);
    daemon.end().with(0);
    home.run(["status"]).with(69);
}

#[test]
fn watches_and_questions_do_not_keep_a_daemon_from_stopping() {
    let home = Home::new();
    let asked = home.start(["ask", "Deploy?", "--option", "approve"]);
    let id = asked.question();
    let watches = [(); 5].map(|()| home.start(["watch", "--since", "all"]));
    for watch in &watches {
        watch.stdout.line(0);
    }
    home.run(["daemon", "stop"]).with(0);
    home.run(["respond", &id, "approve"]).with(0);
    assert_eq!(asked.end().with(0).stdout, "approve\n");
    for watch in &watches {
        assert!(watch.stdout.line(1).contains("responded"));
    }
}
