//! `barista run`: the command's own status, and the news about it.

use crate::home::Home;

#[test]
fn the_status_of_the_command_is_passed_on_and_told() {
    let home = Home::new();
    home.run(["daemon", "start"]).with(0);
    let ended = home.run(["run", "--", "sh", "-c", "echo out; echo err >&2; exit 7"]);
    let ended = ended.with(7);
    assert_eq!(
        (ended.stdout.as_str(), ended.stderr.as_str()),
        ("out\n", "err\n")
    );
    let news = home.notification("1");
    assert_eq!(news["type"], "NOTIFICATION_TYPE_ERROR");
    let title = news["title"].as_str().expect("a title");
    assert!(title.ends_with("failed with status 7"), "{title}");
    let context: serde_json::Value =
        serde_json::from_str(news["context"].as_str().expect("a context")).expect("JSON");
    assert_eq!(context["exitStatus"], 7);
    assert_eq!(context["command"][0], "sh");

    home.run(["run", "--title", "The build", "--", "true"])
        .with(0);
    let news = home.notification("2");
    assert_eq!(news["title"], "The build succeeded");
    assert_eq!(news["type"], "NOTIFICATION_TYPE_COMPLETION");
}

#[test]
fn a_command_that_a_signal_ends_is_told_as_a_shell_would() {
    let home = Home::new();
    home.run(["run", "--", "sh", "-c", "kill -9 $$"]).with(137);
    let title = home.notification("1")["title"].clone();
    assert!(
        title
            .as_str()
            .is_some_and(|title| title.ends_with("was ended by signal 9")),
        "{title}"
    );
}

#[test]
fn a_command_that_cannot_be_run_is_no_news() {
    let home = Home::new();
    let missing = home.run(["run", "--", "no-such-command"]).with(127);
    assert!(
        missing
            .stderr
            .starts_with("barista: cannot run no-such-command: "),
        "{missing}"
    );
    home.run(["run", "--", "/"]).with(126);
    home.run(["status"]).with(69);
}

#[test]
fn the_status_matters_more_than_that_nobody_could_be_told() {
    let home = Home::new();
    let ended = home
        .run(["run", "--no-autostart", "--", "sh", "-c", "exit 7"])
        .with(7);
    assert!(ended.stderr.contains("cannot reach the daemon"), "{ended}");
}

#[test]
fn a_command_is_asked_to_end_when_its_runner_is() {
    let home = Home::new();
    let script = "trap 'kill $!; echo ended; exit 9' TERM; \
                  sleep 600 >/dev/null 2>&1 & echo ready; wait";
    let running = home.start(["run", "--", "sh", "-c", script]);
    running.stdout.until_says("ready");
    running.signal(rustix::process::Signal::TERM);
    assert_eq!(running.end().with(9).stdout, "ready\nended\n");
}
