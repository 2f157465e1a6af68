//! Errors as the wire says them. This is the only file that makes a [`Status`].
#![expect(
    clippy::disallowed_methods,
    reason = "this is the file where a Status is made"
)]

use std::collections::HashMap;
use std::time::Duration;

use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};
use uuid::Uuid;

use super::pb::error::v1::ErrorReason;
use crate::domain::change::JournalBounds;
use crate::domain::error::{Closed, Error};

/// The `domain` of every `ErrorInfo`.
const DOMAIN: &str = "barista";
/// The most bytes of a message and of a rule. An error travels in HTTP/2 headers, and clients refuse more than 8 KiB of those.
const MAX_MESSAGE: usize = 640;
/// The most bytes of the name of a field.
const MAX_FIELD: usize = 128;
/// The most bytes of a value in the metadata.
const MAX_VALUE: usize = 256;
/// The most bytes of a value in the metadata that is a response or a list of options.
const MAX_LONG_VALUE: usize = 1_024;
/// When to try again while the disk is full.
const DISK_RETRY: Duration = Duration::from_secs(10);
/// When to try again while too many streams are served.
const STREAM_RETRY: Duration = Duration::from_secs(1);

/// How tonic begins what it says about a connection that broke. It has no code of its own for that.
const BROKEN_CONNECTION: &str = "h2 protocol error";
/// What a body that is longer than it may be over the agent socket says; see `agent::limited`.
const LIMIT_EXCEEDED: &str = "length limit exceeded";

