//! Durable watchers: what happens, happens at least once, whoever is killed.

use barista_client::pb::notification::v1::{CreateNotificationRequest, NotificationType};
use barista_client::{Client, ConnectOptions};
use rustix::process::Signal;
use serde_json::Value;

use crate::heard::HANG;
use crate::home::Home;
use crate::program::Running;

/// The consumer as the daemon has it.
fn consumer(home: &Home, name: &str) -> Value {
    home.run(["consumer", "show", name, "--json"])
        .with(0)
        .json()
}

fn acknowledged(home: &Home, name: &str) -> String {
    let shown = consumer(home, name);
    let sequence = &shown["consumer"]["acknowledged"]["sequence"];
    sequence.as_str().unwrap_or("0").to_owned()
}

/// Waits until the consumer has acknowledged `sequence`.
fn until_acknowledged(home: &Home, name: &str, sequence: &str) {
    let began = std::time::Instant::now();
    while acknowledged(home, name) != sequence {
        assert!(began.elapsed() < HANG, "{}", consumer(home, name));
    }
}

/// What the commands have written outside both programs.
fn ledger(home: &Home) -> Vec<String> {
    let text = std::fs::read_to_string(home.path().join("ledger")).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

/// Starts a watch as `bell` that runs `script`.
fn bell(home: &Home, script: &str) -> Running {
    home.start([
        "watch",
        "--consumer",
        "bell",
        "--since",
        "all",
        "--exec",
        script,
    ])
}

fn notify(home: &Home, count: usize) {
    for _ in 0..count {
        home.run(["notify", "Something"]).with(0);
    }
}

/// As [`notify`], in one call: a program for each would take long.
fn notify_at_once(home: &Home, count: usize) {
    let request = CreateNotificationRequest {
        r#type: NotificationType::Info.into(),
        title: "Something".to_owned(),
        ..CreateNotificationRequest::default()
    };
    let options = ConnectOptions::new().data_dir(home.data_dir());
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        let client = Client::connect(options).await.expect("a daemon");
        let created = client.batch_create_notifications(vec![request; count]);
        created.await.expect("created");
    });
}

#[test]
fn a_watch_goes_on_where_the_last_one_of_its_name_ended() {
    let home = Home::new();
    notify(&home, 2);
    let watch = home.start(["watch", "--consumer", "bell", "--since", "all", "--json"]);
    watch
        .stderr
        .until_says("A new consumer: bell goes on after change 0: 2 changes to come.");
    watch.stdout.line(1);
    watch.signal(Signal::INT);
    let ended = watch.end().with(130);
    assert!(
        ended.stderr.contains("barista watch --consumer bell"),
        "{ended}"
    );
    assert_eq!(acknowledged(&home, "bell"), "2");
    notify(&home, 1);
    let watch = home.start(["watch", "--consumer", "bell", "--json"]);
    let event: Value = serde_json::from_str(&watch.stdout.line(0)).expect("JSON");
    assert_eq!(event["sequence"], "3");
    until_acknowledged(&home, "bell", "3");
    let again = home.start(["watch", "--consumer", "bell", "--since", "all"]);
    again.stderr.until_says(
        "bell goes on after change 3, with the next one. --since is for new consumers.",
    );
}

#[test]
fn a_watcher_that_is_killed_after_an_effect_has_it_again() {
    let home = Home::new();
    notify(&home, 3);
    // The shell's parent is the watch: it dies between the effect and its acknowledgement.
    let script = "echo $BARISTA_SEQUENCE >> ledger; test $BARISTA_SEQUENCE != 2 -o -e killed || { touch killed; kill -9 $PPID; }";
    assert_eq!(bell(&home, script).end().code(), 128 + 9);
    assert_eq!(acknowledged(&home, "bell"), "1");
    let watch = bell(&home, script);
    until_acknowledged(&home, "bell", "3");
    assert_eq!(ledger(&home), ["1", "2", "2", "3"]);
    watch.signal(Signal::TERM);
    watch.end().with(143);
}

#[test]
fn a_daemon_that_is_killed_during_an_effect_is_started_again_and_told() {
    let home = Home::new();
    notify(&home, 4);
    let daemon = home.daemon().as_raw_nonzero();
    let script = format!(
        "echo $BARISTA_SEQUENCE >> ledger; test $BARISTA_SEQUENCE != 2 || kill -9 {daemon}"
    );
    let watch = bell(&home, &script);
    watch.stderr.until_says("Connected again.");
    until_acknowledged(&home, "bell", "4");
    assert_eq!(ledger(&home), ["1", "2", "3", "4"]);
    assert_ne!(home.daemon().as_raw_nonzero(), daemon);
}

