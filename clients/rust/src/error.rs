//! What can go wrong, in variants that a caller can act on.

use std::collections::HashMap;
use std::error::Error as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use barista_locate::LocateError;
use tonic::{Code, Status, TimeoutExpired};
use tonic_types::StatusExt;

use crate::pb::error::v1::ErrorReason;

/// The `ErrorInfo.domain` of every error that the daemon itself made.
const DOMAIN: &str = "barista";

/// Why a call failed. The text of each is meant for people: what failed, why, and what to do next.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// No rule names a data directory.
    #[error(transparent)]
    Locate(#[from] LocateError),
    /// Nobody listens on the socket, and no daemon may be started.
    #[error("no daemon answers on {}; start one with `barista daemon start`", socket.display())]
    NotRunning {
        /// The socket.
        socket: PathBuf,
    },
    /// The daemon was to be started, and was not.
    #[error("the daemon for {} could not be started: {reason}{}", data_dir.display(), and_then(remedy.as_deref()))]
    StartFailed {
        /// The data directory.
        data_dir: PathBuf,
        /// Why, with the daemon's own words where it had any.
        reason: String,
        /// What to do about it, where the daemon said so.
        remedy: Option<String>,
        /// The daemon's exit code, where it ended: 2 stands for a mistake in its configuration.
        exit_code: Option<i32>,
    },
    /// A daemon holds the data directory or the socket, and does not answer.
    #[error("{} did not answer on {} within {waited:?}; {}", process(*pid), socket.display(), unresponsive_advice(*pid))]
    Unresponsive {
        /// The socket.
        socket: PathBuf,
        /// The process that holds it, where known.
        pid: Option<i32>,
        /// How long it was given.
        waited: Duration,
    },
    /// The socket, its directory or the process behind it belongs to somebody else.
    #[error("the socket {} is not to be trusted: {reason}", socket.display())]
    UntrustedSocket {
        /// The socket.
        socket: PathBuf,
        /// What is wrong with it, and what to do.
        reason: String,
    },
    /// The daemon serves no revision of the protocol that this library speaks.
    #[error("{}", mismatch(*client, *daemon_min, *daemon_max, version, *pid, kept.as_deref()))]
    ProtocolMismatch {
        /// The revision that this library speaks.
        client: i32,
        /// The oldest revision that the daemon serves.
        daemon_min: i32,
        /// The newest revision that the daemon serves.
        daemon_max: i32,
        /// The daemon's release.
        version: String,
        /// The daemon's process.
        pid: i32,
        /// Why an older daemon was not replaced, as in "busy (watching: 2, …)". `None`: replacing it was not allowed, or is no remedy.
        kept: Option<String>,
    },
    /// The operating system does not let this process connect to the socket.
    #[error("cannot connect to {}: {source}", socket.display())]
    CannotConnect {
        /// The socket.
        socket: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The connection broke before the answer came, and repeating the call did not help. A write may or may not have happened.
    #[error("the connection to the daemon on {} broke; a change that was being made may or may not have been stored: {reason}", socket.display())]
    Disconnected {
        /// The socket.
        socket: PathBuf,
        /// What broke it.
        reason: String,
    },
    /// The call's time was up. A write may or may not have happened.
    #[error(
        "the daemon did not answer within {after:?}, so a change may or may not have been stored; try again, or see `barista doctor`"
    )]
    TimedOut {
        /// The limit that passed.
        after: Duration,
    },
    /// The socket is the agent socket, and there is no secret to be told apart by.
    #[error(
        "there is no session key for the agent socket: {reason}; set BARISTA_SESSION_KEY to a secret of 32 to 128 letters and digits"
    )]
    SessionKey {
        /// Why there is none.
        reason: String,
    },
    /// The daemon answered with an error.
    #[error(transparent)]
    Rpc(#[from] Box<RpcError>),
    /// The daemon's answer breaks its contract, as an event out of order would.
    #[error("the daemon broke the protocol: {0}; this is a defect, please report it")]
    InvalidReply(String),
    /// The operating system refused.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// What was tried, as in "create".
        action: &'static str,
        /// With what.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
}

