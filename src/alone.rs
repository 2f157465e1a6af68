//! For tests of what belongs to a whole process: signals, limits, the environment, the log. Such a test is marked `#[ignore]`, and another
//! one runs it in a process of its own.

use std::process::Command;

const MARK: &str = "BARISTA_TEST_ALONE";

/// Whether the process was started by [`command`]. Without this, `cargo test -- --include-ignored` would wait for signals for ever.
pub(crate) fn is_alone() -> bool {
    std::env::var_os(MARK).is_some()
}

/// A command that runs one test of this program, by its full name.
pub(crate) fn command(test: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().expect("this program"));
    command
        .args(["--exact", test, "--include-ignored", "--nocapture"])
        .env(MARK, "1");
    command
}

/// Checks that the command ran its test, and that it passed.
pub(crate) fn expect_pass(command: &mut Command) {
    let outcome = command.output().expect("it runs");
    let output = String::from_utf8_lossy(&outcome.stdout);
    assert!(
        outcome.status.success() && output.contains("1 passed"),
        "{output}"
    );
}
