//! The gRPC server: which services there are, what it allows, and how it stops.

use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{Stream, StreamExt};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tonic::codec::CompressionEncoding;
use tonic::service::Routes;
use tonic::transport::server::Connected;
use tonic_health::ServingStatus;
use tonic_health::server::{HealthReporter, HealthService};

use super::admin::{self, ServerIdentity};
use super::authority::Lenient;
use super::layer::{AgentDoor, BorderLayer, Exports};
use super::metrics::Metrics;
use super::pb::DESCRIPTOR_SET;
use super::pb::admin::v1::admin_service_server::{self, AdminServiceServer};
use super::pb::analytics::v1::analytics_service_server::{self, AnalyticsServiceServer};
use super::pb::consumer::v1::consumer_service_server::{self, ConsumerServiceServer};
use super::pb::notification::v1::notification_service_server::{self, NotificationServiceServer};
use super::pb::opentelemetry::proto::collector::logs::v1::logs_service_server::{
    self, LogsServiceServer,
};
use super::pb::opentelemetry::proto::collector::metrics::v1::metrics_service_server::{
    self, MetricsServiceServer,
};
use super::pb::opentelemetry::proto::collector::trace::v1::trace_service_server::{
    self as export_trace_server, TraceServiceServer as ExportTraceServer,
};
use super::pb::trace::v1::trace_service_server::{self, TraceServiceServer};
use super::sever::Severable;
use super::{analytics, consumer, notification, otlp, trace};
use crate::connection::ConnectInfo;
use crate::domain::admin::StoreAdmin;
use crate::domain::analytics::Analytics;
use crate::domain::backup::BackupStore;
use crate::domain::consumers::Consumers;
use crate::domain::notifications::Notifications;
use crate::domain::retention::Retention;
use crate::domain::traces::Traces;

/// The largest request to one of the standard services, in bytes.
const STANDARD_REQUEST_BYTES: usize = 16 * 1024;
/// The largest response of one of the standard services, in bytes: reflection sends whole files.
const STANDARD_RESPONSE_BYTES: usize = 4 * 1024 * 1024;
/// How long the answer may take. A client that is stopped for less than that keeps its streams.
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(60);
/// The most bytes of a request's headers.
const MAX_HEADER_BYTES: u32 = 16 * 1024;
/// The largest HTTP/2 frame that is accepted, in bytes: the least that the protocol allows.
const MAX_FRAME_BYTES: u32 = 16 * 1024;
/// How many streams of a connection may be reset by us for protocol errors before it is closed.
const MAX_ERROR_RESETS: usize = 1_024;
/// How long clients get to read what was sent last, once no call is left.
const FLUSH: Duration = Duration::from_millis(100);
/// What the server allows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// The largest request, in bytes.
    pub request_bytes: usize,
    /// The largest response or message of a stream, in bytes. Pages and parts are cut far below it; only a single notification that
    /// direct tooling wrote can reach it.
    pub response_bytes: usize,
    /// How many calls one connection may have open.
    pub streams_per_connection: u32,
    /// How long a connection with open calls may be silent before it is asked whether anybody is there.
    pub keepalive_interval: Duration,
    /// How many watches are served at a time.
    pub watchers: usize,
    /// How many waits are served at a time.
    pub waiters: usize,
    /// How many calls of agents are served at a time, waits and watches among them: agents must not use up what people need.
    pub agent_calls: usize,
    /// The largest request that sends telemetry, in bytes, unpacked.
    pub export_bytes: usize,
    /// How many such requests are read at a time through each door.
    pub exports: usize,
    /// Whether agents may set a default response.
    pub agent_defaults: bool,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            request_bytes: 4 * 1024 * 1024,
            response_bytes: 64 * 1024 * 1024,
            streams_per_connection: 512,
            keepalive_interval: Duration::from_secs(30),
            watchers: 2_048,
            waiters: 8_192,
            agent_calls: 256,
            export_bytes: 64 * 1024 * 1024,
            exports: 8,
            agent_defaults: false,
        }
    }
}

/// What is served.
#[derive(Clone)]
pub struct Services {
    /// Notifications.
    pub notifications: Arc<Notifications>,
    /// Durable watchers.
    pub consumers: Arc<Consumers>,
    /// What agents do and what it costs.
    pub traces: Arc<Traces>,
    /// What that adds up to.
    pub analytics: Arc<Analytics>,
    /// What is no longer kept.
    pub retention: Arc<Retention>,
    /// The store, as something that can be copied.
    pub backups: Arc<dyn BackupStore>,
    /// The store, as an operator sees it.
    pub admin: Arc<dyn StoreAdmin>,
    /// Who the daemon is.
    pub identity: ServerIdentity,
}

