//! `TraceService`.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{Stream, stream};
use tokio::sync::OwnedSemaphorePermit;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tonic::{Request, Response, Status};

use super::page_token::Scope;
use super::pb::trace::v1 as pb;
use super::pb::trace::v1::trace_service_server::TraceService;
use super::pb::trace::v1::watch_observations_response::Message as WatchMessage;
use super::server::{Limits, Services};
use super::stream::{Slots, take_part};
use super::{deadline, field, observation, status, write};
use crate::domain::error::{Error, Result};
use crate::domain::observation::draft::MAX_BATCH;
use crate::domain::observation::id::TraceId;
use crate::domain::observation::store::{ObservationChange, PageQuery};
use crate::domain::traces::{Follower, Traces, WatchStart};

/// How many items a page has when its size is not given.
const DEFAULT_PAGE: usize = 50;
/// The most items of a page.
const MAX_PAGE: usize = 1_000;
/// How long a watcher hears nothing before it is told how far it has come.
const IDLE_PROGRESS: Duration = Duration::from_secs(10);
/// How long after changes that its filter hides it is told.
const HIDDEN_PROGRESS: Duration = Duration::from_secs(1);

/// Serves `TraceService` from the domain.
pub(super) struct Handler {
    traces: Arc<Traces>,
    tasks: TaskTracker,
    watchers: Slots,
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
            traces: Arc::clone(&services.traces),
            tasks,
            watchers: Slots::new(limits.watchers),
            stop,
        }
    }
}

type Reply<T> = Result<Response<T>, Status>;

#[tonic::async_trait]
impl TraceService for Handler {
    async fn record_observations(
        &self,
        request: Request<pb::RecordObservationsRequest>,
    ) -> Reply<pb::RecordObservationsResponse> {
        let deadline = deadline::of_work(&request);
        let records = request.into_inner().records;
        if !(1..=MAX_BATCH).contains(&records.len()) {
            let rule = format!("must hold 1 to {MAX_BATCH} records, not {}", records.len());
            return Err(Error::invalid("records", rule).into());
        }
        let now = self.traces.now();
        let parsed = records
            .into_iter()
            .map(|record| observation::draft(record, now));
        // What cannot be parsed is refused in its place among the others.
        let mut drafts = Vec::new();
        let mut refused = VecDeque::new();
        for (index, draft) in parsed.enumerate() {
            match draft {
                Ok(draft) => drafts.push(draft),
                Err(error) => refused.push_back((index, error)),
            }
        }
        let traces = Arc::clone(&self.traces);
        let write = async move { traces.record(drafts, deadline).await };
        let mut results = write::detached(&self.tasks, write).await?;
        for (index, error) in refused {
            results.insert(index, Err(error));
        }
        let results: Result<Vec<_>> = results.into_iter().map(observation::to_result).collect();
        Ok(Response::new(pb::RecordObservationsResponse {
            results: results?,
        }))
    }

    async fn get_observation(
        &self,
        request: Request<pb::GetObservationRequest>,
    ) -> Reply<pb::GetObservationResponse> {
        let found = self.traces.observation(request.get_ref().id).await?;
        let observation = Some(observation::to_observation(found));
        Ok(Response::new(pb::GetObservationResponse { observation }))
    }

    async fn get_trace(
        &self,
        request: Request<pb::GetTraceRequest>,
    ) -> Reply<pb::GetTraceResponse> {
        let id = TraceId::parse("id", &request.get_ref().id)?;
        let tree = self.traces.trace(id).await?;
        let observations = tree.observations.into_iter();
        Ok(Response::new(pb::GetTraceResponse {
            trace: Some(observation::to_trace(tree.trace)),
            observations: observations.map(observation::to_observation).collect(),
            truncated: tree.truncated,
        }))
    }

    async fn list_traces(
        &self,
        request: Request<pb::ListTracesRequest>,
    ) -> Reply<pb::ListTracesResponse> {
        let request = request.into_inner();
        let filter = observation::trace_filter(request.filter)?;
        let scope = Scope::traces(&filter);
        let query = PageQuery {
            filter,
            size: field::page_size(request.page_size, DEFAULT_PAGE, MAX_PAGE)?,
            after: scope.decode_start(&request.page_token)?,
        };
        let page = self.traces.traces(query).await?;
        Ok(Response::new(pb::ListTracesResponse {
            traces: page.items.into_iter().map(observation::to_trace).collect(),
            next_page_token: scope.encode_start(page.next),
        }))
    }

