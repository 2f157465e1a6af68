//! What may be called over the agent socket: the one place that decides it.
//!
//! An agent is a program that is told what to do by text from anywhere. It may ask people, and must never be able to answer for them, nor to
//! read what others have asked. So what is not listed here is refused before any service sees it, and the services that agents reach
//! learn whose notifications they may touch from [`Authority`], which is made here and from nothing that an agent could choose freely: from
//! the socket that the call came through, and a secret.

use http::HeaderMap;
use http_body_util::Limited;
use sha2::{Digest, Sha256};
use tonic::body::Body;
use tonic::{Request, Status};

use crate::domain::authority::{Authority, Owner};
use crate::domain::error::{Error, Result};

/// The metadata that holds an agent's secret.
pub(super) const KEY_HEADER: &str = "barista-session-key";
/// The fewest characters of a secret: what is shorter is a name that somebody could guess.
const MIN_KEY: usize = 32;
/// The most characters of a secret.
const MAX_KEY: usize = 128;
/// The largest request of an agent, in bytes: a notification with every text at its limit has less.
const REQUEST_BYTES: usize = 512 * 1024;
/// The same for telemetry, as it comes: exporters gather spans, and may compress them.
const EXPORT_BYTES: usize = 8 * 1024 * 1024;

/// What an agent may do with a method.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Access {
    /// Call it. It tells nothing of any notification, and needs no secret.
    Open,
    /// Call it with a secret, for the notifications that belong to that.
    Own,
    /// Nothing.
    Denied,
}

/// Every method of the API. One that is missing here is denied; a test finds it.
const METHODS: &[(&str, Access)] = &[
    ("/barista.admin.v1.AdminService/GetServerInfo", Access::Open),
    ("/barista.admin.v1.AdminService/GetMetrics", Access::Denied),
    ("/barista.admin.v1.AdminService/GetStatus", Access::Denied),
    (
        "/barista.admin.v1.AdminService/CreateBackup",
        Access::Denied,
    ),
    (
        "/barista.admin.v1.AdminService/ApplyRetention",
        Access::Denied,
    ),
    ("/barista.admin.v1.AdminService/Checkpoint", Access::Denied),
    (
        "/barista.admin.v1.AdminService/CheckIntegrity",
        Access::Denied,
    ),
    (
        "/barista.consumer.v1.ConsumerService/CreateConsumer",
        Access::Denied,
    ),
    (
        "/barista.consumer.v1.ConsumerService/GetConsumer",
        Access::Denied,
    ),
    (
        "/barista.consumer.v1.ConsumerService/ListConsumers",
        Access::Denied,
    ),
    (
        "/barista.consumer.v1.ConsumerService/DeleteConsumer",
        Access::Denied,
    ),
    (
        "/barista.consumer.v1.ConsumerService/ResetConsumer",
        Access::Denied,
    ),
    (
        "/barista.consumer.v1.ConsumerService/AcknowledgeConsumer",
        Access::Denied,
    ),
    (
        "/barista.consumer.v1.ConsumerService/SetEventAside",
        Access::Denied,
    ),
    (
        "/barista.consumer.v1.ConsumerService/ListSetAsideEvents",
        Access::Denied,
    ),
    (
        "/barista.consumer.v1.ConsumerService/UpdateSetAsideEvent",
        Access::Denied,
    ),
    (
        "/barista.consumer.v1.ConsumerService/DiscardSetAsideEvent",
        Access::Denied,
    ),
    (
        "/barista.notification.v1.NotificationService/CreateNotification",
        Access::Own,
    ),
    // One at a time: what a batch would save an agent, it would cost everybody else.
    (
        "/barista.notification.v1.NotificationService/BatchCreateNotifications",
        Access::Denied,
    ),
    (
        "/barista.notification.v1.NotificationService/GetNotification",
        Access::Own,
    ),
    // Its pages walk over what others have created, and their cursors and sizes would tell of it.
    (
        "/barista.notification.v1.NotificationService/ListNotifications",
        Access::Denied,
    ),
    (
        "/barista.notification.v1.NotificationService/ListNotificationEvents",
        Access::Own,
    ),
    (
        "/barista.notification.v1.NotificationService/RespondNotification",
        Access::Denied,
    ),
    (
        "/barista.notification.v1.NotificationService/MarkNotificationRead",
        Access::Denied,
    ),
    (
        "/barista.notification.v1.NotificationService/DismissNotification",
        Access::Denied,
    ),
    (
        "/barista.notification.v1.NotificationService/CancelNotification",
        Access::Own,
    ),
    (
        "/barista.notification.v1.NotificationService/WaitNotification",
        Access::Own,
    ),
    (
        "/barista.notification.v1.NotificationService/WatchNotifications",
        Access::Own,
    ),
    // What everybody has done, and what it cost.
    (
        "/barista.analytics.v1.AnalyticsService/GetUsage",
        Access::Denied,
    ),
    (
        "/barista.analytics.v1.AnalyticsService/GetLatency",
        Access::Denied,
    ),
    (
        "/barista.analytics.v1.AnalyticsService/CompareModels",
        Access::Denied,
    ),
    (
        "/barista.analytics.v1.AnalyticsService/GetErrors",
        Access::Denied,
    ),
    (
        "/barista.analytics.v1.AnalyticsService/ListExpensiveObservations",
        Access::Denied,
    ),
    (
        "/barista.analytics.v1.AnalyticsService/GetHeatmap",
        Access::Denied,
    ),
    (
        "/barista.analytics.v1.AnalyticsService/ListUnknownModels",
        Access::Denied,
    ),
    (
        "/barista.analytics.v1.AnalyticsService/GetIngestion",
        Access::Denied,
    ),
    // What an agent does is its own to tell. What others have done is not its own to read, and ids of traces can be guessed.
    (
        "/barista.trace.v1.TraceService/RecordObservations",
        Access::Own,
    ),
    (
        "/barista.trace.v1.TraceService/GetObservation",
        Access::Denied,
    ),
    ("/barista.trace.v1.TraceService/GetTrace", Access::Denied),
    ("/barista.trace.v1.TraceService/ListTraces", Access::Denied),
    (
        "/barista.trace.v1.TraceService/ListObservations",
        Access::Denied,
    ),
    (
        "/barista.trace.v1.TraceService/WatchObservations",
        Access::Denied,
    ),
    // Reporting what one has done is no secret and asks for nothing; exporters cannot make a secret up.
    (
        "/opentelemetry.proto.collector.logs.v1.LogsService/Export",
        Access::Open,
    ),
    (
        "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export",
        Access::Open,
    ),
    (
        "/opentelemetry.proto.collector.trace.v1.TraceService/Export",
        Access::Open,
    ),
    ("/grpc.health.v1.Health/Check", Access::Open),
    ("/grpc.health.v1.Health/Watch", Access::Denied),
    (
        "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
        Access::Denied,
    ),
    (
        "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
        Access::Denied,
    ),
];