/// Why the server could not serve.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The descriptors of the API do not fit together: a defect of the build.
    #[error("could not prepare reflection: {0}")]
    Reflection(#[from] tonic_reflection::server::Error),
    /// The transport failed.
    #[error("could not serve: {0}")]
    Transport(#[from] tonic::transport::Error),
}

/// Serves the connections of `incoming`, and counts their calls in `metrics`, until `stop`. Errors among them are skipped.
///
/// On `stop` no more connections are accepted, health says NOT_SERVING, streams and waits end with SHUTTING_DOWN, and calls that have
/// begun are finished. When none is left, and after `grace` at the latest, all connections are closed: no client can hold the daemon up.
///
/// # Errors
///
/// [`ServeError`], before the first connection is accepted.
pub async fn serve<IO>(
    metrics: Metrics,
    limits: Limits,
    incoming: impl Stream<Item = io::Result<IO>>,
    stop: CancellationToken,
    grace: Duration,
) -> Result<(), ServeError>
where
    IO: AsyncRead + AsyncWrite + Connected<ConnectInfo = ConnectInfo> + Unpin + Send + 'static,
{
    let rpcs = TaskTracker::new();
    let drain = CancellationToken::new();
    let sever = CancellationToken::new();
    let health = healthy().await;
    let border = BorderLayer {
        owner: metrics.services.identity.uid,
        rpcs: rpcs.clone(),
        drain: drain.clone(),
        agents: AgentDoor::new(limits.agent_calls),
        exports: Exports::new(limits.exports),
        counts: Arc::clone(&metrics.rpcs),
    };
    let routes = routes(metrics, &limits, &health, &rpcs, &stop)?;
    let incoming =
        incoming.map(|accepted| accepted.map(|io| Lenient::new(Severable::new(io, sever.clone()))));
    let mut serving = pin!(
        http2(&limits)
            .layer(border)
            .add_routes(routes)
            .serve_with_incoming_shutdown(incoming, drain.cancelled())
    );
    tokio::select! {
        served = &mut serving => return Ok(served?),
        () = stop.cancelled() => {}
    }
    // In this order, so that whoever watches the health hears of it before the stream ends.
    set_health(&health, ServingStatus::NotServing).await;
    drain.cancel();
    let end = Instant::now() + grace;
    let drained = async {
        rpcs.close();
        rpcs.wait().await;
        tokio::time::sleep(FLUSH).await;
    };
    tokio::select! {
        served = &mut serving => return Ok(served?),
        () = drained => {}
        () = tokio::time::sleep_until(end - FLUSH.min(grace / 2)) => {
            tracing::warn!(calls = rpcs.len(), "closing connections with calls that have not ended");
        }
    }
    sever.cancel();
    match tokio::time::timeout_at(end, serving).await {
        Ok(served) => Ok(served?),
        Err(_) => Ok(()),
    }
}

/// HTTP/2 as it is spoken here. Nothing is left at a default that might be "no limit". Windows are the protocol's own: larger ones were
/// not faster over a Unix socket.
fn http2(limits: &Limits) -> tonic::transport::Server {
    let streams = usize::try_from(limits.streams_per_connection).unwrap_or(usize::MAX);
    tonic::transport::Server::builder()
        .accept_http1(false)
        .max_concurrent_streams(limits.streams_per_connection)
        .http2_keepalive_interval(Some(limits.keepalive_interval))
        .http2_keepalive_timeout(Some(KEEPALIVE_TIMEOUT))
        // A client whose calls all run into their deadlines at once resets as many as it may have open.
        .http2_max_pending_accept_reset_streams(Some(streams))
        .http2_max_local_error_reset_streams(Some(MAX_ERROR_RESETS))
        .http2_max_header_list_size(MAX_HEADER_BYTES)
        .max_frame_size(MAX_FRAME_BYTES)
}

fn routes(
    metrics: Metrics,
    limits: &Limits,
    health: &HealthReporter,
    tasks: &TaskTracker,
    stop: &CancellationToken,
) -> Result<Routes, ServeError> {
    let services = metrics.services.clone();
    let notifications = notification::Handler::new(&services, limits, tasks.clone(), stop.clone());
    let traces = trace::Handler::new(&services, limits, tasks.clone(), stop.clone());
    let exports = otlp::Handler {
        traces: Arc::clone(&services.traces),
        tasks: tasks.clone(),
    };
    let consumers = consumer::Handler {
        consumers: services.consumers,
        tasks: tasks.clone(),
    };
    let analytics = analytics::Handler {
        analytics: services.analytics,
    };
    let admin = admin::Handler {
        store: services.admin,
        notifications: services.notifications,
        retention: services.retention,
        backups: services.backups,
        identity: Arc::new(services.identity),
        metrics,
        tasks: tasks.clone(),
        stop: stop.clone(),
    };
    let routes = Routes::new(
        NotificationServiceServer::new(notifications)
            .max_decoding_message_size(limits.request_bytes)
            .max_encoding_message_size(limits.response_bytes),
    )
    .add_service(
        ConsumerServiceServer::new(consumers)
            .max_decoding_message_size(limits.request_bytes)
            .max_encoding_message_size(limits.response_bytes),
    )
    .add_service(
        TraceServiceServer::new(traces)
            .max_decoding_message_size(limits.request_bytes)
            .max_encoding_message_size(limits.response_bytes),
    )
    .add_service(
        AnalyticsServiceServer::new(analytics)
            .max_decoding_message_size(limits.request_bytes)
            .max_encoding_message_size(limits.response_bytes),
    )
    .add_service(
        AdminServiceServer::new(admin)
            .max_decoding_message_size(limits.request_bytes)
            .max_encoding_message_size(limits.response_bytes),
    );
    with_standard(with_exports(routes, &exports, limits), health)
}

/// Adds the services of the OpenTelemetry protocol. Its exporters may compress what they send; the answers are a few bytes.
fn with_exports(routes: Routes, exports: &otlp::Handler, limits: &Limits) -> Routes {
    routes
        .add_service(
            ExportTraceServer::new(exports.clone())
                .accept_compressed(CompressionEncoding::Gzip)
                .max_decoding_message_size(limits.export_bytes),
        )
        .add_service(
            LogsServiceServer::new(exports.clone())
                .accept_compressed(CompressionEncoding::Gzip)
                .max_decoding_message_size(limits.export_bytes),
        )
        .add_service(
            MetricsServiceServer::new(exports.clone())
                .accept_compressed(CompressionEncoding::Gzip)
                .max_decoding_message_size(limits.export_bytes),
        )
}

/// Adds the services that gRPC tools expect everywhere.
fn with_standard(routes: Routes, health: &HealthReporter) -> Result<Routes, ServeError> {
    let health = HealthService::from_health_reporter(health.clone());
    let reflection = || {
        tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(DESCRIPTOR_SET)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
    };
    Ok(routes
        .add_service(
            tonic_health::pb::health_server::HealthServer::new(health)
                .max_decoding_message_size(STANDARD_REQUEST_BYTES)
                .max_encoding_message_size(STANDARD_RESPONSE_BYTES),
        )
        .add_service(
            reflection()
                .build_v1()?
                .max_decoding_message_size(STANDARD_REQUEST_BYTES)
                .max_encoding_message_size(STANDARD_RESPONSE_BYTES),
        )
        .add_service(
            reflection()
                .build_v1alpha()?
                .max_decoding_message_size(STANDARD_REQUEST_BYTES)
                .max_encoding_message_size(STANDARD_RESPONSE_BYTES),
        ))
}

async fn healthy() -> HealthReporter {
    let health = HealthReporter::new();
    set_health(&health, ServingStatus::Serving).await;
    health
}

/// Sets the health of the server, which the empty name means, and of each service.
async fn set_health(health: &HealthReporter, status: ServingStatus) {
    for name in [
        "",
        notification_service_server::SERVICE_NAME,
        consumer_service_server::SERVICE_NAME,
        trace_service_server::SERVICE_NAME,
        analytics_service_server::SERVICE_NAME,
        admin_service_server::SERVICE_NAME,
        export_trace_server::SERVICE_NAME,
        logs_service_server::SERVICE_NAME,
        metrics_service_server::SERVICE_NAME,
    ] {
        health.set_service_status(name, status).await;
    }
}

#[cfg(test)]
mod tests;
