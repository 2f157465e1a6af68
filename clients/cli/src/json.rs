//! Messages as canonical proto3 JSON, so that the command line and the API use the same names.

use std::sync::LazyLock;

use barista_client::pb;
use prost::Message;
use prost_reflect::{DescriptorPool, DynamicMessage};
use serde_json::Value;

use crate::failure::{Failure, Result};

/// The descriptors of all messages. Decoding them takes longer than a call, so only JSON output pays for it.
static POOL: LazyLock<Result<DescriptorPool, String>> =
    LazyLock::new(|| DescriptorPool::decode(pb::DESCRIPTOR_SET).map_err(|error| error.to_string()));

/// A message that is printed as JSON.
pub(crate) trait Named: Message {
    /// Its full name in `proto/`.
    const NAME: &'static str;
}

macro_rules! named {
    ($($message:path => $name:literal),+ $(,)?) => {
        $(impl Named for $message {
            const NAME: &'static str = $name;
        })+
    };
}

named! {
    pb::notification::v1::Notification => "barista.notification.v1.Notification",
    pb::notification::v1::NotificationEvent => "barista.notification.v1.NotificationEvent",
    pb::notification::v1::ListNotificationsResponse => "barista.notification.v1.ListNotificationsResponse",
    pb::consumer::v1::Consumer => "barista.consumer.v1.Consumer",
    pb::consumer::v1::SetAsideEvent => "barista.consumer.v1.SetAsideEvent",
    pb::analytics::v1::GetUsageResponse => "barista.analytics.v1.GetUsageResponse",
    pb::analytics::v1::GetLatencyResponse => "barista.analytics.v1.GetLatencyResponse",
    pb::analytics::v1::CompareModelsResponse => "barista.analytics.v1.CompareModelsResponse",
    pb::analytics::v1::GetErrorsResponse => "barista.analytics.v1.GetErrorsResponse",
    pb::analytics::v1::ListExpensiveObservationsResponse => "barista.analytics.v1.ListExpensiveObservationsResponse",
    pb::analytics::v1::GetHeatmapResponse => "barista.analytics.v1.GetHeatmapResponse",
    pb::analytics::v1::ListUnknownModelsResponse => "barista.analytics.v1.ListUnknownModelsResponse",
    pb::analytics::v1::GetIngestionResponse => "barista.analytics.v1.GetIngestionResponse",
    pb::admin::v1::Backup => "barista.admin.v1.Backup",
    pb::admin::v1::RetentionReport => "barista.admin.v1.RetentionReport",
    pb::admin::v1::ServerInfo => "barista.admin.v1.ServerInfo",
    pb::admin::v1::ServerStatus => "barista.admin.v1.ServerStatus",
}

/// The message as a JSON value.
///
/// # Errors
///
/// A defect of this program: the descriptors it was built with do not know the message.
pub(crate) fn value<M: Named>(message: &M) -> Result<Value> {
    let defect = |why: String| Failure::unexpected("cannot write JSON", why);
    let pool = POOL.as_ref().map_err(|error| defect(error.clone()))?;
    let descriptor = pool
        .get_message_by_name(M::NAME)
        .ok_or_else(|| defect(format!("unknown message {}", M::NAME)))?;
    let mut dynamic = DynamicMessage::new(descriptor);
    dynamic
        .transcode_from(message)
        .map_err(|error| defect(error.to_string()))?;
    serde_json::to_value(&dynamic).map_err(|error| defect(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::tests::at;

    #[test]
    fn names_and_values_are_those_of_proto3_json() {
        let notification = pb::notification::v1::Notification {
            id: 12,
            r#type: pb::notification::v1::NotificationType::Question.into(),
            title: "Deploy?\u{1b}".to_owned(),
            allow_text: true,
            create_time: Some(at(0)),
            ..Default::default()
        };
        let json = value(&notification).expect("JSON").to_string();
        assert_eq!(
            json,
            r#"{"allowText":true,"createTime":"2026-03-01T12:00:00Z","id":"12","title":"Deploy?\u001b","type":"NOTIFICATION_TYPE_QUESTION"}"#
        );
    }

    #[test]
    fn every_printed_message_is_known() {
        use pb::{admin::v1 as admin, consumer::v1 as consumer, notification::v1 as notification};
        assert!(value(&consumer::Consumer::default()).is_ok());
        assert!(value(&consumer::SetAsideEvent::default()).is_ok());
        assert!(value(&notification::NotificationEvent::default()).is_ok());
        assert!(value(&notification::ListNotificationsResponse::default()).is_ok());
        use pb::analytics::v1 as analytics;
        assert!(value(&analytics::GetUsageResponse::default()).is_ok());
        assert!(value(&analytics::GetLatencyResponse::default()).is_ok());
        assert!(value(&analytics::CompareModelsResponse::default()).is_ok());
        assert!(value(&analytics::GetErrorsResponse::default()).is_ok());
        assert!(value(&analytics::ListExpensiveObservationsResponse::default()).is_ok());
        assert!(value(&analytics::GetHeatmapResponse::default()).is_ok());
        assert!(value(&analytics::ListUnknownModelsResponse::default()).is_ok());
        assert!(value(&analytics::GetIngestionResponse::default()).is_ok());
        assert!(value(&admin::ServerInfo::default()).is_ok());
        assert!(value(&admin::ServerStatus::default()).is_ok());
    }
}
