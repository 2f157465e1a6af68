//! The calls of `TraceService`: what agents do, and what it costs.

use std::collections::VecDeque;

use tokio::time::sleep;
use tonic::transport::Channel;
use tonic::{Request, Streaming};

use crate::backoff::Backoff;
use crate::client::Client;
use crate::error::Error;
use crate::notification::present;
use crate::pb::trace::v1::trace_service_client::TraceServiceClient;
use crate::pb::trace::v1::watch_observations_response::Message;
use crate::pb::trace::v1::{
    Cursor, GetObservationRequest, GetTraceRequest, GetTraceResponse, ListObservationsRequest,
    ListObservationsResponse, ListTracesRequest, ListTracesResponse, Observation, ObservationEvent,
    ObservationRecord, RecordObservationsRequest, RecordResult, WatchObservationsRequest,
    WatchObservationsResponse,
};
use crate::session::{MAX_REPLY_BYTES, Session};

pub(crate) fn stub(channel: Channel) -> TraceServiceClient<Channel> {
    TraceServiceClient::new(channel).max_decoding_message_size(MAX_REPLY_BYTES)
}

/// Telemetry.
impl Client {
    /// Records up to 1,000 reports of observations, and returns what became of each, in the same order: a report that breaks a rule is rejected
    /// alone. Returns when they are durable. Recording a report again changes nothing.
    ///
    /// # Errors
    ///
    /// `INVALID_FIELD` where there is none, or more; `QUEUE_FULL`.
    pub async fn record_observations(
        &self,
        records: Vec<ObservationRecord>,
    ) -> Result<Vec<RecordResult>, Error> {
        let request = RecordObservationsRequest { records };
        let reply = self
            .call(request, |channel, request| async move {
                stub(channel).record_observations(request).await
            })
            .await?;
        Ok(reply.results)
    }

    /// Returns one observation with its raw attributes and content.
    ///
    /// # Errors
    ///
    /// `OBSERVATION_NOT_FOUND`; `INVALID_FIELD`.
    pub async fn get_observation(&self, id: i64) -> Result<Observation, Error> {
        let request = GetObservationRequest { id };
        let reply = self
            .call(request, |channel, request| async move {
                stub(channel).get_observation(request).await
            })
            .await?;
        present(reply.observation, "GetObservation")
    }

    /// Returns a trace with its observations, the first 10,000 of them.
    ///
    /// # Errors
    ///
    /// `TRACE_NOT_FOUND`; `INVALID_FIELD`.
    pub async fn get_trace(&self, id: &str) -> Result<GetTraceResponse, Error> {
        let request = GetTraceRequest { id: id.to_owned() };
        self.call(request, |channel, request| async move {
            stub(channel).get_trace(request).await
        })
        .await
    }

    /// Lists one page of traces. Only an empty `next_page_token` ends the list: a page may be short, even empty.
    ///
    /// # Errors
    ///
    /// `INVALID_FIELD`.
    pub async fn list_traces(
        &self,
        request: ListTracesRequest,
    ) -> Result<ListTracesResponse, Error> {
        self.call(request, |channel, request| async move {
            stub(channel).list_traces(request).await
        })
        .await
    }

    /// Lists one page of observations. Only an empty `next_page_token` ends the list: a page may be short, even empty.
    ///
    /// # Errors
    ///
    /// `INVALID_FIELD`.
    pub async fn list_observations(
        &self,
        request: ListObservationsRequest,
    ) -> Result<ListObservationsResponse, Error> {
        self.call(request, |channel, request| async move {
            stub(channel).list_observations(request).await
        })
        .await
    }

    /// Follows changes of observations as `request` says, on a connection of its own: a watch that is read slowly delays no other call.
    ///
    /// Nothing is sent before the first call of [`ObservationWatch::next`].
    #[must_use]
    pub fn watch_observations(&self, request: WatchObservationsRequest) -> ObservationWatch {
        ObservationWatch {
            client: self.clone(),
            cursor: request.after.clone(),
            request,
            open: None,
            ready: VecDeque::new(),
            backoff: Backoff::reconnecting(),
        }
    }
}

/// A stream of changes of observations, each exactly once, in the order of their sequence. When the connection breaks or the daemon restarts, it
/// connects again and resumes behind the last change that came, for as long as it is asked for the next one.
#[derive(Debug)]
pub struct ObservationWatch {
    client: Client,
    request: WatchObservationsRequest,
    /// Behind the last change that was handed out; `None` before the start.
    cursor: Option<Cursor>,
    open: Option<Open>,
    /// What has come and not been handed out.
    ready: VecDeque<ObservationEvent>,
    backoff: Backoff,
}

/// A stream, with the connection that it has for itself.
#[derive(Debug)]
struct Open {
    stream: Streaming<WatchObservationsResponse>,
    _session: Session,
}

impl ObservationWatch {
    /// Waits for the next change.
    ///
    /// May be dropped and called again, as `tokio::select!` does, without losing anything.
    ///
    /// # Errors
    ///
    /// `SEQUENCE_COMPACTED`, `UNKNOWN_CURSOR`: the stream cannot go on from its place; start a new one. `INVALID_FIELD`. What a retry cannot help, as
    /// [`Error::ProtocolMismatch`].
    pub async fn next(&mut self) -> Result<ObservationEvent, Error> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                if let Some(cursor) = &mut self.cursor {
                    cursor.sequence = event.sequence;
                }
                return Ok(event);
            }
            if let Err(error) = self.receive().await {
                self.open = None;
                if !error.is_worth_repeating() && !error.is_absence() {
                    return Err(error);
                }
                sleep(self.backoff.pause()).await;
            }
        }
    }

    /// The place behind the last change that [`ObservationWatch::next`] handed out: a later watch with this as `after` misses nothing and repeats
    /// nothing. `None` before the start.
    #[must_use]
    pub fn cursor(&self) -> Option<&Cursor> {
        self.cursor.as_ref()
    }

    /// Takes the next message, from a new stream where there is none.
    async fn receive(&mut self) -> Result<(), Error> {
        let limit = self.client.target().call_timeout;
        let socket = self.client.socket();
        let failed = |status: tonic::Status| Error::from_status(&status, &socket, limit);
        if self.open.is_none() {
            let session = Session::establish(self.client.target(), true).await?;
            let mut request = self.request.clone();
            if let Some(cursor) = &self.cursor {
                request.after = Some(cursor.clone());
                request.start = 0;
            }
            let request = session.sign(Request::new(request));
            let mut stub = stub(session.channel.clone());
            let opened = stub.watch_observations(request).await.map_err(failed)?;
            let stream = opened.into_inner();
            self.open = Some(Open {
                stream,
                _session: session,
            });
        }
        let Some(open) = &mut self.open else {
            return Ok(());
        };
        let message = open.stream.message().await.map_err(failed)?;
        self.backoff = Backoff::reconnecting();
        match message.and_then(|message| message.message) {
            Some(Message::Started(started)) => {
                if self.cursor.is_none() {
                    self.cursor = started.cursor;
                }
            }
            Some(Message::Events(events)) => self.ready.extend(events.events),
            Some(Message::Progress(progress)) => self.cursor = progress.cursor,
            // The daemon ends a stream with an error, never without.
            None => self.open = None,
        }
        Ok(())
    }
}
