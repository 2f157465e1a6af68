//! What `doctor` finds in installations that are broken in different ways, and what `--fix` puts right.

use std::fs::{self, Permissions};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rustix::fs::{FlockOperation, fcntl_lock};
use serde_json::Value;

use crate::home::Home;
use crate::program::{Ended, Running};

/// A home whose daemon has stored something and has stopped.
fn used_home() -> Home {
    let home = Home::new();
    home.run(["notify", "Hello"]).with(0);
    home.run(["daemon", "stop"]).with(0);
    home
}

fn database(home: &Home) -> PathBuf {
    home.data_dir().join("notifications.db")
}

fn configure(home: &Home, text: &str) -> PathBuf {
    let file = home.data_dir().join(barista_locate::CONFIG_FILE);
    fs::write(&file, text).expect("written");
    file
}

fn mode(path: &Path) -> u32 {
    let found = fs::symlink_metadata(path).expect("it is there");
    found.permissions().mode() & 0o777
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).expect("permissions");
}

/// The findings of `ended` about `check` with the level `level`.
fn findings(ended: &Ended, level: &str, check: &str) -> Vec<Value> {
    let report = ended.json();
    let all = report["findings"].as_array().expect("a list");
    let wanted = |finding: &&Value| finding["level"] == level && finding["check"] == check;
    all.iter().filter(wanted).cloned().collect()
}

/// Expects one such finding with `text` in it and a remedy.
fn expect(ended: &Ended, level: &str, check: &str, text: &str) -> Value {
    let found = findings(ended, level, check);
    let finding = found
        .first()
        .unwrap_or_else(|| panic!("no {check}: {ended}"));
    let said = finding["text"].as_str().expect("a text");
    assert!(said.contains(text), "{ended}");
    assert!(finding["remedy"].is_string(), "{ended}");
    finding.clone()
}

/// Expects that `--fix` says `done` and leaves no problem behind.
fn expect_fixed(home: &Home, done: &str) {
    let fixed = home.run(["doctor", "--fix", "--json"]).with(0);
    let said = fixed.json()["fixed"].to_string();
    assert!(said.contains(done), "{fixed}");
    let again = home.run(["doctor", "--fix", "--json"]).with(0);
    assert_eq!(again.json()["fixed"], Value::Array(Vec::new()), "{again}");
}

/// Runs `sql` as direct tooling would; `false` where there is no sqlite3 shell.
fn shell(home: &Home, sql: &str) -> bool {
    let script = format!("sqlite3 data/notifications.db \"{sql}\"");
    if home.sh("command -v sqlite3").code() != 0 {
        eprintln!("left out: there is no sqlite3 here");
        return false;
    }
    home.sh(&script).with(0);
    true
}

#[test]
fn a_healthy_installation_has_no_problems_with_and_without_a_daemon() {
    let home = used_home();
    configure(&home, "[log]\nkeep = 2\n");
    let stopped = home.run(["doctor", "--json"]).with(0);
    let text = |ended: &Ended, check| findings(ended, "ok", check)[0]["text"].to_string();
    assert!(text(&stopped, "configuration").contains("is valid"));
    assert!(text(&stopped, "database").contains("is sound"));
    home.run(["daemon", "start"]).with(0);
    let running = home.run(["doctor", "--json", "--full"]).with(0);
    assert!(text(&running, "configuration").contains("is valid"));
    assert!(text(&running, "integrity").contains("notifications.db: sound"));
    assert!(text(&running, "daemon").contains("SQLite 3."));
    if cfg!(target_os = "linux") {
        let process = format!("process {}", home.daemon().as_raw_nonzero());
        assert!(text(&running, "lock").contains(&process), "{running}");
    }
    let page = home.run(["doctor"]).with(0);
    assert!(page.stdout.contains("\nok       configuration: "), "{page}");
}

#[test]
fn an_installation_that_is_not_there_yet_is_healthy_and_stays_so() {
    let home = Home::new();
    let looked = home.run(["doctor", "--json"]).with(0);
    assert_eq!(
        findings(&looked, "note", "configuration").len(),
        1,
        "{looked}"
    );
    assert!(!home.data_dir().exists());
}

