//! `NotificationService`.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{Stream, StreamExt};
use prost::Message;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tonic::{Request, Response, Status};

use super::consumer::origin;
use super::page_token::Scope;
use super::pb::notification::v1 as pb;
use super::pb::notification::v1::notification_service_server::NotificationService;
use super::pb::notification::v1::watch_notifications_response::Message as WatchMessage;
use super::server::{Limits, Services};
use super::stream::{self, Part, Slots};
use super::{agent, deadline, field, write};
use crate::domain::authority::Authority;
use crate::domain::consumer::Origin;
use crate::domain::consumers::{Begin, Consumers, Hold};
use crate::domain::error::{Error, Result};
use crate::domain::notification::filter::{ChangeFilter, PageKey};
use crate::domain::notification::store::{ListQuery, Move, Page, Respond, Transition};
use crate::domain::notifications::{Notifications, WatchStart};

/// How many items a page has when its size is not given.
const DEFAULT_PAGE: usize = 50;
/// The most items of a page.
const MAX_PAGE: usize = 1_000;
/// The most bytes of a page of a history, the last change excepted: clients refuse messages of more than 4 MiB unless told otherwise.
const HISTORY_BYTES: usize = 2 * 1024 * 1024;
/// How many changes of a history are read at a time.
const HISTORY_READ: usize = 64;
/// How long a wait takes when its timeout is not given.
const DEFAULT_WAIT: Duration = Duration::from_secs(50);
/// The longest wait.
const MAX_WAIT: Duration = Duration::from_secs(10 * 60);

/// Serves `NotificationService` from the domain.
pub(super) struct Handler {
    notifications: Arc<Notifications>,
    consumers: Arc<Consumers>,
    tasks: TaskTracker,
    watchers: Slots,
    waiters: Slots,
    /// Whether agents may set a default response.
    agent_defaults: bool,
    stop: CancellationToken,
}

impl Handler {
    /// Serves what `services` has, within `limits`, and ends its streams on `stop`. Writes run in `tasks`.
    pub(super) fn new(
        services: &Services,
        limits: &Limits,
        tasks: TaskTracker,
        stop: CancellationToken,
    ) -> Self {
        Self {
            notifications: Arc::clone(&services.notifications),
            consumers: Arc::clone(&services.consumers),
            tasks,
            watchers: Slots::new(limits.watchers),
            waiters: Slots::new(limits.waiters),
            agent_defaults: limits.agent_defaults,
            stop,
        }
    }

    async fn move_to(
        &self,
        change: Move,
        deadline: Option<std::time::Instant>,
    ) -> Result<Option<pb::Notification>> {
        let notifications = Arc::clone(&self.notifications);
        let write = async move { notifications.transition(change, deadline).await };
        let moved = write::detached(&self.tasks, write).await?;
        Ok(Some(field::to_notification(moved)))
    }

    /// Reads the changes of a notification after `after` that `authority` may see: a page of them, and where the next one starts, if more
    /// follow.
    async fn history(
        &self,
        id: i64,
        mut after: i64,
        size: usize,
        authority: Authority,
    ) -> Result<(Vec<pb::NotificationEvent>, Option<i64>)> {
        let mut events = Vec::new();
        let mut bytes = 0;
        loop {
            let limit = HISTORY_READ.min(size - events.len());
            // One more than is wanted tells whether more follow.
            let changes = self.notifications.history(id, after, limit + 1, authority);
            let mut changes = VecDeque::from(changes.await?);
            let more = changes.len() > limit;
            changes.truncate(limit);
            while let Some(change) = changes.pop_front() {
                after = change.sequence;
                if !authority.may_see(change.notification.owner) {
                    continue;
                }
                let event = field::to_event(&change);
                bytes += event.encoded_len();
                events.push(event);
                if bytes >= HISTORY_BYTES {
                    return Ok((events, (more || !changes.is_empty()).then_some(after)));
                }
            }
            if !more || events.len() >= size {
                return Ok((events, more.then_some(after)));
            }
        }
    }