type Metadata = Vec<(&'static str, String)>;

impl From<Error> for Status {
    fn from(error: Error) -> Self {
        let (code, reason) = classify(&error);
        let mut details = error_info(reason, metadata(&error));
        if let Error::InvalidField { field, rule } | Error::ResponseNotAllowed { field, rule, .. } =
            &error
        {
            details.add_bad_request_violation(cut(field, MAX_FIELD), cut(rule, MAX_MESSAGE));
        }
        if let Some(retry_after) = retry_after(&error) {
            details.set_retry_info(Some(retry_after));
        }
        let message = match error {
            Error::Internal(_) => INTERNAL.to_owned(),
            other => cut(&other.to_string(), MAX_MESSAGE),
        };
        Self::with_error_details(code, message, details)
    }
}

/// All that a caller learns about a defect.
const INTERNAL: &str = "internal error";

/// The code and reason of each error.
fn classify(error: &Error) -> (Code, ErrorReason) {
    use ErrorReason as Reason;
    match error {
        Error::InvalidField { .. } => (Code::InvalidArgument, Reason::InvalidField),
        Error::NotificationNotFound { .. } => (Code::NotFound, Reason::NotificationNotFound),
        Error::ObservationNotFound { .. } => (Code::NotFound, Reason::ObservationNotFound),
        Error::TraceNotFound { .. } => (Code::NotFound, Reason::TraceNotFound),
        Error::NotificationClosed(_) => (Code::FailedPrecondition, Reason::NotificationClosed),
        Error::ResponseNotAllowed { .. } => (Code::InvalidArgument, Reason::ResponseNotAllowed),
        Error::RequestIdReused { .. } | Error::ConsumerRequestReused { .. } => {
            (Code::AlreadyExists, Reason::RequestIdReused)
        }
        Error::SequenceCompacted { .. } | Error::ConsumerLeftBehind { .. } => {
            (Code::OutOfRange, Reason::SequenceCompacted)
        }
        Error::UnknownCursor { .. } | Error::ConsumerElsewhere { .. } => {
            (Code::FailedPrecondition, Reason::UnknownCursor)
        }
        Error::ConsumerNotFound { .. } => (Code::NotFound, Reason::ConsumerNotFound),
        Error::ConsumerExists { .. } => (Code::AlreadyExists, Reason::ConsumerExists),
        Error::ConsumerTakenOver { .. } => (Code::Aborted, Reason::ConsumerTakenOver),
        Error::ConsumerReset { .. } => (Code::Aborted, Reason::ConsumerReset),
        Error::SetAsideFull { .. } => (Code::FailedPrecondition, Reason::SetAsideFull),
        Error::SetAsideEventNotFound { .. } => (Code::NotFound, Reason::SetAsideEventNotFound),
        Error::SnapshotTooLarge { .. } => (Code::FailedPrecondition, Reason::SnapshotTooLarge),
        Error::QuestionTooBroad { .. } => (Code::FailedPrecondition, Reason::QuestionTooBroad),
        Error::ShuttingDown => (Code::Unavailable, Reason::ShuttingDown),
        Error::DatabaseBusy { .. } => (Code::Unavailable, Reason::DatabaseBusy),
        Error::QueueFull { .. } => (Code::ResourceExhausted, Reason::QueueFull),
        Error::CommitUnknown => (Code::Unavailable, Reason::CommitUnknown),
        Error::DiskFull { .. } => (Code::ResourceExhausted, Reason::DiskFull),
        Error::DatabaseUnavailable { .. } => (Code::Unavailable, Reason::DatabaseUnavailable),
        Error::BackupRunning => (Code::FailedPrecondition, Reason::BackupRunning),
        Error::BackupFailed { .. } => (Code::FailedPrecondition, Reason::BackupFailed),
        Error::DeadlineExceeded => (Code::DeadlineExceeded, Reason::DeadlineExceeded),
        Error::TooManyStreams { .. } => (Code::ResourceExhausted, Reason::TooManyStreams),
        Error::AgentNotAllowed { .. } => (Code::PermissionDenied, Reason::AgentNotAllowed),
        Error::Internal(_) => (Code::Internal, Reason::Internal),
    }
}

/// The metadata of those errors that have some.
fn metadata(error: &Error) -> Metadata {
    match error {
        Error::NotificationNotFound { id } | Error::ObservationNotFound { id } => {
            vec![("id", id.to_string())]
        }
        Error::TraceNotFound { id } => vec![("id", cut(id, MAX_VALUE))],
        Error::NotificationClosed(closed) => closed_metadata(closed),
        Error::ResponseNotAllowed { id, options, .. } => {
            let options = cut(&options.join("\n"), MAX_LONG_VALUE);
            vec![("id", id.to_string()), ("options", options)]
        }
        Error::RequestIdReused { request_id, id } => vec![
            ("request_id", request_id.to_string()),
            ("id", id.to_string()),
        ],
        Error::ConsumerRequestReused { request_id, name } => vec![
            ("request_id", request_id.to_string()),
            ("consumer", cut(name, MAX_VALUE)),
        ],
        Error::SequenceCompacted { bounds, .. } | Error::UnknownCursor { bounds } => {
            journal_metadata(bounds)
        }
        Error::ConsumerLeftBehind {
            name,
            acknowledged,
            bounds,
        } => {
            let mut metadata = journal_metadata(bounds);
            metadata.push(("consumer", cut(name, MAX_VALUE)));
            metadata.push(("acknowledged_sequence", acknowledged.to_string()));
            metadata
        }
        Error::ConsumerElsewhere { name, bounds } => {
            let mut metadata = journal_metadata(bounds);
            metadata.push(("consumer", cut(name, MAX_VALUE)));
            metadata
        }
        Error::ConsumerNotFound { name }
        | Error::ConsumerExists { name }
        | Error::ConsumerTakenOver { name }
        | Error::ConsumerReset { name } => vec![("consumer", cut(name, MAX_VALUE))],
        Error::SetAsideFull { name, limit } => vec![
            ("consumer", cut(name, MAX_VALUE)),
            ("limit", limit.to_string()),
        ],
        Error::SetAsideEventNotFound { name, sequence } => vec![
            ("consumer", cut(name, MAX_VALUE)),
            ("sequence", sequence.to_string()),
        ],
        Error::SnapshotTooLarge { limit } | Error::QuestionTooBroad { limit } => {
            vec![("limit", limit.to_string())]
        }
        Error::Internal(text) => vec![logged(text)],
        Error::InvalidField { .. }
        | Error::ShuttingDown
        | Error::DatabaseBusy { .. }
        | Error::QueueFull { .. }
        | Error::CommitUnknown
        | Error::DiskFull { .. }
        | Error::DatabaseUnavailable { .. }
        | Error::BackupRunning
        | Error::BackupFailed { .. }
        | Error::DeadlineExceeded
        | Error::TooManyStreams { .. }
        | Error::AgentNotAllowed { .. } => vec![],
    }
}

fn closed_metadata(closed: &Closed) -> Metadata {
    let known = |name, value: &str, most| (!value.is_empty()).then(|| (name, cut(value, most)));
    let response = closed.response.as_deref().unwrap_or_default();
    [
        Some(("id", closed.id.to_string())),
        known("state", closed.state.as_str(), MAX_VALUE),
        known("responder", &closed.by, MAX_VALUE),
        known("surface", &closed.surface, MAX_VALUE),
        known("response", response, MAX_LONG_VALUE),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn journal_metadata(bounds: &JournalBounds) -> Metadata {
    vec![
        ("epoch", cut(&bounds.epoch, MAX_VALUE)),
        ("oldest_sequence", bounds.oldest.to_string()),
        ("head_sequence", bounds.head.to_string()),
    ]
}

fn retry_after(error: &Error) -> Option<Duration> {
    match error {
        Error::DatabaseBusy { retry_after } | Error::QueueFull { retry_after } => {
            Some(*retry_after)
        }
        Error::DiskFull { .. } => Some(DISK_RETRY),
        Error::TooManyStreams { .. } => Some(STREAM_RETRY),
        _ => None,
    }
}

/// Logs a defect, and returns the number under which the log has it.
fn logged(text: &str) -> (&'static str, String) {
    let request = Uuid::new_v4().to_string();
    tracing::error!(request, error = text, "internal error");
    ("request", request)
}

/// The end of a watch because the daemon stops: everything up to `last_sequence` has been sent.
pub(super) fn watch_ended(epoch: &str, last_sequence: i64) -> Status {
    let metadata = vec![
        ("epoch", cut(epoch, MAX_VALUE)),
        ("last_sequence", last_sequence.to_string()),
    ];
    Status::with_error_details(
        Code::Unavailable,
        "the daemon is stopping; watch again from the last sequence",
        error_info(ErrorReason::ShuttingDown, metadata),
    )
}

/// The refusal of a process that belongs to another user.
pub(super) fn peer_not_permitted() -> Status {
    Status::with_error_details(
        Code::PermissionDenied,
        "this socket serves only the user that the daemon runs as; start a daemon of your own",
        error_info(ErrorReason::PeerNotPermitted, vec![]),
    )
}

/// When tonic made a status.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    /// Before anything was sent: what it objects to is the request.
    Request,
    /// After the call was accepted: what it objects to is our response.
    Response,
}

/// Returns `status` with a reason: what tonic and the standard services make has none.
pub(super) fn complete(status: Status, stage: Stage) -> Status {
    if !status.details().is_empty() || status.code() == Code::Ok {
        return status;
    }
    let (code, reason) = match (status.code(), stage) {
        (Code::Unimplemented, _) if status.metadata().contains_key("grpc-accept-encoding") => {
            // The request is compressed in a way that was not announced. The protocol wants this code.
            (Code::Unimplemented, ErrorReason::MalformedMessage)
        }
        (Code::Unimplemented, _) => (Code::Unimplemented, ErrorReason::MethodNotFound),
        (Code::OutOfRange | Code::ResourceExhausted, Stage::Request) => {
            (Code::ResourceExhausted, ErrorReason::MessageTooLarge)
        }
        (Code::Internal | Code::InvalidArgument, Stage::Request) => {
            (Code::InvalidArgument, ErrorReason::MalformedMessage)
        }
        (Code::Unknown, Stage::Request) if status.message() == LIMIT_EXCEEDED => {
            (Code::ResourceExhausted, ErrorReason::MessageTooLarge)
        }
        // The connection broke while the request was read: a client that is gone is no defect, and nobody hears the answer.
        (Code::Unknown, Stage::Request) if status.message().starts_with(BROKEN_CONNECTION) => {
            (Code::Cancelled, ErrorReason::DeadlineExceeded)
        }
        // Health and reflection say so about a name that they do not know.
        (Code::NotFound, _) => (Code::NotFound, ErrorReason::InvalidField),
        (code @ (Code::Cancelled | Code::DeadlineExceeded), _) => {
            (code, ErrorReason::DeadlineExceeded)
        }
        (Code::Unavailable, _) => (Code::Unavailable, ErrorReason::ShuttingDown),
        _ => return Error::Internal(format!("{:?}: {}", status.code(), status.message())).into(),
    };
    let message = match reason {
        ErrorReason::MethodNotFound => {
            "the daemon has no such method; it may be older than the client"
        }
        _ => status.message(),
    };
    Status::with_error_details_and_metadata(
        code,
        cut(message, MAX_MESSAGE),
        error_info(reason, vec![]),
        status.metadata().clone(),
    )
}

/// The reason that `status` carries, for the log.
pub(super) fn reason(status: &Status) -> Option<String> {
    status.get_details_error_info().map(|info| info.reason)
}

fn error_info(reason: ErrorReason, metadata: Metadata) -> ErrorDetails {
    let name = reason.as_str_name();
    let metadata: HashMap<String, String> = metadata
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value))
        .collect();
    ErrorDetails::with_error_info(
        name.strip_prefix("ERROR_REASON_").unwrap_or(name),
        DOMAIN,
        metadata,
    )
}

/// `text`, at most `most` bytes of it, with an ellipsis where something was cut off.
fn cut(text: &str, most: usize) -> String {
    const ELLIPSIS: &str = "…";
    if text.len() <= most {
        return text.to_owned();
    }
    let end = text.floor_char_boundary(most.saturating_sub(ELLIPSIS.len()));
    format!("{}{ELLIPSIS}", &text[..end])
}

#[cfg(test)]
mod tests;
