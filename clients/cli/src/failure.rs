//! How a command fails: what failed, why, what to type next, and with which exit code.

use std::collections::HashMap;
use std::fmt::Display;
use std::io;

use barista_client::Error;
use barista_client::pb::error::v1::ErrorReason;

use crate::exit::Exit;
use crate::{field, shell, text};

/// The daemon's exit code for a mistake in its configuration.
const EXIT_CONFIGURATION: i32 = 2;

/// What a command returns.
pub(crate) type Result<T, E = Failure> = std::result::Result<T, E>;

/// Why a command ended early.
#[derive(Debug)]
pub(crate) enum Failure {
    /// Whoever read the output has seen enough, as `head` does.
    ClosedPipe,
    /// The person has been told already.
    Reported(Exit),
    /// The person must be told.
    Told {
        /// The exit code.
        exit: Exit,
        /// What failed and why, in one line: `cannot read notes.json: no such file`.
        message: String,
        /// What to do next, where the message does not say.
        next: Option<String>,
    },
}

impl Failure {
    /// `what` failed because of `why`.
    pub(crate) fn new(exit: Exit, what: impl Display, why: impl Display) -> Self {
        Self::Told {
            exit,
            message: format!("{what}: {why}"),
            next: None,
        }
    }

    /// A command line that cannot be meant.
    pub(crate) fn usage(what: impl Display, why: impl Display) -> Self {
        Self::new(Exit::Usage, what, why)
    }

    /// Something that no person could have prevented.
    pub(crate) fn unexpected(what: impl Display, why: impl Display) -> Self {
        Self::new(Exit::Failed, what, why)
    }

    /// The operating system refused.
    pub(crate) fn io(what: impl Display, error: &io::Error) -> Self {
        let exit = match error.kind() {
            io::ErrorKind::NotFound => Exit::NotFound,
            io::ErrorKind::PermissionDenied => Exit::NotPermitted,
            io::ErrorKind::AlreadyExists => Exit::Conflict,
            _ => Exit::Failed,
        };
        Self::new(exit, what, reason(error))
    }

    /// Writing to stdout failed.
    #[expect(
        clippy::needless_pass_by_value,
        reason = "the shape that map_err takes"
    )]
    pub(crate) fn stdout(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Self::ClosedPipe,
            _ => Self::io("cannot write the output", &error),
        }
    }

    /// A call failed while trying to do `what`, as in "cannot respond to #12".
    pub(crate) fn call(what: impl Display, error: &Error) -> Self {
        if let Error::NotRunning { socket } = error {
            let why = format!("no daemon answers on {}", socket.display());
            return Self::new(Exit::Unreachable, what, why).next("barista daemon start".to_owned());
        }
        if let Error::Io {
            action,
            path,
            source,
        } = error
        {
            let why = format!("cannot {action} {}: {}", path.display(), reason(source));
            return Self::new(exit_of(error), what, text::line(&why))
                .next("barista doctor, or another data directory with --data-dir".to_owned());
        }
        if let Error::StartFailed {
            data_dir,
            reason,
            remedy,
            ..
        } = error
        {
            let why = format!(
                "the daemon for {} could not be started: {reason}",
                data_dir.display()
            );
            let next = remedy
                .as_deref()
                .map_or_else(|| "barista doctor".to_owned(), text::line);
            return Self::new(exit_of(error), what, text::line(&why)).next(next);
        }
        if let Error::Unresponsive { .. } = error {
            return Self::new(exit_of(error), what, why(error)).next("barista doctor".to_owned());
        }
        let why = why(error);
        Self::new(exit_of(error), what, why).next(next_of(error))
    }

    /// Says what to do next.
    pub(crate) fn next(mut self, advice: impl Into<Option<String>>) -> Self {
        if let Self::Told { next, .. } = &mut self {
            *next = advice.into();
        }
        self
    }

    /// Ends the program with another code.
    pub(crate) fn with(mut self, code: Exit) -> Self {
        if let Self::Told { exit, .. } = &mut self {
            *exit = code;
        }
        self
    }

    /// The exit code.
    pub(crate) fn exit(&self) -> Exit {
        match self {
            Self::ClosedPipe => Exit::Done,
            Self::Reported(exit) | Self::Told { exit, .. } => *exit,
        }
    }

    /// What to write on stderr; `None` where there is nothing left to say.
    pub(crate) fn report(&self) -> Option<String> {
        match self {
            Self::ClosedPipe | Self::Reported(_) => None,
            Self::Told {
                message,
                next: None,
                ..
            } => Some(format!("barista: {message}")),
            Self::Told {
                message,
                next: Some(next),
                ..
            } => Some(format!("barista: {message}\nnext: {next}")),
        }
    }
}