#[test]
fn a_mistake_in_the_configuration_is_a_problem_whether_the_daemon_runs_or_not() {
    let home = used_home();
    let file = configure(&home, "[log]\nkep = 3\n");
    let place = format!(
        "{}:2:1: log.kep is no setting; did you mean keep?",
        file.display()
    );
    let looked = home.run(["doctor", "--json"]).with(1);
    expect(&looked, "problem", "configuration", &place);
    // It does not hide what else there is to see.
    assert_eq!(findings(&looked, "ok", "database").len(), 1, "{looked}");
    fs::remove_file(&file).expect("removed");
    home.run(["daemon", "start"]).with(0);
    configure(&home, "[log]\nkep = 3\n");
    let looked = home.run(["doctor", "--json"]).with(1);
    expect(&looked, "problem", "configuration", &place);
}

#[test]
fn a_mistyped_variable_is_a_problem() {
    let home = Home::new();
    let ended = home
        .sh("BARISTA_LOG_LEVL=debug barista doctor --json")
        .with(1);
    expect(
        &ended,
        "problem",
        "configuration",
        "did you mean BARISTA_LOG_LEVEL?",
    );
}

#[test]
fn a_damaged_page_is_found_whether_the_daemon_runs_or_not() {
    let home = used_home();
    if !shell(&home, "SELECT 1") {
        return;
    }
    let root = "SELECT rootpage FROM sqlite_master WHERE name = 'change_contents'";
    let page = home
        .sh(&format!("sqlite3 data/notifications.db \"{root}\""))
        .with(0);
    let page: u64 = page.value().parse().expect("a page");
    let file = fs::OpenOptions::new()
        .write(true)
        .open(database(&home))
        .expect("opened");
    file.write_all_at(&[0xff; 64], (page - 1) * 4096)
        .expect("damaged");
    let looked = home.run(["doctor", "--json"]).with(1);
    let finding = expect(&looked, "problem", "integrity", "notifications.db");
    assert_eq!(finding["fixable"], false);
    home.run(["daemon", "start"]).with(0);
    let looked = home.run(["doctor", "--json"]).with(1);
    expect(&looked, "problem", "integrity", "notifications.db");
}

#[test]
fn permissions_that_are_too_open_or_too_closed_are_found_and_put_right() {
    let home = used_home();
    let (data, run, file) = (
        home.data_dir(),
        home.data_dir().join("run"),
        database(&home),
    );
    set_mode(&data, 0o777);
    set_mode(&run, 0o755);
    set_mode(&file, 0o446);
    let looked = home.run(["doctor", "--json"]).with(1);
    let finding = expect(
        &looked,
        "problem",
        "data directory",
        "others may write into",
    );
    assert_eq!(finding["fixable"], true);
    expect(&looked, "warning", "socket", "mode 755");
    expect(&looked, "problem", "database", "may not read and write");
    assert_eq!(mode(&data), 0o777, "without --fix nothing is changed");
    expect_fixed(&home, &format!("chmod 700 {}", data.display()));
    assert_eq!(
        (mode(&data), mode(&run), mode(&file)),
        (0o700, 0o700, 0o600)
    );
}

#[test]
fn a_log_that_others_may_read_or_its_owner_may_not_write_is_found_and_put_right() {
    let home = used_home();
    let log = home.data_dir().join(barista_locate::LOG_FILE);
    let directory = log.parent().expect("a directory");
    set_mode(directory, 0o755);
    set_mode(&log, 0o444);
    let looked = home.run(["doctor", "--json"]).with(1);
    expect(&looked, "warning", "log", "mode 755");
    expect(&looked, "problem", "log", "baristad.log (mode 444)");
    expect_fixed(&home, "chmod 600");
    assert_eq!((mode(directory), mode(&log)), (0o700, 0o600));
}

/// Runs `doctor` as a user without privileges whom the data directory belongs to, so that permissions count.
fn doctor_of_its_owner(home: &Home) -> Option<Ended> {
    let program = crate::program::BARISTA;
    if rustix::process::geteuid().as_raw() != 0 {
        return Some(home.run(["doctor", "--json"]));
    }
    let nobody = "setpriv --reuid=65534 --regid=65534 --clear-groups";
    let own = "chmod a+rx . && chown -R 65534:65534 data";
    if home
        .sh(&format!("{own} && {nobody} {program} version"))
        .code()
        != 0
    {
        eprintln!("left out: nobody may not run the program here");
        return None;
    }
    Some(home.sh(&format!("{nobody} {program} doctor --json")))
}

