//! The calls of `ConsumerService`: durable watchers and what they set aside.

use tonic::transport::Channel;

use crate::client::Client;
use crate::error::Error;
use crate::notification::{fill, present};
use crate::pb::consumer::v1::consumer_service_client::ConsumerServiceClient;
use crate::pb::consumer::v1::{
    AcknowledgeConsumerRequest, Consumer, CreateConsumerRequest, DeleteConsumerRequest,
    DiscardSetAsideEventRequest, GetConsumerRequest, ListConsumersRequest,
    ListSetAsideEventsRequest, ResetConsumerRequest, SetAsideEvent, SetEventAsideRequest,
    UpdateSetAsideEventRequest,
};
use crate::session::MAX_REPLY_BYTES;

/// How many items are asked for at once; the most that the daemon gives.
const PAGE: i32 = 1000;

pub(crate) fn stub(channel: Channel) -> ConsumerServiceClient<Channel> {
    ConsumerServiceClient::new(channel).max_decoding_message_size(MAX_REPLY_BYTES)
}

/// Durable watchers. [`Client::watch_consumer`] watches as one of them.
impl Client {
    /// Creates a consumer. An empty `request_id` becomes a new UUID.
    ///
    /// # Errors
    ///
    /// `CONSUMER_EXISTS`; `SEQUENCE_COMPACTED`, `UNKNOWN_CURSOR` for its start; `INVALID_FIELD`.
    pub async fn create_consumer(
        &self,
        mut request: CreateConsumerRequest,
    ) -> Result<Consumer, Error> {
        fill(&mut request.request_id);
        let reply = self
            .call(request, |channel, request| async move {
                stub(channel).create_consumer(request).await
            })
            .await?;
        present(reply.consumer, "CreateConsumer")
    }

    /// Returns the consumer with this name.
    ///
    /// # Errors
    ///
    /// `CONSUMER_NOT_FOUND`; `INVALID_FIELD`.
    pub async fn get_consumer(&self, name: &str) -> Result<Consumer, Error> {
        let request = GetConsumerRequest {
            name: name.to_owned(),
        };
        let reply = self
            .call(request, |channel, request| async move {
                stub(channel).get_consumer(request).await
            })
            .await?;
        present(reply.consumer, "GetConsumer")
    }

    /// Lists all consumers, the oldest first.
    ///
    /// # Errors
    ///
    /// As every call: the daemon cannot be reached, or says why not.
    pub async fn list_consumers(&self) -> Result<Vec<Consumer>, Error> {
        let page = |page_token| async move {
            let request = ListConsumersRequest {
                page_size: PAGE,
                page_token,
            };
            let send =
                |channel, request| async move { stub(channel).list_consumers(request).await };
            let page = self.call(request, send).await?;
            Ok((page.consumers, page.next_page_token))
        };
        all(page).await
    }

    /// Deletes a consumer with what it has set aside, and ends its watch.
    ///
    /// # Errors
    ///
    /// `CONSUMER_NOT_FOUND`; `INVALID_FIELD`.
    pub async fn delete_consumer(&self, name: &str) -> Result<(), Error> {
        // Whether there was one is asked first: the deletion itself may be repeated, and then finds none.
        self.get_consumer(name).await?;
        let request = DeleteConsumerRequest {
            name: name.to_owned(),
            allow_missing: true,
        };
        self.call(request, |channel, request| async move {
            stub(channel).delete_consumer(request).await
        })
        .await
        .map(drop)
    }

    /// Acknowledges everything up to a change, and returns when that is durable. An older place than the acknowledged one changes nothing.
    ///
    /// # Errors
    ///
    /// `CONSUMER_NOT_FOUND`; `UNKNOWN_CURSOR`: ahead of the journal, or of another epoch; `CONSUMER_RESET`: another generation.
    pub async fn acknowledge_consumer(
        &self,
        request: AcknowledgeConsumerRequest,
    ) -> Result<Consumer, Error> {
        let reply = self
            .call(request, |channel, request| async move {
                stub(channel).acknowledge_consumer(request).await
            })
            .await?;
        present(reply.consumer, "AcknowledgeConsumer")
    }