/// Why a call failed, in the words of this program where the daemon's are those of its API.
fn why(error: &Error) -> String {
    if let Some(violations) = error.rpc().and_then(field::violations) {
        return violations;
    }
    let detail = |name| error.rpc().and_then(|rpc| rpc.metadata.get(name));
    let (head, consumer) = (detail("head_sequence"), detail("consumer"));
    match (error.reason(), head) {
        (ErrorReason::UnknownCursor, Some(head)) if consumer.is_some() => format!(
            "its place is not in this history of changes, whose last is number {}: a backup was restored",
            text::line(head)
        ),
        (ErrorReason::UnknownCursor, Some(head)) => format!(
            "there is no such place among the changes that are kept; the last of them is number {}",
            text::line(head)
        ),
        _ => text::line(&error.to_string()),
    }
}

/// What the system said, without its number.
pub(crate) fn reason(error: &io::Error) -> String {
    let text = error.to_string();
    match text.rsplit_once(" (os error ") {
        Some((words, _number)) => words.to_owned(),
        None => text,
    }
}

/// The exit code for an error of the client library.
fn exit_of(error: &Error) -> Exit {
    match error {
        Error::Locate(_) | Error::SessionKey { .. } => return Exit::Usage,
        Error::StartFailed {
            exit_code: Some(EXIT_CONFIGURATION),
            ..
        } => return Exit::Usage,
        Error::UntrustedSocket { .. } => return Exit::NotPermitted,
        Error::TimedOut { .. } => return Exit::TryAgain,
        Error::Io { source, .. } if source.kind() == io::ErrorKind::PermissionDenied => {
            return Exit::NotPermitted;
        }
        error if error.is_unreachable() => return Exit::Unreachable,
        _ => {}
    }
    exit_of_reason(error.reason())
}

/// The exit code for a reason that the daemon gave.
fn exit_of_reason(reason: ErrorReason) -> Exit {
    match reason {
        ErrorReason::InvalidField
        | ErrorReason::ResponseNotAllowed
        | ErrorReason::MessageTooLarge
        | ErrorReason::SnapshotTooLarge
        | ErrorReason::QuestionTooBroad => Exit::Usage,
        ErrorReason::PeerNotPermitted | ErrorReason::AgentNotAllowed => Exit::NotPermitted,
        ErrorReason::NotificationNotFound
        | ErrorReason::ObservationNotFound
        | ErrorReason::TraceNotFound
        | ErrorReason::ConsumerNotFound
        | ErrorReason::SetAsideEventNotFound => Exit::NotFound,
        ErrorReason::NotificationClosed
        | ErrorReason::RequestIdReused
        | ErrorReason::SequenceCompacted
        | ErrorReason::UnknownCursor
        | ErrorReason::ConsumerExists
        | ErrorReason::ConsumerTakenOver
        | ErrorReason::ConsumerReset
        | ErrorReason::SetAsideFull => Exit::Conflict,
        ErrorReason::BackupRunning => Exit::TryAgain,
        ErrorReason::BackupFailed => Exit::Failed,
        // The daemon answers, but what people need it for cannot be reached, and trying again does not help.
        ErrorReason::ShuttingDown | ErrorReason::DatabaseUnavailable => Exit::Unreachable,
        ErrorReason::DatabaseBusy
        | ErrorReason::QueueFull
        | ErrorReason::CommitUnknown
        | ErrorReason::DiskFull
        | ErrorReason::DeadlineExceeded
        | ErrorReason::TooManyStreams => Exit::TryAgain,
        ErrorReason::Unspecified
        | ErrorReason::MalformedMessage
        | ErrorReason::MethodNotFound
        | ErrorReason::Internal => Exit::Failed,
    }
}