#[test]
fn what_would_keep_the_daemon_from_starting_is_a_problem() {
    let home = used_home();
    let socket = home.path().join("nowhere/s.sock");
    let log = home.path().join("nowhere/x.log");
    configure(
        &home,
        &format!(
            "[server]\nsocket = '{}'\n[log]\nfile = '{}'\n",
            socket.display(),
            log.display()
        ),
    );
    let looked = home.run(["doctor", "--json"]).with(1);
    expect(
        &looked,
        "problem",
        "socket",
        "nowhere/s.sock does not exist",
    );
    expect(&looked, "problem", "log", "cannot log to");
    configure(&home, "");
    home.run(["doctor"]).with(0);
    set_mode(&home.data_dir(), 0o500);
    let Some(looked) = doctor_of_its_owner(&home) else {
        return;
    };
    let finding = expect(
        &looked.with(1),
        "problem",
        "data directory",
        "may not read and write",
    );
    assert_eq!(finding["fixable"], true);
}

#[test]
fn data_of_somebody_else_are_said_to_be_theirs() {
    let home = used_home();
    if rustix::process::geteuid().as_raw() != 0 {
        return; // Only root can give files away.
    }
    home.sh("chown -R 65534 data").with(0);
    let looked = home.run(["doctor", "--json"]).with(1);
    let finding = expect(&looked, "problem", "data directory", "(user id 65534)");
    assert!(!looked.stdout.contains("chown"), "{looked}");
    assert!(
        finding["remedy"]
            .as_str()
            .is_some_and(|said| said.contains("do it as"))
    );
}

#[test]
fn a_table_of_another_program_is_told_at_the_start_and_by_the_doctor() {
    let home = used_home();
    fs::remove_file(database(&home)).expect("removed");
    if !shell(
        &home,
        "CREATE TABLE notifications (id INTEGER PRIMARY KEY, text)",
    ) {
        return;
    }
    let foreign = "that is not Barista's: columns type, priority";
    let looked = home.run(["doctor", "--json"]).with(1);
    expect(&looked, "problem", "database", foreign);
    let refused = home.run(["inbox"]).with(69);
    assert!(refused.stderr.contains(foreign), "{refused}");
    assert!(refused.stderr.len() < 1_000, "{refused}");
    // The daemon was right to complain, so its log must not count against it.
    fs::remove_file(home.data_dir().join(barista_locate::LOG_FILE)).expect("removed");
}

#[test]
fn a_dropped_table_is_told_with_its_rows_and_in_few_words() {
    let home = used_home();
    if !shell(&home, "DROP TABLE notifications") {
        return;
    }
    let looked = home.run(["doctor", "--json"]).with(1);
    let gone = "the table notifications is missing, and all its rows are gone";
    let finding = expect(&looked, "problem", "integrity", gone);
    assert_eq!(finding["fixable"], false);
    assert_eq!(findings(&looked, "problem", "schema").len(), 1, "{looked}");
}

/// Pastes the commands that `doctor` gives for a damaged file into a shell.
#[test]
fn what_the_doctor_advises_for_a_damaged_file_salvages_it() {
    let home = used_home();
    if !shell(&home, "SELECT 1") {
        return;
    }
    let file = fs::OpenOptions::new()
        .write(true)
        .open(database(&home))
        .expect("opened");
    let root = "SELECT rootpage FROM sqlite_master WHERE name = 'idx_notifications_status'";
    let page = home
        .sh(&format!("sqlite3 data/notifications.db \"{root}\""))
        .with(0);
    let page: u64 = page.value().parse().expect("a page");
    file.write_all_at(&[0xff; 64], (page - 1) * 4096)
        .expect("damaged");
    let looked = home.run(["doctor", "--json"]).with(1);
    let finding = expect(&looked, "problem", "integrity", "notifications.db");
    let remedy = finding["remedy"].as_str().expect("a remedy");
    let commands = remedy.lines().filter_map(|line| line.strip_prefix("  "));
    let script: Vec<&str> = commands.collect();
    let pasted = home.sh(&script.join("\n")).with(0);
    assert!(pasted.stdout.contains("ok\n1\n"), "{pasted}");
    let inbox = home.run(["inbox"]).with(0);
    assert!(inbox.stdout.contains("Hello"), "{inbox}");
}

