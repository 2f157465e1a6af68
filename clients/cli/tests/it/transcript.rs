//! Sessions at a prompt, as a person sees them: what is typed after `$`, what comes, and the exit code after `?` where it is not 0.

use std::path::Path;

use regex::Regex;
use snapbox::Data;

use crate::home::Home;
use crate::program::Running;

/// What differs from run to run, and what stands for it. The order matters.
const REDACTIONS: [(&str, &str); 15] = [
    (r"\b\d{8}T\d{6}(?:\.\d+)?Z", "[TIME]"),
    (r"\b[0-9a-f]{64}\b", "[SHA256]"),
    (
        r"(Backed up |changes up to \d+, )[\d.]+ (?:KiB|MiB|bytes)",
        "$1[SIZE]",
    ),
    (
        r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d (?:UTC|[+-]\d\d:\d\d) \((?:now|\d+s ago)\)",
        "2026-03-01 12:00:00 UTC (now)",
    ),
    (r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", "2026-03-01 12:00:00"),
    (r"12:00:00 [+-]\d\d:\d\d", "12:00:00 UTC"),
    (r"\b\d{4}-\d\d-\d\dT[\d:.]+Z", "[TIME]"),
    (r"\bprocess \d+", "process [PID]"),
    (r"\bup [\d.]+m?s\b", "up [SPAN]"),
    (r"\b[0-9a-f]{32}\b", "[EPOCH]"),
    (
        r"\b[a-z0-9_]+(?:-[a-z0-9]+)+ (?:debug|release)\b",
        "[BUILD]",
    ),
    (r"\bSQLite [\d.]+", "SQLite [VERSION]"),
    (r"\b(barista|baristad) \d+\.\d+\.\d+\b", "$1 [VERSION]"),
    (
        r"(?m)^(WAL|disk|notifications\.db)( .*?)[\d.]+ [KMGT]iB",
        "$1$2[SIZE]",
    ),
    (r"\b\d+ of \d+ frames", "[N] of [N] frames"),
];

/// Types the commands of `transcripts/NAME.console` in a home of its own, and compares what comes with what stands there.
fn session(name: &str) {
    session_in(&Home::new(), name);
}

/// The same in a home that is there already.
fn session_in(home: &Home, name: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/it/transcripts")
        .join(name)
        .with_extension("console");
    let expected = std::fs::read_to_string(&path).expect("a transcript");
    let mut actual = String::new();
    for line in expected.lines() {
        if line.starts_with("# ") {
            actual.push_str(&format!("{line}\n"));
        } else if let Some(typed) = line.strip_prefix("$ ") {
            actual.push_str(&format!("$ {typed}\n{}\n", answer(home, typed)));
        }
    }
    snapbox::Assert::new()
        .action_env("SNAPSHOTS")
        .eq(Data::text(actual).raw(), Data::read_from(&path, None).raw());
}

/// What comes when `typed` is typed, on stdout and stderr alike.
fn answer(home: &Home, typed: &str) -> String {
    let mut shell = home.command("sh");
    let ended = Running::start(shell.args(["-c", &format!("exec 2>&1\n{typed}")])).end();
    let mut text = ended.stdout.clone();
    if !text.is_empty() && !text.ends_with('\n') {
        text.push('\n');
    }
    if ended.code() != 0 {
        text.push_str(&format!("? {}\n", ended.code()));
    }
    redact(home, &text)
}

fn redact(home: &Home, text: &str) -> String {
    let canonical = home.path().canonicalize().expect("a path");
    let mut text = text.to_owned();
    for path in [canonical.as_path(), home.path()] {
        text = text.replace(&path.display().to_string(), "~");
    }
    for (pattern, stand_in) in REDACTIONS {
        let pattern = Regex::new(pattern).expect("a pattern");
        text = pattern.replace_all(&text, stand_in).into_owned();
    }
    same_ages(&text)
}

/// Makes every age in a list of notifications `now`, and the column as wide as that.
fn same_ages(text: &str) -> String {
    let row = Regex::new(r"^([• ] +\d+)  ( *(?:now|\d+s))(  \S.*)$").expect("a pattern");
    let mut missing = 0;
    let mut lines = String::new();
    for line in text.lines() {
        if let Some(cells) = row.captures(line) {
            missing = "now".len().saturating_sub(cells[2].len());
            lines.push_str(&format!("{}  now{}", &cells[1], &cells[3]));
        } else if line.starts_with("            ") {
            lines.push_str(&format!("{}{line}", " ".repeat(missing)));
        } else {
            missing = 0;
            // clap leaves spaces at the end of some lines.
            lines.push_str(line.trim_end());
        }
        lines.push('\n');
    }
    lines
}

#[test]
fn the_inbox() {
    session("inbox");
}

#[test]
fn durable_consumers() {
    session("consumer");
}

#[test]
fn one_notification() {
    session("show");
}

#[test]
fn errors() {
    session("errors");
}

#[test]
fn the_daemon() {
    session("daemon");
}

#[test]
fn backup_and_retention() {
    session("db");
}

#[test]
fn statistics() {
    let home = Home::new();
    crate::stats::record(&home);
    session_in(&home, "stats");
}

#[test]
fn help() {
    session("help");
}
