//! Connections as they come in: counted, limited, and given a deadline to introduce themselves.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::unix::UCred;
use tokio::net::{UnixListener, UnixStream};
use tokio::time::{Instant, Sleep, sleep};
use tokio_stream::Stream;
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};
use tonic::transport::server::Connected;

/// What every HTTP/2 client sends first, before anything else (RFC 9113, section 3.4).
const PREFACE_BYTES: usize = 24;
/// The pause after an error of `accept` that the next attempt would meet again, such as "too many open files".
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// A condition that lasts is logged once in this time, however many connections meet it.
const WARN_INTERVAL: Duration = Duration::from_secs(10);

/// How many connections there are, and were. Cheap to clone; all clones show the same numbers.
#[derive(Debug, Clone, Default)]
pub struct Connections(Arc<Counters>);

#[derive(Debug, Default)]
struct Counters {
    open: AtomicUsize,
    refused: AtomicU64,
}

impl Connections {
    /// Connections that are open now.
    #[must_use]
    pub fn open(&self) -> usize {
        self.0.open.load(Ordering::Relaxed)
    }

    /// Connections that were closed at once since the start: beyond the limit, or of another user.
    #[must_use]
    pub fn refused(&self) -> u64 {
        self.0.refused.load(Ordering::Relaxed)
    }
}

/// Which socket a connection was made to. It decides what may be called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Door {
    /// The socket of the person that the daemon belongs to.
    Person,
    /// The socket for agents.
    Agent,
}

/// What is known of a connection; every request on it has this among its extensions.
#[derive(Debug, Clone)]
pub struct ConnectInfo {
    /// Which socket it was made to.
    pub door: Door,
    /// The process at its other end; `None` where the system cannot tell.
    pub credentials: Option<UCred>,
}

/// The limits of [`Incoming`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// How many connections may be open.
    pub max_connections: usize,
    /// How long a connection may take until its HTTP/2 preface has arrived.
    pub handshake_timeout: Duration,
}

/// The stream of connections that the gRPC server takes. It never yields an error, and ends only with its token.
///
/// Beyond the limit, a connection is accepted and closed at once. Leaving it in the kernel's queue would be gentler to a short
/// burst, but its client would wait in silence, and could not tell a full daemon from a dead one.
#[derive(Debug)]
pub struct Incoming {
    listener: UnixListener,
    door: Door,
    limits: Limits,
    connections: Connections,
    uid: u32,
    stopping: CancellationToken,
    stopped: Pin<Box<WaitForCancellationFutureOwned>>,
    pause: Option<Pin<Box<Sleep>>>,
    full: Throttle,
    foreign: Throttle,
    failing: Throttle,
}

impl Incoming {
    /// Accepts from `listener`, the socket behind `door`, until `stopping` is cancelled. Only this user and root may connect.
    #[must_use]
    pub fn new(
        listener: UnixListener,
        door: Door,
        limits: Limits,
        stopping: CancellationToken,
    ) -> Self {
        Self {
            listener,
            door,
            limits,
            connections: Connections::default(),
            uid: rustix::process::geteuid().as_raw(),
            stopped: Box::pin(stopping.clone().cancelled_owned()),
            stopping,
            pause: None,
            full: Throttle::default(),
            foreign: Throttle::default(),
            failing: Throttle::default(),
        }
    }

    /// The numbers of this stream, to be kept for the status.
    #[must_use]
    pub fn connections(&self) -> Connections {
        self.connections.clone()
    }

    fn admit(&mut self, stream: UnixStream) -> Option<Connection> {
        let peer = stream.peer_cred().ok();
        if !peer.is_some_and(|peer| may_connect(peer.uid(), self.uid)) {
            self.connections.0.refused.fetch_add(1, Ordering::Relaxed);
            if let Some(also) = self.foreign.ask() {
                let (uid, pid) = (
                    peer.map(|peer| peer.uid()),
                    peer.and_then(|peer| peer.pid()),
                );
                tracing::warn!(uid, pid, also, "connection refused: another user's process");
            }
            return None;
        }
        if self.connections.open() >= self.limits.max_connections {
            self.connections.0.refused.fetch_add(1, Ordering::Relaxed);
            if let Some(also) = self.full.ask() {
                let limit = self.limits.max_connections;
                let pid = peer.and_then(|peer| peer.pid());
                tracing::warn!(
                    limit,
                    pid,
                    also,
                    "connection refused: max_connections are open"
                );
            }
            return None;
        }
        Some(Connection::new(
            stream,
            self.door,
            self.limits.handshake_timeout,
            &self.connections,
        ))
    }

