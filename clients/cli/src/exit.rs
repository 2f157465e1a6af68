//! The exit codes of the whole tool: one table, which the help and the manual print.

use std::process::ExitCode;

/// How the program ends. Scripts decide on these numbers, so they never change their meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    /// What was asked for is done; a question was answered.
    Done,
    /// Something that no other code describes.
    Failed,
    /// The command line or the configuration is wrong.
    Usage,
    /// A question was answered with a refusal.
    No,
    /// The daemon belongs to another user, or a file may not be used.
    NotPermitted,
    /// There is no such notification, consumer or file, or no log yet.
    NotFound,
    /// Somebody else was first, or has taken over.
    Conflict,
    /// The question ended without a response.
    Unanswered,
    /// The question has no response yet.
    StillOpen,
    /// No daemon answers.
    Unreachable,
    /// The same call may succeed later.
    TryAgain,
    /// The time that the caller gave ran out.
    TimedOut,
    /// Ctrl-C.
    Interrupted,
    /// SIGTERM.
    Terminated,
    /// The status of the command that `run` ran.
    Command(u8),
}

/// Each fixed code with what it means.
const TABLE: [(Exit, &str); 14] = [
    (Exit::Done, "done; answered"),
    (Exit::Failed, "unexpected failure; doctor found a problem"),
    (Exit::Usage, "usage or configuration"),
    (
        Exit::No,
        "answered \"no\": deny, decline, no or reject (ask, wait)",
    ),
    (Exit::NotPermitted, "not permitted"),
    (Exit::NotFound, "not found"),
    (
        Exit::Conflict,
        "conflict: already answered, dismissed, cancelled or expired",
    ),
    (
        Exit::Unanswered,
        "dismissed, cancelled or expired without a response (ask, wait)",
    ),
    (Exit::StillOpen, "still open (wait --timeout 0)"),
    (
        Exit::Unreachable,
        "the daemon, or systemd for its service, cannot be reached",
    ),
    (Exit::TryAgain, "overloaded or busy: try again"),
    (Exit::TimedOut, "--timeout or --wait ran out"),
    (Exit::Interrupted, "interrupted"),
    (Exit::Terminated, "terminated"),
];

impl Exit {
    /// The number that the shell sees.
    pub(crate) const fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Failed => 1,
            Self::Usage => 2,
            Self::No => 3,
            Self::NotPermitted => 4,
            Self::NotFound => 5,
            Self::Conflict => 6,
            Self::Unanswered => 7,
            Self::StillOpen => 8,
            Self::Unreachable => 69,
            Self::TryAgain => 75,
            Self::TimedOut => 124,
            Self::Interrupted => 130,
            Self::Terminated => 143,
            Self::Command(status) => status,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

/// The table as the end of the long help and of the manual page.
pub(crate) fn help() -> String {
    let mut help = String::from("Exit codes:\n");
    for (exit, meaning) in TABLE {
        help.push_str(&format!("  {:>3}  {meaning}\n", exit.code()));
    }
    help.push_str("  run passes on the status of its command: 126 and 127 when it cannot be\n");
    help.push_str("  started, 128 plus the signal's number when a signal ended it.");
    help
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_is_in_the_table_once() {
        let mut codes: Vec<u8> = TABLE.iter().map(|(exit, _)| exit.code()).collect();
        codes.dedup();
        assert_eq!(codes, [0, 1, 2, 3, 4, 5, 6, 7, 8, 69, 75, 124, 130, 143]);
    }

    #[test]
    fn the_help_fits_eighty_columns() {
        for line in help().lines() {
            assert!(line.chars().count() <= 80, "{line}");
        }
    }

    #[test]
    fn a_command_keeps_its_status() {
        assert_eq!(Exit::Command(42).code(), 42);
    }
}
