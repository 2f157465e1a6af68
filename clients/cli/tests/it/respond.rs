//! Answering: who wins, and what the others are told.

use crate::home::Home;
use crate::program::Running;

/// A home in which question 1 is open.
fn asked() -> Home {
    let home = Home::new();
    let ask = [
        "ask",
        "Deploy?",
        "--option",
        "approve",
        "--option",
        "deny",
        "--no-wait",
    ];
    home.run(ask).with(0);
    home
}

#[test]
fn of_two_people_who_answer_at_once_one_wins_and_the_other_is_told_who() {
    let home = asked();
    let respond = |name, response| home.start(["respond", "1", response, "--as", name]);
    let (ann, bob) = (respond("ann", "approve"), respond("bob", "deny"));
    let (ann, bob) = (ann.end(), bob.end());
    let (winner, response, loser) = match (ann.code(), bob.code()) {
        (0, 6) => ("ann", "approve", bob),
        (6, 0) => ("bob", "deny", ann),
        _ => panic!("{ann}\n{bob}"),
    };
    let told = format!("was already answered \"{response}\" by {winner}\nnext: barista show 1");
    assert!(loser.stderr.contains(&told), "{loser}");
    assert_eq!(home.notification("1")["response"]["responder"], winner);
}

#[test]
fn the_same_answer_by_the_same_person_is_no_conflict() {
    let home = asked();
    home.run(["respond", "1", "approve"]).with(0);
    home.run(["respond", "1", "approve"]).with(0);
    home.run(["respond", "1", "approve", "--as", "bob"]).with(6);
    let events = home.run(["show", "1", "--json"]).json();
    assert_eq!(events["events"].as_array().map(Vec::len), Some(2));
}

#[test]
fn of_twenty_answers_at_once_one_is_taken() {
    let home = asked();
    let names: Vec<String> = (0..20).map(|number| format!("p{number}")).collect();
    let respond = |name: &String| home.start(["respond", "1", "approve", "--as", name]);
    let all: Vec<Running> = names.iter().map(respond).collect();
    let mut codes: Vec<i32> = all.into_iter().map(|one| one.end().code()).collect();
    codes.sort_unstable();
    let expected = [vec![0], vec![6; 19]].concat();
    assert_eq!(codes, expected);
}

#[test]
fn an_answer_can_be_text_from_a_pipe_or_several_options() {
    let home = Home::new();
    home.run(["ask", "Which name?", "--no-wait"]).with(0);
    home.sh("printf 'a\\nb\\n' | barista respond 1 -").with(0);
    assert_eq!(home.run(["wait", "1"]).with(0).stdout, "a\nb\n");
    let options = [
        "ask",
        "Which?",
        "-o",
        "red",
        "-o",
        "blue",
        "--multiple",
        "--no-wait",
    ];
    home.run(options).with(0);
    home.run(["respond", "2", "-o", "red", "-o", "blue"])
        .with(0);
    let chosen = home.notification("2")["response"]["options"].clone();
    assert_eq!(chosen, serde_json::json!(["red", "blue"]));
}

#[test]
fn who_answers_is_known_without_a_variable_for_it() {
    let home = asked();
    let mut respond = home.barista(["respond", "1", "approve"]);
    respond.env_remove("USER").env_remove("LOGNAME");
    Running::start(&mut respond).end().with(0);
    let own = home.sh("id -un").with(0);
    assert_eq!(home.notification("1")["response"]["responder"], own.value());
}
