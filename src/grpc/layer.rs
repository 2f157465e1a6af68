//! What every RPC passes on its way in and out: who may call, the deadline, the log, and a reason for every error.

use std::convert::Infallible;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Instant;

use futures_util::FutureExt;
use http::{Request, Response};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tokio_util::task::task_tracker::TaskTrackerToken;
use tonic::body::Body;
use tonic::{Code, Status};
use tower::{Layer, Service};
use tracing::{Instrument, Span};

use super::agent;
use super::body::Watched;
use super::deadline::Deadline;
use super::metrics::{Rpcs, Running};
use super::status::{self, Stage};
use super::stream::Slots;
use super::write::panic_text;
use crate::connection::{ConnectInfo, Door, Throttle};
use crate::domain::authority::Authority;
use crate::domain::error::Error;

/// The reason of a refusal that every call of another user gets.
const PEER_NOT_PERMITTED: &str = "PEER_NOT_PERMITTED";

/// Puts [`Border`] around all services.
#[derive(Clone)]
pub(super) struct BorderLayer {
    /// The user id that the daemon runs as.
    pub(super) owner: u32,
    /// Counts what is being served, for the shutdown.
    pub(super) rpcs: TaskTracker,
    /// Ends the streams of the standard services, which know nothing of a shutdown.
    pub(super) drain: CancellationToken,
    /// What agents have in common.
    pub(super) agents: AgentDoor,
    /// Whose turn it is to send telemetry.
    pub(super) exports: Exports,
    /// What is counted.
    pub(super) counts: Arc<Rpcs>,
}

/// How many calls that send telemetry are read at a time, since each may be large: the others wait before their body is read. Agents wait for
/// agents only, so that none of them keeps a person's programs from reporting.
#[derive(Clone)]
pub(super) struct Exports {
    people: Arc<Semaphore>,
    agents: Arc<Semaphore>,
}

impl Exports {
    /// Lets `most` calls through each door at a time.
    pub(super) fn new(most: usize) -> Self {
        Self {
            people: Arc::new(Semaphore::new(most)),
            agents: Arc::new(Semaphore::new(most)),
        }
    }

    /// Where `request` has to wait for its turn; `None` where it need not.
    fn queue(&self, request: &Request<Body>) -> Option<Arc<Semaphore>> {
        if !agent::is_export(request.uri().path()) {
            return None;
        }
        let info = request.extensions().get::<ConnectInfo>();
        let queue = match info.map(|info| info.door) {
            Some(Door::Person) => &self.people,
            Some(Door::Agent) | None => &self.agents,
        };
        Some(Arc::clone(queue))
    }
}

/// What all calls over the agent socket share.
#[derive(Clone)]
pub(super) struct AgentDoor {
    calls: Arc<Slots>,
    refusals: Arc<Mutex<Throttle>>,
}

impl AgentDoor {
    /// Lets at most `calls` through at a time.
    pub(super) fn new(calls: usize) -> Self {
        Self {
            calls: Arc::new(Slots::new(calls)),
            refusals: Arc::new(Mutex::new(Throttle::default())),
        }
    }

    /// Logs that an agent tried what it may not, or too much at once: worth knowing, but an agent must not fill the log.
    fn refused(&self, rpc: &Rpc, error: &Error) {
        let mut refusals = self.refusals.lock().unwrap_or_else(PoisonError::into_inner);
        if matches!(
            error,
            Error::AgentNotAllowed { .. } | Error::TooManyStreams { .. }
        ) && let Some(also) = refusals.ask()
        {
            rpc.span
                .in_scope(|| tracing::warn!(also, "refused an agent: {error}"));
        }
    }
}

impl<S> Layer<S> for BorderLayer {
    type Service = Border<S>;

    fn layer(&self, inner: S) -> Border<S> {
        Border {
            inner,
            border: self.clone(),
        }
    }
}

/// All services, seen from outside.
#[derive(Clone)]
pub(super) struct Border<S> {
    inner: S,
    border: BorderLayer,
}