/// What to type after an error; `None` where its own text says so.
fn next_of(error: &Error) -> Option<String> {
    let detail = |name: &str| {
        error
            .rpc()
            .and_then(|rpc| rpc.metadata.get(name))
            .map(|value| text::line(value))
    };
    let advice = match error.reason() {
        ErrorReason::InvalidField => field::advice(error.rpc()?)?.to_owned(),
        ErrorReason::NotificationNotFound => "barista inbox --all".to_owned(),
        ErrorReason::NotificationClosed => format!("barista show {}", detail("id")?),
        ErrorReason::ResponseNotAllowed => {
            allowed_responses(&detail("id")?, &error.rpc()?.metadata)
        }
        ErrorReason::RequestIdReused => {
            let used_for = match detail("consumer") {
                Some(name) => format!("barista consumer show {name}"),
                None => format!("barista show {}", detail("id")?),
            };
            format!("{used_for}, or another --request-id")
        }
        ErrorReason::ConsumerNotFound => "barista consumer list".to_owned(),
        ErrorReason::SequenceCompacted | ErrorReason::UnknownCursor
            if detail("consumer").is_some() =>
        {
            reset(&detail("consumer")?)
        }
        ErrorReason::ConsumerExists
        | ErrorReason::ConsumerTakenOver
        | ErrorReason::ConsumerReset
        | ErrorReason::SetAsideFull
        | ErrorReason::SetAsideEventNotFound => {
            format!("barista consumer show {}", detail("consumer")?)
        }
        ErrorReason::SequenceCompacted => {
            format!(
                "barista watch --since {}",
                detail("oldest_sequence")?.parse::<i64>().ok()? - 1
            )
        }
        ErrorReason::UnknownCursor => "barista watch --since all".to_owned(),
        ErrorReason::PeerNotPermitted => {
            "name a data directory of your own with --data-dir".to_owned()
        }
        ErrorReason::AgentNotAllowed => {
            "run it outside the sandbox, without --socket and BARISTA_SOCKET".to_owned()
        }
        ErrorReason::DatabaseBusy => {
            "try again; barista status names who holds the lock".to_owned()
        }
        ErrorReason::QueueFull | ErrorReason::TooManyStreams | ErrorReason::ShuttingDown => {
            "try again in a moment".to_owned()
        }
        ErrorReason::CommitUnknown => "barista inbox shows whether it was stored".to_owned(),
        ErrorReason::DiskFull => "make room on the disk; barista doctor says where".to_owned(),
        ErrorReason::DatabaseUnavailable => "barista doctor".to_owned(),
        ErrorReason::Internal => "barista daemon logs".to_owned(),
        ErrorReason::MethodNotFound => "barista daemon restart".to_owned(),
        _ => return None,
    };
    Some(advice)
}

/// The commands that move a consumer whose place is no longer there: which of them is meant, nobody else can know.
pub(crate) fn reset(name: &str) -> String {
    let command = format!("barista consumer reset {} --since", shell::word(name));
    format!(
        "{command} oldest    # all that the journal still has, again\n      {command} now       # only what comes from here on"
    )
}

/// How many commands are offered at once.
const OFFERED: usize = 5;

