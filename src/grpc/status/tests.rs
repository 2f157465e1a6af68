use std::collections::BTreeSet;

use http::HeaderMap;
use tonic::metadata::MetadataValue;

use super::*;
use crate::domain::notification::State;
use crate::domain::word::Word;

fn bounds() -> JournalBounds {
    JournalBounds {
        epoch: "e1".to_owned(),
        oldest: 5,
        head: 9,
    }
}

fn closed() -> Closed {
    Closed {
        id: 7,
        state: Word::Known(State::Responded),
        by: "ada".to_owned(),
        surface: "cli".to_owned(),
        response: Some("yes".to_owned()),
    }
}

/// One error of each variant. The match makes the compiler ask for a new one.
#[expect(
    clippy::too_many_lines,
    reason = "a list, and the match that makes it complete"
)]
fn all_errors() -> Vec<Error> {
    let second = Duration::from_secs(1);
    let mut errors = vec![
        Error::invalid("title", "must not be empty"),
        Error::NotificationNotFound { id: 7 },
        Error::ObservationNotFound { id: 7 },
        Error::TraceNotFound { id: "7".to_owned() },
        Error::NotificationClosed(Box::new(closed())),
        Error::ResponseNotAllowed {
            id: 7,
            field: "text".to_owned(),
            rule: "must be one of: yes, no".to_owned(),
            options: vec!["yes".to_owned(), "no".to_owned()],
        },
        Error::RequestIdReused {
            request_id: Uuid::nil(),
            id: 7,
        },
        Error::SequenceCompacted {
            after: 1,
            bounds: bounds(),
        },
        Error::SnapshotTooLarge { limit: 10 },
        Error::QuestionTooBroad { limit: 10 },
        Error::ShuttingDown,
        Error::DatabaseBusy {
            retry_after: second,
        },
        Error::QueueFull {
            retry_after: second,
        },
        Error::CommitUnknown,
        Error::DiskFull { available: 10 },
        Error::DatabaseUnavailable {
            reason: "the file was moved".to_owned(),
        },
        Error::DeadlineExceeded,
        Error::TooManyStreams { limit: 10 },
        Error::AgentNotAllowed {
            what: "call RespondNotification".to_owned(),
            remedy: "ask a person",
        },
        Error::Internal("a secret of the daemon".to_owned()),
    ];
    errors.extend(consumer_errors());
    errors.extend(backup_errors());
    for error in &errors {
        match error {
            Error::InvalidField { .. }
            | Error::NotificationNotFound { .. }
            | Error::ObservationNotFound { .. }
            | Error::TraceNotFound { .. }
            | Error::AgentNotAllowed { .. }
            | Error::NotificationClosed(_)
            | Error::ResponseNotAllowed { .. }
            | Error::RequestIdReused { .. }
            | Error::SequenceCompacted { .. }
            | Error::UnknownCursor { .. }
            | Error::ConsumerNotFound { .. }
            | Error::ConsumerExists { .. }
            | Error::ConsumerLeftBehind { .. }
            | Error::ConsumerElsewhere { .. }
            | Error::ConsumerTakenOver { .. }
            | Error::ConsumerReset { .. }
            | Error::ConsumerRequestReused { .. }
            | Error::SetAsideFull { .. }
            | Error::SetAsideEventNotFound { .. }
            | Error::BackupRunning
            | Error::BackupFailed { .. }
            | Error::SnapshotTooLarge { .. }
            | Error::QuestionTooBroad { .. }
            | Error::ShuttingDown
            | Error::DatabaseBusy { .. }
            | Error::QueueFull { .. }
            | Error::CommitUnknown
            | Error::DiskFull { .. }
            | Error::DatabaseUnavailable { .. }
            | Error::DeadlineExceeded
            | Error::TooManyStreams { .. }
            | Error::Internal(_) => {}
        }
    }
    errors
}

fn backup_errors() -> Vec<Error> {
    let reason = "the disk is gone".to_owned();
    vec![Error::BackupRunning, Error::BackupFailed { reason }]
}