impl<S> Service<Request<Body>> for Border<S>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>,
    S: Clone + Send + 'static,
    S::Future: Send,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        let started = Instant::now();
        let peer = Peer::of(&request);
        let mut rpc = Rpc::start(&request, peer, started, &self.border);
        if !may_call(peer.uid, self.border.owner) {
            let refusal = status::peer_not_permitted();
            rpc.ended_with(&refusal);
            return Box::pin(std::future::ready(Ok(refusal.into_http())));
        }
        request = match self.border.admit(request, &mut rpc) {
            Ok(request) => request,
            Err(error) => {
                self.border.agents.refused(&rpc, &error);
                let refusal = Status::from(error);
                rpc.ended_with(&refusal);
                rpc.refused = true;
                return Box::pin(std::future::ready(Ok(refusal.into_http())));
            }
        };
        let deadline = Deadline::of(request.headers(), started);
        if let Some(deadline) = deadline {
            request.extensions_mut().insert(deadline);
        }
        let queue = self.border.exports.queue(&request);
        let path = request.uri().path();
        let is_ours = path.starts_with("/barista.") || agent::is_export(path);
        let until = (!is_ours).then(|| self.border.drain.clone());
        // The service that is ready is this one; its clone may not be.
        let clone = self.inner.clone();
        let inner = std::mem::replace(&mut self.inner, clone);
        let span = rpc.span.clone();
        let answered = async move {
            let response = answer(inner, request, deadline, queue).await;
            Ok(with_reason(response, rpc, until))
        };
        Box::pin(answered.instrument(span))
    }
}

impl BorderLayer {
    /// Lets a call through that may be made over the socket that it came through, with its authority.
    fn admit(&self, mut request: Request<Body>, rpc: &mut Rpc) -> Result<Request<Body>, Error> {
        let info = request.extensions().get::<ConnectInfo>();
        let authority = match info.map(|info| info.door) {
            Some(Door::Person) => Some(Authority::Person),
            // Whatever is not known to be more is an agent.
            Some(Door::Agent) | None => {
                let authority = agent::admit(request.uri().path(), request.headers())?;
                rpc.slot = Some(self.agents.calls.take()?);
                let path = request.uri().path().to_owned();
                request = request.map(|body| agent::limited(&path, body));
                authority
            }
        };
        // A secret has no business beyond this point.
        request.headers_mut().remove(agent::KEY_HEADER);
        if let Some(authority) = authority {
            request.extensions_mut().insert(authority);
        }
        Ok(request)
    }
}

/// Calls the service, when its turn in `queue` has come. A panic in it and a deadline that passes are answers too.
async fn answer<S>(
    mut inner: S,
    request: Request<Body>,
    deadline: Option<Deadline>,
    queue: Option<Arc<Semaphore>>,
) -> Response<Body>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>,
{
    let call = async move {
        // The queue is never closed, so there is always a turn.
        let _turn = match queue {
            Some(queue) => queue.acquire_owned().await.ok(),
            None => None,
        };
        inner.call(request).await
    };
    let call = AssertUnwindSafe(call).catch_unwind();
    let called = match deadline {
        None => call.await,
        Some(deadline) => match tokio::time::timeout_at(deadline.answer.into(), call).await {
            Ok(called) => called,
            Err(_) => return Status::from(Error::DeadlineExceeded).into_http(),
        },
    };
    match called {
        Ok(Ok(response)) => response,
        Ok(Err(never)) => match never {},
        Err(panic) => panicked(panic.as_ref()).into_http(),
    }
}

/// The status of a call whose handler panicked.
pub(super) fn panicked(panic: &(dyn std::any::Any + Send)) -> Status {
    Error::Internal(format!("a handler panicked: {}", panic_text(panic))).into()
}