    /// Refuses a default response of an agent: with an expiry of a second it would be the agent's own answer.
    fn check_default(&self, response: &str, authority: Authority) -> Result<()> {
        if response.is_empty() || self.agent_defaults || authority == Authority::Person {
            return Ok(());
        }
        Err(Error::AgentNotAllowed {
            what: "set a default response".to_owned(),
            remedy: "leave default_response out (CLI: --default); the daemon's owner may allow it with agent.allow_default",
        })
    }
}

type Reply<T> = Result<Response<T>, Status>;

#[tonic::async_trait]
impl NotificationService for Handler {
    async fn create_notification(
        &self,
        request: Request<pb::CreateNotificationRequest>,
    ) -> Reply<pb::CreateNotificationResponse> {
        let deadline = deadline::of_work(&request);
        let authority = agent::authority(&request)?;
        let request = request.into_inner();
        self.check_default(&request.default_response, authority)?;
        let draft = field::draft(request, authority)?;
        let notifications = Arc::clone(&self.notifications);
        let write = async move { notifications.create(draft, deadline).await };
        let created = write::detached(&self.tasks, write).await?;
        let notification = Some(field::to_notification(created));
        Ok(Response::new(pb::CreateNotificationResponse {
            notification,
        }))
    }

    async fn batch_create_notifications(
        &self,
        request: Request<pb::BatchCreateNotificationsRequest>,
    ) -> Reply<pb::BatchCreateNotificationsResponse> {
        let deadline = deadline::of_work(&request);
        let authority = agent::authority(&request)?;
        let requests = request.into_inner().requests.into_iter().enumerate();
        let drafts: Result<Vec<_>> = requests
            .map(|(index, request)| {
                self.check_default(&request.default_response, authority)?;
                field::draft(request, authority)
                    .map_err(|error| error.within(&format!("requests[{index}]")))
            })
            .collect();
        let drafts = drafts?;
        let notifications = Arc::clone(&self.notifications);
        let write = async move { notifications.create_batch(drafts, deadline).await };
        let created = write::detached(&self.tasks, write).await?.into_iter();
        Ok(Response::new(pb::BatchCreateNotificationsResponse {
            notifications: created.map(field::to_notification).collect(),
        }))
    }

    async fn get_notification(
        &self,
        request: Request<pb::GetNotificationRequest>,
    ) -> Reply<pb::GetNotificationResponse> {
        let authority = agent::authority(&request)?;
        let found = self.notifications.get(request.get_ref().id, authority);
        let found = found.await?;
        let notification = Some(field::to_notification(found));
        Ok(Response::new(pb::GetNotificationResponse { notification }))
    }

    async fn list_notifications(
        &self,
        request: Request<pb::ListNotificationsRequest>,
    ) -> Reply<pb::ListNotificationsResponse> {
        let authority = agent::authority(&request)?;
        let request = request.into_inner();
        let filter = field::filter(request.filter, authority)?;
        let order = field::order(request.order)?;
        let scope = Scope::notifications(&filter, order);
        let query = ListQuery {
            size: field::page_size(request.page_size, DEFAULT_PAGE, MAX_PAGE)?,
            after: scope.decode(&request.page_token)?,
            filter,
            order,
        };
        let Page {
            notifications,
            next,
            bounds,
        } = self.notifications.list(query).await?;
        Ok(Response::new(pb::ListNotificationsResponse {
            notifications: notifications
                .into_iter()
                .map(field::to_notification)
                .collect(),
            next_page_token: scope.encode(next),
            cursor: Some(field::to_head(bounds)),
        }))
    }

    async fn list_notification_events(
        &self,
        request: Request<pb::ListNotificationEventsRequest>,
    ) -> Reply<pb::ListNotificationEventsResponse> {
        let authority = agent::authority(&request)?;
        let request = request.into_inner();
        let size = field::page_size(request.page_size, DEFAULT_PAGE, MAX_PAGE)?;
        let scope = Scope::history(request.id);
        let after = scope.decode(&request.page_token)?;
        let after = after.map_or(0, |place| place.id);
        let (events, next) = self.history(request.id, after, size, authority).await?;
        let next = next.map(|sequence| PageKey {
            rank: 0,
            id: sequence,
        });
        Ok(Response::new(pb::ListNotificationEventsResponse {
            next_page_token: scope.encode(next),
            events,
        }))
    }

