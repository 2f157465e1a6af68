//! The service, as far as it can be told without a systemd; `tests/strangers/test_service.py` has a real one.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Command;

use crate::home::Home;
use crate::program::{BARISTAD, Running};

/// Notes how it was called, and knows no unit.
const SYSTEMCTL: &str = r#"#!/bin/sh
echo "$*" >>"$HOME/calls"
case "$*" in
*show*) printf 'LoadState=not-found\nActiveState=inactive\nMainPID=0\n' ;;
*"$(cat "$HOME/refuse" 2>/dev/null || echo nothing)"*) echo 'Failed to do it' >&2; exit 1 ;;
esac
"#;

/// A home whose `systemctl` only takes notes.
fn home() -> Home {
    assert!(BARISTAD.is_file());
    let home = Home::new();
    let bin = home.path().join("bin");
    fs::create_dir(&bin).expect("a directory");
    let program = bin.join("systemctl");
    fs::write(&program, SYSTEMCTL).expect("written");
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).expect("permissions");
    home
}

/// `barista` in `home`, which finds the `systemctl` there first.
fn barista<const N: usize>(home: &Home, arguments: [&str; N]) -> Command {
    let mut command = home.barista(arguments);
    let own = home.path().join("bin");
    let inherited = std::env::var_os("PATH").unwrap_or_default();
    let path = std::env::join_paths([own].into_iter().chain(std::env::split_paths(&inherited)));
    command.env("PATH", path.expect("a search path"));
    command
}

fn units(home: &Home) -> [PathBuf; 2] {
    let folder = home.path().join(".config/systemd/user");
    ["barista.socket", "barista.service"].map(|name| folder.join(name))
}

/// The calls that change something.
fn calls(home: &Home) -> Vec<String> {
    let calls = fs::read_to_string(home.path().join("calls")).unwrap_or_default();
    let changes = calls.lines().filter(|call| !call.contains(" show "));
    changes.map(str::to_owned).collect()
}

#[test]
fn an_installation_writes_two_units_and_tells_systemd() {
    let home = home();
    let done = Running::start(&mut barista(&home, ["service", "install"])).end();
    let said = done.with(0).stderr;
    for unit in units(&home) {
        assert!(
            said.contains(&format!("Wrote {}.", unit.display())),
            "{said}"
        );
        let text = fs::read_to_string(&unit).expect("a unit");
        assert!(
            text.contains(
                &home
                    .data_dir()
                    .canonicalize()
                    .expect("made")
                    .display()
                    .to_string()
            )
        );
    }
    assert_eq!(
        calls(&home),
        [
            "--user daemon-reload",
            "--user enable barista.socket barista.service",
            "--user reset-failed barista.socket barista.service",
            "--user start barista.socket barista.service",
        ]
    );
    fs::remove_file(home.path().join("calls")).expect("removed");
    let done = Running::start(&mut barista(&home, ["service", "uninstall"])).end();
    done.with(0);
    assert!(units(&home).iter().all(|unit| !unit.exists()));
    assert_eq!(
        calls(&home)[0],
        "--user disable --now barista.socket barista.service"
    );
}

#[test]
fn a_dry_run_prints_the_units_and_changes_nothing() {
    let home = home();
    let done = Running::start(&mut barista(&home, ["service", "install", "--dry-run"])).end();
    let said = done.with(0).stdout;
    for line in [
        "WatchdogSec=2min",
        "SocketMode=0600",
        "systemctl --user enable barista.socket barista.service",
    ] {
        assert!(said.lines().any(|found| found == line), "{line}: {said}");
    }
    assert!(!home.data_dir().exists() && !home.path().join(".config").exists());
    assert_eq!(calls(&home), Vec::<String>::new());
}

#[test]
fn what_systemd_refuses_is_told_in_its_words() {
    let home = home();
    fs::write(home.path().join("refuse"), "start").expect("written");
    let done = Running::start(&mut barista(&home, ["service", "install"]))
        .end()
        .with(1);
    assert!(done.stderr.contains("said: Failed to do it"), "{done}");
    assert!(
        done.stderr.contains("\nnext: journalctl --user -u barista"),
        "{done}"
    );
}

#[test]
fn without_a_systemd_there_is_a_remedy_and_no_unit() {
    let home = Home::new();
    let mut command = home.barista(["service", "install"]);
    command.env("PATH", home.path());
    let done = Running::start(&mut command).end().with(69);
    assert!(
        done.stderr.contains("there is no systemctl on PATH"),
        "{done}"
    );
    assert!(
        done.stderr.contains("\nnext: barista daemon start; "),
        "{done}"
    );
    assert!(!home.data_dir().exists() && !home.path().join(".config").exists());
    // One of this user that does not answer is another matter; a machine without any says either.
    if Command::new("systemctl").arg("--version").output().is_ok() {
        let mut command = home.barista(["service", "status"]);
        command.env("XDG_RUNTIME_DIR", home.path());
        let done = Running::start(&mut command).end().with(69);
        assert!(done.stderr.contains("loginctl enable-linger"), "{done}");
    }
}

#[test]
fn only_a_socket_is_no_directory_to_serve() {
    let home = home();
    let words = ["--socket", "/s", "service", "install"];
    let done = Running::start(&mut barista(&home, words)).end().with(2);
    assert!(done.stderr.contains("\nnext: leave it out"), "{done}");
}