/// Gives an error that has no reason one, and otherwise watches how the response ends.
fn with_reason(
    response: Response<Body>,
    mut rpc: Rpc,
    until: Option<CancellationToken>,
) -> Response<Body> {
    // A status among the headers means that nothing else follows.
    let Some(status) = Status::from_header_map(response.headers()) else {
        return response.map(|body| Body::new(Watched::new(body, rpc, until)));
    };
    let has_reason = !status.details().is_empty();
    let status = status::complete(status, Stage::Request);
    rpc.ended_with(&status);
    if has_reason {
        return response;
    }
    status.into_http()
}

/// The process at the other end of the socket.
#[derive(Debug, Clone, Copy)]
struct Peer {
    uid: Option<u32>,
    pid: Option<i32>,
}

impl Peer {
    fn of(request: &Request<Body>) -> Self {
        let info = request.extensions().get::<ConnectInfo>();
        let credentials = info.and_then(|info| info.credentials.as_ref());
        Self {
            uid: credentials.map(tokio::net::unix::UCred::uid),
            pid: credentials.and_then(tokio::net::unix::UCred::pid),
        }
    }
}

/// Whether a process of the user `peer` may call a daemon of the user `owner`. One whose user is unknown may not.
fn may_call(peer: Option<u32>, owner: u32) -> bool {
    peer.is_some_and(|uid| uid == owner || uid == 0)
}

/// One call, from its request to the end of its response. Its end is logged, whatever it is.
pub(super) struct Rpc {
    pub(super) span: Span,
    started: Instant,
    outcome: Option<(Code, Option<String>)>,
    counted: Running,
    /// The place of an agent's call among those of all agents.
    slot: Option<OwnedSemaphorePermit>,
    /// Whether this is a call of an agent that was not let in: that was logged where it was decided.
    refused: bool,
    _served: TaskTrackerToken,
}

impl Rpc {
    fn start(request: &Request<Body>, peer: Peer, started: Instant, border: &BorderLayer) -> Self {
        let info = request.extensions().get::<ConnectInfo>();
        let door = info.map_or(Door::Agent, |info| info.door);
        let method = request.uri().path().trim_start_matches('/');
        Self {
            span: tracing::info_span!("rpc", method, peer_pid = peer.pid),
            started,
            outcome: None,
            slot: None,
            refused: false,
            counted: border.counts.begin(request.uri().path(), door),
            _served: border.rpcs.token(),
        }
    }

    /// Says how the call ended.
    pub(super) fn ended_with(&mut self, status: &Status) {
        let reason = match status.code() {
            Code::Ok => None,
            _ => status::reason(status),
        };
        self.outcome = Some((status.code(), reason));
    }

    /// Says that the call ended well.
    pub(super) fn ended_well(&mut self) {
        self.outcome = Some((Code::Ok, None));
    }
}

impl Drop for Rpc {
    fn drop(&mut self) {
        let duration = self.started.elapsed();
        let code = self
            .outcome
            .as_ref()
            .map_or(Code::Cancelled, |(code, _)| *code);
        self.counted.end(code, duration);
        let duration_us = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        self.span.in_scope(|| match &self.outcome {
            None => tracing::debug!(duration_us, "the client went away"),
            Some((Code::PermissionDenied, Some(reason))) if reason == PEER_NOT_PERMITTED => {
                tracing::warn!(duration_us, "refused a process of another user");
            }
            Some((code, reason)) if is_our_fault(*code) && !self.refused => {
                tracing::warn!(?code, reason, duration_us, "failed");
            }
            Some((code, reason)) => tracing::debug!(?code, reason, duration_us, "served"),
        });
    }
}

/// Whether an operator should know that a call ended with `code`. What goes well, and what the caller did wrong, is for debugging: the
/// journal has every change with its time and actor, and a line for each call would cost as much as the call.
fn is_our_fault(code: Code) -> bool {
    matches!(
        code,
        Code::Internal | Code::Unknown | Code::DataLoss | Code::ResourceExhausted
    )
}

#[cfg(test)]
mod tests;