/// An error that the daemon sent.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("{}", self.text())]
pub struct RpcError {
    /// The gRPC code.
    pub code: Code,
    /// Why. UNSPECIFIED where the daemon gave no reason, or one that this library does not know.
    pub reason: ErrorReason,
    /// The daemon's sentence for people.
    pub message: String,
    /// Details under the names that [`ErrorReason`] documents for each reason.
    pub metadata: HashMap<String, String>,
    /// The fields at fault where the input is.
    pub field_violations: Vec<FieldViolation>,
    /// When a repetition may help. `None`: the daemon did not say.
    pub retry_after: Option<Duration>,
}

/// A field of a request that breaks its rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldViolation {
    /// The field's path, as in `options[2].name`.
    pub field: String,
    /// The rule.
    pub description: String,
}

impl RpcError {
    /// Reads an error as the daemon sent it.
    fn new(status: &Status) -> Self {
        let details = status.get_error_details();
        let info = details.error_info().filter(|info| info.domain == DOMAIN);
        let violations = details
            .bad_request()
            .map(|bad| bad.field_violations.as_slice());
        Self {
            code: status.code(),
            reason: info.map_or_else(
                || reason_of_code(status.code()),
                |info| parse_reason(&info.reason),
            ),
            message: status.message().to_owned(),
            metadata: info.map(|info| info.metadata.clone()).unwrap_or_default(),
            field_violations: violations
                .unwrap_or_default()
                .iter()
                .map(|violation| FieldViolation {
                    field: violation.field.clone(),
                    description: violation.description.clone(),
                })
                .collect(),
            retry_after: details.retry_info().and_then(|info| info.retry_delay),
        }
    }

    /// The sentence for people: the message, then each field at fault that the message does not name.
    fn text(&self) -> String {
        let mut text = if self.message.is_empty() {
            self.code.description().to_owned()
        } else {
            self.message.clone()
        };
        for violation in &self.field_violations {
            if !text.contains(&violation.description) {
                text.push_str(&format!("; {}: {}", violation.field, violation.description));
            }
        }
        text
    }
}

impl Error {
    /// The daemon's reason; what a caller decides on. UNSPECIFIED where the daemon gave none or was not reached.
    #[must_use]
    pub fn reason(&self) -> ErrorReason {
        match self {
            Self::Rpc(error) => error.reason,
            Self::TimedOut { .. } => ErrorReason::DeadlineExceeded,
            _ => ErrorReason::Unspecified,
        }
    }

    /// The daemon's error with its details, where it sent one.
    #[must_use]
    pub fn rpc(&self) -> Option<&RpcError> {
        match self {
            Self::Rpc(error) => Some(error),
            _ => None,
        }
    }

    /// When the daemon says that a repetition may help.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        self.rpc().and_then(|error| error.retry_after)
    }

    /// Whether no daemon could be talked to at all, as opposed to one that said no.
    #[must_use]
    pub fn is_unreachable(&self) -> bool {
        matches!(
            self,
            Self::NotRunning { .. }
                | Self::StartFailed { .. }
                | Self::Unresponsive { .. }
                | Self::UntrustedSocket { .. }
                | Self::ProtocolMismatch { .. }
                | Self::CannotConnect { .. }
                | Self::Disconnected { .. }
        ) || self.reason() == ErrorReason::ShuttingDown
    }

    /// Translates what a call on `socket` that was given `limit` ended with.
    pub(crate) fn from_status(status: &Status, socket: &Path, limit: Duration) -> Self {
        // What came over the wire has no source; what the transport made up has.
        if status.source().is_some() {
            if causes(status).any(|cause| cause.is::<TimeoutExpired>()) {
                return Self::TimedOut { after: limit };
            }
            return Self::Disconnected {
                socket: socket.to_owned(),
                reason: root_cause(status),
            };
        }
        Self::Rpc(Box::new(RpcError::new(status)))
    }

    /// Whether nobody is there to talk to, or only a daemon on its way out: starting one is the remedy.
    pub(crate) fn is_absence(&self) -> bool {
        matches!(self, Self::NotRunning { .. } | Self::Disconnected { .. })
            || self.reason() == ErrorReason::ShuttingDown
    }

    /// The process of the daemon that turned out to be older than this client.
    pub(crate) fn older_daemon(&self) -> Option<i32> {
        match self {
            Self::ProtocolMismatch {
                client,
                daemon_max,
                pid,
                ..
            } if daemon_max < client => Some(*pid),
            _ => None,
        }
    }

    /// Whether a new connection is needed before the call is worth repeating.
    pub(crate) fn needs_connection(&self) -> bool {
        self.is_absence() || matches!(self, Self::Unresponsive { .. } | Self::StartFailed { .. })
    }

    /// Whether a call that is safe to repeat is worth repeating at once.
    pub(crate) fn is_worth_repeating(&self) -> bool {
        self.is_absence()
            || self.reason() == ErrorReason::CommitUnknown
            || self.is_bare_unavailable()
    }

    /// Whether a wait or a watch should outlast it.
    pub(crate) fn is_passing(&self) -> bool {
        let rpc = self.rpc().is_some_and(|error| {
            error.code == Code::Unavailable || error.reason == ErrorReason::TooManyStreams
        });
        rpc || self.needs_connection() || matches!(self, Self::TimedOut { .. })
    }

    /// UNAVAILABLE from something between the daemon's code and the caller, which gives no reason.
    fn is_bare_unavailable(&self) -> bool {
        self.rpc().is_some_and(|error| {
            error.code == Code::Unavailable && error.reason == ErrorReason::Unspecified
        })
    }
}