    async fn list_observations(
        &self,
        request: Request<pb::ListObservationsRequest>,
    ) -> Reply<pb::ListObservationsResponse> {
        let request = request.into_inner();
        let filter = observation::filter(request.filter)?;
        let scope = Scope::observations(&filter);
        let query = PageQuery {
            filter,
            size: field::page_size(request.page_size, DEFAULT_PAGE, MAX_PAGE)?,
            after: scope.decode_start(&request.page_token)?,
        };
        let page = self.traces.observations(query).await?;
        let observations = page.items.into_iter();
        Ok(Response::new(pb::ListObservationsResponse {
            observations: observations.map(observation::to_observation).collect(),
            next_page_token: scope.encode_start(page.next),
        }))
    }

    type WatchObservationsStream =
        Pin<Box<dyn Stream<Item = Result<pb::WatchObservationsResponse, Status>> + Send>>;

    async fn watch_observations(
        &self,
        request: Request<pb::WatchObservationsRequest>,
    ) -> Reply<Self::WatchObservationsStream> {
        let request = request.into_inner();
        let filter = observation::filter(request.filter)?;
        let start = watch_start(request.after, request.start)?;
        let slot = self.watchers.take()?;
        let follower = self.traces.watch(start, filter).await?;
        let feeder = Feeder {
            epoch: follower.bounds().epoch.clone(),
            told: follower.sequence(),
            started: false,
            changes: VecDeque::new(),
            follower: Some(follower),
            stop: self.stop.clone(),
            _slot: slot,
        };
        let messages = stream::unfold(feeder, |mut feeder| async {
            Some((feeder.next().await?, feeder))
        });
        Ok(Response::new(Box::pin(messages)))
    }
}

fn watch_start(after: Option<pb::Cursor>, start: i32) -> Result<WatchStart> {
    use pb::WatchStart as Wire;
    match (after, Wire::try_from(start)) {
        (_, Err(_)) => Err(field::unknown("start", start)),
        (Some(after), Ok(Wire::Unspecified)) => Ok(WatchStart::After(observation::cursor(after))),
        (Some(_), Ok(_)) => Err(Error::invalid(
            "start",
            "must not be given together with `after`",
        )),
        (None, Ok(Wire::Unspecified | Wire::Now)) => Ok(WatchStart::Now),
        (None, Ok(Wire::Oldest)) => Ok(WatchStart::Oldest),
    }
}

/// Feeds one watcher. It is pulled: a client that does not read costs no more than its place in the journal.
struct Feeder {
    epoch: String,
    /// The last sequence that the watcher has heard of.
    told: i64,
    started: bool,
    /// Taken from the follower and not yet sent.
    changes: VecDeque<ObservationChange>,
    /// `None` after the end.
    follower: Option<Follower>,
    stop: CancellationToken,
    _slot: OwnedSemaphorePermit,
}

impl Feeder {
    async fn next(&mut self) -> Option<Result<pb::WatchObservationsResponse, Status>> {
        let message = self.message().await?;
        Some(message.map(|message| pb::WatchObservationsResponse {
            message: Some(message),
        }))
    }

    async fn message(&mut self) -> Option<Result<WatchMessage, Status>> {
        let follower = self.follower.as_ref()?;
        if !self.started {
            self.started = true;
            let bounds = follower.bounds();
            return Some(Ok(WatchMessage::Started(pb::WatchStarted {
                head_sequence: bounds.head,
                oldest_sequence: bounds.oldest,
                cursor: self.cursor(self.told),
            })));
        }
        loop {
            if !self.changes.is_empty() {
                let events = take_part(&mut self.changes, observation::to_event);
                self.told = events.last().map_or(self.told, |event| event.sequence);
                return Some(Ok(WatchMessage::Events(pb::WatchEvents { events })));
            }
            let follower = self.follower.as_mut()?;
            let through = follower.sequence();
            let patience = if through > self.told {
                HIDDEN_PROGRESS
            } else {
                IDLE_PROGRESS
            };
            let batch = tokio::select! {
                biased;
                batch = follower.next() => batch,
                () = self.stop.cancelled() => {
                    self.follower = None;
                    return Some(Err(status::watch_ended(&self.epoch, through)));
                }
                () = tokio::time::sleep(patience) => {
                    self.told = through;
                    let cursor = self.cursor(through);
                    return Some(Ok(WatchMessage::Progress(pb::WatchProgress { cursor })));
                }
            };
            match batch {
                Ok(batch) => self.changes.extend(batch.changes),
                Err(error) => {
                    self.follower = None;
                    return Some(Err(error.into()));
                }
            }
        }
    }

    fn cursor(&self, sequence: i64) -> Option<pb::Cursor> {
        Some(pb::Cursor {
            epoch: self.epoch.clone(),
            sequence,
        })
    }
}
