//! The inbox where somebody reads it: on a terminal, and in a pipe that closes.

use std::process::{Command, Stdio};

use rustix::process::Signal;

use crate::heard::Heard;
use crate::home::Home;
use crate::program::Running;
use crate::terminal::{ESCAPE, Terminal};

const LONG: &str = "Shall the nightly import of every customer's orders run at noon today instead?";

fn home() -> Home {
    let home = Home::new();
    home.run(["notify", "Backup done", "--type", "completion"])
        .with(0);
    home.run([
        "ask",
        LONG,
        "-o",
        "yes",
        "-o",
        "no",
        "--agent",
        "importer",
        "--no-wait",
    ])
    .with(0);
    home
}

fn on_terminal(command: Command) -> String {
    let (code, text) = Terminal::start(command).end();
    assert_eq!(code, Some(0), "{text}");
    text
}

#[test]
fn a_long_title_is_cut_where_the_terminal_ends() {
    let home = home();
    let text = on_terminal(home.barista(["inbox", "--color", "never"]));
    let title = text
        .lines()
        .find(|line| line.contains("Shall"))
        .expect("a title");
    assert_eq!(title.chars().count(), 80, "{text}");
    assert!(title.ends_with('…'), "{text}");
    let piped = home.run(["inbox"]).with(0);
    assert!(piped.stdout.contains(LONG), "{piped}");
}

#[test]
fn colours_are_for_terminals_unless_somebody_says_otherwise() {
    let home = home();
    let plain = |mut command: Command| {
        command.env("NO_COLOR", "1");
        on_terminal(command)
    };
    assert!(on_terminal(home.barista(["inbox"])).contains("\x1b["));
    assert!(!plain(home.barista(["inbox"])).contains('\x1b'));
    assert!(!on_terminal(home.barista(["inbox", "--color", "never"])).contains('\x1b'));
    assert!(plain(home.barista(["inbox", "--color", "always"])).contains("\x1b["));
    assert!(!home.run(["inbox"]).stdout.contains('\x1b'));
    assert!(
        home.run(["inbox", "--color", "always"])
            .stdout
            .contains("\x1b[")
    );
}

#[test]
fn an_inbox_that_stays_shows_what_comes() {
    let home = home();
    let terminal = Terminal::start(home.barista(["inbox", "--watch"]));
    terminal.screen.until_says("Backup done");
    home.run([
        "notify",
        "Disk nearly full",
        "--type",
        "warning",
        "--priority",
        "high",
    ])
    .with(0);
    terminal.screen.until_says("Disk nearly full");
    terminal.signal(Signal::INT);
    assert_eq!(terminal.end().0, Some(130));
}

#[test]
fn an_inbox_that_stays_keeps_to_its_window() {
    let home = home();
    home.sh("for n in $(seq 30); do barista notify \"Notice $n\" || exit; done")
        .with(0);
    home.run(["notify", "Disk full", "--priority", "critical"])
        .with(0);
    let terminal = Terminal::start(home.barista(["inbox", "--watch", "--color", "never"]));
    // One heading for each priority, two lines for the question, and two for what stands below.
    terminal.screen.until_says("… and 14 more that do not fit");
    terminal.screen.until_says("Ctrl-C leaves");
    terminal.signal(Signal::INT);
    let (code, text) = terminal.end();
    assert_eq!(code, Some(130), "{text:?}");
    let (before, page) = text.split_once("\x1b[2J").expect("a page");
    assert!(before.contains("\x1b[?1049h"), "{before:?}");
    let (page, after) = page.split_once("Ctrl-C leaves").expect("a last line");
    assert_eq!(page.lines().count() + 1, 24, "{page}");
    assert!(page.starts_with("critical\n"), "{page}");
    assert!(page.contains("Disk full"), "{page}");
    assert!(after.ends_with("\x1b[?1049l"), "{after:?}");
}

#[test]
fn an_inbox_that_stays_does_not_start_a_daemon_that_was_stopped() {
    let home = home();
    let terminal = Terminal::start(home.barista(["inbox", "--watch"]));
    terminal.screen.until_says("Backup done");
    home.until_counts("watchers", 1);
    home.run(["daemon", "stop"]).with(0);
    terminal.screen.until_says("The daemon was stopped.");
    home.run(["daemon", "status"]).with(69);
    home.run(["notify", "Back again"]).with(0);
    terminal.screen.until_says("Back again");
    terminal.signal(Signal::INT);
    assert_eq!(terminal.end().0, Some(130));
}

#[test]
fn a_reader_that_has_seen_enough_ends_it_quietly() {
    let home = home();
    for arguments in [
        ["inbox", "--all"],
        ["inbox", "--json"],
        ["show", "2"],
        ["watch", "--since=all"],
        ["ask", "--help"],
    ] {
        let (reader, writer) = std::io::pipe().expect("a pipe");
        drop(reader);
        let mut command = home.barista(arguments);
        let mut child = command
            .stdout(writer)
            .stderr(Stdio::piped())
            .spawn()
            .expect("it starts");
        let stderr = Heard::listen(child.stderr.take().expect("a pipe")).end();
        assert_eq!(
            child.wait().expect("its end").code(),
            Some(0),
            "{arguments:?}: {stderr}"
        );
        assert!(
            !stderr.contains("barista:") && !stderr.contains("panicked"),
            "{stderr}"
        );
    }
}

#[test]
fn nothing_an_agent_writes_controls_the_terminal() {
    let home = Home::new();
    let evil = "\x1b]0;owned\x07\x1b[2Jhello\u{202e}";
    let mut ask = home.barista(["ask", evil, "--message", evil, "--agent", evil, "--no-wait"]);
    Running::start(ask.args(["--option", evil, "--tag", evil]))
        .end()
        .with(0);
    for arguments in [["inbox", "--all"], ["show", "1"]] {
        let text = on_terminal(home.barista(arguments));
        assert!(text.contains("hello"), "{text:?}");
        assert!(
            !text.contains("\x1b]") && !text.contains("\x1b[2J"),
            "{text:?}"
        );
        assert!(
            !text.contains('\x07') && !text.contains('\u{202e}'),
            "{text:?}"
        );
    }
    let watch = Terminal::start(home.barista(["watch", "--since", "all"]));
    let line = watch.screen.line(0);
    assert!(
        line.contains("hello") && !line.contains("\x1b]"),
        "{line:?}"
    );
    let respond = Terminal::start(home.barista(["respond"]));
    respond.screen.until_says("hello");
    respond.press(ESCAPE);
    let (_, text) = respond.end();
    assert!(
        !text.contains("\x1b]") && !text.contains('\x07'),
        "{text:?}"
    );
}