/// The reason under the name that the wire has, without its prefix.
fn parse_reason(name: &str) -> ErrorReason {
    ErrorReason::from_str_name(&format!("ERROR_REASON_{name}")).unwrap_or(ErrorReason::Unspecified)
}

/// The reason behind a code that came without one, from a layer below the daemon's own code; only where the code leaves no doubt.
fn reason_of_code(code: Code) -> ErrorReason {
    match code {
        // A caller that cancelled sees no answer, so this is the transport's timer at the daemon's end.
        Code::DeadlineExceeded | Code::Cancelled => ErrorReason::DeadlineExceeded,
        Code::Unimplemented => ErrorReason::MethodNotFound,
        _ => ErrorReason::Unspecified,
    }
}

/// The causes of `error`, outermost first.
fn causes<'a>(
    error: &'a (dyn std::error::Error + 'static),
) -> impl Iterator<Item = &'a (dyn std::error::Error + 'static)> {
    std::iter::successors(error.source(), |&error| error.source())
}

/// The innermost cause: the layers above it only say that something failed.
fn root_cause(status: &Status) -> String {
    causes(status)
        .last()
        .map_or_else(|| status.message().to_owned(), ToString::to_string)
}

fn and_then(remedy: Option<&str>) -> String {
    remedy.map_or_else(String::new, |remedy| format!("; {remedy}"))
}

fn process(pid: Option<i32>) -> String {
    pid.map_or_else(
        || "a daemon".to_owned(),
        |pid| format!("the daemon (process {pid})"),
    )
}

fn unresponsive_advice(pid: Option<i32>) -> String {
    match pid {
        Some(pid) => format!(
            "see its log, and if it is stuck end it with `kill {pid}`; another is started by the next command"
        ),
        None => "find the process with `barista doctor` and end it if it is stuck".to_owned(),
    }
}

fn mismatch(
    client: i32,
    min: i32,
    max: i32,
    version: &str,
    pid: i32,
    kept: Option<&str>,
) -> String {
    let (older, advice) = if client < min {
        (
            "this client is older".to_owned(),
            "update the client to the daemon's release",
        )
    } else {
        (
            kept.map_or_else(
                || "the daemon is older".to_owned(),
                |kept| format!("the daemon is older and {kept}"),
            ),
            "restart it with `barista daemon restart`",
        )
    };
    format!(
        "the daemon (version {version}, process {pid}) speaks protocol {min} to {max} and this client {client}: {older}; {advice}"
    )
}

#[cfg(test)]
#[expect(
    clippy::disallowed_methods,
    reason = "the tests play the daemon, which makes every Status"
)]
mod tests {
    use super::*;
    use tonic_types::ErrorDetails;

    fn received(status: &Status) -> Error {
        Error::from_status(
            status,
            Path::new("/run/barista.sock"),
            Duration::from_secs(35),
        )
    }

    #[test]
    fn the_details_of_an_error_become_its_fields() {
        let mut details = ErrorDetails::with_error_info(
            "INVALID_FIELD",
            DOMAIN,
            [("id".to_owned(), "7".to_owned())],
        );
        details.add_bad_request_violation("title", "must have 1 to 256 characters");
        details.set_retry_info(Some(Duration::from_millis(250)));
        let status =
            Status::with_error_details(Code::InvalidArgument, "the request is invalid", details);
        let error = received(&status);
        let rpc = error.rpc().expect("an answer of the daemon");
        assert_eq!(error.reason(), ErrorReason::InvalidField);
        assert_eq!(rpc.code, Code::InvalidArgument);
        assert_eq!(rpc.metadata.get("id").map(String::as_str), Some("7"));
        assert_eq!(rpc.field_violations[0].field, "title");
        assert_eq!(error.retry_after(), Some(Duration::from_millis(250)));
        assert_eq!(
            error.to_string(),
            "the request is invalid; title: must have 1 to 256 characters"
        );
    }

