//! The calls about notifications, one per RPC.

use tonic::transport::Channel;
use uuid::Uuid;

use crate::client::Client;
use crate::error::Error;
use crate::pb::notification::v1::notification_service_client::NotificationServiceClient;
use crate::pb::notification::v1::{
    BatchCreateNotificationsRequest, CancelNotificationRequest, CreateNotificationRequest,
    DismissNotificationRequest, GetNotificationRequest, ListNotificationEventsRequest,
    ListNotificationsRequest, ListNotificationsResponse, MarkNotificationReadRequest, Notification,
    NotificationEvent, RespondNotificationRequest,
};
use crate::session::MAX_REPLY_BYTES;

/// How many events are asked for at once; the most that the daemon gives.
const EVENT_PAGE: i32 = 1000;

pub(crate) fn stub(channel: Channel) -> NotificationServiceClient<Channel> {
    NotificationServiceClient::new(channel).max_decoding_message_size(MAX_REPLY_BYTES)
}

/// Every method may fail as [`Client::connect`] does when the daemon has gone away meanwhile, with [`Error::Disconnected`],
/// [`Error::TimedOut`], and with [`Error::Rpc`]: the reasons of each are with the RPC in `proto/`, under
/// [`NotificationServiceClient`].
impl Client {
    /// Creates a notification. An empty `request_id` becomes a new UUID, so each call of this method creates one notification.
    ///
    /// # Errors
    ///
    /// `INVALID_FIELD`; `REQUEST_ID_REUSED`.
    pub async fn create_notification(
        &self,
        mut request: CreateNotificationRequest,
    ) -> Result<Notification, Error> {
        fill(&mut request.request_id);
        let reply = self
            .call(request, |channel, request| async move {
                stub(channel).create_notification(request).await
            })
            .await?;
        present(reply.notification, "CreateNotification")
    }

    /// Creates up to 1,000 notifications in one transaction, all or none, and returns them in the same order.
    ///
    /// # Errors
    ///
    /// As [`Client::create_notification`]; the field's name begins with `requests[N]`.
    pub async fn batch_create_notifications(
        &self,
        mut requests: Vec<CreateNotificationRequest>,
    ) -> Result<Vec<Notification>, Error> {
        for request in &mut requests {
            fill(&mut request.request_id);
        }
        let reply = self
            .call(
                BatchCreateNotificationsRequest { requests },
                |channel, request| async move {
                    stub(channel).batch_create_notifications(request).await
                },
            )
            .await?;
        Ok(reply.notifications)
    }

    /// Returns the notification with this id.
    ///
    /// # Errors
    ///
    /// `NOTIFICATION_NOT_FOUND`.
    pub async fn get_notification(&self, id: i64) -> Result<Notification, Error> {
        let reply = self
            .call(
                GetNotificationRequest { id },
                |channel, request| async move { stub(channel).get_notification(request).await },
            )
            .await?;
        present(reply.notification, "GetNotification")
    }

    /// Lists one page of notifications. Only an empty `next_page_token` ends the list: a page may be short, even empty.
    ///
    /// # Errors
    ///
    /// `INVALID_FIELD`.
    pub async fn list_notifications(
        &self,
        request: ListNotificationsRequest,
    ) -> Result<ListNotificationsResponse, Error> {
        self.call(request, |channel, request| async move {
            stub(channel).list_notifications(request).await
        })
        .await
    }

    /// Lists the whole history of one notification, oldest first, as far as the journal reaches back.
    ///
    /// # Errors
    ///
    /// `INVALID_FIELD`.
    pub async fn list_notification_events(&self, id: i64) -> Result<Vec<NotificationEvent>, Error> {
        let mut events = Vec::new();
        let mut page_token = String::new();
        loop {
            let request = ListNotificationEventsRequest {
                id,
                page_size: EVENT_PAGE,
                page_token,
            };
            let page = self
                .call(request, |channel, request| async move {
                    stub(channel).list_notification_events(request).await
                })
                .await?;
            events.extend(page.events);
            if page.next_page_token.is_empty() {
                return Ok(events);
            }
            page_token = page.next_page_token;
        }
    }

    /// Answers a notification. The first response wins; the same response by the same responder again is a success.
    ///
    /// # Errors
    ///
    /// `NOTIFICATION_CLOSED`, with the winner in the metadata; `RESPONSE_NOT_ALLOWED`; `NOTIFICATION_NOT_FOUND`; `INVALID_FIELD`.
    pub async fn respond_notification(
        &self,
        mut request: RespondNotificationRequest,
    ) -> Result<Notification, Error> {
        fill(&mut request.request_id);
        let reply = self
            .call(request, |channel, request| async move {
                stub(channel).respond_notification(request).await
            })
            .await?;
        present(reply.notification, "RespondNotification")
    }

    /// Marks a notification as read. One that is read already or has ended is returned unchanged.
    ///
    /// # Errors
    ///
    /// `NOTIFICATION_NOT_FOUND`; `INVALID_FIELD`.
    pub async fn mark_notification_read(
        &self,
        mut request: MarkNotificationReadRequest,
    ) -> Result<Notification, Error> {
        fill(&mut request.request_id);
        let reply = self
            .call(request, |channel, request| async move {
                stub(channel).mark_notification_read(request).await
            })
            .await?;
        present(reply.notification, "MarkNotificationRead")
    }

    /// Puts a notification away without a response.
    ///
    /// # Errors
    ///
    /// `NOTIFICATION_CLOSED`; `NOTIFICATION_NOT_FOUND`; `INVALID_FIELD`.
    pub async fn dismiss_notification(
        &self,
        mut request: DismissNotificationRequest,
    ) -> Result<Notification, Error> {
        fill(&mut request.request_id);
        let reply = self
            .call(request, |channel, request| async move {
                stub(channel).dismiss_notification(request).await
            })
            .await?;
        present(reply.notification, "DismissNotification")
    }

    /// Withdraws a notification.
    ///
    /// # Errors
    ///
    /// `NOTIFICATION_CLOSED`; `NOTIFICATION_NOT_FOUND`; `INVALID_FIELD`.
    pub async fn cancel_notification(
        &self,
        mut request: CancelNotificationRequest,
    ) -> Result<Notification, Error> {
        fill(&mut request.request_id);
        let reply = self
            .call(request, |channel, request| async move {
                stub(channel).cancel_notification(request).await
            })
            .await?;
        present(reply.notification, "CancelNotification")
    }
}

/// Gives a request its identity, with which it can be sent again safely.
pub(crate) fn fill(request_id: &mut String) {
    if request_id.is_empty() {
        *request_id = Uuid::now_v7().to_string();
    }
}

/// The part of a reply that the contract promises.
pub(crate) fn present<T>(part: Option<T>, method: &str) -> Result<T, Error> {
    part.ok_or_else(|| Error::InvalidReply(format!("{method} answered without its content")))
}
