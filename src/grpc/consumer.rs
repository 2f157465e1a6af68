//! `ConsumerService`.

use std::sync::Arc;

use tokio_util::task::TaskTracker;
use tonic::{Request, Response, Status};

use super::page_token::Scope;
use super::pb::consumer::v1 as pb;
use super::pb::consumer::v1::consumer_service_server::ConsumerService;
use super::pb::notification::v1::Cursor;
use super::{deadline, field, write};
use crate::domain::consumer::store::{Acknowledge, NewConsumer, Reset};
use crate::domain::consumer::{Origin, Place, SetAside};
use crate::domain::consumers::{Consumers, View};
use crate::domain::error::{Error, Result};
use crate::domain::notification::filter::PageKey;

/// How many items a page has when its size is not given.
const DEFAULT_PAGE: usize = 50;
/// The most items of a page.
const MAX_PAGE: usize = 1_000;

/// Serves `ConsumerService` from the domain.
pub(super) struct Handler {
    pub(super) consumers: Arc<Consumers>,
    /// Where writes run.
    pub(super) tasks: TaskTracker,
}

type Reply<T> = Result<Response<T>, Status>;

#[tonic::async_trait]
impl ConsumerService for Handler {
    async fn create_consumer(
        &self,
        request: Request<pb::CreateConsumerRequest>,
    ) -> Reply<pb::CreateConsumerResponse> {
        use pb::create_consumer_request::Start;
        let deadline = deadline::of_work(&request);
        let request = request.into_inner();
        let place = match request.start {
            None => Place::Now,
            Some(Start::Position(number)) => position(number, Place::Now)?,
            Some(Start::After(cursor)) => Place::After(field::cursor(cursor)),
        };
        let new = NewConsumer {
            name: request.name,
            place,
            request_id: field::request_id(&request.request_id)?,
        };
        let consumers = Arc::clone(&self.consumers);
        let write = async move { consumers.create(new, deadline).await };
        let consumer = Some(to_consumer(write::detached(&self.tasks, write).await?));
        Ok(Response::new(pb::CreateConsumerResponse { consumer }))
    }

    async fn get_consumer(
        &self,
        request: Request<pb::GetConsumerRequest>,
    ) -> Reply<pb::GetConsumerResponse> {
        let found = self.consumers.get(&request.get_ref().name).await?;
        let consumer = Some(to_consumer(found));
        Ok(Response::new(pb::GetConsumerResponse { consumer }))
    }

    async fn list_consumers(
        &self,
        request: Request<pb::ListConsumersRequest>,
    ) -> Reply<pb::ListConsumersResponse> {
        let request = request.into_inner();
        let size = field::page_size(request.page_size, DEFAULT_PAGE, MAX_PAGE)?;
        let scope = Scope::consumers();
        let after = scope.decode(&request.page_token)?.map_or(0, |key| key.id);
        // One more than is wanted tells whether more follow.
        let mut found = self.consumers.list(after, size + 1).await?;
        let next = cut(&mut found, size, |view| view.standing.consumer.id);
        Ok(Response::new(pb::ListConsumersResponse {
            consumers: found.into_iter().map(to_consumer).collect(),
            next_page_token: scope.encode(next),
        }))
    }

    async fn delete_consumer(
        &self,
        request: Request<pb::DeleteConsumerRequest>,
    ) -> Reply<pb::DeleteConsumerResponse> {
        let deadline = deadline::of_work(&request);
        let pb::DeleteConsumerRequest {
            name,
            allow_missing,
        } = request.into_inner();
        let consumers = Arc::clone(&self.consumers);
        let write = async move { consumers.delete(&name, allow_missing, deadline).await };
        write::detached(&self.tasks, write).await?;
        Ok(Response::new(pb::DeleteConsumerResponse {}))
    }

    async fn acknowledge_consumer(
        &self,
        request: Request<pb::AcknowledgeConsumerRequest>,
    ) -> Reply<pb::AcknowledgeConsumerResponse> {
        let deadline = deadline::of_work(&request);
        let request = request.into_inner();
        let through = request
            .through
            .ok_or_else(|| Error::invalid("through", "is required"))?;
        let acknowledge = Acknowledge {
            name: request.name,
            through: field::cursor(through),
            origin: origin(request.generation, request.watch),
        };
        let consumers = Arc::clone(&self.consumers);
        let write = async move { consumers.acknowledge(acknowledge, deadline).await };
        let consumer = Some(to_consumer(write::detached(&self.tasks, write).await?));
        Ok(Response::new(pb::AcknowledgeConsumerResponse { consumer }))
    }

    async fn reset_consumer(
        &self,
        request: Request<pb::ResetConsumerRequest>,
    ) -> Reply<pb::ResetConsumerResponse> {
        use pb::reset_consumer_request::To;
        let deadline = deadline::of_work(&request);
        let request = request.into_inner();
        let place = match request.to {
            None => Place::Oldest,
            Some(To::Position(number)) => position(number, Place::Oldest)?,
            Some(To::After(cursor)) => Place::After(field::cursor(cursor)),
        };
        let reset = Reset {
            name: request.name,
            place,
            request_id: field::request_id(&request.request_id)?,
        };
        let consumers = Arc::clone(&self.consumers);
        let write = async move { consumers.reset(reset, deadline).await };
        let consumer = Some(to_consumer(write::detached(&self.tasks, write).await?));
        Ok(Response::new(pb::ResetConsumerResponse { consumer }))
    }

