//! Reading lists, page by page.

use barista_client::Client;
use barista_client::pb::notification::v1::{
    ListNotificationsRequest, ListNotificationsResponse, ListOrder, NotificationFilter,
    NotificationState,
};

use crate::failure::{Failure, Result};

/// The most that the daemon puts on one page.
const MAX_PAGE: usize = 1_000;

/// The states in which a notification can still be answered.
pub(crate) const OPEN: [NotificationState; 2] =
    [NotificationState::Pending, NotificationState::Read];

/// Counts what comes after `list` in the same order, on one more page of the daemon's; says whether that was all.
pub(crate) async fn count(
    client: &Client,
    filter: NotificationFilter,
    list: &ListNotificationsResponse,
) -> Result<(usize, bool)> {
    let request = ListNotificationsRequest {
        filter: Some(filter),
        order: ListOrder::MostUrgentFirst.into(),
        page_size: i32::try_from(MAX_PAGE).unwrap_or(i32::MAX),
        page_token: list.next_page_token.clone(),
    };
    let page = client
        .list_notifications(request)
        .await
        .map_err(|error| Failure::call("cannot list notifications", &error))?;
    Ok((page.notifications.len(), page.next_page_token.is_empty()))
}

/// Lists up to `limit` notifications, the most urgent first, as one page. Its `next_page_token` says whether there are more.
///
/// A page of the daemon's may be short or empty while more follow, so only an empty token ends the list.
pub(crate) async fn most_urgent(
    client: &Client,
    filter: NotificationFilter,
    limit: usize,
) -> Result<ListNotificationsResponse> {
    let mut list = ListNotificationsResponse::default();
    loop {
        let missing = limit.saturating_sub(list.notifications.len());
        let request = ListNotificationsRequest {
            filter: Some(filter.clone()),
            order: ListOrder::MostUrgentFirst.into(),
            page_size: i32::try_from(missing.clamp(1, MAX_PAGE)).unwrap_or(i32::MAX),
            page_token: std::mem::take(&mut list.next_page_token),
        };
        let page = client
            .list_notifications(request)
            .await
            .map_err(|error| Failure::call("cannot list notifications", &error))?;
        list.notifications.extend(page.notifications);
        list.next_page_token = page.next_page_token;
        // A watch from the first page's cursor misses nothing that any page shows.
        list.cursor = list.cursor.or(page.cursor);
        if list.next_page_token.is_empty() || list.notifications.len() >= limit {
            return Ok(list);
        }
    }
}