    async fn respond_notification(
        &self,
        request: Request<pb::RespondNotificationRequest>,
    ) -> Reply<pb::RespondNotificationResponse> {
        let deadline = deadline::of_work(&request);
        let request = request.into_inner();
        let respond = Respond {
            id: request.id,
            request_id: field::request_id(&request.request_id)?,
            text: request.text,
            options: request.options,
            actor: field::actor(request.responder, request.surface),
        };
        let notifications = Arc::clone(&self.notifications);
        let write = async move { notifications.respond(respond, deadline).await };
        let answered = write::detached(&self.tasks, write).await?;
        let notification = Some(field::to_notification(answered));
        Ok(Response::new(pb::RespondNotificationResponse {
            notification,
        }))
    }

    async fn mark_notification_read(
        &self,
        request: Request<pb::MarkNotificationReadRequest>,
    ) -> Reply<pb::MarkNotificationReadResponse> {
        let deadline = deadline::of_work(&request);
        let authority = agent::authority(&request)?;
        let request = request.into_inner();
        field::request_id(&request.request_id)?;
        let change = Move {
            id: request.id,
            transition: Transition::Read,
            actor: field::actor_of(request.actor, request.surface, authority),
            authority,
        };
        let notification = self.move_to(change, deadline).await?;
        Ok(Response::new(pb::MarkNotificationReadResponse {
            notification,
        }))
    }

    async fn dismiss_notification(
        &self,
        request: Request<pb::DismissNotificationRequest>,
    ) -> Reply<pb::DismissNotificationResponse> {
        let deadline = deadline::of_work(&request);
        let authority = agent::authority(&request)?;
        let request = request.into_inner();
        field::request_id(&request.request_id)?;
        let change = Move {
            id: request.id,
            transition: Transition::Dismiss,
            actor: field::actor_of(request.actor, request.surface, authority),
            authority,
        };
        let notification = self.move_to(change, deadline).await?;
        Ok(Response::new(pb::DismissNotificationResponse {
            notification,
        }))
    }

    async fn cancel_notification(
        &self,
        request: Request<pb::CancelNotificationRequest>,
    ) -> Reply<pb::CancelNotificationResponse> {
        let deadline = deadline::of_work(&request);
        let authority = agent::authority(&request)?;
        let request = request.into_inner();
        field::request_id(&request.request_id)?;
        let change = Move {
            id: request.id,
            transition: Transition::Cancel,
            actor: field::actor_of(request.actor, request.surface, authority),
            authority,
        };
        let notification = self.move_to(change, deadline).await?;
        Ok(Response::new(pb::CancelNotificationResponse {
            notification,
        }))
    }

    async fn wait_notification(
        &self,
        request: Request<pb::WaitNotificationRequest>,
    ) -> Reply<pb::WaitNotificationResponse> {
        let authority = agent::authority(&request)?;
        let request = request.into_inner();
        let timeout = match request.timeout {
            None => DEFAULT_WAIT,
            Some(span) => field::duration("timeout", span)?.min(MAX_WAIT),
        };
        let _slot = self.waiters.take()?;
        let notifications = &self.notifications;
        let wait = notifications.wait(request.id, authority, timeout, &self.stop);
        let notification = Some(field::to_notification(wait.await?));
        Ok(Response::new(pb::WaitNotificationResponse { notification }))
    }

    type WatchNotificationsStream =
        Pin<Box<dyn Stream<Item = Result<pb::WatchNotificationsResponse, Status>> + Send>>;