    /// Decides what follows an error of `accept`: a client that gave up early costs nothing, everything else a pause.
    fn stumble(&mut self, error: &io::Error) {
        use io::ErrorKind::{ConnectionAborted, Interrupted};
        if matches!(error.kind(), ConnectionAborted | Interrupted) {
            return;
        }
        if let Some(also) = self.failing.ask() {
            let open = self.connections.open();
            tracing::warn!(%error, open, also, "cannot accept connections; trying again");
        }
        self.pause = Some(Box::pin(sleep(ACCEPT_PAUSE)));
    }
}

impl Stream for Incoming {
    type Item = io::Result<Connection>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        loop {
            if this.stopping.is_cancelled() || this.stopped.as_mut().poll(context).is_ready() {
                return Poll::Ready(None);
            }
            if let Some(pause) = &mut this.pause {
                ready!(pause.as_mut().poll(context));
                this.pause = None;
            }
            match ready!(this.listener.poll_accept(context)) {
                Ok((stream, _)) => {
                    if let Some(connection) = this.admit(stream) {
                        return Poll::Ready(Some(Ok(connection)));
                    }
                }
                Err(error) => this.stumble(&error),
            }
        }
    }
}

/// The socket's mode keeps other users out already, unless a service manager made it with another one.
fn may_connect(peer: u32, us: u32) -> bool {
    peer == us || peer == 0
}

/// One connection. Its request extensions hold a [`ConnectInfo`].
///
/// Until the client has sent its HTTP/2 preface, reading fails when the deadline passes: from then on HTTP/2 pings notice a silent peer, but
/// before, nothing else would, and it would hold a descriptor for ever.
#[derive(Debug)]
pub struct Connection {
    stream: UnixStream,
    door: Door,
    handshake: Option<Handshake>,
    _counted: Counted,
}

#[derive(Debug)]
struct Handshake {
    deadline: Pin<Box<Sleep>>,
    missing_bytes: usize,
}

/// Counts a connection while it exists.
#[derive(Debug)]
struct Counted(Connections);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.0.open.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Connection {
    fn new(
        stream: UnixStream,
        door: Door,
        handshake_timeout: Duration,
        connections: &Connections,
    ) -> Self {
        connections.0.open.fetch_add(1, Ordering::Relaxed);
        let deadline = Box::pin(sleep(handshake_timeout));
        Self {
            stream,
            door,
            handshake: Some(Handshake {
                deadline,
                missing_bytes: PREFACE_BYTES,
            }),
            _counted: Counted(connections.clone()),
        }
    }
}

impl Connected for Connection {
    type ConnectInfo = ConnectInfo;

    fn connect_info(&self) -> ConnectInfo {
        ConnectInfo {
            door: self.door,
            credentials: self.stream.peer_cred().ok(),
        }
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buffer.filled().len();
        let outcome = Pin::new(&mut this.stream).poll_read(context, buffer);
        let Some(handshake) = &mut this.handshake else {
            return outcome;
        };
        let received = buffer.filled().len() - before;
        handshake.missing_bytes = handshake.missing_bytes.saturating_sub(received);
        if handshake.missing_bytes == 0 {
            this.handshake = None;
        } else if outcome.is_pending() && handshake.deadline.as_mut().poll(context).is_ready() {
            let message = "the client did not introduce itself in time";
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, message)));
        }
        outcome
    }
}

/// Says nothing of vectored writes, on purpose: HTTP/2 then copies messages of up to 1 KiB into one buffer with their frames. Otherwise it
/// hands over each that has more than 256 bytes by itself, and answers that are ready together take a system call each.
impl AsyncWrite for Connection {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write(context, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(context)
    }
}

/// Lets one of many equal warnings through per [`WARN_INTERVAL`].
#[derive(Debug, Default)]
pub(crate) struct Throttle {
    last: Option<Instant>,
    held_back: u64,
}

impl Throttle {
    /// Whether to warn now; if so, how many warnings were held back since the last one.
    pub(crate) fn ask(&mut self) -> Option<u64> {
        let now = Instant::now();
        if self
            .last
            .is_some_and(|last| now.duration_since(last) < WARN_INTERVAL)
        {
            self.held_back += 1;
            return None;
        }
        self.last = Some(now);
        Some(std::mem::take(&mut self.held_back))
    }
}

#[cfg(test)]
mod tests;