#[test]
fn a_command_that_fails_is_tried_again_and_then_its_change_is_set_aside() {
    let home = Home::new();
    notify(&home, 3);
    let script = r#"echo "$BARISTA_CONSUMER $BARISTA_SEQUENCE.$BARISTA_ATTEMPT"; test "$BARISTA_SEQUENCE" != 2 -o -e fixed"#;
    let watch = home.start([
        "watch",
        "--consumer",
        "bell",
        "--since",
        "all",
        "--exec",
        script,
        "--retries",
        "2",
        "--retry-pause",
        "1ms",
    ]);
    let lines: Vec<String> = (0..5).map(|number| watch.stdout.line(number)).collect();
    assert_eq!(
        lines,
        ["bell 1.1", "bell 2.1", "bell 2.2", "bell 2.3", "bell 3.1"]
    );
    watch.stderr.until_says(
        "the command for change 2 failed (attempt 1 of 3): exit status: 1; trying again in ",
    );
    watch
        .stderr
        .until_says("the command for change 2 failed 3 times, and the change is set aside: exit status: 1\nnext: barista consumer show bell");
    until_acknowledged(&home, "bell", "3");
    let shown = consumer(&home, "bell");
    let [aside] = shown["setAsideEvents"]
        .as_array()
        .expect("a list")
        .as_slice()
    else {
        panic!("{shown}");
    };
    assert_eq!(
        (&aside["sequence"], &aside["attempts"]),
        (&Value::from("2"), &Value::from(3))
    );
    let text = home.run(["consumer", "show", "bell"]).with(0).stdout;
    assert!(text.contains("3 attempts  exit status: 1"), "{text}");

    let retry = || home.run(["consumer", "retry", "bell", "--exec", script]);
    let failed = retry().with(1);
    assert_eq!(failed.stdout, "bell 2.4\n");
    let shown = consumer(&home, "bell");
    assert_eq!(shown["setAsideEvents"][0]["attempts"], 4, "{shown}");
    assert_eq!(retry().with(1).stdout, "bell 2.5\n");
    assert_eq!(acknowledged(&home, "bell"), "3", "its place stays");
    std::fs::write(home.path().join("fixed"), "").expect("a file");
    let done = retry().with(0);
    assert!(done.stderr.contains("Change 2 is done."), "{done}");
    assert_eq!(retry().with(0).stdout, "", "nothing is left");
    assert_eq!(
        consumer(&home, "bell")["setAsideEvents"],
        Value::Array(vec![])
    );
}

#[test]
fn a_repetition_that_fails_skips_nothing_for_a_consumer_that_was_moved_back() {
    let home = Home::new();
    notify(&home, 2);
    let fails = "test $BARISTA_SEQUENCE != 2";
    let watch = home.start([
        "watch",
        "--consumer",
        "bell",
        "--since",
        "all",
        "--exec",
        fails,
        "--retries",
        "0",
    ]);
    watch.stderr.until_says("the change is set aside");
    watch.signal(Signal::TERM);
    watch.end();
    home.run(["consumer", "reset", "bell", "--since", "oldest"])
        .with(0);
    home.run(["consumer", "retry", "bell", "--exec", fails])
        .with(1);
    assert_eq!(
        consumer(&home, "bell")["setAsideEvents"][0]["attempts"],
        2,
        "on record"
    );
    assert_eq!(acknowledged(&home, "bell"), "0", "the first is to come");
}

#[test]
fn ctrl_c_ends_a_retry_with_the_command_that_it_runs() {
    let home = Home::new();
    notify(&home, 1);
    home.consumer_with_something_aside("aside");
    // Its parent's end alone would not end the command: it is in a group of its own.
    let script = "echo $$; exec sleep 1000";
    let retry = home.start(["consumer", "retry", "aside", "--exec", script]);
    let command: i32 = retry.stdout.line(0).parse().expect("a process");
    let command = rustix::process::Pid::from_raw(command).expect("a process");
    retry.signal(Signal::INT);
    retry.end().with(130);
    let began = std::time::Instant::now();
    while rustix::process::test_kill_process(command).is_ok() {
        assert!(began.elapsed() < HANG, "the command runs on");
    }
}

