//! What a shell offers at a Tab.

use std::process::Command;
use std::time::Instant;

use crate::heard::HANG;
use crate::home::Home;
use crate::program::Running;

/// What bash offers for the last of `words`. Asked again while it is nothing: a Tab waits half a second for the daemon, which may be too
/// short on a busy machine.
fn offers(home: &Home, words: &str) -> Vec<String> {
    let script = format!(
        r#"source <(barista completions bash)
        COMP_WORDS=({words}); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1))
        _clap_complete_barista barista "${{COMP_WORDS[COMP_CWORD]}}"
        printf '%s\n' "${{COMPREPLY[@]}}""#
    );
    let began = Instant::now();
    loop {
        let mut bash = home.command("bash");
        let ended = Running::start(bash.args(["-c", &script])).end();
        let offers: Vec<String> = ended
            .stdout
            .lines()
            .filter(|line| !line.is_empty())
            .map(str::to_owned)
            .collect();
        if !offers.is_empty() {
            return offers;
        }
        assert!(began.elapsed() < HANG, "{ended}");
    }
}

#[test]
fn bash_offers_commands_open_ids_and_their_options() {
    let home = Home::new();
    home.run(["ask", "Merge?", "-o", "yes", "-o", "no", "--no-wait"])
        .with(0);
    home.run([
        "ask",
        "Deploy?",
        "-o",
        "approve",
        "--priority",
        "high",
        "--no-wait",
    ])
    .with(0);
    home.run(["ask", "Old?", "--no-wait"]).with(0);
    home.run(["cancel", "3"]).with(0);
    assert!(offers(&home, "barista ''").contains(&"respond".to_owned()));
    assert_eq!(offers(&home, "barista re"), ["respond", "read"]);
    assert_eq!(
        offers(&home, "barista respond ''").get(..2),
        Some(&["2".to_owned(), "1".to_owned()][..])
    );
    assert_eq!(
        offers(&home, "barista respond 1 ''").get(..2),
        Some(&["yes".to_owned(), "no".to_owned()][..])
    );
}

#[test]
fn the_ids_are_those_of_the_daemon_that_the_line_names() {
    let (here, elsewhere) = (Home::new(), Home::new());
    here.run(["ask", "Merge?", "-o", "yes", "--no-wait"])
        .with(0);
    let data_dir = here.data_dir();
    let data_dir = data_dir.to_str().expect("a path");
    let socket = here.socket();
    let socket = socket.to_str().expect("a path");
    for line in [
        format!("barista --data-dir {data_dir} respond 1 ''"),
        format!("barista --data-dir = {data_dir} respond 1 ''"),
        format!("barista respond 1 --socket {socket} ''"),
    ] {
        assert_eq!(
            offers(&elsewhere, &line).first().map(String::as_str),
            Some("yes"),
            "{line}"
        );
    }
}

#[test]
fn bash_offers_the_names_of_consumers() {
    let home = Home::new();
    for name in ["bell", "slack-bridge"] {
        home.consumer(name);
    }
    for typed in ["barista consumer reset ''", "barista watch --consumer ''"] {
        let offered = offers(&home, typed);
        assert_eq!(
            offered.get(..2),
            Some(&["bell".to_owned(), "slack-bridge".to_owned()][..])
        );
    }
}

#[test]
fn each_shell_accepts_its_script() {
    let home = Home::new();
    for shell in ["bash", "zsh", "fish"] {
        let script = home.run(["completions", shell]).with(0).stdout;
        assert!(script.contains("BARISTA_COMPLETE"), "{shell}: {script}");
        let here = Command::new(shell).arg("--version").output().is_ok();
        if here {
            home.sh(&format!(
                "barista completions {shell} > script && {shell} -n script"
            ))
            .with(0);
        }
    }
    home.run(["completions", "tcsh"]).with(2);
}