/// The commands that give notification `id` a response that it takes, one per line.
fn allowed_responses(id: &str, metadata: &HashMap<String, String>) -> String {
    let options = metadata.get("options").map_or("", String::as_str);
    // The daemon cuts a long list, and says so with an ellipsis in its last line.
    let whole = |name: &&str| !name.is_empty() && !name.ends_with('…');
    let commands: Vec<String> = options
        .lines()
        .filter(whole)
        .take(OFFERED)
        .map(|name| format!("barista respond {id} {}", shell::word(&text::line(name))))
        .collect();
    if commands.is_empty() {
        return format!("barista show {id}");
    }
    commands.join("\n      ")
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    #[test]
    fn each_reason_has_its_documented_code() {
        let code = |reason| exit_of_reason(reason).code();
        assert_eq!(code(ErrorReason::InvalidField), 2);
        assert_eq!(code(ErrorReason::ResponseNotAllowed), 2);
        assert_eq!(code(ErrorReason::PeerNotPermitted), 4);
        assert_eq!(code(ErrorReason::AgentNotAllowed), 4);
        assert_eq!(code(ErrorReason::NotificationNotFound), 5);
        assert_eq!(code(ErrorReason::NotificationClosed), 6);
        assert_eq!(code(ErrorReason::RequestIdReused), 6);
        assert_eq!(code(ErrorReason::ShuttingDown), 69);
        assert_eq!(code(ErrorReason::DatabaseUnavailable), 69);
        for busy in [
            ErrorReason::DatabaseBusy,
            ErrorReason::QueueFull,
            ErrorReason::DiskFull,
            ErrorReason::CommitUnknown,
        ] {
            assert_eq!(code(busy), 75);
        }
        assert_eq!(code(ErrorReason::Internal), 1);
    }

    #[test]
    fn an_absent_daemon_is_unreachable_and_a_foreign_one_not_permitted() {
        let socket = PathBuf::from("/s");
        assert_eq!(
            exit_of(&Error::NotRunning {
                socket: socket.clone()
            }),
            Exit::Unreachable
        );
        let foreign = Error::UntrustedSocket {
            socket,
            reason: String::new(),
        };
        assert_eq!(exit_of(&foreign), Exit::NotPermitted);
    }

    #[test]
    fn a_report_says_what_why_and_what_next() {
        let rpc = barista_client::RpcError {
            code: barista_client::Code::FailedPrecondition,
            reason: ErrorReason::NotificationClosed,
            message: "#12 was answered \"approve\" by ann\x1b[2J".to_owned(),
            metadata: HashMap::from([("id".to_owned(), "12".to_owned())]),
            field_violations: Vec::new(),
            retry_after: None,
        };
        let failure = Failure::call("cannot respond to #12", &Error::Rpc(Box::new(rpc)));
        assert_eq!(failure.exit(), Exit::Conflict);
        assert_eq!(
            failure.report().as_deref(),
            Some(
                "barista: cannot respond to #12: #12 was answered \"approve\" by ann\\u{1b}[2J\n\
                 next: barista show 12"
            )
        );
    }

    #[test]
    fn what_a_question_takes_is_offered_as_commands() {
        let next = |options: &str| {
            let metadata = HashMap::from([("options".to_owned(), options.to_owned())]);
            allowed_responses("12", &metadata)
        };
        assert_eq!(
            next("approve\ngo ahead"),
            "barista respond 12 approve\n      barista respond 12 'go ahead'"
        );
        assert_eq!(next("approve\nhalf of a na…"), "barista respond 12 approve");
        assert_eq!(next(""), "barista show 12");
    }

    #[test]
    fn the_system_s_words_come_without_its_number() {
        let failure = Failure::io("cannot read x", &io::Error::from_raw_os_error(2));
        assert_eq!(failure.exit(), Exit::NotFound);
        assert_eq!(
            failure.report().as_deref(),
            Some("barista: cannot read x: No such file or directory")
        );
    }

    #[test]
    fn a_closed_pipe_is_no_failure() {
        let failure = Failure::stdout(io::Error::from(io::ErrorKind::BrokenPipe));
        assert_eq!((failure.exit(), failure.report()), (Exit::Done, None));
    }
}