/// Those about consumers and their places.
fn consumer_errors() -> Vec<Error> {
    vec![
        Error::UnknownCursor { bounds: bounds() },
        Error::ConsumerNotFound {
            name: "c".to_owned(),
        },
        Error::ConsumerExists {
            name: "c".to_owned(),
        },
        Error::ConsumerLeftBehind {
            name: "c".to_owned(),
            acknowledged: 1,
            bounds: bounds(),
        },
        Error::ConsumerElsewhere {
            name: "c".to_owned(),
            bounds: bounds(),
        },
        Error::ConsumerTakenOver {
            name: "c".to_owned(),
        },
        Error::ConsumerReset {
            name: "c".to_owned(),
        },
        Error::ConsumerRequestReused {
            request_id: Uuid::nil(),
            name: "c".to_owned(),
        },
        Error::SetAsideEventNotFound {
            name: "c".to_owned(),
            sequence: 7,
        },
        Error::SetAsideFull {
            name: "c".to_owned(),
            limit: 10,
        },
    ]
}

fn reason_of(status: &Status) -> String {
    let info = status.get_details_error_info().expect("an ErrorInfo");
    assert_eq!(info.domain, "barista");
    info.reason
}

fn metadata(status: &Status, name: &str) -> Option<String> {
    let info = status.get_details_error_info().expect("an ErrorInfo");
    info.metadata.get(name).cloned()
}

/// The code that `error_reason.proto` states for a reason.
fn documented_code(reason: &str) -> Code {
    match reason {
        "INVALID_FIELD" | "MALFORMED_MESSAGE" | "RESPONSE_NOT_ALLOWED" => Code::InvalidArgument,
        "MESSAGE_TOO_LARGE" | "QUEUE_FULL" | "DISK_FULL" | "TOO_MANY_STREAMS" => {
            Code::ResourceExhausted
        }
        "METHOD_NOT_FOUND" => Code::Unimplemented,
        "NOTIFICATION_NOT_FOUND"
        | "CONSUMER_NOT_FOUND"
        | "SET_ASIDE_EVENT_NOT_FOUND"
        | "OBSERVATION_NOT_FOUND"
        | "TRACE_NOT_FOUND" => Code::NotFound,
        "NOTIFICATION_CLOSED"
        | "UNKNOWN_CURSOR"
        | "SNAPSHOT_TOO_LARGE"
        | "QUESTION_TOO_BROAD"
        | "SET_ASIDE_FULL"
        | "BACKUP_RUNNING"
        | "BACKUP_FAILED" => Code::FailedPrecondition,
        "REQUEST_ID_REUSED" | "CONSUMER_EXISTS" => Code::AlreadyExists,
        "CONSUMER_TAKEN_OVER" | "CONSUMER_RESET" => Code::Aborted,
        "SEQUENCE_COMPACTED" => Code::OutOfRange,
        "SHUTTING_DOWN" | "DATABASE_BUSY" | "COMMIT_UNKNOWN" | "DATABASE_UNAVAILABLE" => {
            Code::Unavailable
        }
        "PEER_NOT_PERMITTED" | "AGENT_NOT_ALLOWED" => Code::PermissionDenied,
        "DEADLINE_EXCEEDED" => Code::DeadlineExceeded,
        "INTERNAL" => Code::Internal,
        other => panic!("{other} is not in error_reason.proto"),
    }
}

/// What tonic makes, as far as it can happen before a handler runs.
fn by_tonic() -> [Status; 3] {
    [
        Status::unimplemented(""),
        Status::out_of_range("Error, decoded message length too large"),
        Status::internal("failed to decode Protobuf message"),
    ]
    .map(|status| complete(status, Stage::Request))
}

#[test]
fn every_reason_is_produced_with_the_code_that_the_manual_states() {
    let produced: Vec<Status> = all_errors()
        .into_iter()
        .map(Status::from)
        .chain([watch_ended("e1", 9), peer_not_permitted()])
        .chain(by_tonic())
        .collect();
    let mut reasons = BTreeSet::new();
    for status in &produced {
        let reason = reason_of(status);
        assert_eq!(status.code(), documented_code(&reason), "{reason}");
        reasons.insert(reason);
    }
    let documented: BTreeSet<String> = (1..100)
        .filter_map(|number| ErrorReason::try_from(number).ok())
        .map(|reason| reason.as_str_name().replace("ERROR_REASON_", ""))
        .collect();
    assert_eq!(reasons, documented);
}

#[test]
fn a_field_at_fault_is_named() {
    let status = Status::from(Error::invalid("requests[3].title", "must not be empty"));
    assert_eq!(status.message(), "requests[3].title: must not be empty");
    let request = status.get_details_bad_request().expect("a BadRequest");
    let [violation] = &request.field_violations[..] else {
        panic!("expected one violation");
    };
    assert_eq!(violation.field, "requests[3].title");
    assert_eq!(violation.description, "must not be empty");
}