    #[test]
    fn a_violation_that_the_message_names_is_not_repeated() {
        let details = ErrorDetails::with_bad_request_violation("title", "is empty");
        let status = Status::with_error_details(Code::InvalidArgument, "title is empty", details);
        assert_eq!(received(&status).to_string(), "title is empty");
    }

    #[test]
    fn a_reason_of_another_domain_or_from_the_future_is_unspecified() {
        let reason = |name: &str, domain: &str| {
            let details = ErrorDetails::with_error_info(name, domain, []);
            received(&Status::with_error_details(Code::Internal, "x", details)).reason()
        };
        assert_eq!(
            reason("NOTIFICATION_CLOSED", DOMAIN),
            ErrorReason::NotificationClosed
        );
        assert_eq!(
            reason("NOTIFICATION_CLOSED", "elsewhere"),
            ErrorReason::Unspecified
        );
        assert_eq!(reason("INVENTED_LATER", DOMAIN), ErrorReason::Unspecified);
    }

    #[test]
    fn garbage_in_the_details_does_not_hide_the_error() {
        let status =
            Status::with_details(Code::NotFound, "no notification 7", vec![0xff; 9].into());
        let error = received(&status);
        assert_eq!(error.rpc().map(|rpc| rpc.code), Some(Code::NotFound));
        assert_eq!(error.to_string(), "no notification 7");
    }

    #[test]
    fn what_the_transport_made_up_is_no_answer_of_the_daemon() {
        let broken = Status::from_error(Box::new(std::io::Error::from(
            std::io::ErrorKind::BrokenPipe,
        )));
        assert!(matches!(received(&broken), Error::Disconnected { .. }));
        let late = Status::from_error(Box::new(TimeoutExpired(())));
        assert!(matches!(received(&late), Error::TimedOut { .. }));
        assert_eq!(received(&late).reason(), ErrorReason::DeadlineExceeded);
    }

    #[test]
    fn only_what_a_repetition_can_help_is_repeated() {
        let worth = |code: Code, reason: &str| {
            let details = ErrorDetails::with_error_info(reason, DOMAIN, []);
            received(&Status::with_error_details(code, "x", details)).is_worth_repeating()
        };
        assert!(worth(Code::Unavailable, "SHUTTING_DOWN"));
        assert!(worth(Code::Unavailable, "COMMIT_UNKNOWN"));
        assert!(
            !worth(Code::Unavailable, "DATABASE_BUSY"),
            "the daemon has waited long enough"
        );
        assert!(!worth(Code::ResourceExhausted, "QUEUE_FULL"));
        assert!(!worth(Code::FailedPrecondition, "NOTIFICATION_CLOSED"));
    }

    #[test]
    fn a_mismatch_says_who_is_older_and_what_to_do() {
        let text = |daemon_min, daemon_max, kept: Option<&str>| {
            let version = "0.9.0".to_owned();
            Error::ProtocolMismatch {
                client: 2,
                daemon_min,
                daemon_max,
                version,
                pid: 42,
                kept: kept.map(str::to_owned),
            }
            .to_string()
        };
        assert_eq!(
            text(1, 1, None),
            "the daemon (version 0.9.0, process 42) speaks protocol 1 to 1 and this client 2: the daemon is older; \
             restart it with `barista daemon restart`"
        );
        assert!(text(1, 1, Some("busy (watching: 2)")).ends_with(
            "the daemon is older and busy (watching: 2); restart it with `barista daemon restart`"
        ));
        assert!(text(3, 4, None).contains("this client is older; update the client"));
    }

    #[test]
    fn an_unresponsive_daemon_is_named() {
        let socket = PathBuf::from("/d/run/barista.sock");
        let error = Error::Unresponsive {
            socket,
            pid: Some(42),
            waited: Duration::from_secs(5),
        };
        assert!(error.to_string().starts_with(
            "the daemon (process 42) did not answer on /d/run/barista.sock within 5s"
        ));
        assert!(error.is_unreachable());
    }
}