/// More comes than is held beside an acknowledgement, so what gets the daemon back must not stand still because of that.
#[test]
fn a_daemon_that_is_killed_in_a_long_backlog_is_started_again_and_told() {
    const CHANGES: usize = 600;
    let home = Home::new();
    notify(&home, 1);
    notify_at_once(&home, CHANGES - 1);
    let daemon = home.daemon().as_raw_nonzero();
    // The second change is in work while everything else has come.
    let script = format!(
        "echo $BARISTA_SEQUENCE >> ledger; test $BARISTA_SEQUENCE != 2 || kill -9 {daemon}"
    );
    let watch = bell(&home, &script);
    watch.stderr.until_says("Connected again.");
    until_acknowledged(&home, "bell", &CHANGES.to_string());
    let expected: Vec<String> = (1..=CHANGES).map(|sequence| sequence.to_string()).collect();
    assert_eq!(ledger(&home), expected);
}

#[test]
fn what_is_set_aside_can_be_discarded() {
    let home = Home::new();
    notify(&home, 1);
    home.consumer_with_something_aside("bell");
    home.run(["consumer", "discard", "bell", "1"]).with(0);
    assert_eq!(
        consumer(&home, "bell")["setAsideEvents"],
        Value::Array(vec![])
    );
}

#[test]
fn a_newer_watch_takes_over_and_the_older_one_says_so() {
    let home = Home::new();
    home.consumer("bell");
    let older = home.start(["watch", "--consumer", "bell"]);
    home.until_counts("watchers", 1);
    let newer = home.start(["watch", "--consumer", "bell"]);
    let ended = older.end().with(6);
    assert!(
        ended
            .stderr
            .contains("a newer watch of consumer bell has begun")
            && ended.stderr.contains("next: barista consumer show bell"),
        "{ended}"
    );
    notify(&home, 1);
    assert!(newer.stdout.line(0).contains("Something"));
}

/// A watch as `bell` whose command for the first change fails until it may not, and says each time that it ran.
fn failing(home: &Home) -> Running {
    notify(home, 2);
    let script = "echo $BARISTA_SEQUENCE.$BARISTA_ATTEMPT; test -e fixed";
    let watch = home.start([
        "watch",
        "--consumer",
        "bell",
        "--since",
        "all",
        "--exec",
        script,
        "--retries",
        "1000",
        "--retry-pause",
        "10ms",
    ]);
    watch.stdout.line(1);
    watch
}

#[test]
fn a_watch_that_tries_again_ends_when_a_newer_one_takes_over() {
    let home = Home::new();
    let older = failing(&home);
    let newer = home.start(["watch", "--consumer", "bell", "--exec", "true"]);
    let ended = older.end().with(6);
    assert!(
        ended
            .stderr
            .contains("a newer watch of consumer bell has begun"),
        "{ended}"
    );
    until_acknowledged(&home, "bell", "2");
    newer.signal(Signal::TERM);
    newer.end().with(143);
}

#[test]
fn a_reset_ends_the_repetitions_of_what_it_skips() {
    let home = Home::new();
    let watch = failing(&home);
    home.run(["consumer", "reset", "bell", "--since", "1"])
        .with(0);
    watch.stdout.until_says("2.1\n");
    home.run(["consumer", "delete", "bell"]).with(0);
    watch.end().with(5);
}

#[test]
fn a_reset_replays_into_the_watch_that_runs() {
    let home = Home::new();
    notify(&home, 2);
    let watch = bell(&home, "echo $BARISTA_SEQUENCE");
    watch.stdout.line(1);
    until_acknowledged(&home, "bell", "2");
    home.run(["consumer", "reset", "bell", "--since", "oldest"])
        .with(0);
    let lines: Vec<String> = (0..4).map(|number| watch.stdout.line(number)).collect();
    assert_eq!(lines, ["1", "2", "1", "2"]);
    home.run(["consumer", "delete", "bell"]).with(0);
    let ended = watch.end().with(5);
    assert!(
        ended.stderr.contains("there is no consumer bell"),
        "{ended}"
    );
}

#[test]
fn a_filter_keeps_nothing_behind() {
    let home = Home::new();
    home.consumer("bell");
    let watch = home.start(["watch", "--consumer", "bell", "--type", "error"]);
    home.until_counts("watchers", 1);
    notify(&home, 2);
    until_acknowledged(&home, "bell", "2");
    home.run(["notify", "Broken", "--type", "error"]).with(0);
    assert!(watch.stdout.line(0).contains("Broken"));
}