#[test]
fn the_winner_of_a_closed_notification_is_in_the_metadata_where_known() {
    let status = Status::from(Error::NotificationClosed(Box::new(closed())));
    for (name, value) in [
        ("id", "7"),
        ("state", "responded"),
        ("responder", "ada"),
        ("surface", "cli"),
        ("response", "yes"),
    ] {
        assert_eq!(metadata(&status, name).as_deref(), Some(value), "{name}");
    }
    let silent = Closed {
        state: Word::Known(State::Expired),
        by: String::new(),
        surface: String::new(),
        response: None,
        ..closed()
    };
    let status = Status::from(Error::NotificationClosed(Box::new(silent)));
    for name in ["responder", "surface", "response"] {
        assert_eq!(metadata(&status, name), None, "{name}");
    }
}

#[test]
fn a_retry_is_suggested_where_it_helps() {
    for error in all_errors() {
        let expected = matches!(
            error,
            Error::DatabaseBusy { .. }
                | Error::QueueFull { .. }
                | Error::DiskFull { .. }
                | Error::TooManyStreams { .. }
        );
        let status = Status::from(error);
        let retry = status.get_details_retry_info();
        assert_eq!(retry.is_some(), expected, "{}", reason_of(&status));
    }
}

#[test]
fn the_end_of_a_watch_says_where_it_was() {
    let status = watch_ended("e1", 42);
    assert_eq!(metadata(&status, "epoch").as_deref(), Some("e1"));
    assert_eq!(metadata(&status, "last_sequence").as_deref(), Some("42"));
}

#[test]
fn a_defect_keeps_its_text_to_itself_and_names_its_place_in_the_log() {
    let status = Status::from(Error::Internal("a secret of the daemon".to_owned()));
    assert_eq!(status.message(), "internal error");
    assert!(!String::from_utf8_lossy(status.details()).contains("secret"));
    let request = metadata(&status, "request").expect("a request");
    assert!(Uuid::try_parse(&request).is_ok());
}

#[test]
fn the_largest_error_fits_into_the_headers_that_every_client_takes() {
    let huge = || "é😀\n\"".repeat(20_000);
    let errors = [
        Error::invalid(huge(), huge()),
        Error::ResponseNotAllowed {
            id: i64::MIN,
            field: huge(),
            rule: huge(),
            options: vec![huge(); 16],
        },
        Error::NotificationClosed(Box::new(Closed {
            id: i64::MIN,
            state: Word::Other(huge()),
            by: huge(),
            surface: huge(),
            response: Some(huge()),
        })),
        Error::DatabaseUnavailable { reason: huge() },
    ];
    for error in errors {
        let mut headers = HeaderMap::new();
        Status::from(error)
            .add_header(&mut headers)
            .expect("a valid header");
        let bytes: usize = headers
            .iter()
            .map(|(name, value)| name.as_str().len() + value.len() + 32)
            .sum();
        assert!(bytes < 8 * 1024, "{bytes} bytes");
    }
}

#[test]
fn a_status_with_a_reason_is_left_alone() {
    let status = Status::from(Error::NotificationNotFound { id: 1 });
    let details = status.details().to_vec();
    assert_eq!(complete(status, Stage::Response).details(), details);
}

#[test]
fn what_tonic_objects_to_in_our_response_is_our_defect() {
    let status = Status::out_of_range("Error, encoded message length too large");
    let status = complete(status, Stage::Response);
    assert_eq!(reason_of(&status), "INTERNAL");
    assert_eq!(status.message(), "internal error");
}

#[test]
fn a_client_that_is_gone_before_its_request_was_read_is_no_defect() {
    let words = "h2 protocol error: error reading a body from connection";
    let status = complete(Status::unknown(words), Stage::Request);
    assert_eq!(status.code(), Code::Cancelled);
    let status = complete(Status::unknown("something else"), Stage::Request);
    assert_eq!(reason_of(&status), "INTERNAL");
}

#[test]
fn an_unknown_compression_is_told_apart_from_an_unknown_method_and_says_what_is_known() {
    let mut status = Status::unimplemented("Content is compressed with `gzip`");
    let known = MetadataValue::from_static("identity");
    status.metadata_mut().insert("grpc-accept-encoding", known);
    let status = complete(status, Stage::Request);
    assert_eq!(status.code(), Code::Unimplemented);
    assert_eq!(reason_of(&status), "MALFORMED_MESSAGE");
    assert!(status.metadata().contains_key("grpc-accept-encoding"));
}
