//! The Export services of the OpenTelemetry protocol: what exporters send becomes reports of observations.
//!
//! A reply follows the commit. What breaks a rule is counted in `partial_success`, and the rest is stored; delivering a request again changes
//! nothing. Metrics are acknowledged and not kept: they are sums of what logs and spans say, and would be counted twice.

mod decode;
mod tally;

use std::sync::Arc;
use std::time::Instant;

use tokio_util::task::TaskTracker;
use tonic::{Request, Response, Status};

use super::pb::opentelemetry::proto::collector as pb;
use super::{deadline, write};
use crate::domain::convention;
use crate::domain::error::Result;
use crate::domain::observation::draft::{Draft, MAX_BATCH};
use crate::domain::price::Prices;
use crate::domain::traces::Traces;
use pb::logs::v1 as logs_pb;
use pb::metrics::v1 as metrics_pb;
use pb::trace::v1 as trace_pb;
use tally::Tally;

/// Serves the three Export services from the domain.
#[derive(Clone)]
pub(super) struct Handler {
    pub(super) traces: Arc<Traces>,
    /// Where writes run.
    pub(super) tasks: TaskTracker,
}

type Reply<T> = Result<Response<T>, Status>;

#[tonic::async_trait]
impl trace_pb::trace_service_server::TraceService for Handler {
    async fn export(
        &self,
        request: Request<trace_pb::ExportTraceServiceRequest>,
    ) -> Reply<trace_pb::ExportTraceServiceResponse> {
        let deadline = deadline::of_work(&request);
        let traces = Arc::clone(&self.traces);
        let work = async move {
            let read = spans(request.into_inner(), traces.prices());
            record(&traces, read, deadline).await
        };
        let tally = write::detached(&self.tasks, work).await?;
        let partial_success =
            tally
                .complaint("spans")
                .map(|error_message| trace_pb::ExportTracePartialSuccess {
                    rejected_spans: tally.rejected(),
                    error_message,
                });
        Ok(Response::new(trace_pb::ExportTraceServiceResponse {
            partial_success,
        }))
    }
}

#[tonic::async_trait]
impl logs_pb::logs_service_server::LogsService for Handler {
    async fn export(
        &self,
        request: Request<logs_pb::ExportLogsServiceRequest>,
    ) -> Reply<logs_pb::ExportLogsServiceResponse> {
        let deadline = deadline::of_work(&request);
        let traces = Arc::clone(&self.traces);
        let work = async move {
            let read = logs(request.into_inner(), traces.prices());
            record(&traces, read, deadline).await
        };
        let tally = write::detached(&self.tasks, work).await?;
        let partial_success =
            tally
                .complaint("log records")
                .map(|error_message| logs_pb::ExportLogsPartialSuccess {
                    rejected_log_records: tally.rejected(),
                    error_message,
                });
        Ok(Response::new(logs_pb::ExportLogsServiceResponse {
            partial_success,
        }))
    }
}

#[tonic::async_trait]
impl metrics_pb::metrics_service_server::MetricsService for Handler {
    async fn export(
        &self,
        _request: Request<metrics_pb::ExportMetricsServiceRequest>,
    ) -> Reply<metrics_pb::ExportMetricsServiceResponse> {
        Ok(Response::new(
            metrics_pb::ExportMetricsServiceResponse::default(),
        ))
    }
}

/// One record of a request: the reports that it is, itself first, or why it is none.
type Read = Result<Vec<Draft>>;

/// The spans of a request, one after another.
fn spans(
    request: trace_pb::ExportTraceServiceRequest,
    prices: &Prices,
) -> impl Iterator<Item = Read> {
    request.resource_spans.into_iter().flat_map(move |group| {
        let resource = decode::resource(group.resource);
        group.scope_spans.into_iter().flat_map(move |group| {
            let origin = decode::origin(&resource, group.scope);
            group.spans.into_iter().map(move |span| {
                let span = decode::span(span)?;
                Ok(convention::span(span, &origin, prices))
            })
        })
    })
}

/// The logs of a request, one after another. A log that is no observation has no reports.
fn logs(request: logs_pb::ExportLogsServiceRequest, prices: &Prices) -> impl Iterator<Item = Read> {
    request.resource_logs.into_iter().flat_map(move |group| {
        let resource = decode::resource(group.resource);
        group.scope_logs.into_iter().flat_map(move |group| {
            let origin = decode::origin(&resource, group.scope);
            group.log_records.into_iter().map(move |log| {
                let log = decode::log(log)?;
                Ok(convention::log(log, &origin, prices).into_iter().collect())
            })
        })
    })
}

/// Records what was read, in batches, so that a large request neither keeps others waiting for the processor nor is in memory three times.
async fn record(
    traces: &Traces,
    read: impl Iterator<Item = Read>,
    deadline: Option<Instant>,
) -> Result<Tally> {
    let mut tally = Tally::default();
    let mut drafts = Vec::new();
    // Which of the drafts are records of their own, and not parts of the one before.
    let mut heads = Vec::new();
    for record in read {
        match record {
            Err(error) => tally.reject(&error),
            Ok(reports) => {
                for (index, mut draft) in reports.into_iter().enumerate() {
                    draft.fit();
                    heads.push(index == 0);
                    drafts.push(draft);
                }
            }
        }
        if drafts.len() >= MAX_BATCH {
            write_batch(traces, &mut drafts, &mut heads, deadline, &mut tally).await?;
            tokio::task::yield_now().await;
        }
    }
    write_batch(traces, &mut drafts, &mut heads, deadline, &mut tally).await?;
    Ok(tally)
}

async fn write_batch(
    traces: &Traces,
    drafts: &mut Vec<Draft>,
    heads: &mut Vec<bool>,
    deadline: Option<Instant>,
    tally: &mut Tally,
) -> Result<()> {
    if drafts.is_empty() {
        return Ok(());
    }
    let results = traces.record(std::mem::take(drafts), deadline).await?;
    for (result, is_head) in results.into_iter().zip(heads.drain(..)) {
        if let (Err(error), true) = (result, is_head) {
            tally.reject(&error);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
