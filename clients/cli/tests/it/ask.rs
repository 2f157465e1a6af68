//! Asking: what a script gets on stdout, and which exit code, for each way in which a question can end.

use crate::home::Home;
use crate::program::Running;

#[test]
fn an_answer_from_elsewhere_ends_the_question_and_is_all_that_is_printed() {
    let home = Home::new();
    let asked = home.start(["ask", "Deploy?", "--option", "approve", "--option", "deny"]);
    let id = asked.question();
    home.until_counts("waiters", 1);
    home.run(["respond", &id, "approve"]).with(0);
    assert_eq!(asked.end().with(0).stdout, "approve\n");
    assert_eq!(home.state(&id), "RESPONDED");
}

#[test]
fn a_refusal_has_an_exit_code_of_its_own() {
    let home = Home::new();
    let asked = home.start(["ask", "Deploy?", "--option", "approve", "--option", "deny"]);
    home.run(["respond", &asked.question(), "deny"]).with(0);
    assert_eq!(asked.end().with(3).stdout, "deny\n");
}

#[test]
fn a_script_gets_free_text_as_it_was_typed() {
    let home = Home::new();
    let asked = home.start(["ask", "Which name?"]);
    let text = "two lines,\n\x1b[31mred\x1b[0m and a tab\t";
    home.run(["respond", &asked.question(), text]).with(0);
    assert_eq!(asked.end().with(0).stdout, format!("{text}\n"));
}

#[test]
fn silence_is_no_answer() {
    let home = Home::new();
    let ended = home.run(["ask", "Deploy?", "--option", "approve", "--expires", "1s"]);
    let ended = ended.with(7);
    assert_eq!(ended.stdout, "");
    assert!(
        ended.stderr.contains("#1 expired without a response."),
        "{ended}"
    );
}

#[test]
fn silence_is_what_the_asker_said_it_is() {
    let home = Home::new();
    let ask = |default| {
        let options = ["--option", "approve", "--option", "deny", "--expires", "1s"];
        let mut command = home.barista(["ask", "Deploy?", "--default", default]);
        Running::start(command.args(options))
    };
    let (approved, denied) = (ask("approve"), ask("deny"));
    let approved = approved.end().with(0);
    assert_eq!(approved.stdout, "approve\n");
    assert!(
        approved.stderr.contains("the default that its asker set"),
        "{approved}"
    );
    assert_eq!(denied.end().with(3).stdout, "deny\n");
    assert_eq!(home.state("1"), "EXPIRED");
}

#[test]
fn a_wait_that_runs_out_leaves_the_question_open() {
    let home = Home::new();
    let ended = home.run(["ask", "Deploy?", "--option", "approve", "--wait", "100ms"]);
    let ended = ended.with(124);
    assert_eq!(ended.stdout, "1\n", "so that a script can wait again");
    assert!(
        ended.stderr.contains("Wait again with: barista wait 1"),
        "{ended}"
    );
    assert_eq!(home.run(["wait", "1", "--timeout", "0"]).with(8).stdout, "");
    home.run(["respond", "1", "approve"]).with(0);
    assert_eq!(home.run(["wait", "1"]).with(0).stdout, "approve\n");
}

#[test]
fn a_question_that_is_put_away_or_withdrawn_has_no_answer() {
    let home = Home::new();
    for (verb, state) in [("dismiss", "DISMISSED"), ("cancel", "CANCELLED")] {
        let asked = home.start(["ask", "Deploy?", "--option", "approve"]);
        let id = asked.question();
        home.run([verb, &id]).with(0);
        let ended = asked.end().with(7);
        assert_eq!(ended.stdout, "");
        assert!(
            ended.stderr.contains("without a response by ann"),
            "{ended}"
        );
        assert_eq!(home.state(&id), state);
    }
}

#[test]
fn a_question_can_be_asked_now_and_waited_for_later() {
    let home = Home::new();
    let ask = ["ask", "Deploy?", "--option", "approve", "--no-wait"];
    assert_eq!(home.run(ask).with(0).stdout, "1\n");
    assert_eq!(home.run(ask).with(0).stdout, "2\n");
    let waiting = home.start(["wait", "1", "2"]);
    home.until_counts("waiters", 2);
    home.run(["respond", "2", "approve"]).with(0);
    assert_eq!(waiting.stdout.line(0), "2\tapprove");
    home.run(["respond", "1", "approve"]).with(0);
    assert_eq!(waiting.end().with(0).stdout, "2\tapprove\n1\tapprove\n");
}

#[test]
fn a_repetition_with_the_same_request_id_asks_once() {
    let home = Home::new();
    let id = "018f3c1e-7b1a-7c3e-9a55-0123456789ab";
    let ask = |title| home.run(["ask", title, "--no-wait", "--request-id", id]);
    assert_eq!(ask("Deploy?").with(0).stdout, "1\n");
    assert_eq!(ask("Deploy?").with(0).stdout, "1\n");
    let reused = ask("Delete?").with(6);
    assert!(reused.stderr.contains("\nnext: barista show 1"), "{reused}");
}

#[test]
fn the_message_and_the_context_can_come_from_a_pipe() {
    let home = Home::new();
    home.sh(r#"printf 'All tests pass.\n' | barista ask Deploy? --message - --no-wait"#)
        .with(0);
    home.sh(r#"echo '{"commit":"abc"}' | barista ask Deploy? --context - --no-wait"#)
        .with(0);
    assert_eq!(home.notification("1")["message"], "All tests pass.");
    assert!(
        home.notification("2")["context"]
            .as_str()
            .is_some_and(|text| text.contains("abc"))
    );
    let both = home.run(["ask", "Deploy?", "--message", "-", "--context", "-"]);
    assert!(
        both.with(2)
            .stderr
            .contains("only one of --message and --context")
    );
}

#[test]
fn the_agent_is_known_from_its_environment() {
    let home = Home::new();
    let mut ask = home.barista(["ask", "Deploy?", "--no-wait", "--session", "typed"]);
    ask.env("BARISTA_AGENT", "bot")
        .env("CLAUDE_CODE_SESSION_ID", "abc");
    Running::start(&mut ask).end().with(0);
    let asked = home.notification("1");
    assert_eq!(
        (&asked["agent"], &asked["session"]),
        (&"bot".into(), &"typed".into())
    );
}

#[test]
fn whoever_waits_for_a_question_that_another_tool_deletes_is_told() {
    let home = Home::new();
    let asked = home.start(["ask", "Deploy?"]);
    let id = asked.question();
    let waiting = home.start(["wait", &id]);
    waiting.question();
    home.until_counts("waiters", 2);
    home.sh(&format!(
        "sqlite3 data/notifications.db 'DELETE FROM notifications WHERE id = {id}'"
    ))
    .with(0);
    for ended in [asked.end().with(5), waiting.end().with(5)] {
        let told = format!("cannot wait for #{id}: somebody deleted it from the database");
        assert!(ended.stderr.contains(&told), "{ended}");
        assert!(ended.stderr.contains("\nnext: barista ask"), "{ended}");
    }
}