    /// Moves a consumer to another place. An empty `request_id` becomes a new UUID.
    ///
    /// # Errors
    ///
    /// `CONSUMER_NOT_FOUND`; `SEQUENCE_COMPACTED`, `UNKNOWN_CURSOR` for the place; `INVALID_FIELD`.
    pub async fn reset_consumer(
        &self,
        mut request: ResetConsumerRequest,
    ) -> Result<Consumer, Error> {
        fill(&mut request.request_id);
        let reply = self
            .call(request, |channel, request| async move {
                stub(channel).reset_consumer(request).await
            })
            .await?;
        present(reply.consumer, "ResetConsumer")
    }

    /// Sets a change aside that could not be dealt with, and acknowledges up to it, both at once.
    ///
    /// # Errors
    ///
    /// As [`Client::acknowledge_consumer`]; `SET_ASIDE_FULL`; `INVALID_FIELD`.
    pub async fn set_event_aside(&self, request: SetEventAsideRequest) -> Result<Consumer, Error> {
        let reply = self
            .call(request, |channel, request| async move {
                stub(channel).set_event_aside(request).await
            })
            .await?;
        present(reply.consumer, "SetEventAside")
    }

    /// Lists everything that a consumer has set aside, by sequence.
    ///
    /// # Errors
    ///
    /// `CONSUMER_NOT_FOUND`; `INVALID_FIELD`.
    pub async fn list_set_aside_events(&self, name: &str) -> Result<Vec<SetAsideEvent>, Error> {
        let page = |page_token| async move {
            let request = ListSetAsideEventsRequest {
                name: name.to_owned(),
                page_size: PAGE,
                page_token,
            };
            let send = |channel, request| async move {
                stub(channel).list_set_aside_events(request).await
            };
            let page = self.call(request, send).await?;
            Ok((page.events, page.next_page_token))
        };
        all(page).await
    }

    /// Records another attempt at a change that is set aside, which has failed, too, and returns the entry. The consumer's place stays.
    ///
    /// # Errors
    ///
    /// `SET_ASIDE_EVENT_NOT_FOUND`: it is not on the list, or no longer; `CONSUMER_NOT_FOUND`; `INVALID_FIELD`.
    pub async fn update_set_aside_event(
        &self,
        name: &str,
        event: SetAsideEvent,
    ) -> Result<SetAsideEvent, Error> {
        let request = UpdateSetAsideEventRequest {
            name: name.to_owned(),
            event: Some(event),
        };
        let reply = self
            .call(request, |channel, request| async move {
                stub(channel).update_set_aside_event(request).await
            })
            .await?;
        present(reply.event, "UpdateSetAsideEvent")
    }

    /// Takes a change off the list of what is set aside.
    ///
    /// # Errors
    ///
    /// `SET_ASIDE_EVENT_NOT_FOUND`: it is not on the list, or a call whose answer was lost has taken it off already; `CONSUMER_NOT_FOUND`;
    /// `INVALID_FIELD`.
    pub async fn discard_set_aside_event(&self, name: &str, sequence: i64) -> Result<(), Error> {
        let request = DiscardSetAsideEventRequest {
            name: name.to_owned(),
            sequence,
            allow_missing: false,
        };
        self.call(request, |channel, request| async move {
            stub(channel).discard_set_aside_event(request).await
        })
        .await
        .map(drop)
    }
}

/// The items of all pages. `page` gets one by its token, with the token of the next.
async fn all<T, R>(page: impl Fn(String) -> R) -> Result<Vec<T>, Error>
where
    R: Future<Output = Result<(Vec<T>, String), Error>>,
{
    let mut items = Vec::new();
    let mut token = String::new();
    loop {
        let (found, next) = page(token).await?;
        items.extend(found);
        if next.is_empty() {
            return Ok(items);
        }
        token = next;
    }
}