/// The path of every method.
pub(super) fn methods() -> impl Iterator<Item = &'static str> {
    METHODS.iter().map(|(method, _)| *method)
}

/// What agents may do with the method at `path`.
pub(super) fn access(path: &str) -> Access {
    METHODS
        .iter()
        .find(|(method, _)| *method == path)
        .map_or(Access::Denied, |(_, access)| *access)
}

/// Decides on a call over the agent socket: `None` for a method that needs no authority.
///
/// # Errors
///
/// `AgentNotAllowed`; `InvalidField` where the secret is missing or none.
pub(super) fn admit(path: &str, headers: &HeaderMap) -> Result<Option<Authority>> {
    match access(path) {
        Access::Open => Ok(None),
        Access::Own => owner(headers).map(|owner| Some(Authority::Agent(owner))),
        Access::Denied => Err(Error::AgentNotAllowed {
            what: format!("call {}", known(path)),
            remedy: "ask a person to do it; this is the agent socket, which asks, waits, cancels what is the caller's own, and records what the caller does",
        }),
    }
}

/// The name of a method, which a caller may have made up.
fn known(path: &str) -> &str {
    METHODS
        .iter()
        .find(|(method, _)| *method == path)
        .and_then(|(method, _)| method.rsplit('/').next())
        .unwrap_or("this method")
}

/// The owner that the secret among `headers` stands for.
fn owner(headers: &HeaderMap) -> Result<Owner> {
    let mut keys = headers.get_all(KEY_HEADER).iter();
    let invalid = |rule: &str| Err(Error::invalid(KEY_HEADER, rule));
    match (keys.next(), keys.next()) {
        (None, _) => invalid(
            "this metadata is missing: send a secret of 32 to 128 characters with each call over the agent socket",
        ),
        (Some(_), Some(_)) => invalid("must be given once"),
        (Some(key), None) if is_secret(key.as_bytes()) => {
            Ok(Owner::new(Sha256::digest(key.as_bytes()).into()))
        }
        (Some(_), None) => invalid(
            "must have 32 to 128 characters of A to Z, a to z, 0 to 9, \"-\" and \"_\", made at random",
        ),
    }
}

