//! `barista respond` on a terminal.

use crate::home::Home;
use crate::terminal::{CTRL_C, DOWN, ESCAPE, Terminal};

/// A home with two open questions, the second more urgent.
fn asked() -> Home {
    let home = Home::new();
    let ask = ["ask", "Merge?", "-o", "yes", "-o", "no", "--no-wait"];
    home.run(ask).with(0);
    home.sh(
        "barista ask Deploy? --priority high --agent bot --message 'All tests pass.' \
         -o approve:'Ship it' -o deny --no-wait",
    )
    .with(0);
    home
}

fn respond(home: &Home) -> Terminal {
    Terminal::start(home.barista(["respond"]))
}

#[test]
fn a_person_chooses_what_to_answer_and_how() {
    let home = asked();
    let terminal = respond(&home);
    terminal.screen.until_says("Respond to");
    terminal.screen.until_says("#2 Deploy? (high, bot, ");
    terminal.enter(DOWN);
    terminal.screen.until_says("Merge?");
    terminal.screen.until_says("yes");
    terminal.enter(DOWN);
    let (code, text) = terminal.end();
    assert_eq!(code, Some(0), "{text}");
    assert!(text.ends_with("#1 → no (ann)\n"), "{text:?}");
    assert_eq!(home.notification("1")["response"]["text"], "no");
    assert_eq!(home.state("2"), "PENDING");
}

#[test]
fn typing_narrows_the_list() {
    let home = asked();
    let terminal = respond(&home);
    terminal.screen.until_says("#1 Merge?");
    terminal.enter("Deploy");
    terminal.screen.until_says("All tests pass.");
    terminal.screen.until_says("approve: Ship it");
    terminal.enter("");
    let (code, text) = terminal.end();
    assert_eq!(code, Some(0), "{text}");
    assert_eq!(home.notification("2")["response"]["text"], "approve");
}

#[test]
fn escape_and_interruption_leave_the_question_open() {
    let home = asked();
    for key in [ESCAPE, CTRL_C] {
        let terminal = respond(&home);
        terminal.screen.until_says("#2 Deploy?");
        terminal.press(key);
        let (code, text) = terminal.end();
        assert_eq!(code, Some(130), "{text}");
        let terminal = respond(&home);
        terminal.screen.until_says("#2 Deploy?");
        terminal.enter("");
        terminal.screen.until_says("approve: Ship it");
        terminal.press(key);
        let (code, text) = terminal.end();
        assert_eq!(code, Some(130), "{text}");
    }
    assert_eq!(
        (home.state("1"), home.state("2")),
        ("PENDING".into(), "PENDING".into())
    );
}

#[test]
fn a_named_question_is_asked_at_once() {
    let home = Home::new();
    home.run(["ask", "Which name?", "--no-wait"]).with(0);
    let terminal = Terminal::start(home.barista(["respond", "1"]));
    terminal.screen.until_says("Which name?");
    terminal.enter("latte");
    assert_eq!(terminal.end().0, Some(0));
    assert_eq!(home.run(["wait", "1"]).with(0).stdout, "latte\n");
}

#[test]
fn several_options_are_ticked() {
    let home = Home::new();
    let ask = [
        "ask",
        "Which?",
        "-o",
        "red",
        "-o",
        "green",
        "-o",
        "blue",
        "--multiple",
        "--no-wait",
    ];
    home.run(ask).with(0);
    let terminal = Terminal::start(home.barista(["respond", "1"]));
    terminal.screen.until_says("blue");
    terminal.enter(&format!(" {DOWN}{DOWN} "));
    assert_eq!(terminal.end().0, Some(0));
    let chosen = home.notification("1")["response"]["options"].clone();
    assert_eq!(chosen, serde_json::json!(["red", "blue"]));
}

#[test]
fn without_a_terminal_nobody_is_asked() {
    let home = asked();
    let ended = home.run(["respond"]).with(2);
    assert!(
        ended
            .stderr
            .ends_with("\nnext: barista respond ID RESPONSE\n"),
        "{ended}"
    );
    let ended = home.run(["respond", "2"]).with(2);
    assert!(
        ended
            .stderr
            .ends_with("\nnext: barista respond 2 RESPONSE\n"),
        "{ended}"
    );
    assert_eq!(home.state("2"), "PENDING");
}

#[test]
fn who_ticks_nothing_is_told_that_nothing_was_chosen() {
    let home = Home::new();
    let ask = ["ask", "Which?", "-o", "red", "--multiple", "--no-wait"];
    home.run(ask).with(0);
    let terminal = Terminal::start(home.barista(["respond", "1"]));
    terminal.screen.until_says("red");
    terminal.enter("");
    let (code, text) = terminal.end();
    assert_eq!(code, Some(130), "{text}");
    assert!(text.contains("Nothing was chosen"), "{text}");
    assert_eq!(home.state("1"), "PENDING");
}

#[test]
fn what_is_no_question_is_marked() {
    let home = asked();
    home.run(["notify", "Backup done"]).with(0);
    let terminal = respond(&home);
    terminal
        .screen
        .until_says("#3 Backup done (no question, normal, ");
    terminal.screen.until_says("#1 Merge? (normal, ");
    terminal.press(ESCAPE);
    assert_eq!(terminal.end().0, Some(130));
}

#[test]
fn nobody_is_asked_what_was_answered_already() {
    let home = asked();
    home.run(["respond", "1", "yes", "--as", "bob"]).with(0);
    home.run(["dismiss", "2"]).with(0);
    for (id, why) in [
        ("1", "it was already answered \"yes\" by bob"),
        ("2", "it is already dismissed by ann"),
    ] {
        let (code, text) = Terminal::start(home.barista(["respond", id])).end();
        let told = format!("cannot respond to #{id}: {why}\nnext: barista show {id}\n");
        assert_eq!((code, text), (Some(6), format!("barista: {told}")));
    }
}

#[test]
fn wide_characters_do_not_break_lines() {
    let home = Home::new();
    let (title, agent) = ("承認しますか".repeat(20), "担当".repeat(20));
    let option = format!("はい:{}", "実行する".repeat(20));
    let ask = [
        "ask",
        &title,
        "--agent",
        &agent,
        "-o",
        &option,
        "-o",
        "no",
        "--no-wait",
    ];
    home.run(ask).with(0);
    let terminal = respond(&home);
    terminal.screen.until_says("(normal, 担当");
    terminal.enter("");
    terminal.screen.until_says("はい: 実行");
    terminal.press(ESCAPE);
    let (_, text) = terminal.end();
    // What a cursor moves to is another line, or drawn over.
    let moves = regex::Regex::new(r"\x1b\[[0-9;?]*[A-Za-ln-z]").expect("a pattern");
    let plain = anstream::adapter::strip_str(&moves.replace_all(&text, "\n")).to_string();
    // A prompt breaks lines that are too long itself.
    let whole = |start: &str, end: &str| {
        let mut lines = plain.lines().map(str::trim_end);
        lines.any(|line| line.contains(start) && line.ends_with(end))
    };
    assert!(whole("> #1 承認", ")"), "{plain}");
    assert!(whole("> はい: 実行", "…"), "{plain}");
}