    async fn set_event_aside(
        &self,
        request: Request<pb::SetEventAsideRequest>,
    ) -> Reply<pb::SetEventAsideResponse> {
        let deadline = deadline::of_work(&request);
        let request = request.into_inner();
        let event = request
            .event
            .ok_or_else(|| Error::invalid("event", "is required"))?;
        let through = Cursor {
            epoch: request.epoch,
            sequence: event.sequence,
        };
        let acknowledge = Acknowledge {
            name: request.name,
            through: field::cursor(through),
            origin: origin(request.generation, request.watch),
        };
        let event = set_aside(event)?;
        let consumers = Arc::clone(&self.consumers);
        let write = async move { consumers.set_aside(acknowledge, event, deadline).await };
        let consumer = Some(to_consumer(write::detached(&self.tasks, write).await?));
        Ok(Response::new(pb::SetEventAsideResponse { consumer }))
    }

    async fn list_set_aside_events(
        &self,
        request: Request<pb::ListSetAsideEventsRequest>,
    ) -> Reply<pb::ListSetAsideEventsResponse> {
        let request = request.into_inner();
        let size = field::page_size(request.page_size, DEFAULT_PAGE, MAX_PAGE)?;
        let scope = Scope::set_aside(&request.name);
        let after = scope.decode(&request.page_token)?.map_or(0, |key| key.id);
        let listed = self
            .consumers
            .list_set_aside(&request.name, after, size + 1);
        let mut found = listed.await?;
        let next = cut(&mut found, size, |event| event.sequence);
        Ok(Response::new(pb::ListSetAsideEventsResponse {
            events: found.into_iter().map(to_set_aside).collect(),
            next_page_token: scope.encode(next),
        }))
    }

    async fn update_set_aside_event(
        &self,
        request: Request<pb::UpdateSetAsideEventRequest>,
    ) -> Reply<pb::UpdateSetAsideEventResponse> {
        let deadline = deadline::of_work(&request);
        let pb::UpdateSetAsideEventRequest { name, event } = request.into_inner();
        let event = event.ok_or_else(|| Error::invalid("event", "is required"))?;
        let event = set_aside(event)?;
        let consumers = Arc::clone(&self.consumers);
        let write = async move { consumers.update_set_aside(&name, event, deadline).await };
        let event = Some(to_set_aside(write::detached(&self.tasks, write).await?));
        Ok(Response::new(pb::UpdateSetAsideEventResponse { event }))
    }

    async fn discard_set_aside_event(
        &self,
        request: Request<pb::DiscardSetAsideEventRequest>,
    ) -> Reply<pb::DiscardSetAsideEventResponse> {
        let deadline = deadline::of_work(&request);
        let pb::DiscardSetAsideEventRequest {
            name,
            sequence,
            allow_missing,
        } = request.into_inner();
        let consumers = Arc::clone(&self.consumers);
        let write = async move { consumers.discard_set_aside(&name, sequence, deadline).await };
        match write::detached(&self.tasks, write).await {
            Err(Error::SetAsideEventNotFound { .. }) if allow_missing => {}
            discarded => discarded?,
        }
        Ok(Response::new(pb::DiscardSetAsideEventResponse {}))
    }
}

/// Leaves the first `size` of `items`; where the page after them starts, when there were more.
fn cut<T>(items: &mut Vec<T>, size: usize, id: impl Fn(&T) -> i64) -> Option<PageKey> {
    let more = items.len() > size;
    items.truncate(size);
    let last = items.last().filter(|_| more)?;
    Some(PageKey {
        rank: 0,
        id: id(last),
    })
}

/// Parses a place that needs no number; UNSPECIFIED is `default`.
fn position(number: i32, default: Place) -> Result<Place> {
    match pb::ConsumerPosition::try_from(number) {
        Ok(pb::ConsumerPosition::Unspecified) => Ok(default),
        Ok(pb::ConsumerPosition::Now) => Ok(Place::Now),
        Ok(pb::ConsumerPosition::Oldest) => Ok(Place::Oldest),
        Err(_) => Err(field::unknown("position", number)),
    }
}

/// The watch that a request names; 0 is not said.
pub(super) fn origin(generation: i64, watch: i64) -> Origin {
    Origin {
        generation: (generation != 0).then_some(generation),
        watch: (watch != 0).then_some(watch),
    }
}

fn set_aside(event: pb::SetAsideEvent) -> Result<SetAside> {
    let attempts = u32::try_from(event.attempts)
        .map_err(|_| Error::invalid("event.attempts", "must not be negative"))?;
    Ok(SetAside {
        sequence: event.sequence,
        notification_id: event.notification_id,
        attempts,
        error: event.error,
        time: None,
    })
}

fn to_set_aside(event: SetAside) -> pb::SetAsideEvent {
    pb::SetAsideEvent {
        sequence: event.sequence,
        notification_id: event.notification_id,
        attempts: i32::try_from(event.attempts).unwrap_or(i32::MAX),
        error: event.error,
        time: event.time.map(field::to_timestamp),
    }
}

fn to_consumer(view: View) -> pb::Consumer {
    let lag = i64::try_from(view.standing.lag()).unwrap_or(i64::MAX);
    let consumer = view.standing.consumer;
    pb::Consumer {
        name: consumer.name,
        acknowledged: Some(Cursor {
            epoch: consumer.epoch,
            sequence: consumer.acknowledged,
        }),
        lag,
        generation: consumer.generation,
        create_time: consumer.create_time.map(field::to_timestamp),
        update_time: consumer.update_time.map(field::to_timestamp),
        connect_time: view.connected.map(field::to_timestamp),
        holds_journal: view.holds_journal,
        set_aside_count: i32::try_from(consumer.set_aside).unwrap_or(i32::MAX),
    }
}
