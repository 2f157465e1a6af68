//! The daemon is killed while others rely on it.

use rustix::process::Signal;

use crate::home::Home;
use crate::program::Running;

/// The sequences of a watch's first `count` lines.
fn sequences(watch: &Running, count: usize) -> Vec<i64> {
    let sequence = |line: String| {
        let event: serde_json::Value = serde_json::from_str(&line).expect("an event");
        event["sequence"]
            .as_str()
            .and_then(|text| text.parse().ok())
    };
    (0..count)
        .filter_map(|number| sequence(watch.stdout.line(number)))
        .collect()
}

#[test]
fn a_question_and_a_watch_outlive_a_daemon_that_is_killed() {
    let home = Home::new();
    let asked = home.start(["ask", "Deploy?", "--option", "approve"]);
    let id = asked.question();
    let watch = home.start(["watch", "--since", "all", "--json"]);
    watch.stdout.line(0);
    home.until_counts("waiters", 1);
    for _ in 0..3 {
        let killed = home.daemon();
        home.kill_daemon();
        home.run(["notify", "Still here"]).with(0);
        assert_ne!(home.daemon(), killed);
    }
    home.run(["respond", &id, "approve"]).with(0);
    assert_eq!(asked.end().with(0).stdout, "approve\n");
    assert_eq!(sequences(&watch, 5), [1, 2, 3, 4, 5]);
    watch.signal(Signal::INT);
    let watched = watch.end().with(130);
    assert_eq!(watched.stdout.lines().count(), 5, "{watched}");
    assert!(watched.stderr.contains("Connected again."), "{watched}");
    assert!(
        watched
            .stderr
            .contains("Trying again; no change is missed."),
        "{watched}"
    );
    assert!(
        watched.stderr.contains("barista watch --since 5"),
        "{watched}"
    );
}

#[test]
fn what_was_accepted_is_still_there_after_a_kill() {
    let home = Home::new();
    let notices: Vec<Running> = (0..10).map(|_| home.start(["notify", "Stored"])).collect();
    let mut accepted: Vec<String> = Vec::new();
    for (number, notice) in notices.into_iter().enumerate() {
        accepted.push(notice.end().with(0).value().to_owned());
        if number == 4 {
            home.kill_daemon();
        }
    }
    for id in &accepted {
        assert_eq!(home.state(id), "PENDING");
    }
    accepted.sort_unstable();
    accepted.dedup();
    assert_eq!(accepted.len(), 10);
}

#[test]
fn a_daemon_that_was_stopped_is_waited_for_and_not_started() {
    let home = Home::new();
    let asked = home.start(["ask", "Deploy?", "--option", "approve"]);
    let id = asked.question();
    let wait = home.start(["wait", &id]);
    home.until_counts("waiters", 2);
    let watch = home.start(["watch"]);
    home.until_counts("watchers", 1);
    home.run(["daemon", "stop"]).with(0);
    let waiting = [&asked, &wait, &watch];
    for one in waiting {
        one.stderr.until_says("The daemon was stopped.");
        one.stderr.until_says("start it with: barista daemon start");
    }
    home.run(["daemon", "status"]).with(69);
    home.run(["daemon", "start"]).with(0);
    for one in waiting {
        one.stderr.until_says("Connected again.");
    }
    home.run(["respond", &id, "approve"]).with(0);
    assert_eq!(asked.end().with(0).stdout, "approve\n");
    assert_eq!(wait.end().with(0).stdout, "approve\n");
    assert!(watch.stdout.line(0).contains("responded"));
}
