//! The OpenTelemetry protocol: stored when it is acknowledged, from people's programs and from agents.

use barista::grpc::pb::opentelemetry::proto as otlp;
use barista_client::pb::trace::v1::{ListObservationsRequest, Observation};
use http::uri::PathAndQuery;
use otlp::collector::logs::v1::{ExportLogsServiceRequest, ExportLogsServiceResponse};
use otlp::collector::metrics::v1::{ExportMetricsServiceRequest, ExportMetricsServiceResponse};
use otlp::collector::trace::v1::{ExportTraceServiceRequest, ExportTraceServiceResponse};
use otlp::common::v1::{AnyValue, KeyValue, any_value};
use otlp::trace::v1::{ResourceSpans, ScopeSpans, Span};
use prost::Message;
use tonic::{Code, Request, Status};

use crate::support::{Raw, TestDaemon, code_and_reason, soon};

const TRACES: &str = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";
const LOGS: &str = "/opentelemetry.proto.collector.logs.v1.LogsService/Export";
const METRICS: &str = "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export";

async fn call<Q, A>(raw: &Raw, path: &'static str, request: Q) -> Result<A, Status>
where
    Q: Message + 'static,
    A: Message + Default + 'static,
{
    let mut client =
        tonic::client::Grpc::new(raw.channel.clone()).max_encoding_message_size(usize::MAX);
    soon(client.ready()).await.expect("ready");
    let path = PathAndQuery::from_static(path);
    let codec = tonic_prost::ProstCodec::<Q, A>::default();
    let answer = soon(client.unary(Request::new(request), path, codec)).await?;
    Ok(answer.into_inner())
}

/// Makes each call of the protocol, with a `check` after it.
pub(crate) async fn try_exports(daemon: &TestDaemon, check: &mut impl FnMut(&str)) {
    let raw = daemon.raw().await;
    let sent: ExportTraceServiceResponse = call(&raw, TRACES, spans(1, 0)).await.expect("stored");
    assert_eq!(sent.partial_success, None);
    check("Export");
    let logs = ExportLogsServiceRequest::default();
    let _: ExportLogsServiceResponse = call(&raw, LOGS, logs).await.expect("taken");
    check("Export");
    let metrics = ExportMetricsServiceRequest::default();
    let _: ExportMetricsServiceResponse = call(&raw, METRICS, metrics).await.expect("taken");
    check("Export");
}

/// A request with `count` spans of the trace `trace`, each with an attribute of `size` bytes.
pub(crate) fn spans(count: u8, size: usize) -> ExportTraceServiceRequest {
    let now = std::time::UNIX_EPOCH.elapsed().expect("a clock");
    let now = u64::try_from(now.as_nanos()).expect("this century");
    let big = KeyValue {
        key: "big".to_owned(),
        value: Some(AnyValue {
            value: Some(any_value::Value::StringValue("x".repeat(size))),
        }),
        ..KeyValue::default()
    };
    let span = |number: u8| Span {
        trace_id: vec![7; 16],
        span_id: vec![number; 8],
        name: format!("step {number}"),
        start_time_unix_nano: now - 1_000_000,
        end_time_unix_nano: now,
        attributes: vec![big.clone()],
        ..Span::default()
    };
    let scope = ScopeSpans {
        spans: (1..=count).map(span).collect(),
        ..ScopeSpans::default()
    };
    let resource = ResourceSpans {
        scope_spans: vec![scope],
        ..ResourceSpans::default()
    };
    ExportTraceServiceRequest {
        resource_spans: vec![resource],
    }
}

async fn stored(daemon: &TestDaemon) -> Vec<Observation> {
    let all = ListObservationsRequest {
        page_size: 500,
        ..ListObservationsRequest::default()
    };
    let page = soon(daemon.client().list_observations(all)).await;
    page.expect("a page").observations
}

#[tokio::test]
async fn what_is_acknowledged_survives_a_crash() {
    let mut daemon = TestDaemon::start().await;
    let raw = daemon.raw().await;
    let sent: ExportTraceServiceResponse = call(&raw, TRACES, spans(20, 10)).await.expect("stored");
    assert_eq!(sent.partial_success, None);
    daemon.kill().await;
    daemon.restart().await;
    assert_eq!(stored(&daemon).await.len(), 20);
}

#[tokio::test]
async fn an_agent_may_report_without_a_secret_and_read_nothing() {
    let daemon = TestDaemon::start().await;
    let agent = Raw::connect(&daemon.agent_socket()).await;
    let sent: ExportTraceServiceResponse =
        call(&agent, TRACES, spans(2, 10)).await.expect("stored");
    assert_eq!(sent.partial_success, None);
    assert_eq!(stored(&daemon).await.len(), 2);
    let list = "/barista.trace.v1.TraceService/ListObservations";
    let read: Result<ListObservationsRequest, Status> =
        call(&agent, list, ListObservationsRequest::default()).await;
    let (code, reason) = code_and_reason(&read.expect_err("refused"));
    assert_eq!(
        (code, reason.as_str()),
        (Code::PermissionDenied, "AGENT_NOT_ALLOWED")
    );
}

#[tokio::test]
async fn an_agent_may_send_more_telemetry_than_questions_and_not_without_end() {
    let daemon = TestDaemon::start().await;
    let agent = Raw::connect(&daemon.agent_socket()).await;
    let megabytes = |count| spans(count, 1024 * 1024);
    let sent: ExportTraceServiceResponse =
        call(&agent, TRACES, megabytes(4)).await.expect("stored");
    assert_eq!(sent.partial_success, None);
    let refused: Result<ExportTraceServiceResponse, Status> =
        call(&agent, TRACES, megabytes(9)).await;
    let (code, reason) = code_and_reason(&refused.expect_err("refused"));
    assert_eq!(
        (code, reason.as_str()),
        (Code::ResourceExhausted, "MESSAGE_TOO_LARGE")
    );
    let raw = daemon.raw().await;
    let sent: ExportTraceServiceResponse = call(&raw, TRACES, megabytes(9)).await.expect("stored");
    assert_eq!(sent.partial_success, None);
}
