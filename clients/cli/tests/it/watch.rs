//! Following what happens, and doing something about it.

use rustix::process::Signal;
use serde_json::Value;

use crate::home::Home;

#[test]
fn a_command_runs_once_per_change_with_the_fields_and_the_json() {
    let home = Home::new();
    let script = r#"printf '%s|%s|%s|' "$BARISTA_SEQUENCE" "$BARISTA_KIND" "$BARISTA_ID"
        printf '%s|%s|%s\n' "$BARISTA_TITLE" "$BARISTA_AGENT" "$BARISTA_RESPONSE"; cat"#;
    home.run([
        "ask",
        "Deploy?",
        "-o",
        "approve",
        "--agent",
        "bot",
        "--no-wait",
    ])
    .with(0);
    let watch = home.start(["watch", "--since", "all", "--exec", script]);
    assert_eq!(watch.stdout.line(0), "1|created|1|Deploy?|bot|");
    home.run(["respond", "1", "approve"]).with(0);
    home.run(["notify", "Done"]).with(0);
    assert_eq!(watch.stdout.line(2), "2|responded|1|Deploy?|bot|approve");
    assert_eq!(watch.stdout.line(4), "3|created|2|Done||");
    let event: Value = serde_json::from_str(&watch.stdout.line(3)).expect("JSON");
    assert_eq!(event["notification"]["response"]["responder"], "ann");
    watch.stdout.line(5);
    watch.signal(Signal::INT);
    assert_eq!(watch.end().with(130).stdout.lines().count(), 6);
}

#[test]
fn a_command_that_fails_does_not_end_the_watch() {
    let home = Home::new();
    home.run(["notify", "One"]).with(0);
    home.run(["notify", "Two"]).with(0);
    let script = "echo $BARISTA_ID; exit 3";
    let watch = home.start(["watch", "--since", "all", "--exec", script]);
    assert_eq!(watch.stdout.line(1), "2");
    home.run(["notify", "Three"]).with(0);
    assert_eq!(watch.stdout.line(2), "3");
    watch
        .stderr
        .until_says("the command for change 3 failed: exit status: 3");
}

#[test]
fn what_an_agent_writes_is_never_run() {
    let home = Home::new();
    home.run(["notify", "$(touch owned) `touch owned`; touch owned"])
        .with(0);
    let watch = home.start([
        "watch",
        "--since",
        "all",
        "--exec",
        r#"echo "$BARISTA_TITLE""#,
    ]);
    assert_eq!(
        watch.stdout.line(0),
        "$(touch owned) `touch owned`; touch owned"
    );
    assert!(!home.path().join("owned").exists());
}

#[test]
fn a_watch_shows_what_was_asked_for_and_goes_on_where_another_one_ended() {
    let home = Home::new();
    home.run(["notify", "Quiet", "--priority", "low"]).with(0);
    home.run(["notify", "Loud", "--priority", "high"]).with(0);
    let watch = home.start(["watch", "--since", "all", "--priority", "high"]);
    assert!(watch.stdout.line(0).contains("Loud"));
    watch.signal(Signal::INT);
    let ended = watch.end().with(130);
    assert_eq!(ended.stdout.lines().count(), 1, "{ended}");
    assert!(ended.stderr.contains("barista watch --since 2"), "{ended}");
    home.run(["notify", "Louder", "--priority", "high"]).with(0);
    let watch = home.start(["watch", "--since", "2"]);
    assert!(watch.stdout.line(0).contains("Louder"));
}

#[test]
fn a_watch_from_now_on_shows_nothing_old() {
    let home = Home::new();
    home.run(["notify", "Old"]).with(0);
    let watch = home.start(["watch"]);
    home.until_counts("watchers", 1);
    home.run(["notify", "New"]).with(0);
    assert!(watch.stdout.line(0).contains("New"));
}

#[test]
fn a_change_is_a_line_with_time_sequence_kind_id_and_what_came_of_it() {
    let home = Home::new();
    let ask = [
        "ask",
        "Deploy?",
        "-o",
        "approve",
        "--agent",
        "bot",
        "--no-wait",
    ];
    home.run(ask).with(0);
    home.run(["read", "1"]).with(0);
    home.run(["respond", "1", "approve"]).with(0);
    home.run(["notify", "Done"]).with(0);
    home.run(["dismiss", "2"]).with(0);
    let watch = home.start(["watch", "--since", "all"]);
    let line = |number| {
        let line = watch.stdout.line(number);
        let (time, rest) = line.split_once("  ").expect("columns");
        // The date stands before the time where it is not today's.
        assert_eq!(time.matches(':').count(), 2, "{line}");
        rest.to_owned()
    };
    let lines: Vec<String> = (0..5).map(line).collect();
    assert_eq!(
        lines,
        [
            "     1  created    #1     Deploy? (bot, cli)",
            "     2  read       #1     Deploy? (ann, cli)",
            "     3  responded  #1     Deploy? → approve (ann)",
            "     4  created    #2     Done (cli)",
            "     5  dismissed  #2     Done (ann, cli)",
        ]
    );
}