    async fn watch_notifications(
        &self,
        request: Request<pb::WatchNotificationsRequest>,
    ) -> Reply<Self::WatchNotificationsStream> {
        let deadline = deadline::of_work(&request);
        let authority = agent::authority(&request)?;
        let request = request.into_inner();
        let filter = ChangeFilter {
            notifications: field::filter(request.filter, authority)?,
            kinds: field::change_kinds(&request.kinds)?,
        };
        let start = watch_start(request.after, request.start_at)?;
        if authority != Authority::Person && !request.consumer.is_empty() {
            return Err(Status::from(Error::AgentNotAllowed {
                what: "watch as a consumer".to_owned(),
                remedy: "leave consumer out (CLI: --consumer), and resume from the last cursor seen",
            }));
        }
        let slot = self.watchers.take()?;
        let origin = origin(request.consumer_generation, request.consumer_watch);
        let (start, hold) = self.hold(request.consumer, origin, start, deadline).await?;
        let watch = self.notifications.watch(start, filter).await;
        let watch = watch.map_err(|error| match &hold {
            Some(hold) => hold.explain(error),
            None => error,
        })?;
        let epoch = watch.bounds.epoch.clone();
        let origin = hold.as_ref().map(Hold::origin).unwrap_or_default();
        let parts = stream::feed(watch, hold, self.stop.clone(), slot);
        let messages = parts.map(move |part| part.map(|part| watch_message(part, &epoch, origin)));
        Ok(Response::new(Box::pin(messages)))
    }
}

impl Handler {
    /// Where the watch of the consumer `name` starts, which takes the place of an older one. An empty name is nobody's.
    async fn hold(
        &self,
        name: String,
        origin: Origin,
        start: Option<WatchStart>,
        deadline: Option<std::time::Instant>,
    ) -> Result<(WatchStart, Option<Hold>)> {
        if name.is_empty() {
            return Ok((start.unwrap_or(WatchStart::Now), None));
        }
        let after = match start {
            None => None,
            Some(WatchStart::After(cursor)) => Some(cursor),
            Some(_) => {
                let rule = "must not be given together with `consumer`";
                return Err(Error::invalid("start_at", rule));
            }
        };
        let consumers = Arc::clone(&self.consumers);
        let begin = Begin {
            name,
            origin,
            after,
        };
        let write = async move { consumers.hold(begin, deadline).await };
        let hold = write::detached(&self.tasks, write).await?;
        Ok((WatchStart::After(hold.start().clone()), Some(hold)))
    }
}

/// Where a watch is asked to start; `None` where the request does not say.
fn watch_start(after: Option<pb::Cursor>, start_at: i32) -> Result<Option<WatchStart>> {
    use pb::StartAt;
    match (after, StartAt::try_from(start_at)) {
        (_, Err(_)) => Err(field::unknown("start_at", start_at)),
        (Some(after), Ok(StartAt::Unspecified)) => {
            Ok(Some(WatchStart::After(field::cursor(after))))
        }
        (Some(_), Ok(_)) => Err(Error::invalid(
            "start_at",
            "must not be given together with `after`",
        )),
        (None, Ok(StartAt::Unspecified)) => Ok(None),
        (None, Ok(StartAt::Now)) => Ok(Some(WatchStart::Now)),
        (None, Ok(StartAt::Oldest)) => Ok(Some(WatchStart::Oldest)),
        (None, Ok(StartAt::Snapshot)) => Ok(Some(WatchStart::Snapshot)),
    }
}

fn watch_message(
    part: Part<pb::Notification, pb::NotificationEvent>,
    epoch: &str,
    consumer: Origin,
) -> pb::WatchNotificationsResponse {
    let cursor = |sequence| {
        Some(pb::Cursor {
            epoch: epoch.to_owned(),
            sequence,
        })
    };
    let message = match part {
        Part::Started {
            sequence,
            head,
            oldest,
        } => WatchMessage::Started(pb::WatchStarted {
            cursor: cursor(sequence),
            head_sequence: head,
            oldest_sequence: oldest,
            consumer_generation: consumer.generation.unwrap_or(0),
            consumer_watch: consumer.watch.unwrap_or(0),
        }),
        Part::Snapshot { items, last } => WatchMessage::Snapshot(pb::WatchSnapshot {
            notifications: items,
            last,
        }),
        Part::Events(events) => WatchMessage::Events(pb::WatchEvents { events }),
        Part::Progress(sequence) => WatchMessage::Progress(pb::WatchProgress {
            cursor: cursor(sequence),
        }),
    };
    pb::WatchNotificationsResponse {
        message: Some(message),
    }
}

#[cfg(test)]
mod tests;