#[test]
fn who_keeps_the_database_locked_is_named_and_reads_go_on() {
    let home = used_home();
    if !shell(&home, "SELECT 1") || !cfg!(target_os = "linux") {
        return;
    }
    let mut holder = Command::new("sqlite3")
        .arg(database(&home))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the shell");
    let mut input = holder.stdin.take().expect("a pipe");
    input
        .write_all(b"BEGIN IMMEDIATE;\nSELECT 'locked';\n")
        .expect("written");
    let mut output = BufReader::new(holder.stdout.take().expect("a pipe"));
    output.read_line(&mut String::new()).expect("its word");
    let who = format!("sqlite3 (process {})", holder.id());
    assert!(home.run(["inbox"]).with(0).stdout.contains("Hello"));
    let looked = home.run(["doctor", "--json"]).with(0);
    expect(
        &looked,
        "warning",
        "lock",
        &format!("{who} holds a write lock"),
    );
    let writer = Running::start(
        home.command(crate::program::BARISTA)
            .args(["notify", "After"]),
    );
    let told = format!("Waiting for the database, which {who} keeps locked.");
    writer
        .stderr
        .until("a word", |text| text.contains(&told).then_some(()));
    drop(input);
    holder.wait().expect("its end");
    writer.end().with(0);
}

/// As SQLite does with `PRAGMA locking_mode = EXCLUSIVE`, for which it needs no shared memory.
#[test]
fn who_has_the_database_to_itself_is_named_and_nothing_is_restored_over_it() {
    let home = used_home();
    if !cfg!(target_os = "linux") {
        return;
    }
    let backup = home.run(["db", "backup", "--json"]).with(0).json();
    let backup = backup["path"].as_str().expect("a path").to_owned();
    home.run(["daemon", "stop"]).with(0);
    let file = fs::OpenOptions::new()
        .read(true)
        .write(true)
        .open(database(&home))
        .expect("a database");
    fcntl_lock(&file, FlockOperation::LockExclusive).expect("a lock");
    let process = format!("(process {})", std::process::id());
    let looked = home.run(["doctor", "--json"]).with(0);
    let named = format!("{process} has notifications.db to itself");
    expect(&looked, "warning", "lock", &named);
    let refused = home.run(["db", "restore", "--yes", &backup]).with(1);
    assert!(refused.stderr.contains("is in use by"), "{refused}");
    drop(file);
    home.run(["db", "restore", "--yes", &backup]).with(0);
}

#[test]
fn a_write_ahead_log_that_may_not_be_written_is_found_and_put_right() {
    let home = Home::new();
    home.run(["notify", "Hello"]).with(0);
    let log = home.data_dir().join("notifications.db-wal");
    set_mode(&log, 0o400);
    let looked = home.run(["doctor", "--json"]).with(1);
    expect(
        &looked,
        "problem",
        "database",
        "notifications.db-wal (mode 400)",
    );
    expect_fixed(&home, "notifications.db-wal");
    assert_eq!(mode(&log), 0o600);
}

#[test]
fn what_a_killed_daemon_left_is_found_and_put_away() {
    let home = Home::new();
    home.run(["notify", "Hello"]).with(0);
    home.kill_daemon();
    let published = home.data_dir().join("run/socket.path");
    assert!(home.socket().exists() && published.exists());
    let looked = home.run(["doctor", "--json"]).with(0);
    expect(
        &looked,
        "warning",
        "socket",
        "socket.path names the socket of a daemon",
    );
    assert_eq!(findings(&looked, "warning", "socket").len(), 2, "{looked}");
    assert_eq!(
        findings(&looked, "ok", "database").len(),
        1,
        "the log is read too: {looked}"
    );
    expect_fixed(&home, "remove the stale socket");
    assert!(!home.socket().exists() && !published.exists());
    assert_eq!(home.run(["notify", "After"]).with(0).stdout, "2\n");
}

#[test]
fn a_dropped_trigger_is_found_and_a_daemon_started_to_restore_it() {
    let home = used_home();
    if !shell(&home, "DROP TRIGGER barista_notifications_inserted") {
        return;
    }
    let looked = home.run(["doctor", "--json"]).with(1);
    let name = "trigger barista_notifications_inserted is missing";
    let finding = expect(&looked, "problem", "schema", name);
    assert_eq!(finding["fixable"], true);
    home.run(["daemon", "status"]).with(69);
    expect_fixed(&home, "started the daemon");
    home.daemon();
}

