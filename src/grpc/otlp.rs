//! The OpenTelemetry protocol: what its exporters send becomes reports of observations.

mod decode;

use super::pb::opentelemetry::proto::collector::logs::v1::ExportLogsServiceRequest;
use super::pb::opentelemetry::proto::collector::trace::v1::ExportTraceServiceRequest;
use crate::domain::convention;
use crate::domain::error::Result;
use crate::domain::observation::draft::Draft;
use crate::domain::price::Prices;

/// One record of a request: the reports that it is, or why it is none.
pub(super) type Read = Result<Vec<Draft>>;

/// The spans of a request, one after another.
pub(super) fn spans(
    request: ExportTraceServiceRequest,
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
pub(super) fn logs(
    request: ExportLogsServiceRequest,
    prices: &Prices,
) -> impl Iterator<Item = Read> {
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

#[cfg(test)]
mod tests;
