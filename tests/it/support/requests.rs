//! Requests, and what is read from replies, in few words.

use std::collections::BTreeMap;

use barista_client::Client;
use barista_client::pb::notification::v1::{
    CreateNotificationRequest, ListNotificationsRequest, ListOrder, MarkNotificationReadRequest,
    Notification, NotificationFilter, NotificationType, RespondNotificationRequest, StartAt,
    WatchNotificationsRequest,
};

use super::soon;

/// A question to which any text is an answer.
pub(crate) fn question(title: &str) -> CreateNotificationRequest {
    CreateNotificationRequest {
        r#type: NotificationType::Question.into(),
        title: title.to_owned(),
        agent: "tester".to_owned(),
        ..CreateNotificationRequest::default()
    }
}

/// A notice.
pub(crate) fn info(title: &str) -> CreateNotificationRequest {
    CreateNotificationRequest {
        r#type: NotificationType::Info.into(),
        ..question(title)
    }
}

/// An answer by "ann".
pub(crate) fn answer(id: i64, text: &str) -> RespondNotificationRequest {
    RespondNotificationRequest {
        id,
        text: text.to_owned(),
        responder: "ann".to_owned(),
        surface: "test".to_owned(),
        ..RespondNotificationRequest::default()
    }
}

/// A reading by "ann".
pub(crate) fn move_to(id: i64) -> MarkNotificationReadRequest {
    MarkNotificationReadRequest {
        id,
        actor: "ann".to_owned(),
        surface: "test".to_owned(),
        request_id: String::new(),
    }
}

/// A new request id.
pub(crate) fn uuid() -> String {
    uuid::Uuid::new_v4().to_string()
}

/// A number below `below`, different each time.
pub(crate) fn number(below: u64) -> u64 {
    let (high, low) = uuid::Uuid::new_v4().as_u64_pair();
    (high ^ low) % below
}

/// A watch of everything from `start_at` on.
pub(crate) fn from(start_at: StartAt) -> WatchNotificationsRequest {
    WatchNotificationsRequest {
        start_at: start_at.into(),
        ..WatchNotificationsRequest::default()
    }
}

/// A watch from now on of what `filter` lets through.
pub(crate) fn only(filter: NotificationFilter) -> WatchNotificationsRequest {
    WatchNotificationsRequest {
        filter: Some(filter),
        ..from(StartAt::Now)
    }
}

/// All notifications, oldest first, read page by page.
pub(crate) async fn every(client: &Client) -> Vec<Notification> {
    let mut all = Vec::new();
    let mut page_token = String::new();
    loop {
        let request = ListNotificationsRequest {
            order: ListOrder::OldestFirst.into(),
            page_size: 1000,
            page_token,
            ..ListNotificationsRequest::default()
        };
        let page = soon(client.list_notifications(request))
            .await
            .expect("a page");
        all.extend(page.notifications);
        if page.next_page_token.is_empty() {
            return all;
        }
        page_token = page.next_page_token;
    }
}

/// The notifications under their ids, each of which must be there once.
pub(crate) fn by_id(
    notifications: impl IntoIterator<Item = Notification>,
) -> BTreeMap<i64, Notification> {
    let mut map = BTreeMap::new();
    for notification in notifications {
        let before = map.insert(notification.id, notification);
        assert!(before.is_none(), "twice: {before:?}");
    }
    map
}

/// The titles, in order.
pub(crate) fn titles(notifications: &[Notification]) -> Vec<&str> {
    notifications
        .iter()
        .map(|notification| notification.title.as_str())
        .collect()
}