#[test]
fn a_row_without_its_parent_and_a_change_from_the_future_are_found() {
    let home = used_home();
    let sql = "CREATE TABLE mine (id REFERENCES notifications(id)); INSERT INTO mine VALUES (99);
               UPDATE changes SET at = '2999-01-01T00:00:00'";
    if !shell(&home, sql) {
        return;
    }
    for _ in 0..2 {
        let looked = home.run(["doctor", "--json"]).with(1);
        expect(
            &looked,
            "problem",
            "foreign keys",
            "row 1 of mine refers to a row of notifications",
        );
        expect(&looked, "problem", "clock", "2999-01-01");
        home.run(["daemon", "start"]).with(0);
    }
}

#[test]
fn a_disk_that_is_too_full_for_the_daemon_is_a_problem() {
    let home = used_home();
    configure(
        &home,
        "[storage]\nmin_free_disk_bytes = '1 TiB'\nfile_check_interval = '100ms'\n",
    );
    home.run(["daemon", "start"]).with(0);
    let databases = home.status()["status"]["databases"].clone();
    let available: u64 = databases[0]["diskAvailableBytes"]
        .as_str()
        .and_then(|text| text.parse().ok())
        .expect("a number");
    if available >= 1 << 40 {
        return; // A disk so large cannot be made to seem full.
    }
    home.run(["notify", "No room"]).with(75);
    let looked = home.run(["doctor", "--json"]).with(1);
    expect(
        &looked,
        "problem",
        "database",
        "takes no writes: the disk is nearly full",
    );
    // The daemon was right to complain, so its log must not count against it.
    home.run(["daemon", "stop"]).with(0);
    fs::remove_file(home.data_dir().join(barista_locate::LOG_FILE)).expect("removed");
}

#[test]
fn a_restart_with_a_mistake_in_the_configuration_leaves_the_daemon_running() {
    let home = Home::new();
    home.run(["daemon", "start"]).with(0);
    let before = home.daemon();
    let file = configure(&home, "[log]\nlevel = 'loud'\n");
    let refused = home.run(["daemon", "restart"]).with(2);
    let said = format!(
        "so nothing was stopped: {}:2:9: log.level is 'loud'",
        file.display()
    );
    assert!(refused.stderr.contains(&said), "{refused}");
    assert!(
        refused.stderr.contains("\nnext: correct line 2 of "),
        "{refused}"
    );
    assert_eq!(home.daemon(), before);
    fs::remove_file(&file).expect("removed");
    home.run(["daemon", "restart"]).with(0);
    assert_ne!(home.daemon(), before);
}

#[test]
fn a_data_directory_that_is_made_is_told_and_one_in_nowhere_is_refused() {
    let home = Home::new();
    let made = home.run(["daemon", "start"]).with(0);
    let said = format!("Made the data directory {}.\n", home.data_dir().display());
    assert!(made.stderr.starts_with(&said), "{made}");
    let refused = home.run(["--data-dir", "no/such", "inbox"]).with(2);
    assert!(
        refused
            .stderr
            .contains("\nnext: correct --data-dir, or: mkdir -p "),
        "{refused}"
    );
    assert!(!home.path().join("no").exists());
}

#[test]
fn a_consumer_that_set_something_aside_or_is_too_far_behind_is_told_with_what_helps() {
    let home = used_home();
    configure(&home, "[consumers]\nmax_lag_events = 2\n");
    home.consumer("bell");
    let healthy = home.run(["doctor", "--json"]).with(0);
    assert_eq!(findings(&healthy, "ok", "consumers").len(), 1, "{healthy}");
    home.consumer_with_something_aside("aside");
    for _ in 0..3 {
        home.run(["notify", "Hello"]).with(0);
    }
    let texts = || -> Vec<String> {
        let looked = home.run(["doctor", "--json"]).with(0);
        let found = findings(&looked, "warning", "consumers");
        let text = |finding: &Value| finding["text"].as_str().unwrap_or_default().to_owned();
        found.iter().map(text).collect()
    };
    let behind = "bell is 4 changes behind, and the journal is no longer kept for it";
    assert!(texts().contains(&behind.to_owned()), "{:?}", texts());
    let aside = "aside has set 1 change aside";
    assert!(texts().contains(&aside.to_owned()), "{:?}", texts());
    let status = home.run(["status"]).with(0);
    assert!(status.stdout.contains(aside), "{status}");
    // What the remedies say helps.
    home.run(["consumer", "discard", "aside", "1"]).with(0);
    for name in ["bell", "aside"] {
        home.run(["consumer", "reset", name, "--since", "now"])
            .with(0);
    }
    assert_eq!(texts(), [""; 0]);
}