fn is_secret(key: &[u8]) -> bool {
    (MIN_KEY..=MAX_KEY).contains(&key.len())
        && key
            .iter()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
}

/// Whether `path` is a method of the OpenTelemetry protocol.
pub(super) fn is_export(path: &str) -> bool {
    path.starts_with("/opentelemetry.")
}

/// The body of an agent's request to `path`, which ends with an error where it gets too large.
pub(super) fn limited(path: &str, body: Body) -> Body {
    let most = if is_export(path) {
        EXPORT_BYTES
    } else {
        REQUEST_BYTES
    };
    Body::new(Limited::new(body, most))
}

/// The authority of a call, as the border has found it.
///
/// # Errors
///
/// `Internal` for a call that did not come through the border: nobody knows what it may do.
pub(super) fn authority<T>(request: &Request<T>) -> Result<Authority, Status> {
    let missing = || Error::Internal("a call without authority".to_owned());
    Ok(*request
        .extensions()
        .get::<Authority>()
        .ok_or_else(missing)?)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use prost::Message;
    use prost_types::FileDescriptorSet;

    use super::super::pb::DESCRIPTOR_SET;
    use super::*;

    /// Every method that is served, as a path.
    fn served() -> BTreeSet<String> {
        let sets = [
            DESCRIPTOR_SET,
            tonic_health::pb::FILE_DESCRIPTOR_SET,
            tonic_reflection::pb::v1::FILE_DESCRIPTOR_SET,
            tonic_reflection::pb::v1alpha::FILE_DESCRIPTOR_SET,
        ];
        let mut paths = BTreeSet::new();
        for set in sets {
            let set = FileDescriptorSet::decode(set).expect("descriptors");
            for file in &set.file {
                for service in &file.service {
                    for method in &service.method {
                        let (package, service) = (file.package(), service.name());
                        paths.insert(format!("/{package}.{service}/{}", method.name()));
                    }
                }
            }
        }
        paths
    }

    #[test]
    fn every_method_is_classified() {
        let listed: BTreeSet<String> = METHODS.iter().map(|(path, _)| (*path).to_owned()).collect();
        assert_eq!(listed, served());
        assert_eq!(listed.len(), METHODS.len(), "listed twice");
    }

    #[test]
    fn what_is_not_listed_is_denied() {
        let close = [
            "",
            "/",
            "/barista.notification.v1.NotificationService/CreateNotification/",
            "//barista.notification.v1.NotificationService/CreateNotification",
            "/barista.notification.v1.NotificationService/createNotification",
            "/barista.notification.v1.NotificationService/%43reateNotification",
            "/barista.notification.v1.NotificationService/New",
        ];
        for path in close {
            assert_eq!(access(path), Access::Denied, "{path}");
        }
    }

    fn refusal(keys: &[&str]) -> Option<String> {
        let mut headers = HeaderMap::new();
        for key in keys {
            headers.append(KEY_HEADER, key.parse().expect("a header"));
        }
        match owner(&headers) {
            Ok(_) => None,
            Err(Error::InvalidField { field, .. }) => Some(field),
            Err(other) => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_secret_is_long_and_plain_and_given_once() {
        let good = "0123456789abcdef0123456789ABCD-_";
        assert_eq!(refusal(&[good]), None);
        assert_eq!(refusal(&["x".repeat(MAX_KEY).as_str()]), None);
        let refused = Some(KEY_HEADER.to_owned());
        assert_eq!(refusal(&[]), refused);
        assert_eq!(refusal(&[&good[1..]]), refused);
        assert_eq!(refusal(&["x".repeat(MAX_KEY + 1).as_str()]), refused);
        assert_eq!(refusal(&["0123456789abcdef0123456789ABCD,_"]), refused);
        assert_eq!(refusal(&[good, good]), refused);
    }

    #[test]
    fn a_call_that_did_not_pass_the_border_has_no_authority() {
        assert!(authority(&Request::new(())).is_err());
    }
}
