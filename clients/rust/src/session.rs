//! One connection to a daemon that has been checked and has shaken hands.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::UnixStream;
use tokio::time::timeout;
use tonic::Request;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::transport::{Channel, Endpoint};
use tower::service_fn;

use crate::PROTOCOL;
use crate::autostart;
use crate::backoff::Backoff;
use crate::error::Error;
use crate::pb::admin::v1::admin_service_client::AdminServiceClient;
use crate::pb::admin::v1::{GetServerInfoRequest, ServerInfo};
use crate::session_key::KEY_HEADER;
use crate::target::Target;

/// The largest reply that is taken, in bytes: a full page of notifications with full texts and contexts is the largest there is.
pub(crate) const MAX_REPLY_BYTES: usize = 64 * 1024 * 1024;

/// A connection. It never reconnects by itself: a new connection may lead to another daemon, so it begins with a handshake.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) channel: Channel,
    pub(crate) info: Arc<ServerInfo>,
    /// What goes with each call over the agent socket; none elsewhere.
    key: Option<MetadataValue<Ascii>>,
    /// The process that opened the socket, where the system tells.
    pub(crate) peer: Option<i32>,
}

impl Session {
    /// Connects to the daemon, and starts one where none is there, or only an older one that is idle, if the target has a plan for that
    /// and `may_start` says so.
    pub(crate) async fn establish(target: &Target, may_start: bool) -> Result<Self, Error> {
        match Self::open(target).await {
            Err(error) if may_start && (error.is_absence() || error.older_daemon().is_some()) => {
                match &target.start {
                    Some(plan) => {
                        Box::pin(autostart::start(target, plan, error.older_daemon())).await
                    }
                    None => Err(error),
                }
            }
            outcome => outcome,
        }
    }

    /// Connects to the daemon that is there, if it serves our protocol.
    pub(crate) async fn open(target: &Target) -> Result<Self, Error> {
        let session = Self::open_any(target).await?;
        if serves_our_protocol(&session.info) {
            return Ok(session);
        }
        Err(session.mismatch(None))
    }

    /// Connects to the daemon that is there, whatever it serves. It counts as there when it answers an RPC, whatever files say.
    pub(crate) async fn open_any(target: &Target) -> Result<Self, Error> {
        let limit = target.connect_timeout;
        let mut peer = None;
        match timeout(limit, Self::open_unlimited(target, &mut peer)).await {
            Ok(outcome) => outcome,
            // With socket activation the peer is whoever created the socket, so the daemon's own word comes first.
            Err(_) => Err(target.unresponsive(target.holder().or(peer), limit)),
        }
    }

    async fn open_unlimited(target: &Target, peer: &mut Option<i32>) -> Result<Self, Error> {
        target.check_socket_file()?;
        let stream = dial(target).await?;
        let credentials = stream
            .peer_cred()
            .map_err(|source| target.dial_error(source))?;
        target.check_owner(credentials.uid(), "the process behind it")?;
        *peer = credentials.pid();
        let channel = channel(target, stream).await?;
        let info = shake_hands(target, channel.clone()).await?;
        Ok(Self {
            channel,
            key: target.key.for_daemon(&info)?,
            info: Arc::new(info),
            peer: *peer,
        })
    }

    /// Adds what each call over this connection carries.
    pub(crate) fn sign<T>(&self, mut request: Request<T>) -> Request<T> {
        if let Some(key) = &self.key {
            request.metadata_mut().insert(KEY_HEADER, key.clone());
        }
        request
    }

    /// The error for a daemon that does not serve our protocol, and why it was not replaced, where that was looked into.
    pub(crate) fn mismatch(&self, kept: Option<String>) -> Error {
        Error::ProtocolMismatch {
            client: PROTOCOL,
            daemon_min: self.info.protocol_min,
            daemon_max: self.info.protocol_max,
            version: self.info.version.clone(),
            pid: self.info.pid,
            kept,
        }
    }
}

/// Connects, and waits while the daemon's queue of new connections is full: on a Unix socket that is an error, not a wait.
async fn dial(target: &Target) -> Result<UnixStream, Error> {
    let mut backoff = Backoff::polling();
    loop {
        match UnixStream::connect(target.socket()).await {
            Ok(stream) => return Ok(stream),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                tokio::time::sleep(backoff.pause()).await;
            }
            Err(source) => return Err(target.dial_error(source)),
        }
    }
}

/// A stream that says nothing of vectored writes: HTTP/2 then copies messages of up to 1 KiB into one buffer with their frames, so that
/// calls that are made together share a system call.
struct Gathering(UnixStream);

impl AsyncRead for Gathering {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(context, buffer)
    }
}

impl AsyncWrite for Gathering {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(context)
    }
}

/// Speaks HTTP/2 over `stream`.
async fn channel(target: &Target, stream: UnixStream) -> Result<Channel, Error> {
    let mut stream = Some(TokioIo::new(Gathering(stream)));
    // The transport asks again when the connection is gone; then there is no second one to give.
    let connector = service_fn(move |_: http::Uri| {
        std::future::ready(
            stream
                .take()
                .ok_or_else(|| io::Error::from(io::ErrorKind::NotConnected)),
        )
    });
    Endpoint::from_static("http://localhost")
        .user_agent(concat!("barista-client/", env!("CARGO_PKG_VERSION")))
        .map_err(|error| Error::InvalidReply(error.to_string()))?
        .connect_with_connector(connector)
        .await
        .map_err(|error| target.disconnected(error.to_string()))
}

/// Asks the daemon who it is. The caller limits the time.
async fn shake_hands(target: &Target, channel: Channel) -> Result<ServerInfo, Error> {
    let reply = AdminServiceClient::new(channel)
        .get_server_info(GetServerInfoRequest {})
        .await
        .map_err(|status| Error::from_status(&status, &target.socket(), target.connect_timeout))?;
    reply
        .into_inner()
        .info
        .ok_or_else(|| Error::InvalidReply("GetServerInfo came without the info".to_owned()))
}

fn serves_our_protocol(info: &ServerInfo) -> bool {
    (info.protocol_min..=info.protocol_max).contains(&PROTOCOL)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_protocol_must_lie_in_the_range_of_the_daemon() {
        let serves = |protocol_min, protocol_max| {
            serves_our_protocol(&ServerInfo {
                protocol_min,
                protocol_max,
                ..ServerInfo::default()
            })
        };
        assert!(serves(PROTOCOL, PROTOCOL));
        assert!(serves(0, PROTOCOL + 5));
        assert!(!serves(PROTOCOL + 1, PROTOCOL + 2));
        assert!(!serves(0, PROTOCOL - 1));
    }
}
